"""Requests to every operation of an OpenAPI document, made of values that its schemas and the town allow."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from random import Random
from typing import Any
from urllib.parse import quote

import httpx2 as httpx
from fastapi.testclient import TestClient

from gis import redraw
from tests import town

Json = Any
LON, LAT = town.at(0.5, 0.5)
_LINE = {"type": "LineString", "coordinates": [town.at(1, -1), town.at(1, 6)]}
_AREA = {
    "type": "Polygon",
    "coordinates": [[town.at(0, 1), town.at(1, 1), town.at(1, 0), town.at(0, 0), town.at(0, 1)]],
}
_HOUSE = {"type": "Polygon", "coordinates": [[[LON, LAT], [LON + 1e-4, LAT], [LON, LAT + 1e-4], [LON, LAT]]]}
KNOWN: dict[str, tuple[Json, ...]] = {
    "lon": (LON,), "lat": (LAT,), "code": ("T1a", "T1", "T"), "area": ("T1",), "scope": ("T", "T1"),
    "q": ("T1a", "网格T1b"), "category": ("01", "0101"), "from": ("2025-01-01",), "to": ("2025-02-01",),
    "on": ("2025-06-01",), "start": ("2025-01-01T00:00:00Z",), "end": ("2025-01-02T00:00:00Z",),
    "layer": ("grids", "incidents", "hotspots"), "z": (13,), "x": (6666,), "y": (3458,),
    "bbox": ("113,27,113.1,27.1", "113,27,0,113.1,27.1,9"), "grid": ("T1",), "level": (3, 2),
    "codes": (["T1a", "T1b"],), "into": ("T1a",), "line": (_LINE,), "state": ("draft",), "at": (None,),
    "occurred_at": ("2025-06-01T08:00:00+08:00",), "source": ("hotline",), "filter": ("colour = 'blue'",),
    "datetime": ("2025-01-01/..",), "res": (8,), "known": (1,), "scheme": ("safety",), "head": (None,),
    "incident_id": (1, 2), "plan_id": (1, 2, 3), "number": (1,), "step_id": (1,), "plan": (1, 2),
    "demo": ("planner",), "key": (None,), "crs": ("http://www.opengis.net/def/crs/OGC/1.3/CRS84",),
    "bbox-crs": ("http://www.opengis.net/def/crs/OGC/1.3/CRS84",), "f": ("json",), "kind": (None, "patrol"),
    "skill": ("first_aid",), "effective_on": ("2099-01-01",), "building_ids": ([1],), "before": (9,),
    "cell": (None,), "categories": ("0101",), "under": (None, "T1"), "after": (None,),
}  # fmt: skip
"""Values of the town by the name of a parameter or field; of all others the schema makes one."""
BY_PATH: dict[tuple[str, str], tuple[Json, ...]] = {
    ("/styles/{name}.json", "name"): ("map", "light"),
    ("/archives/{name}/{z}/{x}/{y}.mvt", "name"): ("town",),
    ("/archives/{name}.json", "name"): ("town",),
    ("/archives/{name}.pmtiles", "name"): ("town",),
    ("/plans/{plan_id}/compare", "from"): (None,),
    ("/plans/{plan_id}/compare", "to"): (None,),
    ("/plans/{plan_id}/import", "name"): ("plan.geojson",),
    ("/incidents/{incident_id}/transitions", "to"): ("dispatched", "accepted"),
    ("/letters", "kind"): (None,),
    ("/letters", "start"): ("2025-03-03T00:00:00+08:00",),
    ("/letters", "end"): ("2025-03-31T00:00:00+08:00",),
    ("/letters", "grid"): ("T2d",),
    ("/letters", "category"): ("02",),
}
"""Values that one operation takes under a name which others use otherwise."""
STEPS: dict[str, dict[str, Json]] = {
    "split": {"code": "T1a", "line": _LINE},
    "merge": {"codes": ["T1a", "T1b"], "into": "T1a"},
    "reshape": {"codes": ["T1a", "T1b"], "line": _LINE},
    "move_vertex": {"at": town.at(2, 2), "to": town.at(2.1, 2.1)},
    "move_edge": {"edge": [town.at(2, 2), town.at(2, 3)], "to": [0.001, 0]},
    "assign": {"area": _AREA, "to": "T1b"},
    "give": {"area": _HOUSE, "to": "T1a"},
    "take_in": {"area": _HOUSE, "to": "T1a"},
    "snap": {"codes": ["T1a", "T1b"], "reach_m": 1},
    "transfer": {"code": "T1a", "parent": "T2"},
    "rename": {"code": "T1a", "name": "甲"},
    "renumber": {"code": "T1a", "to": "T1x"},
    "adopt": {"grids": [], "gone": []},
    "group": {"codes": ["T1a", "T1b"], "into": "T9"},
    "recode": {"codes": {"T1a": "T1y"}},
}
"""Each step of a draft with parameters of its kind."""


@dataclass
class Request:
    """A request as it will be sent; `query` in order, so that a name may come twice."""

    method: str
    path: str
    names: dict[str, Any] = field(default_factory=dict)
    query: list[tuple[str, Any]] = field(default_factory=list)
    headers: dict[str, Any] = field(default_factory=dict)
    body: Json | bytes = None
    media: str | None = None
    """Content-Type; None without a body."""

    def send(self, client: TestClient, key: str | None) -> httpx.Response:
        """Ask it as whoever has the key."""
        path = self.path
        for name, value in self.names.items():
            path = path.replace(f"{{{name}}}", quoted(value) or "%20")
        query = "&".join(f"{quoted(name)}={quoted(value)}" for name, value in self.query)
        told = {"Content-Type": self.media} if self.media else {}
        who = {"Authorization": f"Bearer {key}"} if key else {}
        heads = {n: str(v).encode("latin-1", "replace") for n, v in (who | told | self.headers).items()}
        client.cookies.clear()
        url = f"{path}?{query}" if query else path
        return client.request(self.method, url, content=self.content(), headers=heads)  # type: ignore[arg-type]

    def content(self) -> bytes | None:
        """The body as sent, in ASCII, which can say what no text may hold."""
        if self.media is None or isinstance(self.body, bytes):
            return self.body
        return json.dumps(self.body).encode()

    def __str__(self) -> str:
        body = self.body[:60] if isinstance(self.body, bytes) else self.body
        return ascii((self.method, self.path, self.names, self.query, self.headers, body))[:500]


def quoted(value: Any) -> str:
    """A value for a URL, in the bytes of UTF-8 even where it holds half a character."""
    return quote(str(value).encode("utf-8", "surrogatepass"), safe="")


@dataclass(frozen=True)
class Operation:
    """What can be asked: method and path, as the document tells them."""

    method: str
    path: str
    told: dict[str, Any]

    def __str__(self) -> str:
        return f"{self.method} {self.path}"

    def parameters(self, place: str) -> dict[str, dict[str, Any]]:
        """The parameters in path, query or header, by name."""
        return {one["name"]: one for one in self.told.get("parameters", ()) if one["in"] == place}

    def media(self) -> str | None:
        """The kind of body that it takes, None without any."""
        return next(iter(self.told.get("requestBody", {}).get("content", {})), None)


@dataclass(frozen=True)
class Document:
    """An OpenAPI document, and the values of the town and of what was made in it by name."""

    told: dict[str, Any]
    file: bytes
    """What is sent as a file."""
    known: dict[str, tuple[Json, ...]] = field(default_factory=lambda: dict(KNOWN))
    staged: dict[tuple[str, str], int] = field(default_factory=dict)
    """What was made ready for one operation: a value by path and name."""

    def operations(self) -> list[Operation]:
        """Each operation; of a stream, which has no end, its HEAD."""
        return [
            Operation("HEAD" if one.get("x-stream") else method.upper(), path, one)
            for path, found in self.told["paths"].items()
            for method, one in found.items()
        ]

    def learn(self, answer: httpx.Response) -> None:
        """Ask from now on also for what an answer says was made: the newest two of each kind."""
        kind, _, made = answer.headers.get("location", "").strip("/").partition("/")
        name = {"plans": "plan_id", "incidents": "incident_id", "letters": "number"}.get(kind)
        if name and made.isdigit():
            self.known[name] = (self.known[name][-1], int(made))

    def fields(self, operation: Operation) -> list[str]:
        """The names of the fields of a body."""
        return sorted({name for one in self._objects(self._body(operation)) for name in one["properties"]})

    def request(self, rng: Random, operation: Operation, needed: str = "") -> Request:
        """A request of good values with `needed` in it; of what else may be left out, some."""
        made = Request(operation.method, operation.path, media=operation.media())
        for place, values in (("path", made.names), ("header", made.headers)):
            for name, one in operation.parameters(place).items():
                if place == "path" or name == needed:
                    values[name] = self._good(rng, one["schema"], name, operation.path)
        for name, one in operation.parameters("query").items():
            if one.get("required") or name == needed or rng.random() < 0.3:
                value = self._good(rng, one["schema"], name, operation.path)
                made.query += [(name, value)] if value is not None or name == needed else []
        if made.media == "application/json":
            made.body = self._filled(rng, operation, needed)
        elif made.media:
            made.body = self.file
        return made

    def _body(self, operation: Operation) -> dict[str, Any]:
        content = operation.told.get("requestBody", {}).get("content", {})
        return dict(content.get("application/json", {}).get("schema", {}))

    def _objects(self, schema: dict[str, Any]) -> Iterator[dict[str, Any]]:
        schema = self._resolved(schema)
        for one in schema.get("anyOf", schema.get("oneOf", [schema])):
            if "properties" in self._resolved(one):
                yield self._resolved(one)

    def _resolved(self, schema: dict[str, Any]) -> dict[str, Any]:
        if "$ref" not in schema:
            return schema
        return dict(self.told["components"]["schemas"][schema["$ref"].rpartition("/")[2]])

    def _filled(self, rng: Random, operation: Operation, needed: str) -> Json:
        schema = rng.choice(list(self._objects(self._body(operation))))
        made = {
            name: self._good(rng, one, name, operation.path)
            for name, one in schema["properties"].items()
            if name in schema.get("required", ()) or name == needed or rng.random() < 0.3
        }
        if operation.path != "/plans/{plan_id}/steps":
            return made
        op = rng.choice([one.__name__ for one in redraw.STEPS])
        return {"op": op} | STEPS[op] | {name: made[name] for name in made if name == needed}

    def _good(self, rng: Random, schema: dict[str, Any], name: str, path: str) -> Json:
        if (path, name) in self.staged and rng.random() < 0.5:
            return self.staged[path, name]
        if (path, name) in BY_PATH:
            return rng.choice(BY_PATH[path, name])
        schema = self._resolved(schema)
        if "enum" in schema:
            return rng.choice(schema["enum"])
        if name in self.known:
            return rng.choice(self.known[name])
        for many in ("anyOf", "oneOf", "allOf"):
            if many in schema:
                return self._good(rng, rng.choice(schema[many]), name, path)
        return _MAKERS.get(schema.get("type", ""), lambda *_: None)(rng, schema)


def _number(rng: Random, schema: dict[str, Any]) -> Json:
    return int(schema.get("minimum", schema.get("exclusiveMinimum", 0))) + rng.randint(1, 3)


_MAKERS: dict[str, Callable[[Random, dict[str, Any]], Json]] = {
    "object": lambda *_: {},
    "array": lambda *_: [],
    "integer": _number,
    "number": _number,
    "boolean": lambda rng, _: rng.random() < 0.5,
    "string": lambda *_: "T1",
}

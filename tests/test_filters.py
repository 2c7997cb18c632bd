"""Filters in CQL2: what they mean, what they refuse, and that none is ever an error of ours."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC
from typing import Any

import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.engine import Connection, Engine

from gis import grids
from gis import schema as t
from gis.errors import BadInput
from layers import filters
from layers.catalogue import LAYERS
from layers.view import View
from tests import town

ROWS = 60


@pytest.fixture(scope="module", autouse=True)
def filled(engine: Engine) -> None:
    """The drawn town with incidents of every colour and state."""
    with engine.begin() as conn:
        town.add_grids(conn)
        batch = town.add_city(conn)
        town.add_incidents(conn, batch, [town.at(1, 1)] * ROWS)
        conn.execute(sa.text("UPDATE incidents SET colour = (ARRAY['blue', 'yellow', 'red'])[1 + id % 3]"))
        conn.execute(sa.text("UPDATE incidents SET state = 'closed' WHERE id % 4 > 0"))
        for number in range(12):
            town.add_building(conn, batch, f"{number}号", town.at(2, 2))
        conn.execute(
            sa.text("UPDATE buildings SET floors = id, name = 'n%_' || id, kind = nullif(id % 3, 0)")
        )


def _found(conn: Connection, layer: str, text: str) -> set[int]:
    table = filters.PROPERTIES[layer][0]
    wanted = filters.conditions(filters.read(text, UTC), layer)
    return set(conn.execute(sa.select(table.c.id).where(*wanted)).scalars())


@pytest.mark.parametrize(
    ("layer", "text", "plain"),
    [
        ("incidents", "colour = 'red'", "colour = 'red'"),
        ("incidents", "'red' = colour", "colour = 'red'"),
        ("incidents", "NOT (colour = 'red' OR state = 'closed')", "colour <> 'red' AND state <> 'closed'"),
        (
            "incidents",
            "colour IN ('red', 'blue') AND state <> 'closed'",
            "colour <> 'yellow' AND state <> 'closed'",
        ),
        (
            "incidents",
            "occurred_at < TIMESTAMP('2025-01-02T03:04:05Z')",
            "occurred_at < '2025-01-02T03:04:05Z'",
        ),
        ("incidents", "occurred_at >= DATE('2025-01-02')", "occurred_at >= '2025-01-02T00:00:00Z'"),
        ("incidents", "occurred_at >= '2025-01-02T00:00:00+08:00'", "occurred_at >= '2025-01-01T16:00:00Z'"),
        ("buildings", "floors BETWEEN 3 AND 5.5", "floors IN (3, 4, 5)"),
        ("buildings", "5 < floors", "floors > 5"),
        ("buildings", "floors > 1e300 OR floors < -99999999999999999999", "false"),
        ("buildings", "kind IS NULL", "kind IS NULL"),
        ("buildings", "kind IS NOT NULL AND kind NOT IN ('1')", "kind = '2'"),
        ("buildings", r"name LIKE 'n\%\_1%'", "name LIKE 'n%1%' AND id IN (1, 10, 11, 12)"),
        ("buildings", "name NOT LIKE '%1%'", "name NOT LIKE '%1%'"),
    ],
)
def test_a_filter_means_what_sql_means(conn: Connection, layer: str, text: str, plain: str) -> None:
    table = filters.PROPERTIES[layer][0]
    wanted = set(conn.execute(sa.select(table.c.id).where(sa.text(plain))).scalars())
    assert _found(conn, layer, text) == wanted
    assert plain == "false" or 0 < len(wanted) < (ROWS if layer == "incidents" else 12)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("colour =", "is no CQL2 text"),
        ("", "is no CQL2 text"),
        ("id = 1", "layer incidents has no property id; it has code, category"),
        ("description LIKE '%x%'", "no property description"),
        ("\"colour'; DROP TABLE incidents\" = 'x'", "no property colour'; DROP"),
        ("colour = code", "compares colour with what is no text"),
        ("colour = 1", "compares colour with what is no text"),
        ("occurred_at > 5", "compares occurred_at with what is no moment"),
        ("occurred_at > 'yesterday'", "TIMESTAMP"),
        ("occurred_at > TIMESTAMP('2025-13-45T00:00:00Z')", "TIMESTAMP|CQL2"),
        ("pg_sleep(10) = 1", "compares no property"),
        ("colour", "compares no property"),
        ("true", "compares no property"),
        ("S_INTERSECTS(geom, POINT(1 2))", "holds what is no text"),
        (r"code LIKE 'x\'", "single backslash"),
        ("colour = NULL", "no text"),
        ("(" * 30 + "colour = 'red'" + ")" * 30, "more than 10 opening brackets"),
        ("NOT " * 30 + "colour = 'red'", "24 operations deep|CQL2"),
        ("POLYGON((" * 90, "more than 10 opening"),
        ("colour = '" + "x" * 1000 + "'", "at most 1000"),
    ],
)
def test_what_is_no_filter_is_refused_with_the_reason(text: str, told: str) -> None:
    with pytest.raises(BadInput, match=told) as caught:
        filters.conditions(filters.read(text, UTC), "incidents")
    assert caught.value.field == "filter"


def _trees() -> st.SearchStrategy[str]:
    """Filters by the grammar, right and wrong in their properties and values."""
    names = st.sampled_from(["colour", "state", "occurred_at", "code", "floors", '"x y"', "id", "nothing"])
    texts = st.text(max_size=8).map(lambda text: "'" + text.replace("'", "''") + "'")
    moments = st.sampled_from(
        ["DATE('2025-01-01')", "TIMESTAMP('2025-01-01T00:00:00Z')", "DATE('0001-01-01')"]
    )
    values = st.one_of(texts, moments, st.floats().map(str), st.integers().map(str), st.just("NULL"), names)
    tests = st.one_of(
        st.builds("{} {} {}".format, names, st.sampled_from(["=", "<>", "<", ">=", "LIKE", "+"]), values),
        st.builds("{} IN ({}, {})".format, names, values, values),
        st.builds("{} BETWEEN {} AND {}".format, names, values, values),
        st.builds("{} IS NULL".format, names),
    )
    return st.recursive(
        tests, lambda inner: st.builds("({} {} {})".format, inner, st.sampled_from(["AND", "OR"]), inner)
    )


CHARACTERS = st.text(st.sampled_from("()'\"=<>- ,.1eaANDORNOTLIKEcolour\\%_\0\u5b57\U0001f600"), max_size=60)


@given(st.one_of(_trees(), CHARACTERS, st.text(max_size=60)))
def test_whatever_is_written_is_answered_or_refused(client: TestClient, text: str) -> None:
    answer = client.get("/tiles/incidents/14/0/0.mvt", params={"filter": text})
    assert answer.status_code in {200, 204, 422}, answer.text
    assert answer.status_code != 422 or answer.json()["errors"][0]["name"] == "filter"


KNOWN = {
    "layer": "incidents", "z": 14, "x": 0, "y": 0, "collection": "incidents",
    "area": "T1a", "control": "T1b", "from": "2024-06-01",
}  # fmt: skip
"""Values for what questions cannot do without."""


def _filtered(client: TestClient) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every question that takes a filter: its path, of the incidents, and what else it needs."""
    for path, ways in client.get("/openapi.json").json()["paths"].items():
        takes = {one["name"]: one for one in ways.get("get", {}).get("parameters", [])}
        if "filter" in takes:
            needed = {name for name, one in takes.items() if one.get("required") and one["in"] == "query"}
            needed |= {"area", "from"} if path == "/evaluation" else set()
            yield path.format_map(KNOWN), {name: KNOWN[name] for name in needed}


@pytest.mark.parametrize(
    "text", ["0", "-1", "1e308", "true", "'a'", "colour", "NOT true", "true AND colour = 'red'"]
)
def test_a_value_alone_is_no_filter_anywhere(client: TestClient, text: str) -> None:
    """Some questions look at a filter before it becomes a condition."""
    paths = list(_filtered(client))
    assert len(paths) > 10
    for path, needed in paths:
        answer = client.get(path, params=needed | {"filter": text})
        assert (path, answer.status_code) == (path, 422), answer.text
        assert (path, answer.json()["errors"][0]["name"]) == (path, "filter"), answer.text


def _count(client: TestClient, layer: str, **asked: Any) -> int:
    told = client.get("/layers", params=asked)
    assert told.status_code == 200, told.text
    return next(one["count"] for one in told.json() if one["name"] == layer)


def test_tiles_and_hotspots_count_the_same(client: TestClient, conn: Connection) -> None:
    wanted = sa.select(sa.func.count()).where(t.incidents.c.colour == "red", t.incidents.c.state == "closed")
    number = conn.execute(wanted).scalar_one()
    asked = {"filter": "colour = 'red' AND state = 'closed'"}
    assert client.get("/hotspots", params=asked).json()["incidents"] == number
    assert (
        client.get("/hotspots", params={"colour": "red", "filter": "state = 'closed'"}).json()["incidents"]
        == number
    )


@pytest.mark.parametrize("layer", filters.PROPERTIES)
def test_a_filter_holds_at_every_zoom(conn: Connection, layer: str) -> None:
    asked = grids.resolve(conn, grids.Wish())
    name = "code" if layer == "incidents" else "name"
    seen = View(asked.scheme, asked.on, asked.known, filter=filters.read(f"{name} = 'nobody’s'", UTC))
    for zoom in range(23):
        assert not conn.execute(LAYERS[layer].select(replace(seen, zoom=zoom))).all(), zoom

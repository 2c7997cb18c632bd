"""Mutated files sent to a draft: taken over, or refused by name; the draft stays what it was, never 5xx."""

import io
import json
import zipfile
from collections import Counter
from collections.abc import Callable
from random import Random
from urllib.parse import quote

import pytest
from fastapi.testclient import TestClient
from sqlalchemy.engine import Engine

from tests import town
from tests.spoiling import within
from tests.test_request_fuzz import fault

SEED, SHORT, LONG = 20261128, 6, 200
FORMATS = ("geojson", "gpkg", "shp.zip")
Drafts = dict[str, bytes]
File = tuple[str, bytes]
"""Its name and what is in it."""


def _any(rng: Random, drafts: Drafts) -> File:
    suffix = rng.choice(FORMATS)
    return f"plan.{suffix}", drafts[suffix]


def truncated(rng: Random, drafts: Drafts) -> File:
    name, body = _any(rng, drafts)
    return name, body[: rng.randrange(len(body))]


def flipped(rng: Random, drafts: Drafts) -> File:
    """Some bytes are others."""
    name, body = _any(rng, drafts)
    spoiled = bytearray(body)
    for _ in range(rng.choice((1, 5, 200))):
        spoiled[rng.randrange(len(spoiled))] = rng.randrange(256)
    return name, bytes(spoiled)


def misnamed(rng: Random, drafts: Drafts) -> File:
    suffix = rng.choice(("gpkg", "geojson", "json", "zip", "fgb", "kml", "csv", "xlsx", "ZIP", "GeoJSON", ""))
    return f"plan.{suffix}", _any(rng, drafts)[1]


def oddly_named(rng: Random, drafts: Drafts) -> File:
    names = (
        "../../plan",
        "a\0b",
        "C:\\plan",
        "\u202eplan",
        "x" * 150,
        "'; --",
        "a/b",
        "http://x/plan",
        "/vsicurl/x",
    )
    name, body = _any(rng, drafts)
    return name.replace("plan", rng.choice(names)), body


def noise(rng: Random, _: Drafts) -> File:
    suffix = rng.choice(("gpkg", "geojson", "zip", "fgb", "kml"))
    head = rng.choice((b"", b"PK\x03\x04", b"SQLite format 3\0", b"\xef\xbb\xbf", b"fgb\x03fgb\0", b"<?xml"))
    return f"plan.{suffix}", head + rng.randbytes(rng.choice((0, 1, 900)))


def spoiled_geojson(rng: Random, drafts: Drafts) -> File:
    """One to three values within it are bad."""
    told = json.loads(drafts["geojson"])
    for _ in range(rng.randint(1, 3)):
        told = within(rng, told)
    return "plan.geojson", json.dumps(told).encode()


def spoiled_field(rng: Random, drafts: Drafts) -> File:
    """The same of one grid's properties or shape alone, the file as such is sound."""
    told = json.loads(drafts["geojson"])
    feature = rng.choice(told["features"])
    part = rng.choice(("properties", "geometry"))
    feature[part] = within(rng, feature[part])
    return "plan.geojson", json.dumps(told).encode()


def encoded(rng: Random, drafts: Drafts) -> File:
    text = json.dumps(json.loads(drafts["geojson"]), ensure_ascii=False)
    codec = rng.choice(("gb18030", "utf-16", "utf-32", "utf-8-sig", "utf-7", "big5"))
    return "plan.geojson", text.encode(codec, "replace")


def zipped_oddly(rng: Random, drafts: Drafts) -> File:
    """With a part missing, a path that leads out, an archive within, or more than it says."""
    found = {}
    with zipfile.ZipFile(io.BytesIO(drafts["shp.zip"])) as archive:
        found = {one: archive.read(one) for one in archive.namelist()}
    odd: tuple[Callable[[], object], ...] = (
        lambda: found.pop(rng.choice(list(found))),
        lambda: found.update({"../../etc/x.shp": b"x"}),
        lambda: found.update({"zeros.dbf": b"\0" * 40_000_000}),
        lambda: found.update({"in.zip": drafts["shp.zip"]}),
        lambda: found.update({"other.geojson": drafts["geojson"]}),
        found.clear,
    )
    rng.choice(odd)()
    body = io.BytesIO()
    with zipfile.ZipFile(body, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in found.items():
            archive.writestr(name, content)
    return "plan.zip", body.getvalue()


def kml(rng: Random, _: Drafts) -> File:
    """With entities that ask for files, or that grow."""
    bomb = "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 9))
    heads = (
        '<!DOCTYPE k [<!ENTITY a0 SYSTEM "file:///etc/passwd">]>',
        f'<!DOCTYPE k [<!ENTITY a0 "x">{bomb}]>',
    )
    name = rng.choice(("&a0;", "&a8;", "x"))
    place = "<Point><coordinates>113.01,27.01</coordinates></Point>"
    mark = f"<Placemark><name>{name}</name>{place}</Placemark>"
    kml_of = f"<kml xmlns='http://www.opengis.net/kml/2.2'><Document>{mark}</Document></kml>"
    return "plan.kml", f"<?xml version='1.0'?>{rng.choice(heads)}{kml_of}".encode()


MUTATIONS = (
    truncated, spoiled_field, zipped_oddly, misnamed, encoded, kml, flipped, oddly_named, noise,
    spoiled_geojson,
)  # fmt: skip


@pytest.fixture(scope="module")
def drafts(client: TestClient, engine: Engine) -> Drafts:
    """A draft of the town in which grid a has another name, as files."""
    with engine.begin() as conn:
        town.furnish(conn)
    for _ in range(2):
        assert client.post("/plans", json={"scope": "T", "title": "t"}).status_code == 201
    named = client.post("/plans/1/steps", json={"op": "rename", "code": "T1a", "name": "松树"})
    assert named.status_code == 200, named.text
    return {form: client.get(f"/plans/1/export?format={form}").content for form in FORMATS}


def _send(client: TestClient, drafts: Drafts, seed: int, count: int) -> Counter[int]:
    rng, statuses = Random(seed), Counter[int]()
    before = client.get("/plans/2/grids").json()
    for number in range(count):
        make = MUTATIONS[number % len(MUTATIONS)]
        name, body = make(rng, drafts)
        answer = client.post(f"/plans/2/import?name={quote(name)}", content=body)
        statuses[answer.status_code] += 1
        assert fault(answer, "POST") is None, (make.__name__, number, name, answer.text[:500])
        if answer.status_code == 200:
            assert client.post("/plans/2/undo").status_code == 200
        assert "/tmp/" not in answer.text
    assert client.get("/plans/2/grids").json() == before
    return statuses


def test_mutated_files_are_refused_by_name(client: TestClient, drafts: Drafts) -> None:
    """And a good one is taken over after them."""
    _send(client, drafts, SEED, SHORT)
    answer = client.post("/plans/2/import?name=plan.geojson", content=drafts["geojson"])
    assert answer.status_code == 200, answer.text


@pytest.mark.slow
def test_hundreds_of_mutated_files(client: TestClient, drafts: Drafts) -> None:
    statuses = _send(client, drafts, SEED + 1, LONG)
    print(LONG, sorted(statuses.items()))  # noqa: T201 - figures for docs/proofs.md
    assert statuses[200] > 0
    assert statuses[422] > LONG // 2

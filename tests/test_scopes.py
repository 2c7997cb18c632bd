"""Who sees what: every role and scope on every question that might tell too much, and the plans behind it."""

import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient
from sqlalchemy.engine import Connection, Engine

from api.demo_access import DemoAccess
from api.main import make_app
from gis import access, schema
from gis.access import Principal
from gis.grids import Wish, resolve
from gis.schema_access import ROLES
from layers.catalogue import LAYERS
from layers.public import release_months
from layers.view import View
from tests import town
from tiles import mvt
from tiles.tile import Tile

PLACES = {
    "T1a": town.at(0.5, 0.5),
    "T1b": town.at(2.5, 0.5),
    "T2d": town.at(1.5, 4.2),
    # On the border of the quarters and in the hole: the lower code owns the one, nobody the other.
    "T1a-edge": town.at(0.7, 3),
    "nobody": town.at(3.5, 2.5),
}
"""Where a secret of each kind lies, and as whose it is marked."""
LEAST = {"incident": 1, "crew": 1, "camera": 2, "keeper": 1, "phone": 1}
KINDS = tuple(LEAST)
WHO = [("public", None), *product(ROLES[1:], (None, "T1", "T2"))]
PROTECTED = {"incidents", "cameras", "responders"}
Keys = dict[tuple[str, str | None], dict[str, str]]


@pytest.fixture(scope="module", autouse=True)
def settled(engine: Engine) -> None:
    """Secrets of every kind in both quarters, each named after its kind and grid."""
    with engine.begin() as conn:
        town.add_grids(conn)
        batch = town.add_city(conn)
        town.add_incidents(conn, batch, list(PLACES.values()))
        town.add_incidents(conn, batch, [PLACES["T1a"]] * 11 + [PLACES["T2d"]] * 3)
        ids = dict(zip(PLACES, range(len(PLACES)), strict=True))
        for mark, row in ids.items():
            named = schema.incidents.update().where(schema.incidents.c.origin_id == str(row))
            conn.execute(named.values(code=f"incident-{mark}."))
        crews = {f"crew-{mark}.": place for mark, place in PLACES.items()}
        town.add_responders(conn, batch, crews)
        for mark, (x, y) in PLACES.items():
            row = {"origin": "t", "origin_id": mark, "batch_id": batch, "name": f"camera-{mark}."}
            conn.execute(schema.cameras.insert().values(row | {"geom": f"SRID=4326;POINT({x} {y})"}))
        for grid in ("T1a", "T1b", "T2d"):
            town.add_keeper(conn, batch, grid)
            person = schema.staff.update().where(schema.staff.c.origin_id == grid)
            conn.execute(person.values(name=f"keeper-{grid}.", phone=f"phone-{grid}."))
        conn.execute(schema.posts.update().values(public_phone="12345"))
        for number, mark in product(range(8), ("T1a", "T2d")):
            town.add_building(conn, batch, f"house {number} of {mark}", PLACES[mark])
        release_months(conn)


@pytest.fixture(scope="module")
def asker(service_engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    folder = tmp_path_factory.mktemp("data")
    app = make_app(lambda: service_engine, folder)
    app.state.demo = DemoAccess(folder)
    here = ("127.0.0.1", 5)
    with TestClient(app, "http://127.0.0.1", client=here, raise_server_exceptions=False) as client:
        yield client


@pytest.fixture(scope="module")
def keys(engine: Engine) -> Keys:
    """What each role and scope sends."""
    made: Keys = {("public", None): {}}
    with engine.begin() as conn:
        for role, scope in WHO[1:]:
            key = access.create_key(
                conn,
                role,
                scope,
                scheme="safety",
                label="",
                may_export=True,
                demo=role in {"approver", "admin"},
            )
            made[role, scope] = {"Authorization": f"Bearer {key.key}"}
    return made


def may_see(role: str, scope: str | None, secret: str) -> bool:
    """The rule, written down once more and apart from the product."""
    kind, _, mark = secret.rstrip(".").partition("-")
    within = scope is None or mark.startswith(scope)
    return ROLES.index(role) >= LEAST[kind] and within


def _tiles() -> Iterator[str]:
    for layer, z, place in product(LAYERS, (12, 14, 15), PLACES):
        lon, lat = PLACES[place]
        side = 1 << z
        y = (1 - np.arcsinh(np.tan(np.radians(lat))) / np.pi) / 2
        yield f"/tiles/{layer}/{z}/{int((lon + 180) / 360 * side)}/{int(y * side)}.mvt"


OTHERS = (
    "/layers", "/city", "/styles/light.json", "/session", "/session/demo", "/metrics", "/categories",
    "/grids/T2", "/grids/T2/children", "/grids/T2d/history", "/grids/search?q=crew", "/grids/suggest?q=a",
    "/responders/nearest?lon=x", "/tiles/incidents/99/0/0.mvt", "/hotspots?category=no", "/nowhere",
    "/hotspots/values?res=10&with=scan", "/changes?level=3", "/changes?res=10", "/near-repeat", "/profiles",
    "/emerging?res=10&step_days=1", "/risk?res=10", "/risk/values?res=10",
)  # fmt: skip
"""Whatever else there is, and questions in error."""


def _questions() -> list[str]:
    """Every question that could tell a secret, inside and outside, in every format."""
    asked = list(_tiles())
    for x, y in PLACES.values():
        asked += [f"/grids/at?lon={x}&lat={y}", f"/responders/nearest?lon={x}&lat={y}&k=100"]
    for form, area, res in product(("json", "geojson", "csv", "arrow"), ("", "T1", "T2"), (8, 10)):
        asked.append(f"/hotspots?res={res}&format={form}" + (f"&area={area}" if area else ""))
    asked += [f"/tiles/{layer}.json" for layer in LAYERS]
    asked += [f"/incidents/{number}" for number in range(1, 1 + len(PLACES))]
    return [*asked, *OTHERS]


@pytest.mark.parametrize(("role", "scope"), WHO)
def test_nobody_sees_more_than_they_may(asker: TestClient, keys: Keys, role: str, scope: str | None) -> None:
    """16 who x some 100 questions: what may not be seen is in no byte, and what may be seen is found."""
    secrets = {f"{kind}-{mark}." for kind, mark in product(KINDS, PLACES)}
    forbidden = {secret for secret in secrets if not may_see(role, scope, secret)}
    found: set[str] = set()
    for question in _questions():
        body = asker.get(question, headers=keys[role, scope]).content
        leaked = {secret for secret in secrets if secret.encode() in body}
        assert not leaked & forbidden, f"{question} tells {sorted(leaked & forbidden)}"
        found |= leaked
    people = ("keeper", "phone")
    there = {
        one for one in secrets if not one.startswith(people) or one.rstrip(".")[-3:] in {"T1a", "T1b", "T2d"}
    }
    assert found == there - forbidden


def test_kept_tiles_and_their_tags_tell_nobody_more(asker: TestClient, keys: Keys) -> None:
    """Everybody asks for the same tiles in turn, twice: the second time they are kept, and still each's own.

    Then each shows the tags of all others: not even an empty 304 says that the others' content is one's own.
    """
    end = time.monotonic() + 10
    while not asker.app.state.desk.cache.watched:  # type: ignore[attr-defined]
        assert time.monotonic() < end
        time.sleep(0.02)
    tiles = [tile for tile in _tiles() if tile.split("/")[2] in PROTECTED and tile.split("/")[3] == "15"]
    tags: dict[tuple[tuple[str, str | None], str], str | None] = {}
    for again, who, tile in product((False, True), WHO, tiles):
        answer = asker.get(tile, headers=keys[who])
        told = {f"{kind}-{mark}." for kind, mark in product(KINDS, PLACES)}
        leaked = {one for one in told if one.encode() in answer.content and not may_see(*who, one)}
        assert not leaked, f"{tile} tells {who} {leaked}"
        assert answer.status_code in {200, 204, 401, 403}
        if again and answer.is_success:
            assert answer.headers["cache-status"] == "tiles; hit"
        tags[who, tile] = answer.headers.get("etag")
    for who, tile in product(WHO, tiles):
        others = {tag for (_, of), tag in tags.items() if of == tile and tag} - {tags[who, tile]}
        if others:
            asked = keys[who] | {"If-None-Match": ", ".join(sorted(others))}
            assert asker.get(tile, headers=asked).status_code != 304


@pytest.mark.parametrize(("role", "scope"), WHO)
def test_counts_are_of_what_may_be_seen(asker: TestClient, keys: Keys, role: str, scope: str | None) -> None:
    of_scope = {None: 19, "T1": 14, "T2": 4}[scope]
    ask = keys[role, scope]
    whole = asker.get("/hotspots?res=10", headers=ask).json()
    counted = {layer["name"]: layer["count"] for layer in asker.get("/layers", headers=ask).json()}
    assert whole["incidents"] == sum(cell["count"] for cell in whole["cells"])
    if role == "public":
        assert sorted(cell["count"] for cell in whole["cells"]) == [7, 12], (
            "what is small on its own is told together"
        )
        assert not {"incidents", "cameras", "responders"} & counted.keys()
        assert asker.get("/city").json()["incidents"]["count"] == 19
    else:
        assert whole["incidents"] == counted["incidents"] == of_scope
        assert asker.get("/city", headers=ask).json()["incidents"]["count"] == of_scope


@pytest.mark.parametrize(
    ("grid", "created", "moved"), [("T1b", 201, 200), ("T2d", 403, 404), ("nobody", 403, 404)]
)
def test_a_county_writes_inside_its_scope_only(
    asker: TestClient, keys: Keys, engine: Engine, grid: str, created: int, moved: int
) -> None:
    ask, (lon, lat) = keys["field", "T1"], PLACES[grid]
    new = {"category": "0101", "source": "citizen", "occurred_at": "2025-03-01T08:00", "lon": lon, "lat": lat}
    answer = asker.post("/incidents", headers=ask, json=new)
    assert answer.status_code == created
    with engine.connect() as conn:
        wanted = sa.select(schema.incidents.c.id).where(schema.incidents.c.code == f"incident-{grid}.")
        number = conn.execute(wanted).scalar_one()
    move = asker.post(f"/incidents/{number}/transitions", headers=ask, json={"to": "dispatched"})
    assert move.status_code == moved
    assert asker.post("/incidents", json=new).status_code == 401


def test_the_public_learns_the_notice_board_only(asker: TestClient) -> None:
    lon, lat = PLACES["T1a"]
    chain = asker.get("/grids/at", params={"lon": lon, "lat": lat}).json()["chain"]
    assert [link["contact"] for link in chain] == [{"post": "网格长", "phone": "12345"}, None, None]
    assert [link["staff"] for link in chain] == [[], [], []]


def test_exporting_is_a_right_of_its_own(asker: TestClient, engine: Engine) -> None:
    with engine.begin() as conn:
        key = access.create_key(conn, "commander", scheme="safety", label="").key
    ask = {"Authorization": f"Bearer {key}"}
    assert asker.get("/hotspots", headers=ask).status_code == 200
    assert asker.get("/hotspots?format=csv", headers=ask).status_code == 403
    assert asker.get("/hotspots?format=csv").status_code == 200, "the public's cells are nobody's detail"


@pytest.mark.parametrize(("role", "scope"), WHO)
def test_the_database_is_a_second_wall(
    service_engine: Engine, engine: Engine, role: str, scope: str | None
) -> None:
    """Read directly, without the predicates that questions bring: the policies alone say the same."""
    who = Principal(role, "safety" if scope else None, scope)
    texts = {
        "incident": "SELECT code FROM incidents", "crew": "SELECT name FROM responders",
        "camera": "SELECT name FROM cameras", "keeper": "SELECT name FROM staff",
    }  # fmt: skip
    for kind, question in texts.items():
        with engine.connect() as owner:
            everything = {one for one in owner.execute(sa.text(question)).scalars() if one.startswith(kind)}
        with service_engine.begin() as conn:
            access.enter(conn, who)
            seen = {one for one in conn.execute(sa.text(question)).scalars() if one.startswith(kind)}
        assert seen == {one for one in everything if may_see(role, scope, one)}
        assert len(everything) >= 3


@pytest.mark.parametrize(
    ("layer", "column", "kind"),
    [("incidents", "code", "incident"), ("cameras", "name", "camera"), ("responders", "name", "crew")],
)
@pytest.mark.parametrize("scope", ["T1", "T2"])
def test_the_question_is_a_first_wall(engine: Engine, layer: str, column: str, kind: str, scope: str) -> None:
    """Asked as the owner, for whom no policy holds: the predicate alone says the same."""
    with engine.connect() as conn:
        view = replace(_view(conn, scope), of_tile=False)
        rows = conn.execute(LAYERS[layer].select(view)).mappings()
        seen = {row[column] for row in rows if row[column].startswith(kind)}
    assert seen == {f"{kind}-{mark}." for mark in PLACES if mark.startswith(scope)}


def test_what_was_told_ends_with_the_transaction(service_engine: Engine) -> None:
    """A pooled connection that served an admin serves the public next."""
    with service_engine.connect() as conn:
        for who, seen in ((Principal("admin"), True), (access.ANYBODY, False)):
            with conn.begin():
                access.enter(conn, who)
                assert bool(conn.execute(sa.text("SELECT EXISTS (SELECT FROM incidents)")).scalar()) is seen


def test_writes_stay_inside_the_scope(service_engine: Engine) -> None:
    for grid, allowed in (("T1a", True), ("T2d", False)):
        x, y = PLACES[grid]
        with service_engine.connect() as conn:
            access.enter(conn, Principal("field", "safety", "T1"))
            batch = conn.execute(sa.text("SELECT max(id) FROM batches")).scalar_one()
            moving = schema.incidents.update().where(schema.incidents.c.code == f"incident-{grid}.")
            assert conn.execute(moving.values(state="closed")).rowcount == int(allowed)
            crew = {"origin": "t", "origin_id": "new", "batch_id": batch}
            with pytest.raises(sa.exc.ProgrammingError, match="denied"):
                conn.execute(schema.cameras.insert().values(crew | {"geom": f"SRID=4326;POINT({x} {y})"}))


@pytest.mark.parametrize("layer", ["incidents", "cameras", "responders", "grids", "buildings"])
@pytest.mark.parametrize("scope", [None, "T1"])
def test_a_tile_uses_the_spatial_index(service_engine: Engine, layer: str, scope: str | None) -> None:
    """The box comes first, through GiST; policy and scope then look at what lies in it."""
    square = Tile(16, *_square(16))
    with service_engine.begin() as conn:
        access.enter(conn, Principal("admin", "safety" if scope else None, scope))
        conn.execute(sa.text("SET LOCAL enable_seqscan = off"))
        cut = mvt.cut(LAYERS[layer].select(_view(conn, scope)), layer, square.z)
        plan = "\n".join(conn.exec_driver_sql(f"EXPLAIN {cut.sql}", cut.values(square)).scalars())
    assert f"ix_{layer}_geom" in plan, plan
    index_condition = next(line for line in plan.splitlines() if "Index Cond" in line and "&&" in line)
    assert "geom" in index_condition


def _square(z: int) -> tuple[int, int]:
    lon, lat = PLACES["T1a"]
    y = (1 - np.arcsinh(np.tan(np.radians(lat))) / np.pi) / 2
    return int((lon + 180) / 360 * (1 << z)), int(y * (1 << z))


def _view(conn: Connection, scope: str | None) -> View:
    asked = resolve(conn, Wish())
    within = (asked, scope) if scope else None
    return View(asked.scheme, asked.on, asked.known, zoom=16, of_tile=True, scope=within)

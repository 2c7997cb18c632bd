"""Features page by page: every one exactly once, the same as the tiles show, and never another's."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient
from sqlalchemy.engine import Engine

from api import access, collections
from api.main import make_app
from gis import crs
from gis.access import ANYBODY
from tests import town

ROWS = 230


@pytest.fixture(scope="module", autouse=True)
def filled(engine: Engine) -> None:
    """The drawn town with incidents of every colour, and a camera at each end of the world."""
    with engine.begin() as conn:
        town.add_grids(conn)
        batch = town.add_city(conn)
        town.add_incidents(conn, batch, [town.at(1 + row / ROWS, 1) for row in range(ROWS)])
        conn.execute(sa.text("UPDATE incidents SET colour = (ARRAY['blue', 'yellow', 'red'])[1 + id % 3]"))
        conn.execute(
            sa.text(
                "INSERT INTO cameras (origin, origin_id, batch_id, name, geom)"
                " SELECT 't', x::text, :b, 'c' || x, ST_SetSRID(ST_MakePoint(x, 10), 4326)"
                " FROM unnest(ARRAY[-179.9, 179.9, 0]) x"
            ),
            {"b": batch},
        )


def _items(client: TestClient, layer: str, **asked: Any) -> dict[str, Any]:
    answer = client.get(f"/collections/{layer}/items", params=asked)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/geo+json"
    found: dict[str, Any] = answer.json()
    assert found["numberReturned"] == len(found["features"])
    return found


def _pages(client: TestClient, url: str) -> Iterator[dict[str, Any]]:
    while url:
        page = client.get(url).json()
        yield page
        url = next((link["href"] for link in page["links"] if link["rel"] == "next"), "")


def test_pages_hold_every_feature_once(client: TestClient) -> None:
    pages = list(_pages(client, "/collections/incidents/items?limit=100&filter=colour <> 'red'"))
    ids = [feature["id"] for page in pages for feature in page["features"]]
    assert [page["numberReturned"] for page in pages] == [100, 53]
    assert ids == sorted(set(ids))
    assert {page["numberMatched"] for page in pages} == {len(ids)}


def test_all_levels_of_grids_are_told(client: TestClient) -> None:
    levels = {feature["properties"]["level"] for feature in _items(client, "grids")["features"]}
    assert levels == {1, 2, 3}
    assert _items(client, "grids", filter="level = 1")["numberMatched"] == 1


def test_a_box_may_cross_the_antimeridian(client: TestClient) -> None:
    names = [
        {feature["properties"]["name"] for feature in _items(client, "cameras", bbox=box)["features"]}
        for box in ("170,0,-170,20", "-170,0,170,20", "-180,-90,180,90")
    ]
    assert names == [{"c-179.9", "c179.9"}, {"c0"}, {"c-179.9", "c179.9", "c0"}]


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("incidents/items?limit=1001", 422), ("incidents/items?limit=0", 422),
        ("incidents/items?bbox=1,2,3", 422),
        ("incidents/items?bbox=1,2,3,x", 422), ("incidents/items?bbox=1,2,3,nan", 422),
        ("incidents/items?filter=id=1", 422), ("incidents/items?offset=-1", 422), ("risk/items", 404),
        ("nothing/items", 404), ("nothing", 404), ("incidents/items?path=1&request=2&rel=3", 400),
    ],
)  # fmt: skip
def test_what_cannot_be_answered_is_refused(client: TestClient, path: str, status: int) -> None:
    answer = client.get(f"/collections/{path}")
    assert answer.status_code == status
    assert status != 422 or answer.json()["errors"][0]["name"] in path


@pytest.mark.parametrize("datum", ["gcj02", "bd09", "cgcs2000"])
def test_shapes_and_the_box_are_in_the_datum(client: TestClient, datum: crs.Datum) -> None:
    """The same features as WGS-84 has, where the datum has them; a box cuts as there."""
    plain = _items(client, "incidents", limit=1000)["features"]
    moved = _items(client, "incidents", limit=1000, datum=datum)["features"]
    where = np.array([one["geometry"]["coordinates"] for one in plain]).T
    expected = np.column_stack(crs.from_wgs84(*where, datum))
    got = np.array([one["geometry"]["coordinates"] for one in moved])
    assert [one["id"] for one in plain] == [one["id"] for one in moved]
    assert np.abs(got - expected).max() <= 1e-7
    west, east = np.sort(expected[:, 0])[[70, 150]] + 1e-6
    south, north = expected[:, 1].min() - 0.001, expected[:, 1].max() + 0.001
    inside = _items(client, "incidents", limit=1000, datum=datum, bbox=f"{west},{south},{east},{north}")
    assert inside["numberMatched"] == int(((expected[:, 0] > west) & (expected[:, 0] < east)).sum()) == 80
    (link,) = [one["href"] for one in inside["links"] if one["rel"] == "self"]
    assert f"datum={datum}" in link


def test_bounds_are_told(client: TestClient) -> None:
    listed = {one["id"]: one for one in client.get("/collections").json()["collections"]}
    assert set(listed) == set(collections.NAMES)
    assert listed["incidents"]["limit"] == {"default": 100, "maximum": 1000}
    assert "colour" in client.get("/collections/incidents").json()["filterable"]


def test_the_public_sees_public_collections(service_engine: Engine, tmp_path_factory: Any) -> None:
    app = make_app(lambda: service_engine, tmp_path_factory.mktemp("data"))
    app.dependency_overrides[access.who] = lambda: ANYBODY
    with TestClient(app, raise_server_exceptions=False) as public:
        listed = {one["id"] for one in public.get("/collections").json()["collections"]}
        assert listed == {"areas", "grids", "roads", "buildings", "places"}
        for name in collections.NAMES:
            asked = public.get(f"/collections/{name}/items", params={"filter": "name LIKE '%'"})
            assert asked.status_code == (200 if name in listed else 401)


FILTERS = [
    None, "state = 'withdrawn'", "state <> 'closed'", "state IN ('withdrawn', 'closed')",
    "NOT (state = 'closed')",
    "state = 'closed' OR state = 'withdrawn'", "colour = 'red'", "colour = 'red' AND state <> 'withdrawn'",
]  # fmt: skip


@pytest.mark.parametrize("asked", FILTERS)
def test_withdrawn_incidents_are_told_where_a_filter_speaks_of_states(
    client: TestClient, engine: Engine, asked: str | None
) -> None:
    with engine.begin() as conn:
        conn.execute(sa.text("UPDATE incidents SET state = 'withdrawn' WHERE id % 10 = 3"))
        where = asked or "true"
        shown = "true" if "state" in where else "state <> 'withdrawn'"
        count = conn.execute(
            sa.text(f"SELECT count(*) FROM incidents WHERE {shown} AND {where}")
        ).scalar_one()
    found = _items(client, "incidents", **({"filter": asked} if asked else {}), limit=1000)
    assert (found["numberMatched"], found["numberReturned"]) == (count, count)
    assert count > 0
    told = client.get("/collections/incidents").json()["description"]
    assert "Withdrawn incidents are left out" in told
    whole = client.get("/hotspots", params={"filter": asked, "res": 9} if asked else {"res": 9}).json()
    assert whole["incidents"] == sum(one["properties"]["state"] != "withdrawn" for one in found["features"])

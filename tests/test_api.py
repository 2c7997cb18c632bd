"""The public contract over HTTP, on the drawn town."""

import csv
import io
import json

import mapbox_vector_tile
import numpy as np
import pyarrow as pa
import pytest
import shapely
from fastapi.testclient import TestClient
from pyproj import Geod
from sqlalchemy.engine import Engine

from gis import cells, crs, schema
from layers.counts import res_for_zoom
from tests import town


@pytest.fixture(scope="module", autouse=True)
def settled(engine: Engine) -> None:
    """The town with 300 incidents, most of them at one corner, and three crews."""
    rng = np.random.default_rng(3)
    anywhere = [town.at(*place) for place in rng.uniform((0, 0), (6, 5), (200, 2))]
    corner = [town.at(*place) for place in rng.uniform((0.4, 0.4), (0.6, 0.6), (100, 2))]
    with engine.begin() as conn:
        town.add_grids(conn)
        batch = town.add_city(conn)
        town.add_keeper(conn, batch, "T1a")
        town.add_incidents(conn, batch, anywhere)
        town.add_incidents(conn, batch, corner, category="0102")
        town.add_building(conn, batch, "小镇一路1号", town.at(0.7, 0.7))
        town.add_building(conn, batch, "小镇一路12号", town.at(5, 4.5))
        town.add_responders(
            conn, batch, {"near": town.at(1, 1), "middle": town.at(3, 3), "far": town.at(6, 5)}
        )


def _tile(lon: float, lat: float, z: int) -> tuple[int, int]:
    side = 1 << z
    y = (1 - np.arcsinh(np.tan(np.radians(lat))) / np.pi) / 2
    return int((lon + 180) / 360 * side), int(y * side)


def test_grids_at(client: TestClient) -> None:
    lon, lat = town.at(0.5, 0.5)
    answer = client.get("/grids/at", params={"lon": lon, "lat": lat}).json()
    assert answer["revision"] == 1
    assert answer["on_boundary"] is False
    assert [link["code"] for link in answer["chain"]] == ["T1a", "T1", "T"]
    assert answer["chain"][0]["staff"][0]["name"] == "甲"


def test_a_level_that_is_only_declared_is_not_offered(client: TestClient, engine: Engine) -> None:
    with engine.begin() as conn:
        row = {"scheme": "safety", "level": 4, "name_zh": "楼栋", "name_en": "Block"}
        conn.execute(schema.levels.insert().values(row))
    assert [one["level"] for one in client.get("/city").json()["levels"]] == [1, 2, 3]
    x, y = _tile(*town.at(0.5, 0.5), 14)
    tile = client.get(f"/tiles/grids/14/{x}/{y}.mvt")
    assert mapbox_vector_tile.decode(tile.content)["grids"]["features"], "the level above is shown"


def test_grids_at_reads_other_datums(client: TestClient) -> None:
    place = town.at(0.1, 0.1)
    lon, lat = crs.point_from_wgs84(*place, "bd09")
    asked = {"lon": lon, "lat": lat, "datum": "bd09"}
    answer = client.get("/grids/at", params=asked).json()
    assert answer["chain"][0]["code"] == "T1a"
    assert answer["point"] == [lon, lat]


def test_a_point_nobody_owns_is_a_problem(client: TestClient) -> None:
    answer = client.get("/grids/at", params={"lon": 114, "lat": 27})
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
    assert {"type", "title", "status", "detail"} <= answer.json().keys()


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/grids/at?lon=x&lat=27", "lon"),
        ("/grids/at?lon=113", "lat"),
        ("/grids/at?lon=113&lat=91", "lat"),
        ("/grids/at?lon=nan&lat=27", "lon"),
        ("/grids/at?lon=113&lat=27&datum=moon", "datum"),
        ("/grids/at?lon=113&lat=27&on=yesterday", "on"),
        ("/grids/at?lon=113&lat=27&known=2", "known"),
        ("/grids/T1?known=2", "known"),
        ("/hotspots?from=soon", "from"),
        ("/hotspots?from=0001-01-01", "from"),
        ("/hotspots?to=9999-12-31", "to"),
        ("/hotspots?from=2025-02-01&to=2025-01-01", "to"),
        ("/hotspots?category=99", "category"),
        ("/hotspots?res=3", "res"),
        ("/responders/nearest?lon=113&lat=27&k=0", "k"),
        ("/responders/nearest?lon=113&lat=27&by=road", "by"),
        ("/responders/nearest?lon=113&lat=27&max_seconds=60", "max_seconds"),
    ],
)
def test_a_bad_parameter_is_named(client: TestClient, path: str, name: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert [fault["name"] for fault in answer.json()["errors"]] == [name]


def test_grid_children_and_history(client: TestClient) -> None:
    assert client.get("/grids/T1").json()["properties"]["name"] == "网格T1"
    children = client.get("/grids/T1/children").json()["features"]
    assert [child["properties"]["code"] for child in children] == ["T1a", "T1b", "T1c"]
    assert len(client.get("/grids/T1a/history").json()["features"]) == 1
    assert client.get("/grids/T9").status_code == 404


def test_shapes_are_answered_in_other_datums(client: TestClient) -> None:
    for path, found in (
        ("/grids/T1?", lambda answer: answer),
        ("/grids/T1/children?", lambda answer: answer["features"][0]),
        ("/grids/T1a/history?", lambda answer: answer["features"][0]),
        ("/hotspots?res=6&format=geojson&", lambda answer: answer["features"][0]),
    ):
        there, here = (
            shapely.get_coordinates(
                shapely.from_geojson(json.dumps(found(client.get(f"{path}datum={datum}").json())["geometry"]))
            )
            for datum in ("gcj02", "wgs84")
        )
        shifted = np.column_stack(crs.from_wgs84(here[:, 0], here[:, 1], "gcj02"))
        assert np.abs(shifted - here).max() > 0.001
        np.testing.assert_allclose(there, shifted, atol=1e-7)


def test_search_reads_addresses_as_people_write_them(client: TestClient) -> None:
    exact = client.get("/grids/search", params={"q": " 小镇一路１号 "}).json()["matches"]
    assert [(one["address"], one["score"], one["chain"][0]["code"]) for one in exact] == [
        ("小镇一路1号", 1.0, "T1a")
    ]
    begun = client.get("/grids/suggest", params={"q": "小镇一路1"}).json()["suggestions"]
    assert begun == ["小镇一路1号", "小镇一路12号"]
    nothing = client.get("/grids/search", params={"q": "100%_"}).json()
    assert nothing == {"matches": [], "tied": 0, "more": False}


def test_nearest_responders(client: TestClient) -> None:
    lon, lat = town.at(0, 0)
    found = client.get("/responders/nearest", params={"lon": lon, "lat": lat, "k": 2}).json()
    assert [one["name"] for one in found["responders"]] == ["near", "middle"]
    away = crs_distance(lon, lat, *town.at(1, 1))
    assert found["responders"][0]["distance_m"] == pytest.approx(away, abs=1e-6)


def crs_distance(*place: float) -> float:
    return float(Geod(ellps="WGS84").inv(*place)[2])


def test_every_layer_tells_of_itself(client: TestClient) -> None:
    layers = {layer["name"]: layer for layer in client.get("/layers").json()}
    contract = {"grids", "buildings", "cameras", "incidents", "responders", "places", "hotspots"}
    assert contract <= layers.keys()
    assert layers["incidents"]["count"] == 300
    assert layers["cameras"]["properties"]["range_m"] == "Number"
    for name, layer in layers.items():
        document = client.get(f"/tiles/{name}.json").json()
        assert document["tilejson"] == "3.0.0"
        assert document["minzoom"] == layer["minzoom"]
        assert document["vector_layers"][0]["fields"] == layer["properties"]
        west, south, east, north = document["bounds"]
        assert west < east
        assert south < north


@pytest.mark.parametrize("layer", ["grids", "buildings", "incidents", "responders", "hotspots"])
@pytest.mark.parametrize("z", [14, 16])
def test_tiles_decode_with_stable_ids(client: TestClient, layer: str, z: int) -> None:
    x, y = _tile(*town.at(0.7, 0.7), z)
    answers = [client.get(f"/tiles/{layer}/{z}/{x}/{y}.mvt") for _ in range(2)]
    decoded = [mapbox_vector_tile.decode(answer.content) for answer in answers]
    assert decoded[0] == decoded[1]
    features = decoded[0][layer]["features"]
    ids = [feature["id"] for feature in features]
    assert ids
    assert len(set(ids)) == len(ids)
    assert all(0 < number < 2**53 for number in ids)


def test_hexagons_hold_every_value_at_every_zoom(client: TestClient) -> None:
    for z in range(5, 17):
        corners = [_tile(*town.at(*corner), z) for corner in ((-2, -2), (8, 7))]
        drawn: set[int] = set()
        for x in range(corners[0][0], corners[1][0] + 1):
            for y in range(corners[0][1], corners[1][1] + 1):
                answer = client.get(f"/tiles/hotspots/{z}/{x}/{y}.mvt")
                features = mapbox_vector_tile.decode(answer.content)["hotspots"]["features"]
                assert all(feature["properties"].keys() == {"cell"} for feature in features)
                drawn |= {feature["id"] for feature in features}
        told = client.get("/hotspots/values", params={"res": res_for_zoom(z)}).json()
        assert set(told["id"]) <= drawn, f"zoom {z}"
        assert sum(told["count"]) == told["incidents"] == 300


def test_hexagons_are_the_same_for_everybody_and_for_ever(client: TestClient) -> None:
    x, y = _tile(*town.at(2, 2), 12)
    asked = [client.get(f"/tiles/{layer}/12/{x}/{y}.mvt?from=2025-01-0{day}") for layer, day in HEXAGONS]
    decoded = [next(iter(mapbox_vector_tile.decode(answer.content).values())) for answer in asked]
    shapes = [[feature["geometry"] for feature in layer["features"]] for layer in decoded]
    assert shapes[0] == shapes[1] == shapes[2]
    assert {answer.headers["cache-control"] for answer in asked} == {"public, max-age=31536000, immutable"}


HEXAGONS = (("hotspots", 1), ("hotspots", 5), ("risk", 3))


def test_empty_tiles_and_tiles_that_are_not(client: TestClient) -> None:
    assert client.get("/tiles/grids/10/0/0.mvt").status_code == 204
    for path in ("grids/99/0/0", "grids/3/8/0", "grids/3/0/-1", "nothing/3/0/0", "roads/3/0/0"):
        answer = client.get(f"/tiles/{path}.mvt")
        assert answer.status_code == 404, path
        assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("res", cells.RESOLUTIONS)
def test_hotspots_count_every_incident(client: TestClient, res: int) -> None:
    whole = client.get("/hotspots", params={"res": res}).json()
    assert whole["incidents"] == sum(cell["count"] for cell in whole["cells"]) == 300
    assert whole["without_place"] == 0


def test_the_corner_is_hot_and_noise_is_not(client: TestClient) -> None:
    whole = client.get("/hotspots", params={"res": 9}).json()
    corner = cells.index(*(np.array([value]) for value in town.at(0.5, 0.5)), 9)
    hot = {cell["cell"] for cell in whole["cells"] if cell["significant"]}
    assert cells.to_text(corner)[0] in hot
    noise = client.get("/hotspots", params={"res": 9, "category": "0101"}).json()
    assert noise["incidents"] == 200
    assert not any(cell["significant"] for cell in noise["cells"])


def test_hotspot_filters_and_formats(client: TestClient) -> None:
    asked = {"res": 8, "category": "01", "from": "2025-01-02", "to": "2025-01-04"}
    plain = client.get("/hotspots", params=asked).json()
    assert plain["incidents"] == 96, "an hour apart: 48 of each category in two days"
    rows = list(csv.DictReader(io.StringIO(client.get("/hotspots", params=asked | {"format": "csv"}).text)))
    assert [int(row["count"]) for row in rows] == [cell["count"] for cell in plain["cells"]]
    table = pa.ipc.open_stream(client.get("/hotspots", params=asked | {"format": "arrow"}).content).read_all()
    assert table["cell"].to_pylist() == [cell["cell"] for cell in plain["cells"]]
    none = client.get("/hotspots", params={"source": "patrol", "format": "arrow"}).content
    assert pa.ipc.open_stream(none).schema.equals(table.schema), "types do not hang on what is found"
    shapes = client.get("/hotspots", params=asked | {"format": "geojson"}).json()
    assert len(shapes["features"]) == len(plain["cells"])


def test_areas_share_the_incidents_out(client: TestClient) -> None:
    parts = [client.get("/hotspots", params={"area": code, "res": 8}).json() for code in ("T1", "T2")]
    whole = client.get("/hotspots", params={"area": "T", "res": 8}).json()
    assert sum(part["incidents"] for part in parts) == whole["incidents"] > 250
    for part in [*parts, whole]:
        assert sum(cell["count"] for cell in part["cells"]) == part["incidents"]


def test_the_page_and_its_facts(client: TestClient) -> None:
    facts = client.get("/city").json()
    assert facts["synthetic"] is True
    assert facts["incidents"]["count"] == 300
    assert facts["bbox"] == [113.0, 27.0, 113.06, 27.05]
    assert [level["level"] for level in facts["levels"]] == [1, 2, 3]
    assert "text/html" in client.get("/", headers={"accept": "text/html"}).headers["content-type"]
    assert client.get("/", headers={"accept": "application/json"}).json()["links"]
    assert "//" not in client.get("/docs").text, "the documentation loads nothing from outside"
    assert [one["code"] for one in client.get("/categories").json()] == ["01", "0101", "0102", "02"]


def test_health_and_metrics(client: TestClient) -> None:
    assert client.get("/health/live").json() == {"status": "live"}
    assert client.get("/health/ready").json()["revision"] == 1
    assert "safetymap_requests_total" in client.get("/metrics").text
    assert client.get("/nowhere").headers["content-type"] == "application/problem+json"

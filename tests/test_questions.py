"""What is asked over HTTP: parameters, HEAD, exchanged coordinates, times of features."""

import threading
import time
from typing import Any

import httpx2
import pytest
import sqlalchemy as sa
import uvicorn
from fastapi.routing import APIRoute
from fastapi.testclient import TestClient
from sqlalchemy.engine import Engine
from starlette.types import Message
from structlog.testing import capture_logs

from api import access
from api.main import ROUTERS, make_app
from gis.access import Principal
from gis.cells import from_text
from gis.errors import BadInput
from tests import town

LON, LAT = town.at(0.5, 0.5)
TILE = "/tiles/grids/12/3333/1728.mvt"


@pytest.fixture(scope="module", autouse=True)
def filled(engine: Engine) -> None:
    """The drawn town with incidents, one an hour from 2025-01-01 00:00 in Shanghai."""
    with engine.begin() as conn:
        town.add_grids(conn)
        batch = town.add_city(conn)
        town.add_keeper(conn, batch, "T1a")
        town.add_incidents(conn, batch, [town.at(1 + row / 100, 1) for row in range(48)])
        town.add_building(conn, batch, "小镇一路1号", town.at(1, 1))


CELLS = [
    "600090378170794000",
    "-1",
    "1" * 17,
    "0",
    "",
    "8",
    "zz",
    "８9283082c37ffff",
    "89283082c37ffff\n",
    "1e308",
]


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("path", ["/hotspots", "/risk"])
def test_what_is_no_cell_is_refused_by_name(
    client: TestClient, public: TestClient, path: str, cell: str
) -> None:
    for asking in (client, public):
        answer = asking.get(path, params={"cell": cell, "res": 9})
        unseen = asking is public and path == "/risk"
        assert answer.status_code == (401 if unseen else 422), answer.text
        assert unseen or "cell" in {error["name"] for error in answer.json()["errors"]}


@pytest.mark.parametrize("cell", CELLS)
def test_no_text_but_a_cell_is_a_cell(cell: str) -> None:
    with pytest.raises(BadInput):
        from_text(cell)


def _paths() -> list[str]:
    values = {
        "code": "T1a", "layer": "grids", "name": "light", "z": "12", "x": "3333", "y": "1728",
        "incident_id": "1", "plan_id": "1", "number": "1",
    }  # fmt: skip
    routes = [one for router in ROUTERS for one in router.routes if isinstance(one, APIRoute)]
    return [route.path_format.format_map(values) for route in routes if "GET" in route.methods]


@pytest.mark.parametrize("path", _paths())
def test_an_unknown_parameter_is_a_400_naming_it(client: TestClient, path: str) -> None:
    answer = client.get(path, params={"foo": "1"})
    assert answer.status_code == 400, answer.text
    assert [error["name"] for error in answer.json()["errors"]] == ["foo"]


@pytest.mark.parametrize(
    ("path", "name"),
    [
        (f"/grids/at?lon={LON}&lat={LAT}&lon=1", "lon"), (f"{TILE}?category=01&category=01", "category"),
        ("/collections/grids/items?limit=1&limit=2", "limit"), ("/hotspots?res=8&Res=9", "Res"),
        ("/grids/search?q=a&q=b", "q"), ("/health/live?", ""), ("/layers?filter=&filter=", "filter"),
        ("/collections/incidents/items?foo=1", "foo"), ("/?lang=zh", "lang"),
    ],
)  # fmt: skip
def test_a_parameter_is_taken_once_and_by_its_name(client: TestClient, path: str, name: str) -> None:
    answer = client.get(path)
    assert answer.status_code == (400 if name else 200), answer.text
    assert not name or [error["name"] for error in answer.json()["errors"]] == [name]


def test_a_tile_that_is_kept_takes_no_unknown_parameter_either(client: TestClient) -> None:
    assert client.get(TILE).status_code == 200
    assert client.get(f"{TILE}?foo=1").status_code == 400
    assert client.get(f"{TILE}?foo=1").status_code == 400, "nor the second time"


def test_writes_take_no_unknown_parameter(client: TestClient) -> None:
    for path in ("/incidents?x=1", "/plans?x=1", "/incidents/1/transitions?x=1"):
        assert client.post(path, json={}).status_code == 400


HEADED = [
    TILE, "/tiles/grids.json", "/styles/light.json", "/health/live", "/health/ready", "/", "/planner",
    "/docs",
    "/openapi.json", "/app/main.js", "/metrics", f"/grids/at?lon={LON}&lat={LAT}", "/collections/grids/items",
    "/events", "/layers", "/nothing", "/tiles/grids/12/0/0.mvt", "/grids/T9", "/grids/at?lon=1",
]  # fmt: skip


@pytest.mark.parametrize("path", [path for path in HEADED if path != "/events"])
@pytest.mark.parametrize("accept", ["text/html", "application/json"])
def test_head_answers_as_get_without_a_body(client: TestClient, path: str, accept: str) -> None:
    got, headed = (client.request(how, path, headers={"Accept": accept}) for how in ("GET", "HEAD"))
    assert headed.status_code == got.status_code
    assert headed.content == b""
    unlike = {"x-request-id", "date", "cache-status", "content-length" if path == "/metrics" else ""}
    assert {n: v for n, v in headed.headers.items() if n not in unlike} == {
        n: v for n, v in got.headers.items() if n not in unlike
    }


def test_head_on_a_real_socket_logs_no_error(
    service_engine: Engine, tmp_path: Any, caplog: pytest.LogCaptureFixture
) -> None:
    app = make_app(lambda: service_engine, tmp_path)
    app.dependency_overrides[access.who] = lambda: Principal("admin", full_role="admin", may_export=True)
    setting = uvicorn.Config(app, port=0, log_config=None, timeout_graceful_shutdown=1)
    server = uvicorn.Server(setting)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        deadline = time.monotonic() + 60
        while not server.started and thread.is_alive() and time.monotonic() < deadline:
            time.sleep(0.01)
        assert server.started
        base = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
        with httpx2.Client(base_url=base, timeout=60) as asking:
            for path in dict.fromkeys([*_paths(), *HEADED]):
                assert asking.head(path).content == b"", path
    finally:
        server.should_exit = True
        thread.join()
    assert [one.getMessage() for one in caplog.records if one.levelname in {"ERROR", "CRITICAL"}] == []


def test_head_of_a_stream_ends(client: TestClient) -> None:
    answer = client.head("/events")
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["content-type"].startswith("text/event-stream")


@pytest.mark.parametrize(
    ("lon", "lat", "says"),
    [
        (27.8, 113.1, True), (LAT, LON, True), (39.3, -176.6, True), (27.0, 113.0, True),
        (-27.8, 113.1, True),
        (1.0, 2.0, False), (LON, LAT, False), (181.0, 91.0, False), (113.1, 113.2, False),
    ],
)  # fmt: skip
def test_exchanged_coordinates_are_named(client: TestClient, lon: float, lat: float, says: bool) -> None:
    answer = client.get("/grids/at", params={"lon": lon, "lat": lat})
    assert ("exchanged" in answer.text) is says
    assert answer.status_code == (
        200 if (lon, lat) == (LON, LAT) else 422 if abs(lat) > 90 or abs(lon) > 180 else 404
    )


def test_exchanged_coordinates_within_the_world_are_named(client: TestClient, engine: Engine) -> None:
    """Of a town at 30 E 20 N both orders are places."""
    with engine.begin() as conn:
        move = "UPDATE grids SET geom = ST_Translate(geom, :x, :y)"
        conn.execute(sa.text(move), {"x": -83, "y": -7})
    lon, lat = LON - 83, LAT - 7
    told = client.get("/grids/at", params={"lon": lat, "lat": lon})
    with engine.begin() as conn:
        conn.execute(sa.text(move), {"x": 83, "y": 7})
    assert told.status_code == 404
    assert "exchanged" in told.json()["detail"]


def test_a_report_with_exchanged_coordinates_is_told_so(client: TestClient) -> None:
    body = {
        "category": "0101",
        "source": "citizen",
        "occurred_at": "2025-06-01T00:00:00Z",
        "lon": LAT,
        "lat": LON,
    }
    answer = client.post("/incidents", json=body)
    assert answer.status_code == 422
    assert "exchanged" in answer.text


@pytest.mark.parametrize(
    ("datetime", "count"),
    [
        ("2025-01-01T00:00:00+08:00", 1), ("2024-12-31T16:00:00Z", 1), ("2025-01-01", 24),
        ("2025-01-01/2025-01-01", 24), ("2025-01-01/2025-01-02", 48), ("2025-01-02/..", 24),
        ("../2025-01-01", 24), ("/2025-01-01", 24),
        ("2025-01-01T00:00:00+08:00/2025-01-01T03:00:00+08:00", 4),
        ("2025-01-01T00:30:00+08:00", 0), ("../..", 48), ("2026-01-01", 0),
    ],
)  # fmt: skip
def test_incidents_are_filtered_by_datetime(client: TestClient, datetime: str, count: int) -> None:
    answer = client.get("/collections/incidents/items", params={"datetime": datetime})
    assert answer.status_code == 200, answer.text
    assert answer.json()["numberMatched"] == count


def test_datetime_and_a_period_hold_together(client: TestClient) -> None:
    asked = {"datetime": "2025-01-01", "from": "2025-01-01T12:00:00", "to": "2025-01-03"}
    assert client.get("/collections/incidents/items", params=asked).json()["numberMatched"] == 12


CRS84 = "http://www.opengis.net/def/crs/OGC/1.3/CRS84"


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        ({"datetime": "2025-13-01"}, 422), ({"datetime": "2025-01-02/2025-01-01"}, 422),
        ({"datetime": "x/y"}, 422),
        ({"datetime": "0001-01-01/.."}, 422), ({"datetime": "9999-12-31T23:59:59-14:00"}, 422),
        ({"crs": "EPSG:3857"}, 400), ({"crs": CRS84}, 200), ({"bbox-crs": "EPSG:4326"}, 400),
        ({"bbox-crs": CRS84}, 200), ({"f": "html"}, 400), ({"f": "json"}, 200), ({"bbox": "1,2,3,4,5"}, 422),
        ({"bbox": "-180,-90,0,180,90,9"}, 200), ({"bbox": "-180,-90,9,180,90,0"}, 422),
        ({"bbox": "-180,-90,nan,180,90,1"}, 422),
    ],
)  # fmt: skip
def test_parameters_of_collections_are_honoured_or_refused(
    client: TestClient, asked: dict[str, str], status: int
) -> None:
    answer = client.get("/collections/incidents/items", params=asked)
    assert answer.status_code == status, answer.text
    if status == 200:
        assert answer.json()["numberMatched"] == 48
    else:
        assert next(iter(asked)) in {error["name"] for error in answer.json()["errors"]}


def test_features_without_a_time_take_no_datetime(client: TestClient) -> None:
    for layer in ("grids", "buildings", "roads", "places", "cameras"):
        answer = client.get(f"/collections/{layer}/items", params={"datetime": "2025-01-01"})
        assert answer.status_code == 400
        assert answer.json()["errors"][0]["name"] == "datetime"


def test_a_filter_that_another_layer_does_not_know_is_refused_by_its_tiles(client: TestClient) -> None:
    grids, building = "/tiles/grids/12/3333/1728.mvt", "/tiles/{}/15/26670/13825.mvt"
    tiles = [
        (grids, "code='x'", 204), (building.format("buildings"), "code='x'", 422),
        (building.format("buildings"), "floors > 1", 204), (grids, "floors > 1", 422),
        (building.format("places"), "floors > 1", 422), (building.format("roads"), "code='x'", 422),
        (building.format("incidents"), "level = 1", 422),
    ]  # fmt: skip
    for path, text, status in (*tiles, *tiles):
        answer = client.get(path, params={"filter": text})
        assert answer.status_code == status, (path, text, answer.text)
        assert status != 422 or answer.json()["errors"][0]["name"] == "filter"


def test_a_client_can_be_generated_of_every_operation() -> None:
    """Of two models of one title, or two operations of one id, generators drop one."""
    described = make_app().openapi()
    assert described["info"]["title"].isascii()
    titles = [model.get("title", name) for name, model in described["components"]["schemas"].items()]
    ids = [one["operationId"] for path in described["paths"].values() for one in path.values()]
    assert len(set(titles)) == len(titles)
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize(
    ("body", "name"),
    [
        (b'{"lon": 113.1, "lon": 113.2, "lat": 27.0}', "lon"),
        (b'{"lon": 113.1, "\\u006con": 113.2}', "lon"),
        (b'{"a": {"b": [{"x": 1, "x": 1}]}}', "x"),
        (b'[{"occurred_at": 1, "occurred_at": 2}]', "occurred_at"),
    ],
)
def test_a_body_that_says_a_thing_twice_is_refused_by_name(
    client: TestClient, body: bytes, name: str
) -> None:
    answer = client.post("/incidents", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 422
    assert answer.json()["errors"] == [{"name": name, "reason": "comes 2 times in one object; give it once"}]


GOING = [
    ("GET", "/city"),
    ("GET", "/grids/at"),
    ("GET", "/nothing"),
    ("GET", "/layers"),
    ("HEAD", "/city"),
]


@pytest.mark.parametrize(("method", "path"), GOING)
def test_a_client_that_goes_away_is_one_quiet_line(client: TestClient, method: str, path: str) -> None:
    """Gone before its request was read to the end; the answer that is sent all the same reaches nobody."""
    scope = {
        "type": "http", "asgi": {"version": "3.0", "spec_version": "2.3"}, "http_version": "1.1",
        "method": method, "path": path, "raw_path": path.encode(), "query_string": b"", "scheme": "http",
        "headers": [(b"host", b"testserver")], "client": ("127.0.0.1", 1), "server": ("testserver", 80),
    }  # fmt: skip
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        sent.append(message)

    async def ask() -> None:
        await client.app(scope, receive, send)

    assert client.portal is not None
    with capture_logs() as lines:
        client.portal.call(ask)
    assert [(line["event"], line["log_level"], line["path"]) for line in lines] == [("request", "info", path)]
    assert lines[0]["status"] == (404 if path == "/nothing" else 499)

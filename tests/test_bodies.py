"""What requests hold is read as it is written: numbers, flags, keys; and who sees the counts of requests."""

from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy.engine import Engine

from gis.city import Declared
from tests import town

LON, LAT = town.at(0.5, 0.5)
BODY: dict[str, Any] = {
    "category": "0101", "source": "hotline", "occurred_at": "2025-06-01T08:00:00+08:00",
    "lon": LON, "lat": LAT,
}  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def filled(engine: Engine) -> None:
    with engine.begin() as conn:
        town.add_grids(conn)
        batch = town.add_city(conn)
        town.add_incidents(conn, batch, [town.at(1, 1)])


@pytest.mark.parametrize("name", ["lon", "lat", "accuracy_m"])
@pytest.mark.parametrize("value", [True, "5", " 5 ", "1e1", [5], {}])
def test_only_a_number_is_a_number_in_a_body(client: TestClient, name: str, value: Any) -> None:
    answer = client.post("/incidents", json=BODY | {name: value})
    assert answer.status_code == 422, answer.text
    assert name in {error["name"].split(".")[0] for error in answer.json()["errors"]}


@pytest.mark.parametrize(
    ("body", "name"),
    [
        ({"low": "300"}, "low"),
        ({"high": True}, "high"),
        ({"across": "yes"}, "across"),
        ({"across": 1}, "across"),
    ],
)
def test_a_suggestion_takes_numbers_and_flags_as_such(client: TestClient, body: Any, name: str) -> None:
    answer = client.post("/plans/1/suggest", json=body)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["name"] == name


@pytest.mark.parametrize("written", ["1_0", "+1", "%201", "1.0", "01", "1e0", "１"])
def test_an_id_is_written_in_one_way(client: TestClient, written: str) -> None:
    assert client.get(f"/incidents/{written}").status_code == 422
    assert client.get(f"/hotspots?res={written}").status_code == 422


@pytest.mark.parametrize("written", ["113_0.5", "+113", "%20113", "113.", ".5", "1_1e1", "inf", "１１３"])
def test_a_coordinate_is_written_as_numbers_are(client: TestClient, written: str) -> None:
    answer = client.get(f"/grids/at?lon={written}&lat=27")
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["name"] == "lon"


@pytest.mark.parametrize("written", ["113", "113.01", "1.1301e2", "-0.5"])
def test_coordinates_as_programs_write_them_are_read(client: TestClient, written: str) -> None:
    assert client.get(f"/grids/at?lon={written}&lat=27").status_code in (200, 404)


@pytest.mark.parametrize("body", ["{", '{"a":1,}', "nonsense", '{"lon":1}x', "// a"])
def test_what_is_no_json_is_told_as_the_body(client: TestClient, body: str) -> None:
    answer = client.post("/incidents", content=body, headers={"Content-Type": "application/json"})
    assert [error["name"] for error in answer.json()["errors"]] == ["body"]


def test_a_long_text_is_told_in_characters(client: TestClient) -> None:
    answer = client.post("/incidents", json=BODY | {"description": "x" * 2001})
    assert "characters" in answer.json()["detail"]
    assert "2000" in answer.json()["detail"]


def _sent(client: TestClient, key: str, content: str) -> Any:
    headers = {"Idempotency-Key": key, "Content-Type": "application/json"}
    return client.post("/incidents", content=content, headers=headers)


def test_a_key_is_one_with_and_without_quotes_and_the_body_one_in_any_order(client: TestClient) -> None:
    text = '{"category":"0101","source":"hotline","occurred_at":"2025-06-01T08:00:00+08:00",%s}'
    first = _sent(client, "once", text % f'"lon":{LON},"lat":{LAT}')
    again = _sent(client, '"once"', text % f' "lat" : {LAT},\n "lon":{LON}')
    assert (first.status_code, again.status_code) == (201, 201), again.text
    assert first.json()["id"] == again.json()["id"]
    other = _sent(client, "once", text % f'"lon":{LON},"lat":{LAT + 0.001}')
    assert other.status_code == 409
    assert other.json()["errors"][0]["name"] == "Idempotency-Key"


def test_two_keys_are_refused(client: TestClient) -> None:
    answer = client.post(
        "/incidents", json=BODY, headers=[("Idempotency-Key", "a"), ("Idempotency-Key", "b")]
    )
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["name"] == "Idempotency-Key"


SAME = [
    {"description": " 门口\r\n有人 "}, {"description": "门口\n有人"}, {"description": ""}, {"address": None},
    {"lon": LON + 1e-14}, {"datum": "cgcs2000"}, {"reported_at": None}, {"code": None},
]  # fmt: skip


@pytest.mark.parametrize("change", SAME, ids=str)
def test_one_report_in_other_words_is_one_incident(client: TestClient, change: Any) -> None:
    body = BODY | {
        "origin": "bureau", "origin_id": f"w{SAME.index(change)}", "description": "门口\n有人",
        "address": "一路1号",
        "reported_at": "2025-06-01T09:00:00+08:00", "code": f"W{SAME.index(change)}",
    }  # fmt: skip
    first = client.post("/incidents", json=body)
    again = client.post("/incidents", json=body | change)
    assert (first.status_code, again.status_code) == (201, 201), again.text
    assert first.json()["id"] == again.json()["id"]


def test_what_contradicts_is_named(client: TestClient) -> None:
    body = BODY | {"origin": "bureau", "origin_id": "contradicted"}
    assert client.post("/incidents", json=body).status_code == 201
    other = body | {"lat": LAT + 1e-6, "colour": "red", "description": "x"}
    answer = client.post("/incidents", json=other)
    assert answer.status_code == 409
    assert answer.json()["errors"][0]["name"] == "origin_id"
    assert "another colour, lon/lat, description" in answer.json()["detail"]


def test_the_public_does_not_see_reports_counted(client: TestClient, public: TestClient) -> None:
    assert client.post("/incidents", json=BODY).status_code == 201
    seen = public.get("/metrics").text
    assert 'route="/incidents' not in seen
    assert 'route="/health/live"' in seen or public.get("/health/live").status_code == 200
    assert 'route="/incidents"' in client.get("/metrics").text


@pytest.mark.parametrize("field", ["name_zh", "attribution"])
def test_a_citys_texts_are_one_line(field: str) -> None:
    values = {"code": "1", "name": "醴陵", "zone": "Asia/Shanghai"}
    with pytest.raises(ValueError, match="a line break"):
        Declared.model_validate(values | {field: "醴陵\n市"})

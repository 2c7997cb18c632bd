"""What is sent twice takes effect once: by Idempotency-Key, by origin; one refusal for any taken code."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any

import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient
from sqlalchemy.engine import Engine

from api import access
from api.main import make_app
from gis import clocks
from gis.access import Principal
from gis.schema import incidents, transitions
from gis.schema_access import idempotency_keys
from gis.schema_plans import plans
from tests import town

LON, LAT = town.at(0.5, 0.5)
BODY = {
    "category": "0101", "source": "hotline", "occurred_at": "2025-06-01T08:00:00+08:00",
    "lon": LON, "lat": LAT,
}  # fmt: skip
THREADS = 16
Ask = Callable[..., TestClient]


@pytest.fixture(scope="module", autouse=True)
def filled(engine: Engine) -> None:
    with engine.begin() as conn:
        town.add_grids(conn)
        town.add_city(conn)


@pytest.fixture(scope="module")
def ask(service_engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Ask:
    """Return clients of different callers: role, scope, key."""

    def asking(role: str = "admin", scope: str | None = None, key_id: int = 1) -> TestClient:
        app = make_app(lambda: service_engine, tmp_path_factory.mktemp("data"))
        who = Principal(role, "safety" if scope else None, scope, f"key {key_id}", key_id, full_role=role)
        app.dependency_overrides[access.who] = lambda: who
        return TestClient(app, raise_server_exceptions=False)

    return asking


def _count(engine: Engine, table: sa.Table) -> int:
    with engine.connect() as conn:
        return int(conn.execute(sa.select(sa.func.count()).select_from(table)).scalar_one())


@pytest.mark.parametrize("how", ["header", "origin", "both"])
def test_sixteen_at_once_make_one_incident(ask: Ask, engine: Engine, how: str) -> None:
    client, before = ask(), _count(engine, incidents)
    headers = {"Idempotency-Key": f"at once {how}"} if how != "origin" else {}
    body = BODY | ({"origin": "12345", "origin_id": f"at once {how}"} if how != "header" else {})
    with ThreadPoolExecutor(THREADS) as pool:
        sent = [pool.submit(client.post, "/incidents", json=body, headers=headers) for _ in range(THREADS)]
        answers = [one.result() for one in sent]
    assert {answer.status_code for answer in answers} == {201}, answers[0].text
    assert len({answer.headers["location"] for answer in answers}) == 1
    assert len({answer.text for answer in answers}) == 1
    assert _count(engine, incidents) == before + 1


def test_sixteen_callers_of_one_source_make_one_incident(ask: Ask, engine: Engine) -> None:
    clients, before = [ask(key_id=n) for n in range(THREADS)], _count(engine, incidents)
    body = BODY | {"origin": "cad", "origin_id": "callers"}
    # Each app makes its route at the first request, and what it makes is not safe between threads.
    assert {client.post("/incidents", json={}).status_code for client in clients} == {422}
    with ThreadPoolExecutor(THREADS) as pool:
        answers = list(pool.map(lambda client: client.post("/incidents", json=body), clients))
    assert {answer.status_code for answer in answers} == {201}
    assert _count(engine, incidents) == before + 1


@pytest.mark.parametrize("origin", ["cad 7 ", "ｃad 7", "cad\u200b 7", "\ufeffcad 7"])
def test_an_origin_is_what_is_seen_of_it(ask: Ask, origin: str) -> None:
    named = BODY | {"origin_id": "seen"}
    first, again = (ask().post("/incidents", json=named | {"origin": one}) for one in ("cad 7", origin))
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.json()["id"] == again.json()["id"]


def test_an_empty_key_is_refused(ask: Ask) -> None:
    answer = ask().post("/incidents", json=BODY, headers={"Idempotency-Key": ""})
    assert (answer.status_code, answer.json()["errors"][0]["name"]) == (422, "idempotency-key")


@pytest.mark.parametrize("word", ["NULL", "-", "#N/A", "n/a", "暂无"])
@pytest.mark.parametrize("field", ["code", "origin_id", "origin"])
def test_a_word_for_nothing_is_no_code(ask: Ask, field: str, word: str) -> None:
    answer = ask().post("/incidents", json=BODY | {field: word})
    assert answer.status_code == 422
    (fault,) = answer.json()["errors"]
    assert fault == {
        "name": field, "reason": f"{word!r} is a word for nothing; write a code, or leave the field out",
    }  # fmt: skip


@pytest.mark.parametrize(
    "change",
    [{"lat": LAT + 1e-6}, {"category": "0102"}, {"description": "x"}, {"colour": "red"}, {"code": "C1"}],
)
def test_a_key_that_comes_with_another_body_is_refused(ask: Ask, change: dict[str, Any]) -> None:
    key, client = f"other {change}", ask()
    first = client.post("/incidents", json=BODY, headers={"Idempotency-Key": key})
    again = client.post("/incidents", json=BODY | change, headers={"Idempotency-Key": key})
    assert (first.status_code, again.status_code) == (201, 409)
    named = {"origin": "cad", "origin_id": key}
    first, again = (client.post("/incidents", json=body | named) for body in (BODY, BODY | change))
    assert (first.status_code, again.status_code) == (201, 409)


def test_one_moment_in_another_zone_is_the_same_report(ask: Ask) -> None:
    named = {"origin": "cad", "origin_id": "zones"}
    there, here = ("2025-06-01T08:00:00+08:00", "2025-06-01T00:00:00Z")
    sent = [ask().post("/incidents", json=BODY | named | {"occurred_at": at}) for at in (there, here)]
    assert [one.status_code for one in sent] == [201, 201]
    assert sent[0].json()["id"] == sent[1].json()["id"]


def test_a_report_that_was_worked_on_since_is_still_known(ask: Ask) -> None:
    client, body = ask(), BODY | {"origin": "cad", "origin_id": "worked on"}
    made = client.post("/incidents", json=body).json()["id"]
    assert client.post(f"/incidents/{made}/transitions", json={"to": "dispatched"}).status_code == 200
    again = client.post("/incidents", json=body)
    assert (again.status_code, again.json()["id"]) == (201, made)
    assert again.json()["properties"]["state"] == "dispatched"


def test_keys_are_each_callers_own(ask: Ask, engine: Engine) -> None:
    before = _count(engine, incidents)
    for caller in (1, 2):
        sent = ask(key_id=caller).post("/incidents", json=BODY, headers={"Idempotency-Key": "own"})
        assert sent.status_code == 201
    assert _count(engine, incidents) == before + 2


def test_a_key_of_a_request_that_failed_may_come_again(ask: Ask) -> None:
    client, headers = ask(), {"Idempotency-Key": "failed"}
    assert client.post("/incidents", json=BODY | {"category": "99"}, headers=headers).status_code == 422
    assert client.post("/incidents", json=BODY, headers=headers).status_code == 201


def test_keys_are_forgotten_after_a_day(ask: Ask, engine: Engine) -> None:
    client, headers = ask(), {"Idempotency-Key": "old"}
    first = client.post("/incidents", json=BODY, headers=headers).headers["location"]
    with engine.begin() as conn:
        conn.execute(idempotency_keys.update().values(made_at=sa.text("now() - interval '25 hours'")))
    assert client.post("/incidents", json=BODY, headers=headers).headers["location"] != first


def test_steps_and_plans_are_made_once(ask: Ask, engine: Engine) -> None:
    client = ask()
    made = client.post("/incidents", json=BODY).json()["id"]
    for n in range(2):
        moved = client.post(
            f"/incidents/{made}/transitions", json={"to": "dispatched"}, headers={"Idempotency-Key": "move"}
        )
        assert moved.status_code == 200
        assert ("idempotency-replayed" in moved.headers) is (n == 1)
    with engine.connect() as conn:
        steps = conn.execute(sa.select(transitions).where(transitions.c.incident_id == made)).all()
    assert len(steps) == 2
    before = _count(engine, plans)
    body = {"scope": "T1", "title": "once", "effective_on": "2030-01-01"}
    with ThreadPoolExecutor(4) as pool:
        headers = {"Idempotency-Key": "plan"}
        sent = [pool.submit(client.post, "/plans", json=body, headers=headers) for _ in range(4)]
    assert {one.result().status_code for one in sent} == {201}, sent[0].result().text
    assert len({one.result().json()["id"] for one in sent}) == 1
    assert _count(engine, plans) == before + 1
    plan = sent[0].result().json()["id"]
    step = {"op": "rename", "code": "T1a", "name": "新名"}
    taken = [
        client.post(f"/plans/{plan}/steps", json=step, headers={"Idempotency-Key": "s"}) for _ in range(2)
    ]
    assert [one.status_code for one in taken] == [200, 200], taken[0].text
    assert taken[0].text == taken[1].text
    assert len(client.get(f"/plans/{plan}/steps").json()["steps"]) == 1


def test_one_refusal_for_any_taken_code(ask: Ask) -> None:
    """Of a code in a foreign scope nothing is learned that a code of one's own scope would not tell."""
    whole, scoped = ask(), ask("field", "T1")
    assert whole.post("/incidents", json=BODY | {"code": "OURS"}).status_code == 201
    away = dict(zip(("lon", "lat"), town.at(1, 4.5), strict=True))
    assert whole.post("/incidents", json=BODY | away | {"code": "THEIRS"}).status_code == 201
    refused = [scoped.post("/incidents", json=BODY | {"code": code}) for code in ("OURS", "THEIRS")]
    assert [one.status_code for one in refused] == [422, 422]
    assert refused[0].json() == refused[1].json()
    assert refused[0].json()["errors"][0]["name"] == "code"
    named = {"origin": "cad", "origin_id": "foreign"}
    assert whole.post("/incidents", json=BODY | away | named).status_code == 201
    foreign = scoped.post("/incidents", json=BODY | named)
    assert foreign.status_code == 422
    assert foreign.json()["errors"][0]["name"] == "origin_id"


@pytest.mark.parametrize("sign", ["-", "@", "=", "+", "=HYPERLINK(1)", "-2+3 cmd|' /C calc'!A0", "#N/A", "'"])
def test_a_description_may_begin_with_any_sign(ask: Ask, sign: str) -> None:
    text = f"{sign} 门口有人"
    sent = ask().post("/incidents", json=BODY | {"description": text, "address": text})
    assert sent.status_code == 201, sent.text
    told = sent.json()["properties"]
    assert (told["description"], told["address"]) == (text.strip(), text.strip())


def _line(*places: tuple[float, float]) -> dict[str, Any]:
    return {"type": "LineString", "coordinates": [town.at(*place) for place in places]}


def test_every_post_that_changes_takes_a_key() -> None:
    """A login is no creation: its answer is a cookie, and a second one harms nobody; so a demo's link."""
    paths = make_app().openapi()["paths"]
    posts = {path: one["post"] for path, one in paths.items() if "post" in one}
    takes = {
        path
        for path, one in posts.items()
        if any(each["name"].lower() == "idempotency-key" for each in one.get("parameters", []))
    }
    assert set(posts) - takes == {"/session", "/session/demo"}


def test_steps_and_decisions_sent_twice_take_effect_once(ask: Ask) -> None:
    """Undo and redo once each, and each decision, which a second time would be refused (409)."""
    client = ask()
    plan = client.post("/plans", json={"scope": "T", "title": "twice"}).json()["id"]
    heads, told = [], {}
    for column in (1, 1.5):
        line = _line((column, -1), (column, 6))
        step = client.post(f"/plans/{plan}/steps", json={"op": "split", "code": "T1a", "line": line})
        assert step.status_code == 200, step.text
        heads.append(step.json()["plan"]["head"])
    for op in ("undo", "redo", "submit", "reopen"):
        headers = {"Idempotency-Key": f"{op} {plan}"}
        sent = [client.post(f"/plans/{plan}/{op}", headers=headers) for _ in range(2)]
        assert [one.status_code for one in sent] == [200, 200], (op, sent[1].text)
        assert sent[0].text == sent[1].text
        assert sent[1].headers["Idempotency-Replayed"] == "true"
        told[op] = sent[0].json()
    assert [told[op]["plan"]["head"] for op in ("undo", "redo")] == heads


def test_a_correction_sent_twice_is_one(ask: Ask, engine: Engine) -> None:
    client = ask()
    made = client.post("/incidents", json=BODY).json()["id"]
    step = client.post(f"/incidents/{made}/transitions", json={"to": "dispatched"}).json()
    last = step["properties"]["transitions"][-1]["id"]
    before = _count(engine, transitions)
    sent = [
        client.post(
            f"/incidents/{made}/transitions/{last}/correction",
            json={"note": "was another"},
            headers={"Idempotency-Key": "correction"},
        )
        for _ in range(2)
    ]
    assert [one.status_code for one in sent] == [200, 200], sent[0].text
    assert sent[0].text == sent[1].text
    assert _count(engine, transitions) == before + 1


def test_a_report_of_an_imported_incident_is_that_incident(ask: Ask, engine: Engine) -> None:
    """As an import leaves it, without the hash of a report: told equal it is known, otherwise refused."""
    client, body = ask(), BODY | {"origin": "bureau", "origin_id": "imported", "description": "门口"}
    made = client.post("/incidents", json=body).json()["id"]
    with engine.begin() as conn:
        conn.execute(incidents.update().where(incidents.c.id == made).values(report_hash=None))
    again = client.post("/incidents", json=body)
    assert (again.status_code, again.json()["id"]) == (201, made)
    for change in ({"lat": LAT + 1e-6}, {"category": "0102"}, {"description": "x"}, {"colour": "red"}):
        assert client.post("/incidents", json=body | change).status_code == 409, change


LEFT_OUT = ("description", "accuracy_m", "reported_at", "recorded_grid", "address", "colour")
SAID = {
    "description": "门口", "accuracy_m": 5, "reported_at": "2025-06-01T08:10:00+08:00",
    "recorded_grid": "T1a",
    "address": "一路1号", "colour": "yellow",
}  # fmt: skip


@pytest.mark.parametrize("name", LEFT_OUT)
def test_what_a_report_of_an_imported_incident_leaves_out_contradicts_nothing(
    ask: Ask, engine: Engine, name: str
) -> None:
    client, body = ask(), BODY | SAID | {"origin": "bureau", "origin_id": f"without {name}"}
    made = client.post("/incidents", json=body).json()["id"]
    with engine.begin() as conn:
        conn.execute(incidents.update().where(incidents.c.id == made).values(report_hash=None))
    for short in ({key: value for key, value in body.items() if key != name}, body | {name: None}):
        again = client.post("/incidents", json=short)
        assert (again.status_code, again.json().get("id")) == (201, made), again.text
    bare = BODY | {"origin": "bureau", "origin_id": f"without {name}"}
    assert client.post("/incidents", json=bare).json()["id"] == made
    other = {"accuracy_m": 6, "reported_at": "2025-06-01T08:11:00+08:00", "colour": "red"}
    differing = client.post("/incidents", json=body | {name: other.get(name, "T1b")})
    assert differing.status_code == 409, differing.text


LOCAL = ["2025-06-01T08:00", "2025-06-01T08:00:00", "2025-06-01T08:00:00.000"]
ZONED = [
    "2025-06-01T08:00:00+08:00",
    "2025-06-01T00:00Z",
    "2025-05-31T19:00:00-05:00",
    "2025-06-01t00:00:00z",
]


@pytest.mark.parametrize("first", [LOCAL[0], ZONED[1]])
@pytest.mark.parametrize("name", ["occurred_at", "reported_at"])
def test_a_time_without_a_zone_is_the_citys_in_a_report_sent_again(ask: Ask, first: str, name: str) -> None:
    client, body = ask(), BODY | {"origin": "zones", "origin_id": f"{first} {name}"}
    made = client.post("/incidents", json=body | {name: first}).json()["id"]
    for spelling in LOCAL + ZONED:
        again = client.post("/incidents", json=body | {name: spelling})
        assert (again.status_code, again.json().get("id")) == (201, made), (spelling, again.text)
    later = client.post("/incidents", json=body | {name: "2025-06-01T08:00:01"})
    assert later.status_code == 409


@pytest.mark.parametrize(
    ("times", "moments"),
    [
        (("1986-09-14T00:30", "1986-09-14T00:20"), ("1986-09-13T15:30Z", "1986-09-13T15:20Z")),
        (("1986-09-14T01:40", "1986-09-14T01:20"), ("1986-09-13T16:40Z", "1986-09-13T17:20Z")),
    ],
)
def test_of_two_moments_that_look_alike_a_report_means_the_one_in_order(
    engine: Engine, times: tuple[str, str], moments: tuple[str, str]
) -> None:
    with engine.connect() as conn:
        read = clocks.moments(conn, *map(datetime.fromisoformat, times))
    assert read == [datetime.fromisoformat(one) for one in moments]


@pytest.mark.parametrize("name", ["code", "origin_id", "origin", "category", "recorded_grid"])
@pytest.mark.parametrize("word", ["NULL", "-", "#N/A", "nan", "无", "\u200b"])
def test_a_word_for_nothing_is_told_as_it_was_sent(ask: Ask, name: str, word: str) -> None:
    told = ask().post("/incidents", json=BODY | {name: word})
    assert told.status_code == 422
    assert [fault["name"] for fault in told.json()["errors"]] == [name]
    reason = told.json()["errors"][0]["reason"]
    assert "mapping" not in reason
    assert "Value error" not in told.text
    assert repr(word) in reason or "nothing that can be seen" in reason


@pytest.mark.parametrize(
    ("sent", "words"),
    [
        ({"reported_at": "2025-06-01T07:59:00+08:00"}, ["reported_at: ", "is before occurred_at"]),
        ({"occurred_at": "2025-06-01T10:30:60Z"}, ["occurred_at: ", "'2025-06-01T10:30:60Z'"]),
        ({"occurred_at": "2025-02-30T10:30:00Z"}, ["occurred_at: ", "'2025-02-30T10:30:00Z'"]),
        ({"reported_at": "2025-06-01"}, ["reported_at: ", "'2025-06-01'"]),
        ({"reported_at": 17}, ["reported_at: 17 is no RFC 3339 time"]),
        ({"occurred_at": "0001-01-01T00:00:00+08:00", "origin_id": "early"}, ["occurred_at: "]),
        ({"occurred_at": "9999-12-31T23:59:59", "origin_id": "late"}, ["occurred_at: "]),
    ],
)
def test_a_refused_time_is_shown_and_its_reason_names_what_it_contradicts(
    ask: Ask, sent: dict[str, Any], words: list[str]
) -> None:
    told = ask().post("/incidents", json=BODY | sent)
    assert told.status_code == 422
    assert all(word in told.json()["detail"] for word in words), told.text
    assert "Value error" not in told.text

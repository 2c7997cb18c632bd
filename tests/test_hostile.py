"""Hostile inputs: each is answered with a clear refusal, never with an error of ours."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from fastapi.testclient import TestClient
from sqlalchemy.engine import Engine

from api.main import make_app
from gis import access
from tests import town

INJECTIONS = (
    "' OR 1=1 --", "'; DROP TABLE grids; --", "1 UNION SELECT hash FROM access_keys",
    "$$;SELECT pg_sleep(9)$$", "\\", "%", "_%", "%s%n", "{0}", "${jndi:ldap://x}",
    "<script>alert(1)</script>", "../../../etc/passwd", "..%2f..%2fetc%2fpasswd",
    "/vsicurl/http://127.0.0.1/", "file:///etc/passwd", "\u202egnp.exe", "ﷺ" * 40, "\x00", "a\x00b",
    "\ud7ff\uffff", "İı", "T1\n", "t" * 5000, "网" * 2000, "😀", "NaN", "-Infinity", "1e999", "0x10",
    "١٢٣", "null", "undefined", "true", "[]", "{}", "-1", "9" * 400, "1;2", "a&b=c", "#", " ", "",
)  # fmt: skip
"""SQL, paths, formats, Unicode, numbers that are none."""
TEXTS = (
    "/grids/search?q={}", "/grids/suggest?q={}", "/hotspots?category={}", "/hotspots?area={}",
    "/hotspots?from={}", "/hotspots?to={}", "/hotspots?source={}", "/hotspots?res={}",
    "/hotspots?format={}", "/layers?scheme={}", "/grids/{}", "/grids/{}/children", "/grids/{}/history",
    "/grids/at?lon={}&lat=27", "/grids/at?lon=113&lat={}", "/grids/at?lon=113.01&lat=27.01&on={}",
    "/grids/at?lon=113.01&lat=27.01&known={}", "/grids/at?lon=113.01&lat=27.01&datum={}",
    "/responders/nearest?lon=113&lat=27&kind={}", "/responders/nearest?lon=113&lat=27&skill={}",
    "/responders/nearest?lon=113&lat=27&k={}", "/tiles/{}/14/1/1.mvt", "/tiles/grids/{}/1/1.mvt",
    "/tiles/grids/14/{}/1.mvt", "/tiles/{}.json", "/styles/{}.json", "/app/{}", "/vendor/maplibre-gl/{}",
    "/incidents/{}",
)  # fmt: skip
"""Every place where a caller's text goes in."""


@pytest.fixture(scope="module", autouse=True)
def settled(engine: Engine) -> None:
    with engine.begin() as conn:
        town.add_grids(conn)
        batch = town.add_city(conn)
        town.add_incidents(conn, batch, [town.at(1, 1)] * 7)
        town.add_responders(conn, batch, {"near": town.at(1, 1)})


@pytest.mark.parametrize("path", TEXTS)
def test_hostile_texts_are_refused_or_find_nothing(client: TestClient, path: str) -> None:
    for text in INJECTIONS:
        answer = client.get(path.format(quote(text, safe="")))
        assert answer.status_code < 500, (text, answer.text)
        assert "psycopg" not in answer.text
        assert "Traceback" not in answer.text
        assert b"root:" not in answer.content
        if answer.status_code >= 400:
            assert answer.headers["content-type"] == "application/problem+json", text
            assert answer.json()["detail"]


def test_a_zero_byte_is_named(client: TestClient) -> None:
    told = client.get("/responders/nearest?lon=113&lat=27&kind=a%00b").json()
    assert [fault["name"] for fault in told["errors"]] == ["kind"]


@pytest.mark.parametrize("text", ["a\0b", "\ud800", "a\udfff"])
@pytest.mark.parametrize(
    ("path", "name"),
    [("/incidents", "description"), ("/plans", "title"), ("/letters", "grid"), ("/plans/1/steps", "line")],
)
def test_a_text_in_a_body_that_cannot_be_stored_is_named(
    client: TestClient, path: str, name: str, text: str
) -> None:
    for value in (text, [{"deep": [text]}], {text: 1}):
        body = json.dumps({name: value}).encode()  # in ASCII: the client encodes no half characters
        answer = client.post(path, content=body, headers={"Content-Type": "application/json"})
        assert answer.status_code == 422
        assert [fault["name"] for fault in answer.json()["errors"]] == [name]


def test_a_pair_of_surrogates_is_a_character(client: TestClient) -> None:
    answer = client.post("/session", content=b'{"key": "\\ud83d\\ude00"}')
    assert "surrogate" not in answer.text


def test_nothing_was_dropped_meanwhile(client: TestClient) -> None:
    assert client.get("/hotspots").json()["incidents"] == 7
    assert client.get("/grids/T").status_code == 200


BODIES: dict[str, tuple[bytes, str]] = {
    "not json": (b"{", "application/json"),
    "deep nesting": (b"[" * 100_000 + b"]" * 100_000, "application/json"),
    "deep objects": (b'{"key":' * 50_000 + b"1" + b"}" * 50_000, "application/json"),
    "not a number": (b'{"lon": NaN, "lat": Infinity}', "application/json"),
    "huge number": (b'{"lon": ' + b"9" * 10_000 + b"}", "application/json"),
    "same key often": (b"{" + b'"key":"a",' * 50_000 + b'"key":"b"}', "application/json"),
    "half a surrogate": (b'{"key": "\\ud800"}', "application/json"),
    "zero byte": (b'{"key": "a\\u0000b"}', "application/json"),
    "bad utf-8": (b'{"key": "\xff\xfe"}', "application/json"),
    "utf-7": ("{}".encode("utf-7"), "application/json; charset=utf-7"),
    "list": (b"[]", "application/json"),
    "null": (b"null", "application/json"),
    "empty": (b"", "application/json"),
    "long text": (b'{"key": "' + b"x" * 1_000_000 + b'"}', "application/json"),
    "form": (b"key=a", "application/x-www-form-urlencoded"),
    "multipart without end": (b"--x\r\nContent-Disposition: form-data", "multipart/form-data; boundary=x"),
    "xml with an entity": (
        b'<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><a>&b;</a>', "application/xml",
    ),
    "csv": (b"id,lon,lat\n=cmd|' /C calc'!A0,1,1\n", "text/csv"),
}  # fmt: skip


@pytest.mark.parametrize("name", BODIES)
@pytest.mark.parametrize("path", ["/session", "/incidents", "/incidents/1/transitions"])
def test_hostile_bodies_are_refused(client: TestClient, path: str, name: str) -> None:
    content, kind = BODIES[name]
    answer = client.post(path, content=content, headers={"Content-Type": kind})
    assert 400 <= answer.status_code < 500, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert len(answer.content) < 20_000


HEADERS: dict[str, dict[str, bytes]] = {
    "header injection": {"X-Request-Id": b"a\tb"},
    "huge cookie": {"Cookie": b"safetymap=" + b"x" * 100_000},
    "many cookies": {"Cookie": b"; ".join(b"safetymap=%d" % n for n in range(1000))},
    "another host": {"Host": b"evil.example"},
    "no host's name": {"Host": b"a b<c>"},
    "a body that is none": {"Content-Length": b"-5"},
    "odd ranges": {"Range": b"bytes=" + b"0-1," * 2000},
    "odd languages": {"Accept-Language": b"zh;q=" + b"9" * 5000},
    "odd encodings": {"Accept-Encoding": b"gzip;q=nan, \xff"},
    "forwarded": {"X-Forwarded-For": b"127.0.0.1, ::1", "Forwarded": b"for=127.0.0.1"},
    "override": {"X-HTTP-Method-Override": b"DELETE"},
    "etag": {"If-None-Match": b'"' + b"a" * 10_000},
}


@pytest.mark.parametrize("name", HEADERS)
@pytest.mark.parametrize("path", ["/", "/city", "/session", "/tiles/grids/14/13334/6906.mvt", "/app/main.js"])
def test_hostile_headers_change_nothing(client: TestClient, path: str, name: str) -> None:
    assert client.get(path, headers=HEADERS[name]).status_code < 500  # type: ignore[arg-type]


def test_another_method_is_no_way_in(client: TestClient) -> None:
    for method in ("PUT", "PATCH", "DELETE", "TRACE", "CONNECT", "PROPFIND", "X" * 100):
        answer = client.request(method, "/grids/T1")
        assert answer.status_code == 405
        assert answer.headers["content-type"] == "application/problem+json"


def _resident_mb() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") >> 20


@pytest.mark.slow
def test_hostile_inputs_do_not_grow_the_service(client: TestClient) -> None:
    """Everything hostile, thirty times over, in the service's own process."""
    before = _resident_mb()
    for _ in range(30):
        for content, kind in BODIES.values():
            for path in ("/session", "/incidents"):
                client.post(path, content=content, headers={"Content-Type": kind})
        for headers in HEADERS.values():
            client.get("/city", headers=headers)  # type: ignore[arg-type]
        for text in INJECTIONS:
            client.get(f"/grids/{quote(text, safe='')}")
    assert _resident_mb() - before < 256


@pytest.fixture
def stranger(service_engine: Engine, tmp_path: Path) -> Iterator[TestClient]:
    with TestClient(make_app(lambda: service_engine, tmp_path), raise_server_exceptions=False) as made:
        yield made


@pytest.mark.parametrize("text", INJECTIONS)
def test_hostile_keys_are_nobody_s(stranger: TestClient, text: str) -> None:
    sent = f"Bearer {text}".encode("utf-8", "surrogatepass").replace(b"\n", b"").replace(b"\x00", b"\x01")
    assert stranger.get("/city", headers={"Authorization": sent}).status_code == 401  # type: ignore[dict-item]
    answer = stranger.post("/session", json={"key": text, "code": "000000"})
    assert answer.status_code in {401, 422, 429}


def test_asking_twice_for_the_same_thing_is_no_way_in(stranger: TestClient, engine: Engine) -> None:
    with engine.begin() as conn:
        key = access.create_key(conn, "field", scheme="safety", label="").key
    both = [("Authorization", f"Bearer {key}"), ("Authorization", "Bearer smk_wrong")]
    assert stranger.get("/city", headers=both).status_code in {200, 401}
    assert stranger.get("/tiles/cameras/14/13334/6906.mvt", headers=both).status_code in {401, 403}
    assert stranger.get("/hotspots?res=8&res=9", headers=both).status_code < 500


def test_a_failure_of_ours_tells_no_keys(
    service_engine: Engine, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Neither to the caller nor in the log, whose lines many may read."""
    app = make_app(lambda: service_engine, tmp_path)

    def boom(token: str) -> None:
        raise RuntimeError(f"inner workings, {len(token)}")

    app.get("/boom", openapi_extra={"x-audience": "public"})(boom)
    with TestClient(app, raise_server_exceptions=False, cookies={"safetymap": "cookie-secret"}) as client:
        answer = client.get("/boom?token=query-is-logged")
    assert answer.status_code == 500
    assert "inner workings" not in answer.text
    log = capfd.readouterr().err
    assert "inner workings" in log
    assert "cookie-secret" not in log

"""The demo's log-ins: for its flag, in demo mode, on this machine, by a link that serves once."""

import json
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import sqlalchemy as sa
from fastapi import FastAPI
from fastapi.testclient import TestClient
from playwright.sync_api import Browser, expect
from sqlalchemy.engine import Engine
from typer.testing import CliRunner

from api import cli, demo_access
from api.demo_access import DemoAccess
from api.main import make_app
from gis import demo_keys, loading, login_failures
from gis.errors import NotReady, Unknown
from gis.schema import city
from gis.schema_access import ROLES, access_keys
from gis.settings import settings
from tests import town
from tests.browsing import DRAWN, serving, until, window

HERE = "http://127.0.0.1"
ADDRESS = "http://127.0.0.1:8000"
LOOPBACK = ("127.0.0.1", 5)
expect.set_options(timeout=60_000)


@pytest.fixture(autouse=True)
def unbegun(engine: Engine) -> None:
    """Each test has a data directory of its own, with a key of its own: the audit begins with it."""
    with engine.begin() as conn:
        conn.execute(sa.text("TRUNCATE audit, audit_heads"))


@pytest.fixture(scope="module", autouse=True)
def keys(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The keys of a demo over the town, by label."""
    with engine.begin() as conn:
        town.furnish(conn, [(0.5, 0.5)])
        conn.execute(city.update().values(demo=True))
        written: dict[str, str] = json.loads(
            demo_keys.ensure(conn, tmp_path_factory.mktemp("keys")).read_text()
        )
        return written


@pytest.fixture(autouse=True)
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every key is tried in vain from one address: here that costs no wait."""
    monkeypatch.setattr(login_failures, "FROM_ADDRESS", login_failures.Patience(100, 100, 1))


@pytest.fixture
def links(tmp_path: Path) -> Iterator[DemoAccess]:
    begun = DemoAccess(tmp_path)
    with begun.begun(ADDRESS):
        yield begun


@pytest.fixture
def app(service_engine: Engine, links: DemoAccess, tmp_path: Path) -> FastAPI:
    """The service in demo mode."""
    made = make_app(lambda: service_engine, tmp_path)
    made.state.demo = links
    return made


@pytest.fixture
def here(app: FastAPI) -> Iterator[TestClient]:
    """A browser on this machine."""
    with TestClient(app, HERE, client=LOOPBACK) as made:
        yield made


def token(link: str) -> str:
    address, _, found = link.partition(f"#{demo_access.FRAGMENT}=")
    assert address == f"{ADDRESS}/"
    assert not urlsplit(link).query, "no server is sent it, no log holds it"
    return found


def test_a_link_opens_the_log_ins_of_one_browser_once(
    app: FastAPI, here: TestClient, links: DemoAccess, keys: dict[str, str]
) -> None:
    assert set(ROLES[1:]) | {"commander:T1", "commander:T2"} == set(keys)
    closed = here.get("/session/demo")
    assert closed.status_code == 401
    assert "safetymap demo-link" in closed.json()["detail"]
    assert here.post("/session", json={"demo": "admin"}).status_code == 401
    serves_once = token(links.link())
    opened = here.post("/session/demo", json={"token": serves_once})
    assert opened.status_code == 204
    assert {"HttpOnly", "SameSite=strict"} <= set(opened.headers["set-cookie"].split("; "))
    assert {one["label"] for one in here.get("/session/demo").json()} == set(keys)
    assert here.post("/session", json={"demo": "commander:T1"}).json()["scope"] == "T1"
    other = TestClient(app, HERE, client=LOOPBACK)
    again = other.post("/session/demo", json={"token": serves_once})
    assert (again.status_code, "used already" in again.json()["detail"]) == (401, True)
    assert other.post("/session", json={"demo": "commander:T1"}).status_code == 401
    assert other.post("/session/demo", json={"token": token(links.link())}).status_code == 204
    assert other.post("/session", json={"demo": "admin"}).json()["role"] == "admin"


@pytest.mark.parametrize("guess", ["x", "../address", "..", "a/b", "\u0000", "é" * 60])
def test_a_token_that_was_never_made_opens_nothing(here: TestClient, guess: str) -> None:
    assert here.post("/session/demo", json={"token": guess}).status_code in {401, 422}
    assert here.get("/session/demo", headers={"Cookie": "safetymap-demo=../address"}).status_code == 401


PROXIES: tuple[dict[str, str], ...] = (
    {},
    {"Connection": "close"},
    {"X-Forwarded-For": "203.0.113.9"},
    {"X-Forwarded-For": "127.0.0.1"},
    {"X-Real-IP": "127.0.0.1"},
    {"X-Forwarded-Proto": "https"},
    {"X-Forwarded-Host": "127.0.0.1"},
    {"Forwarded": "for=127.0.0.1;host=127.0.0.1"},
    {"Via": "1.1 Caddy"},
)
"""What proxies on the same machine send by default; nginx, without a setting, nothing that tells of it."""


@pytest.mark.parametrize("headers", PROXIES)
def test_a_proxy_on_this_machine_opens_nothing(here: TestClient, headers: dict[str, str]) -> None:
    for answer in (
        here.get("/session/demo", headers=headers),
        here.post("/session", json={"demo": "admin"}, headers=headers),
        here.post("/session/demo", json={"token": "guessed"}, headers=headers),
    ):
        assert answer.status_code == (404 if set(headers) - {"Connection"} else 401)
    assert here.get("/session").json()["role"] == "public"


@pytest.mark.parametrize("headers", PROXIES[2:])
def test_not_even_who_holds_keys_and_links_comes_through_a_proxy_that_tells(
    here: TestClient, links: DemoAccess, keys: dict[str, str], headers: dict[str, str]
) -> None:
    bearer = {"Authorization": f"Bearer {keys['admin']}"}
    assert here.get("/session", headers=bearer).json()["role"] == "admin"
    assert here.get("/session", headers=bearer | headers).status_code == 401
    assert here.post("/session", json={"key": keys["admin"]}, headers=headers).status_code == 401
    here.post("/session/demo", json={"token": token(links.link())})
    assert here.post("/session", json={"demo": "admin"}, headers=headers).status_code == 404
    assert here.post("/session", json={"demo": "admin"}).status_code == 201
    assert here.get("/session", headers=headers).json()["role"] == "public", "nor does the session"


@pytest.mark.parametrize(
    ("base", "client"),
    [
        (HERE, ("192.0.2.1", 5)),
        ("http://evil.example", LOOPBACK),
        ("http://127.0.0.1.evil.example", LOOPBACK),
    ],
)
def test_other_machines_and_rebound_names_get_nothing(
    app: FastAPI, links: DemoAccess, keys: dict[str, str], base: str, client: tuple[str, int]
) -> None:
    with TestClient(app, base, client=client) as elsewhere:
        opening = token(links.link())
        assert elsewhere.get("/session/demo").status_code == 404
        assert elsewhere.post("/session/demo", json={"token": opening}).status_code == 404
        assert elsewhere.post("/session", json={"demo": "admin"}).status_code == 404
        for key in keys.values():
            bearer = {"Authorization": f"Bearer {key}"}
            assert elsewhere.get("/session", headers=bearer).status_code == 401
            assert elsewhere.post("/session", json={"key": key}).status_code == 401
    assert links.open(opening), "it was not used up"


def test_without_demo_mode_the_keys_of_a_demo_do_not_hold(
    app: FastAPI, here: TestClient, keys: dict[str, str]
) -> None:
    app.state.demo = None
    assert here.get("/session/demo").json() == []
    assert here.post("/session/demo", json={"token": "x"}).status_code == 404
    for label, key in keys.items():
        assert here.post("/session", json={"demo": label}).status_code == 422
        assert here.post("/session", json={"key": key}).status_code == 401
        assert here.get("/session", headers={"Authorization": f"Bearer {key}"}).status_code == 401


def test_a_city_that_is_no_demo_any_more_offers_none(
    here: TestClient, links: DemoAccess, engine: Engine
) -> None:
    here.post("/session/demo", json={"token": token(links.link())})
    with engine.begin() as conn:
        conn.execute(city.update().values(demo=False))
    try:
        assert here.get("/session/demo").json() == []
        assert here.post("/session", json={"demo": "admin"}).status_code == 422
    finally:
        with engine.begin() as conn:
            conn.execute(city.update().values(demo=True))
    assert here.post("/session", json={"demo": "admin"}).status_code == 201


def test_links_end_with_the_start_that_they_are_of(tmp_path: Path) -> None:
    access = DemoAccess(tmp_path)
    with pytest.raises(NotReady, match="make demo"):
        access.link()
    with access.begun(ADDRESS):
        folder = tmp_path / demo_access.FOLDER
        assert folder.stat().st_mode & 0o777 == 0o700
        left, cookie = token(access.link()), access.open(token(access.link()))
        assert access.is_open(cookie)
        held = [path.read_text() + path.name for path in folder.rglob("*") if path.is_file()]
        assert not any(secret in text for secret in (left, cookie) for text in held), "hashes alone are kept"
        with DemoAccess(tmp_path).begun(ADDRESS), pytest.raises(Unknown):
            access.open(left)
        assert not access.is_open(cookie)
    assert not folder.exists()


# The commands.


@pytest.fixture
def started(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[list[dict[str, object]]]:
    """What `serve` would start, over the town's database."""
    starts: list[dict[str, object]] = []
    monkeypatch.setenv("SAFETYMAP_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("SAFETYMAP_DEMO_MODE", "false")  # what the command sets is put back
    settings.cache_clear()
    monkeypatch.setattr(cli.db, "work_engine", lambda: engine)
    monkeypatch.setattr(cli.uvicorn, "run", lambda *_, **options: starts.append(options | _seen(tmp_path)))
    yield starts
    monkeypatch.undo()
    settings.cache_clear()


def _seen(folder: Path) -> dict[str, object]:
    """What holds while the service runs."""
    try:
        link = DemoAccess(folder).link()
    except NotReady:
        link = ""
    return {"demo_mode": settings().demo_mode, "link": link}


def _live(engine: Engine) -> int:
    live = access_keys.c.demo & access_keys.c.revoked_at.is_(None)
    with engine.connect() as conn:
        return conn.execute(sa.select(sa.func.count()).where(live)).scalar_one()


def test_serving_opens_a_demo_only_in_demo_mode(started: list[dict[str, object]], engine: Engine) -> None:
    serve = ["serve", "--port", "8123"]
    assert CliRunner().invoke(cli.app, [*serve, "--demo"]).exit_code == 0
    assert (started[0]["demo_mode"], _live(engine) > 0) == (True, True)
    assert str(started[0]["link"]).startswith("http://127.0.0.1:8123/#demo=")
    assert CliRunner().invoke(cli.app, serve).exit_code == 0
    assert (started[1]["demo_mode"], started[1]["link"], _live(engine)) == (False, "", 0)
    nobody = CliRunner().invoke(cli.app, ["demo-link"])
    assert (nobody.exit_code, "make demo" in nobody.stderr) == (1, True)
    assert CliRunner().invoke(cli.app, [*serve, "--demo"]).exit_code == 0, "and back, with new keys"
    assert _live(engine) > 0


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "map.example"])
def test_a_demo_is_not_served_to_others(started: list[dict[str, object]], host: str) -> None:
    refused = CliRunner().invoke(cli.app, ["serve", "--demo", "--host", host])
    assert (refused.exit_code, started) == (1, [])
    assert "use 127.0.0.1" in refused.stderr


def test_a_city_of_one_s_own_is_not_served_as_a_demo(
    started: list[dict[str, object]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loading, "is_demo", lambda _: False)
    refused = CliRunner().invoke(cli.app, ["serve", "--demo"])
    assert (refused.exit_code, started) == (1, [])
    assert "holds no demo;" in refused.stderr


# The page.


@pytest.mark.browser
def test_who_follows_the_link_is_offered_the_log_ins(
    browser: Browser, database: str, keys: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAFETYMAP_DEMO_MODE", "true")
    links = DemoAccess(tmp_path)
    with serving(database, tmp_path) as address, links.begun(address):
        link = links.link()
        context = window(browser, locale="en-US")
        page = context.new_page()
        page.goto(link)
        expect(page.locator("#session ul button")).to_have_count(len(keys))
        assert "demo=" not in page.url
        with page.expect_event("load"):
            page.locator("#session ul button").first.click()
        until(page, DRAWN)
        expect(page.locator("#who")).not_to_have_text("Public")
        context.close()

        other = window(browser)
        page = other.new_page()
        page.goto(f"{address}/planner")
        page.click("#who")
        expect(page.locator("#session")).to_contain_text("safetymap demo-link")
        page.goto(link)
        expect(page.locator("#session-fault")).to_contain_text("已用过")
        expect(page.locator("#session ul button")).to_have_count(0)
        page.keyboard.press("Escape")
        page.goto(links.link())  # in the page that is open
        expect(page.locator("#session ul button")).to_have_count(len(keys))
        other.close()

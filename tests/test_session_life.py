"""How long keys, sessions and an issuer's keys hold, and which roles need a second factor."""

import json
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jwt
import pyotp
import pytest
import sqlalchemy as sa
from cryptography.hazmat.primitives.asymmetric import rsa
from fastapi.testclient import TestClient
from playwright.sync_api import Browser, expect
from pydantic import ValidationError
from sqlalchemy.engine import Connection, Engine
from typer.testing import CliRunner

from api import access as asking
from api import oidc
from api.cli import app as commands
from api.main import make_app
from gis import access, db
from gis.errors import BadInput
from gis.schema_access import ROLES
from gis.settings import Settings, settings
from tests import town
from tests.browsing import serving, window

NEAREST = "/responders/nearest?lon=113.01&lat=27.04"


@pytest.fixture(scope="module", autouse=True)
def settled(engine: Engine) -> None:
    with engine.begin() as conn:
        batch = town.furnish(conn, [(0.5, 0.5)])
        town.add_responders(conn, batch, {"west": town.at(1, 1)})


@pytest.fixture
def asker(service_engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    """A client of the service, which believes nothing that it read before."""
    monkeypatch.setattr(asking, "FRESH_S", 0)
    with TestClient(make_app(lambda: service_engine, tmp_path), raise_server_exceptions=False) as made:
        yield made


def _make(engine: Engine, role: str, **more: Any) -> access.NewKey:
    with engine.begin() as conn:
        return access.create_key(conn, role, scheme="safety", label=role, **more)


def _unused_for(engine: Engine, minutes: float) -> None:
    with engine.begin() as conn:
        conn.execute(
            sa.text("UPDATE sessions SET used_at = now() - make_interval(secs => :s)"), {"s": minutes * 60}
        )


def test_keys_end_after_half_a_year_unless_it_is_said_otherwise(
    conn: Connection, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    access.create_key(conn, "field", scheme="safety", label="")
    ends = access.keys(conn)[-1].expires_at
    assert abs(ends - datetime.now(UTC) - timedelta(days=180)) < timedelta(minutes=1)
    monkeypatch.setattr(db, "work_engine", lambda: engine)
    for words, days in (([], 180), (["--days", "7"], 7)):
        told = CliRunner().invoke(commands, ["key", "create", "--role", "field", *words])
        assert told.exit_code == 0, told.output
        assert f"it holds for {days} days" in told.output
        with engine.begin() as there:
            left = access.keys(there)[-1].expires_at - datetime.now(UTC)
        assert abs(left - timedelta(days=days)) < timedelta(minutes=1)
    refused = CliRunner().invoke(commands, ["key", "create", "--role", "field", "--days", "0"])
    assert refused.exit_code == 2


@pytest.mark.parametrize("minutes", [10, 60, 720])
def test_a_session_that_nobody_uses_ends(
    engine: Engine, asker: TestClient, monkeypatch: pytest.MonkeyPatch, minutes: int
) -> None:
    monkeypatch.setattr(settings(), "idle_minutes", minutes)
    opened = asker.post("/session", json={"key": _make(engine, "commander").key})
    assert opened.json()["idle_s"] == minutes * 60
    for _ in range(3):
        _unused_for(engine, minutes * 0.9)
        assert asker.get(NEAREST).status_code == 200, "a use begins the time anew"
    _unused_for(engine, minutes * 1.01)
    assert asker.get(NEAREST).status_code == 401
    assert asker.get("/session").json()["role"] == "public"


def test_without_the_setting_no_session_ends_unused(engine: Engine, asker: TestClient) -> None:
    assert asker.post("/session", json={"key": _make(engine, "field").key}).json()["idle_s"] is None
    _unused_for(engine, 11 * 60)
    assert asker.get(NEAREST).status_code == 200


def test_a_live_stream_is_no_use(
    engine: Engine, service_engine: Engine, asker: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings(), "idle_minutes", 10)
    asker.post("/session", json={"key": _make(engine, "field").key})
    _unused_for(engine, 9)
    cookie = asker.cookies["safetymap"]
    for counts, unused in ((False, 9), (True, 0)):
        assert asking._ask(lambda: service_engine, cookie, counts=counts)
        with engine.begin() as conn:
            found = conn.execute(sa.text("SELECT now() - max(used_at) FROM sessions")).scalar_one()
        assert abs(found - timedelta(minutes=unused)) < timedelta(seconds=30)
    _unused_for(engine, 11)
    assert asking._ask(lambda: service_engine, cookie, counts=False) is None


def test_a_wall_stays_open(engine: Engine, asker: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings(), "idle_minutes", 10)
    key = _make(engine, "commander", wall=True).key
    assert asker.post("/session", json={"key": key}).json()["idle_s"] is None
    _unused_for(engine, 11 * 60)
    assert asker.get(NEAREST).status_code == 200


@pytest.mark.parametrize("role", ["planner", "approver", "admin"])
def test_no_key_of_a_high_role_is_for_a_wall(engine: Engine, conn: Connection, role: str) -> None:
    with pytest.raises(BadInput, match="wall"):
        _make(engine, role, wall=True)
    access.create_key(conn, role, scheme="safety", label="")
    with pytest.raises(sa.exc.IntegrityError, match="ck_access_keys_wall"):
        conn.execute(sa.text("UPDATE access_keys SET wall = true"))


@pytest.mark.parametrize("least", ["field", "commander", "planner", "approver"])
def test_every_role_from_the_chosen_one_needs_a_second_factor(
    engine: Engine, asker: TestClient, monkeypatch: pytest.MonkeyPatch, least: str
) -> None:
    monkeypatch.setattr(settings(), "second_factor_from", least)
    before = ROLES[ROLES.index(least) - 1]
    for role in ROLES[1:]:
        needs = ROLES.index(role) >= ROLES.index(least)
        made = _make(engine, role)
        assert (made.totp_secret is not None) == needs
        told = asker.get("/session", headers={"Authorization": f"Bearer {made.key}"}).json()
        assert (told["role"], told["full_role"]) == (before if needs else role, role)
        read = asker.get(NEAREST, headers={"Authorization": f"Bearer {made.key}"}).status_code
        assert read == (403 if told["role"] == "public" else 200)
        if made.totp_secret:
            code = pyotp.TOTP(made.totp_secret).now()
            assert asker.post("/session", json={"key": made.key, "code": code}).json()["role"] == role
            assert asker.get(NEAREST).status_code == 200
            asker.cookies.clear()


def test_a_key_from_before_the_setting_says_what_it_lacks(
    engine: Engine, asker: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = _make(engine, "commander").key
    monkeypatch.setattr(settings(), "second_factor_from", "field")
    refused = asker.post("/session", json={"key": key, "code": "123456"})
    assert refused.status_code == 401
    assert "without a second factor" in refused.json()["detail"]
    assert asker.post("/session", json={"key": key}).json()["role"] == "public"
    needed = asker.get(NEAREST)
    assert needed.status_code == 403
    assert "second factor" in needed.json()["detail"]


@pytest.mark.parametrize(
    ("name", "value"),
    [("second_factor_from", "admin"), ("second_factor_from", "public"), ("idle_minutes", 0)],
)
def test_settings_that_open_are_refused(name: str, value: object) -> None:
    with pytest.raises(ValidationError, match=name):
        Settings(**{name: value})  # type: ignore[arg-type]


class Issuer:
    """An issuer whose keys change, and how often they are fetched."""

    def __init__(self) -> None:
        self.fetched, self.keys, self.away = 0, {"1": rsa.generate_private_key(65537, 2048)}, False

    def fetch(self) -> dict[str, Any]:
        """Return the public keys, as its address does."""
        self.fetched += 1
        if self.away:
            raise jwt.PyJWKClientConnectionError("away")
        public = {name: jwt.algorithms.RSAAlgorithm.to_jwk(k.public_key()) for name, k in self.keys.items()}
        return {"keys": [json.loads(text) | {"kid": name} for name, text in public.items()]}

    def token(self, name: str, key: rsa.RSAPrivateKey) -> str:
        """Return a token of a key, under a name."""
        now = int(time.time())
        body = {"iss": "https://id", "aud": "map", "sub": "u", "iat": now, "exp": now + 60} | {
            "safetymap_role": "field", "safetymap_everywhere": True,
        }  # fmt: skip
        return jwt.encode(body, key, "RS256", {"kid": name, "typ": "at+jwt"})


@pytest.fixture
def issuer(monkeypatch: pytest.MonkeyPatch) -> Iterator[Issuer]:
    made = Issuer()
    for name, value in {"issuer": "https://id", "audience": "map", "jwks_url": "https://id/jwks"}.items():
        monkeypatch.setattr(settings(), f"oidc_{name}", value)
    oidc._keys.cache_clear()
    client = oidc._keys("https://id/jwks")

    def fetch_data() -> dict[str, Any]:
        found = made.fetch()
        client._last_successful_fetch = time.monotonic()
        return found

    monkeypatch.setattr(client, "fetch_data", fetch_data)
    yield made
    oidc._keys.cache_clear()


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Moves the clock that waits are counted by."""
    real, ahead = time.monotonic, [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: real() + ahead[0])

    def move(seconds: float) -> None:
        ahead[0] += seconds

    return move


def test_an_issuer_s_keys_change_within_a_minute(issuer: Issuer, later: Callable[[float], None]) -> None:
    old = issuer.keys["1"]
    assert oidc.principal(issuer.token("1", old))
    new = rsa.generate_private_key(65537, 2048)
    issuer.keys = {"2": new}
    later(oidc.KEYS_APART_S + 1)
    assert oidc.principal(issuer.token("2", new)), "one that it brought in"
    later(oidc.KEYS_LAST_S + 1)
    assert oidc.principal(issuer.token("1", old)) is None, "one that it withdrew"
    assert oidc.KEYS_LAST_S + oidc.KEYS_APART_S + oidc.KEYS_TIMEOUT_S < 60


def test_a_withdrawn_key_is_refused_though_nothing_new_is_seen(
    issuer: Issuer, later: Callable[[float], None]
) -> None:
    old = issuer.keys["1"]
    assert oidc.principal(issuer.token("1", old))
    issuer.keys = {"2": rsa.generate_private_key(65537, 2048)}
    assert oidc.principal(issuer.token("1", old)), "within the minute"
    later(oidc.KEYS_LAST_S + 1)
    assert oidc.principal(issuer.token("1", old)) is None


def test_guesses_do_not_ask_the_issuer_each_time(issuer: Issuer) -> None:
    key = rsa.generate_private_key(65537, 2048)
    for number in range(50):
        assert oidc.principal(issuer.token(f"guess {number}", key)) is None
    assert issuer.fetched <= 2


def test_the_page_signs_out_where_nobody_is(
    database: str, browser: Browser, engine: Engine, tmp_path: Path
) -> None:
    key = _make(engine, "commander").key
    with serving(database, tmp_path, SAFETYMAP_IDLE_MINUTES="1") as address:
        context = window(browser, width=1280, height=800)
        page = context.new_page()
        page.clock.install()
        assert page.request.post(f"{address}/session", data={"key": key}).status == 201
        page.goto(address)
        expect(page.locator("#who")).to_have_text("指挥", timeout=60_000)
        for _ in range(3):
            page.clock.fast_forward(50_000)
            page.keyboard.press("Shift")
            expect(page.locator("#who")).to_have_text("指挥")
        page.clock.fast_forward(70_000)
        expect(page.locator("#session-fault")).to_contain_text("久无操作", timeout=60_000)
        expect(page.locator("#who")).to_have_text("公众")
        context.close()

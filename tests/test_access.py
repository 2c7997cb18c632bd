"""Keys, sessions, second factor and tokens; every route, layer and table declares who may see it."""

import json
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import jwt
import pyotp
import pytest
import sqlalchemy as sa
from cryptography.hazmat.primitives.asymmetric import rsa
from fastapi.routing import APIRoute
from fastapi.testclient import TestClient
from sqlalchemy.engine import Connection, Engine

from api import access as asking
from api import oidc
from api.main import make_app
from gis import access, schema
from gis.access import Principal
from gis.errors import BadInput, NotFound
from gis.schema_access import ROLES
from gis.settings import settings
from layers.catalogue import CATALOG
from tests import town

Make = Callable[..., access.NewKey]
HERE = "http://127.0.0.1"


@pytest.fixture(scope="module", autouse=True)
def settled(engine: Engine) -> None:
    with engine.begin() as conn:
        town.add_grids(conn)
        batch = town.add_city(conn)
        town.add_keeper(conn, batch, "T1a")
        town.add_incidents(conn, batch, [town.at(0.5, 0.5), town.at(4.5, 0.5), town.at(1, 4)])
        town.add_responders(conn, batch, {"west": town.at(1, 1), "south": town.at(1, 4)})


@pytest.fixture(scope="module")
def make_key(engine: Engine) -> Make:
    def make(role: str, scope: str | None = None, **more: object) -> access.NewKey:
        with engine.begin() as conn:
            return access.create_key(conn, role, scope, scheme="safety", label=role, **more)  # type: ignore[arg-type]

    return make


@pytest.fixture
def asker(service_engine: Engine, tmp_path: Path) -> Iterator[TestClient]:
    """A browser on this machine that asks the real service, without credentials so far."""
    app = make_app(lambda: service_engine, tmp_path)
    with TestClient(app, HERE, client=("127.0.0.1", 5), raise_server_exceptions=False) as made:
        yield made


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


NEAREST = "/responders/nearest?lon=113.01&lat=27.04"


def test_without_a_key_one_is_the_public(asker: TestClient) -> None:
    assert asker.get("/session").json()["role"] == "public"
    refused = asker.get(NEAREST)
    assert refused.status_code == 401
    assert refused.headers["www-authenticate"] == "Bearer"
    assert refused.headers["content-type"] == "application/problem+json"


def test_a_key_opens_what_its_role_may(asker: TestClient, make_key: Make) -> None:
    key = make_key("field").key
    assert len(asker.get(NEAREST, headers=bearer(key)).json()["responders"]) == 2
    refused = asker.get("/tiles/cameras/14/13334/6906.mvt", headers=bearer(key))
    assert refused.status_code == 403
    assert "commander" in refused.json()["detail"]


@pytest.mark.parametrize(
    "sent",
    ["Bearer smk_wrong", "Bearer ", "Bearer a.b.c", "Basic eDp5", "Bearer \x00", "Bearer " + "x" * 5000],
)
def test_wrong_credentials_are_refused_even_where_none_are_needed(asker: TestClient, sent: str) -> None:
    answer = asker.get("/city", headers={"Authorization": sent.encode()})
    assert answer.status_code == 401


def test_the_store_keeps_no_key(conn: Connection, make_key: Make) -> None:
    key = make_key("field").key
    everything = str(conn.execute(sa.text("SELECT array_agg(k::text) FROM access_keys k")).scalar())
    assert key not in everything
    assert access.digest(key).hex() in everything


def test_a_revoked_key_is_refused_by_every_worker_within_a_second(
    engine: Engine, service_engine: Engine, make_key: Make, tmp_path: Path
) -> None:
    key = make_key("field").key
    workers = [TestClient(make_app(lambda: service_engine, tmp_path)) for _ in range(3)]
    assert {worker.get(NEAREST, headers=bearer(key)).status_code for worker in workers} == {200}
    with engine.begin() as conn:
        access.revoke_key(conn, access.keys(conn)[-1].id)
    time.sleep(1)
    assert {worker.get(NEAREST, headers=bearer(key)).status_code for worker in workers} == {401}


def test_an_expired_key_is_refused(asker: TestClient, make_key: Make) -> None:
    key = make_key("field", lasts=timedelta(seconds=-1)).key
    assert asker.get("/city", headers=bearer(key)).status_code == 401


def test_keys_with_unknown_role_or_scope_are_not_made(conn: Connection) -> None:
    with pytest.raises(BadInput, match="role"):
        access.create_key(conn, "public", scheme="safety", label="")
    with pytest.raises(BadInput, match="scope"):
        access.create_key(conn, "field", "nowhere", scheme="safety", label="")
    with pytest.raises(NotFound, match="key list"):
        access.revoke_key(conn, 10**9)


def test_a_session_writes_only_with_its_token(asker: TestClient, make_key: Make) -> None:
    opened = asker.post("/session", json={"key": make_key("commander", "T1").key})
    assert opened.status_code == 201
    cookie = opened.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    told = asker.get("/session").json()
    assert (told["role"], told["scope"]) == ("commander", "T1")
    assert "cameras" in told["layers"]
    assert asker.delete("/session").status_code == 403
    assert asker.delete("/session", headers={"X-CSRF-Token": "0" * 64}).status_code == 403
    closed = asker.delete("/session", headers={"X-CSRF-Token": told["csrf"]})
    assert closed.status_code == 204


def test_a_closed_session_is_over_on_the_server(asker: TestClient, make_key: Make) -> None:
    asker.post("/session", json={"key": make_key("field").key})
    cookie = asker.cookies["safetymap"]
    asker.delete("/session", headers={"X-CSRF-Token": asking.csrf(cookie)})
    asker.cookies.set("safetymap", cookie)
    assert asker.get(NEAREST).status_code == 401


def test_a_new_session_ends_the_one_before(asker: TestClient, make_key: Make) -> None:
    key = make_key("field").key
    asker.post("/session", json={"key": key})
    first = asker.cookies["safetymap"]
    asker.post("/session", json={"key": key}, headers={"X-CSRF-Token": asking.csrf(first)})
    assert asker.get(NEAREST).status_code == 200
    asker.cookies.clear()
    asker.cookies.set("safetymap", first)
    assert asker.get(NEAREST).status_code == 401


def test_over_https_the_cookie_is_of_this_host_only(
    service_engine: Engine, tmp_path: Path, make_key: Make
) -> None:
    app = make_app(lambda: service_engine, tmp_path)
    with TestClient(app, "https://map.example") as client:
        cookie = client.post("/session", json={"key": make_key("field").key}).headers["set-cookie"]
        assert cookie.startswith("__Host-safetymap=")
        assert "; Secure" in cookie
        assert client.get(NEAREST).status_code == 200
        assert "max-age=31536000" in client.get("/city").headers["strict-transport-security"]


def test_a_session_ends_with_its_key(asker: TestClient, engine: Engine, make_key: Make) -> None:
    asker.post("/session", json={"key": make_key("field").key})
    assert asker.get(NEAREST).status_code == 200
    with engine.begin() as conn:
        access.revoke_key(conn, access.keys(conn)[-1].id)
    time.sleep(asking.FRESH_S)
    assert asker.get(NEAREST).status_code == 401


def test_cookie_and_key_are_not_interchangeable(asker: TestClient, make_key: Make) -> None:
    key = make_key("field").key
    asker.cookies.set("safetymap", key)
    assert asker.get("/session").json()["role"] == "public"
    asker.cookies.clear()
    asker.post("/session", json={"key": key})
    cookie = asker.cookies["safetymap"]
    asker.cookies.clear()
    assert asker.get("/city", headers=bearer(cookie)).status_code == 401


def test_another_site_may_not_write(asker: TestClient, make_key: Make) -> None:
    answer = asker.post(
        "/session", json={"key": make_key("field").key}, headers={"Sec-Fetch-Site": "cross-site"}
    )
    assert answer.status_code == 403


@pytest.mark.parametrize("role", ["approver", "admin"])
def test_high_roles_need_the_second_factor(asker: TestClient, make_key: Make, role: str) -> None:
    made = make_key(role)
    assert made.totp_secret
    told = asker.get("/session", headers=bearer(made.key)).json()
    assert (told["role"], told["full_role"]) == ("planner", role)
    code = pyotp.TOTP(made.totp_secret).now()
    wrong = f"{(int(code) + 1) % 10**6:06}"
    assert asker.post("/session", json={"key": made.key, "code": wrong}).status_code == 401
    assert asker.post("/session", json={"key": made.key, "code": code}).json()["role"] == role
    asker.cookies.clear()
    again = asker.post("/session", json={"key": made.key, "code": code})
    assert again.status_code == 401, "a code serves once"
    assert asker.post("/session", json={"key": made.key}).json()["role"] == "planner"


def test_a_stolen_code_of_an_earlier_step_is_no_use(conn: Connection, make_key: Make) -> None:
    made = make_key("admin")
    old = pyotp.TOTP(made.totp_secret or "").at(datetime.now(UTC) - timedelta(minutes=5))
    assert not access.check_code(conn, made.key, old)


@pytest.fixture
def issuer(monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """An OIDC issuer that the service trusts: makes tokens of given claims."""
    key, other = (rsa.generate_private_key(65537, 2048) for _ in range(2))
    jwks = {
        "keys": [
            json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key())) | {"kid": "1", "use": "sig"}
        ]
    }
    monkeypatch.setattr(settings(), "oidc_issuer", "https://id.example")
    monkeypatch.setattr(settings(), "oidc_audience", "safetymap")
    monkeypatch.setattr(settings(), "oidc_jwks_url", "https://id.example/jwks")
    oidc._keys.cache_clear()  # it keeps the keys of the issuer before
    monkeypatch.setattr(oidc._keys("https://id.example/jwks"), "fetch_data", lambda: jwks)

    def make(
        *, forged: bool = False, algorithm: str = "RS256", header: object = "at+jwt", **claims: object
    ) -> str:
        now = int(time.time())
        body = {"iss": "https://id.example", "aud": "safetymap", "sub": "u1", "iat": now, "exp": now + 60}
        signer = (
            "secret" * 8
            if algorithm == "HS256"
            else None
            if algorithm == "none"
            else other
            if forged
            else key
        )
        return jwt.encode(body | claims, signer, algorithm, headers={"kid": "1", "typ": header})  # type: ignore[arg-type]

    return make


def test_tokens_of_the_issuer_are_keys(asker: TestClient, issuer: Callable[..., str]) -> None:
    token = issuer(safetymap_role="commander", safetymap_scheme="safety", safetymap_scope="T1")
    told = asker.get("/session", headers=bearer(token)).json()
    assert (told["role"], told["scope"], told["name"]) == ("commander", "T1", "oidc:u1")
    admin = issuer(safetymap_role="admin", safetymap_everywhere=True)
    assert asker.get("/session", headers=bearer(admin)).json()["role"] == "planner"
    sure = issuer(safetymap_role="admin", safetymap_everywhere=True, amr=["pwd", "otp"])
    assert asker.get("/session", headers=bearer(sure)).json()["role"] == "admin"


GONE = "left out"


@pytest.mark.parametrize(
    "amr",
    [
        "otp", [["otp"]], [{"otp": 1}], {"otp": True}, None, [], "mfa", {"mfa": 1}, ["otp"], ["hwk"], ["pwd"],
        ["otp", "hwk"], ["pwd", "pin"], ["pwd", "sms"], ["mfa", 1],
    ],
)  # fmt: skip
def test_a_second_factor_is_one_of_a_list(asker: TestClient, issuer: Callable[..., str], amr: object) -> None:
    token = issuer(safetymap_role="admin", safetymap_everywhere=True, amr=amr)
    assert asker.get("/session", headers=bearer(token)).json()["role"] == "planner"


def test_a_claim_that_comes_twice_is_nobodys(
    asker: TestClient, issuer: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Signed by the issuer, who was made to say two things."""
    twice = b'"safetymap_scope":"T1","safetymap_scope":"T2"'
    dumps = json.dumps
    monkeypatch.setattr(
        jwt.api_jwt.json, "dumps", lambda *said, **how: dumps(*said, **how).replace('"one":1', twice.decode())
    )
    token = issuer(safetymap_role="commander", safetymap_scheme="safety", one=1)
    monkeypatch.undo()
    assert asker.get("/session", headers=bearer(token)).status_code == 401


@pytest.mark.parametrize("scope", ["*", "", "on", "T99"])
def test_no_text_of_a_scope_means_everywhere(conn: Connection, scope: str) -> None:
    for who in (Principal("admin", "safety", scope, full_role="admin"), Principal("admin", None, scope)):
        access.enter(conn, Principal("admin"))
        assert conn.execute(sa.text("SELECT scope_is_everywhere()")).scalar() is True
        access.enter(conn, who)
        assert conn.execute(sa.text("SELECT scope_is_everywhere()")).scalar() is False
        assert not conn.execute(sa.text("SELECT scope_shape()")).scalar()


@pytest.mark.parametrize(
    "values",
    [
        "NULL, '', 'safety'",
        "NULL, NULL, NULL",
        "true, 'T1', 'safety'",
        "false, NULL, NULL",
        "false, '', 'safety'",
    ],
)
def test_a_key_of_nowhere_cannot_be_stored(conn: Connection, values: str) -> None:
    with pytest.raises(sa.exc.IntegrityError):
        conn.execute(
            sa.text(
                "INSERT INTO access_keys (hash, role, label, may_export, demo, everywhere, scope, scheme) "
                f"VALUES ('a', 'field', 'x', false, false, {values})"
            )
        )


@pytest.mark.parametrize(
    "claims",
    [
        {"forged": True}, {"algorithm": "HS256"}, {"algorithm": "none"}, {"exp": 1}, {"aud": "other"},
        {"iss": "https://evil.example"}, {"safetymap_role": "god"}, {"safetymap_role": None},
        {"safetymap_scope": "T1"}, {"nbf": 2**33},
        {"header": "JWT"}, {"header": "logout+jwt"}, {"header": None}, {"typ": "ID"}, {"nonce": "n"},
        {"at_hash": "h"}, {"events": {}}, {"iat": 1}, {"iat": 2**33}, {"exp": 2**33}, {"exp": "soon"},
        {"safetymap_everywhere": None}, {"safetymap_everywhere": "true"}, {"safetymap_everywhere": 1},
        *(
            {"safetymap_everywhere": GONE, "safetymap_scheme": scheme, "safetymap_scope": scope}
            for scheme, scope in [
                (GONE, GONE), ("", ""), ("safety", ""), ("safety", " "), ("safety", "*"), ("safety", None),
                ("safety", "T99"), ("other", "T1"), ("safety", ["T1"]), (None, "T1"), (1, "T1"),
            ]
        ),
        {"safetymap_scheme": "safety", "safetymap_scope": "T1"},
    ],
)  # fmt: skip
def test_bad_tokens_are_nobody(
    asker: TestClient, issuer: Callable[..., str], claims: dict[str, object]
) -> None:
    given = {"safetymap_role": "admin", "safetymap_everywhere": True, **claims}
    token = issuer(**{name: value for name, value in given.items() if value != GONE})
    assert asker.get("/session", headers=bearer(token)).status_code == 401


def test_every_route_declares_its_audience() -> None:
    """An endpoint to come that says nothing is for admins, and fails here."""
    for path, operations in make_app().openapi()["paths"].items():
        for method, operation in operations.items():
            assert operation.get("x-audience") in ROLES, f"{method.upper()} {path} declares no audience"
            assert operation.get("x-scope"), f"{method.upper()} {path} does not say what a scope does to it"
            assert {"401", "403"} <= operation["responses"].keys(), f"{method.upper()} {path}"


def test_nothing_is_routed_past_the_guard() -> None:
    open_paths = {"/openapi.json"}
    open_paths |= {
        "/app",
        "/vendor/maplibre-gl",
        "/vendor/noto-sans-sc",
        "/vendor/h3-js",
        "/vendor/swagger-ui",
    }
    for route in make_app().routes:
        path = getattr(route, "path", None)
        assert path is None or isinstance(route, APIRoute) or path in open_paths, path


def test_an_undeclared_route_is_for_admins(service_engine: Engine, make_key: Make, tmp_path: Path) -> None:
    app = make_app(lambda: service_engine, tmp_path)
    app.get("/forgotten")(lambda: "not said for whom")
    with TestClient(app) as client:
        assert client.get("/forgotten").status_code == 401
        assert client.get("/forgotten", headers=bearer(make_key("planner").key)).status_code == 403


def test_every_layer_declares_its_audience() -> None:
    assert all(layer.audience in ROLES for layer in CATALOG)
    wanted = {"cameras": "commander", "incidents": "field", "responders": "field"}
    assert wanted.items() <= {layer.name: layer.audience for layer in CATALOG}.items()


def test_every_table_is_behind_a_policy(conn: Connection) -> None:
    tables = conn.execute(
        sa.text(
            "SELECT relname, relrowsecurity FROM pg_class WHERE relnamespace = 'public'::regnamespace "
            "AND relkind IN ('r', 'p') AND relname NOT IN ('spatial_ref_sys', 'alembic_version')"
        )
    ).all()
    assert {table.name for table in schema.metadata.sorted_tables} <= {row.relname for row in tables}
    assert [row.relname for row in tables if not row.relrowsecurity] == []


ROLE = "SELECT rolsuper, rolcreaterole, rolcreatedb, rolbypassrls FROM pg_roles WHERE rolname = current_user"
FORBIDDEN = (
    "SELECT * FROM access_keys", "SELECT * FROM audit", "DELETE FROM audit_heads", "SELECT file FROM batches",
    "CREATE TABLE mine (x int)", "UPDATE grids SET name = 'x'", "DELETE FROM incidents", "TRUNCATE city",
)  # fmt: skip


def test_the_service_owns_nothing(service_engine: Engine) -> None:
    with service_engine.connect() as conn:
        assert not any(conn.execute(sa.text(ROLE)).one())
    for statement in FORBIDDEN:
        with service_engine.connect() as conn, pytest.raises(sa.exc.ProgrammingError, match="denied"):
            conn.execute(sa.text(statement))

"""Who asks through a proxy: one that is trusted is believed, and nobody else."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from fastapi import Request
from fastapi.testclient import TestClient
from sqlalchemy.engine import Engine
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import JSONResponse
from starlette.routing import Route
from typer.testing import CliRunner

from api import cli, proxy
from api.main import make_app
from api.proxy import Proxied, networks
from gis import access
from gis.errors import BadInput
from gis.settings import settings
from tests import town

Headers = list[tuple[str, str]]
TRUSTED = "10.0.0.0/24,127.0.0.1,fd00::/64"
PROXY = "10.0.0.5"


@pytest.fixture(scope="module", autouse=True)
def settled(engine: Engine) -> None:
    with engine.begin() as conn:
        town.add_grids(conn)
        town.add_city(conn)


def seen(peer: str, headers: Headers) -> tuple[str, str, str]:
    """The address, scheme and host that the service sees."""

    def answer(request: Request) -> JSONResponse:
        assert request.client
        return JSONResponse([request.client.host, request.url.scheme, request.url.netloc])

    app = Starlette(routes=[Route("/", answer)], middleware=[Middleware(Proxied, trusted=networks(TRUSTED))])
    with TestClient(app, "http://inside:8000", client=(peer, 5)) as client:
        address, scheme, host = client.get("/", headers=headers).json()
    return address, scheme, host


FROM: tuple[tuple[str, Headers, str], ...] = (
    (PROXY, [("X-Forwarded-For", "203.0.113.9")], "203.0.113.9"),
    (PROXY, [("X-Forwarded-For", "127.0.0.1, 203.0.113.9")], "203.0.113.9"),  # the left is the client's own
    (PROXY, [("X-Forwarded-For", "6.6.6.6"), ("X-Forwarded-For", "203.0.113.9, 10.0.0.7")], "203.0.113.9"),
    (PROXY, [("X-Forwarded-For", "203.0.113.9:4711")], "203.0.113.9"),
    (PROXY, [("X-Forwarded-For", '"[2001:db8::1]:4711"')], "2001:db8::1"),
    (PROXY, [("X-Forwarded-For", "::ffff:203.0.113.9")], "203.0.113.9"),
    (PROXY, [("X-Forwarded-For", "10.0.0.9")], "10.0.0.9"),  # a proxy's machine that asks itself
    (PROXY, [("X-Forwarded-For", "<script>, 10.0.0.9")], "10.0.0.9"),
    (PROXY, [("X-Forwarded-For", "unknown")], PROXY),
    (PROXY, [("X-Forwarded-For", "")], PROXY),
    (PROXY, [], PROXY),
    ("fd00::7", [("X-Forwarded-For", "203.0.113.9")], "203.0.113.9"),
    ("::ffff:10.0.0.5", [("X-Forwarded-For", "203.0.113.9")], "203.0.113.9"),
    ("10.0.1.5", [("X-Forwarded-For", "203.0.113.9")], "10.0.1.5"),  # not trusted
    ("192.0.2.1", [("X-Forwarded-For", "127.0.0.1")], "192.0.2.1"),
    ("::1", [("X-Forwarded-For", "203.0.113.9")], "::1"),
)


@pytest.mark.parametrize(("peer", "headers", "address"), FROM)
def test_the_address_is_the_rightmost_that_is_no_trusted_proxy_s(
    peer: str, headers: Headers, address: str
) -> None:
    assert seen(peer, headers)[0] == address


@pytest.mark.parametrize(
    ("headers", "scheme", "host"),
    [
        ([("X-Forwarded-Proto", "https"), ("X-Forwarded-Host", "map.example")], "https", "map.example"),
        ([("X-Forwarded-Proto", "HTTPS")], "https", "inside:8000"),
        ([("X-Forwarded-Proto", "http, https")], "https", "inside:8000"),
        ([("X-Forwarded-Proto", "gopher")], "http", "inside:8000"),
        ([("X-Forwarded-Host", "evil.example, map.example:8443")], "http", "map.example:8443"),
        ([("X-Forwarded-Host", "evil.example"), ("X-Forwarded-Host", "map.example")], "http", "map.example"),
        ([("Forwarded", "for=1.2.3.4;proto=https;host=evil.example")], "http", "inside:8000"),
    ],
)
def test_scheme_and_host_are_as_the_proxy_says(headers: Headers, scheme: str, host: str) -> None:
    assert seen(PROXY, headers)[1:] == (scheme, host)
    assert seen("192.0.2.1", headers)[1:] == ("http", "inside:8000"), "of anybody else nothing is believed"


@pytest.mark.parametrize("text", ["", " , "])
def test_none_is_trusted_by_default(text: str) -> None:
    assert networks(text) == ()


@pytest.mark.parametrize(
    "text", ["*", "0.0.0.0/0", "::/0", "proxy.example", "10.0.0.1/24", "10.0.0.5;10.0.0.6"]
)
def test_what_is_no_network_or_everybody_is_refused(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BadInput, match="trusted_proxy"):
        networks(text)
    monkeypatch.setattr(cli.uvicorn, "run", lambda *_, **__: pytest.fail("it served"))
    refused = CliRunner().invoke(cli.app, ["serve", "--trusted-proxy", text])
    assert (refused.exit_code, "trusted_proxy" in refused.stderr) == (1, True)


def test_addresses_of_one_household_are_counted_as_one() -> None:
    assert proxy.asker("2001:db8::1") == proxy.asker("2001:db8::ffff:1") != proxy.asker("2001:db8:0:1::1")
    assert proxy.asker("203.0.113.9") == "203.0.113.9"
    assert proxy.asker("::1") == "::1"


# The service.

Serve = Callable[[str], TestClient]


@pytest.fixture
def serve(service_engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Serve]:
    """The service behind a proxy on this machine that is trusted, or not: each caller has three requests."""
    monkeypatch.setattr(settings(), "rate_burst", 3)
    monkeypatch.setattr(settings(), "rate_per_s", 1 / 60)
    with ExitStack() as running:

        def start(trusted: str) -> TestClient:
            monkeypatch.setattr(settings(), "trusted_proxy", trusted)
            app = make_app(lambda: service_engine, tmp_path)
            return running.enter_context(TestClient(app, "http://127.0.0.1", client=("127.0.0.1", 5)))

        yield start


def statuses(client: TestClient, times: int, address: str = "") -> list[int]:
    headers = {"X-Forwarded-For": address} if address else {}
    return [client.get("/health/live", headers=headers).status_code for _ in range(times)]


def test_loopback_is_counted_where_a_proxy_is_trusted(serve: Serve) -> None:
    assert statuses(serve(""), 5) == [200] * 5
    assert statuses(serve("127.0.0.1"), 5) == [200] * 3 + [429] * 2


def test_each_client_of_a_trusted_proxy_is_counted_for_itself(serve: Serve) -> None:
    behind = serve("127.0.0.1")
    for address in ("203.0.113.1", "203.0.113.2", "2001:db8::1"):
        assert statuses(behind, 4, address) == [200] * 3 + [429]
    assert statuses(behind, 1, "2001:db8::2") == [429], "the same household"


def test_what_an_untrusted_proxy_passes_on_is_counted_as_the_proxy_s(serve: Serve) -> None:
    client = serve("")
    assert [statuses(client, 1, f"203.0.113.{n}") for n in range(5)] == [[200]] * 3 + [[429]] * 2


def test_a_session_through_a_trusted_proxy_is_one_of_https(serve: Serve, engine: Engine) -> None:
    with engine.begin() as conn:
        key = access.create_key(conn, "field", scheme="safety", label="").key
    headers = {
        "X-Forwarded-For": "203.0.113.9",
        "X-Forwarded-Proto": "https",
        "X-Forwarded-Host": "map.example",
    }
    opened = serve("127.0.0.1").post("/session", json={"key": key}, headers=headers)
    assert opened.headers["set-cookie"].startswith("__Host-safetymap=")
    assert "Secure" in opened.headers["set-cookie"]
    assert "strict-transport-security" in opened.headers
    plain = serve("").post("/session", json={"key": key}, headers=headers)
    assert plain.headers["set-cookie"].startswith("safetymap=")


def test_a_demo_is_not_served_behind_a_trusted_proxy(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings(), "demo_mode", True)
    for trusted, status in (("127.0.0.1", 404), ("", 401)):
        assert serve(trusted).post("/session/demo", json={"token": "x"}).status_code == status
    monkeypatch.setattr(cli.uvicorn, "run", lambda *_, **__: pytest.fail("it served"))
    refused = CliRunner().invoke(cli.app, ["serve", "--demo", "--trusted-proxy", "127.0.0.1"])
    assert (refused.exit_code, "this machine alone" in refused.stderr) == (1, True)

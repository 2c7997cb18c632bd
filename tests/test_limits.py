"""Rates, sizes and heavy work have their bounds, every answer its safe headers."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from fastapi.testclient import TestClient
from sqlalchemy.engine import Engine

from api import limits
from api.main import make_app
from gis import access, login_failures
from gis.errors import Busy
from gis.settings import settings
from tests import town

FAR = ("192.0.2.7", 5)


@pytest.fixture(scope="module", autouse=True)
def settled(engine: Engine) -> None:
    with engine.begin() as conn:
        town.add_grids(conn)
        town.add_city(conn)


@pytest.fixture
def far(service_engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    """A caller from another machine, who has ten requests and one a minute after that."""
    monkeypatch.setattr(settings(), "rate_burst", 10)
    monkeypatch.setattr(settings(), "rate_per_s", 1 / 60)
    with TestClient(make_app(lambda: service_engine, tmp_path), client=FAR) as client:
        yield client


def test_an_address_that_asks_too_much_must_wait(far: TestClient) -> None:
    statuses = [far.get("/health/live").status_code for _ in range(12)]
    assert statuses == [200] * 10 + [429] * 2
    refused = far.get("/health/live")
    assert refused.headers["content-type"] == "application/problem+json"
    assert 1 <= int(refused.headers["retry-after"]) <= 60


def test_a_key_that_asks_too_much_from_everywhere_must_wait(far: TestClient, engine: Engine) -> None:
    with engine.begin() as conn:
        key = access.create_key(conn, "field", scheme="safety", label="").key
    ask = {"Authorization": f"Bearer {key}"}
    statuses = []
    for n in range(12):
        elsewhere = TestClient(far.app, client=(f"198.51.100.{n}", 5))
        statuses.append(elsewhere.get("/health/live", headers=ask).status_code)
    assert statuses == [200] * 10 + [429] * 2
    assert far.get("/health/live").status_code == 200, "others are not hindered"


def test_buckets_refill_and_are_bounded() -> None:
    bucket = limits.Bucket(rate=2, burst=3, left=0, at=100.0)
    assert bucket.take(100.0) == pytest.approx(0.5)
    assert bucket.take(100.5) == 0
    assert bucket.take(200.0) == 0
    assert bucket.left == 2
    rates = limits.Rates(1, 1)
    for n in range(limits._CALLERS + 10):
        rates.wait(str(n))
    assert len(rates._buckets) == limits._CALLERS


def test_logging_in_is_slowed_down_from_everywhere(
    service_engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(login_failures, "FROM_ADDRESS", login_failures.Patience(100, 100, 1))
    with TestClient(make_app(lambda: service_engine, tmp_path), client=("127.0.0.1", 5)) as client:
        statuses = [client.post("/session", json={"key": "smk_guess"}).status_code for _ in range(22)]
    assert statuses == [401] * 20 + [429] * 2


@pytest.mark.parametrize("declared", [True, False])
def test_a_body_that_is_too_large_is_not_read(far: TestClient, declared: bool) -> None:
    pieces = 33 * 16

    def body() -> Iterator[bytes]:
        for _ in range(pieces):
            yield b" " * (1 << 16)

    content = b" " * (pieces << 16) if declared else body()
    answer = far.post("/session", content=content, headers={"Content-Type": "application/json"})
    assert answer.status_code == 413
    assert "32 MB" in answer.json()["detail"]


def test_heavy_work_waits_its_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "_HEAVY_WAIT_S", 0.05)

    async def play() -> None:
        state = SimpleNamespace(heavy=asyncio.Semaphore(1))
        request = SimpleNamespace(app=SimpleNamespace(state=state))
        first, second, third = (limits.heavy(request) for _ in range(3))  # type: ignore[arg-type]
        await anext(first)
        with pytest.raises(Busy):
            await anext(second)
        await first.aclose()
        await anext(third)
        await third.aclose()

    asyncio.run(play())


@pytest.mark.parametrize("path", ["/", "/city", "/tiles/grids/14/13334/6906.mvt", "/nowhere", "/app/main.js"])
def test_every_answer_has_safe_headers(client: TestClient, path: str) -> None:
    headers = client.get(path).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert "default-src 'self'" in headers["content-security-policy"]
    assert "unsafe" not in headers["content-security-policy"].split("script-src")[1].split(";")[0]
    assert {"authorization", "cookie"} <= {name.strip().lower() for name in headers["vary"].split(",")}


def test_what_was_asked_with_a_key_is_kept_by_no_cache(client: TestClient) -> None:
    assert "cache-control" not in client.get("/city").headers
    private = client.get("/city", headers={"Authorization": "Bearer whatever"}).headers["cache-control"]
    assert private == "private, no-store"


def test_a_statement_that_runs_too_long_is_ended(service_engine: Engine) -> None:
    with service_engine.connect() as conn:
        assert conn.exec_driver_sql("SHOW statement_timeout").scalar() == "15s"

"""Log-ins that fail are counted by key and by address: the wait grows, and ends in a lock."""

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyotp
import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient
from sqlalchemy.engine import Engine

from api.main import make_app
from gis import access, login_failures
from gis.login_failures import FROM_ADDRESS, WITH_KEY, Patience
from tests import town


@pytest.fixture(scope="module", autouse=True)
def settled(engine: Engine) -> None:
    with engine.begin() as conn:
        town.add_grids(conn)
        town.add_city(conn)


@pytest.fixture(autouse=True)
def fresh(engine: Engine) -> None:
    with engine.begin() as conn:
        conn.exec_driver_sql("TRUNCATE login_failures")


@pytest.fixture
def here(service_engine: Engine, tmp_path: Path) -> Iterator[TestClient]:
    """The service, with a log of its own."""
    with TestClient(make_app(lambda: service_engine, tmp_path), client=("198.51.100.1", 5)) as made:
        yield made


@pytest.fixture
def admin(engine: Engine) -> access.NewKey:
    with engine.begin() as conn:
        return access.create_key(conn, "admin", scheme="safety", label="admin")


def pass_by(engine: Engine, seconds: float) -> None:
    """Let time pass for those that wait."""
    back = sa.text("UPDATE login_failures SET barred_until = barred_until - make_interval(secs => :s)")
    with engine.begin() as conn:
        conn.execute(back, {"s": seconds})


def wrong(key: access.NewKey) -> dict[str, str]:
    assert key.totp_secret
    code = int(pyotp.TOTP(key.totp_secret).now())
    return {"key": key.key, "code": f"{(code + 5) % 10**6:06}"}


@pytest.mark.parametrize("patience", [WITH_KEY, FROM_ADDRESS, Patience(1, 4, 30), Patience(2, 9, 5)])
def test_waits_grow_and_end_in_a_lock(engine: Engine, service_engine: Engine, patience: Patience) -> None:
    waits = []
    for _ in range(patience.locked_at + 2):
        with service_engine.begin() as conn:
            assert login_failures.count(conn, "key 1", patience) == 0
        with service_engine.begin() as conn:
            waits.append(login_failures.wait(conn, "key 1"))
            told = login_failures.count(conn, "key 1", patience) if waits[-1] else 0
            assert told == pytest.approx(waits[-1], abs=1), "who must wait is told so, and not counted"
        pass_by(engine, waits[-1] + 1)
    growing = [min(2.0**n, patience.longest_s) for n in range(patience.locked_at - patience.free)]
    expected = [0.0] * (patience.free - 1) + growing + [patience.longest_s] * 3
    assert waits == pytest.approx(expected, abs=1)
    with service_engine.begin() as conn:
        assert login_failures.wait(conn, "key 2") == 0, "another has failed nothing"


def test_a_log_in_that_goes_well_begins_anew_and_a_day_forgets(
    engine: Engine, service_engine: Engine
) -> None:
    once = Patience(1, 1, 900)
    with service_engine.begin() as conn:
        for subject in ("key 1", "key 2", "address a"):
            login_failures.count(conn, subject, once)
        login_failures.forget(conn, "key 1")
        assert [login_failures.wait(conn, f"key {n}") > 0 for n in (1, 2)] == [False, True]
    with engine.begin() as conn:
        conn.exec_driver_sql("UPDATE login_failures SET at = at - interval '25 hours'")
    with service_engine.begin() as conn:
        assert login_failures.count(conn, "key 2", once) == 0
    with engine.connect() as conn:
        assert conn.exec_driver_sql("SELECT subject, failures FROM login_failures").all() == [("key 2", 1)]


def test_many_guesses_at_once_are_no_more_than_one_after_the_other(service_engine: Engine) -> None:
    def guess(_: int) -> float:
        with service_engine.begin() as conn:
            return login_failures.count(conn, "key 1", Patience(3, 4, 900))

    with ThreadPoolExecutor(8) as pool:
        waits = list(pool.map(guess, range(40)))
    assert waits.count(0) == 3


def test_codes_of_a_key_are_guessed_from_nowhere(
    here: TestClient, admin: access.NewKey, engine: Engine
) -> None:
    """Each guess comes from another address and waits its turn; then the key is locked, for its owner too."""
    for n in range(WITH_KEY.locked_at):
        elsewhere = TestClient(here.app, client=(f"203.0.113.{n}", 5))
        assert elsewhere.post("/session", json=wrong(admin)).status_code == 401
        if n + 1 < WITH_KEY.locked_at:
            pass_by(engine, 600)
    right = {"key": admin.key, "code": pyotp.TOTP(admin.totp_secret or "").now()}
    locked = here.post("/session", json=right)
    assert locked.status_code == 429
    assert re.fullmatch(r"too many log-ins failed with this key; wait 15 min", locked.json()["detail"])
    assert 890 < int(locked.headers["retry-after"]) <= 900
    assert here.post("/session", json={"key": admin.key}).json()["role"] == "planner", "no code, no guess"
    here.cookies.clear()
    assert here.post("/session", json=right).status_code == 429, "which frees nothing"
    pass_by(engine, 900)
    assert here.post("/session", json=right).status_code == 201
    with engine.connect() as conn:
        assert conn.exec_driver_sql("SELECT count(*) FROM login_failures").scalar() == len(range(10))


def test_an_address_that_fails_waits_and_others_do_not(
    here: TestClient, admin: access.NewKey, engine: Engine
) -> None:
    for n in range(FROM_ADDRESS.free):
        assert here.post("/session", json={"key": f"smk_{n}"}).status_code == 401
    waits = here.post("/session", json={"key": admin.key})
    assert (waits.status_code, waits.headers["retry-after"]) == (429, "1")
    assert waits.json()["detail"] == "too many log-ins failed from this address; wait 1 s"
    assert (
        TestClient(here.app, client=("198.51.100.2", 5)).post("/session", json={"key": admin.key}).is_success
    )
    pass_by(engine, 2)
    assert here.post("/session", json={"key": admin.key}).status_code == 201
    with engine.connect() as conn:
        assert conn.exec_driver_sql("SELECT count(*) FROM login_failures").scalar() == 0


def test_another_process_counts_on(
    here: TestClient, admin: access.NewKey, service_engine: Engine, tmp_path: Path
) -> None:
    with TestClient(make_app(lambda: service_engine, tmp_path / "other"), client=("203.0.113.1", 5)) as other:
        statuses = [one.post("/session", json=wrong(admin)).status_code for one in (here, other, here, other)]
    assert statuses == [401, 401, 401, 429]


@pytest.mark.parametrize("statement", ["SELECT * FROM login_failures", "DELETE FROM login_failures"])
def test_the_service_reads_no_addresses(service_engine: Engine, statement: str) -> None:
    with service_engine.connect() as conn, pytest.raises(sa.exc.ProgrammingError, match="permission denied"):
        conn.exec_driver_sql(statement)

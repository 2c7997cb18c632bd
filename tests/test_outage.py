"""The database dies, stands still and comes back under a service that runs; processes of it are killed."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx2 as httpx
import pytest
import sqlalchemy as sa

from gis import cluster, db
from tests import town
from tests.browsing import wait
from tests.installation import LIMIT_MS, Installation, installation
from tests.serving import HOUSE, path

PUBLIC = [
    "/city",
    "/categories",
    "/layers",
    "/tiles/grids.json",
    f"/grids/at?lon={town.at(1, 1)[0]}&lat={town.at(1, 1)[1]}",
]
PROTECTED = ["/collections/incidents/items", path("incidents", town.at(1, 1))]
GRIDS = path("grids", town.at(1, 1))


@pytest.fixture(scope="module")
def it() -> Iterator[Installation]:
    with installation("outage-") as made:
        yield made


def warm(it: Installation) -> None:
    """Let both processes keep what is asked for; which of them answers is not ours to say."""
    for _ in range(40):
        for asked in (GRIDS, HOUSE, *PROTECTED):
            assert it.get(asked, known=True).status_code in (200, 204), asked
        assert it.get(GRIDS).status_code == 200


def refused_well(answer: httpx.Response) -> None:
    assert answer.status_code == 503, (answer.url, answer.status_code, answer.text)
    assert answer.headers["content-type"] == "application/problem+json"
    assert int(answer.headers["retry-after"]) >= 1
    told = answer.json()
    assert told["status"] == 503
    assert told["detail"]
    assert "Traceback" not in answer.text
    assert "psycopg" not in answer.text


def outage(it: Installation, within_s: float) -> None:
    """What holds while the database is not there."""
    for asked, known in [(one, known) for one in PUBLIC for known in (False, True)] + [
        (one, True) for one in PROTECTED
    ]:
        begun = time.monotonic()
        refused_well(it.get(asked, known=known))
        assert time.monotonic() - begun < within_s, asked
        assert it.lives()
    refused_well(it.get("/health/ready"))
    lon, lat = town.at(1, 1)
    report = {"category": "0101", "source": "citizen", "occurred_at": "2025-06-01T00:00:00Z"}
    written = it.client.post("/incidents", json=report | {"lon": lon, "lat": lat}, headers=it.known)
    refused_well(written)
    for page in ("/", "/planner", "/docs"):
        assert it.get(page, known=True).status_code == 200


@contextmanager
def without_database(it: Installation) -> Iterator[None]:
    """Kill the database, wait until every process has noticed, and have it up again whatever comes."""
    it.kill_database()
    try:
        asked = [(one, known) for one in (GRIDS, HOUSE) for known in (False, True)] * 6
        wait(lambda: all("warning" in it.get(one, known=known).headers for one, known in asked))
        yield
    finally:
        cluster.up(it.home)


def stale(it: Installation) -> None:
    for asked in (GRIDS, HOUSE):
        for known in (False, True):
            answer = it.get(asked, known=known)
            assert answer.status_code == 200, (asked, known, answer.text)
            assert answer.headers["warning"].startswith("110 ")
            assert answer.headers["cache-status"] == "tiles; hit; detail=stale"
            assert answer.headers["cache-control"] == "no-store"
            assert answer.content


def comes_back(it: Installation, since: float) -> None:
    """See all of it as before within 30 s, in both processes."""

    def wrong() -> list[str]:
        answers = [it.get(asked, known=True) for asked in (GRIDS, *PUBLIC, *PROTECTED) for _ in range(3)]
        unwell = [one for one in answers if one.status_code not in (200, 204) or "warning" in one.headers]
        return [f"{one.url.path} {one.status_code} {one.headers.get('warning')}" for one in unwell]

    while found := wrong():
        assert time.monotonic() - since < 30, found
    assert time.monotonic() - since < 30
    assert it.is_ready()


def test_a_killed_database_is_told_and_its_return_is_noticed(it: Installation) -> None:
    warm(it)
    with without_database(it):
        outage(it, within_s=8)
        stale(it)
    comes_back(it, time.monotonic())


def test_what_was_changed_meanwhile_is_shown_afterwards(it: Installation) -> None:
    warm(it)
    before = it.get(HOUSE).content
    with without_database(it):
        stale(it)
    engine = db.make_engine(cluster.up(it.home))
    with engine.begin() as conn:
        conn.execute(sa.text("UPDATE buildings SET address = 'changed'"))
    engine.dispose()
    comes_back(it, time.monotonic())
    assert {it.get(HOUSE).content for _ in range(8)} != {before}
    assert b"changed" in it.client.get(HOUSE, headers={"Accept-Encoding": "identity"}).content


def test_a_database_that_stands_still_is_refused_in_time(it: Installation) -> None:
    warm(it)
    pids = it.database()
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        outage(it, within_s=LIMIT_MS / 1000 + 10)
        stale(it)
    finally:
        for pid in pids[::-1]:
            os.kill(pid, signal.SIGCONT)
    comes_back(it, time.monotonic())


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSEGV, signal.SIGABRT])
def test_a_killed_process_is_replaced(it: Installation, how: signal.Signals) -> None:
    before, started = it.processes(), it.log.read_text().count("Application startup complete")
    assert len(before) == 2
    victim = min(before)
    os.kill(victim, how)
    wait(lambda: len(it.processes() - {victim}) == 2)
    wait(lambda: it.log.read_text().count("Application startup complete") > started)
    assert victim not in it.processes()
    assert all(it.lives() for _ in range(10))


def test_the_log_says_it_once_and_knows_no_bug(it: Installation) -> None:
    said = it.log.read_text()
    assert '"bug"' not in said
    assert "Traceback" not in said
    assert 1 <= said.count("changes.cut_off") < 40, "not with every try"

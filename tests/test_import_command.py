"""`safetymap import` as a process: what a dry run, a commit and kill -9 leave behind."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine, make_url
from typer.testing import CliRunner

from api.cli import app
from tests import town
from tests.test_import import frame

Command = Callable[..., subprocess.Popen[str]]
OTHERS = (
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
)
WAITING = f"{OTHERS} AND wait_event_type = 'Lock'"


@pytest.fixture(scope="module")
def city(engine: Engine) -> Iterator[Engine]:
    """The town with its categories, committed."""
    with engine.begin() as conn:
        town.add_grids(conn)
        town.add_city(conn)
    yield engine
    engine.dispose()


@pytest.fixture
def safetymap(city: Engine, tmp_path: Path) -> Command:
    """Start the command on the module's database."""
    url = make_url(city.url).set(drivername="postgresql").render_as_string(hide_password=False)
    env = {**os.environ, "SAFETYMAP_DATABASE_URL": url, "SAFETYMAP_DATA_DIR": str(tmp_path)}

    def start(*words: object) -> subprocess.Popen[str]:
        program = [sys.executable, "-c", "from api.cli import app; app()", *map(str, words)]
        return subprocess.Popen(program, env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    return start


def state(engine: Engine) -> list[int]:
    tables = ("incidents", "batches", "cells")
    with engine.connect() as conn:
        return [conn.execute(sa.text(f"SELECT count(*) FROM {name}")).scalar_one() for name in tables]


def ask(engine: Engine, question: str) -> int:
    """Ask in a transaction of its own: within one, the server's activity stands still."""
    with engine.connect() as conn:
        return int(conn.execute(sa.text(question)).scalar_one())


def until(question: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not question():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_a_dry_run_keeps_nothing_and_a_commit_all(city: Engine, safetymap: Command, tmp_path: Path) -> None:
    data = frame(300)
    data.loc[5, "category"] = "nope"
    data.to_csv(tmp_path / "f.csv", index=False)
    before = state(city)
    dry = safetymap("import", "incidents", tmp_path / "f.csv", "--datum", "wgs84")
    told, _ = dry.communicate()
    assert dry.returncode == 0
    assert "300" in told
    assert "299" in told
    assert "dry run" in told
    assert "unknown category" in told
    assert state(city) == before
    assert len(list((tmp_path / "refused").glob("f-*.csv"))) == 1
    wet = safetymap("import", "incidents", tmp_path / "f.csv", "--commit", "--datum", "wgs84")
    wet.communicate()
    assert wet.returncode == 0
    assert state(city)[:2] == [before[0] + 299, before[1] + 1]


def test_an_import_that_refuses_every_row_is_a_failure(safetymap: Command, tmp_path: Path) -> None:
    frame(3).assign(category="nope").to_csv(tmp_path / "f.csv", index=False)
    done = safetymap("import", "incidents", tmp_path / "f.csv", "--commit", "--datum", "wgs84")
    told, wrong = done.communicate()
    assert (done.returncode, "unknown category" in told, "every row was refused" in wrong) == (1, True, True)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("import", "aliens", "f.csv"), "use one of grids"),
        (("import", "cameras", "nowhere.csv"), "no file at nowhere.csv"),
        (("demo", "atlantis"), "use zhuzhou or chicago"),
    ],
)
def test_a_failure_is_one_line_and_a_status(words: tuple[str, ...], told: str) -> None:
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 1
    assert told in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


def test_kill_9_leaves_nothing_half_in(city: Engine, safetymap: Command, tmp_path: Path) -> None:
    data = frame(3000, seed=11)
    data["origin_id"] = "k" + data["origin_id"]
    data.to_parquet(tmp_path / "k.parquet")
    before = state(city)
    with city.begin() as holder:
        # The cells come last: the child is stopped with every incident inserted and nothing committed.
        holder.execute(sa.text("LOCK TABLE cells IN SHARE MODE"))
        child = safetymap("import", "incidents", tmp_path / "k.parquet", "--commit", "--datum", "wgs84")
        until(lambda: ask(city, WAITING) == 1)
        child.send_signal(signal.SIGKILL)
        assert child.wait() == -signal.SIGKILL
    child.communicate()
    city.dispose()
    until(lambda: ask(city, OTHERS) == 0)
    assert state(city) == before
    again = safetymap("import", "incidents", tmp_path / "k.parquet", "--commit", "--datum", "wgs84")
    again.communicate()
    assert state(city)[0] == before[0] + 3000


def test_brackets_in_a_name_are_told_as_they_are(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["import", "incidents", str(tmp_path), "--mapping", "[/red].toml"])
    assert (done.exit_code, "no mapping '[/red].toml'" in done.stderr) == (1, True)


def test_a_place_that_cannot_be_written_is_told_in_one_line(safetymap: Command) -> None:
    done = safetymap("export", "grids", "/nowhere/grids.csv")
    _, told = done.communicate()
    assert (done.returncode, len(told.splitlines()), "/nowhere" in told) == (1, 1, True), told

"""Cities of one's own by the commands of docs/own-city.md alone: what is wrong in their files is told."""

import json
import re
import uuid
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient
from sqlalchemy.engine import Engine
from typer.testing import CliRunner

from api import access
from api.cli import app
from api.main import make_app
from gis import db, schema
from gis.access import Principal

CITIES = Path(__file__).parent / "cities"
Say = Callable[..., str]


@pytest.fixture
def store(server: sa.URL, administer: Callable[..., None], template: str) -> Iterator[Engine]:
    """An empty migrated database for one journey."""
    name = f"test_city_{uuid.uuid4().hex[:8]}"
    administer(f"CREATE DATABASE {name} TEMPLATE {template}")
    made = db.make_engine(server.set(database=name).render_as_string(hide_password=False))
    yield made
    made.dispose()
    administer(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def say(store: Engine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Say:
    """Speak a command over the journey's database and return what it says; refused rows go to tmp_path."""
    monkeypatch.setattr(db, "work_engine", lambda: store)

    def speak(*words: object, status: int = 0) -> str:
        line = [str(word) for word in words]
        if line[0] == "import":
            line += ["--refused", str(tmp_path / "refused.csv")]
        result = CliRunner().invoke(app, line)
        assert result.exit_code == status, f"{line}: {result.output}"
        return result.output

    return speak


@pytest.fixture
def ask(store: Engine, tmp_path: Path) -> Iterator[TestClient]:
    """The service over the journey's database, asked by an admin."""
    service = make_app(lambda: store, tmp_path)
    service.dependency_overrides[access.who] = lambda: Principal("admin", full_role="admin", may_export=True)
    with TestClient(service, raise_server_exceptions=False) as made:
        yield made


def counts(told: str) -> dict[str, int]:
    """Rows, accepted, refused, inserted … of the one file that an import told of."""
    head, row = (line for line in told.splitlines() if re.search(r" rows  | \d+  +\d+ ", line))
    return dict(zip(head.split()[2:], map(int, row.split()[-7:]), strict=True))


def areas(tmp_path: Path) -> list[tuple[str, float]]:
    path = tmp_path / "refused.faults.geojson"
    told = json.loads(path.read_text())["features"] if path.exists() else []
    path.unlink(missing_ok=True)
    return [(one["properties"]["kind"], one["properties"]["area_m2"]) for one in told]


def answers(ask: TestClient, lon: float, lat: float, scheme: str, on: str = "2016-08-01") -> list[str]:
    answer = ask.get("/grids/at", params={"lon": lon, "lat": lat, "scheme": scheme, "on": on})
    return [link["code"] for link in answer.json()["chain"]]


def walk_over(ask: TestClient, code: str, first: str, last: str) -> None:
    """Page, search, hotspots, a tile and a plan answer."""
    assert ask.get("/health/ready").json()["status"] == "ready"
    assert ask.get("/", headers={"Accept": "text/html"}).status_code == 200
    city = ask.get("/city").json()
    assert city["examples"]["code"]
    found = ask.get("/grids/search", params={"q": city["examples"]["text"] or code}).json()
    assert found["matches"]
    hot = ask.get("/hotspots", params={"from": first, "to": last, "res": 8}).json()
    assert sum(cell["count"] for cell in hot["cells"]) == hot["incidents"] > 0
    plan = {"scope": code, "title": "first", "effective_on": "2030-01-01"}
    assert ask.post("/plans", json=plan).status_code == 201


def test_washington(realdata: Path, say: Say, ask: TestClient, store: Engine, tmp_path: Path) -> None:
    there, mapping = realdata / "dc", CITIES / "dc"
    for name in ("police_fire_boundaries_2016", "boundaries_2002_2012_2013"):
        with zipfile.ZipFile(there / f"{name}.zip") as packed:
            packed.extractall(tmp_path)

    def grids(layer: str, name: str, *more: object, status: int = 0) -> str:
        words = ("import", "grids", tmp_path / f"{layer}.geojson", "--mapping", mapping / f"{name}.toml")
        return say(*words, "--commit", *more, status=status)

    assert "city is not set" in say("city", "show")
    assert counts(grids("police-districts-mpd", "districts"))["inserted"] == 7
    grids("police-service-areas-psa", "psa", status=1)
    told = areas(tmp_path)
    outside = sum(area for kind, area in told if kind in ("outside_parent", "unmatched_vertices"))
    nobody = sum(area for kind, area in told if kind in ("orphan", "gap", "hole", "sliver"))
    assert outside == pytest.approx(8_467, rel=0.02)
    assert nobody == pytest.approx(97_942, rel=0.02)
    assert counts(grids("police-service-areas-psa", "psa", "--accept-faults"))["inserted"] == 56
    for year, ward, wards in ((2002, 2002, 8), (2013, 2012, 8)):
        assert counts(grids(f"ward-{ward}", f"ward-{year}", "--accept-faults"))["accepted"] == wards
        tmp_path.joinpath("refused.faults.geojson").unlink(missing_ok=True)
        told_ancs = counts(
            grids(f"advisory-neighborhood-commission-{year}", f"anc-{year}", "--accept-faults")
        )
        assert told_ancs["accepted"] == {2002: 37, 2013: 40}[year]
        stray = sum(area for kind, area in areas(tmp_path) if kind == "outside_parent")
        assert stray == pytest.approx({2002: 11.7e6, 2013: 9.7e6}[year], rel=0.02)
    assert say("levels", "show").count("grids") >= 5

    crime = ("import", "incidents", there / "crime-incidents-last-30-days.geojson")
    crime += ("--mapping", mapping / "incidents.toml")
    told_crime = say(*crime, status=1)
    assert "THEFT/OTHER × 1214, THEFT F/AUTO × 824" in told_crime
    say("import", "categories", mapping / "categories.csv", "--commit")
    kept = counts(say(*crime, "--commit"))
    assert (kept["rows"], kept["inserted"] + kept["refused"]) == (2_870, 2_870)
    assert kept["refused"] <= 30
    say(
        "import",
        "cameras",
        there / "cctv-street-cameras.geojson",
        "--mapping",
        mapping / "cameras.toml",
        "--commit",
    )
    for name in ("police-stations", "fire-stations"):
        say("import", "places", there / f"{name}.geojson", "--mapping", mapping / "places.toml", "--commit")
    # Local clock times: the shift that the file names is the one that the store's times fall into.
    with store.connect() as conn:
        at = sa.func.timezone("America/New_York", schema.incidents.c.reported_at)
        stored = dict(conn.execute(sa.select(schema.incidents.c.origin_id, at)).all())
    truth = gpd.read_file(there / "crime-incidents-last-30-days.geojson")
    shift = {"DAY": range(7, 15), "EVENING": range(15, 23)}
    fits = [
        stored[str(row.OBJECTID)].hour in shift.get(row.SHIFT, (23, *range(7)))
        for row in truth.itertuples() if str(row.OBJECTID) in stored
    ]  # fmt: skip
    assert np.mean(fits) > 0.99

    for _ in range(2):
        assert "too short for a trial" in say("refresh")
    assert answers(ask, -77.0234621, 38.8998135, "police") == ["102", "1"]
    assert answers(ask, -77.0234621, 38.8998135, "anc", "2010-01-01")[-1] == "2"
    assert ask.get("/city").json()["timezone"] == "America/New_York"
    walk_over(ask, "1", "2016-07-17", "2016-08-16")

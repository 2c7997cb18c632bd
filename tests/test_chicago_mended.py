"""Chicago's beats and wards with seeded faults, over HTTP: mended by proposals, drawn on, decided, published.

The faults are known, since they are made here; the judge of what is stored in the end is shapely alone.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely
from fastapi.testclient import TestClient
from numpy.random import Generator
from shapely.geometry import mapping as as_json
from shapely.geometry import shape as as_shape
from shapely.geometry.base import BaseGeometry
from sqlalchemy.engine import Engine

from gis import access, coverage
from gis.importing import mapping
from gis.importing.frames import from_frame
from gis.importing.job import Options
from gis.importing.run import run
from tests import recorded

pytestmark = pytest.mark.realdata
UNIT = 1e-7
"""Degrees of one unit of the fixed precision."""
OF_EACH = 16
"""Overlaps and gaps that are seeded, each."""
Shapes = dict[str, BaseGeometry]
Ask = Callable[..., Any]


@dataclass(frozen=True)
class Map:
    """A level of the file, since when, the levels above it, and two grids whose border is drawn anew."""

    level: str
    since: str
    above: tuple[str, ...]
    redrawn: tuple[str, str]


MAPS = {
    "beats": Map("beat", "2012-12-19", ("city", "sector"), ("1811", "1432")),
    "wards": Map("ward", "2015-05-18", ("city",), ("01", "32")),
}


def _rows(one: Map, realdata: Path) -> gpd.GeoDataFrame:
    """The lowest grids, on the fixed precision and with each other's vertices."""
    table = gpd.read_parquet(realdata / "chicago" / "grids.parquet").to_crs(4326)
    found = table[(table["level"] == one.level) & (table["valid_from"].astype(str).str[:10] == one.since)]
    shapes, _ = coverage.snap(found.geometry.to_numpy())
    code = found["code"].astype(str)
    columns = {"code": code, "name": code, "scheme": one.level, "level": len(one.above) + 1}
    rows = pd.DataFrame(columns | {"city": "CHI", "sector": "S" + code.str[:3]})
    rows = rows.assign(valid_from=pd.Timestamp("2020-01-01").date())
    kept = [*columns, *one.above, "valid_from"]
    return gpd.GeoDataFrame(rows[kept], geometry=shapes, crs=4326)


def _borders(shapes: Shapes) -> list[tuple[str, str, BaseGeometry]]:
    """Each two grids with their longest common line."""
    codes = sorted(shapes)
    one, other = shapely.STRtree([shapes[c] for c in codes]).query([shapes[c] for c in codes], "intersects")
    found = []
    for i, j in zip(one.tolist(), other.tolist(), strict=True):
        if i < j and not (line := _border(shapes[codes[i]], shapes[codes[j]])).is_empty:
            found.append((codes[i], codes[j], line))
    return found


def _border(one: BaseGeometry, other: BaseGeometry) -> BaseGeometry:
    """The longest line that two polygons have in common."""
    common = shapely.get_parts(shapely.intersection(one, other))
    lines = [part for part in common if part.geom_type == "LineString"]
    if not lines:
        return shapely.LineString()
    return max(shapely.get_parts(shapely.line_merge(shapely.MultiLineString(lines))), key=shapely.length)


def _seeded(shapes: Shapes, rng: Generator) -> list[BaseGeometry]:
    """Overlap and tear grids at chance borders, in place; where. Gaps of 100 m² may be meant."""
    whole = shapely.union_all(list(shapes.values()))
    long = [border for border in _borders(shapes) if border[2].length > 4000 * UNIT]
    places: list[BaseGeometry] = []
    for one, other, line in (long[i] for i in rng.permutation(len(long))):
        x, y = shapely.get_coordinates(line.interpolate(0.5, normalized=True))[0]
        wide, high = rng.integers(60, 500, 2) * UNIT
        box = shapely.box(x - wide, y - high, x + wide, y + high)
        if len(places) == 2 * OF_EACH or not whole.contains(box):
            continue
        if len(places) % 2:
            shapes[one], shapes[other] = shapes[one].union(box), shapes[other].union(box)
        else:
            shapes[one], shapes[other] = shapes[one].difference(box), shapes[other].difference(box)
        places.append(box)
    assert len(places) == 2 * OF_EACH
    return places


def _faulty(shapes: Shapes, sound: BaseGeometry) -> BaseGeometry:
    """Where grids have ground in common, and where none has any of a sound map's."""
    each = np.array(list(shapes.values()), dtype=object)
    one, other = shapely.STRtree(each).query(each, "intersects")
    twice = shapely.intersection(each[one[one < other]], each[other[one < other]])
    return shapely.union_all([*twice, sound.difference(shapely.union_all(each))])


def _imported(engine: Engine, one: Map, rows: gpd.GeoDataFrame, to: Path) -> None:
    levels = [mapping.Level(level=n, name_zh=f"{n}", name_en=f"{n}") for n in range(1, len(one.above) + 2)]
    scheme = mapping.Scheme(
        name=one.level, title_zh="芝加哥", title_en="Chicago", default=False, levels=levels
    )
    declared = mapping.plain("grids", "test").model_copy(update={"schemes": [scheme]})
    options = Options(
        mapping=declared, datum="wgs84", refused=to / "refused.csv", dissolve=one.above, accept_faults=True
    )
    with engine.begin() as conn:
        access.enter(conn, access.COMMAND)
        recorded.add_scheme(conn, one.level, len(one.above) + 1)
        done = run(conn, "grids", from_frame(rows, one.level), options)
    assert (done.rows, done.refused) == (len(rows), 0)


def _stored(engine: Engine, scheme: str) -> Shapes:
    with engine.connect() as conn:
        access.enter(conn, access.COMMAND)
        return recorded.polygons(conn, scheme)


@pytest.fixture(scope="module")
def ask(engine: Engine, here: TestClient) -> Ask:
    """Ask the service as one of two people."""
    with engine.begin() as conn:
        access.enter(conn, access.COMMAND)
        recorded.add_scheme(conn, "other", 1, default=True)
        keys = {
            role: access.create_key(conn, role, scheme="other", label=role, demo=role == "approver").key
            for role in ("planner", "approver")
        }

    def answer(role: str, method: str, path: str, body: Any = None) -> Any:
        headers = {"Authorization": f"Bearer {keys[role]}"}
        got = here.request(method, path, headers=headers, json=body)
        assert got.status_code in {200, 201}, f"{path}: {got.text[:2000]}"
        return got.json()

    return answer


def _m2(shape: BaseGeometry) -> float:
    """Square metres."""
    return float(coverage.areas_m2(np.array([shape], dtype=object))[0])


def _solid_m2(shape: BaseGeometry) -> float:
    """Square metres of what is wider than two units."""
    return _m2(shapely.buffer(shape, -1.1 * UNIT))


def _redrawn(shapes: Shapes, pair: tuple[str, str]) -> BaseGeometry:
    """A line that begins and ends beside the border of two grids and goes 7 m into one between."""
    border = _border(*(shapes[code] for code in pair))
    start, middle, end = (
        shapely.get_coordinates(border.interpolate(at, normalized=True))[0] for at in (0.3, 0.5, 0.7)
    )
    across = np.array([-(end - start)[1], (end - start)[0]]) / np.hypot(*(end - start))
    return shapely.LineString(
        [start - 60 * UNIT * across, middle + 700 * UNIT * across, end - 60 * UNIT * across]
    )


@pytest.mark.parametrize("name", MAPS)
def test_seeded_faults_are_mended_and_published(
    name: str, realdata: Path, engine: Engine, ask: Ask, tmp_path: Path
) -> None:
    one = MAPS[name]
    rows = _rows(one, realdata)
    shapes: Shapes = dict(zip(rows["code"], rows.geometry, strict=True))
    sound = shapely.union_all(list(shapes.values()))
    seeded = _seeded(shapes, np.random.default_rng(13))
    _imported(engine, one, rows.set_geometry([shapes[c] for c in rows["code"]], crs=4326), tmp_path)
    before = _stored(engine, one.level)
    made = ask("planner", "POST", "/plans", {"scope": "CHI", "title": name, "scheme": one.level})
    plan = f"/plans/{made['id']}"

    proposed = ask("planner", "POST", f"{plan}/mend", {})["proposals"]
    there = shapely.union_all([as_shape(found["geometry"]) for found in proposed["features"]])
    faulty = _faulty(shapes, sound)
    assert all(_solid_m2(faulty.intersection(box)) > 1 for box in seeded)
    assert _solid_m2(faulty.difference(there)) == 0
    mended = ask("planner", "POST", f"{plan}/mend", {"accept": "all"})
    assert mended["skipped"] == []
    assert ask("planner", "POST", f"{plan}/mend", {})["proposals"]["count"] == 0
    drawn = by_code(ask("planner", "GET", f"{plan}/grids"))
    line = _redrawn(drawn, one.redrawn)
    step = {"op": "reshape", "codes": list(one.redrawn), "line": as_json(line)}
    stepped = by_code(ask("planner", "POST", f"{plan}/steps", step)["grids"])
    passed = shapely.symmetric_difference(drawn[one.redrawn[0]], stepped[one.redrawn[0]])
    assert _m2(passed) > 500
    assert ask("planner", "GET", f"{plan}/faults")["errors"] == 0
    impact = ask("planner", "GET", f"{plan}/impact")["uppers"]
    for role, what in (("planner", "submit"), ("approver", "approve"), ("approver", "publish")):
        ask(role, "POST", f"{plan}/{what}")

    after = _stored(engine, one.level)
    assert set(after) == set(before)
    lowest = [after[code] for code in shapes]
    whole = shapely.union_all(lowest)
    assert sum(map(_m2, lowest)) == pytest.approx(_m2(whole), abs=0.05), "no overlap is left"
    assert _solid_m2(sound.difference(whole)) == 0, "no gap is left"
    parent = dict(zip(rows["code"], rows[one.above[-1]], strict=True))
    for code in set(parent.values()):
        children = shapely.union_all([after[child] for child in shapes if parent[child] == code])
        assert _m2(after[code].symmetric_difference(children)) < 0.05, code
    assert _m2(after["CHI"].symmetric_difference(whole)) < 0.05
    named = shapely.union_all([there, passed])
    for code, shape in after.items():
        assert _solid_m2(shape.symmetric_difference(before[code]).difference(named)) == 0, code
    told = {upper["code"]: (upper["area_m2_before"], upper["area_m2_after"]) for upper in impact}
    areas = {code: (_m2(before[code]), _m2(after[code])) for code in told}
    assert {c: pytest.approx(pair, abs=0.01) for c, pair in areas.items()} == told
    uppers = set(after) - set(shapes)
    assert {c for c in uppers if _solid_m2(after[c].symmetric_difference(before[c])) > 0.05} <= set(told)


def by_code(collection: Any) -> Shapes:
    """The shapes of a collection by code."""
    return {one["properties"]["code"]: as_shape(one["geometry"]) for one in collection["features"]}

"""Real maps with faults, the whole way: imported with `--dissolve`, mended by proposals, planned, published.

The judge is shapely on what is stored, apart from the code that draws: the areas of the grids, of their union
and of the union of what was drawn.
"""

import re
import warnings
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely
import sqlalchemy as sa
from shapely.geometry.base import BaseGeometry
from sqlalchemy.engine import Connection

from bench.publications import at_the_border
from gis import coverage, plan_faults, plan_mend, plans, publishing, schema
from gis.access import COMMAND, Principal, enter
from gis.importing import mapping
from gis.importing.frames import from_frame
from gis.importing.job import Options, Outcome
from gis.importing.run import run
from gis.mend import Proposal
from gis.settle import Coverage
from tests import recorded

pytestmark = [
    pytest.mark.realdata,
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore"),
]
PLANNER = Principal("planner", name="planner", full_role="planner")
APPROVER = Principal("approver", name="approver", full_role="approver")
SCHEME = "real"
_RING = re.compile(r"<(outer|inner)BoundaryIs>.*?<coordinates>(.*?)</coordinates>", re.DOTALL)


@dataclass(frozen=True)
class Map:
    """A published map: its file, the column with the codes, and how columns of its levels are made of it."""

    file: str
    code: str
    levels: dict[str, str | int] = field(default_factory=dict)
    """From the highest level down: a column, or how many signs of the code."""


MAPS = {
    "korea 2018": Map("coverages/kr_submunicipalities_2018.topojson", "code", {"province": 2, "town": 5}),
    "korea 2013": Map(
        "coverages/kr_submunicipalities_2013_simple.topojson", "code", {"province": 2, "town": 5}
    ),
    "precincts": Map(
        "coverages/kr_assembly_precincts_20_2016-geo.json", "precinct_no", {"region": "province"}
    ),
    "us counties": Map("coverages/us_counties_kml_in_csv.csv.gz", "State-County", {"state": "State Abbr."}),
    "cambridge": Map("cambridge/ASSESSING_ParcelsFY2014.topojson", "ML", {"sheet": "MAP"}),
}


def _kml(text: str) -> BaseGeometry | None:
    """The polygon of a KML text, None for one without a ring."""
    rings = [
        (kind, [tuple(map(float, at.split(",")[:2])) for at in places.split()])
        for part in str(text).split("<Polygon>")[1:]
        for kind, places in _RING.findall(part)
    ]
    shells: list[tuple[list[tuple[float, ...]], list[list[tuple[float, ...]]]]] = []
    for kind, ring in rings:
        if len(ring) > 3 and kind == "outer":
            shells.append((ring, []))
        elif len(ring) > 3 and shells:
            shells[-1][1].append(ring)
    return shapely.MultiPolygon([shapely.Polygon(*shell) for shell in shells]) if shells else None


_NOTHING = dict.fromkeys(["-", "--"], "unmapped")
"""What imports read as nothing, so that a row of it would be refused."""


def _frame(one: Map, realdata: Path) -> gpd.GeoDataFrame:
    """A map's rows as an import takes them: code, name, level, and a column for each level above."""
    path = realdata / one.file
    if ".csv" in one.file:
        table = pd.read_csv(path, dtype=str)
        table = table.assign(geometry=[_kml(text) for text in table["geometry"]])
    else:
        table = gpd.read_file(path)
    code = table[one.code].astype(str)
    above = {
        name: code.str[:how] if isinstance(how, int) else table[how].fillna("-").replace(_NOTHING)
        for name, how in one.levels.items()
    }
    columns = {"code": code, "name": code, "scheme": SCHEME, "level": len(one.levels) + 2} | above
    there = pd.DataFrame(columns).assign(valid_from=pd.Timestamp("2020-01-01").date())
    return gpd.GeoDataFrame(there, geometry=np.array(table["geometry"], dtype=object), crs=4326)


def _imported(conn: Connection, one: Map, frame: gpd.GeoDataFrame, to: Path) -> Outcome:
    ranks = [{"level": n, "name_zh": f"{n}", "name_en": f"{n}"} for n in range(1, len(one.levels) + 3)]
    scheme = {"name": SCHEME, "title_zh": SCHEME, "title_en": SCHEME, "default": True, "levels": ranks}
    declared = mapping.plain("grids", "test").model_copy(
        update={"schemes": [mapping.Scheme.model_validate(scheme)]}
    )
    options = Options(
        mapping=declared, datum="wgs84", refused=to / "refused.csv", dissolve=tuple(one.levels),
        accept_faults=True, repair=True,
    )  # fmt: skip
    return run(conn, "grids", from_frame(frame, "real"), options)


def _cut(cov: Coverage) -> dict[str, object]:
    """A split of the grid with the longest stretch of the outline, from its middle to both sides."""
    code = at_the_border(cov)
    shape = cov.shapes[code]
    west, _, east, _ = coverage.to_degrees(shape).bounds
    y, room = coverage.to_degrees(shape.point_on_surface()).y, (east - west) / 100
    line = shapely.LineString([(max(west - room, -180), y), (min(east + room, 180), y)])
    return {"op": "split", "code": code, "line": shapely.geometry.mapping(line), "confirm_pieces": 500}


def _union_m2(shapes: Iterable[BaseGeometry]) -> tuple[float, float]:
    """The area of shapes one by one and of their union, in m²."""
    valid = np.array(list(shapes), dtype=object)
    return float(coverage.areas_m2(valid).sum()), float(coverage.areas_m2(shapely.union_all(valid))[0])


@pytest.mark.parametrize("name", MAPS)
def test_a_real_map_is_imported_mended_planned_and_published(
    name: str, realdata: Path, conn: Connection, tmp_path: Path
) -> None:
    one = MAPS[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        frame = _frame(one, realdata)
    recorded.add_scheme(conn, SCHEME, len(one.levels) + 2, default=True)
    told = _imported(conn, one, frame, tmp_path)
    assert told.accepted + told.refused == len(frame)
    enter(conn, COMMAND)
    g = schema.grids.c
    top = str(conn.execute(sa.select(g.code).where(g.level == 1)).scalar_one())
    before = recorded.polygons(conn, SCHEME)
    plan = plans.create(conn, PLANNER, top, "mend", None, SCHEME).id
    taken = _mended(conn, plan)
    here = plans.draft(conn, plan)
    left = [
        fault for fault in plan_faults.of_all(conn, here.base.cov, here.cov, {}) if fault.severity == "error"
    ]
    lone = [one for one in plan_mend.proposals(here.cov) if one.sure]
    assert all(one.kind == "loose_piece" and not one.to for one in lone)
    kinds = Counter(fault.kind for fault in left)
    assert kinds.pop("loose_piece", 0) == len(lone) * (len(one.levels) + 2), "each told once per level"
    assert set(kinds) <= {"gap", "hole", "orphan"}, "ground that may be meant"
    plans.take(conn, PLANNER, plan, _cut(here.cov))
    plans.submit(conn, plan)
    plans.approve(conn, APPROVER, plan)
    published = publishing.publish(conn, plan)
    assert published.revision > 1
    after = recorded.polygons(conn, SCHEME)
    lowest = sorted(set(after) - _parents(conn))
    alone, together = _union_m2(after[code] for code in lowest)
    assert alone == pytest.approx(together, abs=1 + 1e-9 * together), "nothing is owned twice"
    print(  # noqa: T201 - the proof's figures
        f"{name}: {len(frame)} rows, {told.refused} refused; {len(before)} grids; {len(taken)} proposals"
        f" of {sum(p.area_m2 for p in taken):.0f} m² taken; {len(left) - len(lone)} gaps left as"
        f" may be meant, {len(lone)} lone bits;"
        f" revision {published.revision}"
    )


def _mended(conn: Connection, plan: int) -> list[Proposal]:
    """Take what can only be a mistake until nothing is left of it but pieces that no grid lies beside."""
    taken: list[Proposal] = []
    while any(one.sure and one.to for one in plan_mend.proposals(plans.draft(conn, plan).cov)):
        done = plan_mend.accept(conn, PLANNER, plan, "sure")
        assert set(done.skipped.values()) <= {"to: no grid lies beside it"}
        taken += done.taken
    return taken


def _parents(conn: Connection) -> set[str]:
    g = schema.grids.c
    return set(conn.execute(sa.select(g.parent_code).where(g.parent_code.is_not(None))).scalars())

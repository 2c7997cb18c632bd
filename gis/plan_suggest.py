"""A suggestion as one group of steps of a draft: unit grids brought into the wanted number of households."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import orjson
import shapely
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from gis import coverage, faults, plans, suggest, tree_cut
from gis.access import Principal
from gis.atoms import Atoms, atoms
from gis.case import HouseholdRange, Surroundings, parse
from gis.coverage import Floats, Geoms, Ints
from gis.errors import BadInput, Problem
from gis.plan_around import near, surroundings
from gis.plans import Draft
from gis.schema import buildings
from gis.settle import Coverage
from gis.splitting import LABEL

MOST_BUILDINGS = 20_000
"""Buildings that one suggestion looks at: some ten seconds' work."""
SEEDS = 5
"""Attempts to cut a grid in two by a line that can be drawn."""
JUDGED = (
    faults.bow_tie, faults.loose_piece, faults.not_contiguous, faults.compactness,
    faults.building_split, faults.barrier_crossed,
)  # fmt: skip
"""What a step must not add to the grids that it changes; gaps and overlaps it cannot make."""


@dataclass(frozen=True)
class Unresolved:
    """A grid that stays out of range: its households, why, and the kinds of fault that stood in the way."""

    code: str
    households: int
    reason: str
    refused: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Suggested:
    """The one step of the tree that holds all taken, what they do, and the grids still out of range.

    `in_range` counts grids before and after, of `grids` before and after.
    """

    steps: list[int]
    taken: list[dict[str, Any]]
    skipped: list[str]
    moved_share: float
    grids: tuple[int, int]
    in_range: tuple[int, int]
    unresolved: list[Unresolved]


class Work:
    """A draft while a suggestion is drawn on it step by step; each is judged before it is kept."""

    def __init__(self, conn: Connection, here: Draft, codes: list[str]) -> None:
        self.conn, self.here, self.codes = conn, here, codes
        self.around = surroundings(conn, [here.cov.geometry(code) for code in codes])
        self._houses = shapely.STRtree(list(self.around.buildings))
        self._walls = shapely.STRtree(list(self.around.barriers))
        self.ground = self._atoms()
        self.unit = self.ground.grid.copy()
        self.steps: list[dict[str, Any]] = []
        self.skipped: list[str] = []

    def _atoms(self) -> Atoms:
        cov = self.here.cov
        places, households = _places(self.conn, self.here, self.codes)
        outlines = _outlines(self.conn, self.here, self.codes, places)
        walls = list(coverage.to_units(np.array(list(self.around.barriers), dtype=object)))
        shapes = [cov.shapes[code] for code in self.codes]
        return atoms(shapes, places, outlines, households, walls)

    @property
    def households(self) -> Floats:
        """The households of each unit."""
        sums = np.bincount(self.unit, self.ground.households, len(self.codes))
        return np.asarray(sums, dtype=np.float64)

    def parents(self, *, across: bool) -> Ints:
        """A number for the parent of each unit; one for all where ground may pass between parents."""
        if across:
            return np.zeros(len(self.codes), dtype=np.int64)
        rows = [self.here.cov.grids.get(code) for code in self.codes]
        above = [(row.parent or "") if row else "" for row in rows]
        return np.unique(above, return_inverse=True)[1].astype(np.int64)

    def transfer(self, giver: int, taker: int, moved: list[int]) -> str | None:
        """Give atoms to another unit if that can be drawn; else say why not."""
        area = coverage.to_degrees(self.ground.shape(moved))
        step = {"op": "assign", "to": self.codes[taker], "area": orjson.loads(shapely.to_geojson(area))}
        why = self.take(step, {self.codes[giver], self.codes[taker]})
        if why is None:
            self.unit[moved] = taker
        return why

    def take(self, step: dict[str, Any], changed: set[str]) -> str | None:
        """Take a step unless it fails or adds a fault to the grids that it changes; why not."""
        before = self.here.cov
        try:
            with self.conn.begin_nested():
                done, after = plans.stepped(self.conn, self.here, step)
                made = set(after.grids) - set(before.grids)
                if len(made) > (step["op"] == "split"):
                    raise _Worse(f"{len(made) + 1} pieces")
                changed |= made
                if more := self._added(before, after, changed):
                    raise _Worse(", ".join(more))
        except Problem as problem:
            self.skipped.append(f"{step['op']} {', '.join(sorted(changed))}: {problem}")
            return str(problem)
        self.here = replace(self.here, cov=after)
        self.steps.append(dict(done))
        return None

    def _added(self, before: Coverage, after: Coverage, changed: set[str]) -> list[str]:
        """The kinds of fault that grids have more of than before."""
        was, now = (self._marks(cov, changed) for cov in (before, after))
        return sorted(kind for kind, count in now.items() if count > was[kind])

    def _marks(self, cov: Coverage, codes: set[str]) -> Counter[str]:
        """How often each kind of fault occurs in grids, parts of them counted one by one."""
        shapes = {code: cov.geometry(code) for code in sorted(codes) if code in cov.shapes}
        near_by = Surroundings(self._beside(self._houses, shapes), barriers=self._beside(self._walls, shapes))
        case = parse(shapes, None, near_by)
        marks = Counter(fault.kind for check in JUDGED for fault in check(case))
        marks["parts"] = sum(shapely.get_num_geometries(list(shapes.values()))) - len(shapes)
        marks["enclaves"] = sum(shapely.get_num_interior_rings(shapely.get_parts(list(shapes.values()))))
        return marks

    @staticmethod
    def _beside(tree: shapely.STRtree, shapes: dict[str, Any]) -> Geoms:
        found = np.unique(tree.query(list(shapes.values()))[1])
        return np.asarray(tree.geometries[found], dtype=object)


class _Worse(Problem):
    """A step that adds faults."""


def rebalance(
    conn: Connection,
    who: Principal,
    plan_id: int,
    under: str | None,
    low: float,
    high: float,
    *,
    across: bool = False,
) -> Suggested:
    """Take the steps that bring the lowest grids under a grid (the scope) into a range of households.

    Grids far above the range are split, far below merged, the rest evened out; `across`: ground may pass
    between parents. All is one step of the tree. Raises BadInput for an empty range, or where there are more
    than MOST_BUILDINGS buildings.
    """
    if not 0 < low <= high:
        raise BadInput("low, high", "the range of households must not be empty, and begin above 0")
    here = plans.draft(conn, plan_id, lock=True)
    plans.demand(here.plan, "draft")
    work = Work(conn, here, sorted(here.cov.leaves(under or here.plan.scope)))
    before, was = len(work.codes), _count_in(work.households, low, high)
    _split_up(work, low, high, across=across)
    _merge_small(work, low, high, across=across)
    ground = work.ground
    found = suggest.rebalance(
        ground.households, work.unit, ground.pairs, low, high, work.parents(across=across),
        ground.passable, work.transfer,
    )  # fmt: skip
    living = sorted(set(work.unit.tolist()))
    done = plans.take_group(conn, who, here, "suggest", work.steps, work.here.cov) if work.steps else None
    return Suggested(
        steps=[done.step] if done else [],
        taken=[_brief(step) for step in work.steps],
        skipped=work.skipped,
        moved_share=_moved_share(work),
        grids=(before, len(living)),
        in_range=(was, _count_in(found.households[living], low, high)),
        unresolved=[_unresolved(work, found, one) for one in sorted(found.reasons) if one in living],
    )


def _count_in(households: Floats, low: float, high: float) -> int:
    return int(np.count_nonzero((households >= low) & (households <= high)))


def _brief(step: dict[str, Any]) -> dict[str, Any]:
    """A step without its geometry."""
    return {name: value for name, value in step.items() if name not in {"area", "line"}}


def _moved_share(work: Work) -> float:
    """The share of households whose code differs from before."""
    weight = work.ground.households
    moved = work.unit != work.ground.grid
    return float(weight[moved].sum() / max(weight.sum(), 1e-12))


def _unresolved(work: Work, found: suggest.Suggestion, one: int) -> Unresolved:
    refused = sorted(set(found.refused.get(one, [])))
    return Unresolved(work.codes[one], round(found.households[one]), found.reasons[one], refused)


def _places(conn: Connection, here: Draft, codes: list[str]) -> tuple[Geoms, Floats]:
    """The places (units) and households of the buildings in grids."""
    b = buildings.c
    columns = (sa.func.ST_X(b.point), sa.func.ST_Y(b.point), sa.func.coalesce(b.households, 0))
    shapes = [here.cov.geometry(code) for code in codes]
    rows = np.array([row[1:] for row in near(conn, b.point, columns, shapes)], dtype=float).reshape(-1, 3)
    points = np.asarray(coverage.to_units(shapely.points(rows[:, :2])), dtype=object)
    units = np.array([here.cov.shapes[code] for code in codes], dtype=object)
    mine = np.unique(shapely.STRtree(units).query(points, predicate="intersects")[0])
    if len(mine) > MOST_BUILDINGS:
        raise BadInput(
            "under", f"{len(mine)} buildings stand there; name a grid with {MOST_BUILDINGS} at most"
        )
    return points[mine], rows[mine, 2]


def _outlines(conn: Connection, here: Draft, codes: list[str], places: Geoms) -> Geoms:
    """The outline (units) of each building by its place; the place itself where there is none."""
    b = buildings.c
    shapes = [here.cov.geometry(code) for code in codes]
    rows = near(
        conn, b.point, [sa.func.ST_AsBinary(b.geom), sa.func.ST_X(b.point), sa.func.ST_Y(b.point)], shapes
    )
    by_place = {_key(row[2], row[3]): bytes(row[1]) for row in rows}
    found = [
        by_place.get(_key(*(c / coverage.UNITS_PER_DEGREE for c in place.coords[0]))) for place in places
    ]
    drawn = coverage.to_units(shapely.from_wkb(np.array(found, dtype=object)))
    flat = shapely.get_dimensions(drawn) == 2
    return np.where(flat, drawn, places)


def _key(lon: float, lat: float) -> tuple[int, int]:
    return round(lon * coverage.UNITS_PER_DEGREE), round(lat * coverage.UNITS_PER_DEGREE)


def _split_up(work: Work, low: float, high: float, *, across: bool) -> None:
    """Split units that are two or more, where they are far above the range or can pass nothing on."""
    wanted = HouseholdRange(int(low), int(high))
    grounds = suggest.Grounds(work.ground.pairs, work.ground.passable, work.parents(across=across))
    full = suggest.stuck(work.households, grounds, work.unit, low, high)
    todo = [
        one
        for one, count in enumerate(work.households.tolist())
        if count >= 2 * low and (count > 1.5 * high or (count > high and full[one]))
    ]
    while todo:
        one = todo.pop()
        if tree_cut.units_in(work.households[one], wanted) > 1 and _halved(work, one, wanted):
            todo += [one, len(work.codes) - 1]


def _halved(work: Work, one: int, wanted: HouseholdRange) -> bool:
    """Split a unit in two between its buildings, if a line does it that adds no fault."""
    ground, nodes = work.ground, np.flatnonzero(work.unit == one)
    inside = ground.passable & np.isin(ground.pairs, nodes).all(axis=1)
    for seed in range(SEEDS):
        rng = np.random.default_rng(seed)
        sides = tree_cut.cut(
            nodes, ground.households, ground.pairs[inside], ground.length[inside], wanted, rng
        )
        if sides and _divided(work, one, sides):
            return True
    return False


def _divided(work: Work, one: int, sides: Sequence[Ints]) -> bool:
    """Split a unit by the border between two sides, the larger of which keeps the code."""
    shapes = [work.ground.shape(side.tolist()) for side in sides]
    edges = [coverage.polygon_edges(np.array([shape], dtype=object)) for shape in shapes]
    both = coverage.common(*edges)
    line = shapely.line_merge(shapely.union_all(coverage.lines(both.start, both.end)))
    if line.geom_type != "LineString":
        return False
    code = work.codes[one]
    drawn = orjson.loads(shapely.to_geojson(coverage.to_degrees(line)))
    known = set(work.here.cov.grids)
    if work.take({"op": "split", "code": code, "line": drawn}, {code}) is not None:
        return False
    (new,) = set(work.here.cov.grids) - known
    kept = work.here.cov.shapes[code]
    inner = shapely.point_on_surface(shapes[0])
    moved = sides[1] if shapely.intersects(kept, inner) else sides[0]
    work.codes.append(new)
    work.unit[moved] = len(work.codes) - 1
    return True


def _merge_small(work: Work, low: float, high: float, *, across: bool) -> None:
    """Merge units far below the range, or that nobody can give to, with the neighbour that fits best."""
    grounds = suggest.Grounds(work.ground.pairs, work.ground.passable, work.parents(across=across))
    short = suggest.stuck(work.households, grounds, work.unit, low, high)
    order = np.argsort(work.households, kind="stable")
    for one in order.tolist():
        count = work.households[one]
        if 0 < count < low and (count < low / 2 or short[one]):
            _merged(work, one, grounds, high)


def _merged(work: Work, one: int, grounds: suggest.Grounds, high: float) -> None:
    """Merge a unit into the neighbour with which it has the fewest households, if that is in range."""
    arcs, count = grounds.arcs(work.unit), work.households
    beside = [int(b) for a, b in arcs.tolist() if a == one and count[b] > 0 and count[b] + count[one] <= high]
    for other in sorted(beside, key=lambda b: (count[b], b)):
        # Of two alike the one that has a code stays, not one that the draft made.
        gone, keep = sorted((one, other), key=lambda b: (count[b], not work.codes[b].startswith(LABEL)))
        codes = [work.codes[keep], work.codes[gone]]
        if work.take({"op": "merge", "codes": codes, "into": codes[0]}, set(codes)) is None:
            work.unit[work.unit == gone] = keep
            return

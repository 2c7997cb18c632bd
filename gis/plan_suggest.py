"""A suggestion as one group of steps of a draft: unit grids brought into the wanted number of households."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import orjson
import shapely
import sqlalchemy as sa
from shapely.geometry.base import BaseGeometry
from sqlalchemy.engine import Connection

from gis import coverage, faults, plans, suggest, tree_cut
from gis.access import Principal
from gis.atoms import Atoms, atoms, holder, walkable
from gis.case import HouseholdRange, Surroundings, parse
from gis.coverage import Bools, Floats, Geoms, Ints
from gis.errors import BadInput, Problem
from gis.plan_around import near, surroundings
from gis.plans import Draft
from gis.schema import buildings
from gis.settle import Coverage
from gis.splitting import LABEL

MOST_BUILDINGS = 20_000
"""Buildings among which ground may pass: those of one parent, or of all where it passes between parents."""
MOST_IN_ALL = 40_000
"""Buildings that one suggestion looks at in all its parts: a minute's work or two."""
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


@dataclass(frozen=True)
class Site:
    """What stands in the lowest grids of a scope, read once.

    Of each building the index of its grid, its place and outline (units) and its households; trees of the
    outlines and the barriers nearby (EPSG:4326).
    """

    grid: Ints
    places: Geoms
    outlines: Geoms
    households: Floats
    houses: shapely.STRtree
    walls: shapely.STRtree


class Work:
    """Lowest grids between which ground may pass, while a suggestion is drawn step by step on their draft.

    Each step is judged before it is kept. `where` are the grids' places among those of the site.
    """

    def __init__(self, conn: Connection, here: Draft, codes: list[str], site: Site, where: Ints) -> None:
        self.conn, self.here, self.codes, self.site = conn, here, codes, site
        self.ground = self._atoms(np.isin(site.grid, where))
        self.unit = self.ground.grid.copy()
        self.steps: list[dict[str, Any]] = []
        self.skipped: list[str] = []

    def _atoms(self, mine: Bools) -> Atoms:
        site, cov = self.site, self.here.cov
        walls = _beside(site.walls, [cov.geometry(code) for code in self.codes])
        shapes = [cov.shapes[code] for code in self.codes]
        barriers = list(coverage.to_units(walls))
        return atoms(shapes, site.places[mine], site.outlines[mine], site.households[mine], barriers)

    @property
    def households(self) -> Floats:
        """The households of each unit."""
        sums = np.bincount(self.unit, self.ground.households, len(self.codes))
        return np.asarray(sums, dtype=np.float64)

    @property
    def living(self) -> list[int]:
        """The units that there are: not those merged into others."""
        return sorted(set(self.unit.tolist()))

    @property
    def grounds(self) -> suggest.Grounds:
        """What stays as it is while atoms move."""
        one_parent = np.zeros(len(self.codes), dtype=np.int64)
        return suggest.Grounds(self.ground.pairs, self.ground.passable, one_parent)

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
        houses, walls = (_beside(tree, shapes.values()) for tree in (self.site.houses, self.site.walls))
        near_by = Surroundings(houses, barriers=walls)
        case = parse(shapes, None, near_by)
        marks = Counter(fault.kind for check in JUDGED for fault in check(case))
        marks["parts"] = sum(shapely.get_num_geometries(list(shapes.values()))) - len(shapes)
        marks["enclaves"] = sum(shapely.get_num_interior_rings(shapely.get_parts(list(shapes.values()))))
        return marks


def _beside(tree: shapely.STRtree, shapes: Iterable[BaseGeometry]) -> Geoms:
    """What of a tree lies in the boxes of shapes."""
    return np.asarray(tree.geometries[np.unique(tree.query(list(shapes))[1])], dtype=object)


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
    keep: Iterable[str] = (),
    head: int | None = plans.ANYWHERE,
) -> Suggested:
    """Take the steps that bring the lowest grids under a grid (the scope) into a range of households.

    Grids far above the range are split, far below merged, the rest evened out, each parent's by themselves;
    `across`: ground may pass between parents; `keep`: grids that stay as they are, and are not counted;
    `head`: where whoever asks believes the plan to stand, a Problem where it has moved on. All is one step of
    the tree. Raises BadInput for an empty range, where all are kept, or where there are more
    than MOST_BUILDINGS buildings among which ground may pass, or MOST_IN_ALL.
    """
    if not 0 < low <= high:
        raise BadInput("low, high", "the range of households must not be empty, and begin above 0")
    here = plans.locked(conn, plan_id, head)
    codes = sorted(set(here.cov.leaves(under or here.plan.scope)) - set(keep))
    if not codes:
        raise BadInput("keep", "every grid there stays as it is; keep fewer of them")
    parts, site = _parts(here.cov, codes, across=across), site_of(conn, here.cov, codes)
    _demand_few(site, parts)
    each: list[tuple[Work, suggest.Suggestion]] = []
    now = here
    for where in parts:
        work = Work(conn, now, [codes[i] for i in where.tolist()], site, where)
        each.append((work, _evened(work, low, high)))
        now = work.here
    steps = [step for work, _ in each for step in work.steps]
    done = plans.take_group(conn, who, here, "suggest", steps, now.cov) if steps else None
    return Suggested(
        steps=[done.step] if done else [],
        taken=[_brief(step) for step in steps],
        skipped=[one for work, _ in each for one in work.skipped],
        moved_share=sum(_moved(work) for work, _ in each) / max(float(site.households.sum()), 1e-12),
        grids=(len(codes), sum(len(work.living) for work, _ in each)),
        in_range=(_in_range_before(site, len(codes), low, high), _in_range_after(each, low, high)),
        unresolved=_unresolved(now.cov, each, low, high),
    )


def _parts(cov: Coverage, codes: Sequence[str], *, across: bool) -> list[Ints]:
    """The lowest grids by their place among `codes`, in parts between which no ground may pass."""
    above = ["" if across else cov.grids[code].parent or "" for code in codes]
    part = np.unique(above, return_inverse=True)[1]
    return [np.flatnonzero(part == one) for one in range(int(part.max(initial=-1)) + 1)]


def _demand_few(site: Site, parts: Sequence[Ints]) -> None:
    most = max((int(np.isin(site.grid, where).sum()) for where in parts), default=0)
    if most > MOST_BUILDINGS or len(site.grid) > MOST_IN_ALL:
        raise BadInput(
            "under",
            f"{len(site.grid)} buildings stand there, {most} of them where ground may pass; name a grid with "
            f"{MOST_IN_ALL} at most, and {MOST_BUILDINGS} where ground may pass (`across`: all of them)",
        )


def _evened(work: Work, low: float, high: float) -> suggest.Suggestion:
    """Split, merge and even out the grids of one part."""
    _split_up(work, low, high)
    _merge_small(work, low, high)
    ground = work.ground
    return suggest.rebalance(
        ground.households, work.unit, ground.pairs, low, high, None, ground.passable, work.transfer
    )


def _in_range_before(site: Site, count: int, low: float, high: float) -> int:
    return _count_in(np.bincount(site.grid, site.households, count).astype(np.float64), low, high)


def _in_range_after(each: Sequence[tuple[Work, suggest.Suggestion]], low: float, high: float) -> int:
    return sum(_count_in(found.households[work.living], low, high) for work, found in each)


def _count_in(households: Floats, low: float, high: float) -> int:
    return int(np.count_nonzero((households >= low) & (households <= high)))


def _brief(step: dict[str, Any]) -> dict[str, Any]:
    """A step without its geometry."""
    return {name: value for name, value in step.items() if name not in {"area", "line"}}


def _moved(work: Work) -> float:
    """The households whose code differs from before."""
    return float(work.ground.households[work.unit != work.ground.grid].sum())


def _unresolved(
    cov: Coverage, each: Sequence[tuple[Work, suggest.Suggestion]], low: float, high: float
) -> list[Unresolved]:
    """The grids that stay out of range; of those without spare beside them, whether other parents have it."""
    reasons = {
        work.codes[one]: Unresolved(
            work.codes[one], round(found.households[one]), reason, sorted(set(found.refused.get(one, [])))
        )
        for work, found in each for one, reason in found.reasons.items() if one in work.living
    }  # fmt: skip
    total = {work.codes[i]: found.households[i] for work, found in each for i in work.living}
    codes = sorted(total)
    if len(each) > 1:
        shapes = np.array([cov.shapes[code] for code in codes], dtype=object)
        arcs = suggest.both_ways(walkable(shapes))
        helped = suggest.could_come_in(np.array([total[code] for code in codes]), arcs, low, high)
        for code in np.array(codes)[helped].tolist():
            if code in reasons and reasons[code].reason == "no_spare":
                reasons[code] = replace(reasons[code], reason="community")
    return [reasons[code] for code in codes if code in reasons]


def site_of(conn: Connection, cov: Coverage, codes: list[str]) -> Site:
    """What stands in grids, and the outlines and barriers nearby."""
    b = buildings.c
    shapes = [cov.geometry(code) for code in codes]
    columns = (
        sa.func.ST_X(b.point), sa.func.ST_Y(b.point), sa.func.coalesce(b.households, 0),
        sa.func.ST_AsBinary(b.geom),
    )  # fmt: skip
    rows = near(conn, b.point, columns, shapes)
    numbers = np.array([row[1:4] for row in rows], dtype=float).reshape(-1, 3)
    points = np.asarray(coverage.to_units(shapely.points(numbers[:, :2])), dtype=object)
    drawn = coverage.to_units(shapely.from_wkb([row[4] and bytes(row[4]) for row in rows]))
    outlines = np.where(shapely.get_dimensions(drawn) == 2, drawn, points)
    grid = holder(np.array([cov.shapes[code] for code in codes], dtype=object), points)
    mine = grid >= 0
    around = surroundings(conn, shapes)
    houses, walls = (shapely.STRtree(list(some)) for some in (around.buildings, around.barriers))
    return Site(grid[mine], points[mine], outlines[mine], numbers[mine, 2], houses, walls)


def _split_up(work: Work, low: float, high: float) -> None:
    """Split units that are two or more, where they are far above the range or can pass nothing on."""
    wanted = HouseholdRange(int(low), int(high))
    full = suggest.stuck(work.households, work.grounds, work.unit, low, high)
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


def _merge_small(work: Work, low: float, high: float) -> None:
    """Merge units far below the range, or that nobody can give to, with the neighbour that fits best."""
    grounds = work.grounds
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

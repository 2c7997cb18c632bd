"""Publications replayed in memory: the map of every day at every revision, and who owns a point on it.

The store is told of each publication through plans and imports; the replay takes the same steps by itself and
keeps every map whole. An owner is found by asking each grid of the map in turn.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from sqlalchemy.engine import Connection

from gis import plan_store, plans, publishing, schema
from gis.access import COMMAND, Principal, enter
from gis.coverage import to_degrees
from gis.errors import Problem
from gis.importing import revising
from gis.redraw import STEPS, apply
from gis.settle import Coverage, Grid, is_grid
from gis.spare import cover
from tests import town
from tests.steps import random_step
from tests.towns import archipelago, outline

SCHEME = "safety"
FIRST, LAST = date(2020, 1, 1), date(2028, 1, 1)
AUTHOR, APPROVER = (Principal(r, name=r, full_role=r) for r in ("planner", "approver"))

OPS = tuple(one.__name__ for one in STEPS)
ATTEMPTS = 40
"""Publications tried for each revision; a plan that changes what a later map has changed conflicts."""

Version = tuple[Grid, bytes]


@dataclass(frozen=True)
class Map:
    """A coverage and the first day on which it holds."""

    first: date
    cov: Coverage


@dataclass
class Replay:
    """The maps of all days at each revision; revision 0 knows none."""

    revisions: list[list[Map]] = field(default_factory=lambda: [[]])
    kinds: list[str] = field(default_factory=list)

    def at(self, day: date) -> Coverage:
        """The map of a day as known now."""
        return [one.cov for one in self.revisions[-1] if one.first <= day][-1]

    def redrawn(
        self, steps: list[dict[str, Any]], first: date, after: date | None
    ) -> list[tuple[Map, Map, date | None]]:
        """Each map in some days before and after steps, with the day after its last."""
        maps = self.revisions[-1]
        days = {one.first for one in maps} | {first} | ({after} if after else set())
        ends = [*sorted(days)[1:], None]
        found = []
        for start, end in zip(sorted(days), ends, strict=True):
            if start >= max(first, maps[0].first) and (after is None or start < after):
                new = old = self.at(start)
                for step in steps:
                    new = apply(new, step)
                found.append((Map(start, old), Map(start, new), end))
        return found

    def publish(self, kind: str, pieces: list[tuple[Map, Map, date | None]]) -> None:
        """Add the revision in which these maps replace those before them."""
        new = {piece.first: piece for _, piece, _ in pieces}
        back = {end: self.at(end) for _, _, end in pieces if end is not None and end not in new}
        old = {one.first: one for one in self.revisions[-1]}
        there = old | {day: Map(day, cov) for day, cov in back.items()} | new
        self.revisions.append([there[day] for day in sorted(there)])
        self.kinds.append(kind)


def found(conn: Connection, side: int = 5) -> Replay:
    """Put a town with a lake, an enclave and islands into the store as revision 1."""
    enter(conn, COMMAND)
    town.add_city(conn)
    conn.execute(
        schema.schemes.insert().values(name=SCHEME, title_zh="网格", title_en="Grids", is_default=True)
    )
    rows = [{"scheme": SCHEME, "level": n, "name_zh": f"{n}", "name_en": f"{n}"} for n in (1, 4, 5)]
    conn.execute(schema.levels.insert(), rows)
    grids = archipelago(side, 0)
    frame = outline(grids)
    del grids[f"{side - 1:02d}{0:02d}"]  # ground that is nobody's, to be taken in
    parts = [Grid(code, 5, f"P{code[0]}") for code in grids]
    uppers = [Grid(code, 4, "C") for code in sorted({one.parent or "" for one in parts})]
    cov = cover(
        [*parts, *uppers, Grid("C", 1)], {c: to_degrees(g) for c, g in grids.items()}, to_degrees(frame)
    )
    replay = Replay()
    _lay(conn, _rows([(Map(FIRST, Coverage({}, {})), Map(FIRST, cov), None)]))
    replay.publish("founded", [(Map(FIRST, cov), Map(FIRST, cov), None)])
    return replay


def _versions(cov: Coverage) -> dict[str, Version]:
    return {code: (grid, shapely.normalize(cov.shape(code)).wkb) for code, grid in cov.grids.items()}


def _rows(pieces: list[tuple[Map, Map, date | None]]) -> gpd.GeoDataFrame:
    """What differs between the maps, as rows of an import."""
    rows, shapes = [], []
    for old, new, end in pieces:
        before, after = _versions(old.cov), _versions(new.cov)
        for code in sorted(c for c in after if after[c] != before.get(c)):
            grid = new.cov.grids[code]
            rows.append((code, grid.level, grid.parent, grid.name, grid.kind or None, new.first, end))
            shapes.append(new.cov.geometry(code))
    columns = ["code", "level", "parent_code", "name", "kind", "valid_from", "valid_to"]
    table = pd.DataFrame(rows, columns=columns).astype(object).assign(display_order=None)
    return gpd.GeoDataFrame(table.where(table.notna(), None), geometry=shapes, crs=4326)


def _lay(conn: Connection, rows: gpd.GeoDataFrame) -> None:
    batch = conn.execute(schema.batches.select()).first()
    revising.publish(conn, revising.lay(conn, SCHEME, rows), batch.id if batch else 0, "laid")


def _day(rng: np.random.Generator) -> date:
    return FIRST + timedelta(days=int(rng.integers(0, (LAST - FIRST).days)))


def by_import(conn: Connection, replay: Replay, rng: np.random.Generator) -> None:
    """Correct a stretch of days, past or to come: one step, laid over what is known."""
    first, after = sorted((_day(rng), _day(rng) + timedelta(days=1)))
    step = _step(replay.at(first), rng, ("reshape", "move_vertex", "split", "rename", "assign"))
    pieces = replay.redrawn([step], first, after if rng.random() < 0.7 else None)
    _lay(conn, _rows(pieces))
    replay.publish("import", pieces)


def by_plan(conn: Connection, replay: Replay, rng: np.random.Generator) -> None:
    """Draw, submit, approve and publish a plan of one to three steps, effective on any day."""
    day = _day(rng)
    scope = (
        "C"
        if rng.random() < 0.6
        else str(rng.choice([c for c, g in replay.at(day).grids.items() if g.level == 4]))
    )
    plan = plans.create(conn, AUTHOR, scope, "plan", day, SCHEME).id
    cov = replay.at(day)
    for _ in range(rng.integers(1, 4)):
        step = _step(cov, rng, tuple(op for op in OPS if op != "renumber"))  # which touches every grid
        plans.take(conn, AUTHOR, plan, step)
        cov = apply(cov, _stored(conn, plan)[-1])
    plans.submit(conn, plan)
    plans.approve(conn, APPROVER, plan)
    publishing.publish(conn, plan)
    replay.publish("plan", replay.redrawn(_stored(conn, plan), day, None))


def _stored(conn: Connection, plan: int) -> list[dict[str, Any]]:
    """The steps as the store has them, first one first: with the codes it gave."""
    return [{"op": row["op"], **row["params"]} for row in plan_store.steps(conn, plan, None, 100)][::-1]


def _step(cov: Coverage, rng: np.random.Generator, ops: tuple[str, ...]) -> dict[str, Any]:
    """A random step as JSON has it; of these kinds, without loose outlines of buildings."""
    while True:
        step = random_step(cov, rng, 40)
        if "buildings" not in step and step["op"] in ops:
            return {k: shapely.geometry.mapping(v) if hasattr(v, "wkb") else v for k, v in step.items()}


def publish(conn: Connection, replay: Replay, rng: np.random.Generator, count: int) -> None:
    """Publish so many revisions; what cannot be drawn or is in conflict leaves no trace."""
    ways: list[Callable[..., None]] = [by_plan, by_plan, by_import]
    for _ in range(count):
        way, before = ways[rng.integers(len(ways))], len(replay.revisions)
        for attempt in range(ATTEMPTS):
            if len(replay.revisions) > before:
                break
            try:
                with conn.begin_nested():
                    (way if attempt < ATTEMPTS / 2 else by_import)(conn, replay, rng)
            except Problem:
                continue


def questions(replay: Replay, rng: np.random.Generator, count: int, *, middles: bool = True) -> pd.DataFrame:
    """Random lon, lat, on, known: all over and beside the town, on vertices and borders of any day."""
    shapes = [
        shape
        for maps in replay.revisions
        for one in maps
        for c, shape in one.cov.shapes.items()
        if is_grid(c)
    ]
    some = to_degrees(np.array(shapes, dtype=object)[rng.integers(0, len(shapes), 400)])
    low, high = np.array(shapely.total_bounds(some)).reshape(2, 2)
    xy = rng.uniform(low - (high - low) / 50, high + (high - low) / 50, (count, 2))
    vertices = shapely.get_coordinates(some)
    kind = rng.random(count)
    pick = rng.integers(0, len(vertices) - 1, count)
    middle = (vertices[pick] + vertices[pick + 1]) / 2
    xy[kind < 0.4] = vertices[pick][kind < 0.4]
    if middles:
        xy[kind < 0.15] = middle[kind < 0.15]
    days = rng.integers(-30, (LAST - FIRST).days + 30, count)
    return pd.DataFrame(
        {
            "lon": xy[:, 0].round(7),
            "lat": xy[:, 1].round(7),
            "on": [FIRST + timedelta(days=int(day)) for day in days],
            "known": rng.integers(0, len(replay.revisions), count),
        }
    )


def answers(replay: Replay, asked: pd.DataFrame) -> pd.DataFrame:
    """The owner (None) of each question and whether the point lies on its border, by brute force."""
    code, at_edge = np.full(len(asked), None, dtype=object), np.zeros(len(asked), dtype=bool)
    for rows, cov in _by_map(replay, asked):
        points = shapely.points(asked["lon"].to_numpy()[rows], asked["lat"].to_numpy()[rows])
        left = np.ones(len(rows), dtype=bool)
        for grid in sorted(cov.grids.values(), key=lambda one: (-one.level, one.code)):
            shape = cov.geometry(grid.code)
            shapely.prepare(shape)
            mine = left & shapely.covers(shape, points)
            code[rows[mine]] = grid.code
            at_edge[rows[mine]] = ~shapely.contains_properly(shape, points[mine])
            left &= ~mine
    return pd.DataFrame({"code": pd.Series(code, dtype=object), "on_boundary": at_edge})


def _by_map(replay: Replay, asked: pd.DataFrame) -> Iterator[tuple[np.ndarray, Coverage]]:
    """The rows of questions that one map answers, map by map."""
    days, known = np.array(asked["on"], dtype="datetime64[D]"), asked["known"].to_numpy()
    rows: dict[int, tuple[list[np.ndarray], Coverage]] = {}
    for revision, maps in enumerate(replay.revisions):
        here = np.flatnonzero(known == revision)
        firsts = np.array([one.first for one in maps], dtype="datetime64[D]")
        which = np.searchsorted(firsts, days[here], side="right") - 1
        for i, one in enumerate(maps):
            rows.setdefault(id(one.cov), ([], one.cov))[0].append(here[which == i])
    return ((np.concatenate(parts), cov) for parts, cov in rows.values())

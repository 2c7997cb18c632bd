"""Two planners and a publisher at once on real PostgreSQL, in random order, their transactions overlapping.

`uv run python -m bench.prove_interleavings --count 10000 [--seed 0]`, in a database of its own. Each round
draws two drafts on one map and publishes both; transactions stay open while others go on, some are rolled
back. Afterwards a judge that knows nothing of the merge holds the map against the drafts: no update is lost,
the map is a coverage, and what is refused is refused for exactly the grids that both touched.
"""

import argparse
import sys
import time
import uuid
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import wait as settled
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import shapely
import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine, make_url

from gis import db, faults, plan_base, plan_store, plans, publishing
from gis.access import COMMAND, Principal, enter
from gis.coverage import MATCH_UNITS
from gis.errors import Conflicted, Problem
from gis.grids import Asked, Wish, resolve
from gis.migrate import migrate
from gis.plan_diff import Version, version_of
from gis.settle import Coverage, is_grid
from tests import town
from tests.steps import random_step

CHIEF = Principal("approver", name="chief", full_role="approver")
PATIENCE_S = 0.03
"""An operation that takes longer waits for somebody's lock: the others go on meanwhile."""
SIZE = 7
ALIKE = 0.25
"""The share of steps for which a planner has the thought that the other had."""
SURE, BENT = 10.0, 1.5
"""Units: ground wider than the one was surely redrawn, narrower than the other only bent by vertices."""
Versions = dict[str, Version]


@dataclass
class Actor:
    """Somebody with a connection of their own, who does one thing at a time."""

    name: str
    conn: Connection
    pool: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1))
    busy: Future[Any] | None = None
    held: bool = False

    def free(self) -> bool:
        """Whether the last thing is done."""
        if self.busy is not None and self.busy.done():
            self.busy.result()
            self.busy = None
        return self.busy is None

    def begin(self, work: Callable[[], Any]) -> None:
        """Begin something; wait for it only a moment."""
        self.busy = self.pool.submit(work)
        settled([self.busy], timeout=PATIENCE_S)


@dataclass
class Drawn:
    """A draft: its plan once made, what it was drawn on and what it became, and how its publication ended."""

    who: Principal
    left: int
    plan: int | None = None
    submitted: bool = False
    outcome: str = ""


@dataclass
class Tally:
    """What happened in a run."""

    counts: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)


class Round:
    """One interleaving."""

    def __init__(self, engine: Engine, actors: list[Actor], rng: np.random.Generator, tally: Tally) -> None:
        self.engine, self.rng, self.tally = engine, rng, tally
        self.planners, self.publisher = actors[:2], actors[2]
        self.drafts = [Drawn(Principal("planner", name=a.name, full_role="planner"), int(rng.integers(1, 3)))
                       for a in self.planners]  # fmt: skip
        self.thought: Any = None

    def run(self) -> None:
        """Let the three act in random order until both drafts are published or refused."""
        actors = (*self.planners, self.publisher)
        while not all(one.outcome for one in self.drafts):
            free = [actor for actor in actors if actor.free() and self._has_work(actor)]
            if free:
                self._act(free[self.rng.integers(len(free))])
            else:
                time.sleep(0.0005)
        for actor in actors:
            while not actor.free():
                time.sleep(0.0005)
            if actor.held:
                self._end(actor)

    def _has_work(self, actor: Actor) -> bool:
        if actor.held:
            return True
        if actor is self.publisher:
            return any(one.submitted and not one.outcome for one in self.drafts)
        draft = self.drafts[self.planners.index(actor)]
        return not draft.submitted and not draft.outcome

    def _act(self, actor: Actor) -> None:
        if actor.held:
            actor.begin(lambda: self._end(actor))
        elif actor is self.publisher:
            self._decide(actor)
        else:
            self._draw(actor, self.drafts[self.planners.index(actor)])

    def _end(self, actor: Actor) -> None:
        actor.conn.commit()
        actor.held = False

    def _do(
        self, actor: Actor, work: Callable[[], Any], done: Callable[[Any], None], refused: Callable[[], None]
    ) -> None:
        """Do something in a transaction that is committed now, later, or (a tenth) rolled back."""
        chance = self.rng.random()

        def whole() -> None:
            enter(actor.conn, COMMAND)
            try:
                result = work()
            except Conflicted as error:
                actor.conn.rollback()
                done(error)
                return
            except Problem:
                actor.conn.rollback()
                self.tally.counts["refused steps"] += 1
                refused()
                return
            except sa.exc.OperationalError as error:
                actor.conn.rollback()
                self.tally.counts[f"{type(error.orig).__name__}"] += 1
                return
            if chance < 0.1:
                actor.conn.rollback()
                self.tally.counts["rolled back"] += 1
                return
            actor.held = chance > 0.6
            if not actor.held:
                actor.conn.commit()
            self.tally.counts["held open"] += actor.held
            done(result)

        actor.begin(whole)

    def _draw(self, actor: Actor, draft: Drawn) -> None:
        conn, plan = actor.conn, draft.plan
        if plan is None:
            scope = str(self.rng.choice(["T", "T", "T1", "T2"]))
            work = lambda: plans.create(conn, draft.who, scope, "t", None, None).id  # noqa: E731
            self._do(actor, work, lambda made: setattr(draft, "plan", made), _nothing)
        elif draft.left > 0:
            fewer = lambda *_: setattr(draft, "left", draft.left - 1)  # noqa: E731
            self._do(actor, lambda: self._step(conn, draft), fewer, fewer)
        elif not draft.submitted and not draft.outcome:
            work = lambda: plans.submit(conn, plan)  # noqa: E731
            empty = lambda: setattr(draft, "outcome", "empty")  # noqa: E731
            self._do(actor, work, lambda _: setattr(draft, "submitted", True), empty)

    def _step(self, conn: Connection, draft: Drawn) -> None:
        assert draft.plan is not None
        here = plans.draft(conn, draft.plan)
        if here.plan.head is not None and self.rng.random() < 0.2:
            plans.undo(conn, draft.plan)
            plans.redo(conn, draft.plan)
        step = as_json(random_step(here.cov, self.rng, SIZE))
        if self.thought and self.rng.random() < ALIKE:
            step = self.thought
        self.thought = step
        plans.take(conn, draft.who, draft.plan, step)

    def _decide(self, actor: Actor) -> None:
        ready = [d for d in self.drafts if d.submitted and not d.outcome]
        if not ready:
            return
        draft = ready[self.rng.integers(len(ready))]
        plan = draft.plan
        assert plan is not None

        def work() -> Any:
            if plan_store.get(actor.conn, plan).state == "submitted":
                plans.approve(actor.conn, CHIEF, plan)
            return publishing.publish(actor.conn, plan)

        gone = lambda: setattr(draft, "outcome", "refused whole")  # noqa: E731
        self._do(actor, work, lambda result: self._ended(draft, result), gone)

    def _ended(self, draft: Drawn, result: Any) -> None:
        if isinstance(result, Conflicted):
            draft.outcome = "conflict"
            self._judge_conflict(draft, {one["code"] for one in result.told["conflicts"]})
        else:
            draft.outcome = "published"
            self._judge_published(draft, result.revision)
        self.tally.counts[draft.outcome] += 1

    def _sides(self, conn: Connection, draft: Drawn, known: int) -> tuple[Versions, Versions, Versions]:
        """The base of a draft, the draft, and the map of its scope as known at a revision."""
        assert draft.plan is not None
        here = plans.draft(conn, draft.plan)
        asked = Asked(here.plan.scheme, here.plan.effective_on, known)
        now = plan_base._read(conn, asked, here.plan.scope)  # noqa: SLF001
        return of(here.base.cov), of(here.cov), of(now)

    def _judge_published(self, draft: Drawn, revision: int) -> None:
        """Every grid is the draft's where the draft touched it, and else what it was before."""
        conn = self.publisher.conn
        enter(conn, COMMAND)
        base, mine, after = self._sides(conn, draft, revision)
        _, _, before = self._sides(conn, draft, revision - 1)
        if not self.publisher.held:
            conn.rollback()
        for code in sorted(filter(is_grid, {*base, *mine, *after, *before})):
            wanted = mine if differs(base.get(code), mine.get(code)) else before
            if differs(wanted.get(code), after.get(code)):
                self.tally.wrong.append(f"plan {draft.plan}, revision {revision}: {code} is not as published")

    def _judge_conflict(self, draft: Drawn, told: set[str]) -> None:
        """The grids in conflict are those that both sides touched, differently; or that hang in the air."""
        with self.engine.connect() as conn:
            enter(conn, COMMAND)
            base, mine, now = self._sides(conn, draft, plan_store.newest(conn))
        wanted, possible = (both_touched(base, mine, now, width) for width in (SURE, BENT))
        if not wanted:
            ours = {c for c in {*base, *mine} if differs(base.get(c), mine.get(c))}
            merged = {c: v for c, v in now.items() if c not in ours}
            wanted = loose(merged | {c: mine[c] for c in ours if c in mine})
            self.tally.counts["conflicts in the hierarchy"] += 1
        if not wanted <= told <= wanted | possible:
            self.tally.wrong.append(f"plan {draft.plan}: told {sorted(told)}, but it is {sorted(wanted)}")


def _nothing() -> None:
    """Be refused, and try again."""


def of(cov: Coverage) -> Versions:
    """Every grid of a coverage."""
    return {code: v for code in {*cov.grids, *cov.shapes} if (v := version_of(cov, code)) is not None}


def differs(one: Version | None, other: Version | None, width: float = SURE) -> bool:
    """Whether two versions of a grid differ, in their shape by ground wider than so many units."""
    if one is None or other is None:
        return one is not other
    if one.grid != other.grid:
        return True
    if not one.leaf or not other.leaf:
        return one.leaf != other.leaf
    odd = shapely.symmetric_difference(one.shape, other.shape)
    return not shapely.buffer(odd, -width / 2).is_empty


def both_touched(base: Versions, mine: Versions, now: Versions, width: float) -> set[str]:
    """The grids that two sides touched, and not to the same end."""
    codes = set(filter(is_grid, {*base, *mine, *now}))
    ours, theirs = ({c for c in codes if differs(base.get(c), side.get(c), width)} for side in (mine, now))
    return {
        c
        for c in ours & theirs
        if differs(mine.get(c), now.get(c), width)
        or heirs(base, mine, c, SURE) - heirs(base, now, c, MATCH_UNITS)
        or heirs(base, now, c, SURE) - heirs(base, mine, c, MATCH_UNITS)
    }


def heirs(base: Versions, side: Versions, code: str, width: float) -> set[str]:
    """The grids that got ground of one, wider than so many units."""
    if code not in base or not base[code].leaf:
        return set()
    others = [(c, v.shape) for c, v in side.items() if c != code and v.leaf]
    got = [(c, shapely.intersection(base[code].shape, shape)) for c, shape in others]
    return {c for c, ground in got if not shapely.buffer(ground, -width / 2).is_empty}


def loose(grids: Versions) -> set[str]:
    """Parents that are not there, and upper grids with nothing below."""
    above = {v.grid.parent for v in grids.values()}
    top = min(v.grid.level for c, v in grids.items() if is_grid(c))
    missing = {v.grid.parent for v in grids.values() if v.grid.level > top} - set(grids)
    bare = {c for c, v in grids.items() if not v.leaf and c not in above}
    return {str(c) for c in missing | bare}


def as_json(value: Any) -> Any:
    """A step as it comes over HTTP."""
    if isinstance(value, dict):
        return {name: as_json(one) for name, one in value.items()}
    if isinstance(value, shapely.Geometry):
        return shapely.geometry.mapping(value)
    if isinstance(value, list | tuple | np.ndarray):
        return [as_json(one) for one in value]
    return value.item() if isinstance(value, np.generic) else value


def map_is_sound(conn: Connection) -> list[str]:
    """What is wrong with the whole map today, by the checks on what the store holds."""
    asked = resolve(conn, Wish())
    base = plan_base._read(conn, asked, "T")  # noqa: SLF001
    found = faults.check(base.frame())
    return [f"{f.kind} {f.codes}" for f in found if f.severity == "error" or f.kind == "unmatched_vertices"]


def prepare(engine: Engine) -> None:
    """Draw the town."""
    with engine.begin() as conn:
        town.add_grids(conn)
        town.add_city(conn)


def run(engine: Engine, count: int, seed: int, until: float = float("inf")) -> Tally:
    """So many interleavings on an empty, migrated database; ends early at the moment `until`."""
    prepare(engine)
    tally = Tally()
    actors = [Actor(name, engine.connect()) for name in ("ann", "bob", "publisher")]
    for number in range(count):
        Round(engine, actors, np.random.default_rng([seed, number]), tally).run()
        tally.counts["interleavings"] += 1
        with engine.connect() as conn:
            tally.wrong += [f"round {number}: {what}" for what in map_is_sound(conn)]
        if tally.wrong or time.time() > until:
            break
        if sys.stdout.isatty() or number % 500 == 499:
            print(number + 1, dict(tally.counts), flush=True)
    for actor in actors:
        actor.conn.close()
        actor.pool.shutdown()
    return tally


def drop(admin: Engine, name: str) -> None:
    """Drop a database, again where the server's own vacuum is at it, which nobody may end."""
    for left in range(20, -1, -1):
        try:
            with admin.connect() as conn:
                conn.execute(sa.text(f"DROP DATABASE {name} WITH (FORCE)"))
        except sa.exc.ProgrammingError:
            if not left:
                raise
            time.sleep(0.5)
        else:
            return


def main() -> None:
    """Make a database, run, drop it, and tell."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=float("inf"))
    args = parser.parse_args()
    name = f"prove_{uuid.uuid4().hex[:8]}"
    server = make_url(db.url())
    admin = sa.create_engine(server, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
    with admin.connect() as conn:
        conn.execute(sa.text(f"CREATE DATABASE {name}"))
    engine = db.make_engine(server.set(database=name).render_as_string(hide_password=False))
    try:
        with engine.begin() as conn:
            migrate(conn)
        began = time.time()
        tally = run(engine, args.count, args.seed, began + args.seconds)
        print(f"{dict(tally.counts)} in {time.time() - began:.0f} s; wrong: {tally.wrong or 'nothing'}")
    finally:
        engine.dispose()
        drop(admin, name)
    sys.exit(bool(tally.wrong))


if __name__ == "__main__":
    main()

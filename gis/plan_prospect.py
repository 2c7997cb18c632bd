"""What a plan would make of the map as it is now: merged day by day, before anybody decides or writes.

Whoever weighs, approves or publishes a plan reads this, never the draft on the ground that it was drawn on: a
publication by others, or a decision to take theirs back, changes what will be written without any step.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date

import shapely
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.engine import Connection

from gis import plan_base, plan_store, plans
from gis.errors import Problem
from gis.grids import Asked
from gis.plan_base import Base
from gis.plan_diff import Change, diff
from gis.plan_merge import Conflict, Merged, differ, merge
from gis.plan_outlines import is_bent
from gis.plan_store import Plan
from gis.plans import Draft
from gis.schema import grids, revisions
from gis.settle import Coverage, is_grid


@dataclass(frozen=True)
class Stretch:
    """Days in which the map does not change otherwise: the ground now and with the plan on it."""

    since: date
    until: date | None
    base: Base
    merged: Merged


Clash = tuple[Conflict, date]
"""A grid in conflict, and the day from which the map has it otherwise."""


@dataclass(frozen=True)
class Prospect:
    """A plan on the map as known at a revision; as it was drawn where it cannot be brought there.

    `here`: the map of the plan's day before and after; `until`: the day from which a later map stands against
    it; `clashes`: what must be decided first; `why`: what else stands in the way.
    """

    here: Draft
    known: int
    until: date | None = None
    clashes: tuple[Clash, ...] = ()
    why: str | None = None

    @property
    def is_final(self) -> bool:
        """Whether a publication would write what `here` shows."""
        return not self.clashes and self.why is None


def prospect(conn: Connection, plan_id: int) -> Prospect:
    """Return what a plan would make of the map as it is now, or made of it once it is published."""
    here = plans.draft(conn, plan_id)
    known = known_to(conn, here.plan)
    try:
        found = stretches(conn, here, known)
    except Problem as problem:
        return Prospect(here, here.plan.based_on, why=str(problem))
    told = clashes(found)
    if told:
        return Prospect(here, here.plan.based_on, clashes=tuple(told))
    first, last = found[0], found[-1]
    return Prospect(Draft(here.plan, first.base, first.merged.cov), known, last.until)


def known_to(conn: Connection, plan: Plan) -> int:
    """Return the revision of the map that a plan changes: the newest, or the one before its own."""
    if plan.revision is None:
        return plan_store.newest(conn)
    r = revisions.c.id
    before = sa.select(sa.func.coalesce(sa.func.max(r), 0)).where(r < plan.revision)
    return int(conn.execute(before).scalar_one())


def clashes(found: Iterable[Stretch]) -> list[Clash]:
    """Return the grids in conflict, each with the day."""
    return [(one, stretch.since) for stretch in found for one in stretch.merged.conflicts]


def stretches(conn: Connection, here: Draft, known: int) -> list[Stretch]:
    """Return a plan on the ground as known at a revision, from its day on.

    A stretch lies between days on which the map changes. Where a later map, published already, changes the
    same grids, that is a conflict too; decided for theirs, the plan holds until that day.
    """
    choices = plan_store.choices(conn, here.plan.id)
    plan = here.plan
    asked = Asked(plan.scheme, plan.effective_on, known)
    key = (plan.id, plan.head, plan.created_at, tuple(sorted(choices.items())))
    return plan_base.reckoned(conn, asked, key, lambda: _stretches(conn, here, asked, choices))


def _stretches(
    conn: Connection, here: Draft, asked: Asked, choices: Mapping[str, tuple[str, str]]
) -> list[Stretch]:
    plan = here.plan
    base = plan_base.load(conn, asked, plan.scope)
    merged = _merged(here.base.cov, here.cov, base.cov, choices)
    found = [Stretch(plan.effective_on, None, base, merged)]
    for day in _days(conn, base, merged.cov):
        before = found[-1]
        there = plan_base.load(conn, replace(asked, on=day), plan.scope)
        merged = _merged(before.base.cov, before.merged.cov, there.cov, {})
        found[-1] = replace(before, until=day)
        theirs = [choices.get(one.code) == ("theirs", mark(one)) for one in merged.conflicts]
        if theirs and all(theirs):
            return found
        found.append(Stretch(day, None, there, merged))
    return found


def _merged(base: Coverage, mine: Coverage, now: Coverage, choices: Mapping[str, tuple[str, str]]) -> Merged:
    """The draft on the ground now, with the decisions that still hold: those on what is as it was seen."""
    merged, takes = merge(base, mine, now), dict[str, str]()
    while merged.conflicts:
        good = {
            one.code: choices[one.code][0]
            for one in merged.conflicts
            if one.code in choices and choices[one.code][1] == mark(one) and one.code not in takes
        }
        if not good:
            break
        takes |= good
        merged = merge(base, mine, now, takes)
    return merged


def mark(one: Conflict) -> str:
    """Return what tells a conflict from another: both versions, and what others drew together with it.

    Codes of new grids are left out: labels become codes when the plan is handed over, which decides nothing.
    """
    said = hashlib.sha256(repr((one.fields, one.beside)).encode())
    for version, but in ((one.mine, {"parent"}), (one.theirs, set[str]())):
        fields = {} if version is None else version.fields()
        said.update(repr([pair for pair in fields.items() if pair[0] not in but]).encode())
        said.update(b"" if version is None else shapely.to_wkb(version.shape))
    return said.hexdigest()


def _days(conn: Connection, base: Base, cov: Coverage) -> list[date]:
    """The later days on which a grid of a scope changes, as believed at the base's revision."""
    g = grids.c
    codes = sa.cast(sorted({*base.cov.grids, *cov.grids}), ARRAY(sa.Text))
    believed = g.known.contains(base.asked.known)
    ends = [sa.select(end(g.valid).label("day")).where(
        g.scheme == base.asked.scheme, believed, g.code == sa.any_(codes)
    ) for end in (sa.func.lower, sa.func.upper)]  # fmt: skip
    days = sa.union(*ends).subquery()
    later = sa.select(days.c.day).where(days.c.day > base.asked.on).order_by(days.c.day)
    return list(conn.execute(later).scalars())


def otherwise(then: list[Stretch], now: list[Stretch]) -> list[str]:
    """Return the codes of grids of which a plan makes something else now than it did then."""
    days = sorted({one.since for one in (*then, *now)})
    found = {code for day in days for code in _otherwise(_effect(then, day), _effect(now, day))}
    if then[-1].until != now[-1].until:
        found |= {code for side in (then, now) for code in _effect(side, side[-1].since)}
    return sorted(found)


def _effect(found: list[Stretch], day: date) -> dict[str, Change]:
    """What a plan makes of the map of a day, but for what merely bends."""
    there = [one for one in found if one.since <= day and (one.until is None or day < one.until)]
    changes = {code: pair for one in there for code, pair in diff(one.base.cov, one.merged.cov).items()}
    return {code: pair for code, pair in changes.items() if is_grid(code) and not is_bent(*pair)}


def _otherwise(then: Mapping[str, Change], now: Mapping[str, Change]) -> list[str]:
    """The grids of which two effects differ; the shape of an upper grid follows from those below it."""
    return [
        code
        for code in sorted({*then, *now})
        if code not in then or code not in now or any(map(differ, then[code], now[code]))
    ]

"""Publishing a plan: one transaction that brings it onto the ground as it is now and writes a revision."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

import psycopg
import shapely
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.engine import Connection

from gis import (
    plan_base,
    plan_faults,
    plan_features,
    plan_store,
    plans,
    publishing_proof,
    publishing_record,
)
from gis.crs import Datum
from gis.errors import BadInput, Conflicted, NotFound, Problem, PublicationSlow
from gis.grids import Asked
from gis.importing import staging
from gis.plan_base import Base
from gis.plan_diff import diff
from gis.plan_merge import Conflict, Merged, merge
from gis.plan_store import Plan
from gis.plans import Draft
from gis.schema import grids
from gis.settings import settings
from gis.settle import Coverage, is_grid


@dataclass(frozen=True)
class Stretch:
    """Days in which the map does not change otherwise: the ground now and with the plan on it."""

    since: date
    until: date | None
    base: Base
    merged: Merged


@dataclass(frozen=True)
class Published:
    """A plan that became a revision: grids that it made or changed, those gone, and those merely bent.

    A grid is bent where a neighbour's new border put a vertex into its own.
    """

    plan: Plan
    revision: int
    changed: list[str]
    gone: list[str]
    bent: list[str]


def conflicts(conn: Connection, plan_id: int) -> list[tuple[Conflict, date]]:
    """Return the grids that stand between a draft and its publication as things are, each with the day."""
    here = plans.draft(conn, plan_id)
    return _clashes(_stretches(conn, here))


def resolve(conn: Connection, plan_id: int, code: str, take: str) -> list[tuple[Conflict, date]]:
    """Decide a conflict, and return those that are left; what was submitted becomes a draft again.

    The decision holds for what was seen: should the grid change once more, it must be decided anew. Raises
    NotFound where the grid is not in conflict, BadInput where the decision contradicts another.
    """
    here = plans.draft(conn, plan_id, lock=True)
    plans.demand(here.plan, "draft", "submitted", "approved")
    found = {one.code: (one, day) for one, day in conflicts(conn, plan_id)}
    if code not in found:
        raise NotFound(f"grid {code} is not in conflict; GET /plans/{plan_id}/conflicts lists those that are")
    one, day = found[code]
    if take == "mine" and day > here.plan.effective_on:
        raise BadInput("take", f"the map of {day} is published; take theirs, or plan from that day on")
    plan_store.choose(conn, plan_id, code, take, _mark(one))
    if here.plan.state != "draft":
        plans.reopen(conn, plan_id)
    return conflicts(conn, plan_id)


def publish(conn: Connection, plan_id: int) -> Published:
    """Publish an approved plan: merged, checked and written as a new revision, all or nothing.

    One publication or import of grids at a time, so that scopes that hold each other, or lie against each
    other, never cross. Raises Conflicted with the grids that others changed since, Faulty with new errors,
    Unexplained where an area would change that no step draws, PublicationSlow beyond its statements' limit.
    """
    limit = settings().publication_timeout_ms
    conn.execute(sa.select(sa.func.set_config("statement_timeout", str(limit), True)))
    try:
        return _published(conn, plan_id)
    except sa.exc.OperationalError as error:
        if not isinstance(error.orig, psycopg.errors.QueryCanceled):
            raise
        raise PublicationSlow(
            f"a statement of the publication took longer than {limit / 1000:g} s, or another publication or "
            "import of grids is under way; nothing was written; try again, or raise "
            "SAFETYMAP_PUBLICATION_TIMEOUT_MS"
        ) from error


def _published(conn: Connection, plan_id: int) -> Published:
    staging.lock(conn, "grids")
    here = plans.draft(conn, plan_id, lock=True)
    plans.demand(here.plan, "approved")
    stretches = _stretches(conn, here)
    clashes = _clashes(stretches)
    if clashes:
        raise Conflicted(_told(clashes), told(conn, here.plan.scheme, clashes, "wgs84"))
    for stretch in stretches:
        plan_faults.demand_sound(stretch.base.cov, stretch.merged.cov)
    return _write(conn, here, stretches)


def _told(clashes: list[tuple[Conflict, date]]) -> str:
    codes = ", ".join(sorted({one.code for one, _ in clashes}))
    return f"others changed {codes} since the plan was drawn; choose a version of each, or draw anew"


def told(
    conn: Connection, scheme: str, clashes: list[tuple[Conflict, date]], datum: Datum
) -> list[dict[str, Any]]:
    """Return conflicts with both versions of each grid as GeoJSON features."""
    pairs = {one.code: (one.mine, one.theirs) for one, _ in clashes}
    sides = {pair["code"]: pair for pair in plan_features.pairs(conn, scheme, pairs, datum)}
    return [
        {
            "code": one.code, "fields": list(one.fields), "mine": sides[one.code]["before"],
            "theirs": sides[one.code]["after"], "with": list(one.together), "on": day,
        }
        for one, day in clashes
    ]  # fmt: skip


def _clashes(stretches: Iterable[Stretch]) -> list[tuple[Conflict, date]]:
    return [(one, stretch.since) for stretch in stretches for one in stretch.merged.conflicts]


def _stretches(conn: Connection, here: Draft) -> list[Stretch]:
    """The plan on the ground now, from its day on, stretch by stretch between days on which the map changes.

    Where a later map, published already, changes the same grids, that is a conflict too; decided for theirs,
    the plan holds until that day.
    """
    plan, known = here.plan, plan_store.newest(conn)
    base = plan_base.load(conn, Asked(plan.scheme, plan.effective_on, known), plan.scope)
    choices = plan_store.choices(conn, plan.id)
    merged = _merged(here.base.cov, here.cov, base.cov, choices)
    found = [Stretch(plan.effective_on, None, base, merged)]
    for day in _days(conn, base, merged.cov):
        before = found[-1]
        there = plan_base.load(conn, Asked(plan.scheme, day, known), plan.scope)
        merged = _merged(before.base.cov, before.merged.cov, there.cov, {})
        found[-1] = replace(before, until=day)
        theirs = [choices.get(one.code) == ("theirs", _mark(one)) for one in merged.conflicts]
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
            if one.code in choices and choices[one.code][1] == _mark(one) and one.code not in takes
        }
        if not good:
            break
        takes |= good
        merged = merge(base, mine, now, takes)
    return merged


def _mark(one: Conflict) -> str:
    """What tells a conflict from another."""
    said = hashlib.sha256(repr((one.code, one.fields, one.together)).encode())
    for version in (one.mine, one.theirs):
        said.update(repr(version and version.fields()).encode())
        said.update(b"" if version is None else shapely.to_wkb(version.shape))
    return said.hexdigest()


def _days(conn: Connection, base: Base, cov: Coverage) -> list[date]:
    """The later days on which a grid of a scope changes, as believed now."""
    g = grids.c
    codes = sa.cast(sorted({*base.cov.grids, *cov.grids}), ARRAY(sa.Text))
    ends = [sa.select(end(g.valid).label("day")).where(
        g.scheme == base.asked.scheme, sa.func.upper_inf(g.known), g.code == sa.any_(codes)
    ) for end in (sa.func.lower, sa.func.upper)]  # fmt: skip
    days = sa.union(*ends).subquery()
    later = sa.select(days.c.day).where(days.c.day > base.asked.on).order_by(days.c.day)
    return list(conn.execute(later).scalars())


def _write(conn: Connection, here: Draft, stretches: list[Stretch]) -> Published:
    """Write the revision, lineage, posts and the plan's new state, once what it will write is proven."""
    plan, undone = here.plan, {code for stretch in stretches for code in stretch.merged.undone}
    proof = publishing_proof.Proof(publishing_proof.named(here.base.cov, here.cov, undone))
    record = publishing_record.Record(conn, plan.scheme, proof)
    each = [diff(stretch.base.cov, stretch.merged.cov) for stretch in stretches]
    if not each[0]:
        raise Problem(f"nothing is left of plan {plan.id} to publish; withdraw it")
    for stretch, changes in zip(stretches, each, strict=True):
        days = (stretch.since, stretch.until)
        record.lay(days, stretch.base.cov, stretch.merged.cov, changes)
        record.bend(days, stretch.base.cov, stretch.merged.cov, changes)
        record.follow(days, stretch.base.cov, stretch.merged.cov)
    proof.refuse()
    lineage = publishing_record.lineage_of(conn, each[0])
    posts = publishing_record.Posts(conn, plan.scheme, plan.effective_on)
    posts.end(stretches[0].base.cov, stretches[0].merged.cov, lineage)
    revision = record.write(plan.title)
    publishing_record.write_lineage(conn, revision, plan.scheme, lineage)
    posts.pass_on()
    plan_store.update(conn, plan.id, state="published", revision=revision, published_at=sa.func.now())
    kinds = {code: plan_features.kind_of(change) for code, change in each[0].items() if is_grid(code)}
    there = [code for code, kind in kinds.items() if kind in {"new", "changed"}]
    gone, bent = ([code for code, kind in kinds.items() if kind == of] for of in ("gone", "bent"))
    return Published(plan_store.get(conn, plan.id), revision, there, gone, bent)

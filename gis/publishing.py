"""Publishing a plan: one transaction that brings it onto the ground as it is now and writes a revision."""

from dataclasses import dataclass, replace
from datetime import date
from typing import Any

import psycopg
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from gis import (
    db,
    plan_faults,
    plan_features,
    plan_store,
    plans,
    publishing_proof,
    publishing_record,
)
from gis.access import Principal
from gis.crs import Datum
from gis.errors import BadInput, Conflicted, NotFound, Problem, PublicationSlow
from gis.importing import staging
from gis.plan_diff import diff
from gis.plan_prospect import Clash, Stretch, clashes, mark, otherwise, stretches
from gis.plan_store import Plan
from gis.plans import Draft
from gis.publishing_proof import version_written
from gis.settings import settings
from gis.settle import is_grid

MOST_TOLD = 20
"""Codes of grids that a sentence names."""


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


def conflicts(conn: Connection, plan_id: int) -> list[Clash]:
    """Return the grids that stand between a draft and its publication as things are, each with the day."""
    here = plans.draft(conn, plan_id)
    return _as_written(here, stretches(conn, here, plan_store.newest(conn)))


def _as_written(here: Draft, found: list[Stretch]) -> list[Clash]:
    """The grids in conflict, upper ones by the polygons that would be written, or stand in the store."""
    base, mine, there = here.base.cov, here.cov, list[Clash]()
    for stretch in found:
        now = stretch.base.cov
        for one in stretch.merged.conflicts:
            ours, theirs = version_written(base, mine, one.mine), version_written(now, now, one.theirs)
            there.append((replace(one, mine=ours, theirs=theirs), stretch.since))
        base, mine = now, stretch.merged.cov
    return there


def resolve(conn: Connection, plan_id: int, code: str, take: str) -> list[Clash]:
    """Decide a conflict, and return those that are left; what was submitted becomes a draft again.

    The decision holds for what was seen: should the grid change once more, it must be decided anew. Raises
    NotFound where the grid is not in conflict, BadInput where the decision contradicts another.
    """
    here = plans.draft(conn, plan_id, lock=True)
    plans.demand(here.plan, "draft", "submitted", "approved")
    found = {one.code: (one, day) for one, day in clashes(stretches(conn, here, plan_store.newest(conn)))}
    if code not in found:
        raise NotFound(f"grid {code} is not in conflict; GET /plans/{plan_id}/conflicts lists those that are")
    one, day = found[code]
    if take == "mine" and day > here.plan.effective_on:
        raise BadInput("take", f"the map of {day} is published; take theirs, or plan from that day on")
    plan_store.choose(conn, plan_id, code, take, mark(one))
    if here.plan.state != "draft":
        plans.reopen(conn, plan_id)
    else:
        plan_store.update(conn, plan_id, state="draft")  # announced: whoever has it open weighs it anew
    return conflicts(conn, plan_id)


def publish(conn: Connection, plan_id: int) -> Published:
    """Publish an approved plan: merged, checked and written as a new revision, all or nothing.

    One publication or import of grids at a time, so that scopes that hold each other, or lie against each
    other, never cross. Raises Conflicted with the grids that others changed since, Faulty with new errors,
    Unexplained where an area would change that no step draws, PublicationSlow beyond its statements' limit.
    """
    limit = settings().publication_timeout_ms
    try:
        with db.allowing(conn, limit):
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
    there = _merged(conn, here)
    _demand_as_seen(conn, here, there, here.plan.approved_against)
    return _write(conn, here, there, _proven(conn, here, there))


def submit(conn: Connection, plan_id: int) -> Plan:
    """Hand a draft over for approval, once nothing stands in the way of its publication as things are.

    Raises what `plans.submit` and a publication raise: Conflicted, Faulty, Unexplained.
    """
    _merged(conn, plans.draft(conn, plan_id, lock=True))
    done = plans.submit(conn, plan_id)
    here = plans.draft(conn, plan_id)
    _proven(conn, here, _merged(conn, here))
    return done


def approve(conn: Connection, who: Principal, plan_id: int, seen: int | None = None) -> Plan:
    """Approve a submitted plan as it changes the map now, or an approved one anew where the map moved on.

    `seen`: the revision of the map that its impact was told against. Raises a Problem where the plan does
    something else to the map now, what `plans.approve` raises, and what a publication would raise.
    """
    here = plans.draft(conn, plan_id, lock=True)
    plans.demand(here.plan, "submitted", "approved")
    there = _merged(conn, here)
    if seen is not None:
        _demand_as_seen(conn, here, there, seen)
    _proven(conn, here, there)
    return plans.approve(conn, who, plan_id, plan_store.newest(conn))


def _merged(conn: Connection, here: Draft) -> list[Stretch]:
    """A plan on the map as it is now. Raises Conflicted with the grids that must be decided first."""
    there = stretches(conn, here, plan_store.newest(conn))
    clash = clashes(there)
    if clash:
        raise Conflicted(
            _told(here.plan, clash), told(conn, here.plan.scheme, _as_written(here, there), "wgs84")
        )
    return there


def _demand_as_seen(conn: Connection, here: Draft, now: list[Stretch], seen: int | None) -> None:
    """Raise a Problem where a plan does something else to the map now than to the one that was seen."""
    newest = plan_store.newest(conn)
    if seen == newest:
        return
    if seen is None or not here.plan.based_on <= seen <= newest:
        raise Problem("it is not known which map was seen; read the plan's impact, and approve it once more")
    if codes := otherwise(stretches(conn, here, seen), now):
        more = f" and {len(codes) - MOST_TOLD} more" if len(codes) > MOST_TOLD else ""
        raise Problem(
            f"the map changed since revision {seen}, which was seen: the plan would now change "
            f"{', '.join(codes[:MOST_TOLD])}{more} otherwise; read its impact, and approve it once more"
        )


def _told(plan: Plan, clashes: list[Clash]) -> str:
    """Why a plan cannot be published: what others changed meanwhile, and what later maps have otherwise."""
    by_day: dict[date, set[str]] = {}
    for one, day in clashes:
        by_day.setdefault(day, set()).add(one.code)
    said = [_differs(plan, day, sorted(codes)) for day, codes in sorted(by_day.items())]
    return f"{'; '.join(said)}; GET /plans/{plan.id}/conflicts has both versions of each"


def _differs(plan: Plan, day: date, codes: list[str]) -> str:
    named = ", ".join(codes)
    if day <= plan.effective_on:
        return f"others changed {named} since the plan was drawn: choose a version of each, or draw anew"
    return (
        f"the map that holds from {day} on, published already, has {named} otherwise: take theirs, and the "
        f"plan holds until then, or plan from {day} on"
    )


def told(conn: Connection, scheme: str, clashes: list[Clash], datum: Datum) -> list[dict[str, Any]]:
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


def _proven(conn: Connection, here: Draft, stretches: list[Stretch]) -> publishing_record.Record:
    """What a publication will write, proven and not written yet."""
    for stretch in stretches:
        plan_faults.demand_sound(stretch.base.cov, stretch.merged.cov)
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
    return record


def _write(
    conn: Connection, here: Draft, stretches: list[Stretch], record: publishing_record.Record
) -> Published:
    """Write the revision, lineage, posts and the plan's new state."""
    plan, old, new = here.plan, stretches[0].base.cov, stretches[0].merged.cov
    changes = publishing_proof.as_recorded(old, new)
    lineage = publishing_record.lineage_of(conn, changes)
    posts = publishing_record.Posts(conn, plan.scheme, plan.effective_on)
    posts.end(old, new, lineage)
    revision = record.write(plan.title)
    publishing_record.write_lineage(conn, revision, plan.scheme, lineage)
    posts.pass_on()
    plan_store.update(conn, plan.id, state="published", revision=revision, published_at=sa.func.now())
    kinds = {code: plan_features.kind_of(change) for code, change in changes.items() if is_grid(code)}
    there = [code for code, kind in kinds.items() if kind in {"new", "changed"}]
    gone, bent = ([code for code, kind in kinds.items() if kind == of] for of in ("gone", "bent"))
    return Published(plan_store.get(conn, plan.id), revision, there, gone, bent)

"""Plans: drafts of new boundaries within a scope, step by step, with undo and redo that last."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

import shapely
import sqlalchemy as sa
from shapely.geometry.base import BaseGeometry
from sqlalchemy.engine import Connection

from gis import (
    grids,
    plan_base,
    plan_codes,
    plan_faults,
    plan_input,
    plan_outside,
    plan_store,
    publishing_proof,
    redraw,
)
from gis.access import Principal
from gis.errors import BadInput, Forbidden, Problem
from gis.grids import Asked, Wish
from gis.plan_base import Base
from gis.plan_diff import Change, Version, applied, diff, version_of
from gis.plan_outlines import is_bent
from gis.plan_store import Plan
from gis.schema import buildings
from gis.settle import Coverage, is_grid
from gis.splitting import LABEL

ANYWHERE = -1
GROUP = "group"
"""The op of steps that were taken together and are undone together."""
MOST_BUILDINGS = 2000
"""Buildings that one step assigns."""


@dataclass(frozen=True)
class Draft:
    """A plan with the ground it stands on and what it has made of it."""

    plan: Plan
    base: Base
    cov: Coverage


@dataclass(frozen=True)
class Done:
    """What a step, an undo or a redo did: the draft now, the step, and the grids it changed."""

    draft: Draft
    step: int
    changes: Mapping[str, Change]


def create(
    conn: Connection, who: Principal, scope: str, title: str, effective_on: date | None, scheme: str | None
) -> Plan:
    """Begin a draft within a grid, on the newest revision, effective from a day (today).

    Raises NotFound when the grid has no boundary on that day, Forbidden outside of the scope of `who`.
    """
    asked = grids.resolve(conn, Wish(scheme, effective_on))
    grids.grid(conn, scope, asked)
    plan_store.demand_scope(conn, asked.scheme, scope)
    values = {"scheme": asked.scheme, "scope": scope, "title": title.strip()}
    values |= {"based_on": asked.known, "effective_on": asked.on}  # type: ignore[dict-item]
    return plan_store.get(conn, plan_store.insert(conn, who, **values))


def base_of(conn: Connection, plan: Plan) -> Base:
    """Return the ground that a plan stands on."""
    return plan_base.load(conn, Asked(plan.scheme, plan.effective_on, plan.based_on), plan.scope)


def draft(conn: Connection, plan_id: int, *, lock: bool = False, at: int | None = None) -> Draft:
    """Return a plan as it stands at its head, or at a step (0: its base).

    `lock`: nobody else moves it until the transaction ends.
    """
    plan = plan_store.get(conn, plan_id, lock=lock)
    base = base_of(conn, plan)
    if at is not None:
        return Draft(plan, base, applied(base.cov, plan_store.state_at(conn, plan.id, at or None)))
    found = plan_base.drafted(conn, base, _at(plan), None)
    if found is None:
        found = plan_base.drafted(conn, base, _at(plan), plan_store.grids_of(conn, plan.id))
    assert found is not None
    return Draft(plan, base, found)


def _at(plan: Plan) -> tuple[int, int | None, object]:
    return (plan.id, plan.head, plan.created_at)


def demand(plan: Plan, *states: str) -> None:
    """Raise a Problem unless a plan is in one of these states."""
    if plan.state not in states:
        raise Problem(f"plan {plan.id} is {plan.state}; this needs it to be {' or '.join(states)}")


def take(
    conn: Connection, who: Principal, plan_id: int, params: Mapping[str, Any], head: int | None = ANYWHERE
) -> Done:
    """Take a step of redrawing and store it with what it changed.

    `params` as `redraw.apply` takes them, and `building_ids` for `buildings`; `head`: where whoever asks
    believes the plan to stand. Raises what the step raises, and a Problem where the plan has moved on.
    """
    here = locked(conn, plan_id, head)
    plan_store.add_hand(conn, plan_id, who)
    return _kept(conn, who, here, *stepped(conn, here, params))


def locked(conn: Connection, plan_id: int, head: int | None = ANYWHERE) -> Draft:
    """Return a draft that nobody else moves until the transaction ends.

    Raises a Problem where it is no draft any more, or does not stand at `head`.
    """
    here = draft(conn, plan_id, lock=True)
    _demand_at(here.plan, head)
    return here


def _demand_at(plan: Plan, head: int | None) -> None:
    demand(plan, "draft")
    demand_at(plan, head)


def demand_at(plan: Plan, head: int | None) -> None:
    """Raise a Problem where a plan does not stand at `head`."""
    if head not in {ANYWHERE, plan.head}:
        there = "its base" if plan.head is None else f"step {plan.head}"
        raise Problem(f"plan {plan.id} has moved on to {there}; look at it again")


def take_group(
    conn: Connection,
    who: Principal,
    here: Draft,
    title: str,
    steps: Sequence[Mapping[str, Any]],
    new: Coverage,
) -> Done:
    """Store steps already taken on a locked draft, and the coverage they make, as one step to undo."""
    plan_store.add_hand(conn, here.plan.id, who)
    return _kept(conn, who, here, {"op": GROUP, "title": title, "steps": list(steps)}, new)


def _kept(conn: Connection, who: Principal, here: Draft, done: Mapping[str, Any], new: Coverage) -> Done:
    """Store a step and what it changed."""
    changes = diff(here.cov, new)
    if not changes:
        raise BadInput("op", "the step changes nothing")
    step = plan_store.add_step(conn, here.plan, done, who, changes)
    there = replace(here.plan, head=step)
    plan_base.keep(conn, here.base, _at(there), new)
    return _drawn(conn, Done(Draft(there, here.base, new), step, changes))


def _drawn(conn: Connection, done: Done) -> Done:
    """Let the map show upper grids of a draft by the polygons that would be written of them."""
    here = done.draft
    there = versions(here, sorted(here.base.cov.outlines.keys() & done.changes.keys()))
    plan_store.draw(conn, here.plan.id, there)
    return done


def stepped(conn: Connection, here: Draft, params: Mapping[str, Any]) -> tuple[Mapping[str, Any], Coverage]:
    """Return a step with the labels and names it gave, and the coverage after it; stores nothing."""
    cov = here.cov
    read = _with_buildings(conn, plan_input.read(params))
    if params.get("op") == "split":
        read = {**read, "draft": True}
    if params.get("op") == "reshape" and (line := _trimmed(cov, read)) is not None:
        read, params = {**read, "line": line}, {**params, "line": shapely.geometry.mapping(line)}
    new = redraw.apply(cov, read)
    plan_outside.refuse_new(here.base.cov, cov, new)
    given = [code for code in new.grids if code not in cov.grids]
    plan_codes.demand_free(conn, here.plan, [c for c in given if not c.startswith(LABEL)])
    # In the order in which the step gave them, so that it can be done anew elsewhere.
    called = {"into": given, "names": [new.grids[code].name for code in given]}
    return {**params, **(called if params.get("op") == "split" else {})}, new


def _trimmed(cov: Coverage, read: Mapping[str, Any]) -> BaseGeometry | None:
    """A reshape's line without what lies before its first and after its last crossing; it is stored so."""
    given, line = read.get("codes"), read.get("line")
    if not isinstance(given, list) or line is None or not all(code in cov.grids for code in given):
        return None
    return redraw.trimmed(cov, given, line)


def _with_buildings(conn: Connection, params: Mapping[str, Any]) -> Mapping[str, Any]:
    """A step whose `building_ids` are the buildings' outlines."""
    if "building_ids" not in params:
        return params
    ids = sorted(set(params["building_ids"]))
    if not 0 < len(ids) <= MOST_BUILDINGS:
        raise BadInput("building_ids", f"give one to {MOST_BUILDINGS} of them")
    wkb = sa.select(buildings.c.id, sa.func.ST_AsBinary(buildings.c.geom)).where(buildings.c.id.in_(ids))
    found = {row[0]: bytes(row[1]) for row in conn.execute(wkb.order_by(buildings.c.id))}
    missing = [one for one in ids if one not in found]
    if missing:
        raise BadInput("building_ids", f"there is no building {missing[0]}")
    rest = {name: value for name, value in params.items() if name != "building_ids"}
    return {**rest, "buildings": list(shapely.from_wkb(list(found.values())))}


def undo(conn: Connection, plan_id: int, head: int | None = ANYWHERE) -> Done:
    """Move a plan back by one step: every grid that it changed is what it was, to the byte.

    Raises a Problem where it does not stand at `head`, or nothing is left to undo.
    """
    plan = plan_store.get(conn, plan_id, lock=True)
    _demand_at(plan, head)
    if plan.head is None:
        raise Problem(f"plan {plan_id} stands at its base; nothing is left to undo")
    undone = plan_store.step(conn, plan_id, plan.head)
    changes = {code: (b, a) for code, (a, b) in plan_store.changes_of(conn, undone.id).items()}
    base = plan_store.were_base(conn, undone.id)
    plan_store.forget_grids(conn, plan_id, base)
    plan_store.set_grids(conn, plan_id, {c: v for c, (_, v) in changes.items() if c not in base})
    return _moved(conn, plan, undone.parent, undone.id, changes)


def redo(conn: Connection, plan_id: int, step: int | None = None, head: int | None = ANYWHERE) -> Done:
    """Move a plan forward to a child of where it stands: the one named, else the newest.

    Raises a Problem where it does not stand at `head`, or nothing is left to do again.
    """
    plan = plan_store.get(conn, plan_id, lock=True)
    _demand_at(plan, head)
    below = plan_store.children(conn, plan_id, plan.head)
    if not below:
        raise Problem(f"plan {plan_id} stands at its last step; nothing is left to do again")
    if step is not None and step not in below:
        raise BadInput("step", f"from here only {', '.join(map(str, below))} can be done again")
    again = step or below[-1]
    changes = plan_store.changes_of(conn, again)
    plan_store.set_grids(conn, plan_id, {code: after for code, (_, after) in changes.items()})
    return _moved(conn, plan, again, again, changes)


def _moved(conn: Connection, plan: Plan, head: int | None, step: int, changes: Mapping[str, Change]) -> Done:
    """Put the head elsewhere; the coverage there follows from the one kept of here, if any."""
    plan_store.update(conn, plan.id, head=head)
    moved = replace(plan, head=head)
    base = base_of(conn, plan)
    if plan_base.drafted(conn, base, _at(moved), None) is None:
        here = plan_base.drafted(conn, base, _at(plan), None)
        if here is not None:
            there = {code: after for code, (_, after) in changes.items()}
            plan_base.keep(conn, base, _at(moved), applied(here, there))
    return _drawn(conn, Done(draft(conn, plan.id), step, changes))


def compare(conn: Connection, plan_id: int, start: int | None, end: int | None) -> dict[str, Change]:
    """Return the grids that differ between two points of a plan (None: its base), by code."""
    plan = plan_store.get(conn, plan_id)
    one, other = (plan_store.state_at(conn, plan_id, point) for point in (start, end))
    base = base_of(conn, plan).cov
    found: dict[str, Change] = {}
    for code in sorted(filter(is_grid, {*one, *other})):
        there = [side[code] if code in side else version_of(base, code) for side in (one, other)]
        if there[0] != there[1]:
            found[code] = (there[0], there[1])
    return publishing_proof.between(base, applied(base, one), applied(base, other), found)


def versions(here: Draft, codes: Iterable[str]) -> dict[str, Version]:
    """Return grids of a draft by code, in the order of codes, by the polygons that would be written."""
    there = ((code, _written(here, version_of(here.cov, code))) for code in codes)
    return {code: one for code, one in there if one is not None}


def _written(here: Draft, one: Version | None) -> Version | None:
    return publishing_proof.version_written(here.base.cov, here.cov, one)


def shown(done: Done) -> dict[str, Change]:
    """Return what a step, an undo or a redo did, by the polygons to be written before and after it."""
    here = done.draft
    before = applied(here.cov, {code: was for code, (was, _) in done.changes.items()})
    return publishing_proof.between(here.base.cov, before, here.cov, done.changes)


def changed(here: Draft) -> dict[str, Change]:
    """Return the grids of a draft that differ from its base, by code, nobody's ground left out."""
    found = publishing_proof.as_recorded(here.base.cov, here.cov)
    return {code: change for code, change in found.items() if is_grid(code)}


def count_changed(conn: Connection, plan: Plan, base: Coverage) -> int:
    """Return how many grids of a draft are new, gone or changed, not merely bent by a vertex."""
    there = plan_store.grids_of(conn, plan.id)
    pairs = ((version_of(base, code), after) for code, after in there.items() if is_grid(code))
    return sum(before != after and not is_bent(before, after) for before, after in pairs)


def withdraw(conn: Connection, who: Principal, plan_id: int) -> Plan:
    """Take a plan back; only its author may, and an approver in its stead rejects it."""
    plan = plan_store.get(conn, plan_id, lock=True)
    demand(plan, "draft", "submitted", "approved")
    if plan.author_is != plan_store.identity(who):
        raise Forbidden("only the author may withdraw a plan; an approver may reject it")
    return _becomes(conn, plan, "withdrawn")


def reopen(conn: Connection, plan_id: int) -> Plan:
    """Make a draft of a plan again; what was submitted or approved must be so anew."""
    plan = plan_store.get(conn, plan_id, lock=True)
    demand(plan, "submitted", "approved", "rejected", "withdrawn")
    return _becomes(
        conn, plan, "draft", submitted_at=None, approved_at=None, approved_against=None, approver=None
    )


def approve(conn: Connection, who: Principal, plan_id: int, against: int | None = None) -> Plan:
    """Approve a submitted plan: four eyes see more than two.

    `against`: the revision of the map that was seen, the newest; where the map moved on since, an approved
    plan may be approved anew. Raises Forbidden for whoever had a hand in it, and for any key of the same
    name, which is one person's.
    """
    plan = plan_store.get(conn, plan_id, lock=True)
    against = plan_store.newest(conn) if against is None else against
    demand(plan, "submitted", *(["approved"] if plan.approved_against != against else []))
    hands = plan_store.hands(conn, plan_id)
    if plan_store.identity(who) in hands or who.name in hands.values():
        raise Forbidden(
            "nobody approves a plan that they had a hand in (keys of one name are one person's); "
            "ask another approver"
        )
    decided = {"approver": who.name, "approved_at": sa.func.now(), "approved_against": against}
    return _becomes(conn, plan, "approved", **decided)


def reject(conn: Connection, who: Principal, plan_id: int, note: str | None) -> Plan:
    """Send a plan back, with the reason."""
    plan = plan_store.get(conn, plan_id, lock=True)
    demand(plan, "submitted", "approved")
    return _becomes(
        conn, plan, "rejected", approver=who.name, note=note, approved_at=None, approved_against=None
    )


def submit(conn: Connection, plan_id: int) -> Plan:
    """Hand a draft over for approval: its new grids get their codes, by a step of its own.

    Raises a Problem for one that changes nothing, or whose codes were given meanwhile, Faulty for errors.
    """
    here = draft(conn, plan_id, lock=True)
    demand(here.plan, "draft")
    if not changed(here):
        raise Problem(f"plan {plan_id} changes nothing yet; take a step first")
    plan_faults.demand_sound(here.base.cov, here.cov)
    codes = plan_codes.reserved(conn, here.plan, here.base.cov, here.cov)
    if codes:
        author = Principal("planner", name=here.plan.author)
        step = {"op": "recode", "codes": codes}
        _kept(conn, author, here, step, redraw.apply(here.cov, step))
        plan_store.recode_choices(conn, plan_id, codes)
    return _becomes(conn, here.plan, "submitted", submitted_at=sa.func.now())


def _becomes(conn: Connection, plan: Plan, state: str, **values: Any) -> Plan:
    plan_store.update(conn, plan.id, state=state, **values)
    return plan_store.get(conn, plan.id)

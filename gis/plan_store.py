"""Plans in the store: their rows, the tree of their steps, and the grids of a draft that differ."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import numpy as np
import shapely
import sqlalchemy as sa
from shapely.geometry.base import BaseGeometry
from sqlalchemy.dialects.postgresql import ARRAY, distinct_on
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.engine import Connection

from gis import coverage
from gis.access import Principal
from gis.db import Record
from gis.errors import Forbidden, NotFound
from gis.plan_diff import Change, Version, version
from gis.plan_outlines import is_bent
from gis.schema import grid_codes, revisions
from gis.schema_plans import plan_changes, plan_choices, plan_grids, plan_hands, plan_steps, plans
from gis.settle import NOBODY, SPARE, is_grid


@dataclass(frozen=True)
class Plan:
    """A plan's row."""

    id: int
    scheme: str
    scope: str
    title: str
    based_on: int
    effective_on: date
    state: str
    author: str
    author_is: str
    approver: str | None
    note: str | None
    head: int | None
    revision: int | None
    created_at: datetime
    submitted_at: datetime | None
    approved_at: datetime | None
    approved_against: int | None
    published_at: datetime | None


def identity(who: Principal) -> str:
    """Who somebody is when it must be another: the key, else the name."""
    return f"key {who.key_id}" if who.key_id is not None else f"name {who.name}"


def insert(conn: Connection, who: Principal, **values: Any) -> int:
    """Write a new draft of `who` and return its id."""
    row = values | {"author": who.name, "author_is": identity(who)}
    plan_id = int(conn.execute(plans.insert().values(row).returning(plans.c.id)).scalar_one())
    add_hand(conn, plan_id, who)
    return plan_id


def add_hand(conn: Connection, plan_id: int, who: Principal) -> None:
    """Keep that somebody had a hand in a plan, and so may not approve it."""
    row = {"plan_id": plan_id, "who_is": identity(who), "name": who.name}
    conn.execute(upsert(plan_hands).values(row).on_conflict_do_nothing())


def hands(conn: Connection, plan_id: int) -> dict[str, str]:
    """Return the names of all who had a hand in a plan, by identity."""
    h = plan_hands.c
    rows = conn.execute(sa.select(h.who_is, h.name).where(h.plan_id == plan_id).order_by(h.name, h.who_is))
    return {row.who_is: row.name for row in rows}


def get(conn: Connection, plan_id: int, *, lock: bool = False) -> Plan:
    """Return a plan that whoever asks may see; `lock`: nobody else changes it until the transaction ends.

    Raises NotFound.
    """
    query = sa.select(plans).where(plans.c.id == plan_id, _in_scope())
    row = conn.execute(query.with_for_update(key_share=True) if lock else query).one_or_none()
    if row is None:
        raise NotFound(f"there is no plan {plan_id}, or it lies outside of the scope")
    return Plan(**row._mapping)


def listed(conn: Connection, state: str | None, before: int | None, limit: int) -> list[Plan]:
    """Return up to `limit` plans that whoever asks may see, newest first."""
    query = sa.select(plans).where(_in_scope()).order_by(plans.c.id.desc()).limit(limit)
    if state is not None:
        query = query.where(plans.c.state == state)
    if before is not None:
        query = query.where(plans.c.id < before)
    return [Plan(**row._mapping) for row in conn.execute(query)]


def _in_scope() -> sa.ColumnElement[bool]:
    return sa.func.plan_is_in_scope(plans.c.scheme, plans.c.scope)


def demand_scope(conn: Connection, scheme: str, scope: str) -> None:
    """Raise Forbidden unless a grid lies within the scope of whoever asks."""
    if not conn.execute(sa.select(sa.func.plan_is_in_scope(scheme, scope))).scalar():
        raise Forbidden(f"grid {scope} lies outside of the key's scope; plan inside it")


def update(conn: Connection, plan_id: int, **values: Any) -> None:
    """Change a plan's row."""
    conn.execute(plans.update().where(plans.c.id == plan_id).values(values))


def newest(conn: Connection) -> int:
    """Return the newest revision."""
    return int(conn.execute(sa.select(sa.func.coalesce(sa.func.max(revisions.c.id), 0))).scalar_one())


def add_step(
    conn: Connection, plan: Plan, params: Mapping[str, Any], who: Principal, changes: Mapping[str, Change]
) -> int:
    """Append a step below the head, with what it changed, move the head to it and return it."""
    row = {"plan_id": plan.id, "parent": plan.head, "op": params["op"], "author": who.name}
    rest = {name: value for name, value in params.items() if name != "op"}
    insert = plan_steps.insert().values(row | {"params": rest}).returning(plan_steps.c.id)
    step = int(conn.execute(insert).scalar_one())
    known = set(conn.execute(sa.select(plan_grids.c.code).where(plan_grids.c.plan_id == plan.id)).scalars())
    rows = [
        {"step_id": step, "plan_id": plan.id, "code": code, "was_base": code not in known}
        | {"bent": is_bent(before, after)}
        | _stored(before, "before")
        | _stored(after, "after")
        for code, (before, after) in changes.items()
    ]
    conn.execute(plan_changes.insert(), rows)
    set_grids(conn, plan.id, {code: after for code, (_, after) in changes.items()})
    update(conn, plan.id, head=step)
    return step


def _stored(there: Version | None, name: str) -> dict[str, Any]:
    if there is None:
        return {name: None, f"{name}_shape": None}
    return {name: there.fields(), f"{name}_shape": shapely.to_wkb(there.shape)}


def set_grids(conn: Connection, plan_id: int, there: Mapping[str, Version | None]) -> None:
    """Let grids of a draft be so."""
    if not there:
        return
    rows = [
        {"plan_id": plan_id, "code": code} | _stored(one, "grid") | {"geom": _geom(code, one)}
        for code, one in there.items()
    ]
    for row in rows:
        row["shape"] = row.pop("grid_shape")
    statement = upsert(plan_grids)
    chosen = {name: statement.excluded[name] for name in ("grid", "shape", "geom")}
    key = ["plan_id", "code"]
    conn.execute(statement.on_conflict_do_update(index_elements=key, set_=chosen), rows)


def draw(conn: Connection, plan_id: int, there: Mapping[str, Version]) -> None:
    """Let the map show grids of a draft by the shapes of these versions."""
    p = plan_grids.c
    for code, one in there.items():
        mine = plan_grids.update().where(p.plan_id == plan_id, p.code == code)
        conn.execute(mine.values(geom=_geom(code, one)))


def _is_grid(code: sa.ColumnElement[str]) -> sa.ColumnElement[bool]:
    """Whether a stored key of ground is the code of a grid (`settle.is_grid`)."""
    return sa.and_(code != NOBODY, sa.not_(code.startswith(SPARE)))


def _geom(code: str, one: Version | None) -> str | None:
    return None if one is None or not is_grid(code) else f"SRID=4326;{multi(one.whole).wkt}"


def multi(shape: BaseGeometry) -> shapely.MultiPolygon:
    """A shape in units as a MultiPolygon in degrees."""
    return shapely.MultiPolygon(list(shapely.get_parts(coverage.to_degrees(shape))))


def forget_grids(conn: Connection, plan_id: int, codes: Iterable[str]) -> None:
    """Let grids of a draft be as in its base again."""
    p = plan_grids.c
    conn.execute(plan_grids.delete().where(p.plan_id == plan_id, p.code.in_(list(codes))))


def grids_of(conn: Connection, plan_id: int) -> dict[str, Version | None]:
    """Return the grids of a draft that differ from its base."""
    p = plan_grids.c
    rows = conn.execute(sa.select(p.code, p.grid, p.shape).where(p.plan_id == plan_id).order_by(p.code)).all()
    return _read([(r[0], r[1], r[2]) for r in rows])


def _read(rows: Sequence[tuple[str, Any, Any]]) -> dict[str, Version | None]:
    """Return versions by code of rows of code, fields, shape as WKB."""
    shapes = shapely.from_wkb(np.array([row[2] for row in rows], dtype=object))
    return {
        code: None if fields is None else version(code, fields, shape)
        for (code, fields, _), shape in zip(rows, shapes, strict=True)
    }


def step(conn: Connection, plan_id: int, step_id: int) -> Record:
    """Return a step of a plan. Raises NotFound."""
    s = plan_steps.c
    row = conn.execute(sa.select(plan_steps).where(s.plan_id == plan_id, s.id == step_id)).one_or_none()
    if row is None:
        raise NotFound(f"plan {plan_id} has no step {step_id}")
    return row


def children(conn: Connection, plan_id: int, head: int | None) -> list[int]:
    """Return the steps that can be done from a point of a plan, the last one last."""
    s = plan_steps.c
    below = s.parent.is_(None) if head is None else s.parent == head
    return list(conn.execute(sa.select(s.id).where(s.plan_id == plan_id, below).order_by(s.id)).scalars())


def count_steps(conn: Connection, plan_id: int) -> int:
    """Return how many steps a plan has, undone ones too."""
    count = sa.select(sa.func.count()).where(plan_steps.c.plan_id == plan_id)
    return int(conn.execute(count).scalar_one())


def steps(conn: Connection, plan_id: int, before: int | None, limit: int) -> list[dict[str, Any]]:
    """Return up to `limit` steps, newest first, each with the `codes` it changed and those merely `bent`."""
    s = plan_steps.c
    lists = [_codes(bent=bent).label(name) for name, bent in _LISTS.items()]
    query = sa.select(plan_steps, *lists).where(s.plan_id == plan_id).order_by(s.id.desc())
    if before is not None:
        query = query.where(s.id < before)
    rows = conn.execute(query.limit(limit)).mappings()
    return [dict(row) | {name: sorted(row[name] or []) for name in _LISTS} for row in rows]


_LISTS = {"codes": False, "bent": True}


def _codes(*, bent: bool) -> sa.ScalarSelect[Any]:
    """The codes of the grids that a step changed, or merely bent by vertices."""
    c = plan_changes.c
    mine = sa.and_(c.step_id == plan_steps.c.id, c.bent == bent, _is_grid(c.code))
    return sa.select(sa.func.array_agg(c.code)).where(mine).scalar_subquery()


def changes_of(conn: Connection, step_id: int) -> dict[str, Change]:
    """Return the grids that a step changed, before and after it."""
    c = plan_changes.c
    columns = (c.code, c.before, c.before_shape, c.after, c.after_shape)
    rows = conn.execute(sa.select(*columns).where(c.step_id == step_id).order_by(c.code)).all()
    before, after = _read([(r[0], r[1], r[2]) for r in rows]), _read([(r[0], r[3], r[4]) for r in rows])
    return {code: (before[code], after[code]) for code in before}


def were_base(conn: Connection, step_id: int) -> set[str]:
    """Return the grids that a step was the first to change."""
    c = plan_changes.c
    return set(conn.execute(sa.select(c.code).where(c.step_id == step_id, c.was_base)).scalars())


def path(conn: Connection, plan_id: int, to: int | None) -> list[int]:
    """Return the steps from the base to a point of a plan, in their order."""
    if to is None:
        return []
    up = sa.select(plan_steps.c.id, plan_steps.c.parent).where(
        plan_steps.c.id == to, plan_steps.c.plan_id == plan_id
    ).cte("up", recursive=True)  # fmt: skip
    up = up.union_all(
        sa.select(plan_steps.c.id, plan_steps.c.parent).join(up, plan_steps.c.id == up.c.parent)
    )
    found = list(conn.execute(sa.select(up.c.id).order_by(up.c.id)).scalars())
    if not found:
        raise NotFound(f"plan {plan_id} has no step {to}")
    return found


def state_at(conn: Connection, plan_id: int, to: int | None) -> dict[str, Version | None]:
    """Return the grids that differ from the base at a point of a plan: what the last step made of each."""
    along = path(conn, plan_id, to)
    c = plan_changes.c
    last = (
        sa.select(c.code, c.after, c.after_shape)
        .where(c.plan_id == plan_id, c.step_id.in_(sa.select(sa.func.unnest(sa.cast(along, _BIGINTS)))))
        .ext(distinct_on(c.code))
        .order_by(c.code, c.step_id.desc())
    )
    return _read([(r[0], r[1], r[2]) for r in conn.execute(last)])


_BIGINTS = ARRAY(sa.BigInteger)


def used_codes(conn: Connection, scheme: str, but: int | None = None) -> frozenset[str]:
    """Return every code that was ever given; not those reserved for the plan `but`."""
    codes = sa.select(grid_codes.c.code).where(grid_codes.c.scheme == scheme)
    if but is not None:
        codes = codes.where(grid_codes.c.plan_id.is_distinct_from(but))
    return frozenset(conn.execute(codes).scalars())


def give_codes(conn: Connection, plan: Plan, codes: Sequence[str]) -> list[str]:
    """Reserve codes for a plan, and return those that were given otherwise, or to another plan, before."""
    if not codes:
        return []
    g = grid_codes.c
    rows = [{"scheme": plan.scheme, "code": code, "plan_id": plan.id} for code in codes]
    conn.execute(upsert(grid_codes).on_conflict_do_nothing(), rows)
    mine = sa.select(g.code).where(
        g.scheme == plan.scheme, g.plan_id == plan.id, g.code == sa.any_(sa.cast(codes, ARRAY(sa.Text)))
    )
    ours = set(conn.execute(mine).scalars())
    return [code for code in codes if code not in ours]


def ids_of(conn: Connection, scheme: str, codes: Iterable[str]) -> dict[str, int]:
    """Return the stable numbers of grids, by code."""
    g = grid_codes.c
    query = sa.select(g.code, g.id).where(
        g.scheme == scheme, g.code == sa.any_(sa.cast(sorted(codes), ARRAY(sa.Text)))
    )
    return {row.code: row.id for row in conn.execute(query)}


def choices(conn: Connection, plan_id: int) -> dict[str, tuple[str, str]]:
    """Return which conflicts were decided, how, and the mark of what was seen."""
    rows = conn.execute(sa.select(plan_choices).where(plan_choices.c.plan_id == plan_id))
    return {row.code: (row.take, row.mark) for row in rows}


def choose(conn: Connection, plan_id: int, code: str, take: str, mark: str) -> None:
    """Decide a conflict."""
    statement = upsert(plan_choices).values(plan_id=plan_id, code=code, take=take, mark=mark)
    conn.execute(
        statement.on_conflict_do_update(index_elements=["plan_id", "code"], set_={"take": take, "mark": mark})
    )


def recode_choices(conn: Connection, plan_id: int, codes: Mapping[str, str]) -> None:
    """Let decisions on grids that get other codes hold for them."""
    c = plan_choices.c
    for old, new in codes.items():
        conn.execute(plan_choices.update().where(c.plan_id == plan_id, c.code == old).values(code=new))

"""Revisions of grids: what an import changes in one scheme, and writing it with nothing lost."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import shapely
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.engine import Connection

from gis import coverage
from gis.city import today
from gis.errors import BadInput
from gis.grids import set_minzooms
from gis.importing import staging
from gis.importing.timeline import Version, dated, ended, in_force, overlay
from gis.schema import grid_codes, grids, revisions


@dataclass
class Change:
    """What an import changes in one scheme: per code the truth before and after, and counts of its rows."""

    scheme: str
    before: dict[str, list[Version]]
    after: dict[str, list[Version]]
    inserted: int = 0
    updated: int = 0
    unchanged: int = 0
    lasting: list[str] = field(default_factory=list)
    """Codes that hold on, as known, after the day on which the file says that they end."""

    @property
    def closed(self) -> list[int]:
        """Rows that are no longer believed."""
        kept = {version.row for versions in self.after.values() for version in versions}
        return sorted(
            v.row for of in self.before.values() for v in of if v.row is not None and v.row not in kept
        )

    @property
    def new(self) -> list[tuple[str, Version]]:
        """Versions that the store has not."""
        return [(code, v) for code, of in sorted(self.after.items()) for v in of if v.row is None]


_SHOWN = 5


def notes(conn: Connection, change: Change) -> list[str]:
    """Return what an import says of a change beside its counts."""
    back, lasting = undoes(conn, change), change.lasting
    told = f"takes back what published plans made of {len(back)} grids: {_listed(back)}"
    ends = f"{len(lasting)} grids hold on after their valid_to, as they are known: {_listed(lasting)}"
    return [f"{told}; leave these rows out to keep it"] * bool(back) + [
        f"{ends}; say --end to end them with it"
    ] * bool(lasting)


def _listed(codes: Sequence[str]) -> str:
    return ", ".join(codes[:_SHOWN]) + f" and {len(codes) - _SHOWN} more" * (len(codes) > _SHOWN)


def undoes(conn: Connection, change: Change) -> list[str]:
    """Return the codes of which a change takes back what a published plan made of them.

    Those whose latest version a plan published (it has no import's batch), and those that had ended and are
    in force again.
    """
    day = today(conn)
    revived = {code for code, _ in change.new if _is_revived(change, code, day)}
    known = [v.row for code in revived for v in change.before[code] if v.row is not None]
    of_plans = sa.select(grids.c.code).distinct()
    of_plans = of_plans.where(grids.c.id.in_([*change.closed, *known]), grids.c.batch_id.is_(None))
    return sorted(conn.execute(of_plans).scalars())


def _is_revived(change: Change, code: str, day: date) -> bool:
    before = change.before.get(code, [])
    ended = bool(before) and all(old.end <= day for old in before)
    return ended and in_force(change.after[code], day) is not None


def lay(
    conn: Connection, scheme: str, rows: pd.DataFrame, *, end: bool = False, settled: bool = True
) -> Change:
    """Return what laying the rows of a file over a scheme's known truth changes; writes nothing.

    `end`: what is known of a row's code from its last day on ends. Raises BadInput for a row without a first
    day whose last days are known as another's; not unless shapes are `settled`: before, none is like what is
    known of it.
    """
    before = _known(conn, scheme)
    after = {code: list(versions) for code, versions in before.items()}
    change = Change(scheme, before, after)
    day = today(conn)
    ordered = rows.sort_values("valid_from", key=lambda days: days.fillna(date.min))
    shapes = _multi_wkb(ordered["geometry"].to_numpy())
    for values, wkb in zip(ordered.to_dict("records"), shapes, strict=True):
        row = SimpleNamespace(**{str(name): value for name, value in values.items()})
        old = after.get(row.code, [])
        content = (row.level, row.parent_code, row.name, row.kind, wkb, _order(row, old))
        new = overlay(old, _dated(row, content, old, day, settled=settled))
        if row.valid_to is not None and in_force(new, row.valid_to) is not None:
            new = ended(new, row.valid_to) if end else new
            change.lasting += [] if end or _changes(new, row.valid_to) else [row.code]
        after[row.code] = new
        change.inserted += row.code not in before
        change.unchanged += new == old
        change.updated += row.code in before and new != old
    return change


def _dated(
    row: SimpleNamespace, content: tuple[Any, ...], old: list[Version], day: date, *, settled: bool
) -> Version:
    new = Version(row.valid_from, row.valid_to, content)
    try:
        return dated(new, old, day)
    except ValueError as error:
        if settled:
            raise BadInput("valid_from", f"{row.code} {error}") from error
        return new


def _changes(versions: list[Version], day: date) -> bool:
    """Tell whether another version begins on a day."""
    return any(version.first == day for version in versions)


def _order(row: SimpleNamespace, old: list[Version]) -> int | None:
    """Return a row's place in lists; where it says none, that of the version known to begin on its day."""
    if row.display_order is not None:
        return int(row.display_order)
    same = [version for version in old if version.first == row.valid_from] or old
    return same[-1].content[-1] if same else None


def _multi_wkb(shapes: coverage.Geoms) -> list[bytes]:
    parts, owner = shapely.get_parts(shapes, return_index=True)
    whole = np.asarray(shapely.multipolygons(parts, indices=owner), dtype=object)
    return [bytes(wkb) for wkb in shapely.to_wkb(whole)]


def _known(conn: Connection, scheme: str) -> dict[str, list[Version]]:
    """Return the truth of each code as believed now."""
    wkb = sa.func.ST_AsBinary(grids.c.geom).label("wkb")
    g = grids.c
    fields = (g.id, g.code, g.level, g.parent_code, g.name, g.kind, g.display_order, g.valid)
    believed = sa.select(*fields, wkb).where(g.scheme == scheme, sa.func.upper_inf(g.known))
    found = believed.order_by(g.code, g.valid)
    known: dict[str, list[Version]] = {}
    for row in conn.execute(found):
        content = (row.level, row.parent_code, row.name, row.kind, bytes(row.wkb), row.display_order)
        known.setdefault(row.code, []).append(Version(row.valid.lower, row.valid.upper, content, row.id))
    return known


def publish(conn: Connection, change: Change, batch: int, note: str) -> None:
    """Write one scheme's change as a new revision: what was believed is closed, never lost."""
    if not change.new and not change.closed:
        return
    insert = revisions.insert().values(scheme=change.scheme, note=note)
    revision = int(conn.execute(insert.returning(revisions.c.id)).scalar_one())
    conn.execute(
        grids.update()
        .where(grids.c.id.in_(change.closed))
        .values(known=sa.func.int4range(sa.func.lower(grids.c.known), revision))
    )
    ids = _identities(conn, change.scheme, sorted({code for code, _ in change.new}))
    staging.copy(conn, _columns(change, ids, revision, batch), "grids")
    set_minzooms(conn, change.scheme)


def _identities(conn: Connection, scheme: str, codes: list[str]) -> dict[str, int]:
    """Return the identity of each code, given once and never reused."""
    rows = [{"scheme": scheme, "code": code} for code in codes]
    conn.execute(upsert(grid_codes).on_conflict_do_nothing(), rows)
    found = sa.select(grid_codes.c.code, grid_codes.c.id).where(
        grid_codes.c.scheme == scheme, grid_codes.c.code.in_(codes)
    )
    return {row.code: row.id for row in conn.execute(found)}


def _columns(change: Change, ids: dict[str, int], revision: int, batch: int) -> dict[str, pa.Array]:
    """Return the new versions as columns of the table of grids."""
    codes, versions = [code for code, _ in change.new], [version for _, version in change.new]
    level, parent, name, kind, wkb, order = zip(*(version.content for version in versions), strict=True)
    shapes = np.asarray(shapely.from_wkb(wkb), dtype=object)

    def text(values: Sequence[str | None]) -> pa.Array:
        return pa.array(values, pa.string())

    return {
        "grid_id": pa.array([ids[code] for code in codes]), "code": text(codes), "level": pa.array(level),
        "parent_code": text(parent), "name": text(name), "kind": text(kind),
        "scheme": text([change.scheme] * len(codes)), "geom": staging.hex_wkb(shapes),
        "area_m2": pa.array(coverage.areas_m2(shapes)), "valid": text([_days(v) for v in versions]),
        "known": text([f"[{revision},)"] * len(codes)), "batch_id": pa.array([batch] * len(codes)),
        "display_order": pa.array(order, pa.int64()),
    }  # fmt: skip


def _days(version: Version) -> str:
    return f"[{version.first or ''},{version.after or ''})"

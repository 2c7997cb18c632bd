"""Points too many to be drawn one by one, counted by squares that each lie in one tile; sums are exact."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from gis import squares
from gis.db import Query
from gis.schema_tiles import square_counts as kept
from layers.view import View

Condition = sa.ColumnElement[bool]


@dataclass(frozen=True)
class Counted:
    """How the rows of a table are counted: by their point, by kind (a column's values), by weight."""

    table: sa.Table
    point: str = "geom"
    spread: int = 3
    """A tile has 2^spread squares along its side."""
    kinds: tuple[str, ...] = ()
    kind: str = ""
    """Column whose values `kinds` are counted each by itself."""
    weight: tuple[str, Callable[[sa.Table], sa.ColumnElement[Any]]] | None = None
    """What is added up besides the number: its name, and its value in a row."""
    is_kept: bool = False
    """Counts are kept by the database, for whoever sees the whole city without filters."""
    conditions: Callable[[View], list[Condition]] = field(default=lambda _: [])
    """Which rows a view wants."""
    is_whole: Callable[[View], bool] = field(default=lambda _: True)
    """Whether a view wants all that is counted."""


def in_tile(table: sa.Table, view: View) -> list[Condition]:
    """Return the condition that a row's point lies in the view's tile: each point is in exactly one."""
    if not view.of_tile:
        return []
    low, high = squares.here(squares.FINEST)
    return [table.c.square >= low, table.c.square < high]


def clustered(counted: Counted, view: View) -> Query:
    """Select squares with their number of points, which stands where these lie on average.

    Properties are `count`, each kind and the weight; added up over the tiles of a zoom they are those of the
    table.
    """
    if counted.is_kept and counted.is_whole(view):
        return _from_kept(counted, view)
    return _from_rows(counted, view)


def _from_kept(counted: Counted, view: View) -> Query:
    depth = view.zoom + counted.spread
    at = next(one for one in squares.KEPT if one >= depth)
    square = squares.ancestor(kept.c.square, at, depth)
    low, high = squares.here(at) if view.of_tile else squares.descendants((0, 0, 0), at)
    number, weight = _total(kept.c.count), _total(kept.c.weight)
    by_kind = {one: _total(kept.c.count, kept.c.kind == squares.fixed(one)) for one in counted.kinds}
    east, south = (sa.func.sum(axis) / sa.func.sum(kept.c.count) for axis in (kept.c.x, kept.c.y))
    rows = _squares(counted, square, (east, south), number, by_kind, weight)
    wanted = (kept.c.layer == squares.fixed(counted.table.name), kept.c.square >= low, kept.c.square < high)
    return rows.where(*wanted).group_by(square).having(number > 0)


def _from_rows(counted: Counted, view: View) -> Query:
    table, depth = counted.table, view.zoom + counted.spread
    square = squares.ancestor(table.c.square, squares.FINEST, depth)
    number = sa.cast(sa.func.count(), sa.Integer)
    by_kind = {
        one: sa.cast(sa.func.count().filter(table.c[counted.kind] == squares.fixed(one)), sa.Integer)
        for one in counted.kinds
    }
    weight = _total(counted.weight[1](table)) if counted.weight else number
    point = table.c[counted.point]
    east = sa.func.avg(sa.func.floor(sa.func.plane_x(sa.func.ST_X(point)) * (1 << squares.FINEST)))
    south = sa.func.avg(sa.func.floor(sa.func.plane_y(sa.func.ST_Y(point)) * (1 << squares.FINEST)))
    rows = _squares(counted, square, (east, south), number, by_kind, weight)
    placed = table.c.square.is_not(None)
    return rows.where(placed, *in_tile(table, view), *counted.conditions(view)).group_by(square)


def _squares(
    counted: Counted,
    square: sa.ColumnElement[int],
    mean: tuple[sa.ColumnElement[Any], sa.ColumnElement[Any]],
    number: sa.ColumnElement[int],
    by_kind: Mapping[str, sa.ColumnElement[int]],
    weight: sa.ColumnElement[int],
) -> Query:
    # Columns and rows are whole, so that their mean never leaves the square.
    place = squares.centre(*(sa.func.floor(sa.cast(axis, sa.Double)) for axis in mean))
    weighed = [weight.label(counted.weight[0])] if counted.weight else []
    return sa.select(
        square.label("id"), place.label("geom"), number.label("count"),
        *(value.label(kind) for kind, value in by_kind.items()), *weighed,
    )  # fmt: skip


def _total(values: sa.ColumnElement[Any], *only: Condition) -> sa.ColumnElement[int]:
    added = sa.func.sum(values)
    return sa.cast(sa.func.coalesce(added.filter(*only) if only else added, 0), sa.BigInteger)


def settle(conn: Connection) -> str:
    """Add up the rows of kept counts that many small changes left behind."""
    conn.execute(sa.select(sa.func.settle_square_counts())).scalar_one()
    rows = conn.execute(sa.select(sa.func.count()).select_from(kept)).scalar_one()
    return f"{rows} kept counts of squares"

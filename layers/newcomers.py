"""Categories that were silent in many grids within the periods of a question: tests leave them out."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from gis.city import category_tree
from gis.grids import current
from gis.recorded import is_wide
from gis.schema import grids, incidents
from layers.owning import owners, points
from layers.silence import Silence
from layers.view import View, wanted_incidents


@dataclass(frozen=True)
class Newcomer:
    """A category that came into use, paused or ended, whatever it replaces or adds to."""

    category: str
    codes: frozenset[str]
    """It and all below it."""
    silence: Silence


def with_below(conn: Connection) -> dict[str, frozenset[str]]:
    """Return the codes of each category and of all below it, in the order of the tree."""
    above = {str(row["code"]): str(row["parent"]) if row["parent"] else None for row in category_tree(conn)}
    found: dict[str, set[str]] = {code: set() for code in above}
    for code in above:
        one: str | None = code
        while one is not None:
            found[one].add(code)
            one = above[one]
    return {code: frozenset(codes) for code, codes in found.items()}


def newcomers(conn: Connection, view: View, start: datetime, silent: Mapping[str, Silence]) -> list[Newcomer]:
    """Return which categories that were `silent` at times are wide from `start` to the end of a closed view.

    What is new in fewer of the lowest grids may be an outbreak of one place, and is none of them.
    """
    if not silent:
        return []
    below = with_below(conn)
    every = replace(view, start=start, area=None, categories=None)
    wide = spread(conn, every, {code: below[code] for code in silent}, incidents.c.category)
    return [Newcomer(code, below[code], one) for code, one in silent.items() if code in wide]


def spread(
    conn: Connection, view: View, rows: Mapping[str, Collection[str]], column: sa.Column[str]
) -> set[str]:
    """Return which rows of categories or sources are wide: enough of the lowest grids hold incidents of them.

    Of a view of the whole city, as far as the asker sees it; `column` is the one that holds what rows name.
    """
    g = grids.c
    known = sa.select(g.code, g.level, g.parent_code).where(current(view.asked))
    by = owners(conn.execute(known.order_by(g.code)).all(), view.asked)
    if not by.tiers:
        return set()
    names = sorted(set().union(*rows.values()))
    lon, lat, name = points(conn, [*wanted_incidents(view), column.in_(names)], column)
    owner, lowest = by.find(conn, lon, lat), [by.place[code] for code in by.tiers[0]]
    held = np.zeros((len(by.place) + 1, len(rows)), dtype=bool)
    for row, some in enumerate(rows.values()):
        held[owner[np.isin(name.astype(str), list(some))], row] = True
    return {code for code, is_one in zip(rows, is_wide(held[lowest]), strict=True) if is_one}


def codes_of(found: Iterable[Newcomer]) -> frozenset[str]:
    """Return the codes of all that they hold."""
    return frozenset[str]().union(*(one.codes for one in found))


def topmost(found: Collection[Newcomer]) -> list[Newcomer]:
    """Return those that lie below no other of them: whoever names these names all."""
    return [one for one in found if not any(one.codes < other.codes for other in found)]

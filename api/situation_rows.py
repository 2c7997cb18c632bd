"""Rows of the situation and of the stability index as columns of an answer."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from api.tables import Columns, known
from layers.situation import Situation
from layers.stability import Standings
from layers.stats.change import change

Integers = npt.NDArray[np.int64]
_WAYS = {1: "above", -1: "below", 0: None}


def situation_columns(found: Situation, rows: Integers) -> Columns:
    """Return rows of grids by categories: count, expectation, test, change, closure and response."""
    closed, response = found.closure(rows), found.response(rows)
    return {
        **_of_grids(found, found.row_grid[rows]),
        "category": [found.categories[number] or None for number in found.row_category[rows].tolist()],
        "count": found.count[rows].tolist(),
        "compared": _compared(found, rows),
        "unreported": known(found.delays.share[rows].round(3)),
        **_departure(found, rows),
        **_change(found, rows),
        "closed": known(closed.value), "closed_low": known(closed.low), "closed_high": known(closed.high),
        "response_s": known(response[:, 0]), "response_low_s": known(response[:, 1]),
        "response_high_s": known(response[:, 2]),
    }  # fmt: skip


MOST_LATE = 20
"""Rows whose reports are late that are named; `rows` counts them all."""


def late_rows(found: Situation) -> dict[str, Any] | None:
    """Return which rows are not tested since too much of them is still to be reported; None for none.

    Named are those of the highest grids and those of all categories together, the latest reported first.
    """
    late = ~found.delays.reported & found.ever
    if not late.any():
        return None
    highest = found.grids.levels == found.grids.levels.min()
    telling = late & (highest[found.row_grid] | (found.row_category == 0))
    rows = np.flatnonzero(telling)
    rows = rows[np.argsort(-found.delays.share[rows], kind="stable")][:MOST_LATE]
    named = _of_grids(found, found.row_grid[rows]) | {
        "category": [found.categories[number] or None for number in found.row_category[rows].tolist()],
        "share": known(found.delays.share[rows].round(3)),
    }
    every = [dict(zip(named, values, strict=True)) for values in zip(*named.values(), strict=True)]
    return {"rows": int(late.sum()), "named": every}


def _of_grids(found: Situation, grids: Integers) -> Columns:
    places = grids.tolist()
    return {
        "code": [found.grids.codes[place] or None for place in places],
        "name": [found.grids.names[place] for place in places],
        "level": found.grids.levels[grids].tolist(),
    }


_OF_DEPARTURE = ("expected", "low", "high", "ratio", "ratio_low", "ratio_high", "p", "q")


def _departure(found: Situation, rows: Integers) -> Columns:
    d = found.departure
    if d is None:
        return {name: [None] * len(rows) for name in (*_OF_DEPARTURE, "departs")}
    values = (d.expected[rows], *d.interval(rows), *d.ratio(rows), d.p[rows], d.q[rows])
    columns: Columns = {name: known(each) for name, each in zip(_OF_DEPARTURE, values, strict=True)}
    return columns | {"departs": [_WAYS[way] for way in d.departs[rows].tolist()]}


def _compared(found: Situation, rows: Integers) -> list[int | None]:
    if found.departure is None:
        return [None] * len(rows)
    return [None if each is None else int(each) for each in known(found.departure.count[rows])]


def _change(found: Situation, rows: Integers) -> Columns:
    if found.before is None:
        return {name: [None] * len(rows) for name in ("before", "change_percent", "change_p")}
    changed = change(found.count[rows], found.before[rows])
    late = found.is_silent[found.row_category[rows]]
    before = known(np.where(late, np.nan, found.before[rows].astype(np.float64)))
    apart = found.incomparable[rows]
    percent, p = (known(np.where(apart, np.nan, column)) for column in (changed.percent, changed.p))
    whole = [None if value is None else int(value) for value in before]
    return {"before": whole, "change_percent": percent, "change_p": p}


def index_columns(found: Standings, places: Integers) -> Columns:
    """Return rows of grids by their index, its interval, light, parts and the ranks that it allows."""
    indexes = [found.indexes[place] for place in places.tolist()]
    return {
        **_of_grids(found.situation, found.situation.row_grid[found.rows[places]]),
        **{name: _of(indexes, name) for name in ("value", "low", "high", "light", "missing")},
        "rank": [
            int(first) if first == last else None
            for first, last in zip(found.first[places], found.last[places], strict=True)
        ],
        "rank_first": found.first[places].tolist(),
        "rank_last": found.last[places].tolist(),
        "parts": [_parts(found, place) for place in places.tolist()],
    }


def _of(indexes: list[Any], name: str) -> list[Any]:
    read: Callable[[Any], Any] = lambda value: float(value) if isinstance(value, float) else value  # noqa: E731
    return [None if each is None else read(getattr(each, name)) for each in indexes]


def _parts(found: Standings, place: int) -> dict[str, Any] | None:
    """Return of each part the points with their interval, and the value that was scored."""
    index = found.indexes[place]
    if index is None:
        return None
    measured = found.measured[place]
    return {
        name: {
            "points": float(points.value), "low": float(points.low), "high": float(points.high),
            "measured": float(known_part.value) if (known_part := measured[name]) else None,
        }
        for name, points in index.parts.items()
    }  # fmt: skip

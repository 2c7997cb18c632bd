"""Where the heading of a table is: below title rows, over one row or two, as told or as found."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from gis.errors import BadInput
from gis.importing.source import unique_names

LOOKED_AT = 25
"""Rows from the top in which a heading is looked for."""

Row = Sequence[str | None]


@dataclass(frozen=True)
class Head:
    """A table's heading: its column names, how many rows there are above the data, and what is told."""

    names: tuple[str, ...]
    above: int
    notes: tuple[str, ...] = ()


Merge = tuple[int, int, int, int]
"""Merged cells: first row and column, last row and column, from 0; rows by their place among the first."""


def find(rows: Sequence[Row], file: str, given: int | None, merged: Sequence[Merge] = ()) -> Head:
    """Return the heading among the first rows of a table.

    `given`: its place among `rows`, from 0; without it, the first row that fills at least half of what most
    rows have: what stands above is a title. Where the heading has `merged` cells, it goes on to the row that
    names their columns; where that is not known (CSV), a second row that names what the first left empty
    belongs to it. Raises BadInput when there is none, or two columns have one name.
    """
    at = _found(rows) if given is None else given
    if not 0 <= at < len(rows):
        raise BadInput("header", f"{file} has no column names where they are looked for; say --header-row")
    names, above = [cell or "" for cell in rows[at]], at + 1
    if (last := _last_merged(rows, at, merged)) > at:
        names, above = _grouped(rows, at, last, merged), last + 1
    elif above < len(rows) and _continues(rows[at], rows[above]):
        names, above = _joined(rows[at], rows[above]), above + 1
    titles = [" ".join(cell.strip() for cell in row if cell and cell.strip()) for row in rows[:at]]
    told = " / ".join(filter(None, titles))[:120]
    notes = (f"title rows above the heading are left out: {told}",) if told else ()
    return Head(unique_names(names, file), above, notes)


def _last_merged(rows: Sequence[Row], at: int, merged: Sequence[Merge]) -> int:
    """Return the last row of a heading that begins at a row, by the merged cells in it."""
    last = at
    for top, left, bottom, right in sorted(merged):
        if at <= top <= last:
            named = right > left and any(_cell(rows, bottom + 1, column) for column in range(left, right + 1))
            last = max(last, bottom + named)
    return min(last, len(rows) - 1)


def _cell(rows: Sequence[Row], row: int, column: int) -> str | None:
    return rows[row][column] if row < len(rows) and column < len(rows[row]) else None


def _grouped(rows: Sequence[Row], at: int, last: int, merged: Sequence[Merge]) -> list[str]:
    """Return the name of each column from the rows of a heading: the lowest, behind its groups if need be."""
    above = {
        (row, column): (top, left)
        for top, left, bottom, right in merged
        for row in range(top, bottom + 1)
        for column in range(left, right + 1)
    }
    paths: list[list[str]] = []
    for column in range(max(len(row) for row in rows[at : last + 1])):
        cells = dict.fromkeys(above.get((row, column), (row, column)) for row in range(at, last + 1))
        paths.append([name for one in cells if (name := (_cell(rows, *one) or "").strip())])
    lowest = [path[-1] if path else "" for path in paths]
    return [
        " ".join(path) if lowest.count(name) > 1 else name for path, name in zip(paths, lowest, strict=True)
    ]


def _filled(row: Row) -> int:
    return sum(bool(cell and cell.strip()) for cell in row)


def _found(rows: Sequence[Row]) -> int:
    """Return the place of the first row that fills half of the usual number of cells."""
    widths = Counter(_filled(row) for row in rows if _filled(row))
    usual = max(widths, key=lambda width: (widths[width], width if widths[width] > 1 else 0), default=0)
    return next((at for at, row in enumerate(rows) if 0 < usual <= 2 * _filled(row)), 0)


def _continues(first: Row, second: Row) -> bool:
    """Tell whether the second row names exactly what merged cells of the first leave open."""
    width = max(len(first), len(second))
    upper, lower = ([*row, *[None] * (width - len(row))] for row in (first, second))
    empty = [not cell for cell in upper]
    grouped = [at for at in range(width) if empty[at] or (at + 1 < width and empty[at + 1])]
    below = [at for at in range(width) if lower[at] and not _is_number(lower[at])]
    return any(empty) and not empty[0] and below == grouped and 0 < len(below) < width


def _is_number(cell: str | None) -> bool:
    return (cell or "").strip().lstrip("+-")[:1].isdigit()


def _joined(first: Row, second: Row) -> list[str]:
    width = max(len(first), len(second))
    upper, lower = ([*row, *[None] * (width - len(row))] for row in (first, second))
    return [below or above or "" for above, below in zip(upper, lower, strict=True)]

"""Workbooks (xlsx): one sheet's cells as columns; formulas and errors are seen, not what is kept for them."""

from collections.abc import Callable, Iterator, Sequence
from datetime import date, datetime, time, timedelta
from itertools import islice
from typing import Any

import numpy as np
import pyarrow as pa
from python_calamine import CalamineWorkbook, SheetVisibleEnum

from gis.errors import BadInput
from gis.importing import cell_marks, codes, heads, number_formats
from gis.importing.files import File
from gis.importing.source import CHUNK, Broken, Chunk, ReadOptions, Source, digest

Row = tuple[int, list[Any]]
"""The number of a row in its sheet, from 1, and its cells without the empty ones at its end."""
Range = tuple[tuple[int, int], tuple[int, int]]
"""Merged cells: the row and column of the first and of the last, from 0."""


class Shown(float):
    """A number whose cell shows something other than its digits: what is seen, None where we cannot tell."""

    seen: str | None = None


def open_xlsx(file: File, options: ReadOptions) -> Source:
    """Return one sheet of a workbook as a source; a formula stays its own text, `=…`.

    Columns of numbers are numbers, all others texts. Blank rows are no rows. Raises BadInput when the sheet
    does not exist, several could be meant, or its heading is unusable.
    """
    with CalamineWorkbook.from_object(file.seekable()) as book:
        sheet, unread = _chosen(book, file, options.layer)
        merged: list[Range] = book.get_sheet_by_name(sheet).merged_cell_ranges or []
    known = cell_marks.read(file, sheet)
    marks = known.marks
    top = list(islice(_rows(file, sheet, marks), heads.LOOKED_AT))
    told = None if options.header_row is None else _place(top, options.header_row)
    texts = [[_heading(cell) for cell in row] for _, row in top]
    head = heads.find(texts, file.name, told, _merges(top, merged))
    above = top[head.above - 1][0]
    below = sorted(one for one in merged if one[0][0] >= above)
    return Source(
        name=file.name,
        sha256=digest(file.path),
        columns=head.names,
        chunks=lambda: _chunks(_spread(_rows(file, sheet, marks), below), head.names, above),
        crs=options.crs,
        lines=True,
        above=above,
        notes=(*unread, *head.notes, *_merge_notes(below), *_hidden_notes(known, head, above)),
        since_1904=known.since_1904,
    )


def _merge_notes(below: list[Range]) -> list[str]:
    """Return what is told of merged cells among the data."""
    tall = [one for one in below if one[1][0] > one[0][0]]
    wide = len(below) - len(tall) + sum(one[1][1] > one[0][1] for one in tall)
    rows = f"{len(tall)} areas of merged cells: each gives its value to every row that it spans"
    columns = f"{wide} areas of merged cells span several columns: only the first of these has the value"
    return [rows] * bool(tall) + [columns] * bool(wide)


def _hidden_notes(known: cell_marks.Sheet, head: heads.Head, above: int) -> Iterator[str]:
    """Yield what is told of data that nobody who opens the sheet sees."""
    rows = sum(number > above for number in known.hidden)
    if rows:
        yield f"{rows} hidden rows are read like the others; delete them if they are not meant"
    spans = (head.names[first : last + 1] for first, last in known.hidden_columns)
    if columns := [name for span in spans for name in span if name]:
        yield f"hidden columns are read like the others: {', '.join(columns)}"


def _spread(rows: Iterator[Row], below: list[Range]) -> Iterator[Row]:
    """Yield rows with the value of merged cells, sorted, in each row that they span and that is not blank."""
    waiting, held = list(reversed(below)), list[tuple[int, int, Any]]()
    for number, row in rows:
        held = [one for one in held if one[0] >= number]
        for _, column, value in held:
            row.extend([None] * (column + 1 - len(row)))
            row[column] = value if row[column] is None else row[column]
        while waiting and waiting[-1][0][0] < number:
            (first, column), (final, _) = waiting.pop()
            if first == number - 1 and final > first and column < len(row) and row[column] is not None:
                held.append((final + 1, column, row[column]))
        yield number, row


def _place(rows: list[Row], number: int) -> int:
    return next((at for at, row in enumerate(rows) if row[0] == number), -1)


def _merges(rows: list[Row], merged: Sequence[tuple[tuple[int, int], tuple[int, int]]]) -> list[heads.Merge]:
    """Return merged cells by the places of rows; those that reach beyond these rows are left out."""
    at = {number - 1: place for place, (number, _) in enumerate(rows)}
    return [
        (at[top], left, at.get(bottom, at[top]), right)
        for (top, left), (bottom, right) in merged
        if top in at
    ]


def _heading(cell: Any) -> str | None:
    return None if cell is None else _text(cell)


def _chosen(book: CalamineWorkbook, file: File, layer: str | None) -> tuple[str, list[str]]:
    """Return the sheet that is named, or the only filled one in sight; and what is told of hidden ones."""
    sheets = book.sheet_names
    if layer is not None and layer not in sheets:
        raise BadInput("layer", f"{file.name} has no sheet {layer!r}; it has {_named(file, sheets)}")
    if layer is not None:
        return layer, []
    shown = {one.name for one in book.sheets_metadata if one.visible == SheetVisibleEnum.Visible}
    filled = [name for name in sheets if book.get_sheet_by_name(name).height > 0]
    seen, hidden = ([name for name in filled if (name in shown) is is_seen] for is_seen in (True, False))
    if len(seen) > 1:
        raise BadInput(
            "layer", f"{file.name} has several sheets; choose one with --layer: {_named(file, seen)}"
        )
    if hidden and not seen:
        raise BadInput(
            "layer", f"{file.name} has hidden sheets alone; choose one with --layer: {_named(file, hidden)}"
        )
    told = [f"hidden sheets are not read: {', '.join(hidden)}; --layer names one that is meant"]
    return next(iter(seen or sheets)), told if hidden else []


def _named(file: File, sheets: list[str]) -> str:
    return ", ".join(f"{file.prefix}{name}" for name in sheets)


def _rows(file: File, name: str, marks: cell_marks.Marks) -> Iterator[Row]:
    """Yield every row of a sheet that is not blank."""
    with CalamineWorkbook.from_object(file.seekable()) as book:
        sheet = book.get_sheet_by_name(name)
        _, left = sheet.start or (0, 0)  # of the rows it gives those above too, of the columns none before
        for number, cells in enumerate(sheet.iter_rows(), start=1):
            row = [*[None] * left, *(None if cell == "" else cell for cell in cells)]
            for column, mark in marks.get(number, {}).items():
                row.extend([None] * (column + 1 - len(row)))
                row[column] = _marked(row[column], mark)
            while row and row[-1] is None:
                row.pop()
            if row:
                yield number, row


def _marked(value: Any, mark: cell_marks.Mark) -> Any:
    """Return what stands for a cell: its formula or error, or its number with what is seen of it."""
    if isinstance(mark, str):
        return mark
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value
    whole = float(value).is_integer() and abs(value) < 2**53
    seen = number_formats.shown(mark.code, value) if whole else codes.number_text(value)
    if seen == codes.number_text(value):
        return value
    number = Shown(value)
    number.seen = seen
    return number


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).upper()
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, float):
        return codes.number_text(value)
    return str(value)


def _chunks(rows: Iterator[Row], names: tuple[str, ...], above: int) -> Iterator[Chunk]:
    below = (row for row in rows if row[0] > above)
    while held := list(islice(below, CHUNK)):
        fitting = [(number - above, row) for number, row in held if len(row) <= len(names)]
        cells = {name: [_cell(row, at) for _, row in fitting] for at, name in enumerate(names)}
        yield Chunk(
            rows=np.array([number for number, _ in fitting], np.int64),
            table=pa.table({name: _column_of(of) for name, of in cells.items()}),
            broken=tuple(_too_wide(*row, names, above) for row in held if len(row[1]) > len(names)),
            seen={
                name: of
                for name, values in cells.items()
                if (of := _each(values, _seen)).null_count < len(of)
            },
            natures={
                name: of
                for name, values in cells.items()
                if (of := _each(values, _nature)).null_count < len(of)
            },
        )


def _cell(row: list[Any], at: int) -> Any:
    return row[at] if at < len(row) else None


def _each(values: list[Any], function: Callable[[Any], str | None]) -> pa.Array:
    return pa.array([function(value) for value in values], pa.string())


def _seen(value: Any) -> str | None:
    return value.seen if isinstance(value, Shown) else None


def _nature(value: Any) -> str | None:
    """Return what a cell is that is neither text nor a number whose digits are seen."""
    if isinstance(value, Shown):
        return "number" if value.seen is None else None
    if isinstance(value, datetime | date | time | timedelta):
        return "date"
    return "boolean" if isinstance(value, bool) else None


def _column_of(values: list[Any]) -> pa.Array:
    """Return a column: numbers where all its cells are, whole ones as integers; else texts."""
    given = [value for value in values if value is not None]
    if given and all(type(value) in (int, float, Shown) for value in given):
        whole = all(float(value).is_integer() and abs(value) < 2**53 for value in given)
        return pa.array(values, pa.float64()).cast(pa.int64() if whole else pa.float64())
    return pa.array([None if value is None else _text(value) for value in values], pa.string())


def _too_wide(number: int, row: list[Any], names: tuple[str, ...], above: int) -> Broken:
    reason = f"has {len(row)} cells, the header has {len(names)}; clear the cells beside the table"
    return Broken(number - above, reason, "\t".join("" if cell is None else _text(cell) for cell in row))

"""Workbooks (xlsx): one sheet's cells as columns; formulas and errors are seen, not what is kept for them."""

import re
import zipfile
from collections.abc import Iterator, Sequence
from datetime import date, datetime, time
from itertools import islice
from typing import IO, Any
from xml.etree import ElementTree as ET

import numpy as np
import pyarrow as pa
from python_calamine import CalamineWorkbook, SheetVisibleEnum

from gis.errors import BadInput
from gis.importing import codes, heads
from gis.importing.files import File
from gis.importing.source import CHUNK, Broken, Chunk, ReadOptions, Source, digest

_LINK = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}id"

Row = tuple[int, list[Any]]
"""The number of a row in its sheet, from 1, and its cells without the empty ones at its end."""


def open_xlsx(file: File, options: ReadOptions) -> Source:
    """Return one sheet of a workbook as a source; a formula stays its own text, `=…`.

    Columns of numbers are numbers, all others texts. Blank rows are no rows. Raises BadInput when the sheet
    does not exist, several could be meant, or its heading is unusable.
    """
    with CalamineWorkbook.from_object(file.seekable()) as book:
        sheet = _chosen(book, file, options.layer)
        merged = book.get_sheet_by_name(sheet).merged_cell_ranges or []
    top = list(islice(_rows(file, sheet), heads.LOOKED_AT))
    told = None if options.header_row is None else _place(top, options.header_row)
    texts = [[_heading(cell) for cell in row] for _, row in top]
    head = heads.find(texts, file.name, told, _merges(top, merged))
    above = top[head.above - 1][0]
    return Source(
        name=file.name,
        sha256=digest(file.path),
        columns=head.names,
        chunks=lambda: _chunks(_rows(file, sheet), head.names, above),
        crs=options.crs,
        lines=True,
        above=above,
        notes=head.notes,
    )


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


def _chosen(book: CalamineWorkbook, file: File, layer: str | None) -> str:
    """Return the sheet that is named, or the only one with anything in it."""
    sheets = book.sheet_names
    if layer is not None and layer not in sheets:
        raise BadInput("layer", f"{file.name} has no sheet {layer!r}; it has {', '.join(sheets)}")
    shown = [one.name for one in book.sheets_metadata if one.visible == SheetVisibleEnum.Visible]
    full = [name for name in shown if book.get_sheet_by_name(name).height > 0]
    if layer is None and len(full) > 1:
        raise BadInput("layer", f"{file.name} has several sheets; choose one with --layer: {', '.join(full)}")
    return layer or next(iter(full or shown or sheets))


def _rows(file: File, name: str) -> Iterator[Row]:
    """Yield every row of a sheet that is not blank."""
    seen = _seen(file, name)
    with CalamineWorkbook.from_object(file.seekable()) as book:
        sheet = book.get_sheet_by_name(name)
        _, left = sheet.start or (0, 0)  # of the rows it gives those above too, of the columns none before
        for number, cells in enumerate(sheet.iter_rows(), start=1):
            row = [*[None] * left, *(None if cell == "" else cell for cell in cells)]
            for column, text in seen.pop(number, {}).items():
                row.extend([None] * (column + 1 - len(row)))
                row[column] = text
            while row and row[-1] is None:
                row.pop()
            if row:
                yield number, row


def _seen(file: File, name: str) -> dict[int, dict[int, str]]:
    """Return a sheet's formulas and errors by row and column: of both a reader of values shows none."""
    with zipfile.ZipFile(file.seekable()) as archive:
        part = _part(archive, name)
        if part is None or not re.search(rb"<(?:\w+:)?f[\s>/]|t=[\"']e[\"']", archive.read(part)):
            return {}
        with archive.open(part) as stream:
            return _formulas(stream)


def _part(archive: zipfile.ZipFile, name: str) -> str | None:
    """Return where in a workbook's archive a sheet lies."""
    book, links = (_tree(archive, one) for one in ("xl/workbook.xml", "xl/_rels/workbook.xml.rels"))
    wanted = {
        sheet.get(_LINK) for sheet in book.iter() if _tag(sheet) == "sheet" and sheet.get("name") == name
    }
    target = next((link.get("Target", "") for link in links.iter() if link.get("Id") in wanted), "")
    path = target.lstrip("/") if target.startswith("/") else f"xl/{target}"
    return path if path in archive.namelist() else None


def _tree(archive: zipfile.ZipFile, part: str) -> ET.Element:
    return ET.fromstring(archive.read(part))  # noqa: S314 - expat bounds entities, and the child its memory


def _tag(element: ET.Element) -> str:
    return element.tag.rpartition("}")[2]


def _formulas(stream: IO[bytes]) -> dict[int, dict[int, str]]:
    found: dict[int, dict[int, str]] = {}
    row, column = 0, -1
    for event, element in ET.iterparse(stream, ("start", "end")):  # noqa: S314 - as above
        tag = _tag(element)
        if event == "start" and tag == "row":
            row, column = int(element.get("r", row + 1)), -1
        elif event == "start" and tag == "c":
            column = _column(element.get("r"), column + 1)
        elif event == "end" and tag == "c":
            if (text := _stands_for(element)) is not None:
                found.setdefault(row, {})[column] = text
            element.clear()
        elif event == "end" and tag == "row":
            element.clear()
    return found


def _column(address: str | None, otherwise: int) -> int:
    """Return the column of an address such as `AB12`, from 0."""
    letters = re.match("[A-Z]+", address or "")
    if letters is None:
        return otherwise
    number = 0
    for letter in letters[0]:
        number = number * 26 + ord(letter) - 64
    return number - 1


def _stands_for(cell: ET.Element) -> str | None:
    """Return a cell's formula, or its error; None for a plain value."""
    parts = {_tag(part): part.text or "" for part in cell}
    if "f" in parts:
        return f"={parts['f'].removeprefix('=')}"
    return parts.get("v") if cell.get("t") == "e" else None


def _text(value: Any) -> str:
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, float):
        return codes.number_text(value)
    return str(value)


def _chunks(rows: Iterator[Row], names: tuple[str, ...], above: int) -> Iterator[Chunk]:
    below = (row for row in rows if row[0] > above)
    while held := list(islice(below, CHUNK)):
        fitting = [(number - above, row) for number, row in held if len(row) <= len(names)]
        yield Chunk(
            rows=np.array([number for number, _ in fitting], np.int64),
            table=pa.table({name: _column_of(fitting, at) for at, name in enumerate(names)}),
            broken=tuple(_too_wide(*row, names, above) for row in held if len(row[1]) > len(names)),
        )


def _column_of(rows: list[Row], at: int) -> pa.Array:
    """Return a column: numbers where all its cells are, whole ones as integers; else texts."""
    values = [row[at] if at < len(row) else None for _, row in rows]
    given = [value for value in values if value is not None]
    if given and all(type(value) in (int, float) for value in given):
        whole = all(float(value).is_integer() and abs(value) < 2**53 for value in given)
        return pa.array(values, pa.float64()).cast(pa.int64() if whole else pa.float64())
    return pa.array([None if value is None else _text(value) for value in values], pa.string())


def _too_wide(number: int, row: list[Any], names: tuple[str, ...], above: int) -> Broken:
    reason = f"has {len(row)} cells, the header has {len(names)}; clear the cells beside the table"
    return Broken(number - above, reason, "\t".join("" if cell is None else _text(cell) for cell in row))

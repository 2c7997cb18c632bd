"""Sheets of text: CSV in whichever of the usual encodings, and xlsx with its formulas visible."""

import codecs
import csv
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, time
from itertools import islice, zip_longest
from pathlib import Path
from typing import Any

import numpy as np
import openpyxl
import pyarrow as pa
import pyarrow.csv

from gis.errors import BadInput
from gis.importing.source import CHUNK, Broken, Chunk, Source, digest, numbered, unique_names

_ENCODINGS = ("utf-8", "gb18030")
"""Tried in this order on the whole text: GBK is hardly ever valid UTF-8, and GB 18030 reads all of GBK."""
_BLOCK = 8 << 20
_DELIMITERS = (",", "\t", ";", "|")


@dataclass(frozen=True)
class _Scan:
    """What one pass over a text file tells."""

    encoding: str
    lines: int
    plain: bool
    """No quotes and no blank lines: row n lies on line n + 1."""


def open_csv(path: Path, _layer: str | None) -> Source:
    """Return a CSV file (comma, tab, semicolon or bar; UTF-8, GBK or UTF-16 with BOM) as a source.

    Every value stays the text it is. Raises BadInput when neither encoding fits or the header is unusable.
    """
    scan = _scan(path)
    header, delimiter = _header(path, scan.encoding)
    names = unique_names(header, path)
    return Source(
        name=path.name,
        sha256=digest(path),
        columns=names,
        chunks=lambda: _csv_chunks(path, scan.encoding, delimiter, names),
        total=max(scan.lines - 1, 0) if scan.plain else None,
        lines=scan.plain,
    )


def _scan(path: Path) -> _Scan:
    with path.open("rb") as stream:
        start = stream.read(2)
    if start in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        return _Scan("utf-16", 0, plain=False)
    for encoding in _ENCODINGS:
        if _decodes(path, encoding):
            return _count(path, encoding)
    raise BadInput("file", f"{path.name} is neither UTF-8 nor GBK; save it as UTF-8")


def _decodes(path: Path, encoding: str) -> bool:
    decoder = codecs.getincrementaldecoder(encoding)()
    try:
        with path.open("rb") as stream:
            while block := stream.read(_BLOCK):
                decoder.decode(block)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True


def _count(path: Path, encoding: str) -> _Scan:
    lines, plain, last = 0, True, b"\n"
    with path.open("rb") as stream:
        while block := stream.read(_BLOCK):
            lines += block.count(b"\n")
            joined = last + block
            plain = plain and b'"' not in block and b"\n\n" not in joined and b"\n\r\n" not in joined
            last = block[-2:]
    return _Scan(encoding, lines + (not last.endswith(b"\n")), plain)


def _header(path: Path, encoding: str) -> tuple[list[str], str]:
    with path.open(encoding="utf-8-sig" if encoding == "utf-8" else encoding, newline="") as stream:
        line = stream.readline()
    delimiter = max(_DELIMITERS, key=line.count)
    return next(csv.reader([line], delimiter=delimiter), []), delimiter


def _csv_chunks(path: Path, encoding: str, delimiter: str, names: tuple[str, ...]) -> Iterator[Chunk]:
    broken: list[Broken] = []

    def keep(row: Any) -> str:
        told = f"has {row.actual_columns} columns, the header has {row.expected_columns}"
        many = row.actual_columns > row.expected_columns
        fix = f"quote values that contain {delimiter!r}" if many else "fill in those that are missing"
        broken.append(Broken(row.number - 1, f"{told}; {fix}", row.text))
        return "skip"

    # Only the serial reader knows row numbers; all stays text, so that a bad value costs its row only.
    reader = pa.csv.open_csv(
        path,
        read_options=pa.csv.ReadOptions(
            use_threads=False, encoding=encoding, block_size=_BLOCK, column_names=list(names), skip_rows=1
        ),
        parse_options=pa.csv.ParseOptions(
            delimiter=delimiter, newlines_in_values=True, invalid_row_handler=keep
        ),
        convert_options=pa.csv.ConvertOptions(
            column_types=dict.fromkeys(names, pa.string()),
            strings_can_be_null=True,
            null_values=[""],
        ),
    )
    tables = ((pa.Table.from_batches([batch]), None) for batch in reader)
    return numbered(tables, lambda: broken)


def dbf_encoding(path: Path) -> str | None:
    """Return the encoding of a Shapefile that does not tell it (no .cpg), None for all other formats."""
    table = path.with_suffix(".dbf")
    if path.suffix.lower() != ".shp" or path.with_suffix(".cpg").exists() or not table.exists():
        return None
    return "utf-8" if _decodes_dbf(table) else "gb18030"


def _decodes_dbf(table: Path) -> bool:
    """Tell whether the records (after the binary header, whose length stands at byte 8) are UTF-8."""
    content = table.read_bytes()
    records = content[int.from_bytes(content[8:10], "little") :]
    try:
        records.decode()
    except UnicodeDecodeError:
        return False
    return True


def open_xlsx(path: Path, layer: str | None) -> Source:
    """Return one sheet of a workbook as a source of texts; a formula stays its own text, `=…`.

    Blank rows are no rows. Raises BadInput when the sheet does not exist or its header is unusable.
    """
    book = openpyxl.load_workbook(path, read_only=True)
    sheets = book.sheetnames
    if layer is not None and layer not in sheets:
        raise BadInput("layer", f"{path.name} has no sheet {layer!r}; it has {', '.join(sheets)}")
    header = next(_xlsx_rows(path, layer), (0, []))[1]
    names = unique_names([text or "" for text in header], path)
    return Source(
        name=path.name, sha256=digest(path), columns=names, chunks=lambda: _xlsx_chunks(path, layer, names),
        lines=True,
    )  # fmt: skip


def _xlsx_rows(path: Path, layer: str | None) -> Iterator[tuple[int, list[str | None]]]:
    """Yield (row of the sheet, texts without the empty cells at its end) of every row that is not blank."""
    book = openpyxl.load_workbook(path, read_only=True)
    sheet = book[layer or book.sheetnames[0]]
    sheet.reset_dimensions()  # some writers tell too small a range
    for number, row in enumerate(sheet.iter_rows(), start=1):
        texts = [_cell_text(cell) for cell in row]
        while texts and texts[-1] is None:
            texts.pop()
        if texts:
            yield number, texts


def _cell_text(cell: Any) -> str | None:
    value = cell.value
    if value is None or value == "":
        return None
    if cell.data_type == "f":
        return f"={str(getattr(value, 'text', value)).removeprefix('=')}"
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def _xlsx_chunks(path: Path, layer: str | None, names: tuple[str, ...]) -> Iterator[Chunk]:
    rows = _xlsx_rows(path, layer)
    next(rows, None)
    while held := list(islice(rows, CHUNK)):
        fitting = [(number - 1, row) for number, row in held if len(row) <= len(names)]
        columns = zip_longest(*(row for _, row in fitting), fillvalue=None)
        yield Chunk(
            rows=np.array([number for number, _ in fitting], np.int64),
            table=_text_table(list(columns), names, len(fitting)),
            broken=tuple(_too_wide(*row, names) for row in held if len(row[1]) > len(names)),
        )


def _too_wide(number: int, row: list[str | None], names: tuple[str, ...]) -> Broken:
    reason = f"has {len(row)} cells, the header has {len(names)}; clear the cells beside the table"
    return Broken(number - 1, reason, "\t".join(text or "" for text in row))


def _text_table(columns: list[tuple[str | None, ...]], names: tuple[str, ...], rows: int) -> pa.Table:
    empty = (None,) * rows
    filled = (columns[at] if at < len(columns) else empty for at in range(len(names)))
    return pa.table({name: pa.array(values, pa.string()) for name, values in zip(names, filled, strict=True)})

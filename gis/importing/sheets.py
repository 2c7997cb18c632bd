"""Tables of text: CSV in the encoding its bytes speak for, or the one that is said."""

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import IO, Any

import pyarrow as pa
import pyarrow.csv

from gis.errors import BadInput
from gis.importing import columns, heads, textfiles
from gis.importing.csv_quotes import Guarded, Quotes
from gis.importing.encodings import Declared
from gis.importing.files import File
from gis.importing.source import Broken, Chunk, ReadOptions, Source, digest, numbered
from gis.importing.textfiles import BLOCK, Text

_HEAD = 1 << 20
"""Bytes in which a heading must end."""
_DELIMITERS = (",", "\t", ";", "|")


_UNENDED = "the last line has no end: if the file was cut short, its last value is, too"


@dataclass(frozen=True)
class _Layout:
    """How a text file is to be cut: its delimiter and heading, and the lines above its data."""

    delimiter: str
    head: heads.Head
    lines_above: int


def open_csv(file: File, options: ReadOptions) -> Source:
    """Return a CSV file (comma, tab, semicolon or bar, or as `sep=` says) as a source.

    Every value stays the text it is. Raises BadInput when its encoding is not known from its bytes, or they
    contradict the one that is said, or it has no usable heading.
    """
    text = textfiles.examine(file, declared(options))
    layout = _layout(file, text, options.header_row)
    return Source(
        name=file.name,
        sha256=digest(file.path),
        columns=layout.head.names,
        chunks=lambda: _chunks(file, text, layout),
        crs=options.crs,
        total=max(text.lines - layout.lines_above, 0) if text.plain else None,
        lines=text.plain,
        above=layout.lines_above,
        notes=(*text.notes, *layout.head.notes, *(() if text.ended else (_UNENDED,))),
    )


def declared(options: ReadOptions) -> Declared | None:
    """Return the encoding that an operator says."""
    return Declared(options.encoding, "--encoding") if options.encoding else None


def _layout(file: File, text: Text, told: int | None) -> _Layout:
    with textfiles.utf8(file, text) as stream:
        start = _first_lines(stream)
    said = start[0].strip().lower().lstrip("\ufeff").strip('"') if start else ""
    separated = said.startswith("sep=") and len(said) <= 5
    lines = start[separated:]
    delimiter = said[4:] or "\t" if separated else _delimiter(lines)
    records, ends = _records(lines, delimiter)
    at = None if told is None else next((n for n, end in enumerate(ends) if end + separated >= told), -1)
    head = heads.find(records, file.name, at)
    return _Layout(delimiter, head, ends[head.above - 1] + separated)


def _first_lines(stream: IO[bytes]) -> list[str]:
    """Return the first lines, as many as a heading with titles above it may take."""
    start = b""
    while len(start) < _HEAD and (block := stream.read(_HEAD)):
        start += block
    return list(io.StringIO(start.decode("utf-8-sig", "replace"), newline=""))[: heads.LOOKED_AT * 20]


def _delimiter(lines: list[str]) -> str:
    """Return the sign that cuts most of the first rows into the same number of cells, and into most."""

    def fits(sign: str) -> tuple[int, int]:
        widths = [len(row) for row in _records(lines, sign)[0]]
        usual = max(widths, key=widths.count, default=1)
        return (widths.count(usual), usual) if usual > 1 else (0, 0)

    first = lines[0] if lines else ""
    return max(_DELIMITERS, key=lambda sign: (*fits(sign), first.count(sign)))


def _records(lines: list[str], delimiter: str) -> tuple[list[list[str]], list[int]]:
    """Return the first rows, and the number of the line on which each ends."""
    reader = csv.reader(iter(lines), delimiter=delimiter)
    rows, ends = [], []
    try:
        for row in islice(reader, heads.LOOKED_AT):
            rows.append(row)
            ends.append(reader.line_num)
    except csv.Error:  # a quote that is never closed: told when the rows are read
        pass
    return rows, ends


def _chunks(file: File, text: Text, layout: _Layout) -> Iterator[Chunk]:
    broken: list[Broken] = []

    quotes, names = Quotes(layout.delimiter), layout.head.names

    def keep(row: Any) -> str:
        if apart := quotes.told(row.text):
            broken.append(Broken(row.number - layout.lines_above, *apart))
            return "skip"
        told = f"has {row.actual_columns} columns, the header has {row.expected_columns}"
        many = row.actual_columns > row.expected_columns
        fix = f"quote values that contain {layout.delimiter!r}" if many else "fill in those that are missing"
        broken.append(Broken(row.number - layout.lines_above, f"{told}; {fix}", row.text))
        return "skip"

    with textfiles.utf8(file, text) as stream:
        guarded = stream if text.plain else Guarded(stream, quotes, len(names), layout.lines_above)
        reader = _reader(guarded, layout, keep)
        tables = (columns.without_misread(pa.Table.from_batches([one]), text.encoding) for one in reader)
        yield from numbered(((table, None) for table in tables), lambda: broken)


def _reader(source: Any, layout: _Layout, keep: Any) -> Any:
    """Return Arrow's reader of rows; it raises BadInput in place of what only its authors understand."""
    names = layout.head.names
    try:
        # Only the serial reader knows row numbers; all stays text, so that a bad value costs its row only.
        return pa.csv.open_csv(
            source,
            read_options=pa.csv.ReadOptions(
                use_threads=False, block_size=BLOCK, column_names=list(names), skip_rows=layout.lines_above
            ),
            parse_options=pa.csv.ParseOptions(
                delimiter=layout.delimiter, newlines_in_values=True, invalid_row_handler=keep
            ),
            convert_options=pa.csv.ConvertOptions(
                column_types=dict.fromkeys(names, pa.string()),
                strings_can_be_null=True,
                null_values=[""],
                check_utf8=False,
            ),
        )
    except pa.ArrowInvalid as error:
        raise BadInput("file", f"has no rows that can be read: {error}") from error

"""Refused rows: a sieve per chunk that keeps each row's first reason, and the file they are written to."""

import codecs
import csv
import re
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO, TypeAlias

import numpy as np
import pyarrow as pa

from gis.importing import quoting
from gis.importing.parsing import Bools
from gis.importing.source import Chunk, Ints, Source
from gis.whole_files import whole

_HEAD = ("row", "line", "field", "reason", "value")


_DISTINCT = 1_000
"""So many different values are counted of one reason; the file has them all."""

Values: TypeAlias = Sequence[Any] | Callable[[int], Any] | None
"""What a row held, by its place in the chunk; an Arrow column is a sequence too."""


@dataclass(frozen=True)
class Refusal:
    """One refused row: its number, the field at fault, what is wrong with what to do, and the value."""

    row: int
    field: str
    reason: str
    value: str


@dataclass
class Sieve:
    """Which rows of a chunk are still good, and why the others are not."""

    rows: Ints
    ok: Bools
    refusals: list[Refusal] = field(default_factory=list)

    def refuse(
        self, bad: Bools, name: str, reason: str | Callable[[int], str], values: Values = None
    ) -> None:
        """Refuse the `bad` rows that are still good; what is told may depend on the place in the chunk."""
        for at in np.flatnonzero(bad & self.ok).tolist():
            why = reason if isinstance(reason, str) else reason(at)
            value = _shown(values(at) if callable(values) else None if values is None else values[at])
            self.refusals.append(Refusal(int(self.rows[at]), name, why, value))
        self.ok &= ~bad


def _shown(value: Any) -> str:
    try:
        plain = value.as_py() if isinstance(value, pa.Scalar) else value
    except (ValueError, OverflowError):  # a day beyond the calendar, bytes that are no text
        plain = _raw(value)
    # a number with a fraction, which texts hold with an exponent (codes.number_text), as its sheet shows it
    return "" if plain is None else re.sub(r"(?<=\d)e\+00$", "", str(plain)[:200])


def _raw(value: pa.Scalar) -> str:
    """Return what can be shown of a value that Python has no type for."""
    if isinstance(value, pa.StringScalar | pa.LargeStringScalar):
        return bytes(value.as_buffer()).decode(errors="replace")
    return f"a {value.type} beyond its bounds"


@dataclass
class RefusedFile:
    """The CSV of refused rows, made with the first of them; counts them and their reasons.

    A cell that a spreadsheet would run as a formula gets an apostrophe before it.
    """

    path: Path
    source: Source
    count: int = 0
    reasons: Counter[tuple[str, str]] = field(default_factory=Counter)
    values: dict[tuple[str, str], Counter[str]] = field(default_factory=dict)
    _files: ExitStack = field(default_factory=ExitStack)
    _stream: TextIO | None = None

    def add(self, refusals: Sequence[Refusal], chunk: Chunk) -> None:
        """Write refusals of rows of `chunk`, with the original row."""
        if not refusals:
            return
        at = {int(row): place for place, row in enumerate(chunk.rows)}
        texts = {broken.row: broken.text for broken in chunk.broken}
        for refusal in sorted(refusals, key=lambda one: one.row):
            original = _original(chunk, at[refusal.row]) if refusal.row in at else [texts[refusal.row]]
            self._write(refusal, original)

    def add_broken(self, chunk: Chunk) -> None:
        """Write the rows of `chunk` that could not be cut into columns."""
        self.add([Refusal(row.row, "row", row.reason, row.text[:200]) for row in chunk.broken], chunk)

    def _write(self, refusal: Refusal, original: list[str]) -> None:
        self.count += 1
        self.reasons[refusal.field, refusal.reason] += 1
        of = self.values.setdefault((refusal.field, refusal.reason), Counter())
        if refusal.value in of or len(of) < _DISTINCT:
            of[refusal.value] += 1
        line = str(refusal.row + self.source.above) if self.source.lines else ""
        head = [str(refusal.row), line, refusal.field, refusal.reason, refusal.value]
        stream = self._opened()
        try:
            csv.writer(stream).writerow(disarmed(head + original))
        except OSError:
            with self._files:  # which takes away what was written, and says why
                raise

    def _opened(self) -> TextIO:
        if self._stream is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            part = self._files.enter_context(whole(self.path, "--refused"))
            # The mark at the start lets Excel read it as UTF-8.
            self._stream = self._files.enter_context(part.open("w", encoding="utf-8-sig", newline=""))
            csv.writer(self._stream).writerow([*_HEAD, *self.source.columns])
        return self._stream

    def close(self) -> None:
        """Put the file in its place, if there is one. Raises BadInput where it cannot be written."""
        self._files.close()


def is_ours(file: Path) -> bool:
    """Tell whether a file holds refused rows, and may give way to others."""
    with file.open("rb") as stream:
        return stream.read(100).removeprefix(codecs.BOM_UTF8).startswith(",".join(_HEAD).encode())


def _original(chunk: Chunk, at: int) -> list[str]:
    return [_shown(chunk.table[name][at]) for name in chunk.table.column_names]


def disarmed(cells: Sequence[str]) -> list[str]:
    """Return texts none of which a spreadsheet runs as a formula."""
    safe: list[str] = quoting.disarmed(pa.array(cells, pa.string())).to_pylist()
    return safe

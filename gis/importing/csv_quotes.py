r"""Quotes of a CSV file (RFC 4180): a row in which they do not fit is kept apart, never repaired.

Readers make some value of any quotes: of `"a "b" c"`, of `"a \"b\" c"`, of a quote that nobody closes. Such
a row goes on under a mark and with a column too many, so that the reader refuses it with its number.
"""

import io
import re
from collections.abc import Callable, Iterator
from typing import IO

BLOCK = 8 << 20
_LONGEST = 16 << 20
"""Bytes of a row that may be in quotes; what the reader says of longer ones is enough."""
_OPEN, _INNER = "\x00open\x00", "\x00inner\x00"
_HIDDEN = '"\n\r'
_SIGNS = "\x01\x03\x04"
"""What stands for a quote and for line ends in a row that is kept apart; \x02 does for the delimiter."""


class Quotes:
    """The rule of quotes for one delimiter."""

    def __init__(self, delimiter: str) -> None:
        sign = re.escape(delimiter.encode())
        inside = rb'"(?:[^"]++|"")*+'
        bare = rb'[^"' + sign + rb"\r\n][^" + sign + rb"\r\n]*+"
        field = rb"(?:" + inside + rb'" *+|' + bare + rb"|)"
        before = rb"(?:" + field + sign + rb")*+"
        self._rows = re.compile(rb"(?:" + field + rb"(?:" + sign + field + rb")*+(?:\r\n|\n|\r))*+")
        self._partly = re.compile(before + rb"(?:" + inside + rb'(?:" *+)?+|' + bare + rb")?+\Z")
        self._open = re.compile(before + inside + rb"\Z")
        self._spot = re.compile(before + inside + rb'"')
        self._delimiter = delimiter

    def good(self, text: bytes, start: int) -> int:
        """Return where the rows from `start` that are whole and fit end."""
        found = self._rows.match(text, start)
        return found.end() if found else start

    def may_go_on(self, text: bytes, start: int) -> bool:
        """Tell whether the row from `start` fits as far as it goes."""
        return self._partly.match(text, start) is not None

    def is_open(self, text: bytes, start: int) -> bool:
        """Tell whether the row from `start` ends within quotes."""
        return self._open.match(text, start) is not None

    def end(self, text: bytes, start: int) -> int | None:
        """Return where the line ends on which the quotes of the row from `start` do not fit."""
        spot = self._spot.match(text, start)
        stop = re.compile(rb"\r\n|\n|\r").search(text, spot.end() if spot else start)
        return stop.end() if stop else None

    def apart(self, row: bytes, mark: str, columns: int) -> bytes:
        """Return a row as one of a column too many, under a mark."""
        hidden = str.maketrans(f"{_HIDDEN}{self._delimiter}", f"{_SIGNS}\x02")
        text = row.decode("utf-8", "replace").translate(hidden)
        return f"{mark}{text}{self._delimiter * columns}\n".encode()

    def told(self, text: str) -> tuple[str, str] | None:
        """Return why a row that was kept apart is refused, and the row as it was; None for another."""
        mark = next((one for one in (_OPEN, _INNER) if text.startswith(one)), None)
        if mark is None:
            return None
        shown = text.removeprefix(mark).rstrip(self._delimiter)
        row = shown.translate(str.maketrans(f"{_SIGNS}\x02", f"{_HIDDEN}{self._delimiter}"))
        return _reason(mark, len(row.rstrip("\r\n").splitlines())), row


def _reason(mark: str, lines: int) -> str:
    over = f" (with it {lines} lines)" if lines > 1 else ""
    if mark == _OPEN:
        return f'opens a quote that is never closed{over}; close it, or write "" for a quote that is meant'
    return (
        f'has a quote within a quoted value, or something behind its end{over}; write "" for a quote that is '
        "meant, as a backslash before it does not help"
    )


class Guarded(io.RawIOBase, IO[bytes]):
    """A stream of CSV in UTF-8 in which rows whose quotes do not fit are kept apart."""

    def __init__(self, stream: IO[bytes], quotes: Quotes, columns: int, above: int) -> None:
        super().__init__()
        self._stream = stream
        self._pieces = _pieces(stream, quotes, columns, above)

    def readable(self) -> bool:
        """Say that it can be read."""
        return True

    def read(self, _size: int = -1) -> bytes:
        """Return the next bytes, none at the end."""
        return next(self._pieces, b"")

    def close(self) -> None:
        """Close the stream beneath too."""
        self._stream.close()
        super().close()


def _pieces(stream: IO[bytes], quotes: Quotes, columns: int, above: int) -> Iterator[bytes]:
    """Yield a stream whose first lines, `above` the data, stay as they are."""
    held, start = _beyond(stream, above)
    head, held, start = (
        held[:start],
        held[start:],
        0,
    )  # goes with the first rows: a reader makes a chunk of each
    done = False
    while not done:
        block = stream.read(BLOCK)
        held, start, done = held[start:] + block, 0, not block
        while start < len(held):
            piece, stop = _next(held, start, quotes, columns, last=done)
            if stop == start:
                break
            yield head + piece
            head, start = b"", stop
        if start == 0 and len(held) > _LONGEST:
            yield head + held
            yield from iter(lambda: stream.read(BLOCK), b"")
            return


def _beyond(stream: IO[bytes], lines: int) -> tuple[bytes, int]:
    """Return the start of a stream, and where its first lines end in it."""
    held, start = b"", 0
    find: Callable[..., re.Match[bytes] | None] = re.compile(rb"\r\n|\n|\r(?!\Z)").search
    for _ in range(lines):
        while (end := find(held, start)) is None and (block := stream.read(BLOCK)):
            held += block
        start = end.end() if end else len(held)
    return held, start


def _next(held: bytes, start: int, quotes: Quotes, columns: int, *, last: bool) -> tuple[bytes, int]:
    """Return the next piece of what is held and where it ends: `start` where more is needed to tell."""
    if (stop := quotes.good(held, start)) > start:
        return held[start:stop], stop
    if quotes.may_go_on(held, start):
        mark = _OPEN if quotes.is_open(held, start) else None
        stop = len(held) if last else start
    else:
        mark, end = _INNER, quotes.end(held, start)
        stop = end or (len(held) if last else start)
    piece = held[start:stop]
    return (quotes.apart(piece, mark, columns) if mark and piece else piece), stop

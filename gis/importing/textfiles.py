"""Files of text: what encoding they are in, what one pass over them tells, and their bytes as UTF-8."""

import codecs
import io
from dataclasses import dataclass, field
from typing import IO

from gis.importing import encodings
from gis.importing.encodings import Declared
from gis.importing.files import File

BLOCK = 8 << 20
_MARKS = {
    codecs.BOM_UTF32_LE: "utf-32", codecs.BOM_UTF32_BE: "utf-32", codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16",
}  # fmt: skip
"""Longer marks first: that of UTF-32 begins with that of UTF-16."""


@dataclass(frozen=True)
class Text:
    """What is known of a text file.

    `clean`: it is UTF-8 throughout. `plain`: no quotes and no blank lines, so that each row has a line of its
    own; then `lines` counts them.
    """

    encoding: str
    clean: bool
    plain: bool
    lines: int
    notes: tuple[str, ...] = ()
    ended: bool = True
    """The last line has an end."""


def examine(file: File, declared: Declared | None) -> Text:
    """Return what a file of text is. Raises BadInput where its encoding is not known from its bytes."""
    if wide := _wide(file):
        return Text(wide, clean=False, plain=False, lines=0)
    scan = _scan(file)
    if declared is None:
        encodings.refuse_seven_bit(scan.seven_bit, file.name)
    encoding = encodings.settle(b"\n".join(scan.foreign), declared, file.name)
    found = declared is None and encoding != "utf-8"
    notes = (f"read as {encoding}, for which its bytes speak",) * found
    clean = scan.utf8 and encoding == "utf-8"
    return Text(encoding, clean, scan.plain, scan.lines, notes, scan.ended)


def utf8(file: File, text: Text) -> IO[bytes]:
    """Return a file's bytes as UTF-8, with marks where they cannot be read."""
    return file.open() if text.clean else _Recoded(file.open(), text.encoding)


@dataclass
class _Scan:
    """What one pass over a text file tells."""

    lines: int = 0
    plain: bool = True
    """No quotes and no blank lines: each row has a line of its own."""
    utf8: bool = True
    """Every byte is part of valid UTF-8."""
    foreign: list[bytes] = field(default_factory=list)
    """Lines with more than ASCII, as many as a sample holds."""
    ended: bool = True
    seven_bit: str | None = None
    """The encoding that hides other signs in ASCII."""


def _wide(file: File) -> str | None:
    """Return the encoding that a file's mark tells, or UTF-32 or UTF-16 that shows by its zero bytes."""
    with file.open() as stream:
        start = stream.read(4096)
    marked = next((name for mark, name in _MARKS.items() if start.startswith(mark)), None)
    if marked is not None:
        return marked if marked != "utf-8" else None
    if wide := _utf32(start):
        return wide
    even, odd = start[::2], start[1::2]
    for zeros, others, name in ((odd, even, "utf-16-le"), (even, odd, "utf-16-be")):
        if zeros.count(0) * 10 > len(zeros) and others.count(0) * 100 <= len(others):
            return name
    return None


def _utf32(start: bytes) -> str | None:
    """Return which UTF-32 some bytes without a mark are: each four of them a sign of Unicode's 17 planes."""
    signs = start[: len(start) // 4 * 4]
    for high, plane, name in ((3, 2, "utf-32-le"), (0, 1, "utf-32-be")):
        if signs and not any(signs[high::4]) and max(signs[plane::4]) <= 0x10:
            text = signs.decode(name, "replace")
            return None if "\0" in text or "\ufffd" in text else name
    return None


def _scan(file: File) -> _Scan:
    """Read a file once, for its lines and for the evidence of its encoding."""
    scan, size, rest, last = _Scan(), 0, b"", b"\n"
    utf8 = codecs.getincrementaldecoder("utf-8")()
    with file.open() as stream:
        while block := stream.read(BLOCK):
            scan.lines += block.count(b"\n")
            joined = last + block
            scan.plain &= b'"' not in block and b"\n\n" not in joined and b"\n\r\n" not in joined
            last = block[-2:]
            scan.seven_bit = scan.seven_bit or (encodings.seven_bit(block) if block.isascii() else None)
            scan.utf8 = scan.utf8 and _decodes(utf8, block)
            if size < encodings.SAMPLE and not block.isascii():
                *whole, rest = (rest + block).split(b"\n")
                found = encodings.sample(whole)
                scan.foreign.append(found)
                size += len(found)
    scan.foreign.append(encodings.sample([rest]))
    scan.utf8 = scan.utf8 and _decodes(utf8, b"", final=True)
    scan.lines += not last.endswith(b"\n")
    scan.ended = last.endswith((b"\n", b"\r"))
    scan.foreign = [found for found in scan.foreign if found]
    return scan


def _decodes(decoder: codecs.IncrementalDecoder, block: bytes, *, final: bool = False) -> bool:
    try:
        decoder.decode(block, final)
    except UnicodeDecodeError:
        return False
    return True


class _Recoded(io.RawIOBase, IO[bytes]):
    """A stream in another encoding as UTF-8; what cannot be read is marked."""

    def __init__(self, stream: IO[bytes], encoding: str) -> None:
        super().__init__()
        self._stream = stream
        self._decoder = codecs.getincrementaldecoder(encoding)("replace")

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        """Return the next bytes, none at the end."""
        block = b"?"
        while block:
            block = self._stream.read(size)
            if found := self._decoder.decode(block, final=not block):
                return found.encode("utf-8", "replace")
        return b""

    def close(self) -> None:
        """Close the stream beneath too."""
        self._stream.close()
        super().close()

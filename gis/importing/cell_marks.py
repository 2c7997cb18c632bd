"""What a reader of values does not tell of a sheet: formulas, errors, number formats, the system of dates."""

import io
import re
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import IO
from xml.etree import ElementTree as ET

from gis.importing import number_formats
from gis.importing.files import File

_RELATIONS = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}id"


@dataclass(frozen=True)
class Format:
    """A number format that shows something other than a number's digits."""

    code: str


Mark = str | Format
"""A formula or an error as its text, or how a cell's number is shown."""
Marks = dict[int, dict[int, Mark]]
"""By the number of a row in its sheet, from 1, and that of the column, from 0."""


class Parts:
    """The parts of a workbook's archive."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self.archive = archive
        self._book, self._links = (
            self._tree(f"xl/{one}") for one in ("workbook.xml", "_rels/workbook.xml.rels")
        )

    def _tree(self, part: str) -> ET.Element:
        content = self.archive.read(part)
        return ET.fromstring(content)  # noqa: S314 - expat bounds entities, and the child its memory

    def _linked(self, wanted: Callable[[ET.Element], bool]) -> str | None:
        target = next((link.get("Target", "") for link in self._links.iter() if wanted(link)), "")
        path = target.lstrip("/") if target.startswith("/") else f"xl/{target}"
        return path if path in self.archive.namelist() else None

    def sheet(self, name: str) -> str | None:
        """Return where a sheet lies, None where that cannot be told."""
        sheets = (one for one in self._book.iter() if _tag(one) == "sheet")
        ids = {sheet.get(_RELATIONS) for sheet in sheets if sheet.get("name") == name}
        return self._linked(lambda link: link.get("Id") in ids)

    @cached_property
    def since_1904(self) -> bool:
        """Tell whether days are counted from 1904, as old Macs did (ECMA-376, 18.2.28)."""
        settings = (one.get("date1904") for one in self._book.iter() if _tag(one) == "workbookPr")
        return any(said in ("1", "true", "on") for said in settings)

    @cached_property
    def formats(self) -> dict[str, Format]:
        """Return the styles whose number format shows more than digits, by the number that cells give."""
        part = self._linked(lambda link: link.get("Type", "").endswith("/styles"))
        if part is None:
            return {}
        tree = self._tree(part)
        told = {
            one.get("numFmtId"): one.get("formatCode", "") for one in tree.iter() if _tag(one) == "numFmt"
        }
        known = {str(number): code for number, code in number_formats.BUILT_IN.items()} | told
        styles = next((list(one) for one in tree.iter() if _tag(one) == "cellXfs"), [])
        codes = [known.get(style.get("numFmtId"), "") for style in styles]
        return {str(at): Format(code) for at, code in enumerate(codes) if number_formats.changes(code)}


@dataclass(frozen=True)
class Sheet:
    """What is to be known of a sheet beside its values.

    `hidden`: numbers of rows that hold cells and are not seen, from 1; `hidden_columns`: first and last of
    such columns, from 0.
    """

    marks: Marks
    hidden: list[int]
    hidden_columns: list[tuple[int, int]]
    since_1904: bool


def read(file: File, name: str) -> Sheet:
    """Return what a reader of values does not say of a sheet."""
    with zipfile.ZipFile(file.seekable()) as archive:
        parts = Parts(archive)
        part, formats = parts.sheet(name), parts.formats
        content = b"" if part is None else archive.read(part)
    hidden = [int(hit[1]) for row in _HIDDEN.finditer(content) if (hit := _NUMBER.search(row[0]))]
    columns = [(int(first) - 1, int(last) - 1) for first, last in _HIDDEN_COLUMNS.findall(content)]
    return Sheet(_found(content, formats), hidden, columns, parts.since_1904)


def _found(content: bytes, formats: dict[str, Format]) -> Marks:
    if re.search(rb"<(?:\w+:)?f[\s>/]|t=[\"']e[\"']", content) or _BARE.search(content):
        return _marks(io.BytesIO(content), formats)
    return _styled(content, formats) if formats else {}


_UNSEEN = rb"(?=[^>]*\s(?:hidden=[\"'](?:1|true|on)|%s=[\"']0(?:\.0+)?)[\"'])"
_HIDDEN = re.compile(rb"<(?:\w+:)?row" + _UNSEEN % b"ht" + rb"[^>]*>\s*<(?:\w+:)?c\b")
_HIDDEN_COLUMNS = re.compile(
    rb"<(?:\w+:)?col(?=\s)(?=[^>]*\smin=[\"'](\d+))(?=[^>]*\smax=[\"'](\d+))" + _UNSEEN % b"width"
)
"""Their first and last number, from 1 (ECMA-376, 18.3.1.13)."""
_NUMBER = re.compile(rb"\sr=[\"'](\d+)[\"']")
_BARE = re.compile(rb"<(?:\w+:)?c(?=[\s>])(?![^>]*\sr=)")
"""A cell that does not say where it stands."""


def _styled(content: bytes, formats: dict[str, Format]) -> Marks:
    """Return the cells of some styles: only these are looked at, which takes a fifth of the time."""
    style = rf"(?=[^>]*\ss=[\"'](?P<style>{'|'.join(formats)})[\"'])"
    number = r"(?![^>]*\st=[\"'](?!n[\"']))"
    place = r"[^>]*\sr=[\"'](?P<column>[A-Z]+)(?P<row>\d+)"
    cell = rf"<(?:\w+:)?c(?=\s){style}{number}{place}"
    found: Marks = {}
    for hit in re.finditer(cell.encode(), content):
        column = _column(hit["column"].decode(), 0)
        found.setdefault(int(hit["row"]), {})[column] = formats[hit["style"].decode()]
    return found


def _tag(element: ET.Element) -> str:
    return element.tag.rpartition("}")[2]


def _marks(stream: IO[bytes], formats: dict[str, Format]) -> Marks:
    found: Marks = {}
    row, column = 0, -1
    for event, element in ET.iterparse(stream, ("start", "end")):  # noqa: S314 - as above
        tag = _tag(element)
        if event == "start" and tag == "row":
            row, column = int(element.get("r", row + 1)), -1
        elif event == "start" and tag == "c":
            column = _column(element.get("r"), column + 1)
        elif event == "end" and tag == "c":
            if (mark := _mark(element, formats)) is not None:
                found.setdefault(row, {})[column] = mark
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


def _mark(cell: ET.Element, formats: dict[str, Format]) -> Mark | None:
    """Return a cell's formula, its error or how its number is shown; None for a plain value."""
    parts = {_tag(part): part.text or "" for part in cell}
    if "f" in parts:
        return f"={parts['f'].removeprefix('=')}"
    if cell.get("t") == "e":
        return parts.get("v")
    return formats.get(cell.get("s", "")) if cell.get("t", "n") == "n" else None

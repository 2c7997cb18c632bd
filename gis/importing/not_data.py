"""What is saved in place of data: a page that wants a sign-in, an error that a server answered with."""

import gzip
import json
import re
import zlib
from pathlib import Path

from gis.errors import BadInput

_LOOKED_AT = 4096
_PAGE = re.compile(rb"\s*(?:<!--.*?-->\s*)*<(?:!doctype\s+html|html|head|body)\b", re.IGNORECASE | re.DOTALL)
_XML_ERROR = re.compile(
    rb"\s*(?:<\?xml.*?\?>\s*)?(?:<!--.*?-->\s*)*<(?:\w+:)?(?:ExceptionReport|ServiceExceptionReport|Error)\b",
    re.DOTALL,
)
"""OGC services (OWS 1.1, WMS 1.3) and storage services answer so."""
_TABLE = re.compile(rb"<table\b", re.IGNORECASE)
_TEXTS = frozenset({".csv", ".tsv", ".txt", ".xlsx", ".parquet", ".shp", ".gpkg"})


_STAND_INS = (
    (
        rb"version https://git-lfs\.github\.com/",
        "is a pointer of Git LFS, no data: git lfs pull fetches it",
    ),
    (
        rb"(?:\.\./)*(?:\.git)?/annex/objects/",
        "is a link of git-annex, no data: git annex get fetches it",
    ),
    (
        rb"(?:export\s+(?:default|const|let|var)\b|(?:(?:var|let|const)\s+)?[\w$.]+\s*[=(]\s*[{\[])",
        "is a script that holds JSON: save what stands between the first { and the last } as .geojson",
    ),
    (
        rb"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",
        "is an old workbook (.xls), or one with a password; save it as xlsx, without a password",
    ),
    (
        rb"(?s:PK\x03\x04.{26}mimetypeapplication/vnd\.oasis\.opendocument\.spreadsheet)",
        "is a sheet of OpenDocument (.ods); save it as xlsx",
    ),
    (rb"\[\s*\{", "is a list of JSON objects: save it as CSV, or as GeoJSON where it has shapes"),
)
"""What begins so is no data, or data in a form that nobody reads, and what to do."""


def check(path: Path) -> None:
    """Raise BadInput for a web page, a server's error, a pointer, a script, JSON under another name."""
    if not path.is_file():
        return
    if not path.stat().st_size:
        raise BadInput("file", f"{path.name} is empty; bring it again")
    begin = _begin(path).removeprefix(b"\xef\xbb\xbf")
    if _PAGE.match(begin):
        raise BadInput("file", f"{path.name} is a web page, {_what_page(path)}")
    if _XML_ERROR.match(begin):
        raise BadInput("file", f"{path.name} is a server's error, no data: {_short(begin)}")
    for sign, told in _STAND_INS:
        if re.match(sign, begin.lstrip()):
            raise BadInput("file", f"{path.name} {told}")
    if begin.lstrip()[:1] == b"{":
        _check_json(path, begin)


def _begin(path: Path) -> bytes:
    """Return the first bytes of a file, of what is in it where it is gzipped."""
    try:
        with gzip.open(path) if path.suffix.lower() == ".gz" else path.open("rb") as stream:
            return stream.read(_LOOKED_AT)
    except (OSError, EOFError, zlib.error):  # no gzip at all: refused as it is opened
        return b""


def _what_page(path: Path) -> str:
    """Return what a page is likely to be: some systems save a table of HTML under a workbook's name."""
    with gzip.open(path) if path.suffix.lower() == ".gz" else path.open("rb") as stream:
        table = any(_TABLE.search(block) for block in iter(lambda: stream.read(1 << 20), b""))
    if table:
        return "not a workbook or a text; open it in a spreadsheet and save it as xlsx"
    return "no data: perhaps one to sign in, or an error; get the file again"


def _check_json(path: Path, begin: bytes) -> None:
    """Raise BadInput for a server's error in JSON, and for JSON that is called something else."""
    answer = _parsed(begin)
    error = answer.get("error") if isinstance(answer, dict) else None
    if error:
        raise BadInput("file", f"{path.name} is a server's error, no data: {_short(begin)}")
    if path.suffix.lower() in _TEXTS and re.match(rb'\{\s*"', begin.lstrip()):
        raise BadInput("file", f"{path.name} is JSON; give it the ending .geojson or .json")


def _parsed(begin: bytes) -> object:
    try:
        found: object = json.loads(begin)
    except (ValueError, RecursionError):
        return None
    return found


def _short(begin: bytes) -> str:
    return " ".join(begin.decode(errors="replace").split())[:200]

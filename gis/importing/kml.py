"""What GDAL leaves out of a KML without a word: what links point to, values of a schema that is not there."""

import io
import re
from collections import defaultdict
from typing import Any
from xml.parsers import expat

from gis.errors import BadInput
from gis.importing.files import File


class _Seen:
    """What one pass over a KML tells: places, links, schemas by their ids, and names of values by schema."""

    def __init__(self, file: File, given: str | bytes) -> None:
        self.places, self.links, self.schemas = 0, 0, set[str]()
        self.names: dict[str, dict[str, None]] = defaultdict(dict)
        self._schema = ""
        parser = expat.ParserCreate("utf-8")
        parser.StartElementHandler = self._start
        with io.BytesIO(given) if isinstance(given, bytes) else file.open() as stream:
            parser.ParseFile(stream)

    def _start(self, name: str, attributes: dict[str, Any]) -> None:
        name = name.rpartition(":")[2]
        self.places += name == "Placemark"
        self.links += name == "NetworkLink"
        if name == "Schema":
            self.schemas |= {attributes.get("id", ""), attributes.get("name", "")}
        elif name == "SchemaData":
            self._schema = attributes.get("schemaUrl", "")
        elif name == "SimpleData":
            self.names[self._schema][attributes.get("name", "")] = None


_NUMBERS = re.compile(
    rb"(<(?:\w+:)?SimpleField\b[^>]*\btype\s*=\s*[\"'])(?:xsd:)?(?:u?int|u?short|float|double)(?=[\"'])"
)


def as_written(file: File, given: str | bytes) -> str | bytes:
    """Return what GDAL is to open with a KML's numbers as the text that they are there.

    It cuts one that its Schema calls `int` off at 2147483647, and zeros in front of any.
    """
    if file.suffix != ".kml":
        return given
    if isinstance(given, bytes):
        whole = given
    else:
        with file.open() as stream:
            whole = stream.read()
    text, many = _NUMBERS.subn(rb"\1string", whole)
    return text if many else given


def left_out(file: File, given: str | bytes) -> tuple[str, ...]:
    """Return what a KML, of which the XML is whole, holds beside what is read.

    `given`: what GDAL opens; bytes are the file itself as UTF-8. Raises BadInput when it holds only links.
    """
    if file.suffix != ".kml":
        return ()
    seen = _Seen(file, given)
    if seen.links and not seen.places:
        raise BadInput(
            "file",
            f"{file.name} holds no places, only {seen.links} links to where they are; "
            "get what a link points to (open it in Google Earth and save it), and import that",
        )
    links = f"holds {seen.links} links to other places, which are not read; get those and import them too"
    lost = [name for url, names in seen.names.items() for name in names if _id(url) not in seen.schemas]
    said = ", ".join(dict.fromkeys(lost))
    schema = f"values {said} are not read: the file has no Schema for them; let its program save it anew"
    return (links,) * bool(seen.links) + (schema,) * bool(lost)


def _id(url: str) -> str:
    return url.removeprefix("#")

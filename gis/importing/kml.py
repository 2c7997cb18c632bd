"""KML rewritten so that GDAL reads every value of a place, as the text that it is.

By itself GDAL drops values that no Schema of the Document declares, and some names (`begin`); it takes the
last of two of one name, cuts numbers off, and turns every sign of a Chinese name into `_`.
"""

import io
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from typing import Any
from xml.sax import expatreader, saxutils, xmlreader

from gis.errors import BadInput
from gis.importing.files import File
from gis.importing.source import plain_name

_BESIDE = frozenset({"address", "phoneNumber"})
"""What a place says by elements of KML that GDAL does not read."""
_NO_PLACES = {
    "GroundOverlay": "pictures on the map", "PhotoOverlay": "photographs", "ScreenOverlay": "pictures",
    "Tour": "tours", "NetworkLinkControl": "changes to other files",
}  # fmt: skip
"""Elements that hold no place of the file: GDAL makes places of some of them, and of none what is in them."""
_TAKEN = _BESIDE | {"Schema", "ExtendedData", *_NO_PLACES}
"""Elements that are not handed on, with all in them."""
_NAMED = frozenset({"Data", "SimpleData"})
_GROUPS = frozenset({"Data", "SchemaData"})
_FIELDS = {"when": "timestamp"}
"""Elements that GDAL makes a column of another name from."""


class Rewritten(saxutils.XMLGenerator):
    """A KML without Schemas, each value of its places being `Data` under a name that GDAL leaves as it is.

    `text`: the file as UTF-8; `places`: how many it holds; `notes`: what it holds beside what is read.
    """

    def __init__(self, file: File, given: str | bytes) -> None:
        """Rewrite a KML of which the XML is whole; `given`: what GDAL opens, bytes are the file as UTF-8.

        Raises BadInput when it holds only links, pictures, tours or changes.
        """
        out = io.BytesIO()
        super().__init__(out, "utf-8")
        self._path: list[str] = []
        self._kept = [True]
        self._prefix, self._name, self._text = "", "", list[str]()
        self._place: list[tuple[str, str]] | None = None
        self.places, self._links, self._left = 0, 0, Counter[str]()
        self._elements, self._lists = set[str](), dict[str, None]()
        self._spelt: dict[str, str] = {}
        self._columns: dict[str, str] = {}
        self._twice: dict[str, list[int]] = defaultdict(list)
        with io.BytesIO(given) if isinstance(given, bytes) else file.open() as stream:
            self._parse(stream)
        if self._links and not self.places:
            raise BadInput(
                "file",
                f"{file.name} holds no places, only {self._links} links to where they are; "
                "get what a link points to (open it in Google Earth and save it), and import that",
            )
        if self._left.total() and not self.places:
            others = ", ".join(f"{count} {local}" for local, count in (+self._left).items())
            raise BadInput(
                "file", f"{file.name} holds no places, only {others}; bring a file with placemarks"
            )
        self.text, self.notes = out.getvalue(), tuple(self._noted())

    def names(self, fields: Sequence[str]) -> dict[str, str]:
        """Return GDAL's columns and what each is called; where a value of places has its name, `… (2)`.

        One of GDAL's own that would hold nothing beside such a value is left out.
        """
        said = {at: name for name, at in self._columns.items()}
        own = {name.casefold() for name in self._columns}
        left = [one for one in fields if one.casefold() not in own or one.casefold() in self._elements]
        return {
            field: said.get(field) or (f"{field} (2)" if field.casefold() in own else field)
            for field in fields
            if field in said or field in left
        }

    def startElement(self, name: str, attrs: Any) -> None:  # noqa: N802 - SAX
        """Hand on what belongs to no value of a place."""
        local = name.rpartition(":")[2]
        if not self._path:
            self._prefix, attrs = name.removesuffix(local), _standard(attrs, name)
        self._left[local] += self._kept[-1] and local in _NO_PLACES
        self._path.append(local)
        self._kept.append(self._kept[-1] and local not in _TAKEN)
        self._text = []
        if local == "Placemark" and self._kept[-1]:
            self._place, self.places = [], self.places + 1
            self._elements |= {one.casefold() for one in attrs.getNames()}
        if self._kept[-1]:
            self._links += local == "NetworkLink"
            if self._place is not None:
                self._elements.add(_FIELDS.get(local, local).casefold())
            super().startElement(self._plain(name), attrs)
        elif local in _NAMED:
            self._name = attrs.get("name", "")
        elif local == "SimpleArrayData":
            self._lists[attrs.get("name", "")] = None

    def characters(self, content: str) -> None:
        """Keep the text of a value."""
        if self._kept[-1]:
            super().characters(content)
        else:
            self._text.append(content)

    def endElement(self, name: str) -> None:  # noqa: N802 - SAX
        """Note a value; write those of a place at its end."""
        local = self._path[-1]
        if self._place is not None and self._is_value():
            named = self._name if local in _NAMED | {"value"} else local
            self._place.append((plain_name(named) or "unnamed", "".join(self._text)))
        if local == "Placemark" and self._place is not None:
            self._extend(self._told_apart(self._place))
            self._place = None
        if self._kept[-1]:
            super().endElement(self._plain(name))
        self._path.pop()
        self._kept.pop()
        self._text = []

    def _parse(self, stream: Any) -> None:
        parser, source = expatreader.create_parser(), xmlreader.InputSource()  # noqa: S315 - expat bounds entities, sax opens none
        source.setByteStream(stream)
        source.setEncoding("utf-8")
        parser.setContentHandler(self)
        parser.parse(source)

    def _plain(self, name: str) -> str:
        """Return an element's name without the prefix that the first has: GDAL knows KML's names only so."""
        return name.removeprefix(self._prefix)

    def _is_value(self) -> bool:
        parent, local = self._path[-2:]
        if local == "Data":  # its value stands in an element of its own, but not in every file
            return bool("".join(self._text).strip())
        by_parent = {"Data": local == "value", "ExtendedData": local not in _GROUPS}
        return local == "SimpleData" or by_parent.get(parent, local in _BESIDE)

    def _told_apart(self, values: list[tuple[str, str]]) -> dict[str, str]:
        """Return values by column: another one of the same name stands in a column of its own."""
        found: dict[str, str] = {}
        for name, text in values:
            first = self._spelt.setdefault(name.casefold(), name)
            column, at = first, 1
            while column in found and found[column] != text:
                at += 1
                column = f"{first} ({at})"
            found[column] = text
            if at > 1:
                self._twice[column].append(self.places)
        return found

    def _extend(self, values: dict[str, str]) -> None:
        super().startElement("ExtendedData", _attributes())
        for column, text in values.items():
            at = self._columns.setdefault(column, f"v{len(self._columns)}")
            super().startElement("Data", _attributes(name=at))
            super().startElement("value", _attributes())
            super().characters(text)
            super().endElement("value")
            super().endElement("Data")
        super().endElement("ExtendedData")

    def _noted(self) -> Iterator[str]:
        if self._links:
            left = f"holds {self._links} links to other places, which are not read"
            yield f"{left}; get those and import them too"
        for local, count in (+self._left).items():
            yield f"holds {count} {local} ({_NO_PLACES[local]}), which are no places and are not read"
        if self._lists:
            yield f"lists {', '.join(self._lists)} of points of a track are not read"
        for column, places in self._twice.items():
            first = ", ".join(map(str, places[:5])) + " …" * (len(places) > 5)
            yield (
                f"{len(places)} places (number {first}) have another value of one name: it stands in column "
                f"{column!r}; see which of the two is right"
            )
        both = sorted(name for name in self._columns if name.casefold() in self._elements)
        if both:
            yield (
                f"has {', '.join(both)} as an element of KML and as a value of places: the value has the "
                "name, the element's is '… (2)'"
            )


def _standard(attrs: Any, name: str) -> "xmlreader.AttributesImpl[str]":
    """Return the attributes of the first element in the one namespace in which GDAL reads all of a KML."""
    own = f"xmlns:{name.rpartition(':')[0]}"
    kept = {one: text for one, text in attrs.items() if one != own}
    return _attributes(**(kept | {"xmlns": "http://www.opengis.net/kml/2.2"}))


def _attributes(**values: str) -> "xmlreader.AttributesImpl[str]":
    return xmlreader.AttributesImpl(values)

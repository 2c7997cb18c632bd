"""What a KML says of a place is read, whatever its Schema says; what the file says twice is told."""

import re
from pathlib import Path
from typing import Any

import pytest

from gis.errors import BadInput
from gis.importing import reading
from gis.importing.source import ReadOptions

HEAD = '<?xml version="1.0" encoding="UTF-8"?><kml xmlns="http://www.opengis.net/kml/2.2">'


def place(values: str, before: str = "") -> str:
    point = "<Point><coordinates>113,27</coordinates></Point>"
    return f"<Placemark>{before}<ExtendedData>{values}</ExtendedData>{point}</Placemark>"


def data(**values: str) -> str:
    return "".join(f'<Data name="{name}"><value>{text}</value></Data>' for name, text in values.items())


def simple(url: str | None = "#s", **values: str) -> str:
    inside = "".join(f'<SimpleData name="{name}">{text}</SimpleData>' for name, text in values.items())
    return f"<SchemaData{f' schemaUrl={url!r}' if url else ''}>{inside}</SchemaData>"


def schema(*names: str, of: str = "s", kind: str = "string") -> str:
    fields = "".join(f'<SimpleField type="{kind}" name="{name}"/>' for name in names)
    return f'<Schema name="{of}" id="{of}">{fields}</Schema>'


def source(folder: Path, text: str, layer: str | None = None) -> reading.Source:
    (folder / "a.kml").write_text(f"{HEAD}{text}</kml>")
    return reading.read(folder / "a.kml", ReadOptions(layer=layer))


def rows(folder: Path, text: str, layer: str | None = None) -> list[dict[str, Any]]:
    """Return what the file's places say by values, without GDAL's own columns that are empty."""
    found = [row for chunk in source(folder, text, layer).chunks() for row in chunk.table.to_pylist()]
    return [{name: one for name, one in row.items() if isinstance(one, str)} for row in found]


BOTH = {"code": "007", "kind": "a & <b>"}
WRITTEN = {"code": "007", "kind": "a &amp; <![CDATA[<b>]]>"}
SCHEMAS = {
    "declared": schema("code", "kind") + place(simple(**WRITTEN)),
    "one field is not declared": schema("code") + place(simple(**WRITTEN)),
    "schema in a folder": f"<Folder>{schema('code', 'kind')}{place(simple(**WRITTEN))}</Folder>",
    "schema of another file": place(simple("other.kml#s", **WRITTEN)),
    "schema that is not there": schema("code", "kind", of="t") + place(simple("#s", **WRITTEN)),
    "no schema named": place(simple(None, **WRITTEN)),
    "several schemas": schema("code", of="s") + schema("kind", of="t")
    + place(simple("#s", code=WRITTEN["code"]) + simple("#t", kind=WRITTEN["kind"])),
    "numbers": schema("code", "kind", kind="int") + place(simple(**WRITTEN)),
    "truths": schema("code", "kind", kind="bool") + place(simple(**WRITTEN)),
    "bare": place('<SimpleData name="code">007</SimpleData>' + data(kind=WRITTEN["kind"])),
    "without value": place(f'<Data name="code">007</Data><Data name="kind">{WRITTEN["kind"]}</Data>'),
    "shown otherwise": place(data(**WRITTEN).replace("<value>", "<displayName>D</displayName><value>")),
    "elements of one's own": place(
        f'<x:code>007</x:code><x:kind xmlns:x="urn:x">{WRITTEN["kind"]}</x:kind>'
    ).replace("<Placemark>", '<Placemark xmlns:x="urn:x">'),
}  # fmt: skip


@pytest.mark.parametrize("how", SCHEMAS)
def test_values_are_read_whatever_the_schema_says(tmp_path: Path, how: str) -> None:
    text = f"<Document>{SCHEMAS[how]}</Document>"
    assert rows(tmp_path, text) == [BOTH]
    assert source(tmp_path, text).notes == ()


@pytest.mark.parametrize("how", SCHEMAS)
def test_elements_may_have_a_prefix(tmp_path: Path, how: str) -> None:
    text = re.sub(r"<(/?)(?!b>)(\w+)(?=[ >])", r"<\1k:\2", f"<Document>{SCHEMAS[how]}</Document>")
    (tmp_path / "a.kml").write_text(f'<k:kml xmlns:k="http://www.opengis.net/kml/2.2">{text}</k:kml>')
    (chunk,) = reading.read(tmp_path / "a.kml").chunks()
    assert [{name: row[name] for name in BOTH} for row in chunk.table.to_pylist()] == [BOTH]


ROOTS = ("", ' xmlns="http://earth.google.com/kml/2.0"', ' xmlns="http://earth.google.com/kml/2.1"')


@pytest.mark.parametrize("root", ROOTS)
def test_values_are_read_in_every_version_of_kml(tmp_path: Path, root: str) -> None:
    """GDAL hands those without a namespace to a driver that reads names and shapes alone."""
    (tmp_path / "a.kml").write_text(f"<kml{root}><Document>{place(data(**WRITTEN))}</Document></kml>")
    (chunk,) = reading.read(tmp_path / "a.kml").chunks()
    assert [{name: row[name] for name in BOTH} for row in chunk.table.to_pylist()] == [BOTH]


@pytest.mark.parametrize("strange", ["<gx:balloonVisibility>1</gx:balloonVisibility>", "<x:y/>", "<x/>"])
def test_elements_that_are_not_known_do_not_matter(tmp_path: Path, strange: str) -> None:
    assert rows(tmp_path, f"<Document>{place(data(**WRITTEN), strange)}</Document>") == [BOTH]


PASSED_OVER = {
    "places at the top": "{0}{0}",
    "documents at the top": "<Document>{0}</Document><Document>{0}</Document>",
    "an element that is not known": "<Document>{0}<x>{0}</x></Document>",
}


@pytest.mark.parametrize("how", PASSED_OVER)
def test_places_that_gdal_passes_over_are_said(tmp_path: Path, how: str) -> None:
    with pytest.raises(BadInput, match="holds 2 places, 1 can be read"):
        source(tmp_path, PASSED_OVER[how].format(place(data(code="7"))))


NAMES = ("名称", "地址", "a b", "x:y", "begin", "end", "timestamp", "tessellate", "icon", "id", "v1")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("how", [data, simple])
def test_a_value_has_the_name_that_the_file_says(tmp_path: Path, name: str, how: Any) -> None:
    """GDAL takes the first four for one, and drops or overwrites what has the name of a column of its own."""
    values = {"编号": "7", name: "2026-01-02", "电话": "110"}
    text = f"<Document>{place(how(**values))}{place(how(**values))}</Document>"
    assert rows(tmp_path, text) == [values] * 2
    assert source(tmp_path, text).notes == ()


def test_an_element_of_kml_stands_beside_a_value_of_its_name(tmp_path: Path) -> None:
    text = f"<Document>{place(data(name='B'), '<name>A</name>')}</Document>"
    assert rows(tmp_path, text) == [{"name": "B", "Name (2)": "A"}]
    (note,) = source(tmp_path, text).notes
    assert note.startswith("has name as an element of KML and as a value")


@pytest.mark.parametrize("name", ["address", "phoneNumber"])
def test_what_gdal_leaves_out_of_a_place_is_read(tmp_path: Path, name: str) -> None:
    text = f"<Document>{place(data(code='7'), f'<{name}>A &amp; B</{name}>')}</Document>"
    assert rows(tmp_path, text) == [{"code": "7", name: "A & B"}]


TWICE = {
    "data": data(address="A", q="1") + data(address="B"),
    "another case": data(address="A", q="1", Address="B"),
    "simple": simple(address="A", q="1") + simple(address="B"),
    "both": data(address="A", q="1") + simple(ADDRESS="B"),
}


@pytest.mark.parametrize("how", TWICE)
def test_two_values_of_one_name_both_come_in_and_are_said(tmp_path: Path, how: str) -> None:
    text = f"<Document>{place(data(Address='C'))}{place(TWICE[how])}{place(data(address='D'))}</Document>"
    assert [{n: v for n, v in row.items() if v} for row in rows(tmp_path, text)] == [
        {"Address": "C"}, {"Address": "A", "q": "1", "Address (2)": "B"}, {"Address": "D"},
    ]  # fmt: skip
    (note,) = source(tmp_path, text).notes
    assert note.startswith("1 places (number 2) have another value of one name: it stands in column 'Addr")
    same = text.replace(">B<", ">A<")
    assert source(tmp_path, same).notes == (), "the same value twice is one"


def test_lists_of_a_track_are_said(tmp_path: Path) -> None:
    values = "<gx:value>7</gx:value><gx:value>8</gx:value>"
    array = f'<SchemaData><gx:SimpleArrayData name="speed">{values}</gx:SimpleArrayData></SchemaData>'
    text = f'<Document xmlns:gx="http://www.google.com/kml/ext/2.2">{place(array)}</Document>'
    assert source(tmp_path, text).notes == ("lists speed of points of a track are not read",)


def test_a_layer_without_a_name_has_the_name_of_its_file(tmp_path: Path) -> None:
    text = f"<Document>{place(data(b='1'))}<Folder><name>F</name>{place(data(c='2'))}</Folder></Document>"
    with pytest.raises(BadInput, match="has several; choose one with --layer: a, F"):
        source(tmp_path, text)
    assert rows(tmp_path, text, "a") == [{"b": "1"}]
    assert rows(tmp_path, text, "F") == [{"c": "2"}]


POINT = "<Point><coordinates>114,28</coordinates></Point>"
CHANGES = (
    '<Change><Placemark targetId="p"><name>changed</name></Placemark></Change>'
    f'<Create><Document targetId="d"><Placemark><name>new</name>{POINT}</Placemark></Document></Create>'
)
UPDATE = f"<Update><targetHref>a.kml</targetHref>{CHANGES}</Update>"
BOX = "<LatLonBox><north>28</north><south>27</south><east>114</east><west>113</west></LatLonBox>"
ICON = "<Icon><href>a.png</href></Icon>"
NO_PLACES = {
    "GroundOverlay": f"<GroundOverlay><name>plan</name>{ICON}{BOX}</GroundOverlay>",
    "PhotoOverlay": f"<PhotoOverlay><name>view</name>{ICON}{POINT}</PhotoOverlay>",
    "ScreenOverlay": f"<ScreenOverlay><name>logo</name>{ICON}</ScreenOverlay>",
    "Tour": f'<gx:Tour xmlns:gx="http://www.google.com/kml/ext/2.2"><name>t</name><gx:Playlist>'
    f"<gx:AnimatedUpdate>{UPDATE}</gx:AnimatedUpdate></gx:Playlist></gx:Tour>",
}  # fmt: skip
LAYOUTS = {
    "before": "<Document>{0}{1}</Document>", "behind": "<Document>{1}{0}</Document>",
    "in a folder of its own": "<Document><Folder>{0}</Folder>{1}</Document>",
    "among": "<Document><Folder>{0}{1}{0}</Folder></Document>",
    "with values": "<Document>{0}{1}</Document>",
}  # fmt: skip


@pytest.mark.parametrize("what", NO_PLACES)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_what_is_no_place_stands_beside_places(tmp_path: Path, what: str, layout: str) -> None:
    other = NO_PLACES[what]
    if layout == "with values":
        other = other.replace("<name>", f"<ExtendedData>{data(code='8', more='x')}</ExtendedData><name>", 1)
    text = LAYOUTS[layout].format(other, place(data(code="7")))
    assert rows(tmp_path, text) == [{"code": "7"}]
    count = 2 if layout == "among" else 1
    (note,) = source(tmp_path, text).notes
    assert note.startswith(f"holds {count} {what} (")
    assert note.endswith("are no places and are not read")


@pytest.mark.parametrize("places", ["{0}", "<Document>{0}{0}</Document>"])
def test_changes_to_other_files_stand_beside_places(tmp_path: Path, places: str) -> None:
    text = f"<NetworkLinkControl>{UPDATE}</NetworkLinkControl>{places.format(place(data(code='7')))}"
    assert rows(tmp_path, text) == [{"code": "7"}] * places.count("{0}")
    assert "NetworkLinkControl (changes to other files)" in source(tmp_path, text).notes[0]


@pytest.mark.parametrize("what", NO_PLACES)
def test_a_file_without_places_says_what_it_holds(tmp_path: Path, what: str) -> None:
    with pytest.raises(BadInput, match=f"holds no places, only 1 {what}; bring a file with placemarks"):
        source(tmp_path, f"<Document>{NO_PLACES[what]}</Document>")

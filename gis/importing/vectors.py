"""Files that GDAL reads: their layers, their texts in the right encoding, their shapes without curves."""

import re
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import pyarrow as pa
import pyogrio
import shapely

from gis.errors import BadInput
from gis.importing import (
    columns,
    curves,
    feature_ids,
    json_texts,
    json_values,
    kml,
    shapefiles,
    textfiles,
    wholeness,
)
from gis.importing.encodings import Declared
from gis.importing.files import File
from gis.importing.sheets import declared
from gis.importing.source import CHUNK, Geoms, Ints, ReadOptions, Source, digest, numbered

_TEXTS = json_texts.SUFFIXES | {".kml", ".gml", ".gpx"}
_XML = re.compile(rb"""<\?xml[^>]*?\sencoding\s*=\s*["']([\w.:-]+)["']""")
_PASSING = re.compile(r"^pyogrio_[0-9a-f]{32}$")
"""GDAL's name of a layer without one, of a file that is handed to it from memory (zips.PLAIN too)."""
_TIMES_GUESSED = frozenset({"GeoJSON"})
_COUNTED = frozenset({"GeoJSON", "GeoJSONSeq"})
"""Drivers that pass over features without a word, so that we count them ourselves."""
_AS_WRITTEN = {"DATE_AS_STRING": "YES"}
"""For drivers that take texts for times where they look like some, by a grammar of their own."""

# The driver's own way to Arrow gives corrupt offsets behind a feature without geometry (GDAL 3.12).
pyogrio.set_gdal_config_options({"OGR_FLATGEOBUF_STREAM_BASE_IMPL": True})


@dataclass(frozen=True)
class _Layer:
    """One layer as GDAL is to open it.

    `given`: GDAL's name of the file, or the file itself as UTF-8; `at`: the place of the layer; `encoding` of
    its texts, `raw` for GDAL; `ids`: the column in which features' own numbers are kept, None without any;
    `told`: its driver's options; `numbers`: ids of GeoJSON's features;
    `misread`: numbers that GDAL would misread, by column, as written; `names`:
    the columns to read of a KML, and what they are called.
    """

    given: str | bytes
    at: int
    encoding: str
    raw: str | None
    ids: str | None
    told: dict[str, str]
    numbers: Ints | None = None
    misread: Mapping[int, shapefiles.Texts] = field(default_factory=dict)
    names: Mapping[str, str] | None = None

    def open(self) -> Any:
        """Open it; times as texts: a typed column has one zone, that of some rows, for all."""
        return pyogrio.raw.open_arrow(
            self.given, layer=self.at, encoding=self.raw, batch_size=CHUNK, return_fids=True,
            use_pyarrow=True, datetime_as_string=True, columns=self.names and list(self.names), **self.told,
        )  # fmt: skip

    def name(self, given: str) -> str:
        """Return the name of a column as it is meant."""
        if self.names:
            return self.names[given]
        return columns.read(given.encode(self.raw), self.encoding) if self.raw else given


def open_vector(file: File, options: ReadOptions) -> Source:
    """Return one layer of a file that GDAL reads; of several layers one must be named.

    Raises BadInput when the layer or the encoding is not known, or features share an id.
    """
    given, notes = _given(file, declared(options))
    raw = shapefiles.RAW if file.suffix == ".shp" else None
    if raw:
        shapefiles.check_whole(file)
    wholeness.check(file, given)
    look = json_texts.look(file, given) if file.suffix in json_texts.SUFFIXES else json_texts.Look(given)
    given = look.given
    places = kml.Rewritten(file, given) if file.suffix == ".kml" else None
    if places:
        given, notes = places.text, notes + places.notes
        _check_places(file, places)
    at = _chosen(given, file, options.layer)
    encoding = shapefiles.encoding(file, at, declared(options)) if raw else "utf-8"
    info = pyogrio.read_info(given, layer=at, encoding=raw)
    if not options.crs:
        json_values.check_system(file, look.system, info["crs"])
    numbers = feature_ids.numbers(file, look.ids, info)
    ids = info["fid_column"] or ("id" if numbers is not None else "")
    told = _AS_WRITTEN if info["driver"] in _TIMES_GUESSED else {}
    layer = _Layer(given, at, encoding, raw, None if ids in info["fields"] else ids or None, told, numbers)
    if raw:
        layer = replace(layer, misread=shapefiles.misread(file))
    if places:
        layer = replace(layer, names=places.names(info["fields"]))
    promised = look.count if info["driver"] in _COUNTED else wholeness.promised(file, info)
    named = tuple(layer.name(name) for name in layer.names or info["fields"])
    if raw and encoding != "utf-8" and not options.encoding:
        notes = (f"its table is read as {encoding}",)
    return Source(
        name=file.name,
        sha256=digest(file.path),
        columns=named if layer.ids is None else (layer.ids, *named),
        chunks=lambda: numbered(_tables(file, layer, promised)),
        has_geometry=info["geometry_type"] is not None,
        crs=options.crs or info["crs"],
        total=info["features"] if info["features"] >= 0 else None,
        notes=tuple(chain(notes, wholeness.parts(file, info["features"]), _without_crs(file, info, options))),
    )


def _given(file: File, said: Declared | None) -> tuple[str | bytes, tuple[str, ...]]:
    """Return what GDAL is to open: a text that is no clean UTF-8 is made one; and what is told of it."""
    if file.suffix not in _TEXTS:
        return file.gdal, ()
    with file.open() as stream:
        prolog = _XML.search(stream.read(1000))
    if prolog is not None and said is None:
        said = Declared(prolog[1].decode(), "its first line")
    text = textfiles.examine(file, said)
    if text.clean:
        known = file.gdal
        return known if isinstance(known, str) else file.content(), ()
    with textfiles.utf8(file, text) as stream:
        content = b"".join(iter(lambda: stream.read(textfiles.BLOCK), b""))
    return _XML.sub(b'<?xml version="1.0" encoding="UTF-8"', content, count=1), text.notes


def _chosen(given: str | bytes, file: File, layer: str | None) -> int:
    stem = PurePosixPath(file.name).stem
    layers = [_PASSING.sub(lambda _: stem, str(name)) for name, _ in pyogrio.list_layers(given)]
    if not layers:
        raise BadInput("file", f"{file.name} has no layer; it holds nothing to import")
    named = ", ".join(f"{file.prefix}{one}" for one in layers)
    if layer is None and file.suffix == ".kml":  # a folder of what is left out is a layer of nothing
        filled = [at for at in range(len(layers)) if pyogrio.read_info(given, layer=at)["features"]]
        if len(filled) == 1:
            return filled[0]
    if layer is None and len(layers) > 1:
        raise BadInput("layer", f"{file.name} has several; choose one with --layer: {named}")
    if layer is not None and layer not in layers:
        raise BadInput("layer", f"{file.name} has no {layer!r}; it has {named}")
    return 0 if layer is None else layers.index(layer)


def _check_places(file: File, kml_of: kml.Rewritten) -> None:
    """Raise BadInput where GDAL passes over places, or its other driver takes the file.

    It takes one Document or place at the top; the other driver drops all values.
    """
    layers = pyogrio.list_layers(kml_of.text)
    told = [pyogrio.read_info(kml_of.text, layer=at) for at in range(len(layers))]
    read = sum(one["features"] for one in told if one["driver"] == "LIBKML")
    if read != kml_of.places:
        problem = f"{file.name} holds {kml_of.places} places, {read} can be read"
        raise BadInput("file", f"{problem}: it is no regular KML; open it in Google Earth and save it anew")


def _without_crs(file: File, info: dict[str, Any], options: ReadOptions) -> list[str]:
    if options.crs or info["crs"] or info["geometry_type"] is None:
        return []
    beside = ""
    if file.suffix == ".shp":
        if file.beside(".prj"):
            raise BadInput(
                "crs", f"the .prj beside {file.name} cannot be read; say the system with --crs EPSG:…"
            )
        beside = " (no .prj beside it)"
    return [f"says no coordinate system{beside}, so coordinates are taken for degrees; say it with --crs"]


def _tables(file: File, layer: _Layer, promised: int | None) -> Iterator[tuple[pa.Table, Geoms | None]]:
    """Yield a layer's rows. Raises BadInput at its end when there were not as many as promised."""
    read = 0
    with layer.open() as (meta, reader):
        shape = (meta["geometry_name"] or "wkb_geometry") if meta["geometry_type"] else None
        batches = iter(reader)
        while (batch := _next(batches)) is not None:
            read += batch.num_rows
            yield _apart(layer, pa.Table.from_batches([batch]), shape)
    wholeness.refuse_short(file, promised, read)


def _next(batches: Iterator[pa.RecordBatch]) -> pa.RecordBatch | None:
    """Return the next rows. Raises BadInput where GDAL has given one of them another id than its own."""
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        batch = next(batches, None)
    if any("Altering it to be unique" in str(one.message) for one in told):
        raise BadInput("id", "several features have one id, or some none; give each its own")
    return batch


def _apart(layer: _Layer, table: pa.Table, shape: str | None) -> tuple[pa.Table, Geoms | None]:
    """Split a table into its readable columns and its shapes."""
    fids, wkb = table.column(0), None if shape is None else table[shape].to_numpy()
    plain = table.remove_column(0)
    plain = plain.drop_columns([shape]) if shape else plain
    for at, texts in layer.misread.items():
        plain = plain.set_column(at, plain.column_names[at], pa.array(texts[fids.to_numpy()], pa.string()))
    plain = plain.rename_columns([layer.name(name) for name in plain.column_names])
    plain = columns.from_latin1(plain, layer.encoding) if layer.raw else columns.readable(plain)
    if layer.ids:
        known = layer.numbers
        plain = plain.add_column(0, layer.ids, fids if known is None else feature_ids.said(fids, known))
    return plain, None if wkb is None else shapes(wkb)


def shapes(wkb: Geoms) -> Geoms:
    """Return shapes from WKB, arcs as chords; what is no shape (broken bytes, a TIN) becomes None."""
    if any(isinstance(one, bytes) and curves.is_curved_wkb(one) for one in wkb):
        return np.array([*map(_shape, wkb), None], dtype=object)[:-1]
    try:
        return np.asarray(shapely.from_wkb(wkb, on_invalid="ignore"), dtype=object)
    except (NotImplementedError, shapely.errors.ShapelyError, TypeError):
        return np.array([*map(_shape, wkb), None], dtype=object)[:-1]


def _shape(wkb: Any) -> Any:
    try:
        if isinstance(wkb, bytes) and curves.is_curved_wkb(wkb):
            return curves.straightened(curves.wkt_of(wkb))
        return shapely.from_wkb(wkb, on_invalid="ignore")
    except (NotImplementedError, shapely.errors.ShapelyError, TypeError, ValueError):
        return None

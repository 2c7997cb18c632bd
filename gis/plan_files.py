"""Plans as files: a draft taken along to other tools, and a map drawn elsewhere brought in as a step."""

import re
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import pyarrow as pa
import shapely
from shapely.geometry.base import BaseGeometry

from gis import coverage, faults, redraw
from gis.case import Fault
from gis.coverage import Geoms
from gis.crs import to_degrees
from gis.errors import BadInput
from gis.importing import codes, natures, sandbox
from gis.importing.parsing import LONGEST_ID
from gis.importing.shapes import unwrapped
from gis.importing.source import Chunk, ReadOptions, Source, one_array
from gis.plan_outlines import bent_shape
from gis.plan_outside import new_overlaps
from gis.publishing_proof import as_written
from gis.settle import Coverage, is_grid, same_shape

FORMATS = {"gpkg": "GPKG", "geojson": "GeoJSON", "shp.zip": "ESRI Shapefile"}
"""Suffixes of files and the drivers that write them."""
DBF_BYTES = 254
"""A text of a Shapefile's table is cut off beyond this."""
LAYER = "grids"
"""The layer of the lowest grids, which comes back in; a GeoPackage has those above in `upper` beside it."""


@dataclass(frozen=True)
class Brought:
    """What a file says of a draft: the step that takes it over, or the errors that forbid it."""

    step: dict[str, Any] | None
    faults: list[Fault]
    notes: list[str] = field(default_factory=list)


def frames(
    cov: Coverage, changes: Mapping[str, str | None], base: Coverage | None = None
) -> tuple[gpd.GeoDataFrame, gpd.GeoDataFrame]:
    """The lowest grids and those above, EPSG:4326: code, name, level, parent, kind, change (new, changed).

    Those above have the polygons that would be written of them onto `base`, by itself the draft's own.
    """
    table = cov.frame().rename(columns={"parent_code": "parent"}).drop(columns="display_order")
    for code in sorted(cov.outlines.keys() & cov.grids.keys()):
        shape = as_written(base or cov, cov, code, cov.outlines[code])
        table.loc[table["code"] == code, "geometry"] = coverage.to_degrees(shape)
    table["change"] = [changes.get(code) for code in table["code"]]
    lowest = table["code"].isin(list(cov.shapes))
    return table[lowest].reset_index(drop=True), table[~lowest].reset_index(drop=True)


def write(cov: Coverage, changes: Mapping[str, str | None], form: str, base: Coverage | None = None) -> bytes:
    """A draft on a base as a file of one of FORMATS; a Shapefile is a zip archive with names in UTF-8."""
    if form not in FORMATS:
        raise BadInput("format", f"{form!r} is none of {', '.join(FORMATS)}")
    lowest, upper = frames(cov, changes, base)
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        if form == "shp.zip":
            _refuse_long(lowest)
            (folder / LAYER).mkdir()
            lowest.to_file(folder / LAYER / f"{LAYER}.shp", driver=FORMATS[form], encoding="UTF-8")
            return Path(shutil.make_archive(str(folder / "plan"), "zip", folder / LAYER)).read_bytes()
        path = folder / f"plan.{form}"
        # Of GeoJSON no precision: asked for 7 digits, GDAL takes 113.1999993 for 113.2 badly rounded.
        lowest.to_file(path, driver=FORMATS[form], layer=LAYER)
        if form == "gpkg" and len(upper):
            upper.to_file(path, driver=FORMATS[form], layer="upper", mode="a")
        return path.read_bytes()


def _refuse_long(table: gpd.GeoDataFrame) -> None:
    """Raise BadInput for a text that a Shapefile would cut off."""
    for name in ("code", "name", "parent"):
        for code, text in zip(table["code"], table[name].fillna(""), strict=True):
            if len(text.encode()) > DBF_BYTES:
                raise BadInput(
                    "format",
                    f"the {name} of {code} is longer than the {DBF_BYTES} bytes that a Shapefile holds; "
                    "take gpkg or geojson",
                )


_AS_IT_SAYS = ReadOptions()


def _source(path: Path, reading: ReadOptions) -> Source:
    """The layer `grids` of a GeoPackage where it has one and no other is asked for, else its only one."""
    if path.suffix.lower() == ".gpkg" and reading.layer is None:
        try:
            return sandbox.read(path, replace(reading, layer=LAYER))
        except BadInput as error:
            if error.field != "layer":
                raise
    return sandbox.read(path, reading)


def read(path: Path, reading: ReadOptions = _AS_IT_SAYS) -> gpd.GeoDataFrame:
    """The grids of a file (EPSG:4326) with code, and parent and name where it has them.

    Read in a process of its own, as all foreign files are. Raises BadInput for what is no such file.
    """
    source = _source(path, reading)
    if not source.has_geometry or "code" not in source.columns:
        raise BadInput("file", "it needs polygons and a column `code`; export the draft and draw on that")
    chunks = [chunk for chunk in source.chunks() if len(chunk)]
    if not chunks:
        raise BadInput("file", "it holds no grids; export the draft and draw on that")
    shapes = np.concatenate([np.asarray(c.geometry, dtype=object) for c in chunks])
    if source.crs is not None:
        shapes = to_degrees(shapes, source.crs)
    _check_shapes(shapes)
    wanted = [name for name in ("code", "parent", "name") if name in source.columns]
    texts = {name: [text for chunk in chunks for text in _texts(chunk, name)] for name in wanted}
    frame = gpd.GeoDataFrame(texts, geometry=coverage.as_geoms(shapes), crs=4326, dtype=object)
    for name in wanted:
        long = [len(text) > LONGEST_ID or codes.strange(text) for text in texts[name]]
        _refuse(long, name, "has a control sign, or is too long")
    _check_codes(texts["code"])
    return frame


def _texts(chunk: Chunk, name: str) -> list[str]:
    """A column's texts, empty where it has none; codes as they are seen, as the importer keeps them."""
    values = one_array(chunk.table[name])
    unfit, why = natures.of_codes(values)
    _refuse(unfit, name, why)
    if pa.types.is_nested(values.type):
        return [""] * len(values)  # of which none holds anything
    tidy = str.strip if name == "name" else codes.identified
    return [tidy(text or "") for text in codes.written(values).to_pylist()]


def _check_codes(given: list[str]) -> None:
    _refuse([not code for code in given], "code", "has none; give each grid its code")
    _refuse([re.match(codes.LOST, code) for code in given], "code", codes.TOLD)
    _refuse(pd.Series(given).duplicated(), "code", "has that of an earlier row; give each grid its own")


def _check_shapes(shapes: Geoms) -> None:
    """Raise BadInput naming the first row whose shape is none, empty, or no place on Earth."""
    _refuse(shapely.is_missing(shapes) | shapely.is_empty(shapes), "geometry", "has none; draw it")
    west, south, east, north = shapely.bounds(shapes).T
    good = (west >= -180) & (east <= 180) & (south >= -90) & (north <= 90)
    _refuse(~good, "geometry", "lies beyond 180 or 90 degrees; say the file's coordinate system in it")


def _refuse(bad: Any, field: str, reason: str) -> None:
    rows = np.flatnonzero([bool(one) for one in bad])
    if len(rows):
        raise BadInput(field, f"row {rows[0] + 1} {reason}")


def bring(cov: Coverage, drawn: gpd.GeoDataFrame) -> Brought:
    """Compare a file's lowest grids with a draft: the step `adopt`, or the errors that the draft has not.

    No format of plan files has formulas: a text that begins like one is a text, as in `rename`.
    Coordinates are put on the fixed precision and neighbours together; grids that then are what they were
    are left out.
    """
    whole, lost = coverage.on_precision(drawn.geometry.to_numpy())
    _refuse(
        shapely.is_missing(whole), "geometry", "collapses: it is narrower than 1e-7 degree; draw it again"
    )
    snapped, told = coverage.snap(whole)
    _refuse(shapely.is_empty(snapped), "geometry", "folds flat against its neighbours; draw it again")
    shapes, outer = _together(coverage.to_units(unwrapped(snapped)), cov)
    found = _errors(list(drawn["code"]), shapes, outer)
    known = {_mark(fault) for fault in _errors(*_own(cov))} if found else set()
    new = [fault for fault in found if _mark(fault) not in known]
    notes = [f"largest move by rounding: {told.max_displacement_m:.3f} m"]
    notes += [
        f"{drawn['code'].iloc[at]}: {lost[at]} parts or holes narrower than 1e-7 degree are left out"
        for at in np.flatnonzero(lost).tolist()
    ]
    if new:
        return Brought(None, new, notes)
    step = _step(cov, drawn, shapes)
    taken = new_overlaps(cov, redraw.apply(cov, step)) if step and cov.outside else []
    return Brought(None if taken else step, taken, notes)


def _together(units: Geoms, cov: Coverage) -> tuple[Geoms, BaseGeometry]:
    """Grids and the ground of a draft with each other's vertices."""
    matched = coverage.match(np.append(units, [cov.outline()]))
    return matched[:-1], matched[-1]


def _own(cov: Coverage) -> tuple[list[str], Geoms, BaseGeometry]:
    codes = [code for code in cov.shapes if is_grid(code)]
    return codes, np.array([cov.shape(code) for code in codes], dtype=object), cov.outline()


def _errors(codes: list[str], units: Geoms, outer: BaseGeometry) -> list[Fault]:
    frame = gpd.GeoDataFrame({"code": codes}, geometry=coverage.to_degrees(units), crs=4326)
    return [f for f in faults.check(frame, coverage.to_degrees(outer), advice=False) if f.severity == "error"]


def _mark(fault: Fault) -> tuple[str, bytes]:
    return fault.kind, bytes(shapely.to_wkb(shapely.normalize(fault.geometry)))


def _step(cov: Coverage, drawn: gpd.GeoDataFrame, shapes: Geoms) -> dict[str, Any] | None:
    """The step that makes a draft what the file shows; None where it is that already."""
    there = dict(zip(drawn["code"], shapely.normalize(shapes), strict=True))
    given = drawn.set_index("code")
    grids, real = [], False
    for code, shape in there.items():
        old = cov.grids.get(code)
        parent = _named_parent(cov, given, code) or (old.parent if old else _parent(cov, shape))
        name = _text(given, code, "name")
        if old and name in {"", old.name.strip()}:
            name = old.name
        alike = old is not None and (old.parent, old.name) == (parent, name)
        if alike and code in cov.shapes and same_shape(cov.shape(code), shape):
            continue
        # Of one that merely bends as its neighbours get vertices nothing was drawn.
        real |= not (alike and code in cov.shapes and bent_shape(cov.shape(code), shape))
        geometry = shapely.geometry.mapping(coverage.to_degrees(shape))
        grids.append({"code": code, "parent": parent, "name": name, "shape": geometry})
    gone = sorted(code for code in cov.shapes if code not in there and is_grid(code))
    return {"op": "adopt", "grids": grids, "gone": gone} if real or gone else None


def _named_parent(cov: Coverage, given: gpd.GeoDataFrame, code: str) -> str:
    """The parent that a file names, empty where it names none. Raises BadInput for what is none here."""
    parent = _text(given, code, "parent")
    if parent and (parent not in cov.grids or parent in given.index):
        raise BadInput(
            "parent", f"{parent!r} of {code} is no grid above the lowest of this draft; correct it"
        )
    return parent


def _text(given: gpd.GeoDataFrame, code: str, column: str) -> str:
    value = given.loc[code, column] if column in given else None
    return str(value).strip() if value is not None and pd.notna(value) else ""


def _parent(cov: Coverage, shape: BaseGeometry) -> str | None:
    """The parent of the lowest grid that has most of a new one's ground."""
    near = [code for code in cov.near(shape) if is_grid(code)]
    shares = [float(shape.intersection(cov.shapes[code]).area) for code in near]
    return cov.grids[near[int(np.argmax(shares))]].parent if near else None

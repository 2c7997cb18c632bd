"""The command `safetymap mend`: faults of a grid set, who should have the ground, and the set so mended."""

import json
from pathlib import Path
from typing import Annotated, Any

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
import typer

from api.console import app, out, plain_errors
from gis import coverage, mend
from gis.crs import to_degrees
from gis.errors import BadInput
from gis.exporting.files import GDAL
from gis.importing import sandbox
from gis.importing.source import ReadOptions
from gis.mend import Arrangement, Proposal
from gis.whole_files import whole

_SHOWN = 20


@app.command("mend")
@plain_errors
def mend_(
    file: Annotated[Path, typer.Argument(help="Grids of one level, in any format that import reads.")],
    code: Annotated[str, typer.Option(help="The column with the grids' codes.")] = "code",
    layer: Annotated[str | None, typer.Option(help="Layer of a file that has several.")] = None,
    accept: Annotated[
        str | None,
        typer.Option(help="sure (what can only be a mistake), all, or numbers such as 1,2,5."),
    ] = None,
    out_file: Annotated[
        Path | None, typer.Option("--out", help="The mended set (.gpkg, .geojson, .fgb); needs --accept.")
    ] = None,
) -> None:
    """Propose who should have ground that several grids claim or none, and write the set so mended."""
    if out_file is not None and accept is None:
        raise BadInput("--accept", "say which proposals to accept: sure, all, or their numbers")
    if out_file is not None and out_file.suffix.lower() not in GDAL:
        raise BadInput("--out", f"{out_file.suffix or 'no suffix'} is not one of {', '.join(GDAL)}")
    if out_file is not None and out_file.exists() and out_file.samefile(file):
        raise BadInput("--out", f"{out_file} is the file that is read; name another one")
    frame, codes = _read(file, code, layer)
    arranged = mend.arrange(dict(zip(codes, coverage.to_units(frame.geometry.to_numpy()), strict=True)))
    found = mend.proposals(arranged)
    chosen = _chosen(found, accept)
    listed = (out_file or file).with_suffix(".proposals.geojson")
    with whole(listed, "--out") as part:
        part.write_text(json.dumps(_features(found, chosen), ensure_ascii=False), encoding="utf-8")
    _tell(found, listed)
    if out_file is not None:
        _write(frame, codes, arranged, [p for p in found if p.number in chosen], out_file)


def _read(file: Path, code: str, layer: str | None) -> tuple[gpd.GeoDataFrame, list[str]]:
    """The rows of a file (EPSG:4326, on whole units) and a code for each; rows without ground are told."""
    source = sandbox.read(file, ReadOptions(layer=layer))
    if not source.has_geometry or code not in source.columns:
        raise BadInput(
            "--code", f"it needs polygons and a column {code!r}; it has {', '.join(source.columns)}"
        )
    chunks = list(source.chunks())
    table = pd.concat([chunk.table.to_pandas() for chunk in chunks], ignore_index=True)
    shapes = np.concatenate([np.asarray(chunk.geometry, dtype=object) for chunk in chunks])
    there = ~(shapely.is_missing(shapes) | shapely.is_empty(shapes))
    if not there.all():
        rows = ", ".join(f"{i + 1} ({table[code].iloc[i]})" for i in np.flatnonzero(~there)[:_SHOWN])
        left_out = f"{np.count_nonzero(~there)} rows have no ground that can be read and are left out: {rows}"
        out.print(left_out, soft_wrap=True, highlight=False)
    given = shapes[there] if source.crs is None else to_degrees(shapes[there], source.crs)
    snapped, told = coverage.snap(given)
    _tell_rounding(told)
    frame = gpd.GeoDataFrame(table[there].reset_index(drop=True), geometry=snapped, crs=4326)
    return frame, _distinct([str(one) for one in frame[code]])


def _tell_rounding(told: coverage.Snapped) -> None:
    """Say what putting the shapes on whole units changed: what it leaves out is no proposal."""
    dropped, added = int(told.rings_dropped.sum()), int(told.vertices_added.sum())
    if dropped or added:
        out.print(
            f"on reading, {dropped} rings without ground are left out and {added} vertices put into borders "
            "that pass within 2.2 cm of them",
            soft_wrap=True, highlight=False,
        )  # fmt: skip


def _distinct(codes: list[str]) -> list[str]:
    """Codes, those that occur again with the number of their row."""
    seen: set[str] = set()
    return [
        one if one not in seen and not seen.add(one) else f"{one} (row {i})"  # type: ignore[func-returns-value]
        for i, one in enumerate(codes, start=1)
    ]


def _chosen(found: list[Proposal], accept: str | None) -> set[int]:
    """The numbers of the proposals that are accepted."""
    if accept is None:
        return set()
    if accept in {"all", "sure"}:
        return {p.number for p in found if p.sure or accept == "all"}
    try:
        numbers = {int(one) for one in accept.split(",")}
    except ValueError as error:
        raise BadInput("--accept", f"{accept!r} is neither sure, all, nor numbers such as 1,2,5") from error
    if unknown := numbers - {p.number for p in found}:
        raise BadInput("--accept", f"there is no proposal {min(unknown)}; there are {len(found)}")
    return numbers


def _features(found: list[Proposal], chosen: set[int]) -> dict[str, Any]:
    rows = [
        {
            "type": "Feature",
            "geometry": shapely.geometry.mapping(coverage.to_degrees(p.shape)),
            "properties": p.properties(accepted=p.number in chosen),
        }
        for p in found
    ]
    return {"type": "FeatureCollection", "features": rows}


def _tell(found: list[Proposal], listed: Path) -> None:
    for p in found[:_SHOWN]:
        doubt = "" if p.sure else " (may be meant)"
        told = (
            f"{p.number}. {p.kind} of {p.area_m2:.1f} m² at {', '.join(p.codes)} -> {p.to or 'nobody'}{doubt}"
        )
        out.print(told, soft_wrap=True, highlight=False)
    area = sum(p.area_m2 for p in found)
    out.print(f"{len(found)} proposals, {area:.1f} m², listed in {listed}", soft_wrap=True, highlight=False)


def _write(
    frame: gpd.GeoDataFrame, codes: list[str], arranged: Arrangement, given: list[Proposal], file: Path
) -> None:
    after = mend.mended(arranged, given)
    shapes = coverage.to_degrees(np.array([after[one] for one in codes], dtype=object))
    empty = shapely.is_empty(shapes)
    if empty.any():
        gone = ", ".join(np.array(codes)[empty][:_SHOWN])
        out.print(f"no ground is left of {gone}; these rows are not written", soft_wrap=True)
    with whole(file, "--out") as part:
        frame.set_geometry(gpd.GeoSeries(shapes, crs=4326))[~empty].to_file(
            part, driver=GDAL[file.suffix.lower()]
        )
    out.print(
        f"{len(given)} proposals accepted, {sum(p.area_m2 for p in given):.1f} m² moved; written to {file}",
        soft_wrap=True, highlight=False,
    )  # fmt: skip

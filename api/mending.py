"""The command `safetymap mend`: faults of a grid set, who should have the ground, and the set so mended."""

import json
from pathlib import Path
from typing import Annotated, Any

import geopandas as gpd
import numpy as np
import shapely
import typer
from shapely.geometry.base import BaseGeometry

from api.console import app, out, plain_errors
from gis import coverage, mend
from gis.errors import BadInput
from gis.exporting.files import GDAL
from gis.importing import grid_sets, sandbox
from gis.importing.grid_sets import GridSet
from gis.importing.source import ReadOptions
from gis.mend import Arrangement, Proposal
from gis.whole_files import whole

_SHOWN = 20


@app.command("mend")
@plain_errors
def mend_(
    file: Annotated[
        Path,
        typer.Argument(
            help="Grids in any format that import reads; those above others are made anew of them."
        ),
    ],
    code: Annotated[
        str | None, typer.Option(help="The column with the grids' codes; else the one that import takes.")
    ] = None,
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
    grids = _read(file, code, layer)
    arranged = mend.arrange(grids.lowest)
    found = mend.proposals(arranged)
    chosen = _chosen(found, accept)
    listed = (out_file or file).with_suffix(".proposals.geojson")
    with whole(listed, "--out") as part:
        part.write_text(json.dumps(_features(found, chosen), ensure_ascii=False), encoding="utf-8")
    _tell(found, listed)
    if out_file is not None:
        _write(grids, arranged, [p for p in found if p.number in chosen], out_file)


def _read(file: Path, code: str | None, layer: str | None) -> GridSet:
    """The grids of a file; rows without ground and what whole units changed are told."""
    found = grid_sets.read(sandbox.read(file, ReadOptions(layer=layer)), code)
    if found.left_out:
        rows = ", ".join(found.left_out[:_SHOWN])
        left_out = f"{len(found.left_out)} rows have no ground that can be read and are left out: {rows}"
        out.print(left_out, soft_wrap=True, highlight=False)
    _tell_rounding(found.snapped)
    return found


def _tell_rounding(told: coverage.Snapped) -> None:
    """Say what putting the shapes on whole units changed: what it leaves out is no proposal."""
    dropped, added = int(told.rings_dropped.sum()), int(told.vertices_added.sum())
    if dropped or added:
        out.print(
            f"on reading, {dropped} rings without ground are left out and {added} vertices put into borders "
            "that pass within 2.2 cm of them",
            soft_wrap=True, highlight=False,
        )  # fmt: skip


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


def _write(grids: GridSet, arranged: Arrangement, given: list[Proposal], file: Path) -> None:
    after = grids.with_uppers(mend.mended(arranged, given))
    _tell_uppers(grids, after)
    shapes = coverage.to_degrees(np.array([after[one] for one in grids.codes], dtype=object))
    empty = shapely.is_empty(shapes)
    if empty.any():
        gone = ", ".join(np.array(grids.codes)[empty][:_SHOWN])
        out.print(f"no ground is left of {gone}; these rows are not written", soft_wrap=True)
    _refuse_alike(grids.frame, file)
    with whole(file, "--out") as part:
        grids.frame.set_geometry(gpd.GeoSeries(shapes, crs=4326))[~empty].to_file(
            part, driver=GDAL[file.suffix.lower()]
        )
    out.print(
        f"{len(given)} proposals accepted, {sum(p.area_m2 for p in given):.1f} m² moved; written to {file}",
        soft_wrap=True, highlight=False,
    )  # fmt: skip


def _refuse_alike(frame: gpd.GeoDataFrame, file: Path) -> None:
    """Refuse columns that a GeoPackage, whose names ignore case and hold shapes as `geom`, takes for one."""
    if file.suffix.lower() != ".gpkg":
        return
    names = [str(name) for name in frame.columns.drop(frame.geometry.name)]
    seen = {"geom": "the shapes (geom)"}
    for name in names:
        if other := seen.get(name.lower()):
            raise BadInput(
                "--out", f"in a GeoPackage column {name} is one with {other}; rename it or write .geojson"
            )
        seen[name.lower()] = f"column {name}"


def _tell_uppers(grids: GridSet, after: dict[str, BaseGeometry]) -> None:
    """Say how the grids above, made anew of those below them, differ from those of the file."""
    before, lowest = grids.shapes, grids.lowest
    above = [code for code in grids.codes if code not in lowest]
    if not above:
        return
    differing = [before[code].symmetric_difference(after[code], grid_size=1.0) for code in above]
    moved = coverage.areas_m2(coverage.to_degrees(np.array(differing, dtype=object)))
    most = sorted(zip(above, moved.tolist(), strict=True), key=lambda one: -one[1])[:_SHOWN]
    told = ", ".join(f"{code} {area:.1f} m²" for code, area in most if area > 0)
    out.print(
        f"{len(above)} grids above others are made anew of those below them; "
        f"{np.count_nonzero(moved)} differ from the file{f': {told}' * bool(told)}",
        soft_wrap=True, highlight=False,
    )  # fmt: skip

"""`safetymap export`: a layer as a file, in the format its suffix names."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import geopandas as gpd
import pandas as pd
import typer
from sqlalchemy.engine import Connection

from api.console import app, out, plain_errors
from gis import city, db, grids
from gis.errors import BadInput, NotFound
from layers.catalogue import CATALOG
from layers.refresh import STEPS
from layers.view import View

_GDAL = {".gpkg": "GPKG", ".fgb": "FlatGeobuf", ".geojson": "GeoJSON", ".pmtiles": "PMTiles"}
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""A cell of text that begins so is run as a formula by spreadsheets (OWASP, CSV injection)."""


def _flat(rows: gpd.GeoDataFrame) -> pd.DataFrame:
    """Return rows without geometry but with a point's lon and lat, safe to open in a spreadsheet."""
    place = rows.geometry.representative_point()
    table = rows.drop(columns=rows.geometry.name).assign(lon=place.x.round(7), lat=place.y.round(7))
    for name in table.select_dtypes(["object", "string"]):
        text = table[name]
        table[name] = text.where(~text.astype("string").str.startswith(_FORMULA).fillna(False), "'" + text)
    return pd.DataFrame(table)


def _csv(rows: gpd.GeoDataFrame, file: Path) -> None:
    _flat(rows).to_csv(file, index=False, encoding="utf-8-sig")


def _xlsx(rows: gpd.GeoDataFrame, file: Path) -> None:
    _flat(rows).to_excel(file, index=False)


def _parquet(rows: gpd.GeoDataFrame, file: Path) -> None:
    rows.to_parquet(file)


def _gdal(rows: gpd.GeoDataFrame, file: Path) -> None:
    rows.to_file(file, driver=_GDAL[file.suffix])


WRITERS: dict[str, Callable[[gpd.GeoDataFrame, Path], None]] = {
    ".parquet": _parquet,
    ".csv": _csv,
    ".xlsx": _xlsx,
    **dict.fromkeys(_GDAL, _gdal),
}


def rows_of(conn: Connection, layer: str) -> gpd.GeoDataFrame:
    """Return a layer's features at its finest zoom (EPSG:4326). Raises NotFound for an unknown layer."""
    chosen = next((one for one in CATALOG if one.name == layer), None)
    if chosen is None:
        raise NotFound(f"there is no layer {layer}; there are {', '.join(one.name for one in CATALOG)}")
    asked = grids.resolve(conn, grids.Wish())
    view = View(asked.scheme, asked.on, asked.known, zoom=chosen.maxzoom)
    return gpd.read_postgis(chosen.select(view).order_by("id"), conn, geom_col="geom", crs=4326)


@app.command()
@plain_errors
def export(
    layer: Annotated[str, typer.Argument(help="A layer of GET /layers.")],
    file: Annotated[Path, typer.Argument(help="Where to; its suffix names the format.")],
) -> None:
    """Write a layer to a file: GeoParquet, GeoPackage, FlatGeobuf, GeoJSON, CSV, xlsx or PMTiles."""
    if file.suffix not in WRITERS:
        raise BadInput("FILE", f"{file.suffix or 'no suffix'} is not one of {', '.join(WRITERS)}")
    with db.work_engine().begin() as conn:
        rows = rows_of(conn, layer)
    WRITERS[file.suffix](rows, file)
    out.print(f"{len(rows):,} features of {layer} in {file}")


@app.command()
@plain_errors
def refresh(
    since: Annotated[
        datetime | None, typer.Option(help="Only if something was imported at or after this time (UTC).")
    ] = None,
) -> None:
    """Derive what is kept beside the data; a second call changes nothing."""
    with db.work_engine().begin() as conn:
        newest = city.last_import(conn)
    if since and (newest is None or newest < since.replace(tzinfo=UTC)):
        out.print(f"nothing was imported since {since:%Y-%m-%d %H:%M}: nothing to derive")
        return
    for step in STEPS:
        with db.work_engine().begin() as conn:
            out.print(f"{step.__name__.replace('_', ' ')}: {step(conn)}")

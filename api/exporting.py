"""`safetymap export`: a kind's record or a layer as a file, in the format its suffix names."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import geopandas as gpd
import pandas as pd
import typer
from rich.progress import track
from sqlalchemy.engine import Connection

from api.console import app, out, plain_errors
from api.packing import Zooms, pack
from gis import audit, city, db, grids, preflight
from gis.access import COMMAND, Principal
from gis.errors import BadInput, NotFound
from gis.exporting import record
from gis.exporting.files import GDAL, SHEETS, WRITERS
from gis.importing.kinds import KINDS
from gis.schema_access import ROLES
from gis.settings import settings
from gis.whole_files import whole
from layers.catalogue import LAYERS, Layer
from layers.counts import cells_with_counts
from layers.view import View
from tiles.archive import SUFFIX
from tiles.styles import FINEST_ZOOM
from tiles.tile import Tile

VIEW = "layer:"
"""What comes before the name of a layer whose features are wanted as the map shows them."""


def find(layer: str) -> Layer:
    """Return a layer by its name. Raises NotFound for an unknown one."""
    if layer not in LAYERS:
        raise NotFound(f"there is no layer {layer}; kinds: {', '.join(KINDS)}; layers: {', '.join(LAYERS)}")
    return LAYERS[layer]


def write_view(rows: gpd.GeoDataFrame, file: Path) -> None:
    """Write what a layer shows: in a spreadsheet with a point's lon and lat instead of its shape."""
    suffix = file.suffix.lower()
    if suffix in SHEETS:
        place = rows.geometry.representative_point()
        table = rows.drop(columns=rows.geometry.name).assign(lon=place.x.round(7), lat=place.y.round(7))
        WRITERS[suffix](pd.DataFrame(table), file)
    elif suffix == ".parquet":
        rows.to_parquet(file)
    else:
        rows.to_file(file, driver=GDAL[suffix])


COUNTED = {"hotspots": cells_with_counts}
"""Layers whose tiles are shapes alone: a file has their values as well."""


def rows_of(conn: Connection, layer: Layer) -> gpd.GeoDataFrame:
    """Return a layer's features at its finest zoom (EPSG:4326)."""
    asked = grids.resolve(conn, grids.Wish())
    view = View(asked.scheme, asked.on, asked.known, zoom=layer.maxzoom)
    rows = COUNTED.get(layer.name, layer.select)(view)
    return gpd.read_postgis(rows.order_by("id"), conn, geom_col="geom", crs=4326)


@app.command()
@plain_errors
def export(
    what: Annotated[
        str, typer.Argument(help="A kind of the importer: its record. Or layer:NAME: what the map shows.")
    ],
    file: Annotated[Path, typer.Argument(help="Where to; its suffix names the format.")],
    minzoom: Annotated[int | None, typer.Option(help="PMTiles: first zoom; the layer's.")] = None,
    maxzoom: Annotated[
        int | None, typer.Option(help=f"PMTiles: last zoom; the layer's, at most {FINEST_ZOOM}.")
    ] = None,
    role: Annotated[
        str | None, typer.Option(help="PMTiles: what this role sees, and who may read it; the layer's.")
    ] = None,
    scope: Annotated[str | None, typer.Option(help="PMTiles: only what lies in this grid.")] = None,
) -> None:
    """Write a kind's record, which imports again unchanged, or what a layer shows.

    Formats: CSV, xlsx, Parquet, GeoPackage, FlatGeobuf, GeoJSON; layers also as PMTiles.
    """
    if role not in (None, *ROLES):
        raise BadInput("role", f"{role!r} is none of {', '.join(ROLES)}")
    suffix = file.suffix.lower()
    if suffix not in (*WRITERS, SUFFIX):
        known = ", ".join([*WRITERS, SUFFIX])
        raise BadInput("FILE", f"{file.suffix or 'no suffix'} is not one of {known}")
    preflight.check(db.work_engine())  # what leaves is written into the audit
    if what in KINDS and suffix != SUFFIX:
        _record(what, file)
        return
    chosen = find(what.removeprefix(VIEW))
    if suffix == SUFFIX:
        who = Principal(role or chosen.audience, scope=scope, may_export=True)
        _archive(chosen, file, who, Zooms(minzoom, maxzoom).of(chosen))
    else:
        _table(chosen, file)


def _record(kind: str, file: Path) -> None:
    _note({"kind": kind}, file)
    with db.work_engine().begin() as conn:
        rows = record.read(conn, kind)
    with whole(file) as part:
        WRITERS[file.suffix.lower()](rows, part)
    out.print(f"{len(rows):,} rows of {kind} in {file}", soft_wrap=True, highlight=False)


def _note(what: dict[str, object], file: Path, **more: object) -> None:
    """Write into the audit what leaves in a file."""
    _note_change("export", {**what, "file": str(file), **more})


def _note_change(what: str, detail: dict[str, object]) -> None:
    with db.work_engine().begin() as conn:
        audit.change(conn, settings().data_dir, COMMAND, what, detail)
    with db.work_engine().begin() as conn:
        audit.seal(conn, settings().data_dir, {})


def _table(layer: Layer, file: Path) -> None:
    _note({"layer": layer.name}, file)
    with db.work_engine().begin() as conn:
        rows = rows_of(conn, layer)
    with whole(file) as part:
        write_view(rows, part)
    out.print(f"{len(rows):,} features of {layer.name} in {file}")


def _archive(layer: Layer, file: Path, who: Principal, zooms: range) -> None:
    _note({"layer": layer.name}, file, role=who.role, scope=who.scope)
    engine = db.work_engine().execution_options(isolation_level="REPEATABLE READ")
    with engine.begin() as conn:
        count = pack(conn, layer, file, who, zooms, _telling)
    readers = f"role {who.role} and above" + (f" whose scope holds {who.scope}" if who.scope else "")
    told = f"{count:,} tiles of {layer.name}, zoom {zooms[0]} to {zooms[-1]}, in {file}, for {readers}"
    out.print(told, soft_wrap=True)
    if zooms[-1] < layer.maxzoom:
        out.print(f"nearer tiles than zoom {zooms[-1]} are left out; --maxzoom takes up to {layer.maxzoom}")


def _telling(squares: Sequence[Tile]) -> Iterator[Tile]:
    """Progress: a bar on a terminal, a plain line otherwise."""
    if out.is_terminal:
        yield from track(squares, "tiles", console=out)
        return
    out.print(f"{len(squares):,} tiles to cut")
    yield from squares


@app.command()
@plain_errors
def refresh(
    since: Annotated[
        datetime | None, typer.Option(help="Only if something was imported at or after this time (UTC).")
    ] = None,
    tell_again: Annotated[
        list[datetime] | None,
        typer.Option(
            formats=["%Y-%m"],
            help="A month that the public is told anew, with what came since; who kept the former numbers "
            "learns the difference. May be repeated.",
        ),
    ] = None,
) -> None:
    """Derive what is kept beside the data; a second call changes nothing."""
    # Here, not above: its statistics are half of what every other command would wait for.
    from layers.public import forget_months  # noqa: PLC0415
    from layers.refresh import STEPS  # noqa: PLC0415

    preflight.check(db.work_engine())
    with db.work_engine().begin() as conn:
        newest = city.last_import(conn)
    if since and not tell_again and (newest is None or newest < since.replace(tzinfo=UTC)):
        out.print(f"nothing was imported since {since:%Y-%m-%d %H:%M}: nothing to derive")
        return
    if tell_again:
        _note_change("told again", {"months": [f"{month:%Y-%m}" for month in tell_again]})
        with db.work_engine().begin() as conn:
            forget_months(conn, [month.date() for month in tell_again])
    for step in STEPS:
        with db.work_engine().begin() as conn:
            out.print(f"{step.__name__.replace('_', ' ')}: {step(conn)}")


@app.command()
@plain_errors
def surveil(
    week: Annotated[
        datetime | None,
        typer.Option(formats=["%Y-%m-%d"], help="A day of the week."),
    ] = None,
) -> None:
    """Judge every grid and category in a week, the last whole one unless said, and keep the alarms."""
    # Here, not above: its statistics are half of what every other command would wait for.
    from layers import surveillance  # noqa: PLC0415
    from layers.view import View  # noqa: PLC0415

    with db.work_engine().begin() as conn:
        asked = grids.resolve(conn, grids.Wish())
        view = View(asked.scheme, asked.on, asked.known)
        found = surveillance.survey(conn, view, week.date() if week else None)
        raised = surveillance.keep(conn, found)
    out.print(
        f"{found.view.start:%Y-%m-%d}: {len(found.grids)} series of {found.weeks} weeks, "
        f"{raised} alarms raised; by chance {found.expected_false:.2f}"
    )
    new = [f"{one.category} (since {one.since})" for one in found.began if not one.tested]
    if new:
        out.print(f"came into use, not tested yet: {', '.join(new)}")

"""What every route is handed: a connection in a transaction, a point on WGS-84, a view of the map."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

from fastapi import Depends, Query
from sqlalchemy.engine import Connection

from gis import city, crs, db, grids
from gis.errors import BadInput
from gis.grids import Asked
from gis.schema import COLOURS, SOURCES
from layers.view import View


def connection() -> Iterator[Connection]:
    """Open the request's transaction; it is committed when the route returns, rolled back when it raises."""
    with db.service_engine().begin() as conn:
        yield conn


Conn = Annotated[Connection, Depends(connection)]
DatumName = Annotated[crs.Datum, Query(description="Datum of coordinates given and answered.")]


@dataclass(frozen=True)
class Point:
    """A point asked about: as given, and on WGS-84."""

    given: tuple[float, float]
    lon: float
    lat: float
    datum: crs.Datum


def point(
    lon: Annotated[float, Query(ge=-180, le=180, description="Longitude, degrees.")],
    lat: Annotated[float, Query(ge=-90, le=90, description="Latitude, degrees.")],
    datum: DatumName = "wgs84",
) -> Point:
    """Return the point of `lon`, `lat` in `datum`."""
    return Point((lon, lat), *crs.point_to_wgs84(lon, lat, datum), datum)


def asked(
    conn: Conn,
    on: Annotated[date | None, Query(description="Day on which the boundaries are in force; today.")] = None,
    known: Annotated[
        int | None, Query(ge=0, le=2**31 - 1, description="Revision as known; the newest.")
    ] = None,
    scheme: Annotated[str | None, Query(max_length=80, description="Network of grids; the default.")] = None,
) -> Asked:
    """Return which record of grids is asked."""
    return Asked(
        scheme or grids.default_scheme(conn),
        on or _today(conn),
        grids.latest_revision(conn) if known is None else known,
    )


def zone(conn: Connection) -> ZoneInfo:
    """Return the city's time zone, in which naive times are read."""
    return ZoneInfo(city.the_city(conn).timezone)


def _today(conn: Connection) -> date:
    return datetime.now(zone(conn)).date()


def moment(value: str | None, name: str, local: ZoneInfo) -> datetime | None:
    """Read an RFC 3339 time or a date; a naive one is in the city's zone, a date its first moment.

    Raises BadInput naming the parameter.
    """
    if value is None:
        return None
    try:
        read = datetime.fromisoformat(value)
    except ValueError as error:
        raise BadInput(name, f"{value!r} is no date or RFC 3339 time, such as 2025-06-01") from error
    return read if read.tzinfo else read.replace(tzinfo=local)


Moment = Annotated[str | None, Query(max_length=40, description="Date or RFC 3339 time; from ≤ t < to.")]


def view(
    conn: Conn,
    asked: Annotated[Asked, Depends(asked)],
    from_: Annotated[Moment, Query(alias="from")] = None,
    to: Moment = None,
    category: Annotated[str | None, Query(max_length=40, description="Category, with all below it.")] = None,
    source: Annotated[Literal[SOURCES] | None, Query()] = None,  # type: ignore[valid-type]
    colour: Annotated[Literal[COLOURS] | None, Query()] = None,  # type: ignore[valid-type]
    area: Annotated[str | None, Query(max_length=40, description="Code of a grid.")] = None,
) -> View:
    """Return the view that the filters describe. Raises BadInput for unknown codes or an empty period."""
    local = zone(conn)
    start, end = moment(from_, "from", local), moment(to, "to", local)
    if start and end and start >= end:
        raise BadInput("to", "must be later than from; the period is from ≤ t < to")
    if area is not None:
        grids.grid(conn, area, asked)
    return View(
        asked.scheme, asked.on, asked.known, start=start, end=end, source=source, colour=colour, area=area,
        categories=city.with_descendants(conn, category) if category else None,
    )  # fmt: skip


Viewed = Annotated[View, Depends(view)]
AskedGrids = Annotated[Asked, Depends(asked)]
At = Annotated[Point, Depends(point)]

"""Places where incidents repeat: buildings, addresses and street segments, and how few hold how many."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
import shapely
import sqlalchemy as sa
from scipy import stats
from sqlalchemy.engine import Connection

from gis import crs
from gis import schema as t
from gis.db import Query, columns
from gis.errors import BadInput
from layers.began import comparable
from layers.expecting import closed_period
from layers.served import inside
from layers.stats.concentration import Concentration, concentration
from layers.stats.shrink import shrink
from layers.stats.snapping import nearest
from layers.view import View, wanted_incidents

By = Literal["building", "address", "segment"]
Floats = npt.NDArray[np.float64]
WITHIN_M: dict[By, float] = {"building": 30.0, "segment": 50.0}
"""How far an incident may lie from the building or the street that it is counted to."""
MOST = 60_000
"""More incidents are not laid on places at once."""
PER_M = 100.0
"""Metres of street that a rate is told of."""
_LEAST_M = 1.0
"""A segment counts as this long at least: its rate would have no bound."""
_DEGREE_M = 110_000.0
"""Fewer metres than a degree of latitude has anywhere, so that a box in degrees is never too small."""


@dataclass(frozen=True)
class Repeats:
    """How incidents repeat at places, and the places themselves."""

    places: pd.DataFrame
    """One row for each place of two incidents or more, fullest first: id, name, count, first, last, lon, lat;
    of segments also length_m, and per PER_M metres rate, low, high (95 %) and shrunk."""
    units: int
    """All places, those without any incident included."""
    incidents: int
    without_place: int
    """Of those, too far from any place, or without an address."""
    concentration: Concentration
    start: datetime
    end: datetime


def repeats(conn: Connection, view: View, by: By) -> Repeats:
    """Return where a view's incidents repeat.

    An incident is counted to the nearest building or street within WITHIN_M, the first in the record of those
    equally near, or to its address, spellings folded. Raises BadInput for more than MOST incidents.
    """
    view = closed_period(view, comparable(conn, view))
    number = conn.execute(sa.select(sa.func.count()).where(*wanted_incidents(view))).scalar_one()
    if number > MOST:
        raise BadInput(
            "to", f"{number:,} incidents are more than {MOST:,}; ask for a category, an area or less time"
        )
    found = _by_address(conn, view) if by == "address" else _by_shape(conn, view, by)
    held = found.held[found.held["count"] > 1].sort_values(
        ["count", "last", "id"], ascending=[False, False, True], kind="stable"
    )
    placed = int(found.held["count"].sum())
    counts = np.zeros(len(found.weight), dtype=np.int64)
    counts[found.held["unit"].to_numpy(np.int64)] = found.held["count"].to_numpy(np.int64)
    whole = concentration(counts, found.weight)
    if by == "segment":
        held = _with_rates(held, counts, found.weight)
    assert view.start
    assert view.end
    named = held.drop(columns="unit").reset_index(drop=True)
    return Repeats(named, len(counts), number, number - placed, whole, view.start, view.end)


@dataclass(frozen=True)
class _Held:
    """Incidents by place: `held` has a row for each place with any, `unit` its number in `weight`."""

    held: pd.DataFrame
    weight: Floats


def _with_rates(held: pd.DataFrame, counts: npt.NDArray[np.int64], length: Floats) -> pd.DataFrame:
    """Add incidents per PER_M metres: exact 95 % interval (Garwood 1936), and shrunk towards all streets."""
    unit, n = held["unit"].to_numpy(np.int64), held["count"].to_numpy(np.float64)
    metres = length[unit]
    low, high = stats.gamma.ppf(0.025, n), stats.gamma.ppf(0.975, n + 1)
    shrunk = shrink(counts, length / PER_M).centre[unit] if counts.any() else n
    rates = {"rate": n, "low": low, "high": high}
    per = {name: PER_M * value / metres for name, value in rates.items()}
    return held.assign(length_m=metres, **per, shrunk=shrunk)


def _by_shape(conn: Connection, view: View, by: By) -> _Held:
    """Count incidents to buildings or segments."""
    table, point = (
        (t.buildings, t.buildings.c.point)
        if by == "building"
        else (t.roads, sa.func.ST_LineInterpolatePoint(t.roads.c.geom, 0.5))
    )
    at = _moments(conn, view)
    ids, near = _near(conn, view, table, WITHIN_M[by])
    place = _snapped(at[["lon", "lat"]].to_numpy(), near, WITHIN_M[by])
    at = at.assign(id=np.where(place >= 0, ids[place] if len(ids) else 0, -1))[place >= 0]
    held = at.groupby("id").agg(count=("at", "size"), first=("at", "min"), last=("at", "max")).reset_index()
    known, metres = _units(conn, table, inside(view, point), held["id"].to_numpy(np.int64))
    held["unit"] = np.searchsorted(known, held["id"])
    return _Held(_named(conn, table, point, held), metres)


def _moments(conn: Connection, view: View) -> pd.DataFrame:
    """Return when and where (WGS-84 degrees) a view's incidents with a place happened."""
    i = t.incidents.c
    query = sa.select(i.occurred_at.label("at"), sa.func.ST_X(i.geom), sa.func.ST_Y(i.geom))
    at, lon, lat = columns(
        conn, query.where(i.geom.is_not(None), *wanted_incidents(view)), object, np.float64, np.float64
    )
    return pd.DataFrame({"at": pd.to_datetime(pd.Series(at, dtype=object), utc=True), "lon": lon, "lat": lat})


def _near(
    conn: Connection, view: View, table: sa.Table, within: float
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.object_]]:
    """Return ids, rising, and shapes (WGS-84) of what a box of `within` metres around an incident meets."""
    i = t.incidents.c
    tall = within / _DEGREE_M
    wide = tall / sa.func.greatest(sa.func.cos(sa.func.radians(sa.func.ST_Y(i.geom))), 0.01)
    meets = table.c.geom.op("&&")(sa.func.ST_Expand(i.geom, wide, tall))
    met = sa.select(table.c.id).join(t.incidents, meets).where(*wanted_incidents(view))
    query = sa.select(table.c.id, sa.func.ST_AsBinary(table.c.geom).label("wkb")).where(table.c.id.in_(met))
    ids, wkb = columns(conn, query.order_by(table.c.id), np.int64, object)
    return ids, shapely.from_wkb([bytes(one) for one in wkb])


def _snapped(points: Floats, shapes: npt.NDArray[np.object_], within: float) -> npt.NDArray[np.int64]:
    """Return the place of the shape nearest to each point, both in degrees; -1 beyond `within` metres."""
    corners = shapely.get_coordinates(shapes)
    metres = crs.to_metres(*np.vstack([points, corners]).T)
    laid = shapely.set_coordinates(np.array(shapes), metres[len(points) :])
    return nearest(metres[: len(points)], laid, within)


def _units(
    conn: Connection, table: sa.Table, where: list[sa.ColumnElement[bool]], hit: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.int64], Floats]:
    """Return ids, rising, and weights of all places of a view: lengths of streets, one of each building.

    What was hit belongs to it, though its middle lie outside.
    """
    c = table.c
    weight: sa.ColumnElement[Any] = (
        sa.func.greatest(c.length_m, _LEAST_M) if "length_m" in c else sa.literal(1.0)
    )
    wanted = (
        sa.or_(c.id == sa.func.any(sa.cast(hit.tolist(), sa.ARRAY(sa.BigInteger))), sa.and_(*where))
        if where
        else sa.true()
    )
    ids, weights = columns(
        conn, sa.select(c.id, weight.label("weight")).where(wanted).order_by(c.id), np.int64, np.float64
    )
    return ids, weights


def _named(
    conn: Connection, table: sa.Table, point: sa.ColumnElement[Any], held: pd.DataFrame
) -> pd.DataFrame:
    """Add name and place (WGS-84 degrees) of what repeats."""
    c, wanted = table.c, held.loc[held["count"] > 1, "id"].tolist()
    name = sa.func.coalesce(c.name, c.address) if "address" in c else c.name
    query = sa.select(
        c.id, name.label("name"), sa.func.ST_X(point).label("lon"), sa.func.ST_Y(point).label("lat")
    )
    rows = conn.execute(query.where(c.id == sa.func.any(sa.cast(wanted, sa.ARRAY(sa.BigInteger))))).all()
    told = pd.DataFrame(rows, columns=["id", "name", "lon", "lat"])
    return held.merge(told, on="id", how="left")


def _by_address(conn: Connection, view: View) -> _Held:
    """Count incidents to their addresses; all addresses are those of buildings as well."""
    i = t.incidents.c
    said = (
        sa.select(
            i.address, sa.func.count().label("count"), sa.func.min(i.occurred_at).label("first"),
            sa.func.max(i.occurred_at).label("last"), sa.func.avg(sa.func.ST_X(i.geom)).label("lon"),
            sa.func.avg(sa.func.ST_Y(i.geom)).label("lat"),
        )
        .where(i.address.is_not(None), *wanted_incidents(view)).group_by(i.address).subquery()
    )  # fmt: skip
    rows = conn.execute(sa.select(sa.func.fold_text(said.c.address).label("id"), said)).all()
    frame = pd.DataFrame(rows, columns=["id", "name", "count", "first", "last", "lon", "lat"])
    frame = frame.sort_values(["count", "name"], ascending=[False, True])
    how: dict[str, str | Callable[..., Any]] = {
        "name": "first", "count": "sum", "first": "min", "last": "max", "lon": "first", "lat": "first",
    }  # fmt: skip
    held = frame.groupby("id", sort=True).agg(how).reset_index()
    known = conn.execute(_other_addresses(view, held["id"].tolist())).scalar_one()
    held["unit"] = np.arange(len(held))
    return _Held(held, np.ones(len(held) + known))


def _other_addresses(view: View, told: list[str]) -> Query:
    """Count the addresses of buildings that no incident has."""
    key = t.buildings.c.address_key
    new = key != sa.func.all(sa.cast(told, sa.ARRAY(sa.Text)))
    return sa.select(sa.func.count(key.distinct())).where(new, *inside(view, t.buildings.c.point))

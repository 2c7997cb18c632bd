"""How long the reports of what a view is of take, as a whole and part by part: never the city's for all."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from gis.db import columns
from gis.record_span import Span, incident_span
from gis.reporting_delay import FEWEST, Conditions, reported_until, ripe, waited
from gis.schema import incidents
from layers import periods
from layers.view import View, wanted_incidents

MOST_UNREPORTED = 0.05
"""A part of which a larger share is still to be reported looks quiet for that alone: it is not tested."""
Floats = npt.NDArray[np.float64]


def view_span(conn: Connection, view: View) -> Span:
    """Return the span of the city's records, with the delay of what a view is of.

    Of a filter in an area that holds too few to know it from, the delay is that of the filter in the whole
    city; of too few there as well, that of everything.
    """
    return incident_span(conn, parts_of(view))


def parts_of(view: View) -> list[Conditions]:
    """Return the conditions of a view and of what holds it, whenever incidents happened."""
    ever = replace(view, start=None, end=None)
    return [wanted_incidents(one) for one in dict.fromkeys((ever, replace(ever, area=None)))]


@dataclass(frozen=True)
class Unreported:
    """Incidents that are old enough to tell, and how much of a period those like them would leave out."""

    lon: Floats
    lat: Floats
    """NaN without a place."""
    category: npt.NDArray[np.object_]
    share: Floats
    """Of the period, in which an incident that takes as long to be reported is not in the record yet."""

    @property
    def whole(self) -> float:
        """Return the share of all of the view's incidents of the period that is still to be reported."""
        return float(self.share.mean())


def unreported(conn: Connection, view: View) -> Unreported | None:
    """Return what the newest ripe incidents of a view say of its closed period; None where all is reported.

    Nothing is said where fewer than FEWEST are known, or where those days are to be taken in as they are.
    """
    assert view.start
    assert view.end
    as_of = reported_until(conn)
    if as_of is None or view.provisional:
        return None
    i = incidents.c
    place = (sa.func.ST_X(i.geom).label("lon"), sa.func.ST_Y(i.geom).label("lat"))
    seconds = sa.func.date_part("epoch", waited()).label("seconds")
    query = ripe(as_of, parts_of(view)[0], *place, i.category, seconds)
    lon, lat, category, took = columns(conn, query, float, float, object, float)
    length = periods.length(view.start, view.end).total_seconds()
    # An incident is missing where it lies nearer to the last report than it takes to be reported.
    share = np.clip((periods.length(as_of, view.end).total_seconds() + took) / length, 0, 1)
    return Unreported(lon, lat, category, share) if len(share) >= FEWEST and share.any() else None


def mean_share(summed: npt.NDArray[Any], held: npt.NDArray[Any], otherwise: npt.ArrayLike) -> Floats:
    """Return the mean of so many shares by their sum, `otherwise` for fewer than FEWEST."""
    mean: Floats = np.where(held >= FEWEST, summed / np.maximum(held, 1), otherwise)
    return mean


def is_reported(share: Floats, whole: float) -> npt.NDArray[np.bool_]:
    """Say which parts lack so little, or no more than the whole does, that they may be tested."""
    few: npt.NDArray[np.bool_] = share <= max(MOST_UNREPORTED, whole)
    return few

"""What is derived from the store and kept: steps in their order, each of which may be run again."""

from collections.abc import Callable

import numpy as np
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from gis import cells as h3
from gis import schema as t
from gis import shaping
from gis.city import extent, lacks
from gis.errors import BadInput, Problem
from gis.grids import Wish, resolve, set_minzooms
from gis.importing.staging import add_cells
from layers import clusters, promotion, surveillance
from layers.public import release_months
from layers.risk import LEFT_OUT
from layers.risk_past import past_of
from layers.served import served
from layers.view import View


class CountsDiffer(Problem):
    """Cells and the table they were stamped from do not agree."""


def zooms_of_levels(conn: Connection) -> str:
    """Set from which zoom each level of each scheme is shown."""
    names = conn.execute(sa.select(t.schemes.c.name).order_by(t.schemes.c.name)).scalars().all()
    for name in names:
        set_minzooms(conn, name)
    return f"{len(names)} schemes"


def statistics(conn: Connection) -> str:
    """Tell the planner how the tables look now; without it a fresh import is read by the wrong index."""
    for table in t.metadata.sorted_tables:
        conn.execute(sa.text(f'ANALYZE "{table.name}"'))
    return f"{len(t.metadata.sorted_tables)} tables"


def cells_agree(conn: Connection) -> str:
    """Check that every placed incident has a cell with a shape at every resolution. Raises CountsDiffer."""
    placed = conn.execute(sa.select(sa.func.count(t.incidents.c.geom))).scalar_one()
    for res in h3.RESOLUTIONS:
        shaped = sa.select(sa.func.count()).join_from(
            t.incidents, t.cells, t.cells.c.cell == t.incidents.c[f"cell_{res}"]
        )
        found = conn.execute(shaped.where(t.cells.c.res == res)).scalar_one()
        if found != placed:
            raise CountsDiffer(f"resolution {res}: {found} incidents in cells, {placed} in the table")
    return f"{placed} incidents at {len(h3.RESOLUTIONS)} resolutions"


WIDEST_KM2 = 2e6
"""As wide as the widest province: some 55,000 hexagons."""


def coarsest_cells(conn: Connection) -> str:
    """Make the shapes of the coarsest hexagons known all over the city, before anything is reported there.

    Small zooms draw those that are known, for everybody: one that appeared with a report would tell of it.
    """
    if lacking := lacks(conn):
        return "; ".join(lacking)
    west, south, east, north = extent(conn, resolve(conn, Wish()).scheme)
    km2 = (east - west) * (north - south) * np.cos(np.radians((south + north) / 2)) * 111.32**2
    if km2 > WIDEST_KM2:
        return f"too many for {km2:,.0f} km²: each is known once something is reported in it"
    found = h3.covering((west, south, east, north), h3.RESOLUTIONS[0])
    add_cells(conn, found)
    return f"{len(found)} hexagons"


def trials(conn: Connection) -> str:
    """Try models of risk against the baseline on the city's own past, once for each new month of it."""
    if lacking := lacks(conn):
        return "; ".join(lacking)
    asked, res = resolve(conn, Wish()), promotion.TRIED_RES
    view = View(asked.scheme, asked.on, asked.known)
    of = served(conn, res, view)
    past, fingerprint = promotion.settled(past_of(conn, view, res, of.cells, LEFT_OUT))
    if promotion.is_known(conn, res, fingerprint):
        return "as before"
    found = promotion.tried(past, promotion.ground(conn, view, res, of))
    promotion.keep(conn, res, fingerprint, found)
    winner = promotion.chosen(found) or promotion.BASELINE
    none = "the past is too short for a trial, too thin, or stood still for a month"
    return f"{len(found)} models tried, {winner} is live" if found else none


def alarms(conn: Connection) -> str:
    """Judge the last week that is over and reported, and keep its alarms; a week judged again adds none."""
    if lacking := lacks(conn):
        return "; ".join(lacking)
    asked = resolve(conn, Wish())
    try:
        found = surveillance.survey(conn, View(asked.scheme, asked.on, asked.known))
    except BadInput as problem:
        return str(problem)
    return f"{surveillance.keep(conn, found)} raised, {len(found.grids)} series of {found.weeks} weeks judged"


STEPS: tuple[Callable[[Connection], str], ...] = (
    zooms_of_levels,
    shaping.derive,
    clusters.settle,
    coarsest_cells,
    release_months,
    trials,
    alarms,
    statistics,
    cells_agree,
)
"""Adding what is kept is a function and a line here."""

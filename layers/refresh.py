"""What is derived from the store and kept: steps in their order, each of which may be run again."""

from collections.abc import Callable

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from gis import cells as h3
from gis import schema as t
from gis.errors import Problem
from gis.grids import set_minzooms
from layers.public import release_months


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


STEPS: tuple[Callable[[Connection], str], ...] = (zooms_of_levels, release_months, statistics, cells_agree)
"""Adding what is kept is a function and a line here."""

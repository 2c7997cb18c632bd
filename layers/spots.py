"""Hot cells that touch as one spot, known by the grid that holds most of it at whatever resolution."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import sqlalchemy as sa
from scipy import sparse
from scipy.sparse import csgraph
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.engine import Connection

from gis import cells as h3
from gis import schema as t
from gis.cells import Cells
from gis.grids import current
from layers.counts import cell_column
from layers.hotspots import Hotspots
from layers.view import View, wanted_incidents

SHARE = 0.6
"""Of a spot's incidents: with no more than half, two neighbours would take turns from zoom to zoom."""
MOST = 50
"""Spots that are named; the others are told without a name."""


@dataclass(frozen=True)
class Spot:
    """One connected group of hot cells, most surprising first among all."""

    cells: Cells
    count: int
    grid: str | None
    """Code of the lowest grid that owns SHARE of its incidents, the same wherever the incidents are the same.

    None where no grid owns so many.
    """
    name: str | None
    level: int | None
    within: list[str]
    """Names of the grids above it, highest first."""


def spots(conn: Connection, view: View, res: int, found: Hotspots) -> list[Spot]:
    """Return the spots of an answer, whose closed period `found` has, the least likely first."""
    hot = np.flatnonzero(found.tested.significant)
    if not len(hot):
        return []
    groups = _groups(found.cells[hot])
    parts = [hot[groups == number] for number in range(groups.max() + 1)]
    parts.sort(key=lambda part: (found.tested.p[part].min(), -found.count[part].sum()))
    named = [part for part in parts[:MOST] if found.count[part].any()]
    owners = _owners(conn, view, res, found.cells[np.concatenate(named)] if named else found.cells[:0])
    return [_spot(found, part, owners) for part in parts]


def _groups(cells: Cells) -> npt.NDArray[np.int64]:
    """Return the number of the connected group of each cell; cells are in the order of their indexes."""
    rows, near = h3.disc_pairs(cells, 1)
    place = np.minimum(np.searchsorted(cells, near), len(cells) - 1)
    known = cells[place] == near
    links = sparse.csr_array((np.ones(known.sum()), (rows[known], place[known])), shape=(len(cells),) * 2)
    return np.asarray(csgraph.connected_components(links, directed=False)[1], dtype=np.int64)


Owner = tuple[int, str, str]
"""Level, code and name of a grid."""


def _owners(conn: Connection, view: View, res: int, cells: Cells) -> dict[int, dict[Owner, int]]:
    """Return how many of each cell's incidents each grid owns: on a border the one of the lowest code."""
    i, g, column = t.incidents.c, t.grids.c, cell_column(res)
    wanted = column == sa.func.any(sa.cast(cells.astype(np.int64).tolist(), sa.ARRAY(sa.BigInteger)))
    owned = (
        sa.select(i.id, column.label("cell"), g.level, g.code, g.name)
        .join(t.grids, sa.func.ST_Covers(g.geom, i.geom))
        .where(wanted, current(view.asked), *wanted_incidents(view))
        .order_by(i.id, g.level, g.code).ext(distinct_on(i.id, g.level)).subquery("owned").c
    )  # fmt: skip
    query = sa.select(owned.cell, owned.level, owned.code, owned.name, sa.func.count().label("held"))
    table: dict[int, dict[Owner, int]] = {}
    for row in conn.execute(query.group_by(owned.cell, owned.level, owned.code, owned.name)):
        table.setdefault(row.cell, {})[row.level, row.code, row.name] = row.held
    return table


def _spot(found: Hotspots, part: npt.NDArray[np.int64], owners: dict[int, dict[Owner, int]]) -> Spot:
    held: dict[Owner, int] = {}
    for cell in found.cells[part].astype(np.int64).tolist():
        for owner, number in owners.get(cell, {}).items():
            held[owner] = held.get(owner, 0) + number
    count = int(found.count[part].sum())
    chain = sorted(owner for owner, number in held.items() if number >= SHARE * count)
    level, code, name = chain[-1] if chain else (None, None, None)
    return Spot(found.cells[part], count, code, name, level, [above for _, _, above in chain[:-1]])

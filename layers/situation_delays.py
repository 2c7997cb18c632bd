"""How much of each row of a situation is still to be reported, by the delay of its own grid and category."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sqlalchemy.engine import Connection

from layers.delays import is_reported, mean_share, unreported
from layers.situation_grids import Grids
from layers.view import View

Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class RowDelays:
    """Arrays of shape (rows,), in the order of grid, then category."""

    share: npt.NDArray[np.float64]
    """Of the row's incidents in the period that are still to be reported."""
    reported: Bools
    """Whether so few are that the row may be tested."""


def row_delays(
    conn: Connection, view: View, grids: Grids, known: list[str], within: Bools
) -> RowDelays:  # fmt: skip
    """Return what each grid and category of rows (`within`, of incidents' categories `known`) lacks.

    A row of too few incidents to know their delay is as its category in all grids together, one of too few
    as all that the view is of.
    """
    rows = len(grids.codes) * len(within)
    found = unreported(conn, view)
    if found is None:
        return RowDelays(np.zeros(rows), np.ones(rows, dtype=bool))
    place = {code: number for number, code in enumerate(known)}
    category = np.array([place[code] for code in found.category], dtype=np.int64)
    owner = grids.owners.find(conn, found.lon, found.lat)
    table = np.zeros((len(grids.owners.place) + 1, len(known), 2))  # the last owner: nobody
    np.add.at(table, (owner, category), np.column_stack((found.share, np.ones(len(owner)))))
    of_rows = np.einsum("ock,rc->ork", table, within.astype(np.float64))
    summed, held = of_rows.sum(axis=0).T
    of_category = mean_share(summed, held, found.whole)
    by_grid = (grids.holds @ of_rows[:-1].reshape(len(of_rows) - 1, -1)).reshape(-1, len(within), 2)
    share = mean_share(by_grid[..., 0], by_grid[..., 1], of_category).ravel()
    return RowDelays(share, is_reported(share, found.whole))

"""The incidents of a situation's period one by one: who owns them, and what became of them."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from gis import schema as t
from layers.owning import points
from layers.situation_grids import Grids
from layers.view import View, wanted_incidents

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Waiting:
    """The incidents of the period that a grid owns, one by one."""

    owner: Integers
    category: Integers
    code: npt.NDArray[np.object_]
    closed: Bools
    responded: Bools
    seconds: Floats
    """From report to response, or to now where there was none."""
    compared: Bools
    """Whether its source is tested with."""


def waiting(conn: Connection, view: View, grids: Grids, known: list[str], without: list[str]) -> Waiting:
    """Return the incidents of a closed period, of which those of some sources are not tested with."""
    i = t.incidents.c
    until = sa.func.coalesce(i.responded_at, sa.func.now())
    waited = sa.func.greatest(0, sa.func.date_part("epoch", until - i.reported_at))
    done = (i.state == "closed", i.responded_at.is_not(None), waited.label("waited"))
    kept = i.source.not_in(without).label("kept")
    lon, lat, category, code, closed, responded, seconds, compared = points(
        conn, wanted_incidents(view), i.category, i.code, *done, kept
    )
    owner = grids.owners.find(conn, lon, lat)
    owned = owner >= 0
    return Waiting(
        owner[owned], places(category[owned], known), code[owned], closed[owned].astype(bool),
        responded[owned].astype(bool), seconds[owned].astype(np.float64), compared[owned].astype(bool),
    )  # fmt: skip


def places(codes: npt.NDArray[np.object_], known: list[str]) -> Integers:
    """Return the place of each code among the known ones."""
    place = {code: number for number, code in enumerate(known)}
    return np.array([place[code] for code in codes], dtype=np.int64)

"""The grids of a situation: which are spoken of, what lies in them, and which are held against each other."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import sqlalchemy as sa
from scipy import sparse
from sqlalchemy.engine import Connection

from gis import schema as t
from gis.city import the_city
from gis.db import Record
from gis.errors import BadInput
from gis.grids import current
from layers import periods
from layers.owning import Owners, owners
from layers.silent_areas import SilentArea, chain_of, parents, set_aside
from layers.stats.situation import ALONE
from layers.view import View

Integers = npt.NDArray[np.int64]
WHOLE = ""
"""The code of the whole city where it has several highest grids; its level is 0."""


@dataclass(frozen=True)
class Grids:
    """The grids that are spoken of, in the order of their codes, and which grids lie in which."""

    codes: list[str]
    names: list[str]
    levels: Integers
    owners: Owners
    """Of incidents, each of which is of one grid's own place or of none."""
    holds: sparse.csr_array
    """(grids, owners)."""
    family: Integers
    """Equal for the children of one grid, and for grids of a level with nothing above; ALONE for a grid
    that is the whole of what is asked about."""


@dataclass(frozen=True)
class Aside:
    """Areas that were silent in a part of the time compared, and what of the grids they are."""

    areas: list[SilentArea]
    owned: npt.NDArray[np.bool_]
    """Owners that lie in one, shape (owners,)."""
    inside: npt.NDArray[np.bool_]
    """Grids that lie in one, shape (grids,)."""
    meets: npt.NDArray[np.bool_]
    """Grids that lie in one, or hold one."""


def areas_aside(conn: Connection, view: View, grids: Grids) -> Aside:
    """Return the areas that were silent in a part of a closed view."""
    assert view.start
    assert view.end
    areas = set_aside(conn, view, (view.start, view.end))
    out = np.zeros(len(grids.owners.place), dtype=bool)
    if areas:
        parent, codes = parents(conn, view), {one.code for one in areas}
        out[[at for one, at in grids.owners.place.items() if codes & {*chain_of(parent, one)}]] = True
    held = np.asarray(grids.holds @ out.astype(np.float64)).ravel()
    return Aside(areas, out, (held > 0) & (held == grids.holds.sum(axis=1)), held > 0)


def window(view: View, before: int) -> View:
    """Return the view of a closed period and so many before it."""
    assert view.start
    assert view.end
    return replace(view, start=periods.earlier(view.start, view.end, before))


def grids_of(conn: Connection, view: View, level: int | None) -> Grids:
    """Return the grids of a level, or of all, that a view shows.

    Raises BadInput where nothing of the level, or of the area, is to be seen.
    """
    g = t.grids.c
    known = sa.select(g.code, g.name, g.level, g.parent_code)
    found = conn.execute(known.where(current(view.asked)).order_by(g.code)).all()
    parent = {row.code: row.parent_code for row in found}
    below = owners(found, view.asked)
    chains = {code: _chain(parent, code) for code in parent}
    inside = view.narrowest
    shown = [
        row
        for row in found
        if level in {None, row.level} and all(code in chains[row.code] for code in inside)
    ]
    if not shown:
        raise _nothing_of(view, level, chains)
    return Grids(
        [row.code for row in shown], [row.name for row in shown], np.array([row.level for row in shown]),
        below, _holds([row.code for row in shown], below, chains), _families(shown, inside),
    )  # fmt: skip


def _nothing_of(view: View, level: int | None, chains: dict[str, list[str]]) -> BadInput:
    scope = view.scope[1] if view.scope else None
    if view.area and scope in view.narrowest and scope not in chains.get(view.area, []):
        return BadInput("area", f"{view.area} does not lie inside your scope, {scope}; name a grid inside it")
    if level is None:
        return BadInput("scheme", f"there is no grid of {view.scheme} to be seen here yet; import its grids")
    return BadInput("level", f"there is no grid of level {level} to be seen here")


def with_whole(conn: Connection, view: View, grids: Grids) -> Grids:
    """Return the grids of all levels with one more before them that holds all, where no grid of them does.

    That is in a city of several highest grids, whose swing no row would tell. A scope or an area is a grid.
    """
    all_owners = grids.holds.shape[1]
    if view.scope or view.area or (grids.holds.sum(axis=1) == all_owners).any():
        return grids
    all_of_them = sparse.csr_array(np.ones((1, all_owners)))
    return replace(
        grids, codes=[WHOLE, *grids.codes], names=[the_city(conn).name_zh, *grids.names],
        levels=np.r_[0, grids.levels], family=np.r_[ALONE, grids.family],
        holds=sparse.vstack([all_of_them, grids.holds], format="csr"),
    )  # fmt: skip


def _families(shown: Sequence[Record], inside: list[str]) -> Integers:
    """Number the families of grids; one that has no other of its level beside it and none above is ALONE."""
    above = [(row.level, None if row.code in inside else row.parent_code) for row in shown]
    numbers = {key: number for number, key in enumerate(dict.fromkeys(above))}
    members = Counter(above)
    return np.array(
        [ALONE if key[1] is None and members[key] == 1 else numbers[key] for key in above], dtype=np.int64
    )


def _holds(codes: list[str], below: Owners, chains: dict[str, list[str]]) -> sparse.csr_array:
    place = {code: number for number, code in enumerate(codes)}
    pairs = [
        (place[above], number)
        for owner, number in below.place.items()
        for above in chains[owner]
        if above in place
    ]
    rows, cols = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
    return sparse.csr_array((np.ones(len(rows)), (rows, cols)), shape=(len(codes), len(below.place)))


def _chain(parent: dict[str, str | None], code: str) -> list[str]:
    chain, above = [], code if code in parent else None
    while above is not None and above not in chain:
        chain.append(above)
        above = parent.get(above)
    return chain

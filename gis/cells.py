"""H3 cells: the one owner of h3, vectorised over whole columns of points."""

import re

import h3
import h3ronpy
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import shapely
from h3ronpy import ContainmentMode
from h3ronpy.vector import (
    cells_to_coordinates,
    cells_to_wkb_polygons,
    coordinates_to_cells,
    geometry_to_cells,
)

from gis.errors import BadInput

RESOLUTIONS = (6, 7, 8, 9, 10)
"""Every served resolution; points are indexed directly at each, since H3 children are not contained in
their parents (6-7 % of points disagree), so counts are never rolled up from finer cells."""

OWN_BITS = (1 << 52) - 1
"""The part of a cell's number that is its own at its resolution; JavaScript's numbers can hold it."""
_NAME = re.compile(r"8[0-9a-fA-F]{14}")
"""h3 takes any hexadecimal number, and more digits than 64 bits hold end in an OverflowError."""
Cells = npt.NDArray[np.uint64]
Degrees = npt.NDArray[np.float64]


def _numpy(array: pa.Array) -> Cells:
    cells: Cells = pa.array(array).to_numpy(zero_copy_only=False)
    return cells


def index(lon: Degrees, lat: Degrees, res: int) -> Cells:
    """Return the cell of each WGS-84 point, shape (n,), as uint64.

    Raises BadInput when a coordinate is not finite.
    """
    if not (np.isfinite(lon).all() and np.isfinite(lat).all()):
        raise BadInput("lon/lat", "every coordinate must be a finite number")
    return _numpy(coordinates_to_cells(np.asarray(lat, float), np.asarray(lon, float), res))


def stamp(lon: Degrees, lat: Degrees) -> dict[int, Cells]:
    """Return the cells of each point at every served resolution."""
    return {res: index(lon, lat, res) for res in RESOLUTIONS}


def boundaries(cells: Cells) -> npt.NDArray[np.object_]:
    """Return the outline of each cell as shapely polygons in WGS-84, shape (n,)."""
    wkb = pa.array(cells_to_wkb_polygons(pa.array(cells, pa.uint64()))).to_numpy(zero_copy_only=False)
    polygons: npt.NDArray[np.object_] = shapely.from_wkb(wkb)
    return polygons


def areas_m2(cells: Cells) -> npt.NDArray[np.float64]:
    """Return the spherical area of each cell in m²; it varies by 40 % over China, so rates need it."""
    areas: npt.NDArray[np.float64] = pa.array(h3ronpy.cells_area_m2(pa.array(cells, pa.uint64()))).to_numpy()
    return areas


def disc_pairs(cells: Cells, k: int) -> tuple[npt.NDArray[np.int64], Cells]:
    """Return (row, neighbour) pairs: every cell within `k` steps of each cell, itself included."""
    discs = pa.array(h3ronpy.grid_disk(pa.array(cells, pa.uint64()), k))
    rows = np.repeat(np.arange(len(cells)), np.diff(discs.offsets.to_numpy()))
    return rows, _numpy(discs.values)


def covering(box: tuple[float, float, float, float], res: int) -> Cells:
    """Return the cells at `res` that touch a box (west, south, east, north in WGS-84 degrees)."""
    return _numpy(geometry_to_cells(shapely.box(*box), res, ContainmentMode.Covers))


def centres(cells: Cells) -> tuple[Degrees, Degrees]:
    """Return lon and lat (WGS-84 degrees) of each cell's centre, shape (n,) each."""
    table = pa.record_batch(cells_to_coordinates(pa.array(cells, pa.uint64())))
    return table.column("lng").to_numpy(), table.column("lat").to_numpy()


def children(cells: Cells, res: int) -> tuple[Cells, npt.NDArray[np.int64]]:
    """Return the finer cells at `res` that stand for each cell, and the place of the cell each stands for."""
    lists = pa.array(h3ronpy.change_resolution_list(pa.array(cells, pa.uint64()), res))
    return _numpy(lists.values), np.repeat(np.arange(len(cells)), np.diff(lists.offsets.to_numpy()))


def parents(cells: Cells, res: int) -> Cells:
    """Return the cell at a coarser `res` that holds each cell's centre; its points may lie in another."""
    return _numpy(pa.array(h3ronpy.change_resolution(pa.array(cells, pa.uint64()), res)))


def to_text(cells: Cells) -> list[str]:
    """Return each cell's usual 15-character name."""
    return [h3.int_to_str(int(cell)) for cell in cells]


def to_numbers(cells: Cells) -> list[int]:
    """Return the part of each cell that is its own at its resolution (OWN_BITS).

    The name of a cell is "8", its resolution as a hexadecimal digit, and this as 13 more.
    """
    own: list[int] = (cells & np.uint64(OWN_BITS)).tolist()
    return own


def from_text(name: str) -> int:
    """Return the cell named by `name`.

    Raises BadInput when it is no H3 cell.
    """
    if not _NAME.fullmatch(name) or not h3.is_valid_cell(name):
        raise BadInput("cell", f"{name!r} is not an H3 cell")
    return int(h3.str_to_int(name))

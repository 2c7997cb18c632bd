"""A patch of hexagons in axial coordinates, for tests of statistics that need neighbours but no map."""

import numpy as np
from numpy.typing import NDArray
from scipy import sparse


def axial(side: int) -> NDArray[np.int64]:
    """Return the (q, r) coordinates, shape (side * side, 2), of a rhombus of hexagons."""
    q, r = np.divmod(np.arange(side * side), side)
    return np.column_stack([q, r])


def discs(side: int, k: int = 1) -> sparse.csr_array:
    """Return the 0/1 matrix whose row i marks the cells within k steps of cell i, itself included."""
    cells = axial(side)
    steps = [(dq, dr) for dq in range(-k, k + 1) for dr in range(-k, k + 1) if abs(dq + dr) <= k]
    rows, columns = [], []
    for step in steps:
        there = cells + step
        inside = ((there >= 0) & (there < side)).all(axis=1)
        rows.append(np.flatnonzero(inside))
        columns.append(there[inside] @ (side, 1))
    row, column = np.concatenate(rows), np.concatenate(columns)
    ones = np.ones(row.size)
    return sparse.csr_array((ones, (row, column)), shape=(side * side, side * side))

"""Indexing points: stamping 1 M points at one resolution against bare h3ronpy."""

import numpy as np
from h3ronpy.vector import coordinates_to_cells

from bench.measure import HEADER, ratio
from gis import cells

POINTS = 1_000_000


def main() -> None:
    """Print the ratio."""
    rng = np.random.default_rng(1)
    lon, lat = rng.uniform(112.9, 114.1, POINTS), rng.uniform(26.0, 28.1, POINTS)
    print(HEADER)
    print(
        ratio(
            "index 1 M points at res 9, against bare h3ronpy",
            lambda: cells.index(lon, lat, 9),
            lambda: coordinates_to_cells(lat, lon, 9),
            0.7,
        ).line()
    )


if __name__ == "__main__":
    main()

"""Staff of the demo: made-up people with made-up numbers, one or more in every grid."""

from datetime import date

import numpy as np
import pandas as pd
from numpy.random import Generator

from gis.demo.words import POSTS, STEM_NAMES, SURNAMES


def make_staff(grids: pd.DataFrame, populated: list[str], rng: Generator) -> pd.DataFrame:
    """Fill the posts of every populated grid (and of its counties and the city): canonical columns of staff.

    Names are a surname and two heavenly stems (张甲丙), as in textbook cases. Numbers begin with 100, as no
    eleven-digit telephone number in China does. In the lowest grids they hang on the notice board for all.
    """
    filled = (grids["level"] == 1) | grids["code"].str[:6].isin(populated)
    posts = [
        (code, post)
        for code, level in grids.loc[filled, ["code", "level"]].itertuples(index=False)
        for post in POSTS[level]
    ]
    table = pd.DataFrame(posts, columns=["grid_code", "post"])
    lowest = table["grid_code"].isin(grids.loc[grids["level"] == grids["level"].max(), "code"])
    count = len(table)
    surname = np.array(list(SURNAMES))[rng.integers(0, len(SURNAMES), count)]
    given = np.array(list(STEM_NAMES))[rng.integers(0, len(STEM_NAMES), (count, 2))]
    names = pd.Series(surname) + given[:, 0] + given[:, 1]
    started = [date(2023 + int(year), int(month), 1) for year, month in _starts(count, rng)]
    phone = pd.Series([f"100{number:08d}" for number in range(1, count + 1)])
    return pd.DataFrame({
        "origin_id": [f"S{number:05d}" for number in range(1, count + 1)],
        "name": names,
        "phone": phone,
        "public_phone": phone.where(lowest),
        "post": table["post"],
        "grid_code": table["grid_code"],
        "valid_from": started,
    })  # fmt: skip


def _starts(count: int, rng: Generator) -> np.ndarray[tuple[int, int], np.dtype[np.int64]]:
    """Draw a year (0 or 1 after the grids' first) and a month for each post."""
    return np.column_stack([rng.integers(0, 2, count), rng.integers(1, 13, count)])

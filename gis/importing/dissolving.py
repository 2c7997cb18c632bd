"""Upper levels made on import: the lowest grids dissolved by a column for each level, and the whole above."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from gis import coverage, mend
from gis.errors import BadInput

_FIELD = "--dissolve"


def with_levels(frame: pd.DataFrame, columns: Sequence[str], levels: Sequence[int], top: str) -> pd.DataFrame:
    """The rows of a file with those of the levels above them; `columns` go from the highest level down.

    The rows must be of one level and day, and each have all `columns`. The level above the highest column is
    the whole, with code `top`. Raises BadInput where a grid lies in two parents, or the levels do not fit.
    """
    for name in ("level", "valid_from", "valid_to"):
        if name in frame and len(frame[name].unique()) > 1:
            raise BadInput(_FIELD, f"the rows have more than one {name}; give one {name} a file")
    above = [rank for rank in levels if rank < int(frame["level"].iloc[0])]
    if not len(columns) <= len(above) <= len(columns) + 1:
        raise BadInput(_FIELD, f"the scheme has {len(above)} levels above the rows; name a column for each")
    frame = frame.reset_index(drop=True)
    frame["geometry"] = coverage.snap(frame["geometry"].to_numpy())[0]
    whole = [None] if len(above) > len(columns) else []
    made, lowest = [frame], frame
    for rank, column in zip(above[::-1], [*columns[::-1], *whole], strict=True):
        upper = _upper(frame, lowest, column, rank, top)
        upper.attrs["column"] = column
        made.append(upper)
        lowest = upper
    return pd.concat(made, ignore_index=True)


def _upper(
    frame: pd.DataFrame, lowest: pd.DataFrame, column: str | None, rank: int, top: str
) -> pd.DataFrame:
    """The grids of one level, from those right below it, whose `parent_code` is set."""
    parent = _parents(frame, lowest, column, top)
    lowest["parent_code"] = [parent[code] for code in lowest["code"]]
    units = coverage.to_units(lowest["geometry"].to_numpy())
    shapes = mend.dissolved(dict(zip(lowest["code"], units, strict=True)), parent)
    upper = frame.iloc[: len(shapes)].copy()
    upper["code"] = upper["name"] = list(shapes)
    upper["level"] = rank
    upper["parent_code"] = None
    upper["geometry"] = coverage.to_degrees(np.array(list(shapes.values()), dtype=object))
    return upper


def _parents(frame: pd.DataFrame, lowest: pd.DataFrame, column: str | None, top: str) -> dict[str, str]:
    """The parent of each grid right below a level."""
    if column is None:
        return dict.fromkeys(lowest["code"], top)
    below = frame["code"] if lowest is frame else frame[lowest.attrs["column"]]
    pairs = pd.DataFrame({"code": below, "parent": frame[column]})
    pairs = pairs.drop_duplicates()
    twice = pairs.loc[pairs["code"].duplicated(), "code"]
    if len(twice):
        raise BadInput(_FIELD, f"{twice.iloc[0]} lies in two {column}; correct the column")
    return dict(zip(pairs["code"], pairs["parent"].astype(str), strict=True))

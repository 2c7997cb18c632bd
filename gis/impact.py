"""What new boundaries change: who owns which object before and after, and which grid came from which."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
import shapely
from shapely.geometry.base import BaseGeometry

from gis import borders, coverage, locate
from gis.coverage import Floats, Geoms

Grids = Mapping[str, BaseGeometry]
"""The lowest grids by code, EPSG:4326, on the fixed precision."""

NOBODY = ""


@dataclass(frozen=True)
class Points:
    """Objects of one kind by place (EPSG:4326), one weight each: households, or 1 where all count alike."""

    lon: npt.ArrayLike
    lat: npt.ArrayLike
    weight: npt.ArrayLike | None = None

    def weights(self) -> Floats:
        """The weights as an array."""
        if self.weight is None:
            return np.ones(len(np.asarray(self.lon)))
        return np.asarray(self.weight, dtype=np.float64)


def moved(old: Grids, new: Grids, points: Points) -> pd.DataFrame:
    """The objects whose owner changes: `row` (their place in the input), `before` and `after`.

    Only grids that differ are looked at, and their neighbours, who may own a shared border. Nobody's code
    is "".
    """
    before, after = _owners(old, new, points)
    rows = np.flatnonzero(before != after)
    return pd.DataFrame({"row": rows, "before": before[rows], "after": after[rows]})


def impact(old: Grids, new: Grids, layers: Mapping[str, Points]) -> pd.DataFrame:
    """The objects of all layers that change owner, as `moved` has them, with `layer` and their `weight`."""
    sizes = [len(np.asarray(points.lon)) for points in layers.values()]
    lon, lat = (np.concatenate([np.asarray(getattr(p, c)) for p in layers.values()]) for c in ("lon", "lat"))
    table = moved(old, new, Points(lon, lat))
    layer = np.repeat(np.arange(len(sizes)), sizes)[table["row"]]
    table["layer"] = np.array(list(layers), dtype=object)[layer]
    table["weight"] = np.concatenate([points.weights() for points in layers.values()])[table["row"]]
    table["row"] -= (np.cumsum(sizes) - sizes)[layer]
    return table[["layer", "row", "before", "after", "weight"]]


def workload(grids: Grids, layers: Mapping[str, Points]) -> pd.DataFrame:
    """What each grid has: a row per code, a column per layer with the sum of weights, and `area_m2`."""
    codes = list(grids)
    most = max(layers.values(), key=lambda points: len(np.asarray(points.lon)), default=Points([], []))
    locator = locate.build(_shapes(grids), codes, _bins(most))
    table = pd.DataFrame({"code": codes, "area_m2": coverage.areas_m2(_shapes(grids))}).set_index("code")
    for name, points in layers.items():
        owner, _ = locator.locate(points.lon, points.lat)
        owned = owner >= 0
        table[name] = np.bincount(owner[owned], weights=points.weights()[owned], minlength=len(codes))
    return table


def lineage(old: Grids, new: Grids, buildings: Points | None = None) -> pd.DataFrame:
    """Where the ground of each former grid is now: a row for each pair with ground in common.

    `kind` is kept, split (into a new code), merged (its own code is gone) or moved; `area_share`,
    `household_share` and `building_share` are shares of the former grid and sum to 1 for each (a grid without
    households or buildings shares them as its area). Pieces no wider than rounding count as kept.
    """
    rows = _ground(old, new)
    kinds = [_kind(a, b, old, new) for a, b in zip(rows["before"], rows["after"], strict=True)]
    table = rows.assign(kind=kinds, area_share=_share(rows, rows["area_m2"]))
    points = buildings or Points([], [])
    before, after = _owners(old, new, points)
    pairs = pd.DataFrame({"before": before, "after": after})
    for name, weights in {"household_share": points.weights(), "building_share": np.ones(len(pairs))}.items():
        found = pairs.assign(weight=weights).groupby(["before", "after"])["weight"].sum()
        amount = rows.join(found, on=["before", "after"])["weight"].fillna(0.0)
        whole = amount.groupby(rows["before"]).transform("sum")
        table[name] = (amount / whole).where(whole > 0, table["area_share"])
    return table.sort_values(["before", "area_share"], ascending=[True, False], ignore_index=True)


def _shapes(grids: Grids) -> Geoms:
    return np.array(list(grids.values()), dtype=object)


def _bins(points: Points) -> int:
    """As many bins as pay for so many points."""
    return min(locate.BINS, 4096 + 16 * len(np.asarray(points.lon)))


def _touched(old: Grids, new: Grids) -> tuple[list[str], list[str]]:
    """The codes on either side that differ or touch ground that does."""
    differ = [c for c in {*old, *new} if not _same(old.get(c), new.get(c))]
    ground = [shape for grids in (old, new) for c in differ if (shape := grids.get(c)) is not None]
    near = []
    for grids in (old, new):
        codes = list(grids)
        hits = shapely.STRtree(_shapes(grids)).query(np.array(ground, dtype=object), predicate="intersects")[
            1
        ]
        near.append([codes[i] for i in np.unique(hits)])
    return near[0], near[1]


def _same(one: BaseGeometry | None, other: BaseGeometry | None) -> bool:
    return one is other or (
        one is not None and other is not None and bool(shapely.equals_identical(one, other))
    )


def _owners(
    old: Grids, new: Grids, points: Points
) -> tuple[npt.NDArray[np.object_], npt.NDArray[np.object_]]:
    """Each object's owner before and after; of ground where nothing changed, "" on both sides."""
    owners = []
    for grids, codes in zip((old, new), _touched(old, new), strict=True):
        shapes = [grids[code] for code in codes]
        owner, _ = locate.build(shapes, codes, _bins(points)).locate(points.lon, points.lat)
        owners.append(np.array([*codes, NOBODY], dtype=object)[owner])
    return owners[0], owners[1]


def _ground(old: Grids, new: Grids) -> pd.DataFrame:
    """Pairs of grids with ground in common and how much; without pieces that only rounding made."""
    alike = {code: None for code in old if _same(old[code], new.get(code))}  # a set in the order given
    before, after = [c for c in old if c not in alike], [c for c in new if c not in alike]
    one, other = (
        coverage.to_units(np.array([g[c] for c in codes], dtype=object))
        for g, codes in ((old, before), (new, after))
    )
    i, j = (
        shapely.STRtree(other).query(one, predicate="intersects")
        if before and after
        else np.zeros((2, 0), int)
    )
    shared = shapely.intersection(one[i], other[j])
    real = (shapely.area(shared) > 0) & (~borders.are_rounding(shared) | _alone(i))
    pairs = [(before[a], after[b]) for a, b in zip(i[real], j[real], strict=True)] + [(c, c) for c in alike]
    area = np.concatenate(
        [
            coverage.areas_m2(coverage.to_degrees(shared[real])),
            coverage.areas_m2(np.array([old[c] for c in alike], dtype=object)),
        ]
    )
    return pd.DataFrame(pairs, columns=["before", "after"]).assign(area_m2=area)


def _alone(index: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Whether an index occurs once only."""
    return np.bincount(index, minlength=1)[index] == 1 if len(index) else np.zeros(0, dtype=bool)


def _share(rows: pd.DataFrame, amount: "pd.Series[float]") -> "pd.Series[float]":
    return amount / amount.groupby(rows["before"]).transform("sum")


def _kind(before: str, after: str, old: Grids, new: Grids) -> str:
    if before == after:
        return "kept"
    if before not in new:
        return "merged"
    return "moved" if after in old else "split"

"""A set of grids as it comes to the checks: parsed once, with what the checks share, and what a fault is."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from shapely.geometry.base import BaseGeometry

from gis import borders, coverage
from gis.borders import Family
from gis.coverage import Bools, Geoms, Ints
from gis.errors import BadInput
from gis.tolerances import SLIVER_WIDTH_M

Severity = Literal["error", "advice"]

NARROW = {"gap", "overlap", "hole", "orphan", "outside_parent"}
"""Kinds that say so where they are narrower."""

KINDS: dict[str, tuple[Severity, str, str]] = {
    "gap": (
        "error",
        "{codes} 之间有 {area} 平方米不属于任何网格",
        "{area} m² between {codes} belong to no grid",
    ),
    "overlap": ("error", "{codes} 重叠 {area} 平方米", "{codes} overlap by {area} m²"),
    "loose_piece": (
        "error",
        "{codes} 有一块分离的碎片,宽度不足 1 米,面积 {area} 平方米",
        "a loose piece of {codes}, {area} m² and less than 1 m wide, lies apart from the rest",
    ),
    "hole": (
        "error",
        "{codes} 内部有 {area} 平方米的空洞不属于任何网格",
        "a hole of {area} m² inside {codes} belongs to no grid",
    ),
    "orphan": (
        "error",
        "上级边界处有 {area} 平方米无人认领,相邻 {codes}",
        "{area} m² at the parent's border are nobody's, next to {codes}",
    ),
    "outside_parent": (
        "error",
        "{codes} 超出上级网格 {area} 平方米",
        "{codes} reaches {area} m² outside its parent",
    ),
    "no_parent": ("error", "{codes} 的上级网格不存在", "the parent of {codes} does not exist"),
    "bow_tie": ("error", "{codes} 的边界自相交", "the border of {codes} crosses itself"),
    "duplicate": ("error", "{codes} 的范围完全相同或编码重复", "{codes} have the same area or the same code"),
    "unmatched_vertices": (
        "advice",
        "{codes} 与相邻边界的顶点不一致",
        "{codes} does not share every vertex of its border",
    ),
    "not_contiguous": ("advice", "{codes} 分成互不相连的几块", "{codes} falls into separate parts"),
    "neck": (
        "advice",
        "{codes} 有一段过于狭窄,面积 {area} 平方米,平均宽度不足规定",
        "{codes} has a stretch of {area} m² that is narrower than wanted",
    ),
    "upper_changed": (
        "advice",
        "上级网格 {codes} 的范围改变 {area} 平方米",
        "{area} m² pass into or out of {codes}, which has grids below it",
    ),
    "building_split": ("advice", "{codes} 的边界穿过建筑物", "a border of {codes} cuts through a building"),
    "size": (
        "advice",
        "{codes} 的户数超出规定范围",
        "{codes} has a number of households out of the wanted range",
    ),
    "compactness": ("advice", "{codes} 形状过于狭长或曲折", "{codes} is long or ragged"),
    "barrier_crossed": (
        "advice",
        "{codes} 被河流、铁路或主干道分隔",
        "a river, railway or arterial road runs through {codes}",
    ),
}
"""Every kind of fault: how grave, and what it says. An area lost or doubled is an error, the rest advice."""


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong; `geometry` in EPSG:4326 shows where.

    `area_m2` and the mean `width_m` are 0.0 for lines and points.
    """

    kind: str
    severity: Severity
    codes: tuple[str, ...]
    geometry: BaseGeometry
    area_m2: float
    message_zh: str
    message_en: str
    width_m: float = 0.0


@dataclass(frozen=True)
class HouseholdRange:
    """The wanted number of households per unit grid, in force since a day, by whose rule."""

    low: int = 300
    high: int = 500
    since: str = ""
    source: str = ""


@dataclass(frozen=True)
class Surroundings:
    """What the advisory checks look at beside the grids; EPSG:4326, each part may be left out."""

    buildings: Sequence[BaseGeometry] | gpd.GeoSeries = ()
    households: Sequence[int] | None = None
    barriers: Sequence[BaseGeometry] | gpd.GeoSeries = ()
    wanted: HouseholdRange = field(default_factory=HouseholdRange)
    neck_width_m: float = 2.0
    """A stretch narrower than this is advised against: two people cannot walk there side by side."""


@dataclass(frozen=True)
class Case:
    """Grids to check: codes, polygons in units, and the parent of each.

    `parent` indexes `parents`, where 0 is the outline of the whole or None; -1 is a parent that is missing.
    """

    codes: tuple[str, ...]
    given: Geoms
    parent: Ints
    parents: tuple[BaseGeometry | None, ...]
    leaf: Bools
    around: Surroundings

    @cached_property
    def valid(self) -> Bools:
        """Which polygons are valid as given."""
        return np.asarray(shapely.is_valid(self.given), dtype=bool)

    @cached_property
    def units(self) -> Geoms:
        """The polygons with bow-ties untied, so that one broken grid does not hide its neighbours' faults."""
        fixed = self.given.copy()
        fixed[~self.valid] = _areal(shapely.make_valid(fixed[~self.valid]))
        return fixed

    @cached_property
    def families(self) -> list[Family]:
        """The families whose borders do not cancel; empty for a perfect map."""
        return list(borders.open_families(self.units, self.parent, self.parents))

    def fault(
        self, kind: str, owners: Iterable[Any], units: BaseGeometry, severity: Severity | None = None
    ) -> Fault:
        """A fault of that kind at a geometry in units."""
        return fault(kind, {self.codes[i] for i in owners}, units, severity)


def fault(kind: str, codes: Iterable[str], units: BaseGeometry, severity: Severity | None = None) -> Fault:
    """A fault of that kind of grids at a geometry in units."""
    where = coverage.to_degrees(units)
    area = float(coverage.areas_m2(where)[0])
    named = tuple(sorted(codes))
    said = {"codes": "、".join(named) or "?", "area": _number(area)}
    default, zh, en = KINDS[kind]
    english = en.format(**said | {"codes": ", ".join(named) or "the parent"})
    width = borders.width_m(units) if area else 0.0
    narrow = kind in NARROW and 0 < width < SLIVER_WIDTH_M
    chinese = zh.format(**said) + ",宽度不足 1 米" * narrow
    return Fault(
        kind, severity or default, named, where, area, chinese,
        english + ", less than 1 m wide" * narrow, width,
    )  # fmt: skip


def parse(
    grids: gpd.GeoDataFrame | Mapping[str, BaseGeometry], parent: BaseGeometry | None, around: Surroundings
) -> Case:
    """The case of grids in EPSG:4326; raises BadInput where a column is missing or a row is no polygon."""
    codes, geoms, above = _columns(grids)
    units = np.asarray(coverage.to_units(coverage.as_geoms(geoms)), dtype=object)
    row = {code: i for i, code in enumerate(codes)}
    named = sorted({code for code in above if code in row})
    index = {code: i + 1 for i, code in enumerate(named)}
    family = [0 if code is None else index.get(code, -1) for code in above]
    parents = (coverage.to_units(parent) if parent is not None else None, *(units[row[c]] for c in named))
    leaf = np.array([code not in index for code in codes], dtype=bool)
    return Case(codes, units, np.array(family, dtype=np.int64), parents, leaf, around)


def _columns(
    grids: gpd.GeoDataFrame | Mapping[str, BaseGeometry],
) -> tuple[tuple[str, ...], Any, list[str | None]]:
    """Codes, geometries and the codes of the parents."""
    if isinstance(grids, Mapping):
        return tuple(grids), list(grids.values()), [None] * len(grids)
    if "code" not in grids:
        raise BadInput("code", "the frame of grids has no such column")
    codes = tuple(grids["code"].astype(str))
    above = grids["parent_code"] if "parent_code" in grids else [None] * len(codes)
    level = list(grids["level"]) if "level" in grids else [0] * len(codes)
    top = min(level, default=0)
    # Below the highest level a grid without a parent lacks one: it is no neighbour of the grids at the top.
    lacking = ("" if rank > top else None for rank in level)
    named = [lacks if pd.isna(code) else str(code) for code, lacks in zip(above, lacking, strict=True)]
    return codes, grids.geometry.to_numpy(), named


def _areal(geoms: Geoms) -> Geoms:
    """Only the polygons of collections."""
    return np.array(
        [shapely.union_all([p for p in shapely.get_parts(g) if p.area > 0]) for g in geoms], dtype=object
    )


def _number(area: float) -> str:
    return f"{area:.0f}" if area >= 10 else f"{area:.3g}"

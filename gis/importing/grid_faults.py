"""What an import says of the faults of a grid set: as GeoJSON, in words by kind and grid, with causes."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from shapely.geometry.base import BaseGeometry

from gis import faults
from gis.case import Fault
from gis.whole_files import whole

SHOWN = 5
"""Grids named in the note; the file has all."""
MOST_OF_IT = 0.5
"""A refused row with this share of the ground that a fault lacks is its cause."""


@dataclass(frozen=True)
class Lost:
    """A refused row: its number, the code and shape (EPSG:4326) it would have had, why it was refused."""

    row: int
    code: str
    shape: BaseGeometry | None
    why: str


def explained(found: Iterable[Fault], lost: Sequence[Lost]) -> list[Fault]:
    """Faults, those that a refused row caused saying so: its ground is missing, or it is the parent."""
    with_ground = [one for one in lost if one.shape is not None and not one.shape.is_empty]
    shapes = shapely.make_valid(np.array([one.shape for one in with_ground], dtype=object))
    tree = shapely.STRtree(shapes)
    return [_explained(fault, with_ground, shapes, tree) for fault in found]


def dated(found: Iterable[Fault], why: Mapping[str, tuple[str, str]]) -> list[Fault]:
    """Return the faults, those of grids whose parents hold on other days saying so (`why`: zh, en)."""
    return [_dated(fault, why) if fault.kind == "no_parent" else fault for fault in found]


def _dated(fault: Fault, why: Mapping[str, tuple[str, str]]) -> Fault:
    zh, en = why.get(fault.codes[0], (fault.message_zh, fault.message_en))
    return replace(fault, message_zh=zh, message_en=en)


def _explained(fault: Fault, lost: Sequence[Lost], shapes: Any, tree: shapely.STRtree) -> Fault:
    if fault.kind not in {"gap", "hole", "orphan"} or fault.area_m2 <= 0:
        return fault
    for i in tree.query(fault.geometry, predicate="intersects").tolist():
        if shapely.intersection(shapes[i], fault.geometry).area > MOST_OF_IT * fault.geometry.area:
            one = lost[i]
            cause = f"row {one.row} ({one.code}), which lay there, was refused: {one.why}"
            return replace(
                fault,
                message_en=f"{fault.message_en}; {cause}",
                message_zh=f"{fault.message_zh};此处的第 {one.row} 行（{one.code}）被拒绝",
            )
    return fault


def grouped(found: Iterable[Fault]) -> str:
    """How many faults of each kind with their ground, and the grids with the most, in words."""
    errors = [fault for fault in found if fault.severity == "error"]
    kinds = Counter(fault.kind for fault in errors)
    by_grid: dict[str, Counter[str]] = {}
    for fault in errors:
        for code in fault.codes:
            by_grid.setdefault(code, Counter())[fault.kind] += 1
    most = sorted(by_grid.items(), key=lambda item: (-item[1].total(), item[0]))
    ground: Counter[str] = Counter()
    for fault in errors:
        ground[fault.kind] += fault.area_m2  # type: ignore[assignment] # areas add up as counts do
    told = ", ".join(f"{count} {kind}{_area(ground[kind])}" for kind, count in kinds.most_common())
    grids = "; ".join(
        f"{code}: {', '.join(f'{n} {k}' for k, n in of.most_common())}" for code, of in most[:SHOWN]
    )
    more = f"; and {len(most) - SHOWN} more grids" if len(most) > SHOWN else ""
    return f"{told} ({grids}{more})" if errors else ""


def _area(m2: float) -> str:
    """Return ground in words: whole square metres, less than one with its digits, nothing for none."""
    return "" if m2 <= 0 else f" of {m2:,.0f} m²" if m2 >= 1 else f" of {m2:.2g} m²"


def write(found: list[Fault], path: Path) -> None:
    """Write all faults as GeoJSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole(path) as part:
        part.write_text(json.dumps(faults.to_geojson(found), ensure_ascii=False), encoding="utf-8")


def listed(found: Iterable[Fault]) -> list[dict[str, Any]]:
    """Faults as the batch records them."""
    return [
        {"kind": f.kind, "severity": f.severity, "codes": f.codes, "area_m2": round(f.area_m2, 3)}
        for f in found
    ]

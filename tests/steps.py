"""Random steps of redrawing, seeded: every kind, with lines as a hand draws them."""

from typing import Any

import numpy as np
import shapely
from sqlalchemy.engine import Connection

from gis import coverage, plans
from gis.access import Principal
from gis.errors import Problem
from gis.parts import shared
from gis.settle import Coverage, edges_of, is_grid
from gis.spare import spare_keys

Step = dict[str, Any]


def random_step(cov: Coverage, rng: np.random.Generator, size: int) -> Step:
    """A step that fits the coverage more often than not; `size` is the number of grids to stay near."""
    leaves = sorted(filter(is_grid, cov.shapes))
    grow = len(leaves) < size * rng.uniform(0.8, 1.2)
    kinds = [_split, _split] if grow else [_merge, _merge]
    kinds += [_reshape, _move_vertex, _move_edge, _assign, _buildings, _take_in, _rename, _renumber, _upper]
    return kinds[rng.integers(len(kinds))](cov, leaves, rng)


def take_steps(
    conn: Connection, who: Principal, plan: int, steps: int, *, seed: int, size: int, without: str = ""
) -> None:
    """Take so many random steps in a plan of the store; those that are refused do not count."""
    rng, taken = np.random.default_rng(seed), 0
    while taken < steps:
        line = {name: _json(of) for name, of in random_step(plans.draft(conn, plan).cov, rng, size).items()}
        if line["op"] == without:
            continue
        try:
            with conn.begin_nested():
                plans.take(conn, who, plan, line)
        except Problem:
            continue
        taken += 1


def _json(value: object) -> Any:
    if isinstance(value, shapely.Geometry):
        return shapely.geometry.mapping(value)
    if isinstance(value, list | tuple | np.ndarray):
        return [_json(one) for one in value]
    return value.item() if isinstance(value, np.generic) else value


def _pick(items: list[str], rng: np.random.Generator) -> str:
    return items[rng.integers(len(items))]


def _lonlat(units: Any) -> list[Any]:
    return (np.asarray(units, dtype=float) / coverage.UNITS_PER_DEGREE).tolist()


def _line(units: Any) -> shapely.LineString:
    return shapely.LineString(_lonlat(units))


def _split(cov: Coverage, leaves: list[str], rng: np.random.Generator) -> Step:
    code = _pick(leaves, rng)
    box = np.array(cov.shapes[code].bounds).reshape(2, 2)
    if rng.random() < 0.2:
        centre, radius = rng.uniform(*box), float((box[1] - box[0]).min()) * rng.uniform(0.02, 0.3)
        return {"op": "split", "code": code, "line": _line(_ring(centre, radius, rng))}
    angle, middle, reach = rng.uniform(0, np.pi), rng.uniform(*box), float(np.hypot(*(box[1] - box[0])))
    along = np.array([np.cos(angle), np.sin(angle)]) * reach
    bends = rng.normal(0, reach / 50, (rng.integers(0, 4), 2)) + middle
    return {"op": "split", "code": code, "line": _line([middle - along, *bends[:1], middle + along])}


def _ring(centre: Any, radius: float, rng: np.random.Generator) -> Any:
    angles = np.linspace(0, 2 * np.pi, rng.integers(4, 12))[:-1]
    ring = centre + radius * np.column_stack([np.cos(angles), np.sin(angles)]) * rng.uniform(
        0.7, 1.3, (len(angles), 1)
    )
    return [*ring, ring[0]]


def _pair(cov: Coverage, leaves: list[str], rng: np.random.Generator) -> tuple[str, str]:
    one = _pick(leaves, rng)
    near = [code for code in cov.near(cov.shapes[one]) if code != one and is_grid(code)]
    return one, _pick(near, rng) if near else _pick(leaves, rng)


def _merge(cov: Coverage, leaves: list[str], rng: np.random.Generator) -> Step:
    one, other = _pair(cov, leaves, rng)
    return {"op": "merge", "codes": [one, other], "into": _pick([one, other], rng)}


def _reshape(cov: Coverage, leaves: list[str], rng: np.random.Generator) -> Step:
    one, other = _pair(cov, leaves, rng)
    return {"op": "reshape", "codes": [one, other], "line": _along(cov, one, other, rng)}


def _along(cov: Coverage, one: str, other: str, rng: np.random.Generator) -> shapely.LineString:
    """A line from one place on the border of two grids to another, by a point beside it."""
    border = shared(cov.shape(one), cov.shape(other))
    merged = shapely.line_merge(shapely.MultiLineString(border))
    parts = [part for part in shapely.get_parts(merged) if part.length > 0]
    if not parts:
        return _line([cov.shape(one).bounds[:2], cov.shape(one).bounds[2:]])
    part = parts[rng.integers(len(parts))]
    a, b = (part.interpolate(s, normalized=True).coords[0] for s in sorted(rng.uniform(0, 1, 2)))
    beside = (np.array(a) + b) / 2 + rng.normal(0, part.length / 8, 2)
    return _line([a, beside, b])


def _move_vertex(cov: Coverage, leaves: list[str], rng: np.random.Generator) -> Step:
    xy = shapely.get_coordinates(cov.shapes[_pick(leaves, rng)])
    at = xy[rng.integers(len(xy))]
    return {"op": "move_vertex", "at": _lonlat(at), "to": _lonlat(at + rng.normal(0, 1000, 2))}


def _move_edge(cov: Coverage, leaves: list[str], rng: np.random.Generator) -> Step:
    low, high = edges_of([cov.shapes[_pick(leaves, rng)]])
    i, step = rng.integers(len(low)), rng.normal(0, 800, 2)
    ends = np.array([low[i], high[i]], dtype=float)
    return {"op": "move_edge", "edge": _lonlat(ends), "to": _lonlat(ends + step)}


def _assign(cov: Coverage, leaves: list[str], rng: np.random.Generator) -> Step:
    one, _ = _pair(cov, leaves, rng)
    xy = shapely.get_coordinates(cov.shapes[one])
    ring = _ring(xy[rng.integers(len(xy))], np.sqrt(cov.shapes[one].area) * rng.uniform(0.05, 0.4), rng)
    return {"op": "assign", "to": one, "area": shapely.Polygon(_lonlat(ring))}


def _buildings(cov: Coverage, leaves: list[str], rng: np.random.Generator) -> Step:
    one, other = _pair(cov, leaves, rng)
    x, y = shapely.get_coordinates(cov.shapes[other].point_on_surface())[0]
    return {
        "op": "assign",
        "to": one,
        "buildings": [coverage.to_degrees(shapely.box(x, y, x + 900, y + 1400))],
    }


def _take_in(cov: Coverage, leaves: list[str], rng: np.random.Generator) -> Step:
    there = [cov.shapes[key] for key in spare_keys(cov)]
    spare = shapely.get_parts(there or [shapely.Point(1.131e9, 2.78e8)])
    at = shapely.get_coordinates(spare[rng.integers(len(spare))].point_on_surface())[0]
    near = [code for code in cov.near(shapely.Point(at).buffer(3000)) if is_grid(code)]
    op = ("take_in", "give")[rng.integers(2)]
    return {"op": op, "at": _lonlat(at), "to": _pick(near or leaves, rng)}


def _rename(_: Coverage, leaves: list[str], rng: np.random.Generator) -> Step:
    return {"op": "rename", "code": _pick(leaves, rng), "name": f"网格 {rng.integers(100)}"}


def _renumber(_: Coverage, leaves: list[str], rng: np.random.Generator) -> Step:
    return {"op": "renumber", "codes": rng.permutation(leaves).tolist()}


def _upper(cov: Coverage, leaves: list[str], rng: np.random.Generator) -> Step:
    """A step on the level above the lowest, where there is one."""
    upper = sorted({grid.parent for code in leaves if (grid := cov.grids[code]).parent is not None})
    siblings = [u for u in upper if cov.grids[u].parent == cov.grids[upper[0]].parent] if upper else []
    if len(siblings) < 2:
        return _reshape(cov, leaves, rng)
    one, other = rng.permutation(siblings)[:2].tolist()
    kind = rng.integers(4)
    if kind == 0:
        return {"op": "transfer", "code": _pick(cov.children[one], rng), "parent": other}
    if kind == 1 and len(siblings) > 3:
        return {"op": "merge", "codes": [one, other]}
    if kind == 2:
        box = np.array(cov.shape(one).bounds).reshape(2, 2)
        return {"op": "split", "code": one, "line": _line([box[0], box[1]])}
    return {"op": "reshape", "codes": [one, other], "line": _along(cov, one, other, rng)}

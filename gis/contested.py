"""Contested ground: what several of the lowest grids claim, kept apart from what each of them has alone.

A grid as recorded is what it has alone and what it claims. So a plan can begin on a map with overlaps, keeps
every recorded outline until a step gives the ground to somebody, and its steps stay exact.
"""

from collections.abc import Iterable, Mapping

import numpy as np
import shapely
from shapely.geometry.base import BaseGeometry

from gis import borders, coverage, mend
from gis.errors import Emptied
from gis.lattice import Tees
from gis.parts import longest_border
from gis.settle import CONTESTED, Coverage, claimants, contested_by, is_grid, total, with_tees

Shapes = dict[str, BaseGeometry]


def apart(lowest: Mapping[str, BaseGeometry]) -> tuple[Shapes, Shapes]:
    """What each of the lowest grids (units) has alone, maybe nothing, and contested ground by key.

    Only grids that overlap are noded; the rest stay as they are, but for each other's vertices.
    """
    codes = list(lowest)
    matched = coverage.match(np.array(list(lowest.values()), dtype=object))
    nobody = np.zeros(len(codes), dtype=np.int64)
    families = borders.open_families(matched, nobody, (None,))
    several = sorted({i for family in families for pair, _ in family.doubled for i in pair})
    arranged = mend.arrange({codes[i]: matched[i] for i in several})
    contested: dict[str, list[BaseGeometry]] = {}
    for owners, piece in arranged.pieces():
        if owners:
            key = contested_by(arranged.codes[i] for i in owners)
            contested.setdefault(key, []).append(piece)
    alone = dict(zip(codes, shapely.normalize(matched), strict=True)) | arranged.sole
    return alone, {key: total(pieces) for key, pieces in contested.items()}


def refuse_bare(cov: Coverage) -> Coverage:
    """The coverage, if each of its lowest grids has or claims ground; raises Emptied."""
    for code, shape in cov.shapes.items():
        if shape.is_empty and is_grid(code) and code not in cov.claims:
            raise Emptied(f"grid {code} would lose all its ground; merge it instead")
    return cov


def passed_to(cov: Coverage, gone: Iterable[str], to: str) -> tuple[Shapes, list[BaseGeometry]]:
    """The claims of grids as one's: contested ground by key (empty: none is left), and what is its alone."""
    changes: dict[str, list[BaseGeometry]] = {}
    alone = []
    for key in sorted({key for code in gone for key in cov.claims.get(code, [])}):
        changes.setdefault(key, [])
        heirs = {to if code in set(gone) else code for code in claimants(key)}
        if len(heirs) == 1:
            alone.append(cov.shapes[key])
        else:
            same = contested_by(heirs)
            old = [cov.shapes[same]] if same in cov.shapes and same not in changes else []
            changes.setdefault(same, []).extend([*old, cov.shapes[key]])
    return {key: total(parts) for key, parts in changes.items()}, alone


def divided(before: Coverage, code: str, pieces: Mapping[str, BaseGeometry], tees: Tees) -> Shapes:
    """The claims of a grid that is split, each with the piece that it shares the longest border with.

    `tees`: the vertices that the line puts into edges.
    """
    sides = {one: [piece] for one, piece in pieces.items()}
    found: dict[str, list[BaseGeometry]] = {key: [] for key in before.claims.get(code, [])}
    for key in list(found):
        for part in with_tees(shapely.get_parts(before.shapes[key]), tees):
            heir = longest_border(part, sides) or code
            others = [one for one in claimants(key) if one != code]
            found.setdefault(contested_by([*others, heir]), []).append(part)
    return {key: total(parts) for key, parts in found.items()}


def recoded(key: str, codes: Mapping[str, str]) -> str:
    """The key of contested ground once grids have other codes; any other key as it is."""
    return contested_by(codes.get(one, one) for one in claimants(key)) if key.startswith(CONTESTED) else key

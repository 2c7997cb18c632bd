"""Mending a draft: who should have contested ground, nobody's and loose pieces, taken as one step."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import orjson
import shapely
from sqlalchemy.engine import Connection

from gis import coverage, plans
from gis.access import Principal
from gis.errors import BadInput, Emptied, Problem
from gis.mend import Proposal, proposed
from gis.plan_outside import owners
from gis.plans import ANYWHERE, Done, Draft
from gis.settle import Coverage, claimants, is_grid
from gis.spare import spare_keys

Accepted = Literal["sure", "all"] | Sequence[int]


@dataclass(frozen=True)
class Mended:
    """Proposals taken as one step of the tree, and those that could not be, with the reason by number."""

    done: Done
    taken: list[Proposal]
    skipped: dict[int, str]


def proposals(cov: Coverage) -> list[Proposal]:
    """Who should have the ground of a draft that several claim, or none, and its slivers; largest first.

    They are those of `safetymap mend`, for the ground that the scope's outline holds; what grids outside of
    the scope own of it is not unowned.
    """
    alone = {code: cov.shapes[code] for code in sorted(filter(is_grid, cov.shapes))}
    parts = [(key, part) for key in sorted(spare_keys(cov)) for part in shapely.get_parts(cov.shapes[key])]
    free = [(claimants(key), part) for key, part in parts if claimants(key) or not owners(cov, part)]
    return proposed(alone, free)


def uppers(cov: Coverage, one: Proposal) -> list[str]:
    """Return the upper grids that would get or lose the ground of a proposal."""
    inside = one.shape.representative_point()
    held = [key for key in cov.near(inside) if shapely.covers(cov.shapes[key], inside)]
    holders = [code for key in held for code in claimants(key) or (key,)]
    there = {above for code in holders for above in _above(cov, code)}
    return sorted(there ^ set(_above(cov, one.to))) if one.to else []


def _above(cov: Coverage, key: str) -> Iterator[str]:
    """The upper grids over a grid or spare ground."""
    above = cov.parent(key)
    while above is not None and above in cov.grids:
        yield above
        above = cov.grids[above].parent


def accept(
    conn: Connection, who: Principal, plan_id: int, accepted: Accepted, head: int | None = ANYWHERE
) -> Mended:
    """Take proposals as one step of a draft: all, what can only be a mistake (sure), or by number.

    Raises BadInput for a number that is not proposed, or where nothing can be taken.
    """
    here = plans.locked(conn, plan_id, head)
    chosen = _chosen(proposals(here.cov), accepted)
    now, steps, taken, skipped = here, list[dict[str, Any]](), list[Proposal](), dict[int, str]()
    for one in chosen:
        try:
            step, now = _taken(conn, now, one)
        except Problem as problem:
            skipped[one.number] = str(problem)
            continue
        steps.append(step)
        taken.append(one)
    if not taken:
        why = next(iter(skipped.values()), "there is nothing to mend")
        raise BadInput("accept", f"none of the proposals can be taken: {why}")
    title = f"mend: {len(taken)} proposals, {sum(one.area_m2 for one in taken):.1f} m²"
    return Mended(plans.take_group(conn, who, here, title, steps, now.cov), taken, skipped)


def _chosen(found: list[Proposal], accepted: Accepted) -> list[Proposal]:
    if isinstance(accepted, str):
        return [one for one in found if one.sure or accepted == "all"]
    unknown = sorted(set(accepted) - {one.number for one in found})
    if unknown:
        raise BadInput("accept", f"there is no proposal {unknown[0]}; there are {len(found)}")
    return [one for one in found if one.number in set(accepted)]


def _taken(conn: Connection, here: Draft, one: Proposal) -> tuple[dict[str, Any], Draft]:
    """The step that does what is proposed, and the draft after it.

    Where grids have the same ground and nothing else, one of them is all that can be left.
    """
    if not one.to:
        raise BadInput("to", "no grid lies beside it")
    try:
        step, cov = plans.stepped(conn, here, _step(one))
    except Emptied:
        merged = {"op": "merge", "codes": list(one.codes), "into": one.to}
        step, cov = plans.stepped(conn, here, merged)
    return dict(step), replace(here, cov=cov)


def _step(one: Proposal) -> dict[str, Any]:
    area = orjson.loads(shapely.to_geojson(coverage.to_degrees(one.shape)))
    return {"op": "assign" if one.kind == "loose_piece" else "give", "to": one.to, "area": area}

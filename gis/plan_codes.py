"""Codes of a draft's new grids: labels until the plan is handed over, then reserved for it, and no other."""

from collections.abc import Iterable, Sequence

import shapely
from sqlalchemy.engine import Connection

from gis import codes, plan_store
from gis.errors import BadInput, Problem
from gis.plan_store import Plan
from gis.settings import settings
from gis.settle import Coverage
from gis.splitting import LABEL, fresh_codes


def demand_free(conn: Connection, plan: Plan, given: Sequence[str]) -> None:
    """Raise BadInput for codes that are no codes, or that were given before."""
    if not given:
        return
    bad = [code for code in given if not code.isprintable() or not code.strip()]
    taken = plan_store.used_codes(conn, plan.scheme, but=plan.id).intersection(given)
    if bad or taken:
        one = (bad or sorted(taken))[0]
        raise BadInput("into", f"code {one!r} has been used before, or is none; name another")


def reserved(conn: Connection, plan: Plan, base: Coverage, draft: Coverage) -> dict[str, str]:
    """Reserve a code for every new grid of a draft, and return those of the grids that had labels, by label.

    A code is the next below the parent where codes are of the city's layout, else the next of the form of the
    grid that the new one was drawn from. Raises a Problem where a code was given otherwise meanwhile.
    """
    new = [code for code in draft.grids if code not in base.grids]
    used = _Used({*plan_store.used_codes(conn, plan.scheme), *draft.grids})
    found: dict[str, str] = {}
    for label in sorted((c for c in new if c.startswith(LABEL)), key=lambda one: (len(one), one)):
        found[label] = _next(base, draft, label, used, found)
        used.add(found[label])
    taken = plan_store.give_codes(conn, plan, [found.get(code, code) for code in new])
    if taken:
        raise Problem(f"code {taken[0]} was given elsewhere meanwhile; name that grid otherwise, then submit")
    return found


class _Used:
    """Codes that were given once, those of the city's layout by the code that they lie under."""

    def __init__(self, given: Iterable[str]) -> None:
        self.layout = codes.layout(settings().code_layout)
        self.width = self.layout.width
        self.above = self.width - self.layout.parts[-1].width
        self.all: set[str] = set()
        self.under: dict[str, set[str]] = {}
        for code in given:
            self.add(code)

    def add(self, code: str) -> None:
        """Count a code as given."""
        self.all.add(code)
        if len(code) == self.width and code.isdecimal():
            self.under.setdefault(code[: self.above], set()).add(code)


def _next(base: Coverage, draft: Coverage, label: str, used: _Used, found: dict[str, str]) -> str:
    """The next code for a label."""
    like, parent = _origin(base, draft, label), draft.grids[label].parent
    parent = found.get(parent or "", parent)
    if parent and not codes.problem(used.layout, like) and len(parent) == used.above:
        return codes.following(used.layout, parent, used.under.get(parent, set()))
    return fresh_codes(Coverage({}, {}, frozenset(used.all)), like, 1)[0]


def _origin(base: Coverage, draft: Coverage, label: str) -> str:
    """The grid of the base, of the same level, that had most of a new one's ground; else the first."""
    level = draft.grids[label].level
    share: dict[str, float] = {}
    for leaf in base.near(draft.shape(label)):
        at: str | None = leaf
        while at is not None and at in base.grids and base.grids[at].level > level:
            at = base.grids[at].parent
        if at is not None and at in base.grids and base.grids[at].level == level:
            common = shapely.intersection(base.shapes[leaf], draft.shape(label)).area
            share[at] = share.get(at, 0.0) + float(common)
    if share:
        return max(sorted(share), key=lambda code: share[code])
    return min(code for code, grid in base.grids.items() if grid.level == level)

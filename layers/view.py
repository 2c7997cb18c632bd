"""What part of the city a question is about: zoom, period, day, revision and filters, parsed once."""

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import sqlalchemy as sa

from gis.grids import Asked, owned
from gis.schema import incidents
from gis.squares import fixed
from layers import filters


@dataclass(frozen=True)
class View:
    """One look at the map; `start` ≤ occurred < `end`, None meaning open."""

    scheme: str
    on: date
    known: int
    zoom: int = 14
    start: datetime | None = None
    end: datetime | None = None
    categories: tuple[str, ...] | None = None
    source: str | None = None
    colour: str | None = None
    area: str | None = None
    """Code of a grid: only incidents that it owns."""
    of_tile: bool = False
    """Restricted to one tile of the zoom; which, the statement is told when it runs (`squares.OfPlace`)."""
    filter: filters.Tree | None = None
    """A filter in CQL2 as `filters.read` gives it, by properties of the layer that is asked for."""
    scope: tuple[Asked, str] | None = None
    """Record of grids and the code of the grid that holds what may be seen; None: the whole city."""
    plan: int | None = None
    """A draft whose grids are shown instead of those in force; only those who may see it are shown any."""
    suppressed: bool = False
    """Only what the public may know: whole months as `layers.public` told them."""
    provisional: bool = False
    """With the last days, which reports are still filling up; else they are left out of tests."""
    without: tuple[str, ...] = ()
    """Codes of grids of the scheme whose incidents are left out: they were silent at times."""
    without_sources: tuple[str, ...] = ()
    """Sources that are left out, for the same reason."""
    withdrawn: bool = False
    """With withdrawn incidents, which count nowhere: for lists of the record."""

    @property
    def asked(self) -> Asked:
        """The record of grids that this view shows."""
        return Asked(self.scheme, self.on, self.known)

    @property
    def narrowest(self) -> list[str]:
        """The codes of the grids of the scheme asked for that all of an answer lies in: area and scope.

        A scope in another scheme is none of them, whatever its code: its conditions are on places.
        """
        scope = self.scope[1] if self.scope is not None and self.scope[0].scheme == self.scheme else None
        return [code for code in (self.area, scope) if code is not None]

    @property
    def is_of_all_incidents(self) -> bool:
        """Whether no filter and no scope leaves incidents out."""
        narrowing = (
            self.start, self.end, self.categories, self.source, self.colour, self.area, self.filter,
            self.scope,
        )  # fmt: skip
        return all(one is None for one in narrowing)


def wanted_incidents(view: View) -> list[sa.ColumnElement[bool]]:
    """Return the conditions on `incidents` that a view sets; withdrawn ones count only where it says so."""
    i = incidents.c
    conditions = [] if view.withdrawn else [i.state != fixed("withdrawn")]
    if view.start is not None:
        conditions.append(i.occurred_at >= view.start)
    if view.end is not None:
        conditions.append(i.occurred_at < view.end)
    if view.categories is not None:
        conditions.append(i.category.in_(view.categories))
    if view.source is not None:
        conditions.append(i.source == view.source)
    if view.colour is not None:
        conditions.append(i.colour == view.colour)
    if view.area is not None:
        conditions.append(owned(i.geom, view.asked, view.area))
    conditions += [~sa.func.coalesce(owned(i.geom, view.asked, code), sa.false()) for code in view.without]
    if view.without_sources:
        conditions.append(i.source.not_in(view.without_sources))
    return [*conditions, *filters.conditions(view.filter, "incidents"), *in_scope(view, i.geom)]


def in_scope(view: View, point: sa.ColumnElement[Any]) -> list[sa.ColumnElement[bool]]:
    """Return the condition that a point lies where whoever looks may see it, none for the whole city."""
    if view.scope is None:
        return []
    return [owned(point, *view.scope)]

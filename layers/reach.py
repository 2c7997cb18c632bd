"""Where incidents that the public is told of a hexagon may lie: its finest cells reach beyond its outline."""

from typing import Any

import sqlalchemy as sa

from gis import schema as t
from gis.cells import RESOLUTIONS
from gis.grids import shape
from layers.view import View

_GROWN, _GROWN_FINEST = 1.25, 1.01
"""How much larger than its outline the ground of a hexagon is taken to be.

A child's centre lies at most sqrt(3/7) of the hexagon's radius off, that of its children 1/sqrt(7) of this
further, and so on: nothing that counts as in a hexagon is more than 1.0526 radii from its centre, and a
hexagon 1.22 times as large holds a circle of that. The rest is for H3's distortion.
"""
_IS_WHOLE = t.cells.c.res < RESOLUTIONS[0]
"""A cell that stands for the whole city, and for what has no place."""


def reaches_into(view: View) -> sa.ColumnElement[bool]:
    """Return the condition on `cells` that incidents told of a cell may lie in the view's area."""
    return sa.or_(_IS_WHOLE, sa.func.ST_Intersects(ground(), _area(view)))


def lies_inside(view: View) -> sa.ColumnElement[bool]:
    """Return the condition on `cells` that every incident told of a cell lies in the view's area."""
    return sa.and_(~_IS_WHOLE, sa.func.ST_ContainsProperly(_area(view), ground()))


def _area(view: View) -> sa.ScalarSelect[Any]:
    assert view.area is not None
    return shape(view.asked, view.area)


def ground() -> sa.ColumnElement[Any]:
    """Return the outline of a row of `cells`, grown until all finest cells that belong to it lie in it."""
    c = t.cells.c
    factor = sa.case((c.res == RESOLUTIONS[-1], _GROWN_FINEST), else_=_GROWN)
    return sa.func.ST_Scale(c.geom, sa.func.ST_MakePoint(factor, factor), sa.func.ST_Centroid(c.geom))

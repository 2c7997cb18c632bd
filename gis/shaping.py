"""Grids in simpler shapes for each zoom, all of a level at once, so that neighbours still touch."""

from collections.abc import Iterator
from datetime import date
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import shapely
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import DATERANGE, Range
from sqlalchemy.engine import Connection

from gis.city import today
from gis.crs import WEB_MERCATOR
from gis.importing import staging
from gis.schema import grids, levels, revisions, schemes
from gis.schema_tiles import grid_shapes, shaped_coverages

LAST_ZOOM = 12
"""From the next zoom on grids are shown as they were drawn."""
_PIXELS = 1024
"""Corners go that stand out by less than about a 1024th of a tile: half a pixel of a tile drawn 512 wide."""
_PLANE_M = 40_075_016.68557849
_UNLIKE = 0.01
"""A parent that differs from its children together by more (share of its area) is simplified by itself."""

Shapes = npt.NDArray[np.object_]


class Drawn(NamedTuple):
    """The grids in force in one span of days, in web mercator; arrays of equal length."""

    row: npt.NDArray[np.int64]
    level: npt.NDArray[np.int64]
    code: npt.NDArray[np.object_]
    parent: npt.NDArray[np.object_]
    shape: Shapes


def derive(conn: Connection) -> str:
    """Simplify every scheme's grids as they are known now, today's and those decided for later.

    What is at hand already stays. A scheme whose grids are no coverage is left out, and shown as drawn.
    """
    for name in conn.execute(sa.select(schemes.c.name)).scalars().all():
        _derive(conn, name)
    kept = conn.execute(sa.select(sa.func.count()).select_from(shaped_coverages)).scalar_one()
    return f"{kept} records of grids in simpler shapes"


def _derive(conn: Connection, scheme: str) -> None:
    newest = sa.select(sa.func.max(revisions.c.id)).where(revisions.c.scheme == scheme)
    revision = conn.execute(newest).scalar()
    of_scheme = shaped_coverages.c.scheme == scheme
    conn.execute(sa.delete(shaped_coverages).where(of_scheme, shaped_coverages.c.revision != (revision or 0)))
    if revision is None:
        return
    kept = conn.execute(sa.select(shaped_coverages.c.valid).where(of_scheme)).scalars()
    there = {(span.lower, span.upper) for span in kept}
    for span in _spans(conn, scheme):
        if (span.lower, span.upper) not in there:
            _shape(conn, scheme, revision, span)


def _spans(conn: Connection, scheme: str) -> list[Range[date]]:
    """Return the spans of days, from today's on, in which the scheme's grids stay the same."""
    bound = sa.select(sa.func.lower(grids.c.valid), sa.func.upper(grids.c.valid))
    rows = conn.execute(bound.where(grids.c.scheme == scheme, sa.func.upper_inf(grids.c.known)).distinct())
    return spans({day for row in rows for day in row if day is not None}, today(conn))


def spans(turns: set[date], since: date) -> list[Range[date]]:
    """Return the spans between days on which something changes that hold `since` or a later day.

    The first has no beginning and the last no end: what bears no date holds on every day.
    """
    edges: list[date | None] = [None, *sorted(turns), None]
    return [Range(first, end) for first, end in pairwise(edges) if end is None or end > since]


def _shape(conn: Connection, scheme: str, revision: int, span: Range[date]) -> None:
    drawn = _read(conn, scheme, span)
    if drawn is None or not all(
        shapely.coverage_is_valid(drawn.shape[drawn.level == level]) for level in set(drawn.level)
    ):
        return
    values = {"scheme": scheme, "revision": revision, "valid": span}
    ident = conn.execute(
        shaped_coverages.insert().values(values).returning(shaped_coverages.c.id)
    ).scalar_one()
    for zoom, row, shape in _by_zoom(conn, scheme, drawn):
        _store(conn, ident, zoom, row, shape)


def _read(conn: Connection, scheme: str, span: Range[date]) -> Drawn | None:
    """Return the grids in force in a span, None where there are none."""
    g = grids.c
    flat = sa.func.ST_AsBinary(sa.func.ST_Transform(g.geom, WEB_MERCATOR), type_=sa.LargeBinary)
    known = (g.scheme == scheme, sa.func.upper_inf(g.known), g.valid.op("@>")(sa.cast(span, DATERANGE)))
    rows = conn.execute(sa.select(g.id, g.level, g.code, g.parent_code, flat).where(*known)).all()
    if not rows:
        return None
    # The shapes never become an array of bytes: each would take as much room as the longest.
    *told, wkb = zip(*rows, strict=True)
    row, level, code, parent = (np.array(column) for column in told)
    return Drawn(row, level, code, parent, shapely.from_wkb(wkb))


def _by_zoom(
    conn: Connection, scheme: str, drawn: Drawn
) -> Iterator[tuple[int, npt.NDArray[np.int64], Shapes]]:
    """Yield zoom, rows and shapes: of the level shown at the zoom, and of the one above it."""
    of_scheme = levels.c.scheme == scheme
    minzooms = conn.execute(sa.select(levels.c.level, levels.c.minzoom).where(of_scheme)).all()
    for zoom in range(LAST_ZOOM + 1):
        shown = max((row.level for row in minzooms if row.minzoom <= zoom), default=None)
        if shown is None:
            continue
        tolerance = _PLANE_M / (1 << zoom) / _PIXELS
        leaf, above = drawn.level == shown, drawn.level == shown - 1
        simple = simplified(drawn.shape[leaf], tolerance)
        yield zoom, drawn.row[leaf], simple
        if above.any():
            yield zoom, drawn.row[above], _parents(drawn, above, simple, drawn.parent[leaf], tolerance)


def simplified(shapes: Shapes, tolerance: float) -> Shapes:
    """Return a coverage with fewer corners; `tolerance` in its units, about the root of the area given up.

    Shared borders stay shared, and nothing vanishes (Visvalingam-Whyatt over the coverage's edges).
    """
    simple: Shapes = shapely.coverage_simplify(shapes, tolerance)
    return simple


def _parents(
    drawn: Drawn,
    above: npt.NDArray[np.bool_],
    children: Shapes,
    parent: npt.NDArray[np.object_],
    tolerance: float,
) -> Shapes:
    """Put parents together from their simplified children, so that both draw the same line."""
    area = shapely.area(drawn.shape[above])
    whole = np.array([_together(children[parent == code]) for code in drawn.code[above]], dtype=object)
    unlike = np.abs(shapely.area(whole) - area) > _UNLIKE * area
    if unlike.any():
        whole[unlike] = simplified(drawn.shape[above], tolerance)[unlike]
    return whole


def _together(children: Shapes) -> shapely.Geometry:
    return shapely.coverage_union_all(children) if len(children) else shapely.MultiPolygon()


def _store(conn: Connection, ident: int, zoom: int, row: npt.NDArray[np.int64], shape: Shapes) -> None:
    many = np.array([shapely.MultiPolygon(shapely.get_parts(one).tolist()) for one in shape], dtype=object)
    flat = shapely.to_wkb(shapely.set_srid(many, WEB_MERCATOR), hex=True, include_srid=True)
    columns: dict[str, pa.Array] = {
        "coverage_id": pa.array([ident] * len(row)), "zoom": pa.array([zoom] * len(row)),
        "row_id": pa.array(row), "geom": pa.array(flat, pa.string()),
    }  # fmt: skip
    staging.copy(conn, columns, grid_shapes.name)


def coverage_of(scheme: str, day: date, known: int, *, exactly: bool = True) -> sa.ScalarSelect[Any]:
    """Return the id of the simplified record of grids that is right for a day and a revision, or null.

    Else (not `exactly`) of the newest before it: it is right for every grid that did not change since.
    """
    of_scheme = (revisions.c.scheme == scheme, revisions.c.id <= known)
    last = sa.select(sa.func.max(revisions.c.id)).where(*of_scheme).scalar_subquery()
    c = shaped_coverages.c
    fits = c.revision == last if exactly else c.revision <= known
    found = sa.select(c.id).where(c.scheme == scheme, c.valid.op("@>")(sa.cast(day, sa.Date)), fits)
    return found.order_by(c.revision.desc(), c.id.desc()).limit(1).scalar_subquery()

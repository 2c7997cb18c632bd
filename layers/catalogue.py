"""Every layer of the map, in one list; each selects id, geom and its properties."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from geoalchemy2 import Geometry
from sqlalchemy.sql.base import ReadOnlyColumnCollection

from gis import grids as grid_questions
from gis import plan_features, shaping
from gis import schema as t
from gis.crs import WEB_MERCATOR
from gis.db import Query
from gis.schema import COLOURS
from gis.schema_tiles import footprints, grid_shapes
from gis.squares import as_outline, as_placed, as_point, box_here, column_and_row, fixed
from layers.clusters import Counted, clustered, in_tile
from layers.filters import conditions
from layers.hexagons import CONSTANT_FROM, hexagons
from layers.view import View, in_scope, wanted_incidents


@dataclass(frozen=True)
class Layer:
    """Something shown: `select` yields id and geom first, then its properties.

    Its tiles are kept until a row that they show changes, so `select` may depend on the view and on tables,
    never on the clock.
    """

    name: str
    title_zh: str
    title_en: str
    minzoom: int
    maxzoom: int
    geometry: str
    audience: str
    select: Callable[[View], Query]
    reads: tuple[str, ...] = ()
    """Tables that `select` reads without naming them: behind functions and views of the database."""
    constant_from: int | None = None
    """From this zoom on its tiles never change and are the same for everybody; None: from none."""


def _moment(column: sa.Column[object]) -> sa.ColumnElement[str]:
    """RFC 3339 in UTC, since vector tiles know no times."""
    return sa.func.to_char(column, fixed('YYYY-MM-DD"T"HH24:MI:SS"Z"')).label(column.name)


def _shown_level(view: View) -> sa.ScalarSelect[int]:
    return (
        sa.select(sa.func.max(t.levels.c.level))
        .where(t.levels.c.scheme == view.scheme, t.levels.c.minzoom <= view.zoom)
        .scalar_subquery()
    )


def _grids(view: View) -> Query:
    """Select the level of the zoom and the one above it, whose border then can be drawn the stronger."""
    if view.plan is not None:
        return _draft(view, view.plan)
    if view.zoom > shaping.LAST_ZOOM:
        return _drawn_grids(view, t.grids.c.geom)
    g, s = t.grids.c, grid_shapes.c
    right = shaping.coverage_of(view.scheme, view.on, view.known)
    before = shaping.coverage_of(view.scheme, view.on, view.known, exactly=False)
    shaped = (
        sa.select(g.grid_id.label("id"), s.geom, g.code, g.name, g.level, g.kind)
        .join_from(grid_shapes, t.grids, g.id == s.row_id)
        .where(s.coverage_id == before, s.zoom == view.zoom, *conditions(view.filter, "grids"))
        .where(sa.or_(right.is_not(None), grid_questions.current(view.asked)))
    )
    # After a publication the grids that it changed are shown as drawn, until they are simplified as well.
    has_shape = sa.exists().where(s.coverage_id == before, s.zoom == view.zoom, s.row_id == g.id)
    flat = sa.func.ST_Transform(g.geom, WEB_MERCATOR).label("geom")
    drawn = _drawn_grids(view, flat).where(right.is_(None), *_near(view, g.geom), ~has_shape)
    either = sa.union_all(shaped, drawn).subquery("either")
    shape = sa.type_coerce(either.c.geom, Geometry("MULTIPOLYGON", srid=WEB_MERCATOR)).label("geom")
    return sa.select(
        either.c.id, shape, *(column for column in either.c if column.name not in {"id", "geom"})
    )


def _drawn_grids(view: View, shape: sa.ColumnElement[Any]) -> Query:
    shown, g = _shown_level(view), t.grids.c
    return sa.select(g.grid_id.label("id"), shape, g.code, g.name, g.level, g.kind).where(
        grid_questions.current(view.asked),
        g.level.between(shown - 1, shown),
        *conditions(view.filter, "grids"),
    )


def every_grid(view: View) -> Query:
    """Select the grids of all levels, which no zoom shows together; of a draft those that a zoom shows."""
    if view.plan is not None:
        return _grids(view)
    g = t.grids.c
    rows = sa.select(g.grid_id.label("id"), g.geom, g.code, g.name, g.level, g.kind)
    return rows.where(grid_questions.current(view.asked), *conditions(view.filter, "grids"))


def _draft(view: View, plan: int) -> Query:
    shown, rows = _shown_level(view), plan_features.shown(plan, view.asked).subquery("draft").c
    return sa.select(rows.id, rows.geom, rows.code, rows.name, rows.level, rows.kind).where(
        rows.level.between(shown - 1, shown),
        *_near(view, rows.geom),
        *conditions(view.filter, "grids", rows),
    )


def _near(view: View, shape: sa.ColumnElement[Any]) -> list[sa.ColumnElement[bool]]:
    """Return the condition that a shape's box touches the tile's, which an index answers."""
    return [shape.op("&&")(box_here())] if view.of_tile else []


def _labels(view: View) -> Query:
    """Select the names of the grids of the zoom's level, as they stand or as a draft has them."""
    if view.plan is None:
        return _names(view, t.grids.c, t.grids.c.grid_id).where(grid_questions.current(view.asked))
    drafted = plan_features.shown(view.plan, view.asked).subquery("draft").c
    return _names(view, drafted, drafted.id)


def _names(view: View, rows: ReadOnlyColumnCollection[str, Any], ident: sa.ColumnElement[Any]) -> Query:
    """Select a point inside each grid: a polygon's label would repeat in its parts."""
    inside = as_point(sa.func.ST_PointOnSurface(rows.geom)).label("geom")
    return sa.select(ident.label("id"), inside, rows.code, rows.name, rows.level).where(
        rows.level == _shown_level(view),
        *_near(view, rows.geom),
        *conditions(view.filter, "labels", rows),
    )


def _buildings(view: View) -> Query:
    """Select footprints; from 16 on with their names, which nobody can read before."""
    if view.zoom < BUILDINGS_FROM:
        return clustered(_COUNTED_BUILDINGS, view)
    if view.zoom == BUILDINGS_FROM and view.of_tile and view.filter is None:
        return _footprints()
    b = t.buildings.c
    named = [] if view.zoom < NAMES_FROM else [b.name, b.address]
    rows = sa.select(b.id, as_outline(b.geom).label("geom"), b.kind, b.floors, b.households, *named)
    return rows.where(*conditions(view.filter, "buildings"))


def _footprints() -> Query:
    """Select the footprints of a tile that has thousands of them, which are kept as it draws them."""
    f, (x, y) = footprints.c, column_and_row()
    return sa.select(f.id, as_placed(f.geom).label("geom"), f.kind, f.floors, f.households).where(
        f.x == x, f.y == y
    )


def _cameras(view: View) -> Query:
    if view.zoom < CAMERAS_FROM:
        return clustered(_COUNTED_CAMERAS, view)
    c = t.cameras.c
    watched = sa.func.array_to_string(c.headings, fixed(",")).label("headings")
    return sa.select(c.id, c.geom, c.name, c.kind, c.state, watched, c.fov, c.range_m).where(
        *in_tile(t.cameras, view), *_wanted_cameras(view)
    )


def _wanted_cameras(view: View) -> list[sa.ColumnElement[bool]]:
    return [*conditions(view.filter, "cameras"), *in_scope(view, t.cameras.c.geom)]


def _incidents(view: View) -> Query:
    if view.zoom < INCIDENTS_FROM:
        return clustered(_COUNTED_INCIDENTS, view)
    i = t.incidents.c
    return sa.select(
        i.id, i.geom, i.code, i.category, i.source, i.colour, i.state, _moment(i.occurred_at)
    ).where(i.geom.is_not(None), *in_tile(t.incidents, view), *wanted_incidents(view))


def _responders(view: View) -> Query:
    if view.zoom < RESPONDERS_FROM:
        return clustered(_COUNTED_RESPONDERS, view)
    r = t.responders.c
    return sa.select(r.id, r.geom, r.name, r.kind, r.status).where(
        *in_tile(t.responders, view), *_wanted_responders(view)
    )


def _wanted_responders(view: View) -> list[sa.ColumnElement[bool]]:
    return [*conditions(view.filter, "responders"), *in_scope(view, t.responders.c.geom)]


def _places(view: View) -> Query:
    if view.zoom < PLACES_FROM:
        return clustered(_COUNTED_PLACES, view)
    p = t.places.c
    rows = sa.select(p.id, p.geom, p.name, p.kind, p.address)
    return rows.where(*conditions(view.filter, "places"))


def _areas(view: View) -> Query:
    a = t.areas.c
    return sa.select(a.id, as_outline(a.geom).label("geom"), a.name, a.kind).where(
        *conditions(view.filter, "areas")
    )


def _roads(view: View) -> Query:
    r = t.roads.c
    rows = sa.select(r.id, r.geom, r.name, r["class"]).where(*conditions(view.filter, "roads"))
    return rows if view.zoom >= 13 else rows.where(r["class"].in_([fixed(one) for one in MAIN_ROADS]))


BUILDINGS_FROM, CAMERAS_FROM, INCIDENTS_FROM, PLACES_FROM, RESPONDERS_FROM = 14, 14, 15, 12, 10
"""From which zoom a layer shows its features themselves; below it, squares with their counts."""
NAMES_FROM = 16

_COUNTED_BUILDINGS = Counted(
    t.buildings, "point", spread=5, is_kept=True, weight=("households", lambda b: b.c.households),
    conditions=lambda view: conditions(view.filter, "buildings"), is_whole=lambda view: view.filter is None,
)  # fmt: skip
_COUNTED_CAMERAS = Counted(
    t.cameras, is_kept=True, conditions=_wanted_cameras,
    weight=("down", lambda c: sa.cast(c.c.state.in_([fixed("offline"), fixed("fault")]), sa.Integer)),
    is_whole=lambda view: view.scope is None and view.filter is None,
)  # fmt: skip
_COUNTED_INCIDENTS = Counted(
    t.incidents, is_kept=True, kind="colour", kinds=COLOURS, conditions=wanted_incidents,
    weight=("open", lambda i: sa.cast(i.c.state != fixed("closed"), sa.Integer)),
    is_whole=lambda view: view.is_of_all_incidents,
)  # fmt: skip
_COUNTED_RESPONDERS = Counted(
    t.responders, kind="status", kinds=("available", "busy", "off"), conditions=_wanted_responders
)
_COUNTED_PLACES = Counted(t.places, "point", conditions=lambda view: conditions(view.filter, "places"))

MAIN_ROADS = ("motorway", "trunk", "primary", "secondary", "arterial")
"""Classes drawn from the smallest zoom on; the rest from 13."""

CATALOG: tuple[Layer, ...] = (
    Layer("grids", "网格", "Grids", 0, 22, "polygon", "public", _grids),
    Layer("labels", "网格名称", "Grid names", 0, 22, "point", "public", _labels),
    Layer("areas", "水域绿地", "Water and parks", 0, 22, "polygon", "public", _areas),
    Layer("roads", "道路", "Roads", 9, 22, "line", "public", _roads),
    Layer("buildings", "建筑", "Buildings", 0, 22, "polygon", "public", _buildings, ("buildings",)),
    Layer("cameras", "摄像机", "Cameras", 0, 22, "point", "commander", _cameras, ("cameras",)),
    Layer("incidents", "事件", "Incidents", 0, 22, "point", "field", _incidents, ("incidents",)),
    Layer("responders", "处置力量", "Responders", 0, 22, "point", "field", _responders),
    Layer("places", "重点场所", "Places", 0, 22, "mixed", "public", _places),
    *(
        # At zoom 0 a hexagon is smaller than a tile's unit.
        Layer(name, zh, en, 1, 22, "polygon", audience, hexagons, constant_from=CONSTANT_FROM)
        for name, zh, en, audience in (
            ("hotspots", "热点", "Hotspots", "public"),
            ("risk", "风险", "Risk", "commander"),
            ("emerging", "演变", "Emerging", "commander"),
        )
    ),
)

LAYERS = {layer.name: layer for layer in CATALOG}
"""The same, by name."""

"""Grids in simpler shapes: neighbours touch, parents are their children, what is missing is exact."""

import numpy as np
import pytest
import shapely
import sqlalchemy as sa
from geoalchemy2.shape import to_shape
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.dialects.postgresql import Range
from sqlalchemy.engine import Connection

from gis import schema as t
from gis import shaping
from gis.grids import Wish, resolve, set_minzooms
from gis.schema_tiles import grid_shapes, shaped_coverages
from layers.catalogue import LAYERS
from layers.view import View
from tests import town


@pytest.fixture
def derived(conn: Connection) -> Connection:
    """The drawn town, whose grids are at hand in simpler shapes; rolled back after the test."""
    town.add_grids(conn)
    town.add_city(conn)
    set_minzooms(conn, "safety")
    assert shaping.derive(conn) == "1 records of grids in simpler shapes"
    return conn


def _shapes(conn: Connection, zoom: int, level: int) -> dict[str, shapely.Geometry]:
    asked = resolve(conn, Wish())
    rows = conn.execute(LAYERS["grids"].select(View(asked.scheme, asked.on, asked.known, zoom=zoom)))
    return {row.code: to_shape(row.geom) for row in rows if row.level == level}


def _levels(conn: Connection) -> dict[int, int]:
    return {row.minzoom: row.level for row in conn.execute(sa.select(t.levels))}


def test_what_is_drawn_comes_from_what_was_derived(derived: Connection) -> None:
    drawn = {zoom: len(_shapes(derived, zoom, level)) for zoom, level in _levels(derived).items()}
    derived.execute(sa.delete(shaped_coverages))
    exact = {zoom: len(_shapes(derived, zoom, level)) for zoom, level in _levels(derived).items()}
    assert drawn == exact
    assert sum(exact.values()) > len(exact)
    assert shaping.derive(derived) == "1 records of grids in simpler shapes"
    kept = derived.execute(sa.select(shaped_coverages.c.id)).all()
    assert shaping.derive(derived) == "1 records of grids in simpler shapes"
    assert derived.execute(sa.select(shaped_coverages.c.id)).all() == kept


def test_neighbours_and_parents_draw_the_same_lines(derived: Connection) -> None:
    for zoom in range(shaping.LAST_ZOOM + 1):
        shown = max(level for minzoom, level in _levels(derived).items() if minzoom <= zoom)
        leaves = _shapes(derived, zoom, shown)
        assert shapely.coverage_is_valid(list(leaves.values()))
        for code, parent in _shapes(derived, zoom, shown - 1).items():
            children = shapely.union_all([leaf for name, leaf in leaves.items() if name.startswith(code)])
            assert parent.symmetric_difference(children).area <= 1e-6 * parent.area


def test_what_a_later_revision_changed_is_shown_as_drawn_until_derived(derived: Connection) -> None:
    derived.execute(grid_shapes.update().values(geom=sa.func.ST_Translate(grid_shapes.c.geom, 1e6, 0)))
    before = _shapes(derived, 12, 2)
    ends = sa.insert(t.revisions).values(scheme="safety", note="another").returning(t.revisions.c.id)
    revision = derived.execute(ends).scalar_one()
    assert _shapes(derived, 12, 2) == before, "what did not change is at hand in simpler shapes still"
    changed = min(before)
    _replace(derived, changed, revision)
    after = _shapes(derived, 12, 2)
    assert before.keys() == after.keys()
    assert {code for code in after if not before[code].equals(after[code])} == {changed}
    assert before[changed].disjoint(after[changed])
    shaping.derive(derived)
    assert all(before[code].disjoint(shape) for code, shape in _shapes(derived, 12, 2).items())


def _replace(conn: Connection, code: str, revision: int) -> None:
    """Let a grid's row end and begin anew with a revision, as publishing does."""
    g = t.grids.c
    now = sa.and_(g.code == code, sa.func.upper_inf(g.known))
    copied = [c for c in t.grids.columns if c.name not in {"id", "known"} and c.computed is None]
    row = conn.execute(sa.select(*copied).where(now)).mappings().one()
    until = sa.func.int4range(sa.func.lower(g.known), revision)
    conn.execute(t.grids.update().where(now).values(known=until))
    conn.execute(t.grids.insert().values(**row, known=Range(revision, None)))


def _wavy(seed: int) -> list[shapely.Geometry]:
    """Four polygons that meet along wavy lines."""
    rng = np.random.default_rng(seed)
    along = np.linspace(0, 100, 200)
    wave = np.column_stack([along, 50 + rng.normal(0, 1, along.size)])
    upright = np.column_stack([50 + rng.normal(0, 1, along.size), along])
    lines = [wave, upright, [(0, 0), (100, 0), (100, 100), (0, 100), (0, 0)]]
    ends = [shapely.LineString([(-5, 50), wave[0]]), shapely.LineString([wave[-1], (105, 50)])]
    tops = [shapely.LineString([(50, -5), upright[0]]), shapely.LineString([upright[-1], (50, 105)])]
    noded = shapely.union_all([*map(shapely.LineString, lines), *ends, *tops], grid_size=1e-3)
    return list(shapely.get_parts(shapely.polygonize(shapely.get_parts(noded))))


@given(st.integers(0, 1000), st.sampled_from([1.0, 4.0, 16.0]))
def test_a_simplified_coverage_is_one_with_fewer_corners(seed: int, tolerance: float) -> None:
    drawn = np.array(_wavy(seed), dtype=object)
    simple = shaping.simplified(drawn, tolerance)
    assert shapely.coverage_is_valid(simple)
    assert shapely.union_all(simple).area == pytest.approx(shapely.union_all(drawn).area, rel=0.05)
    assert shapely.get_num_coordinates(simple).sum() < shapely.get_num_coordinates(drawn).sum()
    assert not shapely.is_empty(simple).any()

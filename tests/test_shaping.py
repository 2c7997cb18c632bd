"""Grids in simpler shapes: neighbours touch, parents are their children, what is missing is exact."""

from datetime import date
from pathlib import Path

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
from gis.grids import Wish, current, resolve, set_minzooms
from gis.schema_tiles import grid_shapes, shaped_coverages
from layers.catalogue import LAYERS
from layers.view import View
from tests import town
from tests.test_import_grids import bring, drawn


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


_PAST, _FUTURE = date(2020, 1, 1), date(2190, 1, 1)


@pytest.mark.parametrize(
    ("turns", "told"),
    [
        ([], [(None, None)]),
        ([_PAST], [(_PAST, None)]),
        ([_PAST, date(2021, 1, 1)], [(date(2021, 1, 1), None)]),
        ([_FUTURE], [(None, _FUTURE), (_FUTURE, None)]),
        ([_PAST, _FUTURE], [(_PAST, _FUTURE), (_FUTURE, None)]),
        ([date(2026, 11, 28)], [(date(2026, 11, 28), None)]),
        ([date(2026, 11, 29)], [(None, date(2026, 11, 29)), (date(2026, 11, 29), None)]),
        ([date(2026, 11, 27)], [(date(2026, 11, 27), None)]),
    ],
)
def test_days_of_change_bound_the_spans(turns: list[date], told: list[tuple[date | None, ...]]) -> None:
    found = shaping.spans(set(turns), date(2026, 11, 28))
    assert [(span.lower, span.upper) for span in found] == told


@pytest.mark.parametrize(
    ("valid", "records"),
    [
        ({}, 1),
        ({"T": (_PAST, None)}, 1),
        ({"": (_PAST, None)}, 1),
        ({"": (None, _PAST)}, 0),
        ({"": (_PAST, date(2021, 1, 1))}, 0),
        ({"": (_FUTURE, None)}, 1),
        ({"a": (_FUTURE, None)}, 2),
        ({"a": (None, _FUTURE)}, 2),
        ({"a": (_PAST, _FUTURE), "b": (_FUTURE, None)}, 2),
    ],
    ids=["none", "past-top", "past", "ended", "only-past", "only-future", "one-future", "one-ends", "both"],
)
def test_grids_of_any_dates_are_derived(
    conn: Connection, tmp_path: Path, valid: dict[str, tuple[date | None, date | None]], records: int
) -> None:
    frame = drawn("aabb").assign(valid_from=None, valid_to=None)
    for code, days in valid.items():
        rows = frame["code"] == code if code else frame["code"].notna()
        frame.loc[rows, ["valid_from", "valid_to"]] = list(days)
    town.add_city(conn)
    bring(conn, frame, tmp_path, accept=True)
    for _ in range(2):
        assert shaping.derive(conn) == f"{records} records of grids in simpler shapes"
    for day in {date(2026, 11, 28), *(day for days in valid.values() for day in days if day)}:
        asked = resolve(conn, Wish(on=day))
        there = conn.execute(sa.select(t.grids.c.code).where(current(asked))).scalars().all()
        view = View(asked.scheme, asked.on, asked.known, zoom=shaping.LAST_ZOOM)
        shown = {row.code for row in conn.execute(LAYERS["grids"].select(view))}
        assert shown == set(there)

"""Counts by square: exact at every zoom, in the transaction that changes them, for every filter and scope."""

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from bench.walk import features
from gis import schema as t
from gis.grids import Wish, resolve
from gis.schema_tiles import square_counts
from layers.catalogue import LAYERS
from layers.view import View
from tests import town
from tiles import mvt
from tiles.tile import Tile

MANY = 500
EDGES = [(-180.0, 10.0), (180.0, 10.0), (113.0, 89.0), (113.0, -89.0), (0.0, 0.0), (90.0, 0.0)]
"""On the antimeridian, beyond the mercator plane, on the corners of tiles."""


@pytest.fixture(scope="module")
def filled(engine: Engine) -> None:
    """The drawn town with incidents all over it, and cameras and buildings at the ends of the world."""
    rng = np.random.default_rng(5)
    spots = [town.at(*map(float, pair)) for pair in rng.uniform(0.1, 3.9, (MANY, 2))]
    points = [f"SRID=4326;POINT({lon} {lat})" for lon, lat in EDGES + spots[:50]]
    with engine.begin() as conn:
        town.add_grids(conn)
        batch = town.add_city(conn)
        town.add_incidents(conn, batch, spots)
        _change(conn, "UPDATE incidents SET colour = (ARRAY['blue','yellow','red'])[1 + id % 3]")
        _change(conn, "UPDATE incidents SET state = 'closed' WHERE id % 4 > 0")
        named = [
            {"origin": "t", "origin_id": str(at), "batch_id": batch, "geom": p} for at, p in enumerate(points)
        ]
        conn.execute(t.cameras.insert(), [row | {"state": "offline"} for row in named])
        conn.execute(t.buildings.insert(), [row | {"point": row["geom"], "households": 3} for row in named])


@pytest.fixture
def city(filled: None, conn: Connection) -> Connection:  # noqa: ARG001 - the town is there
    """A connection to the filled town whose changes are rolled back."""
    return conn


def _view(conn: Connection) -> View:
    asked = resolve(conn, Wish())
    return View(asked.scheme, asked.on, asked.known)


def _squares(conn: Connection, layer: str, view: View) -> dict[str, int]:
    """Add up each number over all of a zoom's squares."""
    rows = conn.execute(LAYERS[layer].select(view)).mappings().all()
    names = [name for name in rows[0] if name not in {"id", "geom"}]
    return {name: sum(row[name] for row in rows) for name in names}


def _everywhere(conn: Connection, layer: str, zoom: int, view: View) -> list[tuple[int, int]]:
    """Read id and count of every feature of every tile of a zoom in which a point lies."""
    found = []
    for x in range(1 << zoom):
        for y in range(1 << zoom):
            square = Tile(zoom, x, y)
            cut = replace(view, zoom=zoom, of_tile=True)
            found += features(mvt.render(conn, LAYERS[layer].select(cut), layer, square))
    return found


def _counted(conn: Connection) -> dict[str, int]:
    i = t.incidents.c
    colours = {one: sa.func.count().filter(i.colour == one).label(one) for one in t.COLOURS}
    is_open = sa.func.count().filter(i.state != "closed").label("open")
    rows = sa.select(sa.func.count().label("count"), *colours.values(), is_open).where(i.state != "withdrawn")
    return dict(conn.execute(rows).mappings().one())


@pytest.mark.parametrize("zoom", [0, 1, 4, 7, 8, 11, 14])
def test_squares_add_up_to_the_table(city: Connection, zoom: int) -> None:
    view = replace(_view(city), zoom=zoom)
    assert _squares(city, "incidents", view) == _counted(city)
    everything = datetime(1900, 1, 1, tzinfo=UTC)
    assert _squares(city, "incidents", replace(view, start=everything)) == _counted(city), "counted live"


@pytest.mark.parametrize("zoom", [0, 1, 3])
def test_every_square_is_in_one_tile(city: Connection, zoom: int) -> None:
    whole = _view(city)
    for layer, total in (("cameras", 56), ("buildings", 56), ("incidents", MANY)):
        found = _everywhere(city, layer, zoom, whole)
        assert sum(count for _, count in found) == total
        assert len({ident for ident, _ in found}) == len(found)


def test_kept_counts_and_rows_counted_now_give_the_same_squares(city: Connection) -> None:
    since = datetime(1900, 1, 1, tzinfo=UTC)
    for zoom in (0, 7, 12, 14):
        view = replace(_view(city), zoom=zoom)
        kept, live = (
            {row.id: tuple(row)[2:] for row in city.execute(LAYERS["incidents"].select(one))}
            for one in (view, replace(view, start=since))
        )
        assert kept == live


def test_sums_beyond_an_integer_are_drawn(city: Connection) -> None:
    """Two rows at the bound of their column; wide is their sum, as that of a city's dwellings may be."""
    _change(city, "UPDATE buildings SET households = 2147483647 WHERE origin_id IN ('0', '1')")
    for zoom in (0, 5, 9):
        rows = city.execute(LAYERS["buildings"].select(replace(_view(city), zoom=zoom))).mappings().all()
        assert sum(row["households"] for row in rows) == 2 * 2147483647 + 54 * 3
    square = replace(_view(city), zoom=0, of_tile=True)
    assert features(mvt.render(city, LAYERS["buildings"].select(square), "buildings", Tile(0, 0, 0)))


def _change(conn: Connection, statement: str) -> None:
    conn.execute(sa.text(statement))


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE incidents SET colour = 'red' WHERE id % 3 = 0",
        "UPDATE incidents SET state = 'withdrawn' WHERE id % 2 = 0",
        "UPDATE incidents SET state = 'closed'",
        "UPDATE incidents SET geom = ST_Translate(geom, 0.01, -0.02) WHERE id % 5 = 0",
        "DELETE FROM incidents WHERE id % 7 = 0",
        "UPDATE incidents SET description = 'x'",
    ],
)
def test_every_change_counts_at_once(city: Connection, statement: str) -> None:
    before = _counted(city)
    _change(city, statement)
    after = _counted(city)
    assert (after != before) == ("description" not in statement and "Translate" not in statement)
    for zoom in (3, 9, 14):
        assert _squares(city, "incidents", replace(_view(city), zoom=zoom)) == after


def test_settled_counts_say_the_same_in_fewer_rows(city: Connection) -> None:
    _change(city, "UPDATE incidents SET geom = ST_Translate(geom, 0.01, 0)")
    rows = sa.select(sa.func.count()).select_from(square_counts)
    before = city.execute(rows).scalar_one()
    city.execute(sa.select(sa.func.settle_square_counts())).all()
    assert city.execute(rows).scalar_one() < before
    assert _squares(city, "incidents", replace(_view(city), zoom=11)) == _counted(city)
    _change(city, "DELETE FROM incidents")
    city.execute(sa.select(sa.func.settle_square_counts())).all()
    left = rows.where(square_counts.c.layer == "incidents")
    assert city.execute(left).scalar_one() == 0


def test_a_scope_counts_what_lies_in_it(city: Connection) -> None:
    asked = resolve(city, Wish())
    whole = replace(_view(city), zoom=8)
    for code in ("T1", "T2"):
        scoped = replace(whole, scope=(asked, code))
        one_by_one = city.execute(LAYERS["incidents"].select(replace(scoped, zoom=16))).all()
        assert _squares(city, "incidents", scoped)["count"] == len(one_by_one) > 50

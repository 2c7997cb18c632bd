"""Whose is this point: the chain, the rule at borders, days and revisions."""

from collections.abc import Iterator
from datetime import date

import pytest
import shapely
import sqlalchemy as sa
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from sqlalchemy.dialects.postgresql import Range
from sqlalchemy.engine import Connection, Engine

from gis import grids, schema
from gis.errors import NotFound
from gis.grids import Asked, Wish
from tests import town

NOW = Asked("safety", date(2025, 6, 1), 1)
WISH = Wish("safety", date(2025, 6, 1), 1)


@pytest.fixture(scope="module")
def settled(engine: Engine) -> Iterator[Connection]:
    """The town's grids with a keeper of T1a."""
    with engine.connect() as conn:
        town.add_grids(conn)
        town.add_keeper(conn, town.add_city(conn), "T1a")
        yield conn
        conn.rollback()


def _codes(conn: Connection, lon: float, lat: float, wish: Wish = WISH) -> list[object]:
    return [link["code"] for link in grids.chain(conn, lon, lat, wish).links]


def test_the_chain_runs_from_the_leaf_up_with_its_staff(settled: Connection) -> None:
    found = grids.chain(settled, *town.at(0.5, 0.5), WISH)
    assert [link["code"] for link in found.links] == ["T1a", "T1", "T"]
    assert not found.on_boundary
    assert found.links[0]["staff"] == [{"name": "甲", "post": "网格长", "phone": "000"}]
    assert found.links[1]["staff"] == []
    assert (found.links[0]["level_name"], found.links[0]["level_name_en"]) == ("网格", "grid")


@given(st.integers(0, 60), st.integers(0, 50))
@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200)
def test_the_lowest_code_that_covers_owns_a_point(settled: Connection, column: int, row: int) -> None:
    place = shapely.Point(town.at(column / 10, row / 10))
    letters = {q + x: shape for q, xs in town.QUARTERS.items() for x, shape in town.draw().items() if x in xs}
    owners = sorted(code for code, shape in letters.items() if shapely.covers(shape, place))
    if not owners:
        with pytest.raises(NotFound):
            grids.chain(settled, place.x, place.y, WISH)
        return
    found = grids.chain(settled, place.x, place.y, WISH)
    assert found.links[0]["code"] == owners[0]
    assert found.on_boundary == shapely.intersects(letters[owners[0]].boundary, place)


def test_outside_the_town_nobody_owns(settled: Connection) -> None:
    with pytest.raises(NotFound, match="no grid of scheme safety owns"):
        grids.chain(settled, 114.0, 27.0, WISH)


def test_before_it_was_founded_nobody_owned(settled: Connection) -> None:
    with pytest.raises(NotFound):
        grids.chain(settled, *town.at(0.5, 0.5), Wish("safety", date(2023, 12, 31), 1))


def test_a_new_map_answers_by_day_and_by_what_was_known(settled: Connection) -> None:
    """On 1 July 2025 block 0 of a goes to b; this is known from revision 2 on."""
    with settled.begin_nested() as undo:
        units = town.draw()
        moved = shapely.box(*town.at(0, 1), *town.at(1, 0))
        new = {"T1a": shapely.difference(units["a"], moved), "T1b": shapely.union(units["b"], moved)}
        settled.execute(schema.revisions.insert().values(scheme="safety", note="moved"))
        for code, shape in new.items():
            old = settled.execute(
                sa.select(schema.grids).where(schema.grids.c.code == code, schema.grids.c.level == 3)
            ).one()
            settled.execute(
                schema.grids.update().where(schema.grids.c.id == old.id).values(known=Range(1, 2))
            )
            july = date(2025, 7, 1)
            for valid, geom in (
                (Range(town.FOUNDED, july), units[code[-1]]),
                (Range(july, None), shape),
            ):
                settled.execute(
                    schema.grids.insert().values(
                        grid_id=old.grid_id, scheme="safety", code=code, level=3, parent_code="T1",
                        name=old.name, area_m2=1, valid=valid, known=Range(2, None), geom=town.multi(geom),
                    )
                )  # fmt: skip
        place = town.at(0.5, 0.5)
        assert _codes(settled, *place, Wish("safety", date(2025, 6, 30), 2))[0] == "T1a"
        assert _codes(settled, *place, Wish("safety", date(2025, 7, 1), 2))[0] == "T1b"
        assert _codes(settled, *place, Wish("safety", date(2025, 7, 1), 1))[0] == "T1a"
        assert len(grids.history(settled, "T1a", "safety")) == 3
        undo.rollback()


def test_owned_counts_a_border_point_once(settled: Connection) -> None:
    points = [town.at(c / 2, r / 2) for c in range(13) for r in range(11)]
    everything = sa.values(sa.column("lon", sa.Float), sa.column("lat", sa.Float), name="p").data(points)
    place = sa.func.ST_SetSRID(sa.func.ST_MakePoint(everything.c.lon, everything.c.lat), 4326)

    def count(code: str) -> int:
        query = sa.select(sa.func.count()).select_from(everything)
        return int(settled.execute(query.where(grids.owned(place, NOW, code))).scalar_one())

    leaves = [q + x for q, xs in town.QUARTERS.items() for x in xs]
    assert sum(count(code) for code in leaves) == count("T1") + count("T2") == count("T") > 0


def test_children_and_unknown_codes(settled: Connection) -> None:
    assert [row.code for row in grids.children(settled, "T1", NOW)] == ["T1a", "T1b", "T1c"]
    with pytest.raises(NotFound, match="never had a grid X"):
        grids.history(settled, "X", "safety")


def test_levels_appear_from_coarse_to_fine(settled: Connection) -> None:
    zooms = (
        settled.execute(sa.select(schema.levels.c.minzoom).order_by(schema.levels.c.level)).scalars().all()
    )
    assert zooms[0] == 0
    assert zooms == sorted(zooms)
    assert zooms[-1] > zooms[1] > 5

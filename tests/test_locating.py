"""Locators kept between questions answer as the database does, whatever changed, in a bounded memory."""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import shapely
import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from gis import locate, schema
from gis.grids import Asked, Wish, resolve
from layers import locating
from layers.by_grid import grids_of_level
from layers.locating import Kept, locator
from layers.owning import owners
from tests import town

LON, LAT = np.array([town.at(*place) for place in np.random.default_rng(3).uniform(-0.5, 6.5, (400, 2))]).T
BUILT = list[int]


@pytest.fixture(scope="module", autouse=True)
def settled(engine: Engine) -> None:
    with engine.begin() as conn:
        town.add_grids(conn)
        town.add_city(conn)


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch) -> BUILT:
    """How many grids each locator holds that is made meanwhile, none kept from before."""
    made, build = BUILT(), locate.build

    def counting(geoms: Any, codes: Any, bins: int) -> locate.Locator:
        made.append(len(codes))
        return build(geoms, codes, bins)

    monkeypatch.setattr(locating, "_KEPT", Kept(locating.MOST_BYTES))
    monkeypatch.setattr(locate, "build", counting)
    return made


def owner_of(conn: Connection, asked: Asked) -> list[str | None]:
    """The grid of each place by its number, as a situation finds it."""
    g = schema.grids.c
    rows = sa.select(g.code, g.level, g.parent_code).where(g.valid.contains(asked.on))
    rows = rows.where(g.known.contains(asked.known)).order_by(g.code)
    by = owners(conn.execute(rows).all(), asked)
    codes = {number: code for code, number in by.place.items()}
    return [codes.get(number) for number in by.find(conn, LON, LAT).tolist()]


def owner_by_sql(conn: Connection, asked: Asked) -> list[str | None]:
    """The deepest grid that covers each place, of these the one of the lowest code."""
    query = sa.text(
        "SELECT (SELECT code FROM grids WHERE valid @> CAST(:on AS date) AND known @> CAST(:known AS int) "
        "AND ST_Covers(geom, ST_SetSRID(ST_Point(x, y), 4326)) ORDER BY level DESC, code LIMIT 1) "
        "FROM unnest(CAST(:lon AS float[]), CAST(:lat AS float[])) WITH ORDINALITY p(x, y, n) ORDER BY n"
    )
    places = {"lon": LON.tolist(), "lat": LAT.tolist()}
    return list(conn.execute(query, places | {"on": asked.on, "known": asked.known}).scalars())


def shape_of(conn: Connection, code: str) -> Any:
    wkb = conn.execute(sa.text("SELECT ST_AsBinary(geom) FROM grids WHERE code = :code"), {"code": code})
    return shapely.from_wkb(bytes(wkb.scalar_one()))


def put(conn: Connection, code: str, shape: Any) -> None:
    """Change a grid's shape where it stands, as nothing but another database under the same name does."""
    text = "UPDATE grids SET geom = ST_Multi(ST_GeomFromText(:wkt, 4326)) WHERE code = :code"
    conn.execute(sa.text(text), {"code": code, "wkt": shapely.to_wkt(shape, rounding_precision=7)})


def test_owners_are_those_of_the_database_and_made_once(conn: Connection, built: BUILT) -> None:
    asked = resolve(conn, Wish())
    expected = owner_by_sql(conn, asked)
    assert 100 < sum(code is not None for code in expected) < len(LON)
    for _ in range(3):
        assert owner_of(conn, asked) == expected
    leaves = conn.execute(sa.text("SELECT count(*) FROM grids WHERE level = 3")).scalar_one()
    assert built == [leaves, 2, 1]


def test_a_question_of_one_level_shares_them(conn: Connection, built: BUILT) -> None:
    asked = resolve(conn, Wish())
    owner_of(conn, asked)
    made = len(built)
    codes, names, by = grids_of_level(conn, asked, 2)
    assert by is not None
    assert (codes, len(names), len(built)) == (["T1", "T2"], 2, made)
    assert grids_of_level(conn, asked, 9) == ([], [], None)


@pytest.mark.parametrize("change", ["moved", "swapped", "recoded", "gone"])
def test_no_change_of_shapes_or_codes_is_missed(conn: Connection, built: BUILT, change: str) -> None:
    asked = resolve(conn, Wish())
    before, made = owner_of(conn, asked), len(built)
    one, other = shape_of(conn, "T1a"), shape_of(conn, "T1b")
    if change == "moved":  # of the same area and the same number
        put(conn, "T1a", shapely.affinity.translate(one, 1e-3, 0))
    elif change == "swapped":
        put(conn, "T1a", other)
        put(conn, "T1b", one)
    elif change == "recoded":
        new = sa.text("INSERT INTO grid_codes (scheme, code) VALUES ('safety', 'T1z') RETURNING id")
        to = sa.text("UPDATE grids SET grid_id = :id, code = 'T1z' WHERE code = 'T1a'")
        conn.execute(to, {"id": conn.execute(new).scalar_one()})
    else:
        conn.execute(sa.text("DELETE FROM grids WHERE code = 'T1a'"))
    found = owner_of(conn, asked)
    assert found == owner_by_sql(conn, asked) != before
    assert len(built) > made


@pytest.mark.usefixtures("built")
def test_a_former_revision_has_its_own(conn: Connection) -> None:
    asked = resolve(conn, Wish())
    conn.execute(sa.text("INSERT INTO revisions (scheme, note) VALUES ('safety', 'b takes a half of a')"))
    newer = replace(asked, known=resolve(conn, Wish()).known)
    west, _, east, _ = shape_of(conn, "T1a").bounds
    half = shapely.affinity.translate(shape_of(conn, "T1a"), (east - west) / 2, 0)
    conn.execute(
        sa.text("UPDATE grids SET known = int4range(lower(known), :known) WHERE code = 'T1a'"),
        {"known": newer.known},
    )
    conn.execute(
        sa.text(
            "INSERT INTO grids (grid_id, scheme, code, level, parent_code, name, geom, area_m2, valid, "
            "known) SELECT grid_id, scheme, code, level, parent_code, name, "
            "ST_Multi(ST_GeomFromText(:wkt, 4326)), area_m2, valid, "
            "int4range(:known, NULL) FROM grids WHERE code = 'T1a'"
        ),
        {"wkt": shapely.to_wkt(half, rounding_precision=7), "known": newer.known},
    )
    for which in (asked, newer, asked):
        assert owner_of(conn, which) == owner_by_sql(conn, which)
    assert owner_of(conn, asked) != owner_of(conn, newer)


def test_of_many_threads_one_makes_it_and_all_are_answered_alike(engine: Engine, built: BUILT) -> None:
    barrier = threading.Barrier(4)

    def ask(_: int) -> list[int]:
        with engine.connect() as conn:
            asked = resolve(conn, Wish())
            codes, _, _ = grids_of_level(conn, asked, 3)
            barrier.wait(30)
            owner, _ = locator(conn, asked, codes).locate(LON, LAT)
            return list(owner.tolist())

    built.clear()
    with ThreadPoolExecutor(4) as threads:
        answers = list(threads.map(ask, range(4)))
    assert len(built) == 1
    assert all(answer == answers[0] for answer in answers)


def box(at: float) -> locate.Locator:
    return locate.build([shapely.box(at, 27, at + 0.1, 27.1)], ["A"], 1 << 10)


def test_what_was_longest_unused_goes_first_and_the_newest_stays() -> None:
    size = box(113).nbytes
    assert size > 4 << 10
    kept, made = Kept(round(2.5 * size)), list[str]()

    def of(key: str) -> None:
        def make() -> locate.Locator:
            made.append(key)
            return box(113)

        kept.of(key, make)

    for key in "abacabb":  # c takes the place of b, b that of c
        of(key)
    assert "".join(made) == "abcb"
    assert kept.nbytes <= 2.5 * size
    tiny = Kept(1)
    assert tiny.of("a", lambda: box(113)).locate([113.05], [27.05])[0].tolist() == [0]
    assert tiny.nbytes == size

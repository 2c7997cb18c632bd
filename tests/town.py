"""An ASCII-drawn town, the common geography of the tests: each letter is a block of 0.01 degrees.

The first row lies in the north; the south-west corner of the drawing is at 113.00 E 27.00 N. Quarter 1 holds
the grids a, b and c, quarter 2 the grids d and e; the dot is a hole that belongs to nobody.
"""

from collections.abc import Iterable
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import shapely
import sqlalchemy as sa
from shapely import MultiPolygon
from shapely.geometry.base import BaseGeometry
from sqlalchemy.dialects.postgresql import Range, insert
from sqlalchemy.engine import Connection

from gis import access, cells, schema
from gis.grids import set_minzooms

PICTURE = """
aabbcc
aabbcc
aab.cc
dddeee
dddeee
"""
QUARTERS = {"T1": "abc", "T2": "de"}
WEST, SOUTH, BLOCK = 113.0, 27.0, 0.01
ZONE = ZoneInfo("Asia/Shanghai")
FOUNDED = date(2024, 1, 1)


def at(column: float, row: float) -> tuple[float, float]:
    """Return the lon and lat of a place in the drawing, in blocks from its north-west corner."""
    height = len(PICTURE.split())
    return round(WEST + column * BLOCK, 7), round(SOUTH + (height - row) * BLOCK, 7)


def draw(picture: str = PICTURE) -> dict[str, BaseGeometry]:
    """Return each letter's area."""
    blocks: dict[str, list[BaseGeometry]] = {}
    for row, line in enumerate(picture.split()):
        for column, letter in enumerate(line):
            if letter != ".":
                blocks.setdefault(letter, []).append(shapely.box(*at(column, row + 1), *at(column + 1, row)))
    return {letter: shapely.set_precision(shapely.union_all(parts), 1e-7) for letter, parts in blocks.items()}


def multi(shape: BaseGeometry) -> str:
    parts = shape.geoms if isinstance(shape, MultiPolygon) else [shape]
    return f"SRID=4326;{MultiPolygon(list(parts)).wkt}"


def _add_grid(conn: Connection, code: str, level: int, parent: str | None, shape: BaseGeometry) -> None:
    identity = schema.grid_codes.insert().values(scheme="safety", code=code)
    grid_id = conn.execute(identity.returning(schema.grid_codes.c.id)).scalar_one()
    conn.execute(
        schema.grids.insert().values(
            grid_id=grid_id, scheme="safety", code=code, level=level, parent_code=parent, name=f"网格{code}",
            geom=multi(shape), area_m2=shape.area * 1.1e10, valid=Range(FOUNDED, None), known=Range(1, None),
        )
    )  # fmt: skip


def add_grids(conn: Connection) -> None:
    """Put the town's grids into the store as revision 1, with one keeper for grid a."""
    conn.execute(
        schema.schemes.insert().values(name="safety", title_zh="平安网格", title_en="Safety", is_default=True)
    )
    names = [(1, "镇", "town"), (2, "片区", "quarter"), (3, "网格", "grid")]
    rows = [{"scheme": "safety", "level": level, "name_zh": zh, "name_en": en} for level, zh, en in names]
    conn.execute(schema.levels.insert(), rows)
    conn.execute(schema.revisions.insert().values(scheme="safety", note="founded"))
    units = draw()
    _add_grid(conn, "T", 1, None, shapely.union_all(list(units.values())))
    for quarter, letters in QUARTERS.items():
        _add_grid(conn, quarter, 2, "T", shapely.union_all([units[letter] for letter in letters]))
        for letter in letters:
            _add_grid(conn, quarter + letter, 3, quarter, units[letter])
    set_minzooms(conn, "safety")


def add_city(conn: Connection) -> int:
    """Put the town itself, two categories and a batch into the store; return the batch."""
    conn.execute(
        schema.city.insert().values(
            code="T", name_zh="小镇", name_en="Town", timezone="Asia/Shanghai", size="small", synthetic=True,
            attribution="drawn by the tests",
        )
    )  # fmt: skip
    tree = [("01", None), ("0101", "01"), ("0102", "01"), ("02", None)]
    rows = [{"code": code, "parent": parent, "name_zh": code, "name_en": code} for code, parent in tree]
    conn.execute(schema.categories.insert(), rows)
    batch = schema.batches.insert().values(
        kind="town", origin="town", file="town.py", sha256="", mapping="", datum="wgs84", rows=0, accepted=0,
        refused=0, unchanged=0,
    )  # fmt: skip
    return int(conn.execute(batch.returning(schema.batches.c.id)).scalar_one())


def add_keeper(conn: Connection, batch: int, code: str) -> None:
    """Make somebody answerable for a grid."""
    person = schema.staff.insert().values(
        origin="town", origin_id=code, batch_id=batch, name="甲", phone="000"
    )
    staff_id = conn.execute(person.returning(schema.staff.c.id)).scalar_one()
    grid_id = conn.execute(
        sa.select(schema.grid_codes.c.id).where(schema.grid_codes.c.code == code)
    ).scalar_one()
    conn.execute(
        schema.posts.insert().values(
            staff_id=staff_id, grid_id=grid_id, post="网格长", valid=Range(FOUNDED, None)
        )
    )


def add_incidents(
    conn: Connection, batch: int | None, places: list[tuple[float, float]], category: str = "0101",
    first: datetime = datetime(2025, 1, 1, tzinfo=ZONE), apart: timedelta = timedelta(hours=1),
) -> None:  # fmt: skip
    """Put one incident at each place, `apart` in time, with its cells stamped."""
    lon, lat = np.array(places).T
    stamped = cells.stamp(lon, lat)
    known = conn.execute(sa.select(sa.func.count()).select_from(schema.incidents)).scalar_one()
    rows = [
        {
            "origin": "town", "origin_id": str(known + n), "batch_id": batch, "code": f"E{known + n}",
            "category": category, "source": "citizen", "colour": "blue", "state": "reported",
            "occurred_at": first + n * apart, "reported_at": first + n * apart, "datum": "wgs84",
            "geom": f"SRID=4326;POINT({x} {y})",
        }
        | {f"cell_{res}": int(column[n]) for res, column in stamped.items()}
        for n, (x, y) in enumerate(places)
    ]  # fmt: skip
    conn.execute(schema.incidents.insert(), rows)
    for res, column in stamped.items():
        unique = np.unique(column)
        _add_cells(conn, res, unique)


def _add_cells(conn: Connection, res: int, unique: cells.Cells) -> None:
    outlines, areas = cells.boundaries(unique), cells.areas_m2(unique)
    rows = [
        {"cell": int(cell), "res": res, "geom": f"SRID=4326;{outline.wkt}", "area_m2": area}
        for cell, outline, area in zip(unique, outlines, areas.tolist(), strict=True)
    ]
    conn.execute(insert(schema.cells).on_conflict_do_nothing(), rows)


def add_building(conn: Connection, batch: int, address: str, place: tuple[float, float]) -> None:
    """Put a house of some 20 m at a place into the store, with its cells stamped."""
    x, y = place
    stamped = cells.stamp(np.array([x]), np.array([y]))
    house = shapely.box(x - 1e-4, y - 1e-4, x + 1e-4, y + 1e-4)
    conn.execute(
        schema.buildings.insert().values(
            origin="town", origin_id=address, batch_id=batch, address=address, households=12,
            geom=f"SRID=4326;{house.wkt}", point=f"SRID=4326;POINT({x} {y})",
            **{f"cell_{res}": int(column[0]) for res, column in stamped.items()},
        )
    )  # fmt: skip


def add_responders(conn: Connection, batch: int, places: dict[str, tuple[float, float]]) -> None:
    """Put free crews into the store."""
    rows = [
        {
            "origin": "town", "origin_id": name, "batch_id": batch, "name": name, "kind": "patrol",
            "status": "available", "skills": ["first_aid"], "geom": f"SRID=4326;POINT({x} {y})",
        }
        for name, (x, y) in places.items()
    ]  # fmt: skip
    conn.execute(schema.responders.insert(), rows)


def furnish(conn: Connection, houses: Iterable[tuple[float, float]] = ()) -> int:
    """Put the whole town into the store, houses of one street at places of the drawing, a keeper of grid a.

    Returns the batch.
    """
    add_grids(conn)
    batch = add_city(conn)
    for number, place in enumerate(houses):
        add_building(conn, batch, f"松树路{number}号", at(*place))
    add_keeper(conn, batch, "T1a")
    return batch


def make_keys(conn: Connection, *roles: str) -> dict[str, access.NewKey]:
    """Make a key to the whole town for each role."""
    return {role: access.create_key(conn, role, scheme="safety", label=role) for role in roles}


_STATIONS = """
INSERT INTO schemes (name, title_zh, title_en, is_default) VALUES ('fire', '消防网格', 'Fire', false);
INSERT INTO levels (scheme, level, name_zh, name_en)
  VALUES ('fire', 1, '大队', 'brigade'), ('fire', 2, '站', 'station');
INSERT INTO revisions (scheme, note) VALUES ('fire', 'founded');
INSERT INTO grid_codes (scheme, code) VALUES ('fire', 'F'), ('fire', 'T1a'), ('fire', 'F2');
INSERT INTO grids (grid_id, scheme, code, level, parent_code, name, geom, area_m2, valid, known)
  SELECT c.id, 'fire', c.code, o.level, o.above, c.code, g.geom, g.area_m2, g.valid,
    int4range((SELECT max(id) FROM revisions), NULL)
  FROM (VALUES ('T', 'F', 1, NULL), ('T1', 'T1a', 2, 'F'), ('T2', 'F2', 2, 'F'))
    AS o (was, now, level, above)
  JOIN LATERAL (SELECT * FROM grids WHERE scheme = 'safety' AND code = o.was ORDER BY id LIMIT 1) g ON true
  JOIN grid_codes c ON c.scheme = 'fire' AND c.code = o.now
"""


def add_stations(conn: Connection) -> None:
    """Put a second scheme of two levels into the store; a code of the first is another grid's in it."""
    conn.execute(sa.text(_STATIONS))

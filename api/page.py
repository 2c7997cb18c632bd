"""The page: its files, the packages it draws with, and what it needs to know of the city."""

from typing import Any

from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import FileResponse, JSONResponse, Response
from starlette.staticfiles import StaticFiles

from api.access import Who, audience
from api.deps import Transaction, Wished
from gis import city as cities
from gis import grids
from gis.settings import ROOT

router = APIRouter()
WEB = ROOT / "web"
ASSETS = {
    "/app": WEB / "app",
    "/vendor/maplibre-gl": WEB / "node_modules" / "maplibre-gl" / "dist",
    "/vendor/noto-sans-sc": WEB / "node_modules" / "@fontsource-variable" / "noto-sans-sc",
    "/vendor/swagger-ui": WEB / "node_modules" / "swagger-ui-dist",
    "/vendor/h3-js": WEB / "node_modules" / "h3-js" / "dist" / "browser",
}
"""What the page loads; only these folders are ever served."""
_LINKS = (
    ("self", "/", "application/json"),
    ("service-desc", "/openapi.json", "application/vnd.oai.openapi+json;version=3.1"),
    ("service-doc", "/docs", "text/html"),
    ("data", "/layers", "application/json"),
)


_EITHER: dict[int | str, dict[str, Any]] = {200: {"content": {"text/html": {}, "application/json": {}}}}


def mount(app: FastAPI) -> None:
    """Serve the page's files and packages. Packages not installed yet answer 404, the API goes on."""
    for path, folder in ASSETS.items():
        app.mount(path, StaticFiles(directory=folder, check_dir=False), name=path)


@router.get("/", response_class=Response, responses=_EITHER, openapi_extra=audience("public", "none"))
def landing(request: Request) -> Response:
    """Answer the page to a browser, the landing document to a program that asks for JSON."""
    if "text/html" in request.headers.get("accept", ""):
        return FileResponse(WEB / "index.html", headers={"Vary": "Accept", "Cache-Control": "no-cache"})
    base = str(request.base_url).rstrip("/")
    links = [{"rel": rel, "href": base + path, "type": kind} for rel, path, kind in _LINKS]
    body = {"title": "平安地图 Safety map", "description": "Grids, incidents and responders", "links": links}
    return JSONResponse(body, headers={"Vary": "Accept"})


@router.get(
    "/planner", response_class=FileResponse, include_in_schema=False, openapi_extra=audience("public", "none")
)
def planner() -> FileResponse:
    """Answer the page on which boundaries are planned; what it asks for needs a session."""
    return FileResponse(WEB / "planner.html", headers={"Cache-Control": "no-cache"})


@router.get("/openapi.json", include_in_schema=False, openapi_extra=audience("public", "none"))
def openapi(request: Request) -> JSONResponse:
    """Answer the description of every operation (OpenAPI 3.1)."""
    described: dict[str, Any] = request.app.openapi()
    return JSONResponse(described)


@router.get(
    "/docs", response_class=FileResponse, include_in_schema=False, openapi_extra=audience("public", "none")
)
def docs() -> FileResponse:
    """Answer the interactive documentation, whose scripts come from this machine."""
    return FileResponse(WEB / "docs.html")


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
            "levels": cities.level_names(conn, asked.scheme),
            "revision": asked.known,
            "examples": cities.examples(conn, asked.scheme),
            "incidents": dict(cities.incident_span(conn, suppressed=who.rank == 0)._mapping),
        }


@router.get("/categories", openapi_extra=audience("public", "none"))
def categories(transaction: Transaction) -> list[dict[str, Any]]:
    """Answer the tree of incident categories, parents before children."""
    with transaction() as conn:
        return cities.category_tree(conn)

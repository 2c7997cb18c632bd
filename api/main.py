"""The service: every route of the public contract, in one application."""

from fastapi import Depends, FastAPI

from api import errors, health, hotspots, lookup, maps, page, search, session
from api.access import Seen, guard
from api.journal import Journal, configure
from gis.settings import settings

ROUTERS = (
    health.router,
    page.router,
    session.router,
    search.router,
    lookup.router,
    maps.router,
    hotspots.router,
)


def make_app() -> FastAPI:
    """Return the application; its database is connected to at the first question."""
    configure(settings().log_level)
    app = FastAPI(
        title="Safety map 平安地图", version="0.1.0", description=__doc__, dependencies=[Depends(guard)],
        responses=errors.DOCUMENTED,
    )  # fmt: skip
    app.state.seen = Seen({})
    for router in ROUTERS:
        app.include_router(router)
    errors.install(app)
    page.mount(app)
    app.add_middleware(Journal)
    return app

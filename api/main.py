"""The service: every route of the public contract, in one application."""

from fastapi import FastAPI

from api import errors, health, hotspots, lookup, maps, page, search
from api.journal import Journal, configure
from gis.settings import settings

ROUTERS = (health.router, page.router, search.router, lookup.router, maps.router, hotspots.router)


def make_app() -> FastAPI:
    """Return the application; its database is connected to at the first question."""
    configure(settings().log_level)
    app = FastAPI(title="Safety map 平安地图", version="0.1.0", description=__doc__)
    for router in ROUTERS:
        app.include_router(router)
    errors.install(app)
    page.mount(app)
    app.add_middleware(Journal)
    return app

"""The service: every route of the public contract, in one application."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import Depends, FastAPI
from fastapi.telemetry import TelemetryConfig

from api import (
    analysis,
    archives,
    collections,
    deciding,
    errors,
    evaluation,
    events,
    health,
    hotspots,
    intake,
    lookup,
    maps,
    memory,
    page,
    plan_mending,
    planning,
    planning_drawing,
    planning_files,
    repeats,
    risk,
    search,
    session,
    situation,
    surveillance,
)
from api.access import Engines, Seen, guard
from api.demo_access import DemoAccess
from api.door import Door, Shed
from api.events import Hub
from api.heading import Head
from api.journal import Journal, configure
from api.limits import HEAVY_AT_ONCE, Limits
from api.parameters import only_known, only_plain_numbers, only_storable
from api.proxy import Proxied, networks
from api.recorder import Recorder
from api.tiling import Desk
from api.wire import Wire
from gis import db
from gis.settings import settings

ROUTERS = (
    health.router,
    page.router,
    session.router,
    search.router,
    lookup.router,
    maps.router,
    archives.router,
    collections.router,
    hotspots.router,
    intake.router,
    risk.router,
    analysis.router,
    repeats.router,
    planning.router,
    plan_mending.router,
    planning_drawing.router,
    planning_files.router,
    deciding.router,
    events.router,
    situation.router,
    surveillance.router,
    evaluation.router,
)

SILENT: TelemetryConfig = {"auto_configure": False, "tracing": False, "metrics": False, "logs": False}
"""The framework tells nobody outside this machine anything, whatever the environment says; see `journal`."""


def make_app(engines: Engines = db.service_engine, data_dir: Path | None = None) -> FastAPI:
    """Return the application; its database is connected to at the first question."""
    configure(settings().log_level)
    data_dir = data_dir or settings().data_dir
    recorder, wire = Recorder(engines, data_dir), Wire(engines)
    desk, hub = Desk(engines, wire.listener.is_in_touch), Hub(engines)
    wire.hearers = (desk, hub)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        memory.bound()
        recorder.start()
        wire.start()
        trimming = asyncio.create_task(memory.trimming())
        yield
        trimming.cancel()
        wire.stop()
        await desk.stop()
        recorder.stop()

    app = FastAPI(
        title="Safety map", version="0.1.0", description=f"平安地图. {__doc__}", openapi_url=None,
        docs_url=None, redoc_url=None,
        dependencies=[Depends(each) for each in (guard, only_known, only_plain_numbers, only_storable)],
        responses=errors.DOCUMENTED, lifespan=lifespan, telemetry=SILENT,
    )  # fmt: skip
    app.state.heavy = asyncio.Semaphore(HEAVY_AT_ONCE)
    app.state.engines, app.state.seen, app.state.recorder = engines, Seen({}), recorder
    app.state.wire, app.state.desk, app.state.hub, app.state.data_dir = wire, desk, hub, data_dir
    trusted = networks(settings().trusted_proxy)
    app.state.demo = DemoAccess(data_dir) if settings().demo_mode and not trusted else None
    for router in ROUTERS:
        app.include_router(router)
    errors.install(app)
    page.mount(app)
    app.add_middleware(
        Door, desk=desk, find=maps.asked_tile, route=maps.TILE_ROUTE, is_away=wire.listener.is_away
    )
    app.add_middleware(Head)
    app.add_middleware(Limits)
    app.add_middleware(Journal)
    app.add_middleware(Shed, desk=desk)
    if trusted:
        app.add_middleware(Proxied, trusted=trusted)
    return app

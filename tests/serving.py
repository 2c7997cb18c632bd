"""The service over a town's database, as tests of its tiles ask it."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlalchemy.engine import Engine

from api.main import make_app
from api.tiling import Desk
from tests import town

HERE = ("127.0.0.1", 5)
Z = 16


def settle(engine: Engine) -> None:
    """Fill a database with the town, two houses and three incidents."""
    with engine.begin() as conn:
        town.add_grids(conn)
        batch = town.add_city(conn)
        town.add_building(conn, batch, "1", town.at(1, 1))
        town.add_building(conn, batch, "2", town.at(4, 4))
        town.add_incidents(conn, batch, [town.at(1, 1), town.at(1, 1.5), town.at(1, 4)])


@contextmanager
def serving(engine: Engine, data_dir: Path) -> Iterator[TestClient]:
    """The service as one process of it runs, once it hears of changes."""
    with TestClient(make_app(lambda: engine, data_dir), "http://127.0.0.1", client=HERE) as client:
        wait(lambda: bool(desk_of(client).cache.watched))
        yield client


def desk_of(client: TestClient) -> Desk:
    """What cuts and keeps a service's tiles."""
    assert isinstance(client.app, FastAPI)
    desk = client.app.state.desk
    assert isinstance(desk, Desk)
    return desk


def wait(until: Callable[[], bool], seconds: float = 60) -> None:
    """Wait until something holds; fail when it does not."""
    end = time.monotonic() + seconds
    while not until():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.01)


def path(layer: str, place: tuple[float, float], z: int = Z) -> str:
    """The path of a layer's tile at a place."""
    lon, lat = place
    y = (1 - np.arcsinh(np.tan(np.radians(lat))) / np.pi) / 2
    return f"/tiles/{layer}/{z}/{int((lon + 180) / 360 * (1 << z))}/{int(y * (1 << z))}.mvt"


HOUSE, OTHER = path("buildings", town.at(1, 1)), path("buildings", town.at(4, 4))

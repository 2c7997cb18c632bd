"""What it costs to know who asks: tiles and chains with a key against the same without one."""

import contextlib
from collections.abc import Iterator, Sequence

import numpy as np

from api.cutting import looking_at
from bench.load import fetch, served
from bench.measure import HEADER, ratio
from gis import access, city, db, grids
from gis.migrate import migrate
from layers.catalogue import LAYERS
from layers.view import View
from tiles import mvt
from tiles.tile import Tile

TILES = 400
UNCACHED = 256
REPEATED = 3
"""Times that each tile is asked for in a round: a shorter one measures the machine."""
AUTHORISED = 1 / 1.2
"""An authorised tile may cost 1.2 times an anonymous one."""


def _places(count: int) -> tuple[grids.Asked, list[tuple[float, float]]]:
    with db.work_engine().begin() as conn:
        migrate(conn)
        asked = grids.resolve(conn, grids.Wish())
        west, south, east, north = city.extent(conn, asked.scheme)
    rng = np.random.default_rng(7)
    middle = rng.normal(0.5, 0.12, (count, 2)).clip(0, 1)
    return asked, [(west + (east - west) * x, south + (north - south) * y) for x, y in middle.tolist()]


def _square(lon: float, lat: float, z: int) -> Tile:
    y = (1 - np.arcsinh(np.tan(np.radians(lat))) / np.pi) / 2
    return Tile(z, int((lon + 180) / 360 * (1 << z)), int(y * (1 << z)))


@contextlib.contextmanager
def _key(scheme: str, scope: str | None) -> Iterator[str]:
    """The header of a commander's key, which is revoked afterwards."""
    with db.work_engine().begin() as conn:
        key = access.create_key(conn, "commander", scope, scheme=scheme, label="bench").key
        made = access.keys(conn)[-1].id
    yield f"Authorization: Bearer {key}\r\n"
    with db.work_engine().begin() as conn:
        access.revoke_key(conn, made)


def _over_http(scheme: str, paths: dict[str, Sequence[str]], how: str, **settings: str) -> None:
    with served("api.main:make_app", 8128, **settings) as port, _key(scheme, None) as header:
        for name, asked in paths.items():
            told = ratio(
                f"{REPEATED * len(asked)} {how} tiles of {name} with a key, against without",
                lambda asked=asked: fetch(port, asked, REPEATED * len(asked), headers=header),  # type: ignore[misc]
                lambda asked=asked: fetch(port, asked, REPEATED * len(asked)),  # type: ignore[misc]
                AUTHORISED,
            )
            print(told.line(), flush=True)


def _in_database(asked: grids.Asked, squares: list[Tile]) -> None:
    """Protected tiles as the service's role, under its policies, against the owner's without any."""
    service, owner = db.service_engine(), db.work_engine()

    def render(engine: db.Engine, who: access.Principal) -> None:
        for square in squares:
            with engine.begin() as conn:
                access.enter(conn, who)
                seen = View(asked.scheme, asked.on, asked.known)
                view = looking_at(seen, square.z)
                mvt.render(conn, LAYERS["incidents"].select(view), "incidents", square)

    commander = access.Principal("commander")
    print(
        ratio(
            f"{len(squares)} incident tiles at zoom 15 under row-level security, against none",
            lambda: render(service, commander),
            lambda: render(owner, access.ANYBODY),
            AUTHORISED,
        ).line()
    )


def main() -> None:
    """Print the ratios over the database that is loaded."""
    asked, places = _places(TILES)
    squares = [_square(lon, lat, 15) for lon, lat in places]
    print(HEADER)
    _in_database(asked, squares[:100])
    tiles = {
        layer: [f"/tiles/{layer}/15/{square.x}/{square.y}.mvt" for square in squares]
        for layer in ("grids", "buildings")
    }
    _over_http(asked.scheme, tiles, "kept")
    few = {layer: found[:UNCACHED] for layer, found in tiles.items()}
    _over_http(asked.scheme, few, "uncached", SAFETYMAP_TILE_CACHE_MB="0")


if __name__ == "__main__":
    main()

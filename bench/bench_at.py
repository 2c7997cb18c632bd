"""`GET /grids/at` over HTTP against a route of the same service that answers a constant."""

import numpy as np
from fastapi import FastAPI

from api.access import audience
from api.main import make_app
from bench.load import fetch, served
from bench.measure import HEADER, ratio
from gis import city, db, grids

REQUESTS = 2000


def app() -> FastAPI:
    """Return the service with the peer beside it: a plain route, the same server and middleware."""
    made = make_app()

    @made.get("/constant", openapi_extra=audience("public", "none"))
    def constant() -> dict[str, str]:
        return {"answer": "constant"}

    return made


def paths(count: int) -> list[str]:
    """Points all over the loaded city that some grid owns."""
    with db.work_engine().begin() as conn:
        west, south, east, north = city.extent(conn, grids.resolve(conn, grids.Wish()).scheme)
        rng, paths = np.random.default_rng(5), []
        while len(paths) < count:
            lon, lat = float(rng.uniform(west, east)), float(rng.uniform(south, north))
            try:
                grids.chain(conn, lon, lat, grids.Wish())
            except grids.NotFound:
                continue
            paths.append(f"/grids/at?lon={lon:.6f}&lat={lat:.6f}")
    return paths


def main() -> None:
    """Print the ratio over the database that is loaded."""
    asked = paths(400)
    with served("bench.bench_at:app", 8127) as port:
        print(HEADER)
        print(
            ratio(
                f"{REQUESTS} single /grids/at over HTTP, against a route that answers a constant",
                lambda: fetch(port, asked, REQUESTS),
                lambda: fetch(port, ["/constant"] * 8, REQUESTS),
                0.3,
            ).line()
        )


if __name__ == "__main__":
    main()

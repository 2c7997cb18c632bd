"""Importing 300,000 incidents end to end against a bare binary COPY of the same rows."""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
import sqlalchemy as sa
from sqlalchemy.engine import Engine, make_url

from bench.measure import HEADER, ratio
from gis import coverage, db
from gis.importing import mapping, reading
from gis.importing.frames import from_frame
from gis.importing.job import Options
from gis.importing.run import run
from gis.migrate import migrate
from tests.towns import town

ROWS = 300_000
SIDE = 74
ROUNDS = 5
TARGET = 0.25
SCHEME = mapping.Scheme(
    name="safety", title_zh="平安网格", title_en="Safety", default=True,
    levels=[mapping.Level(level=5, name_zh="网格", name_en="unit grid")],
)  # fmt: skip


@contextmanager
def scratch() -> Iterator[Engine]:
    """A database of its own on the same server, dropped afterwards."""
    server = make_url(db.url())
    admin = sa.create_engine(server, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
    with admin.connect() as conn:
        conn.execute(sa.text("DROP DATABASE IF EXISTS bench_import WITH (FORCE)"))
        conn.execute(sa.text("CREATE DATABASE bench_import"))
    engine = db.make_engine(server.set(database="bench_import").render_as_string(hide_password=False))
    yield engine
    engine.dispose()
    with admin.connect() as conn:
        conn.execute(sa.text("DROP DATABASE bench_import WITH (FORCE)"))


def grids() -> gpd.GeoDataFrame:
    """A ragged town of 5,476 unit grids."""
    made = town(SIDE, 0, bends=7)
    shapes = coverage.to_degrees(np.array(list(made.values()), dtype=object))
    columns = {"code": list(made), "name": list(made), "scheme": "safety", "level": 5}
    return gpd.GeoDataFrame(columns, geometry=shapes, crs=4326)


def incidents(area: tuple[float, float, float, float]) -> pd.DataFrame:
    """A year of incidents all over the town, with texts of ordinary length."""
    rng = np.random.default_rng(3)
    west, south, east, north = area
    seconds = pd.to_timedelta(rng.integers(0, 365 * 86400, ROWS), "s")
    return pd.DataFrame(
        {
            "origin_id": [f"I{number:07d}" for number in range(ROWS)],
            "code": [f"SJ430202202501{number:09d}" for number in range(ROWS)],
            "category": "other",
            "source": rng.choice(["citizen", "grid_worker", "hotline"], ROWS),
            "colour": rng.choice(["blue", "yellow", "red"], ROWS),
            "state": "closed",
            "occurred_at": pd.Timestamp("2024-01-01", tz="Asia/Shanghai") + seconds,
            "description": "网格员巡查发现楼道堆物，已劝导清理。",
            "address": [f"株洲市荷塘区月塘街道银山路{number}号" for number in rng.integers(1, 999, ROWS)],
            "lon": rng.uniform(west, east, ROWS).round(7),
            "lat": rng.uniform(south, north, ROWS).round(7),
        }
    )


def empty(engine: Engine, *tables: str) -> None:
    """Empty tables; a few milliseconds that both sides pay."""
    with engine.begin() as conn:
        conn.execute(sa.text(f"TRUNCATE {', '.join(tables)} CASCADE"))


def importing(engine: Engine, path: Path) -> Callable[[], None]:
    """Read the file, check, own, stamp and load it, and commit."""

    def work() -> None:
        empty(engine, "incidents", "cells")
        with engine.begin() as conn:
            options = Options(mapping=mapping.plain("incidents", "bench"), datum="wgs84")
            outcome = run(conn, "incidents", reading.read(path), options)
        assert outcome.inserted == ROWS

    return work


def copying(engine: Engine, table: str, rows: bytes) -> Callable[[], None]:
    """Send the very rows of the table of incidents as binary COPY, and commit."""

    def work() -> None:
        empty(engine, table)
        with engine.begin() as conn:
            driver: Any = conn.connection.driver_connection
            with driver.cursor() as cursor, cursor.copy(f"COPY {table} FROM STDIN (FORMAT binary)") as stream:
                stream.write(rows)

    return work


def peers(engine: Engine) -> bytes:
    """Make the peers' tables (one as incidents is, one without any index or check), return the rows."""
    foreign = ("category) REFERENCES categories (code", "batch_id) REFERENCES batches (id")
    with engine.begin() as conn:
        conn.execute(sa.text("CREATE TABLE alike (LIKE incidents INCLUDING ALL)"))
        for key in foreign:
            conn.execute(sa.text(f"ALTER TABLE alike ADD FOREIGN KEY ({key})"))
        conn.execute(sa.text("CREATE TABLE bare (LIKE incidents)"))
        driver: Any = conn.connection.driver_connection
        with driver.cursor() as cursor, cursor.copy("COPY incidents TO STDOUT (FORMAT binary)") as stream:
            return b"".join(bytes(block) for block in stream)


def prepare(engine: Engine, folder: Path) -> dict[str, Path]:
    """Load grids and a category, and write the incidents as files."""
    drawn = grids()
    with engine.begin() as conn:
        migrate(conn)
        conn.execute(sa.text("INSERT INTO categories VALUES ('other', NULL, '其他', 'Other')"))
        known = mapping.plain("grids", "bench").model_copy(update={"schemes": [SCHEME]})
        run(
            conn,
            "grids",
            from_frame(drawn, "town"),
            Options(mapping=known, datum="wgs84", accept_faults=True),
        )
    data = incidents(tuple(shapely.total_bounds(drawn.geometry.to_numpy()).tolist()))
    paths = {"Parquet": folder / "f.parquet", "CSV": folder / "f.csv"}
    data.to_parquet(paths["Parquet"])
    data.to_csv(paths["CSV"], index=False)
    return paths


def main() -> None:
    """Print the ratios over a scratch database."""
    with scratch() as engine, tempfile.TemporaryDirectory() as folder:
        paths = prepare(engine, Path(folder))
        importing(engine, paths["Parquet"])()
        rows = peers(engine)
        alike, bare = copying(engine, "alike", rows), copying(engine, "bare", rows)
        what = f"import {ROWS:,} incidents"
        print(HEADER)
        for form, path in paths.items():
            name = f"{what} from {form}, against a binary COPY into the same table"
            print(ratio(name, importing(engine, path), alike, TARGET, ROUNDS).line(), flush=True)
        name = f"{what} from Parquet, against a binary COPY without indexes or checks"
        print(ratio(name, importing(engine, paths["Parquet"]), bare, 0.0, ROUNDS).line(), flush=True)


if __name__ == "__main__":
    main()

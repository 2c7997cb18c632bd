"""Real maps the whole way: imported with `--dissolve`, planned at the outline, published, each step timed.

`uv run python -m bench.journeys [--only NAME]`: Chicago's beats and wards of 2015, the counties of Zhuzhou
(Tianditu), and the townships of the loaded demo, whose borders are made. Each map is imported into an empty
database of its own, the grid with the longest stretch of the outline is split there, and the plan is
published. On a busy machine only the seconds of the process's own CPU say something.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import geopandas as gpd
import pandas as pd
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from bench.bench_import import scratch
from bench.publications import APPROVER, AUTHOR, across, at_the_border
from gis import db, plans, publishing, schema
from gis.access import COMMAND, enter
from gis.importing import mapping
from gis.importing.frames import from_frame
from gis.importing.job import Options
from gis.importing.run import run
from gis.migrate import migrate
from gis.settings import settings
from tests import recorded

SCHEME = "bench"
LIMITS_S = {"import, CPU": 15.0, "publish": 2.0}


def beats() -> gpd.GeoDataFrame:
    """Chicago's beats with their sectors and districts."""
    table = gpd.read_parquet(settings().realdata / "chicago" / "grids.parquet")
    found = table[table.level == "beat"]
    return found.assign(city="chicago", district=found.code.str[:2], sector=found.code.str[:3])


def wards() -> gpd.GeoDataFrame:
    """Chicago's wards of 2015."""
    table = gpd.read_parquet(settings().realdata / "chicago" / "grids.parquet")
    found = table[(table.level == "ward") & (table.valid_from == "2015-05-18")]
    return found.assign(city="chicago")


def counties() -> gpd.GeoDataFrame:
    """The counties of Zhuzhou as Tianditu draws them."""
    table = gpd.read_parquet(settings().realdata / "zhuzhou" / "county_tianditu_wgs84.parquet")
    return table.assign(code=table.adcode.astype(str), city="zhuzhou")


def townships() -> gpd.GeoDataFrame:
    """The townships of the loaded demo with their counties."""
    g = schema.grids.c
    now = sa.and_(sa.func.upper_inf(g.known), sa.func.upper_inf(g.valid), g.level == 3)
    query = sa.select(g.code, g.parent_code.label("county"), g.geom).where(now)
    with db.make_engine(db.url()).connect() as conn:
        found = gpd.read_postgis(query, conn, geom_col="geom")
    return found.rename_geometry("geometry").assign(city="zhuzhou")


MAPS: dict[str, tuple[Callable[[], gpd.GeoDataFrame], tuple[str, ...]]] = {
    "beats": (beats, ("city", "district", "sector")),
    "wards": (wards, ("city",)),
    "counties": (counties, ("city",)),
    "townships": (townships, ("city", "county")),
}
"""How each map is read, and the columns of the levels above it, the highest first."""


def imported(conn: Connection, table: gpd.GeoDataFrame, above: tuple[str, ...]) -> int:
    """Import a map with the levels above it dissolved from it; the rows refused."""
    names = [*above, "lowest"]
    levels = [mapping.Level(level=n, name_zh=name, name_en=name) for n, name in enumerate(names, 1)]
    scheme = mapping.Scheme(name=SCHEME, title_zh=SCHEME, title_en=SCHEME, default=True, levels=levels)
    columns = {"code": table.code, "name": table.code, "scheme": SCHEME, "level": len(names)}
    rows = pd.DataFrame(columns | {name: table[name] for name in above})
    rows = rows.assign(valid_from=pd.Timestamp("2020-01-01").date())
    frame = gpd.GeoDataFrame(rows, geometry=table.geometry.to_numpy(), crs=4326)
    declared = mapping.plain("grids", "bench").model_copy(update={"schemes": [scheme]})
    with tempfile.TemporaryDirectory() as folder:
        options = Options(
            mapping=declared, datum="wgs84", refused=Path(folder) / "refused.csv", dissolve=above,
            accept_faults=True, repair=True,
        )  # fmt: skip
        return run(conn, "grids", from_frame(frame, "bench"), options).refused


def journey(conn: Connection, table: gpd.GeoDataFrame, above: tuple[str, ...]) -> dict[str, float]:
    """Seconds of an import, of a plan at the outline and of its publication; rows, and those refused."""
    recorded.add_scheme(conn, SCHEME, len(above) + 1, default=True)
    clocks = {"import": (time.perf_counter(), time.process_time())}
    refused = imported(conn, table, above)
    enter(conn, COMMAND)
    clocks["plan"] = (time.perf_counter(), time.process_time())
    top = conn.execute(sa.select(schema.grids.c.code).where(schema.grids.c.level == 1)).scalar_one()
    plan = plans.create(conn, AUTHOR, str(top), "bench", None, SCHEME).id
    cov = plans.draft(conn, plan).cov
    plans.take(conn, AUTHOR, plan, across(cov, at_the_border(cov)) | {"confirm_pieces": 500})
    plans.submit(conn, plan)
    plans.approve(conn, APPROVER, plan)
    clocks["publish"] = (time.perf_counter(), time.process_time())
    publishing.publish(conn, plan)
    marks = [*clocks.values(), (time.perf_counter(), time.process_time())]
    spent = {"rows": float(len(table)), "refused": float(refused)}
    for i, name in enumerate(clocks):
        spent[name], spent[f"{name}, CPU"] = (marks[i + 1][n] - marks[i][n] for n in (0, 1))
    return spent


def main() -> None:
    """One line a map."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=MAPS)
    args = parser.parse_args()
    for name, (read, above) in MAPS.items():
        if args.only in {None, name}:
            with scratch() as engine:
                with engine.begin() as conn:
                    migrate(conn)
                with engine.connect() as conn:
                    spent = journey(conn, read(), above)
            over = [key for key, limit in LIMITS_S.items() if spent[key] > limit]
            print(name, {key: round(value, 2) for key, value in spent.items()}, "over:", over or "none")


if __name__ == "__main__":
    main()

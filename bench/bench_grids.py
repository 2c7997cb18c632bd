"""Bulk lookup of points against `gpd.sjoin` and PostGIS; the check of a coverage against overlays."""

from collections.abc import Callable

import geopandas as gpd
import numpy as np
import shapely
import sqlalchemy as sa

from bench.measure import HEADER, ratio
from gis import coverage, db, faults, locate
from tests.towns import outline, town

POINTS = 1_000_000


def made(side: int) -> tuple[list[str], coverage.Geoms]:
    """Codes and polygons (EPSG:4326) of a ragged town of side x side grids."""
    grids = town(side, 0, bends=7)
    return list(grids), coverage.to_degrees(np.array(list(grids.values()), dtype=object))


def points(geoms: coverage.Geoms) -> tuple[coverage.Floats, coverage.Floats]:
    """Places all over the town, on the fixed precision."""
    west, south, east, north = shapely.total_bounds(geoms)
    xy = np.round(np.random.default_rng(0).uniform([west, south], [east, north], (POINTS, 2)), 7)
    return xy[:, 0], xy[:, 1]


def in_postgis(
    conn: sa.Connection, codes: list[str], geoms: coverage.Geoms, lon: coverage.Floats, lat: coverage.Floats
) -> Callable[[], int]:
    """The same question as one ST_Covers join over indexed temporary tables: how many have an owner."""
    conn.execute(sa.text("CREATE TEMP TABLE bench_grids (code text, geom geometry)"))
    conn.execute(sa.text("CREATE TEMP TABLE bench_points (id int, lon float8, lat float8)"))
    rows = [{"code": c, "geom": g} for c, g in zip(codes, shapely.to_wkb(geoms, hex=True), strict=True)]
    conn.execute(sa.text("INSERT INTO bench_grids VALUES (:code, CAST(:geom AS geometry))"), rows)
    with conn.connection.cursor() as cursor, cursor.copy("COPY bench_points FROM STDIN") as copy:
        for row in zip(range(len(lon)), lon.tolist(), lat.tolist(), strict=True):
            copy.write_row(row)
    conn.execute(sa.text("ALTER TABLE bench_points ADD geom geometry"))
    conn.execute(sa.text("UPDATE bench_points SET geom = ST_MakePoint(lon, lat)"))
    conn.execute(sa.text("CREATE INDEX ON bench_grids USING gist (geom)"))
    conn.execute(sa.text("ANALYZE bench_grids, bench_points"))
    join = "bench_points p JOIN bench_grids g ON ST_Covers(g.geom, p.geom)"
    owned = sa.text(f"SELECT count(*) FROM (SELECT p.id, min(g.code) FROM {join} GROUP BY p.id) AS owned")
    return lambda: int(conn.execute(owned).scalar_one())


def by_pairs(geoms: coverage.Geoms, parent: shapely.Geometry) -> float:
    """The usual check: the areas of all overlaps, and of what their union leaves of the parent."""
    one, other = shapely.STRtree(geoms).query(geoms, predicate="intersects")
    above = one < other
    doubled = shapely.area(shapely.intersection(geoms[one[above]], geoms[other[above]])).sum()
    return float(doubled + shapely.area(shapely.difference(parent, shapely.union_all(geoms))))


def lookups() -> None:
    """Points to their grids, in bulk."""
    codes, geoms = made(74)
    lon, lat = points(geoms)
    frame = gpd.GeoDataFrame({"code": codes}, geometry=geoms, crs=4326)
    places = gpd.GeoDataFrame(geometry=gpd.points_from_xy(lon, lat), crs=4326)
    name = f"{POINTS:,} points to {len(codes)} unit grids, against"

    def ours() -> int:
        return int((locate.locate(geoms, codes, lon, lat)[0] >= 0).sum())

    def joined() -> int:
        return int(gpd.sjoin(places, frame, predicate="within").index.nunique())

    assert ours() == joined(), "not the same answer as sjoin"
    print(ratio(f"{name} gpd.sjoin (within)", ours, joined, 1.0).line(), flush=True)
    with db.work_engine().connect() as conn:
        peer = in_postgis(conn, codes, geoms, lon, lat)
        assert ours() == peer(), "not the same answer as PostGIS"
        print(ratio(f"{name} a PostGIS ST_Covers join", ours, peer, 3.0, rounds=3).line(), flush=True)


def checks() -> None:
    """The check of a sound map."""
    codes, geoms = made(100)
    grids = dict(zip(codes, geoms, strict=True))
    parent = coverage.to_degrees(outline(dict(zip(codes, coverage.to_units(geoms), strict=True))))
    assert [f for f in faults.check(grids, parent) if f.severity == "error"] == []
    name = "checking 10,000 grids for all faults, against overlays of all pairs and of their union"
    print(ratio(name, lambda: faults.check(grids, parent), lambda: by_pairs(geoms, parent), 1.0, 5).line())


def main() -> None:
    """Print the rows of the table."""
    print(HEADER)
    checks()
    lookups()


if __name__ == "__main__":
    main()

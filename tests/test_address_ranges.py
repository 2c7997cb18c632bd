"""Cambridge's judged addresses, placed by the ranges of its centre lines, left and right; DC's alike."""

import zlib
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely
from shapely import STRtree

from gis.network.ranges import Found, House, Road, Streets
from gis.network.street_names import parse, street_key
from tests.test_addressing import find

METRES = 26986
"""Massachusetts state plane, in which distances are judged."""


def numbers(first: int, last: int) -> tuple[int, int, str] | None:
    if first <= 0 or last <= 0:
        return None
    return first, last, "both" if (first - last) % 2 else ("even", "odd")[first % 2]


def streets(lines: gpd.GeoDataFrame, name: str, left: tuple[str, str], right: tuple[str, str]) -> Streets:
    rows = lines[lines[name].notna()].explode(index_parts=False).to_dict("records")
    return Streets(
        [
            Road(
                row[name], row["geometry"], 0, 0,
                numbers(*(int(row[end]) for end in left)), numbers(*(int(row[end]) for end in right)),
            )
            for row in rows
        ]
    )  # fmt: skip


def kept_for_judging(parcel: str) -> bool:
    """Every fifth lot; the setbacks were tuned on the others."""
    return zlib.crc32(parcel.encode()) % 5 == 0


def lots(folder: Path) -> gpd.GeoSeries:
    parcels = gpd.read_file(folder / "ASSESSING_ParcelsFY2014.topojson").set_crs(4326, allow_override=True)
    shapes = parcels.geometry.to_numpy()
    parcels = parcels[~(shapely.is_missing(shapes) | shapely.is_empty(shapes))]
    parcels["geometry"] = parcels.geometry.make_valid()
    return parcels.to_crs(METRES).dissolve("ML").geometry


@pytest.mark.realdata
def test_houses_of_cambridge_are_placed_by_their_numbers(realdata: Path) -> None:
    folder = realdata / "cambridge"
    lines = gpd.read_file(folder / "TRANS_Centerlines.geojson")
    known = streets(lines, "Street", ("L_From", "L_To"), ("R_From", "R_To"))
    table = pd.read_parquet(folder / "addresses_judge.parquet")
    table = table[[kept_for_judging(lot) for lot in table["parcel_ml"]]]
    read = [parse(text) for text in table["address"]]
    found = [find(known, one) if one else "" for one in read]
    in_range = np.array([isinstance(one, Found) for one in found])
    # 1 % are of two numbers that may be a unit and a house (`11-8 DANA ST`), and refused.
    assert in_range.mean() >= 0.92
    placed: list[Any] = [one for one in found if isinstance(one, Found)]
    points = gpd.GeoSeries.from_xy([p.lon for p in placed], [p.lat for p in placed], crs=4326).to_crs(METRES)
    lot = lots(folder).reindex(table["parcel_ml"][in_range]).to_numpy()
    metres = shapely.distance(points.to_numpy(), lot)
    p50, p90, p99 = np.percentile(metres, [50, 90, 99])
    assert (p50 <= 10, p90 <= 35, p99 <= 80) == (True, True, True), (p50, p90, p99)
    # On the wrong side, the shortest way to the lot crosses a centre line of that street.
    ways = shapely.shortest_line(points.to_numpy(), lot)
    flat = gpd.GeoSeries([road.line for road in known.roads], crs=4326).to_crs(METRES).to_numpy()
    houses = [one for one in read if isinstance(one, House)]
    sought = [one for one, hit in zip(read, in_range, strict=True) if hit]
    assert len(houses) >= len(sought)
    wrong = [
        shapely.intersects(flat[known.street(house.street)], way).any()
        for house, way in zip(sought, ways, strict=True)
        if isinstance(house, House)
    ]
    assert np.mean(wrong) <= 0.01
    assert np.mean(metres <= [one.accuracy_m for one in placed]) >= 0.9


@pytest.mark.realdata
def test_numbers_of_washington_stand_on_their_own_line_and_side(realdata: Path) -> None:
    lines = gpd.read_file(realdata / "dc/major-roads.geojson")
    lines["full"] = lines["ST_NAME"] + " " + lines["QUADRANT"].fillna("")
    left, right = ("FROMLEFTADDRESS", "TOLEFTADDRESS"), ("FROMRIGHTADDRESS", "TORIGHTADDRESS")
    known = streets(lines, "full", left, right)
    tree = STRtree([road.line for road in known.roads])
    asked = hits = twice = 0
    for road in known.roads:
        if road.left is None:
            continue
        found = find(known, House(road.left[0], street_key(road.name)))
        if isinstance(found, str):
            assert "at several places" in found
            twice += 1
            continue
        nearest = known.roads[int(tree.nearest(shapely.Point(found.lon, found.lat)))]
        asked, hits = asked + 1, hits + (street_key(nearest.name) == street_key(road.name))
    assert asked > 500
    assert twice <= 20, "numbers that the file has on two stretches over 300 m apart"
    assert hits / asked > 0.9

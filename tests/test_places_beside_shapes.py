"""Rows with two places: the shape is taken, and that columns say otherwise is told with how far and where."""

import re
from pathlib import Path

import geopandas as gpd
import pandas as pd
import pytest
import shapely
from sqlalchemy.engine import Connection

from gis.importing import mapping
from gis.importing.frames import from_frame
from gis.importing.job import Options, Outcome
from gis.importing.run import run
from tests import town


def bring(conn: Connection, frame: pd.DataFrame, tmp_path: Path) -> Outcome:
    town.add_grids(conn)
    town.add_city(conn)
    given = mapping.plain("places", "test").model_copy(update={"lon": "lon", "lat": "lat"})
    options = Options(mapping=given, datum="wgs84", refused=tmp_path / "refused.csv")
    return run(conn, "places", from_frame(frame, "places"), options)


def frame(shift: float) -> pd.DataFrame:
    """Three places; the columns of the second lie `shift` degrees of latitude from its shape."""
    lon, lat = town.at(1, 1)
    rows = {"origin_id": ["1", "2", "3"], "name": ["a", "b", "c"], "kind": "school"}
    return pd.DataFrame(rows | {"lon": lon, "lat": [lat, lat + shift, lat]})


def shapes(count: int) -> list[shapely.Point | None]:
    return [shapely.Point(town.at(1, 1))] * count + [None] * (3 - count)


@pytest.mark.parametrize("as_text", [False, True])
def test_what_disagrees_is_told_with_its_distance(conn: Connection, tmp_path: Path, as_text: bool) -> None:
    given = frame(0.01)
    if as_text:
        given["geometry"] = [shape.wkt for shape in shapes(3) if shape]
    else:
        given = gpd.GeoDataFrame(given, geometry=shapes(3), crs=4326)
    outcome = bring(conn, given, tmp_path)
    (note,) = [note for note in outcome.notes if "lon, lat" in note]
    assert outcome.inserted == 3
    assert re.search(r"in 1 rows that lies more than 100 m from the shape, up to 1,1[01]\d m \(row 2\)", note)


def test_what_agrees_is_told_as_not_used(conn: Connection, tmp_path: Path) -> None:
    outcome = bring(conn, gpd.GeoDataFrame(frame(0.0005), geometry=shapes(3), crs=4326), tmp_path)
    (note,) = [note for note in outcome.notes if "lon, lat" in note]
    assert note.endswith("shapes are taken, not what columns lon, lat say")


def test_a_row_without_a_shape_is_refused_and_its_other_place_named(conn: Connection, tmp_path: Path) -> None:
    outcome = bring(conn, gpd.GeoDataFrame(frame(0), geometry=shapes(2), crs=4326), tmp_path)
    (note,) = [note for note in outcome.notes if "lon, lat" in note]
    assert (outcome.inserted, outcome.refused) == (2, 1)
    assert "1 rows have only that and are refused: import them as a file of their own" in note

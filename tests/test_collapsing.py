"""Shapes narrower than the store's precision: told or refused, in an import of grids and in one of a plan."""

import geopandas as gpd
import numpy as np
import pytest
import shapely
from shapely.geometry.base import BaseGeometry
from sqlalchemy.engine import Connection

from gis import coverage
from gis.errors import BadInput
from gis.importing import mapping
from gis.importing.frames import from_frame
from gis.importing.job import Options, Outcome
from gis.importing.run import run
from gis.plan_files import _check_shapes
from tests import town

X, Y = 12.0, 41.0
SPIKE = shapely.Polygon([
    (-71.323148555, 41.5228618370001), (-71.323146191, 41.5228542), (-71.323148476, 41.522861483),
    (-71.323214476, 41.5228944840001), (-71.323148555, 41.5228618370001),
])  # fmt: skip
DUST = shapely.Polygon([(X, Y), (X + 4e-8, Y), (X + 4e-8, Y + 4e-8)])
HAIR = shapely.Polygon([(X, Y), (X + 1e-2, Y), (X + 1e-2, Y + 3e-8)])
BOX = shapely.box(X - 0.1, Y - 0.1, X + 0.1, Y + 0.1)


@pytest.mark.parametrize("tiny", [DUST, HAIR], ids=["dust", "hair"])
def test_what_rounding_leaves_nothing_of_is_none_and_parts_are_counted(tiny: BaseGeometry) -> None:
    far = shapely.box(X + 1, Y + 1, X + 1.1, Y + 1.1)
    given = np.array(
        [tiny, shapely.Polygon(BOX.exterior, [tiny.exterior]), shapely.MultiPolygon([far, tiny]), BOX]
    )
    shapes, lost = coverage.on_precision(given)
    assert shapes[0] is None
    assert lost.tolist() == [1, 1, 1, 0]
    assert shapely.equals(shapes[1:], np.array([BOX, far, BOX])).all()
    assert shapely.is_valid(coverage.snap(shapes[1:])[0]).all()


@pytest.mark.parametrize("shape", [
    SPIKE, shapely.Polygon(shapely.box(-71.4, 41.4, -71.2, 41.6).exterior, [SPIKE.exterior]),
    shapely.MultiPolygon([shapely.box(-71.2, 41.4, -71.1, 41.5), SPIKE]),
])  # fmt: skip
def test_a_valid_shape_that_collapses_when_snapped_raises_nothing(shape: BaseGeometry) -> None:
    assert shape.is_valid
    snapped, told = coverage.snap(np.array([shape]))
    assert shapely.is_valid(snapped).all()
    assert told.max_displacement_m < 1
    assert abs(coverage.areas_m2(snapped)[0] - coverage.areas_m2(shape)[0]) < 0.1


def bring(conn: Connection, shapes: list[BaseGeometry]) -> Outcome:
    codes = [f"N{number}" for number in range(len(shapes))]
    columns = {"code": codes, "level": 3, "parent_code": "T1", "name": codes}
    frame = gpd.GeoDataFrame(columns, geometry=shapes, crs=4326)
    options = Options(mapping=mapping.plain("grids", "test"), accept_faults=True)
    return run(conn, "grids", from_frame(frame, "f"), options)


@pytest.mark.parametrize("move", [0.0, 1e-3])
def test_grids_of_the_kind_are_refused_or_told_and_the_rest_goes_in(conn: Connection, move: float) -> None:
    town.add_grids(conn)
    lon, lat = town.at(2.5, 2.5)
    dust = shapely.Polygon([(lon + move, lat), (lon + move + 4e-8, lat), (lon + move + 4e-8, lat + 4e-8)])
    house = shapely.box(lon - 2e-3, lat - 2e-3, lon + 2e-3, lat + 2e-3)
    outcome = bring(conn, [dust, shapely.Polygon(house.exterior, [dust.exterior])])
    assert (outcome.accepted, outcome.refused) == (1, 1)
    ((field, reason),) = outcome.reasons
    assert field == "geometry"
    assert "collapses" in reason
    assert any("1 parts or holes" in note for note in outcome.notes)


@pytest.mark.parametrize("shape", [
    None, shapely.Polygon(), shapely.box(0, 0, 1e308, 1e308), shapely.box(0, 0, 181, 1),
    shapely.box(0, -91, 1, 1),
])  # fmt: skip
def test_shapes_of_a_plan_file_that_are_no_place_are_named_by_row(shape: BaseGeometry | None) -> None:
    with pytest.raises(BadInput, match="row 2"):
        _check_shapes(np.array([BOX, shape], dtype=object))

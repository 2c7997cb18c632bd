"""What is told of places: no warning of a library, the way that was taken, what stands in the way."""

import warnings

import numpy as np
import pyarrow as pa
import pytest
import shapely

from gis import crs
from gis.importing import shapes
from gis.importing.refusals import Sieve


def test_a_missing_grid_file_is_told_in_words_and_never_warned_of() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        shift = crs.shift_from("EPSG:2263", shapely.points([[984_000, 200_000]]))
    assert "New York Long Island" in shift.words
    assert shift.accuracy_m is not None
    there = shapely.points([[984_000, 200_000]])
    assert shapely.get_coordinates(shift.apply(there))[0] == pytest.approx([-74.0009, 40.7156], abs=2e-4)


@pytest.mark.parametrize("order", [0, 1])
@pytest.mark.parametrize("form", ["EWKT", "EWKB"])
def test_a_system_within_the_value_is_named_as_what_stands_in_the_way(form: str, order: int) -> None:
    points = shapely.set_srid([shapely.Point(-74, 40.7), shapely.Point(1, 2, 3)], 4267)
    made = shapely.to_wkb(points, hex=True, include_srid=True, byte_order=order).tolist()
    texts = made if form == "EWKB" else [f"SRID=2263;{one.wkt}" for one in points]
    sieve = Sieve(np.arange(3), np.ones(3, bool))
    shapes.refuse_unread(pa.array([*texts, "POINT (1 2"]), np.ones(3, bool), sieve)
    whys = [one.reason for one in sorted(sieve.refusals, key=lambda one: one.row)]
    assert ["coordinate system of its own (SRID)" in why for why in whys] == [True, True, False]
    assert "--crs" in whys[0]
    assert whys[2].startswith("cannot be read")

"""Cells equal those of the reference library at every served resolution, and stay apart from grids."""

import json

import h3
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gis import cells
from gis.errors import BadInput
from gis.settings import ROOT
from tests.node_tools import node


@given(st.floats(-180, 180), st.floats(-90, 90))
def test_stamps_equal_h3(lon: float, lat: float) -> None:
    stamped = cells.stamp(np.array([lon]), np.array([lat]))
    assert {res: cells.to_text(c)[0] for res, c in stamped.items()} == {
        res: h3.latlng_to_cell(lat, lon, res) for res in cells.RESOLUTIONS
    }


def test_children_are_indexed_directly_because_parents_do_not_contain_them() -> None:
    rng = np.random.default_rng(7)
    lon, lat = rng.uniform(113.0, 113.3, 2000), rng.uniform(27.7, 27.9, 2000)
    stamped = cells.stamp(lon, lat)
    rolled = np.array([h3.str_to_int(h3.cell_to_parent(c, 9)) for c in cells.to_text(stamped[10])], np.uint64)
    assert 0.03 < (rolled != stamped[9]).mean() < 0.12


def test_shapes_areas_and_discs_equal_h3() -> None:
    some = cells.index(np.array([113.1, 122.3]), np.array([27.8, 39.1]), 9)
    names = cells.to_text(some)
    for name, shape, area in zip(names, cells.boundaries(some), cells.areas_m2(some), strict=True):
        corners = {(round(x, 9), round(y, 9)) for x, y in shape.exterior.coords}
        assert corners == {(round(lng, 9), round(lat, 9)) for lat, lng in h3.cell_to_boundary(name)}
        assert area == pytest.approx(h3.cell_area(name, "m^2"), rel=1e-9)
    rows, near = cells.disc_pairs(some, 2)
    for row, name in enumerate(names):
        assert set(cells.to_text(near[rows == row])) == set(h3.grid_disk(name, 2))


def test_a_coordinate_that_is_no_number_is_refused() -> None:
    with pytest.raises(BadInput, match="lon/lat"):
        cells.index(np.array([np.nan]), np.array([27.0]), 9)


def test_a_cell_name_is_checked() -> None:
    assert cells.to_text(np.array([cells.from_text("894036af527ffff")], np.uint64)) == ["894036af527ffff"]
    with pytest.raises(BadInput, match="cell"):
        cells.from_text("not-a-cell")


def test_the_page_names_cells_from_their_numbers() -> None:
    """Compact answers give 52 bits of a cell; the page's own function must find its resolution as well."""
    rng = np.random.default_rng(8)
    pairs = [
        pair
        for res in cells.RESOLUTIONS
        for found in [cells.index(rng.uniform(-180, 180, 300), rng.uniform(-80, 80, 300), res)]
        for pair in zip(cells.to_text(found), cells.to_numbers(found), strict=True)
    ]
    module = (ROOT / "web/app/cells.js").as_uri()
    program = f"import {{ nameOf }} from {json.dumps(module)}; const pairs = {json.dumps(pairs)};"
    wrong = node(program + "console.log(pairs.filter(([name, id]) => nameOf(id) !== name).length);")
    assert wrong.strip() == "0"

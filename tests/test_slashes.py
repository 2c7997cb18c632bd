"""A grid is asked for by its code whatever signs that holds, as `N/S`, `1/2` or `Ost/West` do."""

from urllib.parse import quote

import geopandas as gpd
import pytest
import shapely
from fastapi.testclient import TestClient
from sqlalchemy.engine import Engine

from gis.importing import mapping
from gis.importing.frames import from_frame
from gis.importing.job import Options
from gis.importing.run import run
from tests import town

CODES = {"a": "N/S", "b": "1/2", "d": "a?b#c", "e": "历史/卷"}
UPPER = "Ost/West"


@pytest.fixture(scope="module", autouse=True)
def written(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> None:
    units = {code: shape for letter, code in CODES.items() for shape in [town.draw()[letter]]}
    rows = [(UPPER, 1, None, shapely.union_all(list(units.values())))]
    rows += [(code, 2, UPPER, shape) for code, shape in units.items()]
    titles = {"scheme": "safety", "scheme_en": "Safety", "level_en": "Any"}
    of = [
        {"code": code, "level": rank, "parent_code": above, "name": code} | titles
        for code, rank, above, _ in rows
    ]
    drawn = gpd.GeoDataFrame(of, geometry=[shape for *_, shape in rows], crs=4326)
    refused = tmp_path_factory.mktemp("refused") / "r.csv"
    options = Options(mapping=mapping.plain("grids", "t"), refused=refused, accept_faults=True)
    with engine.begin() as conn:
        town.add_city(conn)
        assert run(conn, "grids", from_frame(drawn, "f"), options).inserted == len(rows)


@pytest.mark.parametrize("code", [UPPER, *CODES.values()])
def test_a_grid_is_found_by_its_code(client: TestClient, code: str) -> None:
    for path in {quote(code, safe=""), quote(code, safe="/")}:
        assert client.get(f"/grids/{path}").json()["properties"]["code"] == code
        versions = client.get(f"/grids/{path}/history").json()["features"]
        assert [one["properties"]["code"] for one in versions] == [code]
        assert client.head(f"/grids/{path}").status_code == 200


def test_so_are_those_below_it(client: TestClient) -> None:
    below = client.get("/grids/Ost%2FWest/children").json()["features"]
    assert {one["properties"]["code"] for one in below} == set(CODES.values())


@pytest.mark.parametrize("path", ["N/Z", "N", "N/S/T", "N%2FS/child"])
def test_what_is_no_code_is_named(client: TestClient, path: str) -> None:
    answer = client.get(f"/grids/{path}")
    assert answer.status_code == 404
    assert "grid" in answer.json()["detail"]

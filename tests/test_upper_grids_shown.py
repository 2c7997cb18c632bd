"""Upper grids that differ from the sum of their children: every answer shows what a publication writes."""

from typing import Any

import geopandas as gpd
import pytest
import shapely
import sqlalchemy as sa
from fastapi.testclient import TestClient
from shapely.geometry import shape as as_shape
from shapely.geometry.base import BaseGeometry
from sqlalchemy.engine import Engine

from gis import access, coverage
from gis.schema_plans import plan_grids
from tests import recorded
from tests.test_publishing_proof import MAPS, box, line

APART = [
    "two parents contest their border",
    "the parent does not reach its child",
    "the county does not reach its child, with nobody's ground beside",
]
"""Maps whose upper grids are not their children; the step moves the line at the east of B."""
STEP = {"op": "split", "code": "B", "line": line((1.5, -1), (1.5003, 2))}
RESHAPE = {"op": "reshape", "codes": ["B", "D"], "line": line((2, 0), (2.4, 0.5), (2, 1))}
SLANTED = [
    ("M", None, shapely.Polygon([
        (-77.66137598686045, -9.239836727237353), (-77.61990011182135, -9.214448352213747),
        (-77.60656327961455, -9.190450244006149), (-77.60584661292413, -9.190450244006149),
        (-77.60584661292413, -9.269958234176219), (-77.68489448660938, -9.269958234176219),
        (-77.68489448660938, -9.226635723393883),
    ])),
    ("M1", "M", shapely.Polygon([
        (-77.62584661182696, -9.210449852210024), (-77.652406236852, -9.249958977246784),
        (-77.66489448686376, -9.24309760224039),
    ])),
]  # fmt: skip
"""A child that strays out of its parent across slanted borders, on which no cut falls on whole units."""
Ask = dict[str, str]


@pytest.fixture(scope="module")
def asks(engine: Engine) -> dict[str, Ask]:
    with engine.begin() as conn:
        access.enter(conn, access.COMMAND)
        contested = MAPS[APART[0]]
        fitting = [("P", "C", box(0, 0, 2, 1)) if row[0] == "P" else row for row in contested]
        maps = [*(MAPS[name] for name in APART), fitting, MAPS[APART[1]]]
        for n, rows in enumerate(maps):
            recorded.add_scheme(conn, f"apart{n}", 3, default=n == 0)
            recorded.lay(conn, f"apart{n}", rows)
        recorded.add_scheme(conn, "slanted", 2)
        recorded.lay(conn, "slanted", SLANTED)
        keys = {
            role: access.create_key(conn, role, None, scheme="apart0", label=role, demo=role == "approver")
            for role in ("planner", "approver")
        }
    return {role: {"Authorization": f"Bearer {one.key}"} for role, one in keys.items()}


def by_code(features: list[Any]) -> dict[str, BaseGeometry]:
    return {one["properties"]["code"]: as_shape(one["geometry"]) for one in features if one is not None}


def stored(engine: Engine, scheme: str) -> dict[str, BaseGeometry]:
    with engine.connect() as conn:
        access.enter(conn, access.COMMAND)
        return recorded.polygons(conn, scheme)


def apart_m2(shown: dict[str, BaseGeometry], there: dict[str, BaseGeometry]) -> dict[str, float]:
    """By how many m² the upper grids that are shown differ from others; vertices beside edges aside."""
    odd = {
        code: shapely.symmetric_difference(shown[code], there[code]) for code in {"C", "P", "Q"} & set(shown)
    }
    return {code: m2 for code, one in odd.items() if (m2 := float(coverage.areas_m2([one])[0])) > 20}


@pytest.mark.parametrize(("n", "step"), [(0, STEP), (1, STEP), (2, STEP), (3, RESHAPE), (4, RESHAPE)])
def test_what_is_shown_is_what_is_written(
    engine: Engine, here: TestClient, asks: dict[str, Ask], tmp_path: Any, n: int, step: dict[str, Any]
) -> None:
    scheme, ask = f"apart{n}", asks["planner"]
    before = stored(engine, scheme)
    body = {"scope": "C", "title": "t", "scheme": scheme}
    plan = f"/plans/{here.post('/plans', headers=ask, json=body).json()['id']}"
    answered = here.post(f"{plan}/steps", headers=ask, json=step)
    assert answered.status_code == 200, answered.text
    undone = here.post(f"{plan}/undo", headers=ask).json()
    redone = here.post(f"{plan}/redo", headers=ask).json()
    pairs = here.get(f"{plan}/compare", headers=ask).json()["grids"]
    (tmp_path / "plan.gpkg").write_bytes(here.get(f"{plan}/export", headers=ask).content)
    upper = gpd.read_file(tmp_path / "plan.gpkg", layer="upper")
    with engine.connect() as conn:
        mine = sa.select(plan_grids.c.code, sa.func.ST_AsBinary(plan_grids.c.geom)).where(
            plan_grids.c.plan_id == int(plan.rpartition("/")[2]), plan_grids.c.geom.is_not(None)
        )
        drawn = {code: shapely.from_wkb(bytes(wkb)) for code, wkb in conn.execute(mine)}
    shown = {
        "step": by_code(answered.json()["grids"]["features"]),
        "redo": by_code(redone["grids"]["features"]),
        "grids": by_code(here.get(f"{plan}/grids", headers=ask).json()["features"]),
        "compare": by_code([pair["after"] for pair in pairs]),
        "file": dict(zip(upper["code"], upper.geometry, strict=True)),
        "map": drawn,
    }
    for name, role in (("submit", "planner"), ("approve", "approver"), ("publish", "approver")):
        done = here.post(f"{plan}/{name}", headers=asks[role])
        assert done.status_code == 200, done.text
    after = stored(engine, scheme)
    for what in ("grids", "file"):
        assert {"C", "P"} <= set(shown[what])
    assert {what: odd for what, there in shown.items() if (odd := apart_m2(there, after))} == {}
    was = {"undo": by_code(undone["grids"]["features"]), "compare": by_code([p["before"] for p in pairs])}
    assert {what: odd for what, there in was.items() if (odd := apart_m2(there, before))} == {}


def test_a_child_that_strays_across_slanted_borders_can_be_cut(
    here: TestClient, asks: dict[str, Ask]
) -> None:
    ask, answers = asks["planner"], []
    body = {"scope": "M", "title": "t", "scheme": "slanted"}
    for x in (-77.62905, -77.63, -77.64, -77.645):
        plan = f"/plans/{here.post('/plans', headers=ask, json=body).json()['id']}"
        cut = [(x, -9.25172), (-77.64109, -9.22677), (-77.67526, -9.15603)]
        step = {
            "op": "split",
            "code": "M1",
            "line": {"type": "LineString", "coordinates": cut},
            "confirm_pieces": True,
        }
        answers.append(here.post(f"{plan}/steps", headers=ask, json=step))
    assert [one.status_code for one in answers] == [200] * 4, [one.text[:300] for one in answers]

"""Impact equals counting everything anew; shares of lineage add up to the whole."""

import numpy as np
import pandas as pd
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from gis import coverage, locate
from gis.errors import Problem
from gis.impact import Points, impact, lineage, moved, workload
from gis.redraw import apply
from gis.settle import Coverage, is_grid
from tests.steps import random_step
from tests.test_redraw import block, line, two_levels
from tests.towns import town


def ground(cov: Coverage) -> dict[str, shapely.Geometry]:
    return {code: cov.geometry(code) for code in sorted(cov.shapes) if is_grid(code)}


def drafted(seed: int, steps: int) -> tuple[Coverage, Coverage]:
    old = new = two_levels(town(5, seed % 5))
    rng = np.random.default_rng(seed)
    for _ in range(steps):
        try:
            new = apply(new, random_step(new, rng, 25))
        except Problem:
            continue
    return old, new


def scattered(cov: Coverage, rng: np.random.Generator, count: int) -> Points:
    """Objects everywhere, a fifth of them exactly on vertices of borders."""
    west, south, east, north = coverage.to_degrees(cov.outline()).bounds
    xy = rng.uniform([west, south], [east, north], (count, 2))
    corners = coverage.to_degrees(shapely.MultiPoint(shapely.get_coordinates(list(cov.shapes.values()))))
    vertices = shapely.get_coordinates(corners)
    xy[: count // 5] = vertices[rng.integers(0, len(vertices), count // 5)]
    return Points(xy[:, 0], xy[:, 1], rng.integers(0, 60, count))


@settings(max_examples=10)
@given(st.integers(0, 2**32 - 1))
def test_what_moves_is_what_a_full_count_finds(seed: int) -> None:
    old, new = drafted(seed, 6)
    points = scattered(new, np.random.default_rng(seed), 2000)
    owners = []
    for cov in (old, new):
        codes = list(ground(cov))
        owner, _ = locate.locate(list(ground(cov).values()), codes, points.lon, points.lat)
        owners.append(np.array([*codes, ""], dtype=object)[owner])
    table = moved(ground(old), ground(new), points)
    rows = np.flatnonzero(owners[0] != owners[1])
    assert table["row"].tolist() == rows.tolist()
    assert table["before"].tolist() == owners[0][rows].tolist()
    assert table["after"].tolist() == owners[1][rows].tolist()


@settings(max_examples=10)
@given(st.integers(0, 2**32 - 1))
def test_shares_sum_to_one_and_households_are_kept(seed: int) -> None:
    old, new = drafted(seed, 6)
    points = scattered(old, np.random.default_rng(seed), 500)
    table = lineage(ground(old), ground(new), points)
    sums = table.groupby("before")[["area_share", "household_share", "building_share"]].sum()
    assert set(sums.index) == set(ground(old))
    assert np.allclose(sums, 1.0, atol=1e-12, rtol=0)
    assert set(table["after"]) == set(ground(new))
    before, after = (workload(ground(cov), {"households": points}) for cov in (old, new))
    assert before["area_m2"].sum() == pytest.approx(
        after["area_m2"].sum(), rel=1e-6
    )  # the outline may bend by a unit
    moves = impact(ground(old), ground(new), {"households": points})
    lost = moves.groupby("before")["weight"].sum().reindex(before.index, fill_value=0.0)
    gained = moves.groupby("after")["weight"].sum().reindex(after.index, fill_value=0.0)
    both = before.index.union(after.index)
    balance = before["households"].sub(lost).reindex(both, fill_value=0.0) + gained.reindex(
        both, fill_value=0.0
    )
    assert balance.tolist() == after["households"].reindex(both, fill_value=0.0).tolist()


def test_kinds_of_lineage() -> None:
    old = block()
    new = apply(
        old, {"op": "split", "code": "A1", "line": line((113.0075, 26.9), (113.0075, 27.1)), "into": ["A9"]}
    )
    new = apply(new, {"op": "merge", "codes": ["B1", "B2"]})
    new = apply(
        new,
        {
            "op": "reshape",
            "codes": ["A2", "B1"],
            "line": line((113.02, 27), (113.018, 27.005), (113.02, 27.01)),
        },
    )
    house = Points([113.001, 113.009, 113.0195], [27.005, 27.005, 27.005], [10, 30, 5])
    table = lineage(ground(old), ground(new), house).set_index(["before", "after"])
    assert table["kind"].to_dict() == {
        ("A1", "A1"): "kept", ("A1", "A9"): "split", ("A2", "A2"): "kept", ("A2", "B1"): "moved",
        ("B1", "B1"): "kept", ("B2", "B1"): "merged",
    }  # fmt: skip
    assert table.loc[("A1", "A9"), "area_share"] == pytest.approx(0.25, rel=1e-9)
    assert table.loc[("A1", "A9"), "household_share"] == 0.75
    assert table.loc[("A1", "A9"), "building_share"] == 0.5
    assert table.loc[("A2", "B1"), "household_share"] == 1.0  # the only house lay in what moved
    assert table.loc[("B2", "B1"), "household_share"] == 1.0


def test_nothing_changes_nothing() -> None:
    old = block()
    assert impact(ground(old), ground(old), {"cameras": Points([113.005], [27.005])}).empty
    table = lineage(ground(old), ground(old))
    assert table["kind"].eq("kept").all()
    pd.testing.assert_series_equal(table["area_share"], pd.Series(1.0, table.index), check_names=False)

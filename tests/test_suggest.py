"""Rebalancing brings units into range, keeps them whole and moves few households; barriers hold."""

import networkx as nx
import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from gis import coverage, faults, suggest
from gis.errors import BadInput
from gis.redraw import apply
from gis.settle import Grid
from gis.spare import cover

LON, LAT, PITCH = 113.1, 27.8, 0.0003


def quarter(columns: int, rows: int, side: int, seed: int, drift: float) -> tuple[np.ndarray, ...]:
    """Buildings on a rough lattice, side x side per unit, units of 310-490 households before a drift."""
    rng, units = np.random.default_rng(seed), columns * rows
    x, y = (a.ravel() for a in np.meshgrid(np.arange(columns * side), np.arange(rows * side)))
    unit = (y // side) * columns + x // side
    size = rng.uniform(310, 490, units) * (1 + rng.uniform(-drift, drift, units))
    weight = rng.gamma(2.0, 1.0, len(x))
    weight = np.round(weight / np.bincount(unit, weights=weight)[unit] * size[unit])
    lon, lat = (o + PITCH * a + rng.normal(0, PITCH / 8, len(x)) for o, a in ((LON, x), (LAT, y)))
    return lon, lat, weight, unit


def parts(unit: np.ndarray, pairs: np.ndarray) -> dict[int, int]:
    """Into how many pieces each unit falls."""
    graph = nx.Graph()
    graph.add_nodes_from(range(len(unit)))
    graph.add_edges_from(pairs[unit[pairs[:, 0]] == unit[pairs[:, 1]]].tolist())
    pieces: dict[int, int] = {}
    for piece in nx.connected_components(graph):
        own = int(unit[next(iter(piece))])
        pieces[own] = pieces.get(own, 0) + 1
    return pieces


@settings(max_examples=8)
@given(st.integers(0, 2**32 - 1))
def test_drifted_units_come_back_into_range_whole_and_little_changed(seed: int) -> None:
    lon, lat, weight, unit = quarter(8, 6, 6, seed, 0.1)
    pairs = suggest.adjacency(lon, lat)
    found = suggest.rebalance(weight, unit, pairs)
    assert found.unresolved.tolist() == []
    assert found.households.min() >= 300
    assert found.households.max() <= 500
    assert np.array_equal(found.households, np.bincount(found.unit, weights=weight))
    assert found.moved_share <= 0.1
    before, after = parts(unit, pairs), parts(found.unit, pairs)
    assert all(after[own] <= before[own] for own in before)


def test_a_tower_block_spreads_over_its_neighbours() -> None:
    lon, lat, weight, unit = quarter(5, 5, 6, 1, 0.0)
    weight = weight * 0.9
    weight[unit == 12] += 9
    pairs = suggest.adjacency(lon, lat)
    assert np.bincount(unit, weights=weight)[12] > 600
    found = suggest.rebalance(weight, unit, pairs)
    assert found.unresolved.tolist() == []
    assert found.moved_share <= 0.1


def test_barriers_and_communities_are_not_crossed() -> None:
    lon, lat, weight, unit = quarter(6, 4, 6, 2, 0.0)
    weight[unit % 6 == 2] *= 1.4
    river = shapely.LineString([(LON + 17.5 * PITCH, LAT - 1), (LON + 17.5 * PITCH, LAT + 1)])
    pairs = suggest.adjacency(lon, lat, [river])
    west = lon < LON + 17.5 * PITCH
    assert not (west[pairs[:, 0]] ^ west[pairs[:, 1]]).any()
    found = suggest.rebalance(weight, unit, pairs)
    side = np.bincount(unit, weights=west, minlength=24) > 0
    moved = found.unit != unit
    assert moved.any()
    assert (side[unit[moved]] == side[found.unit[moved]]).mean() == 1.0
    parent = np.arange(24) // 12
    found = suggest.rebalance(weight, unit, suggest.adjacency(lon, lat), parent=parent)
    assert (parent[unit] == parent[found.unit]).all()


def test_what_cannot_be_is_left_and_named() -> None:
    lon, lat, weight, unit = quarter(2, 1, 6, 3, 0.0)
    found = suggest.rebalance(weight * 3, unit, suggest.adjacency(lon, lat))
    assert found.unresolved.tolist() == [0, 1]
    with pytest.raises(BadInput, match="range"):
        suggest.rebalance(weight, unit, suggest.adjacency(lon, lat), low=500, high=300)
    with pytest.raises(BadInput, match="unit"):
        suggest.rebalance(weight, unit[:-1], suggest.adjacency(lon, lat))


def test_a_suggestion_is_a_draft_that_redraws() -> None:
    lon, lat, weight, unit = quarter(4, 3, 6, 4, 0.0)
    weight[unit == 5] *= 1.6
    codes = np.array([f"{i:02d}" for i in range(12)])
    found = suggest.rebalance(weight, unit, suggest.adjacency(lon, lat))
    width = 6 * PITCH
    shapes = {
        str(codes[i]): shapely.box(
            west := LON - PITCH / 2 + (i % 4) * width,
            south := LAT - PITCH / 2 + (i // 4) * width,
            west + width,
            south + width,
        )
        for i in range(12)
    }
    snapped, _ = coverage.snap(list(shapes.values()))
    shapes = dict(zip(shapes, snapped, strict=True))
    draft = cover([Grid(code, 5) for code in shapes], shapes)
    for step in suggest.as_steps(codes[unit].tolist(), codes[found.unit].tolist(), lon, lat, shapes):
        draft = apply(draft, step)
    now = {code: draft.geometry(code) for code in draft.shapes}
    assert [f.kind for f in faults.check(now) if f.severity == "error"] == []
    owner = [
        code
        for x, y in zip(lon, lat, strict=True)
        for code, g in now.items()
        if g.contains(shapely.Point(x, y))
    ]
    assert np.mean(np.array(owner) == codes[found.unit]) > 0.98

"""What the public sees: totals exact, nothing small on its own, nothing found by adding and subtracting."""

from collections.abc import Mapping
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import optimize

from layers.stats.privacy import ALL, MIN_ADDRESSES, MIN_INCIDENTS, Tree, gather, merge_up, release, tree

CELLS, CATEGORIES = 12, ("a", "b", "c")
PATHS = np.array([(cell, 100 + cell // 3, 200 + cell // 6, 300) for cell in range(CELLS)], dtype=np.uint64)
Town = tuple[Tree, np.ndarray]


@st.composite
def towns(draw: st.DrawFn) -> Town:
    """A tree of 12 cells, and counts (cells, categories), most of them small."""
    few = st.sampled_from((0, 0, 0, 1, 1, 2, 3, 4, 9))
    counts = draw(st.lists(few, min_size=CELLS * 3, max_size=CELLS * 3))
    addresses = draw(st.lists(st.integers(0, 12), min_size=CELLS, max_size=CELLS))
    return tree(PATHS, np.array(addresses)), np.reshape(counts, (CELLS, 3))


def told_of(town: Town) -> dict[str, dict[int, int]]:
    on, counts = town
    by_category = {
        name: dict(enumerate(column.tolist())) for name, column in zip(CATEGORIES, counts.T, strict=True)
    }
    return release(on, dict(enumerate(counts.sum(axis=1).tolist())), by_category)


def members(on: Tree, told: Mapping[int, int], area: int) -> list[int]:
    """The cells that a told area speaks of: those whose nearest told area it is."""
    found = []
    for cell in range(CELLS):
        above = cell
        while above not in told and above in on.parent:
            above = on.parent[above]
        if above == area:
            found.append(cell)
    return found


@given(towns())
def test_totals_are_exact_and_nothing_small_is_told(town: Town) -> None:
    on, counts = town
    told = told_of(town)
    if not told:
        assert counts.sum() < MIN_INCIDENTS or on.addresses[300] < MIN_ADDRESSES
        return
    assert sum(told[ALL].values()) == counts.sum()
    for area, n in told[ALL].items():
        assert n >= MIN_INCIDENTS
        assert sum(on.addresses[cell] for cell in members(on, told[ALL], area)) >= MIN_ADDRESSES
    for name in told.keys() - {ALL}:
        assert sum(told[name].values()) == counts[:, CATEGORIES.index(name)].sum()
        assert all(n >= MIN_INCIDENTS for n in told[name].values())


@given(towns())
def test_what_an_area_tells_is_true_of_its_cells(town: Town) -> None:
    on, counts = town
    for name, told in told_of(town).items():
        column = counts.sum(axis=1) if name == ALL else counts[:, CATEGORIES.index(name)]
        for area, n in told.items():
            assert n == sum(column[cell] for cell in members(on, told, area))


def attack(on: Tree, told: dict[str, dict[int, int]], target: np.ndarray) -> tuple[float, float]:
    """The least and most that `target` (cells, categories) can be, given everything that was told."""
    rows, totals = [], []
    for name, answer in told.items():
        kept = [True] * 3 if name == ALL else [name == one for one in CATEGORIES]
        covered = set()
        for area, n in answer.items():
            cells = members(on, answer, area)
            covered |= set(cells)
            rows.append(np.outer(np.isin(np.arange(CELLS), cells), kept).ravel())
            totals.append(n)
        empty = ~np.isin(np.arange(CELLS), list(covered))
        rows.append(np.outer(empty, kept).ravel())
        totals.append(0)
    # Which cells hold none is known only as far as nothing that was told covers them.
    ends = [
        optimize.linprog(sign * target.ravel(), A_eq=np.array(rows, dtype=float), b_eq=totals)
        for sign in (1, -1)
    ]
    assert all(end.success for end in ends)
    return ends[0].fun, -ends[1].fun


@given(towns())
def test_no_small_count_of_any_area_follows_from_all_that_was_told(town: Town) -> None:
    """An attacker who adds and subtracts at will, and knows that counts are not negative."""
    on, counts = town
    told = told_of(town)
    if not told:
        return
    for level, kept in product(range(3), [*np.eye(3), np.ones(3)]):
        for area in on.levels[level]:
            target = np.outer(PATHS[:, level] == area, kept)
            if 0 < (target * counts).sum() < MIN_INCIDENTS:
                low, high = attack(on, told, target)
                assert np.floor(high + 1e-6) > np.ceil(low - 1e-6), (area, kept)


def test_the_attack_finds_what_careless_counts_give_away() -> None:
    on = tree(PATHS, np.full(CELLS, 20))
    careless = {ALL: {0: 5, 300: 4}, "a": {0: 3, 300: 0}, "b": {0: 1, 300: 4}}
    target = np.zeros((CELLS, 3))
    target[0, 2] = 1
    assert attack(on, careless, target) == pytest.approx((1, 1))


def test_a_small_cell_joins_its_neighbours_and_large_ones_stay() -> None:
    on = tree(PATHS, np.full(CELLS, 20))
    told = release(on, {0: 10, 1: 2, 2: 1, 3: 8, 4: 1, 9: 5}, {})
    assert told[ALL] == {0: 10, 101: 9, 100: 3, 9: 5}


def test_what_is_nowhere_is_told_of_the_whole() -> None:
    on = tree(PATHS, np.full(CELLS, 20))
    assert release(on, {0: 10, 300: 4}, {})[ALL] == {0: 10, 300: 4}
    assert release(on, {0: 10, 300: 1}, {})[ALL] == {300: 11}


def test_too_little_for_the_whole_is_not_told() -> None:
    on = tree(PATHS, np.full(CELLS, 20))
    assert release(on, {0: 2}, {"a": {0: 2}}) == {}
    assert release(on, {0: 9}, {"a": {0: 8}, "b": {0: 1}})[ALL] == {0: 9}
    assert release(on, {0: 9}, {"a": {0: 8}, "b": {0: 1}}).keys() == {ALL}, "one less the other is one"


def test_groups_of_groups() -> None:
    on = tree(PATHS, np.full(CELLS, 20))
    told, left = merge_up(on, {0: (3,), 1: (1,)}, lambda counts, _: counts[0] >= 3)
    assert (told, left) == ({100: (4,)}, None)
    assert gather(on, {0: 2, 1: 1}, told) == {100: 3}


def test_two_wholes_are_refused() -> None:
    with pytest.raises(ValueError, match="one whole"):
        tree(np.array([[1, 9], [2, 8]], dtype=np.uint64), np.array([1, 1]))

"""What the public sees: totals exact, nothing small on its own, nothing found by subtraction."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from layers.stats.privacy import MIN_ADDRESSES, MIN_INCIDENTS, merge_small


@st.composite
def towns(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, list[np.ndarray]]:
    n = draw(st.integers(1, 40))
    counts = draw(st.lists(st.integers(0, 9), min_size=n, max_size=n))
    addresses = draw(st.lists(st.integers(0, 30), min_size=n, max_size=n))
    cell = np.arange(n)
    return np.array(counts), np.array(addresses), [cell // 4, cell // 16]


@given(towns())
def test_totals_are_exact_and_nothing_small_is_shown(town: tuple) -> None:
    incidents, addresses, parents = town
    answer = merge_small(incidents, addresses, parents)
    assert answer.incidents.sum() == incidents.sum()
    assert answer.addresses.sum() == addresses.sum()
    assert answer.incidents.tolist() == np.bincount(answer.group, incidents).tolist()
    assert answer.addresses.tolist() == np.bincount(answer.group, addresses).tolist()
    if answer.withheld:
        assert answer.incidents.size == 1
        assert incidents.sum() < MIN_INCIDENTS or addresses.sum() < MIN_ADDRESSES
    else:
        some = answer.incidents > 0
        assert (answer.incidents[some] >= MIN_INCIDENTS).all()
        assert (answer.addresses[some] >= MIN_ADDRESSES).all()


@given(towns())
def test_only_large_cells_stay_alone(town: tuple) -> None:
    incidents, addresses, parents = town
    answer = merge_small(incidents, addresses, parents)
    alone = answer.level[answer.group] == 0
    assert (incidents[alone] >= MIN_INCIDENTS).all()
    assert (addresses[alone] >= MIN_ADDRESSES).all()


def test_small_cells_become_the_rest_of_their_parent() -> None:
    answer = merge_small([5, 1, 2, 0, 9, 4], [20] * 6, [[0, 0, 0, 0, 1, 1]])
    assert answer.group.tolist() == [0, 1, 1, 1, 2, 3]
    assert answer.incidents.tolist() == [5, 3, 9, 4]
    assert answer.level.tolist() == [0, 1, 0, 0]


def test_a_rest_that_is_still_small_goes_further_up() -> None:
    answer = merge_small([5, 1, 7, 2], [20] * 4, [[0, 0, 1, 1], [0, 0, 0, 0]])
    assert answer.group.tolist() == [0, 1, 2, 1]
    assert answer.level.tolist() == [0, 2, 0]


def test_a_lone_small_cell_takes_the_smallest_shown_with_it() -> None:
    # Shown alone, 8 and 5 would give away the 1 as soon as somebody knows there were 14.
    answer = merge_small([8, 5, 1], [20] * 3, [[0, 0, 0]])
    assert answer.group.tolist() == [0, 1, 1]
    assert answer.incidents.tolist() == [8, 6]


def test_too_few_addresses_hide_as_well() -> None:
    assert merge_small([9, 9], [3, 20], [[0, 0]]).incidents.tolist() == [18]


def test_a_place_too_small_altogether_is_withheld() -> None:
    answer = merge_small([1, 1], [20, 20], [[0, 0]])
    assert answer.withheld
    assert answer.incidents.tolist() == [2]


def test_empty_parts_of_the_city_do_not_cost_a_shown_cell() -> None:
    answer = merge_small([9, 0, 0, 0], [20, 0, 0, 0], [[0, 1, 1, 1]])
    assert answer.group.tolist() == [0, 1, 1, 1]
    assert answer.incidents.tolist() == [9, 0]
    assert not answer.withheld


def test_shapes_that_differ_are_refused() -> None:
    with pytest.raises(ValueError, match="shape of incidents"):
        merge_small([1, 2], [1], [])

"""Near repeats against the Near Repeat Calculator's own counts and pointpats."""

from contextlib import closing
from pathlib import Path

import libpysal
import numpy as np
import pandas as pd
import pytest
from libpysal import examples
from pointpats import Knox as PointpatsKnox

from layers.stats.nearrepeat import SAME_PLACE, knox


def burglaries(realdata: Path, year: int) -> tuple[np.ndarray, np.ndarray]:
    """Return places as the calculator was given them (to 0.1 m) and days of one year."""
    rows = pd.read_parquet(realdata / "crime/chicago_burglary_2014_2017.parquet")
    day = pd.to_datetime(rows["date_single"], format="%d/%m/%Y")
    chosen = day.dt.year == year
    return np.round(rows.loc[chosen, ["x", "y"]].to_numpy(), 1), day[chosen].dt.day_of_year.to_numpy()


@pytest.mark.realdata
def test_counts_of_chicago_2016_are_the_calculators(realdata: Path) -> None:
    # Its labels: same location, 1 to 100, 101 to 200, 201 to 300 m; 0 to 2, 3 to 4, more than 4 days.
    xy, day = burglaries(realdata, 2016)
    answer = knox(xy, day, (0, SAME_PLACE, 100, 200, 300), (0, 2, 4, 366), permutations=19)
    assert len(day) == 11701
    assert answer.observed.tolist() == [
        [202, 51, 1025],
        [189, 143, 7762],
        [290, 343, 23366],
        [456, 526, 41305],
    ]
    published = np.array([[15.60, 3.34], [2.68, 1.58], [1.37, 1.30], [1.30, 1.14]])
    # Its expectation is a mean of 19 draws: ours must lie within three standard errors of it.
    theirs = answer.observed[:, :2] / published
    error = answer.spread[:, :2] / np.sqrt(19)
    assert (np.abs(theirs - answer.expected[:, :2]) < 3 * error + 0.01 * theirs).all()
    assert (answer.p[:, :2] == 0.05).all()
    assert (answer.p[:, 2] > 0.9).all()


@pytest.mark.realdata
def test_ratios_of_chicago_2014_are_the_calculators(realdata: Path) -> None:
    xy, day = burglaries(realdata, 2014)
    answer = knox(xy, day, (0, SAME_PLACE, 200), (0, 7), permutations=99)
    assert len(day) == 12334
    theirs = answer.observed[:, 0] / [5.34, 1.28]
    error = answer.spread[:, 0] / np.sqrt(99)
    assert (np.abs(theirs - answer.expected[:, 0]) < 3 * error + 0.01 * theirs).all()
    assert (answer.p == 0.01).all()


def test_burkitt_as_pointpats_counts_it() -> None:
    with closing(libpysal.io.open(examples.get_path("burkitt.dbf"))) as table:
        x, y, t = (np.array(table.by_col(name), dtype=float) for name in ("X", "Y", "T"))
    xy = np.column_stack([x, y])
    answer = knox(xy, t, (0, np.nextafter(20, 21)), (0, 6))  # pointpats takes <= 20 and <= 5 days
    oracle = PointpatsKnox(xy, t[:, None], delta=20, tau=5, permutations=0)
    assert answer.observed.item() == 13
    assert answer.observed.item() == oracle.nst
    assert answer.expected.item() == pytest.approx(oracle.expected[0, 0])


def test_a_pair_on_an_edge_belongs_to_the_band_that_begins_there() -> None:
    xy, day = [[0, 0], [0, 100]], [0, 3]
    assert knox(xy, day, (0, 100, 200), (0, 3, 6), permutations=1).observed.tolist() == [[0, 0], [0, 1]]
    assert knox(xy, day, (0, 200), (0, 3), permutations=1).observed.tolist() == [[0]]


def test_same_place_is_distance_zero_only() -> None:
    xy = [[0, 0], [0, 0], [0, 1e-9]]
    assert knox(xy, [0, 0, 0], (0, SAME_PLACE, 1), (0, 1), permutations=1).observed.tolist() == [[1], [2]]


def test_every_pair_is_counted_once_and_expected_adds_up() -> None:
    rng = np.random.default_rng(0)
    xy, day = rng.uniform(0, 1000, (80, 2)), rng.integers(0, 30, 80)
    answer = knox(xy, day, (0, 500, 2000), (0, 10, 30), permutations=200, seed=3)
    assert answer.observed.sum() == 80 * 79 / 2
    assert answer.expected.sum() == pytest.approx(80 * 79 / 2)
    by_hand = sum(
        np.hypot(*(xy[i] - xy[j])) < 500 and abs(day[i] - day[j]) < 10 for i in range(80) for j in range(i)
    )
    assert answer.observed[0, 0] == by_hand


def test_unrelated_places_and_times_have_no_near_repeats() -> None:
    rng = np.random.default_rng(1)
    p = [
        knox(rng.uniform(0, 1000, (60, 2)), rng.uniform(0, 90, 60), (0, 200), (0, 14), seed=s).p.item()
        for s in range(100)
    ]
    assert np.mean(np.array(p) <= 0.05) <= 0.11


def test_planted_repeats_are_found() -> None:
    rng = np.random.default_rng(2)
    xy, day = rng.uniform(0, 5000, (150, 2)), rng.integers(0, 180, 150)
    xy = np.vstack([xy, xy[:40] + rng.normal(0, 20, (40, 2))])
    day = np.r_[day, day[:40] + rng.integers(1, 4, 40)]
    answer = knox(xy, day, (0, 100), (0, 7))
    assert answer.p.item() == 0.01
    assert answer.ratio.item() > 5


@pytest.mark.parametrize("edges", [(0,), (0, 0), (5, 1), (-1, 2), (0, np.inf)])
def test_edges_that_make_no_band_are_refused(edges: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="space_edges"):
        knox([[0, 0], [1, 1]], [0, 1], edges, (0, 1))

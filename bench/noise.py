"""How often maps and lists of pure noise show something, by how busy cells are and how counts scatter."""

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date

import numpy as np
from scipy import sparse

from gis import cells as h3
from layers.emergence import classed
from layers.expecting import Ground
from layers.scanning import Laid, clusters_of, laid_over
from layers.served import Served
from layers.stats.expectation import dispersion
from layers.stats.situation import ALONE, departures

MEANS, ALPHAS = (0.05, 0.3, 2.0), (0.0, 0.1, 0.3, 0.5)
SHOCK, YEARLY, WEEKLY = 0.07, 0.3, 0.25
"""Common swing of all cells from period to period; seasons of the year and the week, shares of the mean."""
RINGS, DISTRICTS, GRIDS = 17, 5, 60
PERIODS, DAYS = 12, 28
SEED = 2026


@dataclass(frozen=True)
class City:
    """A lattice of cells, and the grids and districts that they are counted in."""

    served: Served
    grid: np.ndarray
    """Number of the grid of each cell."""


def city(rings: int = RINGS) -> City:
    """Return a round city of cells of resolution 9, cut into GRIDS grids."""
    middle = h3.index(np.array([113.1]), np.array([27.8]), 9)
    cells = np.unique(h3.disc_pairs(middle, rings)[1] if rings else middle)
    area = h3.areas_m2(cells)
    return City(Served(cells, area, np.ones(len(cells))), np.arange(len(cells)) * GRIDS // len(cells))


def noise(
    place: City, mean: float, alpha: float, rng: np.random.Generator, periods: int = PERIODS + 1
) -> np.ndarray:
    """Return counts (cells, periods), the present period last, in which nothing but chance happens.

    Cells differ lastingly (a Gamma of shape 1.5); every period moves all of them by its season and by a
    common shock, and each by its own factor of variance alpha.
    """
    n = len(place.served.cells)
    rate = rng.gamma(1.5, mean / 1.5, (n, 1))
    days = rng.integers(0, 366) + np.arange(periods * DAYS)
    daily = (1 + YEARLY * np.sin(2 * np.pi * days / 365)) * (1 + WEEKLY * (days % 7 < 5))
    season = daily.reshape(periods, DAYS).mean(axis=1) / daily.mean()
    common = season * rng.lognormal(0, SHOCK, periods)
    own = rng.gamma(1 / alpha, alpha, (n, periods)) if alpha else 1.0
    return rng.poisson(rate * common * own)


def of_past(place: City, past: np.ndarray) -> Ground:
    """Return what is expected as `layers.hotspots` has it: own past, scatter over the periods."""
    seen = dispersion(past)
    return Ground(
        "history", place.served.inside_m2, None, past=past.sum(axis=1).astype(float),
        past_days=past.shape[1] * DAYS, days=DAYS, alpha=seen.estimate, most_alpha=seen.upper,
    )  # fmt: skip


def looked_at(place: City, counts: np.ndarray) -> Laid:
    """Return a map of the last period."""
    now = counts[:, -1].astype(float)
    expected = of_past(place, counts[:, :-1]).expected(float(now.sum()))
    return laid_over(place.served, now, expected)


def has_hot_cell(place: City, counts: np.ndarray) -> bool:
    """Say whether the map of the last period shows a hot cell."""
    return bool(counts[:, -1].any() and looked_at(place, counts).tested.significant.any())


def has_cluster(place: City, counts: np.ndarray) -> bool:
    """Say whether the scan of the last period tells of a cluster."""
    now = counts[:, -1].astype(float)
    expected = of_past(place, counts[:, :-1]).cautious(max(float(now.sum()), 1.0))
    return bool(now.any() and clusters_of(place.served, now, expected))


def has_class(place: City, counts: np.ndarray) -> bool:
    """Say whether any cell is classed as emerging over the last PERIODS periods."""
    kind = classed(counts[:, 1:].astype(float), place.served.disc())[2]
    return bool((kind != "none").any())


def has_class_beside_a_gap(place: City, counts: np.ndarray) -> bool:
    """Say the same where one step amid the others was not recorded."""
    kind = classed(np.delete(counts[:, 1:], PERIODS // 2, axis=1).astype(float), place.served.disc())[2]
    return bool((kind != "none").any())


def rolled(place: City, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return counts of the city, its districts and its grids, with their levels and families."""
    holds = sparse.csr_array((np.ones(len(place.grid)), (place.grid, np.arange(len(place.grid)))))
    grids = holds @ counts
    district = np.arange(GRIDS) * DISTRICTS // GRIDS
    districts = np.array([grids[district == one].sum(axis=0) for one in range(DISTRICTS)])
    level = np.r_[0, np.ones(DISTRICTS), np.full(GRIDS, 2)]
    family = np.r_[ALONE, np.zeros(DISTRICTS), 1 + district].astype(int)
    return np.vstack([districts.sum(axis=0), districts, grids]), level, family


def departing(place: City, counts: np.ndarray) -> np.ndarray:
    """Return which rows of the situation (city, districts, grids) depart in the last period."""
    rows, level, family = rolled(place, counts)
    departs: np.ndarray = departures(rows[:, -1], rows[:, :-1], level, family).departs != 0
    return departs


LOOKS: list[tuple[str, float, Callable[[City, np.ndarray], bool]]] = [
    ("any hot cell", 0.05, has_hot_cell),
    ("any cluster", 0.06, has_cluster),
    ("any emerging class", 0.06, has_class),
    ("any emerging class beside a gap", 0.06, has_class_beside_a_gap),
    ("city row", 0.06, lambda place, counts: bool(departing(place, counts)[0])),
    ("any row", 0.08, lambda place, counts: bool(departing(place, counts).any())),
]
"""What is looked at, and the share of quiet cities that may show it."""


def shares(maps: int, mean: float, alpha: float, looks: list[str] | None = None) -> dict[str, float]:
    """Return the share of noise maps in which each look shows something."""
    place, rng = city(), np.random.default_rng([SEED, int(mean * 100), int(alpha * 100)])
    wanted = [(name, shows) for name, _, shows in LOOKS if looks is None or name in looks]
    seen = dict.fromkeys((name for name, _ in wanted), 0)
    for _ in range(maps):
        counts = noise(place, mean, alpha, rng)
        for name, shows in wanted:
            seen[name] += shows(place, counts)
    return {name: number / maps for name, number in seen.items()}


def quarters(number: int, mean: float, alpha: float, looks: int = 90) -> float:
    """Return the share of quiet quarters in which daily looks at the last DAYS days show any hot cell."""
    place, rng, seen = city(), np.random.default_rng([SEED, 90, int(mean * 100), int(alpha * 100)]), 0
    for _ in range(number):
        counts = noise(place, mean, alpha, rng, PERIODS + 1 + -(-looks // DAYS))
        daily = rng.multinomial(counts, np.full(DAYS, 1 / DAYS)).reshape(len(counts), -1)
        starts = (daily[:, day : day + (PERIODS + 1) * DAYS] for day in range(looks))
        seen += any(has_hot_cell(place, each.reshape(-1, PERIODS + 1, DAYS).sum(axis=2)) for each in starts)
    return seen / number


def main() -> None:
    """Print the table of the documentation."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--maps", type=int, default=300)
    parser.add_argument("--look", action="append", help=", ".join(name for name, _, _ in LOOKS))
    parser.add_argument("--quarters", type=int, help="quiet quarters looked at daily, instead of maps")
    given = parser.parse_args()
    if given.quarters:
        for mean in MEANS:
            print(
                f"{mean}: {quarters(given.quarters, mean, 0.1):.0%} of {given.quarters} quarters", flush=True
            )
        return
    named = given.look or [name for name, _, _ in LOOKS]
    print(f"{given.maps} maps a row, seed {SEED}, {date.today()}\n")  # noqa: DTZ011 - the day of the run
    print("| incidents a cell | alpha | " + " | ".join(named) + " |\n|---|---|" + "---|" * len(named))
    for mean in MEANS:
        for alpha in ALPHAS:
            found = shares(given.maps, mean, alpha, named)
            told = " | ".join(f"{found[name]:.1%}" for name in named)
            print(f"| {mean} | {alpha} | {told} |", flush=True)


if __name__ == "__main__":
    main()

"""What maps and the city's row show month by month on real crime, and what comes in the next month."""

from dataclasses import dataclass
from datetime import date

import numpy as np

from bench.noise import City, looked_at
from bench.risk_evaluation import CITIES
from gis import cells as h3
from gis.settings import settings
from layers.served import Served
from layers.stats.situation import ALONE, departures

DAYS, PAST, SHORT_PAST = 30, 12, 6
"""Days of a month, and months that each is held against: the shorter with fewer than twice PAST."""


@dataclass(frozen=True)
class Months:
    """What was seen over the months of a data set."""

    months: int
    departing: int
    """Months whose city row departs."""
    hot: int
    """Hot cells, all months together."""
    ratio: float
    """Incidents of hot cells over what was expected there, in their month."""
    next_ratio: float
    """The same cells in the next month, over what was expected of them then."""


def by_month(cell: np.ndarray, day: np.ndarray, cells: int) -> np.ndarray:
    """Return counts (cells, months) of months of DAYS recorded days, the last whole one at the end."""
    number = np.unique(day, return_inverse=True)[1]  # days that nobody recorded are no days
    months = (number.max() + 1) // DAYS
    back = (number.max() - number) // DAYS
    kept = back < months
    table = np.zeros((cells, months))
    np.add.at(table, (cell[kept], months - 1 - back[kept]), 1)
    return table


def months_of(place: City, counts: np.ndarray) -> Months:
    """Look at every month with enough months before it and one after."""
    departing, hot, sums = 0, 0, np.zeros(4)
    past = PAST if counts.shape[1] > 2 * PAST else SHORT_PAST
    judged = range(past, counts.shape[1] - 1)
    for month in judged:
        window = counts[:, month - past : month + 1]
        whole = window.sum(axis=0)
        departs = departures(whole[-1:], whole[None, :-1], family=np.array([ALONE])).departs
        departing += int(departs[0] != 0)
        seen = looked_at(place, window)
        at = np.flatnonzero(seen.tested.significant)
        now, after = seen.expected.mean, counts[:, month + 1]
        hot += at.size
        sums += (
            seen.found[at].sum(), now[at].sum(), after[at].sum(), now[at].sum() * after.sum() / whole[-1],
        )  # fmt: skip
    ratios = sums[[0, 2]] / np.maximum(sums[[1, 3]], 1e-9)
    return Months(len(judged), departing, hot, float(ratios[0]), float(ratios[1]))


def main() -> None:
    """Print the table of the documentation."""
    today = date.today()  # noqa: DTZ011 - the day of the run
    print(f"{DAYS} days a month, {PAST} or {SHORT_PAST} months before each, resolution 9, {today}\n")
    print("| data | months | city row departs | hot cells a month | ratio | in the next month |")
    print("|---|---|---|---|---|---|")
    for make in CITIES:
        data = make(settings().realdata)
        universe = data.cells
        place = City(
            Served(universe, h3.areas_m2(universe), np.ones(len(universe))), np.zeros(len(universe), int)
        )
        found = months_of(place, by_month(data.past.cell, data.past.day, len(universe)))
        print(
            f"| {data.name} | {found.months} | {found.departing} | {found.hot / found.months:.1f} "
            f"| {found.ratio:.2f} | {found.next_ratio:.2f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()

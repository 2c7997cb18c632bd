"""Rolling-origin evaluation of the risk forecasts on three real data sets, as the table of the docs."""

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
from h3ronpy import ContainmentMode
from h3ronpy.vector import geometry_to_cells
from scipy import sparse

from gis import cells as h3
from gis.settings import settings
from layers.stats import evaluate
from layers.stats.challenger import CHALLENGERS, Row, challenger, row
from layers.stats.evaluate import MEASURES, Outcome, Verdict, interval, judge, outcome
from layers.stats.forecast import Forecast, Past, baseline, hindcast_origins

RES, HORIZON, SHARES = 9, 30, (0.01, 0.05)
DECIDING = 0.01
"""The share of the area at which promotion is decided; the other is shown for information."""
HALF_LIFE = 365.0
SETTLED_ON = ("30D", "2016-01-12")
"""Origins on which the areas and the calibration were chosen: every 30 days from that day, 24 of them."""
HELD_OUT = ("15D", "2015-01-02")
"""Origins whose 30 days all lie before those, looked at once, when nothing was left to choose."""


@dataclass(frozen=True)
class City:
    """A data set on its cells, and the origins it is judged at."""

    name: str
    cells: np.ndarray
    """Served cells, in the order of `past.cell`."""
    past: Past
    area_m2: np.ndarray
    discs: list[sparse.csr_array]
    origins: list[int]

    @property
    def block(self) -> int:
        """How many neighbouring origins share days."""
        return -(-HORIZON // (self.origins[1] - self.origins[0]))


def city(
    name: str, lon: np.ndarray, lat: np.ndarray, day: pd.Series, served: np.ndarray, origins: list[str]
) -> City:
    """Put incidents on the served cells; `origins` are dates."""
    cell, universe = h3.index(lon, lat, RES), np.unique(served)
    number = (pd.to_datetime(day).dt.normalize() - pd.Timestamp("2014-01-01")).dt.days.to_numpy()
    recorded = np.unique(number)  # a day without a single incident in these cities is a gap
    past = Past(np.searchsorted(universe, cell), number, recorded, len(universe))
    first = [(pd.Timestamp(date) - pd.Timestamp("2014-01-01")).days for date in origins]
    return City(name, universe, past, h3.areas_m2(universe), [_disc(universe, k) for k in (1, 2)], first)


def _disc(universe: np.ndarray, k: int) -> sparse.csr_array:
    rows, near = h3.disc_pairs(universe, k)
    at = np.minimum(np.searchsorted(universe, near), len(universe) - 1)
    known = universe[at] == near
    return sparse.csr_array(
        (np.ones(known.sum()), (rows[known], at[known])), shape=(len(universe), len(universe))
    )


def _every(step: str, first: str, count: int = 24) -> list[str]:
    return [str(d.date()) for d in pd.date_range(first, periods=count, freq=step)]


def _chicago_cells(folder: Path) -> np.ndarray:
    """Return the cells whose centre lies in the city, which is what a patrol can be sent to."""
    grids = gpd.read_parquet(folder / "chicago/grids.parquet")
    outline = grids.loc[grids["level"] == "city"].to_crs(4326).geometry.iloc[0]
    filled = geometry_to_cells(outline, RES, containment_mode=ContainmentMode.ContainsCentroid)
    return np.asarray(filled.to_numpy(), dtype=np.uint64)


def chicago_burglary(folder: Path, origins: tuple[str, str] = SETTLED_ON) -> City:
    """45,319 burglaries 2014-2017; 24 periods of 30 days, to the end of 2017 or held out in 2015."""
    rows = pd.read_parquet(folder / "crime/chicago_burglary_2014_2017.parquet")
    points = gpd.GeoSeries(gpd.points_from_xy(rows["x"], rows["y"], crs=26971)).to_crs(4326)
    lon, lat = points.x.to_numpy(), points.y.to_numpy()
    served = np.r_[_chicago_cells(folder), h3.index(lon, lat, RES)]
    day = pd.to_datetime(rows["date_single"], format="%d/%m/%Y")
    return city("Chicago burglary 2014-17", lon, lat, day, served, _every(*origins))


def nyc_vehicle_thefts(folder: Path, origins: tuple[str, str] = SETTLED_ON) -> City:
    """35,746 thefts 2014-2017. No outline at hand: served are the cells of incidents and around them."""
    rows = pd.read_parquet(folder / "crime/nyc_vehicle_thefts_2014_2017.parquet")
    lon, lat = rows["longitude"].to_numpy(), rows["latitude"].to_numpy()
    served = h3.disc_pairs(np.unique(h3.index(lon, lat, RES)), 1)[1]
    return city("NYC vehicle theft 2014-17", lon, lat, rows["date_single"], served, _every(*origins))


def chicago_all(folder: Path) -> City:
    """321,952 incidents of every kind, January to August of 2017 and 2018; origins 6 days apart in 2018."""
    rows = pd.read_parquet(folder / "chicago/incidents.parquet")
    lon, lat = rows["lon"].to_numpy(), rows["lat"].to_numpy()
    served = np.r_[_chicago_cells(folder), h3.index(lon, lat, RES)]
    return city("Chicago all 2017-18", lon, lat, rows["occurred_at"], served, _every("6D", "2018-02-02", 26))


CITIES = [chicago_burglary, nyc_vehicle_thefts, chicago_all]
WITH_HELD_OUT = [chicago_burglary, nyc_vehicle_thefts]
"""Chicago 2017-18 has too short a past for origins of its own; all of it was evaluated after the choices."""


def models(place: City) -> list[tuple[str, Callable[[int], Forecast]]]:
    """Return what is compared, each a function of the origin; the first is the baseline."""
    past = place.past

    @cache
    def seen(start: int) -> Row:
        return row(past, start, HORIZON, place.discs)

    def model(fit: object) -> Callable[[int], Forecast]:
        def forecast(origin: int) -> Forecast:
            rows = [seen(start) for start in hindcast_origins(past, origin, HORIZON)]
            return challenger(rows, seen(origin), fit)

        return forecast

    return [
        ("all counts so far", lambda origin: baseline(past, origin, HORIZON)),
        (f"half-life {HALF_LIFE:.0f} d", lambda origin: baseline(past, origin, HORIZON, HALF_LIFE)),
        *((name, model(fit)) for name, fit in CHALLENGERS),
    ]


def evaluated(place: City, forecast: Callable[[int], Forecast]) -> dict[float, list[Outcome]]:
    """Return the outcomes at every origin, by share of the area."""
    outcomes: dict[float, list[Outcome]] = {share: [] for share in SHARES}
    for origin in place.origins:
        expected, came = forecast(origin), place.past.counts(origin, origin + HORIZON)
        for share in SHARES:
            outcomes[share].append(outcome(expected, came, place.area_m2, share, seed=origin))
    return outcomes


def report(place: City) -> None:
    """Print one table of the documentation."""
    past = place.past
    print(f"\n### {place.name}\n")
    print(
        f"{past.day.size:,} incidents, {past.cells:,} cells of resolution {RES} "
        f"({place.area_m2.sum() / 1e6:,.0f} km²), {len(place.origins)} origins, {HORIZON} days ahead. "
        f"In brackets: 95 % bootstrap interval over origins (blocks of {place.block}); that of the gain "
        f"allows for {len(CHALLENGERS) + 1} comparisons.\n"
    )
    print("| model | area | " + " | ".join(name for name, _ in MEASURES) + " | gain in PAI | live |")
    print("|---|---|" + "---|" * (len(MEASURES) + 2))
    standing: dict[float, list[Outcome]] = {}
    for name, forecast in models(place):
        outcomes = evaluated(place, forecast)
        standing = standing or outcomes
        for share in SHARES:
            cells = [_cell(measure, outcomes[share], place.block) for _, measure in MEASURES]
            gain = _gain(name, outcomes, standing, share, place)
            print(f"| {name} | {share:.0%} | " + " | ".join(cells) + gain)


def _cell(measure: evaluate.Measure, outcomes: list[Outcome], block: int) -> str:
    low, high = interval(measure, outcomes, block=block)
    digits = 3 if measure(outcomes) < 2 else 2
    return f"{measure(outcomes):.{digits}f} ({low:.{digits}f}-{high:.{digits}f})"


def _gain(
    name: str,
    outcomes: dict[float, list[Outcome]],
    standing: dict[float, list[Outcome]],
    share: float,
    place: City,
) -> str:
    if outcomes is standing:
        return " | | yes, always |"
    verdict = judge(outcomes[share], standing[share], block=place.block, comparisons=len(CHALLENGERS) + 1)
    live = "" if share != DECIDING else _goes_live(name, verdict)
    return f" | {verdict.gain:+.1%} ({verdict.low:+.1%} to {verdict.high:+.1%}) | {live} |"


def _goes_live(name: str, verdict: Verdict) -> str:
    """Say whether a model would go live; what is shown for information alone never can."""
    if name not in dict(CHALLENGERS):
        return "no candidate"
    return "promoted" if verdict.promoted else "no"


def main() -> None:
    """Print the tables of all data sets, or of those named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("city", nargs="*", help=", ".join(make.__name__ for make in CITIES))
    parser.add_argument("--held-out", action="store_true", help="at origins that nothing was chosen on")
    wanted = parser.parse_args()
    folder = settings().realdata
    for make in WITH_HELD_OUT if wanted.held_out else CITIES:
        if not wanted.city or make.__name__ in wanted.city:
            report(make(folder, HELD_OUT) if wanted.held_out else make(folder))


if __name__ == "__main__":
    main()

"""A year of incidents that follows people and office hours, with planted clusters on record."""

from dataclasses import asdict, dataclass
from datetime import date

import geopandas as gpd
import numpy as np
import pandas as pd
from numpy.random import Generator
from scipy.spatial import cKDTree

from gis.demo.ground import Ground
from gis.demo.houses import Houses, locate
from gis.demo.plane import Floats, Ints, Shapes, to_degrees
from gis.demo.plane import points as dots
from gis.demo.words import CATEGORIES

ZONE = "Asia/Shanghai"
DAYS = 365
HOURS = np.array([5, 3, 2, 2, 2, 3, 8, 22, 58, 92, 100, 80, 42, 50, 84, 95, 82, 62, 42, 34, 30, 24, 16, 9.0])
"""Reports by hour of the day as measured: peaks at 10 and 15."""
NIGHT = np.array([60, 40, 20, 10, 6, 4, 3, 3, 3, 3, 3, 3, 4, 4, 3, 3, 3, 4, 8, 20, 45, 80, 100, 90.0])
WEEKDAYS = np.array([2.7, 2.7, 2.7, 2.7, 2.7, 1.0, 0.95])
REPLY_SHARE = np.array([0.0, 0.10, 0.50, 0.90, 0.99, 1.0])
REPLY_DAYS = np.array([0.02, 1.9, 11.2, 41.0, 167.0, 330.0])
"""Days from report to closing: the measured quantiles 10/50/90/99 %."""
SOURCES = {
    "citizen": 0.34,
    "hotline": 0.24,
    "grid_worker": 0.26,
    "patrol": 0.09,
    "sensor": 0.04,
    "superior": 0.03,
}
LAG_MINUTES = {
    "citizen": 25.0,
    "hotline": 90.0,
    "grid_worker": 4.0,
    "patrol": 2.0,
    "sensor": 0.2,
    "superior": 240.0,
}
COLOURS = {"blue": 0.86, "yellow": 0.12, "red": 0.02}
TELLING = {
    "citizen": "居民上报：{}，请核实处理。",
    "hotline": "12345热线转办：市民反映{}。",
    "grid_worker": "网格员巡查发现{}。",
    "patrol": "巡逻中发现{}，已现场登记。",
    "sensor": "感知设备告警：疑似{}。",
    "superior": "上级交办：{}。",
}


@dataclass(frozen=True)
class Cluster:
    """A cluster planted in space and time: the truth that hotspots are checked against.

    `start` and `end` are the first and last day; `expected` the incidents of this category that chance would
    bring there; `extra` those added; `relative_risk` = 1 + extra / expected.
    """

    category: str
    lon: float
    lat: float
    radius_m: float
    start: str
    end: str
    expected: float
    extra: int
    relative_risk: float


def category_table() -> pd.DataFrame:
    """Return the two-level tree: code, parent, name_zh, name_en; a leaf's code begins with its parent's."""
    rows: list[tuple[str, str | None, str, str]] = []
    for code, (zh, en, leaves) in CATEGORIES.items():
        rows.append((code, None, zh, en))
        rows += [(f"{code}.{leaf}", code, leaf_zh, leaf_en) for leaf, leaf_zh, leaf_en, _ in leaves]
    return pd.DataFrame(rows, columns=["code", "parent", "name_zh", "name_en"])


def _leaves() -> pd.DataFrame:
    rows = [
        (f"{code}.{leaf}", zh, weight)
        for code, (_, _, leaves) in CATEGORIES.items()
        for leaf, zh, _, weight in leaves
    ]
    table = pd.DataFrame(rows, columns=["code", "name", "weight"])
    return table.assign(share=table["weight"] / table["weight"].sum())


def _day_weights(until: date) -> Floats:
    """Return each day's weight in the year that ends with `until`: weekdays, a quiet October week."""
    days = pd.date_range(end=pd.Timestamp(until), periods=DAYS)
    season = 1 + 0.12 * np.cos((days.day_of_year - 200) / 365 * 2 * np.pi)
    holiday = (days.month == 10) & (days.day <= 7)
    weight = WEEKDAYS[days.day_of_week] * np.asarray(season) * np.where(holiday, 0.6, 1.0)
    found: Floats = weight / weight.sum()
    return found


def _residents(houses: Houses) -> Floats:
    """Return each house's share of incidents: by households, and a little for where nobody lives."""
    weight = houses.table["households"].to_numpy() + 6.0 * (houses.table["households"].to_numpy() == 0)
    found: Floats = weight / weight.sum()
    return found


def plant(
    houses: Houses, count: int, clusters: int, until: date, rng: Generator
) -> tuple[list[Cluster], pd.DataFrame]:
    """Plant clusters: their record, and one row (house, category, day) per extra incident.

    Centres keep apart so that none lies in another; the last one still goes on at the end.
    """
    share, days, leaves = _residents(houses), _day_weights(until), _leaves()
    first = pd.Timestamp(until) - pd.Timedelta(days=DAYS - 1)
    tree, used, told, extras = cKDTree(houses.points), np.zeros((0, 2)), [], []
    # Clusters grow where many live: each house counts by its residents times those of its unit grid.
    crowd = share * np.bincount(houses.unit, share)[houses.unit]
    busy = leaves.nlargest(12, "share").reset_index(drop=True)
    for number in range(clusters):
        centre = _far_centre(houses.points, crowd / crowd.sum(), used, rng)
        used = np.vstack([used, centre])
        radius, length = float(rng.choice([400, 600, 800])), int(rng.choice([28, 42, 56]))
        inside = np.array(tree.query_ball_point(centre, radius))
        start = DAYS - length if number == clusters - 1 else int(rng.integers(10, DAYS - length))
        category = busy["code"][number % len(busy)]
        expected = (
            count
            * busy["share"][number % len(busy)]
            * share[inside].sum()
            * days[start : start + length].sum()
        )
        extra = int(np.ceil(max(20, 5 * expected)))
        lon, lat = to_degrees(centre[None])[0].tolist()
        begin, end = (str((first + pd.Timedelta(days=d)).date()) for d in (start, start + length - 1))
        risk = round(float(1 + extra / expected), 2)
        told.append(
            Cluster(str(category), lon, lat, radius, begin, end, round(float(expected), 3), extra, risk)
        )
        house = rng.choice(inside, extra, p=share[inside] / share[inside].sum())
        extras.append(
            pd.DataFrame(
                {"house": house, "category": category, "day": rng.integers(start, start + length, extra)}
            )
        )
    return told, pd.concat(extras, ignore_index=True)


def _far_centre(points: Floats, crowd: Floats, used: Floats, rng: Generator) -> Floats:
    """Choose a house by its residents, at least 2 km from the centres used."""
    for house in rng.choice(len(points), 200, p=crowd):
        if not len(used) or np.hypot(*(used - points[house]).T).min() > 2000:
            break
    found: Floats = points[house]
    return found


def _moments(table: pd.DataFrame, until: date, rng: Generator) -> pd.DataFrame:
    """Add occurred, reported, responded and closed times; those after the end are not yet known."""
    count = len(table)
    start = (pd.Timestamp(until) - pd.Timedelta(days=DAYS - 1)).tz_localize(ZONE)
    night = table["category"].eq("order.noise_night").to_numpy()
    hour = np.where(night, _draw(NIGHT, count, rng), _draw(HOURS, count, rng))
    seconds = table["day"].to_numpy() * 86_400.0 + hour * 3600 + rng.integers(0, 3600, count)
    now = DAYS * 86_400.0 - 1
    lag = table["source"].map(LAG_MINUTES).to_numpy() * np.exp(rng.normal(0, 0.8, count)) * 60
    reported = np.minimum(np.floor(seconds + lag), now)
    reply = _reply_days(table["colour"], rng) * 86_400
    closed = np.floor(reported + reply)
    soon = table["colour"].map({"blue": 70.0, "yellow": 30.0, "red": 9.0}).to_numpy() * 60
    responded = np.floor(reported + np.minimum(soon * np.exp(rng.normal(0, 0.9, count)), 0.9 * reply))
    named = {"occurred_at": seconds, "reported_at": reported, "responded_at": responded, "closed_at": closed}
    times = {
        name: start + pd.to_timedelta(pd.Series(np.where(value > now, np.nan, value)), unit="s")
        for name, value in named.items()
    }
    return table.assign(**times, state=_states(now, reported, responded, closed))


def _draw(weight: Floats, count: int, rng: Generator) -> Ints:
    return rng.choice(len(weight), count, p=weight / weight.sum())


def _reply_days(colour: pd.Series, rng: Generator) -> Floats:
    """Draw times to closing with the measured quantiles, the graver the sooner."""
    score = rng.normal(0, 1, len(colour)) + colour.map({"blue": 0.0, "yellow": -0.8, "red": -2.0}).to_numpy()
    rank = (np.argsort(np.argsort(score)) + 0.5) / len(score)
    found: Floats = np.exp(np.interp(rank, REPLY_SHARE, np.log(REPLY_DAYS)))
    return found


def _states(now: float, reported: Floats, responded: Floats, closed: Floats) -> Shapes:
    """Return how far each incident has come by the end of the year."""
    done = (now - reported) / np.maximum(closed - reported, 1)
    return np.select(
        [closed <= now, done > 0.85, done > 0.2, responded <= now],
        ["closed", "verifying", "handling", "dispatched"],
        "reported",
    )


def _places(table: pd.DataFrame, houses: Houses, grids: Shapes, rng: Generator) -> tuple[Shapes, Ints]:
    """Put each incident near its house, and tell the unit grid it lies in."""
    house = table["house"].to_numpy()
    outdoors = table["category"].str.startswith(("city", "environment", "order")).to_numpy()
    shift = rng.normal(0, 1, (len(table), 2)) * np.where(outdoors, 14.0, 3.0)[:, None]
    points = to_degrees(houses.points[house] + shift)
    unit = locate(points, grids)
    # Who steps out of the city, or onto a border, stays at the house.
    points[unit < 0] = to_degrees(houses.points[house[unit < 0]])
    return dots(points), np.where(unit >= 0, unit, houses.unit[house])


def make_incidents(
    ground: Ground, grids: Shapes, houses: Houses, count: int, clusters: int, until: date, rng: Generator
) -> tuple[gpd.GeoDataFrame, list[dict[str, object]]]:
    """Let `count` incidents happen in the year that ends with `until`; return them, and the clusters."""
    leaves = _leaves()
    planted, extra = plant(houses, count, clusters, until, rng)
    base = count - len(extra)
    usual = pd.DataFrame({
        "house": rng.choice(len(houses.points), base, p=_residents(houses)),
        "category": leaves["code"].to_numpy()[rng.choice(len(leaves), base, p=leaves["share"])],
        "day": _draw(_day_weights(until), base, rng),
    })  # fmt: skip
    table = pd.concat([usual, extra], ignore_index=True)
    table["source"] = rng.choice(list(SOURCES), count, p=list(SOURCES.values()))
    table["colour"] = rng.choice(list(COLOURS), count, p=list(COLOURS.values()))
    table = _moments(table, until, rng).sort_values("reported_at", kind="stable", ignore_index=True)
    shapes, unit = _places(table, houses, grids, rng)
    return _described(ground, houses, table, shapes, unit, rng), [asdict(cluster) for cluster in planted]


def _described(
    ground: Ground, houses: Houses, table: pd.DataFrame, shapes: Shapes, unit: Ints, rng: Generator
) -> gpd.GeoDataFrame:
    """Word the incidents: codes, addresses, descriptions; canonical columns."""
    own = ground.units.iloc[unit].reset_index(drop=True)
    serial = pd.Series(range(1, len(table) + 1))
    number = serial.astype(str).str.zfill(7)
    vague = np.round(rng.gamma(2.0, 6.0, len(table)) + 2, 1)
    names = table["category"].map(_leaves().set_index("code")["name"])
    told = [TELLING[source].format(name) for source, name in zip(table["source"], names, strict=True)]
    data = pd.DataFrame({
        "origin_id": "I" + number,
        "code": "SJ" + own["county"] + table["reported_at"].dt.strftime("%Y%m%d") + number,
        "category": table["category"],
        "source": table["source"],
        "colour": table["colour"],
        "state": table["state"],
        "occurred_at": table["occurred_at"],
        "reported_at": table["reported_at"],
        "responded_at": table["responded_at"],
        "closed_at": table["closed_at"],
        "description": told,
        "address": houses.table["address"].to_numpy()[table["house"]],
        "accuracy_m": pd.Series(vague).mask(rng.random(len(table)) < 0.2),
        "recorded_grid": own["code"],
    })  # fmt: skip
    return gpd.GeoDataFrame(data, geometry=shapes, crs=4326)

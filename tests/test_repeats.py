"""Repeat places against counts by brute force; concentration against hand-made cities and chance."""

from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pytest
import shapely
from fastapi.testclient import TestClient
from pyproj import Geod
from scipy import stats
from sqlalchemy.engine import Engine

from api.main import make_app
from gis import access, schema
from layers.repeats import WITHIN_M
from layers.stats.concentration import TOP, concentration, gini, top_shares
from layers.stats.nearrepeat import knox
from layers.stats.snapping import nearest
from tests import town

FIRST = datetime(2025, 1, 1, tzinfo=town.ZONE)
HOUSES = {"松树路1号": (1.0, 0.5), "松树路2号": (1.05, 0.5), "松树路3号": (4.5, 4.5)}
STREETS = {
    "松树路": ((0.2, 0.5), (2.2, 0.5)),
    "竹巷": ((1.0, 0.2), (1.0, 1.6)),
    "环路": ((3.5, 4.6), (5.5, 4.6)),
}
Keys = dict[str, dict[str, str]]


def _scattered() -> list[tuple[float, float]]:
    """Places in blocks: on and around houses and streets, some beyond the reach of any."""
    rng = np.random.default_rng(3)
    near = [np.array(middle) + rng.normal(0, 0.03, (12, 2)) for middle in HOUSES.values()]
    return [(float(x), float(y)) for x, y in np.vstack([*near, rng.uniform((0, 0), (6, 2), (40, 2))])]


PLACES = _scattered()


@pytest.fixture(scope="module", autouse=True)
def settled(engine: Engine) -> None:
    """Three houses, three streets, and incidents around them; half with an address, in two spellings."""
    with engine.begin() as conn:
        town.add_grids(conn)
        batch = town.add_city(conn)
        for address, place in HOUSES.items():
            town.add_building(conn, batch, address, town.at(*place))
        for number, (name, (begin, end)) in enumerate(STREETS.items()):
            line = shapely.LineString([town.at(*begin), town.at(*end)])
            conn.execute(
                schema.roads.insert().values(
                    origin="town", origin_id=name, batch_id=batch, name=name, u=number, v=10 + number,
                    length_m=Geod(ellps="WGS84").geometry_length(line), geom=f"SRID=4326;{line.wkt}",
                    **{"class": "street"},
                )
            )  # fmt: skip
        town.add_incidents(conn, batch, [town.at(*place) for place in PLACES], first=FIRST)
        i = schema.incidents
        for ids, address in (
            (range(6), "松树路 1 号"),
            (range(6, 9), "松树路１号"),
            (range(9, 11), "他路7号"),
        ):
            wanted = i.c.origin_id.in_([str(one) for one in ids])
            conn.execute(i.update().where(wanted).values(address=address))


@pytest.fixture(scope="module")
def keys(engine: Engine) -> Keys:
    with engine.begin() as conn:
        made = {
            scope: access.create_key(conn, "commander", scope, scheme="safety", label=f"of {scope}").key
            for scope in (None, "T2")
        }
    return {scope or "all": {"Authorization": f"Bearer {key}"} for scope, key in made.items()}


@pytest.fixture(scope="module")
def asker(service_engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    made = make_app(lambda: service_engine, tmp_path_factory.mktemp("data"))
    with TestClient(made, "http://127.0.0.1", client=("127.0.0.1", 5)) as client:
        yield client


def _answer(asker: TestClient, keys: Keys, who: str = "all", **asked: str) -> dict[str, Any]:
    answer = asker.get("/repeat-places", params=asked, headers=keys[who])
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()
    return told


def _shape(by: str, name: str) -> shapely.Geometry:
    if by == "segment":
        return shapely.LineString([town.at(*end) for end in STREETS[name]])
    x, y = town.at(*HOUSES[name])
    return shapely.box(x - 1e-4, y - 1e-4, x + 1e-4, y + 1e-4)


def _geodesic(place: tuple[float, float], shape: shapely.Geometry) -> float:
    """Metres on the ellipsoid from a place to the nearest of many points along a shape."""
    lon, lat = town.at(*place)
    if shapely.intersects_xy(shape, lon, lat):
        return 0.0
    edge = shape if shape.geom_type == "LineString" else shape.exterior
    along = shapely.get_coordinates(shapely.segmentize(edge, 2e-6))
    there = np.full((len(along), 2), (lon, lat))
    return float(Geod(ellps="WGS84").inv(*there.T, *along.T)[2].min())


@pytest.mark.parametrize("by", ["building", "segment"])
def test_counts_are_those_of_brute_force_on_the_ellipsoid(asker: TestClient, keys: Keys, by: str) -> None:
    names = list(STREETS if by == "segment" else HOUSES)
    far = {name: [_geodesic(place, _shape(by, name)) for place in PLACES] for name in names}
    owner = [min(names, key=lambda name: far[name][n]) for n in range(len(PLACES))]
    reached = [far[owner[n]][n] <= WITHIN_M[by] for n in range(len(PLACES))]  # type: ignore[index]
    wanted = Counter(name for name, is_near in zip(owner, reached, strict=True) if is_near)
    told = _answer(asker, keys, by=by)
    assert {row["name"]: row["count"] for row in told["rows"]} == {k: n for k, n in wanted.items() if n > 1}
    assert (told["incidents"], told["units"]) == (len(PLACES), 3)
    assert told["without_place"] == len(PLACES) - sum(wanted.values()) > 0
    assert told["repeated_incidents"] == sum(n for n in wanted.values() if n > 1)


def test_streets_are_told_per_100_metres_with_an_exact_interval(asker: TestClient, keys: Keys) -> None:
    row = _answer(asker, keys, by="segment")["rows"][0]
    length = Geod(ellps="WGS84").geometry_length(_shape("segment", row["name"]))
    assert row["length_m"] == pytest.approx(length, rel=1e-9)
    assert row["rate"] == pytest.approx(row["count"] / length * 100)
    low, high = stats.chi2.ppf(0.025, 2 * row["count"]) / 2, stats.chi2.ppf(0.975, 2 * row["count"] + 2) / 2
    assert [row["low"], row["high"]] == pytest.approx([low / length * 100, high / length * 100])
    assert row["low"] < row["shrunk"] < row["high"]


def test_an_address_is_one_in_all_its_spellings(asker: TestClient, keys: Keys) -> None:
    told = _answer(asker, keys, by="address")
    assert [row["count"] for row in told["rows"]] == [9, 2]
    assert told["without_place"] == len(PLACES) - 11
    assert told["units"] == 4, "three houses, and an address of no house"


def test_a_scope_and_an_area_see_their_own_alone(asker: TestClient, keys: Keys) -> None:
    scoped, area = _answer(asker, keys, "T2"), _answer(asker, keys, area="T2")
    assert scoped["rows"] == area["rows"]
    assert [row["name"] for row in scoped["rows"]] == ["松树路3号"]
    assert scoped["units"] == 1


def test_a_short_answer_says_how_many_there_are(asker: TestClient, keys: Keys) -> None:
    told = _answer(asker, keys, by="building", limit="1")
    assert (len(told["rows"]), told["repeated"]) == (1, 3)
    empty = _answer(asker, keys, by="building", category="02")
    assert (empty["rows"], empty["incidents"], empty["gini"]) == ([], 0, None)


def test_shares_by_hand() -> None:
    held = [50, 30] + [1] * 20 + [0] * 78
    found = concentration(held, np.ones(100))
    assert dict(zip(TOP, found.share, strict=True)) == {0.01: 0.5, 0.05: 0.83, 0.2: 0.98}
    assert top_shares([10, 10], 150)[0] == pytest.approx(0.75), "one place and a half of the next"
    assert gini([1] * 5, 10) == pytest.approx(0), "five incidents cannot be spread more evenly"
    assert gini([7], 10) == pytest.approx(1 - 1 / 7)


def test_chance_alone_lies_within_what_chance_brings() -> None:
    """Of uneven weights as well: the interval holds some 95 of 100 cities in which nothing repeats."""
    rng, weight = np.random.default_rng(5), np.random.default_rng(6).gamma(2.0, 50.0, 400)
    inside = []
    for seed in range(120):
        found = concentration(rng.multinomial(300, weight / weight.sum()), weight, seed=seed)
        inside.append((found.low <= found.share) & (found.share <= found.high))
    assert (np.mean(inside, axis=0) >= 0.9).all()
    crowded = concentration(rng.multinomial(300, weight**3 / (weight**3).sum()), weight)
    assert (crowded.share[1:] > crowded.high[1:]).all()


def test_what_is_not_places_is_refused() -> None:
    with pytest.raises(ValueError, match="match"):
        concentration([1, 2], [1.0])
    with pytest.raises(ValueError, match="weigh"):
        concentration([1, 2], [0.0, 0.0])


def test_the_first_of_those_equally_near_and_none_beyond_reach() -> None:
    lines = shapely.linestrings([[[0, 10], [100, 10]], [[0, -10], [100, -10]], [[0, 10], [100, 10]]])
    assert nearest([[50, 0], [50, 20], [50, 21], [50, -3]], lines, 10).tolist() == [0, 0, -1, 1]
    assert nearest(np.zeros((2, 2)), lines[:0], 10).tolist() == [-1, -1]


def _tables(repeats: int, number: int) -> list[Any]:
    rng, made = np.random.default_rng(8), []
    for seed in range(number):
        xy, day = rng.uniform(0, 1500, (120, 2)), rng.integers(0, 120, 120)
        xy[:repeats], day[:repeats] = xy[20 : 20 + repeats] + 20, day[20 : 20 + repeats] + 1
        made.append(knox(xy, day, (0, 100, 200, 400), (0, 7, 14, 28), permutations=99, seed=seed))
    return made


def test_any_band_of_chance_is_told_in_one_table_of_twenty() -> None:
    quiet = _tables(0, 150)
    by_table = np.mean([(one.p_adjusted <= 0.05).any() for one in quiet])
    assert by_table <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / 150)
    assert np.mean([(one.p <= 0.05).any() for one in quiet]) > 0.15, "what it is adjusted for"
    assert all((one.p_adjusted >= one.p - 1e-12).all() for one in quiet)


def test_repeats_nearby_are_told_all_the_same() -> None:
    loud = _tables(18, 20)
    assert np.mean([one.p_adjusted[0, 0] <= 0.05 for one in loud]) >= 0.8


def test_the_record_without_buildings_answers_nothing_and_says_so(asker: TestClient, keys: Keys) -> None:
    told = _answer(asker, keys, by="building", area="T1c")
    assert (told["units"], told["repeated"], told["gini"]) == (0, 0, None)
    assert told["without_place"] == told["incidents"] > 0


def test_a_period_is_kept_to(asker: TestClient, keys: Keys) -> None:
    to = FIRST + timedelta(hours=12)
    told = _answer(asker, keys, by="building", to=to.isoformat())
    assert told["incidents"] == 12
    assert all(row["last"] < to.isoformat() for row in told["rows"])

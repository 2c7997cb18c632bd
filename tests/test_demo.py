"""The demo city is an exact coverage, follows the measured shapes, and is the same each time."""

import re
from datetime import date

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from gis.crs import WGS84
from gis.demo import DemoCity, generate

METRES = 32649


@pytest.fixture(scope="module")
def city() -> DemoCity:
    return generate("small")


def level(city: DemoCity, number: int) -> gpd.GeoDataFrame:
    return city.grids[city.grids["level"] == number].set_index("code")


def metres(table: gpd.GeoDataFrame) -> np.ndarray:
    return np.asarray(shapely.get_coordinates(table.geometry.to_crs(METRES).to_numpy()))


def test_all_nine_counties_and_one_populated(city: DemoCity) -> None:
    assert len(level(city, 2)) == 9
    assert set(level(city, 3)["parent_code"]) == {"430202"}
    assert len(level(city, 3)) == 7
    assert len(level(city, 4)) == 62
    assert city.synthetic


def test_codes_extend_their_parents(city: DemoCity) -> None:
    child = city.grids[city.grids["level"] >= 3]
    assert (
        child["code"]
        .str.len()
        .map({9: 3, 12: 4, 15: 5})
        .equals(child["level"].astype(child["code"].str.len().dtype))
    )
    assert all(
        code.startswith(parent) for code, parent in zip(child["code"], child["parent_code"], strict=True)
    )
    assert city.grids["code"].is_unique


@pytest.mark.parametrize("number", [2, 3, 4, 5])
def test_children_cover_their_parent_exactly(city: DemoCity, number: int) -> None:
    parents = city.grids.set_index("code").geometry
    for code, children in level(city, number).groupby("parent_code"):
        shapes = children.geometry.to_numpy()
        union = shapely.union_all(shapes)
        assert shapely.is_valid(shapes).all()
        assert shapely.coverage_is_valid(shapes)
        assert shapely.difference(parents[code], union).area == 0
        assert shapely.difference(union, parents[code]).area == 0
        assert shapely.area(shapes).sum() == pytest.approx(parents[code].area, rel=1e-12)


@pytest.mark.parametrize("number", [2, 3, 4, 5])
def test_shared_borders_match_vertex_for_vertex(city: DemoCity, number: int) -> None:
    # Where every border between two grids has the same vertices, all inner segments occur exactly twice.
    shapes = level(city, number).geometry.to_numpy()
    coords, ring = shapely.get_coordinates(shapely.boundary(shapes), return_index=True)
    inner = ring[:-1] == ring[1:]
    segments = np.hstack([coords[:-1][inner], coords[1:][inner]])
    turned = (segments[:, 0] > segments[:, 2]) | (
        (segments[:, 0] == segments[:, 2]) & (segments[:, 1] > segments[:, 3])
    )
    segments[turned] = segments[turned][:, [2, 3, 0, 1]]
    unique, counts = np.unique(segments, axis=0, return_counts=True)
    outer = shapely.linestrings(unique[counts == 1].reshape(-1, 2, 2))
    hull = shapely.boundary(shapely.union_all(shapes))
    assert counts.max() == 2
    assert shapely.length(outer).sum() == pytest.approx(hull.length, rel=1e-9)


def test_coordinates_are_ten_millionths_of_a_degree(city: DemoCity) -> None:
    coords = shapely.get_coordinates(city.grids.geometry.to_numpy())
    assert (np.round(coords * 1e7) / 1e7 == coords).all()


def test_town_grids_have_the_measured_sizes(city: DemoCity) -> None:
    towns = level(city, 3).query("kind == 'subdistrict'").index
    communities = level(city, 4)
    community = communities[communities["parent_code"].isin(towns)].to_crs(METRES).area / 1e6
    units = level(city, 5)
    unit = units[units["parent_code"].isin(community.index)].to_crs(METRES).area / 1e6
    assert 0.12 < community.median() < 0.32
    assert 0.03 < unit.median() < 0.09
    assert 3 < units.groupby("parent_code").size().mean() < 5
    assert units.groupby("parent_code").size().between(1, 7).all()


def test_roads_are_one_network_and_their_ends_are_nodes(city: DemoCity) -> None:
    nodes, ends = np.unique(city.roads[["u", "v"]], return_inverse=True)
    graph = coo_array((np.ones(len(city.roads)), tuple(ends.reshape(-1, 2).T)), shape=(len(nodes),) * 2)
    assert connected_components(graph, directed=False)[0] == 1
    lines = city.roads.geometry.to_numpy()
    ends = pd.concat([
        pd.DataFrame({"node": city.roads[node], "at": shapely.get_point(lines, place)})
        for node, place in (("u", 0), ("v", -1))
    ])  # fmt: skip
    assert len(ends.drop_duplicates()) == ends["node"].nunique()
    assert set(city.roads["class"]) >= {"primary", "secondary", "tertiary", "residential", "unclassified"}


def test_buildings_stand_apart_with_addresses(city: DemoCity) -> None:
    shapes = city.buildings.geometry.to_numpy()
    first, second = shapely.STRtree(shapes).query(shapes, predicate="intersects")
    assert (first == second).all()
    assert len(shapes) == 6000
    pattern = r"株洲市荷塘区\S+?(街道|镇)\S+?(\d+号(\d+栋|附\d+号)|\d+组\d+号)"
    assert city.buildings["address"].str.fullmatch(pattern).all()
    assert city.buildings["address"].is_unique


def test_cameras_crowd_at_crossings(city: DemoCity) -> None:
    distance = cKDTree(metres(city.cameras)).query(metres(city.cameras), k=2)[0][:, 1]
    low, middle, high = np.quantile(distance, [0.1, 0.5, 0.9])
    assert 1 < low < 9 < middle < 25
    assert 100 < high < 500
    codes = city.cameras["gb28181"].dropna()
    assert codes.is_unique
    assert codes.str.fullmatch(r"430202\d{2}00132[0-7]\d{6}").all()


def test_incidents_lie_in_their_recorded_grid(city: DemoCity) -> None:
    units = level(city, 5).geometry
    inside = shapely.contains(
        units.loc[city.incidents["recorded_grid"]].to_numpy(), city.incidents.geometry.to_numpy()
    )
    assert inside.all()


def test_incidents_keep_office_hours(city: DemoCity) -> None:
    at = city.incidents["occurred_at"]
    hours = at.dt.hour.value_counts()
    assert hours.idxmax() in {9, 10, 11, 14, 15, 16}
    assert hours[15] > 1.5 * hours[12]
    days = at.dt.day_of_week.value_counts()
    assert days[:5].mean() == pytest.approx(2.7 * days[5], rel=0.12)
    assert at.min() >= pd.Timestamp("2025-01-01", tz="Asia/Shanghai")
    assert city.incidents["reported_at"].max() < pd.Timestamp("2026-01-01", tz="Asia/Shanghai")


def test_incidents_close_as_slowly_as_measured(city: DemoCity) -> None:
    early = city.incidents[city.incidents["reported_at"] < "2025-07-01"]
    days = (early["closed_at"] - early["reported_at"]).dt.total_seconds().fillna(np.inf) / 86_400
    found = np.quantile(days, [0.1, 0.5, 0.9, 0.99])
    assert found == pytest.approx([1.9, 11.2, 41, 167], rel=0.25)
    assert (early["state"] == "closed").mean() > 0.97
    late = city.incidents[city.incidents["reported_at"] > "2025-12-20"]
    assert (late["state"] != "closed").mean() > 0.5
    closed = city.incidents["state"] == "closed"
    assert (city.incidents["closed_at"].notna() == closed).all()


def test_planted_clusters_are_in_the_incidents(city: DemoCity) -> None:
    points = metres(city.incidents)
    for cluster in city.planted:
        centre = metres(
            gpd.GeoDataFrame(geometry=gpd.points_from_xy([cluster["lon"]], [cluster["lat"]]), crs=WGS84)
        )
        near = np.hypot(*(points - centre).T) <= cluster["radius_m"] + 60
        day = city.incidents["occurred_at"].dt.date
        when = (day >= date.fromisoformat(cluster["start"])) & (day <= date.fromisoformat(cluster["end"]))
        held = (near & when & (city.incidents["category"] == cluster["category"])).sum()
        assert held >= cluster["extra"]
        assert cluster["relative_risk"] == pytest.approx(1 + cluster["extra"] / cluster["expected"], rel=0.01)


def test_categories_are_a_tree_of_two_levels(city: DemoCity) -> None:
    tree = city.categories.set_index("code")
    leaves = tree[tree["parent"].notna()]
    assert tree.loc[leaves["parent"], "parent"].isna().all()
    assert 28 <= len(leaves) <= 40
    assert set(city.incidents["category"]) == set(leaves.index)


def test_people_are_plainly_invented(city: DemoCity) -> None:
    assert city.staff["phone"].str.fullmatch(r"100\d{8}").all()
    assert city.staff["name"].str.fullmatch("[\u4e00-\u9fff][甲乙丙丁戊己庚辛壬癸]{2}").all()
    units = level(city, 5).index
    assert set(units) <= set(city.staff["grid_code"])


def test_no_text_holds_a_missing_value(city: DemoCity) -> None:
    for table in (city.cameras, city.incidents, city.places, city.responders, city.buildings, city.roads):
        assert not table["origin_id"].duplicated().any()
        text = table.select_dtypes(["object", "str"]).drop(columns=["headings", "skills"], errors="ignore")
        assert not any(text[column].str.contains("nan|None", na=False).any() for column in text)
        assert all(re.fullmatch(r"[A-Z]\d+", row) for row in table["origin_id"])


def test_the_same_seed_gives_the_same_city(city: DemoCity) -> None:
    again = generate("small", seed=city.seed)
    for name in ("grids", "buildings", "cameras", "incidents", "responders", "places", "roads"):
        first, second = getattr(city, name), getattr(again, name)
        assert (shapely.to_wkb(first.geometry.to_numpy()) == shapely.to_wkb(second.geometry.to_numpy())).all()
        pd.testing.assert_frame_equal(first.drop(columns="geometry"), second.drop(columns="geometry"))
    pd.testing.assert_frame_equal(city.staff, again.staff)
    assert city.planted == again.planted


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 7))
def test_other_seeds_give_cities_too(seed: int) -> None:
    city = generate("small", seed=seed)
    for number in (3, 4, 5):
        test_children_cover_their_parent_exactly(city, number)
    test_roads_are_one_network_and_their_ends_are_nodes(city)
    test_buildings_stand_apart_with_addresses(city)
    test_incidents_lie_in_their_recorded_grid(city)


@pytest.mark.slow
def test_the_whole_city_is_a_coverage_of_real_names() -> None:
    city = generate("city")
    assert [len(level(city, number)) for number in (1, 2, 3, 4)] == [1, 9, 105, 1392]
    assert 5200 < len(level(city, 5)) < 5800
    for number in (2, 3, 4, 5):
        test_children_cover_their_parent_exactly(city, number)
        test_shared_borders_match_vertex_for_vertex(city, number)
    assert (len(city.buildings), len(city.cameras), len(city.incidents)) == (120_000, 10_000, 60_000)
    test_incidents_lie_in_their_recorded_grid(city)
    test_roads_are_one_network_and_their_ends_are_nodes(city)
    rural = level(city, 3).query("kind != 'subdistrict'")
    villages = level(city, 4).groupby("parent_code").size()[rural.index]
    per_100 = villages / rural.to_crs(METRES).area * 1e8
    assert 7 < per_100.median() < 13
    shapes = level(city, 3).to_crs(METRES).geometry
    assert 0.23 < (4 * np.pi * shapes.area / shapes.length**2).median() < 0.36

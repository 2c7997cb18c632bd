"""How pages open: they say that they load, speak the city's languages, tell what is known and withheld."""

from datetime import datetime, timedelta

import pytest
from playwright.sync_api import BrowserContext, Page, Route, expect
from sqlalchemy.engine import Engine

from gis import schema
from gis.access import NewKey
from layers.public import release_months
from tests import town
from tests.browsing import DRAWN, sign_in, until, wait

pytestmark = pytest.mark.browser
expect.set_options(timeout=150_000)
CITY = "map=13/27.025/113.03"


@pytest.fixture(scope="module")
def keys(engine: Engine) -> dict[str, NewKey]:
    """The town without a house: sixty incidents of January 2025, and one of 1963."""
    with engine.begin() as conn:
        batch = town.furnish(conn)
        town.add_incidents(conn, batch, [town.at(1, 1)] * 60, apart=timedelta(hours=12))
        town.add_incidents(conn, batch, [town.at(1, 1)], first=datetime(1963, 5, 5, 10, tzinfo=town.ZONE))
        release_months(conn)
        return town.make_keys(conn, "commander")


@pytest.fixture
def context(keys: dict[str, NewKey], desk: BrowserContext) -> BrowserContext:
    assert keys
    return desk


def _open(context: BrowserContext, address: str) -> Page:
    page = context.new_page()
    page.goto(address)
    until(page, DRAWN)
    return page


def _is_chinese(page: Page) -> bool:
    return bool(page.evaluate("document.documentElement.lang.startsWith('zh')"))


@pytest.mark.parametrize("path", ["/", "/planner"])
def test_a_page_says_that_it_loads_until_it_is_there(
    context: BrowserContext, address: str, path: str
) -> None:
    waiting: list[Route] = []

    def hold(route: Route) -> None:
        waiting.append(route)

    context.route("**/city*", hold)
    page = context.new_page()
    page.goto(address + path)
    expect(page.locator("#loading")).to_be_visible()
    expect(page.locator("#loading")).to_contain_text("加载" if _is_chinese(page) else "Loading")
    wait(lambda: page.wait_for_timeout(50) or waiting)
    waiting[0].continue_()
    until(page, DRAWN)
    expect(page.locator("#loading")).to_be_hidden()


@pytest.mark.parametrize("path", ["/", "/planner"])
def test_a_page_that_cannot_open_says_so_where_it_would_be(
    context: BrowserContext, address: str, path: str
) -> None:
    context.route("**/city*", lambda route: route.abort())
    page = context.new_page()
    page.goto(address + path)
    expect(page.locator("#loading")).to_contain_text("页面无法启动" if _is_chinese(page) else "cannot start")


def test_what_is_withheld_is_no_zero(context: BrowserContext, address: str) -> None:
    page = _open(context, f"{address}/#{CITY}")
    summary = page.locator("#summary")
    expect(summary).to_contain_text("2025-01 不予公布" if _is_chinese(page) else "Withheld for 2025-01")
    expect(summary).to_contain_text("建筑" if _is_chinese(page) else "buildings")
    assert "0" not in summary.inner_text().replace("2025-01", "")
    page.goto("about:blank")
    page.goto(f"{address}/#{CITY}&from=2025-06-01&to=2025-06-30")
    until(page, DRAWN)
    words = "已公布的月份为 2025-01 至 2025-01" if _is_chinese(page) else "are 2025-01 to 2025-01"
    expect(summary).to_contain_text(words)


def test_the_period_lies_in_the_records_in_use_and_says_which_they_are(
    context: BrowserContext, address: str, keys: dict[str, NewKey]
) -> None:
    sign_in(context, address, keys["commander"])
    page = _open(context, f"{address}/#{CITY}")
    span = page.locator("#span")
    expect(span).to_contain_text(
        "2025-01-01 至 2025-01-30" if _is_chinese(page) else "2025-01-01 to 2025-01-30"
    )
    expect(span).to_contain_text("1963-05-05")
    shown = [page.locator(name).input_value() for name in ("#from", "#to")]
    assert shown == ["2025-01-01", "2025-01-30"]
    assert page.locator("#from").get_attribute("min") == "1963-05-05"
    expect(page.locator("#summary")).to_contain_text("60")


def test_the_language_is_offered_where_the_city_has_both(
    context: BrowserContext, address: str, engine: Engine
) -> None:
    page = _open(context, address)
    expect(page.locator("#language")).to_be_visible()
    with engine.begin() as conn:
        conn.execute(schema.city.update().values(languages=["en"]))
    try:
        for path in ("/", "/planner"):
            page = _open(context, address + path)
            expect(page.locator("#language")).to_be_hidden()
            assert not _is_chinese(page)
    finally:
        with engine.begin() as conn:
            conn.execute(schema.city.update().values(languages=["zh", "en"]))


def test_a_stranger_s_planner_names_the_grids(context: BrowserContext, address: str) -> None:
    """By its short name as well; what the address holds goes along."""
    page = _open(context, f"{address}/plan#{CITY}")
    assert page.url.startswith(f"{address}/planner#{CITY}")
    names = """[...new Set(window.safetymap.map.queryRenderedFeatures()
        .filter(({ source, layer }) => source === "labels" && layer.type === "symbol")
        .map(({ properties }) => properties.name))]"""
    assert set(page.evaluate(names)) == {f"网格T1{letter}" for letter in "abc"} | {"网格T2d", "网格T2e"}


@pytest.mark.parametrize("path", ["/", "/planner"])
def test_the_maps_controls_speak_the_language_chosen(
    context: BrowserContext, address: str, path: str
) -> None:
    page = context.new_page()
    page.goto(address + path)
    until(page, DRAWN)
    words = {True: ["放大", "缩小"], False: ["Zoom in", "Zoom out"]}
    sources = {True: "显示或收起数据来源", False: "Show or hide the sources"}
    script = """[...document.querySelectorAll(".maplibregl-ctrl button, .maplibregl-ctrl summary")]
      .map((one) => [one.title, one.getAttribute("aria-label")])"""
    for _ in range(2):
        is_chinese = _is_chinese(page)
        expected = [*words[is_chinese], sources[is_chinese]]
        assert sorted(page.evaluate(script)) == sorted([word, word] for word in expected)
        label = page.locator(".maplibregl-canvas").get_attribute("aria-label") or ""
        assert label.startswith("地图" if is_chinese else "Map")
        page.click("#language")
        until(page, f"document.documentElement.lang.startsWith('zh') !== {str(is_chinese).lower()}")

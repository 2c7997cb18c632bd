"""The page in a real Chromium over the drawn town: what is drawn, asked, told and switched."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Browser, BrowserContext, Error, Page, Route, expect
from sqlalchemy.engine import Engine

from gis import access, schema
from gis.settings import ROOT
from tests import town
from tests.browsing import DRAWN, until, wait, window

pytestmark = pytest.mark.browser

LONG_AGO = datetime(2024, 10, 1, tzinfo=town.ZONE)
STRICT = (
    "default-src 'none'; script-src 'self'; style-src 'self'; worker-src 'self'; connect-src 'self'; "
    "font-src 'self'; img-src 'self' data: blob:; base-uri 'none'; form-action 'self'"
)


@pytest.fixture(scope="module", autouse=True)
def commander(engine: Engine) -> str:
    """A commander's key to the town: a calm past, and lately a cluster of category 0102 in one corner."""
    rng = np.random.default_rng(3)
    past, anywhere = (
        [town.at(*place) for place in rng.uniform((0, 0), (6, 5), (count, 2))] for count in (900, 200)
    )
    corner = [town.at(*place) for place in rng.uniform((0.4, 0.4), (0.6, 0.6), (100, 2))]
    with engine.begin() as conn:
        town.add_grids(conn)
        batch = town.add_city(conn)
        town.add_keeper(conn, batch, "T1a")
        town.add_incidents(conn, batch, past, first=LONG_AGO, apart=timedelta(days=92) / len(past))
        town.add_incidents(conn, batch, anywhere)
        town.add_incidents(conn, batch, corner, category="0102")
        town.add_responders(conn, batch, {"near": town.at(1, 1), "far": town.at(6, 5)})
        return access.create_key(conn, "commander", scheme="safety", label="duty desk").key


@pytest.fixture
def stranger(browser: Browser) -> Iterator[BrowserContext]:
    """A browser that is not signed in."""
    made = window(browser)
    yield made
    made.close()


@pytest.fixture
def context(stranger: BrowserContext, address: str, commander: str) -> BrowserContext:
    """A browser with a commander's session."""
    assert stranger.request.post(f"{address}/session", data={"key": commander}).status == 201
    return stranger


@pytest.fixture
def complaints() -> list[str]:
    """What the browser found wrong: errors on its console, uncaught ones, refused requests."""
    return []


@pytest.fixture
def visit(context: BrowserContext, address: str, complaints: list[str]) -> Callable[..., Page]:
    """Open the page at a view as a commander and wait until the map is drawn."""
    return _opener(context, address, complaints)


def _opener(context: BrowserContext, address: str, complaints: list[str]) -> Callable[..., Page]:
    def go(fragment: str = "map=13/27.025/113.03", ready: str = DRAWN) -> Page:
        page = context.new_page()
        page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("response", lambda answer: complaints.append(answer.url) if answer.status >= 400 else None)
        page.goto(f"{address}/#{fragment}")
        until(page, ready)
        expect(page.locator("#summary")).not_to_have_text("")
        return page

    return go


def _drawn(page: Page, *layers: str) -> list[dict[str, Any]]:
    """What the map draws of style layers: properties, and state where it has some."""
    until(page, DRAWN)
    script = """layers => window.safetymap.map.queryRenderedFeatures({layers})
        .map(({properties, state}) => ({...properties, ...state}))"""
    found: list[dict[str, Any]] = page.evaluate(script, list(layers))
    return found


def _hot(page: Page) -> set[str]:
    return {cell["cell"] for cell in _drawn(page, "hotspots") if cell.get("significant")}


def _click(page: Page, lon: float, lat: float) -> None:
    x, y = page.evaluate("at => Object.values(window.safetymap.map.project(at))", [lon, lat])
    page.locator("#map").click(position={"x": x, "y": y})


def test_the_town_is_drawn(visit: Callable[..., Page], complaints: list[str]) -> None:
    page = visit()
    expect(page.locator("#synthetic")).to_contain_text("演示数据 synthetic")
    expect(page).to_have_title("平安地图 · 小镇")
    assert {grid["code"] for grid in _drawn(page, "grids-land")} >= {"T1", "T2"}
    assert _drawn(page, "responders")
    image = page.locator("#map canvas").screenshot()
    assert len(image) > 20_000, "a canvas of one colour packs into a few kB"
    assert complaints == []


def test_each_grid_is_labelled_once(visit: Callable[..., Page]) -> None:
    page = visit("map=14.5/27.025/113.03")
    labels = [grid["name"] for grid in _drawn(page, "labels-name")]
    assert labels
    assert len(labels) == len(set(labels))


def test_hot_cells_are_the_service_s(visit: Callable[..., Page], address: str) -> None:
    page = visit("map=13/27.025/113.03")
    until(page, "document.querySelector('#areas').children.length > 0")
    asked = {"from": "2024-12-11", "to": "2025-01-10", "res": 9}
    assert page.locator("#from").input_value() == asked["from"]
    assert page.locator("#to").input_value() == "2025-01-09", "whole days: the last one is asked for too"
    cells = page.request.get(f"{address}/hotspots", params=asked).json()["cells"]
    told = {cell["cell"] for cell in cells if cell["significant"]}
    assert 0 in {cell["count"] for cell in cells if cell["significant"]}, "hot by its neighbours"
    assert _hot(page) == told
    shown = {cell["cell"] for cell in _drawn(page, "hotspots") if cell.get("shown")}
    assert shown == {cell["cell"] for cell in cells if cell["count"] or cell["significant"]}
    said = page.locator("#summary").inner_text()
    assert f"{len(shown)} 个六边形" in said
    assert f"{len(told)} 个显著多于预期" in said
    expect(page.locator("#legend")).to_contain_text("显著：多于偶然所能解释")
    expect(page.locator("#legend")).to_contain_text("仅为数量：与偶然无异")


def test_a_click_tells_whose_it_is_and_who_is_near(visit: Callable[..., Page]) -> None:
    page = visit()
    _click(page, *town.at(0.5, 0.5))
    expect(page.locator("#details .chain strong")).to_have_text(["网格T1a", "网格T1", "网格T"])
    expect(page.locator("#details .chain .level")).to_have_text(["网格", "片区", "镇"])
    expect(page.locator("#details a[href='tel:000']")).to_be_visible()
    expect(page.locator("#details .near li")).to_contain_text(["near", "far"])
    expect(page.locator("#details .verdict")).to_contain_text("显著")
    assert {grid["code"] for grid in _drawn(page, "grids-focus")} <= {"T", "T1", "T1a"}
    page.keyboard.press("Escape")
    expect(page.locator("#details")).to_be_hidden()


def test_nobody_s_place_is_told(visit: Callable[..., Page]) -> None:
    page = visit()
    _click(page, *town.at(3.5, 2.5))
    expect(page.locator("#details")).to_contain_text("此处不属于任何网格")


def test_the_keyboard_asks_at_the_centre(visit: Callable[..., Page]) -> None:
    page = visit("map=14/27.045/113.005")
    page.locator("#map canvas").focus()
    page.keyboard.press("c")
    expect(page.locator("#details .point")).to_contain_text("113.005000, 27.045000")


def test_the_language_switches_everything(visit: Callable[..., Page]) -> None:
    page = visit()
    page.locator("#language").click()
    expect(page).to_have_title("Safety map · Town")
    expect(page.locator("html")).to_have_attribute("lang", "en")
    expect(page.locator("#legend")).to_contain_text("Significant: more than chance explains")
    expect(page.locator("#summary")).to_contain_text("incidents in the period")
    left = page.locator("[data-t]:visible").all_inner_texts()
    foreign = [text for text in left if any("\u4e00" <= character <= "\u9fff" for character in text)]
    assert sorted(foreign) == ["Demo data, synthetic 演示数据", "中文"]
    page.reload()
    expect(page).to_have_title("Safety map · Town")


def test_category_and_period_change_the_hotspots(visit: Callable[..., Page]) -> None:
    page = visit()
    expect(page.locator("#summary")).to_contain_text("505 起")
    page.locator("#category").select_option("0102")
    expect(page.locator("#summary")).to_contain_text("100 起")
    until(page, DRAWN)
    shown = [cell for cell in _drawn(page, "hotspots") if cell.get("shown")]
    assert 0 < len(shown) < 20
    page.locator("#category").select_option("02")
    expect(page.locator("#summary")).to_contain_text("没有显著热点")
    assert _hot(page) == set()
    page.locator("#category").select_option("")
    page.get_by_role("button", name="7 天").click()
    expect(page.locator("#summary")).not_to_contain_text("505 起")
    assert "from=2025-01-03" in page.url
    assert "to=2025-01-09" in page.url


def test_a_period_that_ends_before_it_begins_is_refused(visit: Callable[..., Page]) -> None:
    page = visit()
    page.locator("#from").fill("2025-01-08")
    page.locator("#to").fill("2025-01-02")
    expect(page.locator("#toasts")).to_contain_text("时段无效")
    expect(page.locator("#to")).to_have_value("2025-01-09")


def test_layers_come_and_go(visit: Callable[..., Page]) -> None:
    page = visit()
    assert _drawn(page, "incidents", "incidents-crowd") == []
    page.locator("#layers input[name=incidents]").check()
    until(page, "window.safetymap.map.queryRenderedFeatures({layers: ['incidents-crowd']}).length")
    expect(page.locator("#legend")).to_contain_text("红色事件")
    page.locator("#layers input[name=grids]").uncheck()
    assert _drawn(page, "grids-land", "grids-border") == []
    page.reload()
    until(page, DRAWN)
    assert _drawn(page, "grids-land") == []


def test_a_theme_keeps_layers_and_values(visit: Callable[..., Page]) -> None:
    page = visit()
    until(page, "document.querySelector('#areas').children.length > 0")
    page.locator("#layers input[name=grids]").uncheck()
    before = _hot(page)
    for theme in ("dark", "safe", "light"):
        page.locator("#theme").select_option(theme)
        until(page, f"window.safetymap.map.getStyle().name === '{theme}'")
        until(page, DRAWN)
        assert _hot(page) == before != set()
        assert _drawn(page, "grids-land") == []


def _search(page: Page, text: str) -> None:
    page.keyboard.press("/")
    page.locator("#query").fill(text)
    page.keyboard.press("Enter")


def test_search_takes_points_in_either_order_and_codes(visit: Callable[..., Page]) -> None:
    page = visit()
    for text in ("113.005,27.045", "27.045 113.005", "113.005，27.045"):
        page.keyboard.press("Escape")
        page.locator("#map").focus()
        _search(page, text)
        expect(page.locator("#details .point")).to_contain_text("113.005000, 27.045000")
    _search_again(page, "T1a", "网格T1a · T1a")
    _search_again(page, "27.1,27.1", "请按 经度，纬度 输入")
    for text, words in (("200,95", "不是地球上的点"), ("无此地", "没有找到“无此地”")):
        _search_again(page, "T1a", "网格T1a · T1a")
        expect(page.locator("#details")).to_be_visible()
        _search_again(page, text, words)
        expect(page.locator("#details")).to_be_hidden()


def test_search_asks_for_no_grid_that_a_word_is_no_code_of(visit: Callable[..., Page]) -> None:
    page = visit()
    refused: list[str] = []
    page.on("response", lambda answer: refused.append(answer.url) if answer.status >= 400 else None)
    for text in ("Nowhere", "无此地", "4302"):
        _search_again(page, text, f"没有找到“{text}”")
    _search_again(page, "T1a", "网格T1a · T1a")
    expect(page.locator("#details .chain")).to_contain_text("网格T1a", timeout=30_000)
    assert refused == []


def test_a_slow_answer_to_an_earlier_search_changes_nothing(visit: Callable[..., Page]) -> None:
    page = visit()
    held: list[Route] = []
    page.route("**/grids/search?q=200*", lambda route: held.append(route))  # noqa: PLW0108 - it takes functions alone
    _search(page, "200,95")
    until(page, "() => document.querySelector('#query').value === '200,95'")
    _search_again(page, "T1a", "网格T1a · T1a")
    expect(page.locator("#details .chain")).to_contain_text("网格T1a")
    assert held
    for route in held:
        with suppress(Error):  # the page has let go of it
            route.fulfill(json={"matches": [], "more": False, "tied": 0})
    page.wait_for_timeout(500)
    expect(page.locator("#details .chain")).to_contain_text("网格T1a")
    expect(page.locator("#toasts")).not_to_contain_text("不是地球上的点")


def _search_again(page: Page, text: str, told: str) -> None:
    page.locator("#query").fill(text)
    page.locator("#query").press("Enter")
    expect(page.locator("#toasts")).to_contain_text(told)


def test_without_webgl2_the_lists_answer(context: BrowserContext, visit: Callable[..., Page]) -> None:
    context.add_init_script(
        """const original = HTMLCanvasElement.prototype.getContext;
        HTMLCanvasElement.prototype.getContext = function (kind, ...rest) {
          return kind === "webgl2" ? null : original.call(this, kind, ...rest);
        };"""
    )
    page = visit("lang=zh", ready="document.querySelector('#areas').children.length > 0")
    expect(page.locator("#map")).to_contain_text("没有 WebGL2")
    page.locator("#areas button").first.click()
    expect(page.locator("#details .chain strong").first).to_contain_text("网格T1")


def test_a_stranger_sees_the_public_part_and_signs_in(
    stranger: BrowserContext, address: str, commander: str, complaints: list[str]
) -> None:
    page = _opener(stranger, address, complaints)()
    expect(page.locator("#layers input")).to_have_count(7)
    _click(page, *town.at(0.5, 0.5))
    expect(page.locator("#details")).to_contain_text("登录后可见")
    assert complaints == [], "a stranger's page asks for nothing that is refused"
    page.locator("#details button.link").click()
    page.locator("input[name=key]").fill("smk_wrong")
    page.get_by_role("button", name="登录", exact=True).click()
    expect(page.locator("#session-fault")).to_contain_text("密钥不存在")
    page.locator("input[name=key]").fill(commander)
    page.get_by_role("button", name="登录", exact=True).click()
    expect(page.locator("#who")).to_have_text("指挥")
    expect(page.locator("#layers input")).to_have_count(10)
    page.locator("#who").click()
    page.get_by_role("button", name="退出登录").click()
    expect(page.locator("#who")).to_have_text("公众")


def test_a_phone_folds_the_panel(context: BrowserContext, visit: Callable[..., Page]) -> None:
    page = visit()
    page.set_viewport_size({"width": 360, "height": 740})
    page.reload()
    until(page, DRAWN)
    expect(page.locator("#panel")).to_be_hidden()
    page.locator("#menu").click()
    expect(page.locator("#category")).to_be_visible()
    page.locator("#menu").click()
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    _click(page, *town.at(2.5, 3.5))
    expect(page.locator("#details .chain")).to_be_visible()
    until(page, "!window.safetymap.map.isMoving()")
    pin, sheet = (page.locator(name).bounding_box() for name in (".pin", "#details"))
    assert pin
    assert sheet
    assert pin["y"] + pin["height"] < sheet["y"], "the sheet must not lie on the chosen point"
    assert len(context.pages) == 1


@pytest.mark.parametrize("theme", ["light", "dark", "safe"])
def test_accessibility_rules_hold(visit: Callable[..., Page], theme: str) -> None:
    """axe-core's rules (WCAG 2.2 A and AA) find nothing, with the answer panel open."""
    lon, lat = town.at(0.5, 0.5)
    page = visit(f"map=13/27.025/113.03&theme={theme}&at={lon},{lat}")
    expect(page.locator("#details .near li")).to_have_count(2)
    page.evaluate((ROOT / "web/node_modules/axe-core/axe.min.js").read_text("utf-8"))
    found = page.evaluate("axe.run().then(({violations}) => violations)")
    told = [(one["id"], [node["html"] for node in one["nodes"]]) for one in found]
    assert told == []


def test_a_strict_content_policy_is_enough(
    context: BrowserContext, visit: Callable[..., Page], address: str, complaints: list[str]
) -> None:
    """Nothing inline, nothing foreign: the page works where only its own files are allowed."""

    def guarded(route: Any) -> None:
        answer = route.fetch()
        route.fulfill(response=answer, headers={**answer.headers, "Content-Security-Policy": STRICT})

    context.route(f"{address}/", guarded)
    page = visit()
    assert _drawn(page, "grids-land")
    assert complaints == []


def test_what_is_committed_is_drawn_without_asking(visit: Callable[..., Page], engine: Engine) -> None:
    page = visit("map=14/27.04/113.01")
    near = schema.responders.update().where(schema.responders.c.name == "near")
    assert {crew["status"] for crew in _drawn(page, "responders")} == {"available"}
    for status in ("off", "available"):
        with engine.begin() as conn:
            conn.execute(near.values(status=status))
        wait(lambda status=status: {crew["status"] for crew in _drawn(page, "responders")} == {status})  # type: ignore[misc]

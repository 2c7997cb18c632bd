"""The planner's page in a real Chromium: draw, see what comes of it, submit, approve as another, publish."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import geopandas as gpd
import pytest
import shapely
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, expect
from sqlalchemy.engine import Engine

from gis.access import NewKey
from tests import town
from tests.browsing import DRAWN, sign_in, until, window

pytestmark = pytest.mark.browser
expect.set_options(timeout=150_000)

NEW = """[...window.safetymap.open.grids.values()].map((one) => one.properties)
    .filter((one) => one.name === "新松树网格").map((one) => one.code)"""
HOUSES = [(0.5, 0.5), (0.5, 1.5), (1.5, 0.5), (1.7, 1.5), (2.5, 0.5), (4.5, 1.5), (1.5, 3.5)]


@pytest.fixture(scope="module")
def keys(engine: Engine) -> dict[str, NewKey]:
    """Keys of those who plan the town; some houses and incidents in it, somebody answerable for grid a."""
    with engine.begin() as conn:
        batch = town.furnish(conn, HOUSES)
        town.add_incidents(conn, batch, [town.at(1.6, 0.6), town.at(0.4, 0.4)])
        return town.make_keys(conn, "planner", "approver", "admin", "commander")


def is_fault(said: ConsoleMessage) -> bool:
    """Whether a line on the console is a fault of the page: a refusal (4xx) is noted there by the browser."""
    return said.type == "error" and "server responded with a status of 4" not in said.text


Opener = Callable[..., tuple[BrowserContext, Page]]


@pytest.fixture(scope="module")
def sessions() -> dict[str, list[Any]]:
    """Cookies by role."""
    return {}


@pytest.fixture
def sit_down(
    browser: Browser, address: str, keys: dict[str, NewKey], sessions: dict[str, list[Any]]
) -> Iterator[Opener]:
    """Somebody of a role before the page; at the end nothing was wrong on any console."""
    contexts: list[BrowserContext] = []
    complaints: list[str] = []

    def log_in(context: BrowserContext, role: str) -> None:
        """Once per role: a one-time code is good for one session."""
        if role not in sessions:
            sign_in(context, address, keys[role])
            sessions[role] = context.cookies()
        context.add_cookies(sessions[role])

    def go(role: str, path: str = "/planner", locale: str = "zh-CN") -> tuple[BrowserContext, Page]:
        context = window(browser, locale, 1500, 900)
        contexts.append(context)
        if role != "public":
            log_in(context, role)
        page = context.new_page()
        page.on("console", lambda said: complaints.append(said.text) if is_fault(said) else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(address + path)
        until(page, DRAWN)
        return context, page

    yield go
    for context in contexts:
        context.close()
    assert complaints == []


def look_at(page: Page, column: float, row: float, zoom: float = 12.4) -> None:
    lon, lat = town.at(column, row)
    page.evaluate("([center, zoom]) => { window.safetymap.map.jumpTo({ center, zoom }) }", [[lon, lat], zoom])
    until(page, DRAWN)


def click(page: Page, *places: tuple[float, float]) -> None:
    """Click places of the drawing on the map, slowly enough not to be double clicks."""
    for place in places:
        at = page.evaluate("at => Object.values(window.safetymap.map.project(at))", list(town.at(*place)))
        page.locator("#map").click(position={"x": at[0], "y": at[1]})
        page.wait_for_timeout(550)


def the_plan(page: Page) -> dict[str, Any]:
    found: dict[str, Any] = page.evaluate("window.safetymap.open.plan")
    return found


def ground(page: Page, code: str) -> shapely.Geometry:
    """A grid of the draft as the page has it."""
    feature = page.evaluate("code => window.safetymap.open.grids.get(code)?.geometry ?? null", code)
    return shapely.geometry.shape(feature)


def settled(page: Page, steps: int) -> None:
    """Wait until so many steps are told and their impact is weighed."""
    expect(page.locator("#steps li")).to_have_count(steps)
    until(page, "document.querySelectorAll('#work tbody tr').length > 0")


def begin(page: Page, title: str, scope: str = "T") -> None:
    page.fill("#new-title", title)
    page.fill("#new-scope", scope)
    page.click("#new-plan button.main")
    expect(page.locator("#state")).to_have_text("草案")
    look_at(page, 3, 2.5)


def split_a(page: Page) -> str:
    """Draw a split of grid a by pointer, see what it moves; gives the new grid."""
    click(page, (0.5, 0.5))
    expect(page.locator("#picked code")).to_have_text("T1a")
    page.click("#tool-split")
    click(page, (1, -0.5), (1.1, 1.5), (1, 3.5))
    page.click("#sketch-done")
    settled(page, 1)
    (new,) = page.evaluate("window.safetymap.open.picked")
    assert ground(page, new).area + ground(page, "T1a").area == pytest.approx(town.draw()["a"].area)
    expect(page.locator("#impact [data-count=buildings]")).to_have_text("2")
    expect(page.locator("#impact [data-count=households]")).to_have_text("24")
    expect(page.locator("#impact [data-count=incidents]")).to_have_text("1")
    expect(page.locator("#work")).to_contain_text("新设")
    return str(new)


def move_the_border_of_b_and_c(page: Page) -> None:
    """Draw it anew, the neighbour follows; undo by key, do again by button."""
    page.click("#pick-clear")
    before = ground(page, "T1b"), ground(page, "T1c")
    click(page, (2.8, 1.5), (5, 0.5))
    page.click("#tool-reshape")
    click(page, (4, 0.3), (4.5, 1), (4, 1.7))
    page.click("#sketch-done")
    settled(page, 2)
    after = ground(page, "T1b"), ground(page, "T1c")
    assert after[0].area > before[0].area + 1e-7
    assert sum(g.area for g in after) == pytest.approx(sum(g.area for g in before))
    expect(page.locator("#faults .verdict")).to_have_text("没有妨碍发布的错误")
    page.keyboard.press("Control+z")
    expect(page.locator("#steps li.undone")).to_have_count(1)
    until(page, "window.safetymap.open.plan.can_redo.length === 1")
    assert ground(page, "T1b").equals(before[0])
    page.click("#redo")
    expect(page.locator("#steps li.undone")).to_have_count(0)
    assert ground(page, "T1b").equals(after[0])


def name_it(page: Page, code: str, name: str) -> None:
    page.click("#pick-clear")
    page.select_option("#pick", code)
    page.click("#tool-rename")
    page.fill("dialog.ask input", name)
    page.click("dialog.ask button.main")


def _submitted(page: Page) -> int:
    page.click("#life-submit")
    expect(page.locator("#state")).to_have_text("待审批")
    return int(the_plan(page)["id"])


def test_a_suggested_balance_is_sent_back_with_a_reason(sit_down: Opener) -> None:
    """On the town as it was drawn: what is published later is balanced otherwise."""
    _, page = sit_down("planner")
    begin(page, "均衡方案", "T1")
    page.locator("summary", has_text="自动均衡建议").click()
    page.fill("#low", "12")
    page.fill("#high", "36")
    page.click("#suggest-do")
    until(page, "document.querySelectorAll('#steps li').length > 0")
    plan = _submitted(page)
    _, other = sit_down("approver", f"/planner#plan={plan}")
    other.click("#life-reject")
    other.fill("dialog.ask textarea", "沿河划分更合适")
    other.click("dialog.ask button.main")
    expect(other.locator("#state")).to_have_text("已退回")
    page.reload()
    expect(page.locator("#panel")).to_contain_text("沿河划分更合适")
    page.click("#life-reopen")
    expect(page.locator("#state")).to_have_text("草案")


def test_a_plan_from_the_first_line_to_the_map_of_the_city(sit_down: Opener, address: str) -> None:
    context, page = sit_down("planner")
    begin(page, "一号方案")
    new = split_a(page)
    move_the_border_of_b_and_c(page)
    name_it(page, new, "新松树网格")
    settled(page, 3)
    page.click("#life-submit")
    expect(page.locator("#state")).to_have_text("待审批")
    expect(page.locator("#toolbar")).to_be_hidden()
    (new,) = page.evaluate(NEW)  # what was called by a label in the draft has its code now
    expect(page.locator("#steps li")).to_have_count(4)
    expect(page.locator("#steps")).to_contain_text("分配编码")
    assert not re.search(r"tool\.|~\d", page.locator("#panel").inner_text()), "no word, or a label"
    plan = the_plan(page)
    assert context.request.post(f"{address}/plans/{plan['id']}/approve").status == 403

    _, other = sit_down("approver", f"/planner#plan={plan['id']}")
    expect(other.locator("#impact [data-count=buildings]")).not_to_have_text("0")
    other.click("#life-approve")
    other.click("#life-publish")
    expect(other.locator("#state")).to_have_text("已发布")
    revision = the_plan(other)["revision"]

    # Whose it is follows at once, and the day before it is as it was; the city's tiles follow.
    lon, lat = town.at(1.6, 0.6)
    asked = context.request.get(f"{address}/grids/at?lon={lon}&lat={lat}").json()
    assert (asked["chain"][0]["code"], asked["revision"]) == (new, revision)
    was = context.request.get(f"{address}/grids/at?lon={lon}&lat={lat}&on=2025-06-01").json()
    assert was["chain"][0]["code"] == "T1a"
    _, city = sit_down("public", "/#map=14/27.04/113.016")
    until(city, DRAWN)
    grids = "window.safetymap.map.querySourceFeatures('grids', {sourceLayer: 'grids'})"
    until(city, f"{grids}.some(grid => grid.properties.name === '新松树网格')")


def test_by_keys_alone(sit_down: Opener) -> None:
    _, page = sit_down("planner")
    begin(page, "键盘方案")
    page.select_option("#pick", "T2d")
    page.locator("#tool-split").press("Enter")
    for row in (2.5, 5.5):
        look_at(page, 1.5, row)
        page.keyboard.press("Enter")
    page.keyboard.press("Control+Enter")
    expect(page.locator("#steps li")).to_have_count(1)
    assert ground(page, "T2d").area < town.draw()["d"].area * 0.6


def test_faults_are_told_and_shown(sit_down: Opener, tmp_path: Path) -> None:
    """Advice on what was drawn; errors of a map drawn elsewhere, where they are, until they are mended."""
    _, page = sit_down("planner")
    begin(page, "问题")
    page.select_option("#pick", "T2d")
    page.click("#tool-split")
    click(page, (1.5, 2.5), (1.5, 5.5))
    page.click("#sketch-done")
    until(page, "window.safetymap.open.faults?.advice > 0")
    expect(page.locator("#faults .fault.advice").first).to_contain_text("户数")
    until(page, "window.safetymap.map.queryRenderedFeatures({layers: ['advice-line']}).length > 0")

    page.locator("#files summary").click()
    path = tmp_path / "drawn.geojson"
    with page.expect_download() as download:
        page.click("#files a[href*=geojson]")
    drawn = gpd.read_file(download.value.path())
    at = list(drawn["code"]).index("T1b")
    drawn.loc[at, "geometry"] = drawn.geometry[at].union(shapely.box(*town.at(1.5, 1), *town.at(2, 0)))
    drawn.to_file(path)
    page.set_input_files("#file", path)
    expect(page.locator("#faults .fault.error")).to_contain_text("重叠")
    until(page, "window.safetymap.map.queryRenderedFeatures({layers: ['fault-ground']}).length > 0")
    expect(page.locator("#steps li")).to_have_count(1)
    # Whoever owned the ground gives it up: other tests may have published other borders.
    others = drawn["code"] != "T1b"
    drawn.loc[others, "geometry"] = drawn.geometry[others].difference(drawn.geometry[at])
    drawn.to_file(path)
    page.set_input_files("#file", path)
    expect(page.locator("#steps li")).to_have_count(2)
    assert ground(page, "T1b").area > town.draw()["b"].area * 1.05


def test_a_refusal_is_told_and_nothing_is_kept(sit_down: Opener) -> None:
    _, page = sit_down("planner")
    begin(page, "错线")
    click(page, (0.5, 3.5))
    page.click("#tool-split")
    click(page, (0.4, 3.4), (0.6, 3.6))
    page.click("#sketch-done")
    expect(page.locator(".toast.error")).to_contain_text("这条线没有把 网格T2d 分开")
    expect(page.locator("#steps li")).to_have_count(0)


def _split(page: Page, code: str, *line: tuple[float, float]) -> None:
    page.select_option("#pick", code)
    page.click("#tool-split")
    click(page, *line)
    page.click("#sketch-done")
    settled(page, 1)


def test_a_conflict_is_decided_on_the_page(sit_down: Opener) -> None:
    """Two plans divide one grid; the later one is told so, takes its own, and a third person approves it."""
    plans = []
    for title, column in (("先", 1.5), ("后", 1.8)):
        _, page = sit_down("planner")
        begin(page, title)
        _split(page, "T2d", (column, 2.5), (column, 5.5))
        plans.append(_submitted(page))
    _, other = sit_down("approver", f"/planner#plan={plans[0]}")
    _publish(other)
    _, other = sit_down("approver", f"/planner#plan={plans[1]}")
    other.click("#life-approve")
    expect(other.locator(".toast.error")).to_contain_text("网格T2d")
    expect(other.locator(".toast.error")).not_to_contain_text("others changed")
    expect(other.locator(".conflicts li")).to_contain_text("T2d")
    other.click("[id^=mine-]")
    expect(other.locator("#state")).to_have_text("草案")
    expect(other.locator(".conflicts li")).to_have_count(0)
    page.reload()
    _submitted(page)
    other.reload()
    expect(other.locator("#life-reject")).to_be_visible()
    expect(other.locator("#life-approve")).to_have_count(0)  # the approver decided the conflict
    _, third = sit_down("admin", f"/planner#plan={plans[1]}")
    _publish(third)


LOOK = """() => {
    const box = window.safetymap.map.getBounds();
    return [box.getWest(), box.getSouth(), box.getEast(), box.getNorth()];
}"""


def test_a_link_to_a_plan_looks_at_its_change_after_a_sign_in(
    sit_down: Opener, sessions: dict[str, list[Any]]
) -> None:
    """The map notes in the address where it began; a place that its reader chose is kept."""
    _, page = sit_down("planner")
    begin(page, "链接")
    _split(page, "T1c", (5, -0.5), (5, 3.5))
    plan = the_plan(page)["id"]
    context, other = sit_down("public", f"/planner#plan={plan}")
    expect(other.locator("#panel")).to_contain_text("规划需要登录")
    until(other, "location.hash.includes('map=')")
    context.add_cookies(sessions["planner"])
    other.reload()
    expect(other.locator("#state")).to_have_text("草案")
    until(other, DRAWN)
    change = ground(other, "T1c").union(ground(page, "T1c"))
    seen = shapely.box(*other.evaluate(LOOK))
    assert seen.covers(change)
    assert seen.area < 40 * town.draw()["c"].area
    look_at(other, 0.5, 0.5, 15)
    west, south, east, north = other.evaluate(LOOK)
    other.reload()
    expect(other.locator("#state")).to_have_text("草案")
    until(other, DRAWN)
    left, below, right, above = other.evaluate(LOOK)  # the panel beside it may still be on its way
    assert (left + right, below, above) == pytest.approx((west + east, south, north), abs=1e-3)


def _publish(page: Page) -> None:
    page.click("#life-approve")
    page.click("#life-publish")
    expect(page.locator("#state")).to_have_text("已发布")


def test_both_languages_and_who_may_not(sit_down: Opener) -> None:
    _, page = sit_down("planner", locale="en-GB")
    expect(page.locator("h1")).to_have_text("Grid planning")
    page.click("#language")
    expect(page.locator("h1")).to_have_text("网格规划")
    shown = page.locator("body").inner_text()
    assert not re.search(r"^(plan|plans|tool|new|life|state)\.[a-z_.]+$", shown, re.MULTILINE), "no word"
    _, commander = sit_down("commander")
    expect(commander.locator("#new-plan")).to_have_count(0)
    _, stranger = sit_down("public")
    expect(stranger.locator("#panel")).to_contain_text("规划需要登录")


def test_a_plan_of_another_scheme(sit_down: Opener, engine: Engine) -> None:
    with engine.begin() as conn:
        town.add_stations(conn)
    _, page = sit_down("planner")
    page.fill("#new-title", "消防方案")
    page.select_option("#new-scheme", "fire")
    page.fill("#new-scope", "F")
    page.click("#new-plan .main")
    expect(page.locator("#panel dl")).to_contain_text("消防网格")
    expect(page.locator("#level option")).to_have_text(["大队", "站"])
    expect(page.locator("#level option:checked")).to_have_text("站")
    assert the_plan(page)["scheme"] == "fire"
    page.click("#plan-back")
    expect(page.locator(".plans li", has_text="消防方案")).to_contain_text("消防网格 · F")

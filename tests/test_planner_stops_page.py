"""What stops a draft on the planner's page: locks, conflicts, refusals, each said in the reader's words."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import shapely
from playwright.sync_api import Browser, Page, Route, expect
from sqlalchemy.engine import Engine

from gis.access import NewKey
from tests import town
from tests.browsing import DRAWN, until, window
from tests.person import Person

pytestmark = pytest.mark.browser
expect.set_options(timeout=60_000)
FOLLOWED_MS = 15_000
"""A page that hears of a change shows it within seconds; a loaded machine weighs it slowly."""
IDLE = "!document.body.classList.contains('busy')"

Place = tuple[float, float]


def _split(code: str, *places: Place) -> dict[str, Any]:
    line = {"type": "LineString", "coordinates": [town.at(*place) for place in places]}
    return {"op": "split", "code": code, "line": line}


SPLIT_D, SPLIT_A = _split("T2d", (1.5, 2.5), (1.5, 5.5)), _split("T1a", (1, -0.5), (1, 3.5))


@pytest.fixture(scope="module")
def keys(engine: Engine) -> dict[str, NewKey]:
    with engine.begin() as conn:
        town.furnish(conn, [(0.5, 0.5), (1.5, 0.5), (2.5, 0.5), (4.5, 1.5), (1.5, 3.5), (0.5, 3.5)])
        return town.make_keys(conn, "planner", "approver")


@pytest.fixture
def planner(browser: Browser, address: str, keys: dict[str, NewKey]) -> Iterator[Person]:
    context = window(browser, width=1500, height=900)
    yield Person(context, address, keys["planner"])
    context.close()


@pytest.fixture(scope="module")
def approver(browser: Browser, address: str, keys: dict[str, NewKey]) -> Iterator[Person]:
    """An approver elsewhere, signed in once: a one-time code is good for one session."""
    context = window(browser, "en-US", 1500, 900)
    yield Person(context, address, keys["approver"])
    context.close()


@pytest.fixture
def publish(approver: Person) -> Callable[[int], None]:
    """Publishes a plan that was handed over."""

    def act(plan: int) -> None:
        approver.post(f"/{plan}/approve", {})
        approver.post(f"/{plan}/publish")

    return act


def _lock(page: Page, *codes: str) -> None:
    for code in codes:
        page.locator(f"#grids-table tr[data-code='{code}'] input").check()


def _head(page: Page) -> Any:
    return page.evaluate("window.safetymap.open.plan.head")


def _shapes(person: Person, plan: int) -> dict[str, Any]:
    found = person.get(f"/{plan}/grids")["features"]
    return {one["properties"]["code"]: one["geometry"] for one in found}


def _is_refused(page: Page, name: str) -> None:
    """A lock is what stopped it; the message is put away, so that the next one is seen."""
    toast = page.locator(".toast.error")
    expect(toast).to_contain_text(re.compile(f"锁定的网格：([^：]*、)?{name}"))
    toast.locator("button").click()
    expect(toast).to_have_count(0)
    until(page, IDLE)


def test_no_way_of_doing_again_changes_a_locked_grid(planner: Person) -> None:
    plan = planner.plan(SPLIT_D)
    planner.post(f"/{plan}/undo")
    before, page = _shapes(planner, plan), planner.open(plan)
    _lock(page, "T2d")
    ways = [
        lambda: page.click("#redo"),
        lambda: page.locator("#steps button").click(),
        lambda: page.locator("body").press("Control+y"),
        lambda: page.locator("body").press("Control+Shift+z"),
    ]
    for way in ways:
        way()
        _is_refused(page, "网格T2d")
        assert _head(page) is planner.get(f"/{plan}")["head"] is None
        assert _shapes(planner, plan) == before
    page.locator("#grids-table tr[data-code=T2d] input").uncheck()
    page.click("#redo")
    expect(page.locator("#steps li.undone")).to_have_count(0)


def test_undo_leaves_a_locked_grid_as_it_is(planner: Person) -> None:
    plan = planner.plan(SPLIT_A)
    head, before, page = planner.get(f"/{plan}")["head"], _shapes(planner, plan), planner.open(plan)
    (new,) = set(before) - {"T", "T1", "T2", *(f"T1{c}" for c in "abc"), "T2d", "T2e"}
    for code in ("T1a", new):  # the half that the undo would take away, too
        _lock(page, code)
        for way in (lambda: page.click("#undo"), lambda: page.locator("body").press("Control+z")):
            way()
            _is_refused(page, "网格T1a")
            assert _head(page) == planner.get(f"/{plan}")["head"] == head
            assert _shapes(planner, plan) == before
        page.locator(f"#grids-table tr[data-code='{code}'] input").uncheck()


def _file(planner: Person, plan: int, folder: Path) -> Path:
    """A plan's grids with a strip of T1a's in T1b."""
    drawn = planner.get(f"/{plan}/export?format=geojson")
    strip = shapely.box(*town.at(1.5, 1), *town.at(2, 0))
    for one in drawn["features"]:
        shape = shapely.geometry.shape(one["geometry"])
        if one["properties"]["code"] == "T1b":
            one["geometry"] = shapely.geometry.mapping(shape.union(strip))
        elif one["properties"]["code"] == "T1a":
            one["geometry"] = shapely.geometry.mapping(shape.difference(strip))
    path = folder / "drawn.geojson"
    path.write_text(json.dumps(drawn))
    return path


def test_a_file_does_not_change_a_locked_grid(planner: Person, tmp_path: Path) -> None:
    plan = planner.plan()
    before, page, path = _shapes(planner, plan), planner.open(plan), _file(planner, plan, tmp_path)
    _lock(page, "T1a")
    page.locator("#files summary").click()
    page.set_input_files("#file", path)
    _is_refused(page, "网格T1a")
    assert _head(page) is planner.get(f"/{plan}")["head"] is None
    assert _shapes(planner, plan) == before
    page.locator("#grids-table tr[data-code=T1a] input").uncheck()
    page.set_input_files("#file", path)
    expect(page.locator("#steps li:not(.undone)")).to_have_count(1)
    expect(page.locator(".toast.note")).to_contain_text("改动 2 个网格")


WAYS = {"redo": "T2d", "undo": "T1a", "file": "T1a"}
"""What moves a draft without knowing the step beforehand, and the grid that it changes."""


def _crossed_by_others(planner: Person, way: str, folder: Path, others: dict[str, Any] | None) -> Any:
    """A plan, what it was, and its page: before its way back others take a step, or that way back."""
    plan = planner.plan(*{"redo": [SPLIT_D], "undo": [SPLIT_A], "file": []}[way])
    if way == "redo":
        planner.post(f"/{plan}/undo")
    before, page, back = _shapes(planner, plan), planner.open(plan), "redo" if way == "undo" else "undo"
    _lock(page, WAYS[way])

    def cross(route: Route) -> None:
        planner.post(f"/{plan}/{'steps' if others else back}", others)
        route.continue_()

    page.route(f"**/plans/{plan}/{back}", cross, times=1)
    if way == "file":
        page.locator("#files summary").click()
        page.set_input_files("#file", _file(planner, plan, folder))
    else:
        page.click(f"#{way}")
    return plan, before, page


@pytest.mark.parametrize("way", WAYS)
def test_the_way_back_from_a_lock_takes_nothing_of_others_back(
    planner: Person, tmp_path: Path, way: str
) -> None:
    """Their step stays; that the locked grid is changed is said, and the draft is shown as it is now."""
    rename = {"op": "rename", "code": "T2e", "name": "他人"}
    plan, before, page = _crossed_by_others(planner, way, tmp_path, rename)
    code = WAYS[way]
    toast = page.locator(".toast.error")
    expect(toast).to_have_text(re.compile(f"已锁定的网格被改动：网格{code}；未能撤回：他人同时更新了草案"))
    until(page, IDLE)
    head = planner.get(f"/{plan}")["head"]
    assert planner.get(f"/{plan}/steps")["steps"][0]["id"] == head == _head(page), "theirs, not taken back"
    assert _shapes(planner, plan)[code] != before[code]
    row = page.locator(f"#grids-table tr[data-code={code}] input")
    expect(row).to_be_checked()
    shown = "[...window.safetymap.open.grids.values()].map((one) => [one.properties.code, one.geometry])"
    assert dict(page.evaluate(shown)) == _shapes(planner, plan)
    expect(page.locator("#grids-table tr[data-code=T2e]")).to_contain_text("他人")


@pytest.mark.parametrize("way", WAYS)
def test_where_others_take_the_same_way_back_the_locked_grid_is_as_it_was(
    planner: Person, tmp_path: Path, way: str
) -> None:
    plan, before, page = _crossed_by_others(planner, way, tmp_path, None)
    _is_refused(page, f"网格{WAYS[way]}")
    assert _head(page) == planner.get(f"/{plan}")["head"]
    assert _shapes(planner, plan) == before


def test_what_another_did_is_not_undone_by_a_page_that_has_not_seen_it(planner: Person) -> None:
    """The page says from where it goes back or forth; moved on, it is refused and follows."""
    plan = planner.plan(SPLIT_D)
    page = planner.open(plan)
    for way in ("undo", "redo"):

        def cross(route: Route) -> None:
            planner.post(f"/{plan}/steps", {"op": "rename", "code": "T2e", "name": f"他{route.request.url}"})
            route.continue_()

        if way == "redo":
            planner.post(f"/{plan}/undo")
            expect(page.locator("#redo")).to_be_enabled(timeout=FOLLOWED_MS)
        page.route(f"**/plans/{plan}/{way}", cross, times=1)
        page.click(f"#{way}")
        expect(page.locator(".toast.error").last).to_contain_text(re.compile(r"更新到第 \d+ 步"))
        theirs = planner.get(f"/{plan}/steps")["steps"][0]["id"]
        assert planner.get(f"/{plan}")["head"] == theirs
        until(page, f"window.safetymap.open.plan.head === {theirs}")
        # Closed, else the next turn would read the message of this one.
        page.locator(".toast.error button").last.click()


def test_a_suggestion_is_made_around_locked_grids(planner: Person) -> None:
    """And it counts what it changed as the panel does: grids that it took away are among them."""
    plan = planner.plan(scope="T2")
    before, page = _shapes(planner, plan), planner.open(plan)
    page.locator("#evening summary").click()
    page.fill("#low", "6")
    page.fill("#high", "12")
    _lock(page, "T2d")
    page.click("#suggest-do")
    expect(page.locator(".toast")).to_contain_text("没有可行的改动")
    assert _shapes(planner, plan) == before
    _lock(page, "T2e")
    page.click("#suggest-do")
    expect(page.locator(".toast.error")).to_contain_text("都已锁定")
    page.locator("#grids-table tr[data-code=T2d] input").uncheck()
    page.click("#suggest-do")
    expect(page.locator("#steps li")).to_have_count(1)
    changed = len(planner.get(f"/{plan}/steps")["steps"][0]["codes"])
    expect(page.locator(".toast", has_text="建议已")).to_contain_text(f"改动 {changed} 个网格")
    expect(page.locator("#panel dl")).to_contain_text(re.compile(rf"改动网格数\s*{changed}$"))
    assert _shapes(planner, plan)["T2e"] == before["T2e"]


def test_a_suggestion_counts_what_it_took_away(planner: Person) -> None:
    plan = planner.plan(scope="T1")
    before, page = _shapes(planner, plan), planner.open(plan)
    page.locator("#evening summary").click()
    page.fill("#low", "26")
    page.fill("#high", "60")
    page.click("#suggest-do")
    expect(page.locator("#steps li")).to_have_count(1)
    codes = planner.get(f"/{plan}/steps")["steps"][0]["codes"]
    assert set(codes) & (set(before) - set(_shapes(planner, plan))), "one is merged into another"
    expect(page.locator(".toast", has_text="建议已")).to_contain_text(f"改动 {len(codes)} 个网格")
    expect(page.locator("#panel dl")).to_contain_text(re.compile(rf"改动网格数\s*{len(codes)}$"))


def test_the_page_follows_what_others_published_and_each_decision(
    planner: Person, publish: Callable[[int], None]
) -> None:
    """A green word is untrue while grids are in conflict; each decision is seen in all that is told."""
    mine, theirs = planner.plan(SPLIT_D), planner.plan(_split("T2d", (2, 2.5), (2, 5.5)))
    page = planner.open(mine)
    verdict, against = page.locator("#faults .verdict"), page.locator("#impact-against")
    expect(verdict).to_have_text("没有妨碍发布的错误")
    planner.post(f"/{theirs}/submit")
    publish(theirs)
    expect(verdict).to_have_class("verdict bad", timeout=FOLLOWED_MS)
    expect(verdict).to_contain_text("裁决后才能发布：网格T2d")
    expect(against).to_contain_text("网格T2d")
    expect(page.locator("#life-submit")).to_be_disabled()
    expect(page.locator("#submit-why")).to_contain_text("网格T2d")

    # Theirs would change what is locked; mine leaves the draft as it is.
    _lock(page, "T2d")
    page.locator("[id^=theirs-]").first.click()
    _is_refused(page, "网格T2d")
    assert planner.get(f"/{mine}/faults")["against"]["final"] is False
    second = planner.open(mine)
    page.locator("[id^=mine-]").first.click()
    for one in (page, second):
        _is_decided(one, planner, mine)
    expect(page.locator("#life-submit")).to_be_enabled()


def test_theirs_is_seen_at_once(planner: Person, publish: Callable[[int], None]) -> None:
    """The other decision: nothing is left of the plan's own."""
    other = _split("T1c", (5, -0.5), (5, 3.5)), _split("T1c", (4.7, -0.5), (4.7, 3.5))
    mine, theirs = (planner.plan(step) for step in other)
    page = planner.open(mine)
    planner.post(f"/{theirs}/submit")
    publish(theirs)
    expect(page.locator("#impact-against")).to_contain_text("网格T1c", timeout=FOLLOWED_MS)
    page.locator("[id^=theirs-]").first.click()
    _is_decided(page, planner, mine)


def _is_decided(page: Page, planner: Person, plan: int) -> None:
    """Faults, impact and table are those of the decision."""
    expect(page.locator("#impact-against")).to_have_count(0, timeout=FOLLOWED_MS)
    expect(page.locator(".conflicts li")).to_have_count(0)
    expect(page.locator("#faults .verdict")).to_have_class("verdict good")
    counts = planner.get(f"/{plan}/impact")["counts"]
    for name in ("buildings", "households"):
        expect(page.locator(f"#impact [data-count={name}]")).to_have_text(str(counts[name]))
    until(page, f"window.safetymap.open.table.rows.length === {len(planner.get(f'/{plan}/table')['rows'])}")


def test_refusals_are_in_words_of_the_page(
    planner: Person, approver: Person, publish: Callable[[int], None]
) -> None:
    """Neither English of the service on the Chinese page, nor addresses of the service on the English one."""
    mine, theirs = (planner.plan(_split("T2e", (c, 2.5), (c, 5.5))) for c in (4, 4.5))
    planner.post(f"/{mine}/submit")
    planner.post(f"/{theirs}/submit")
    publish(theirs)
    zh = planner.open(planner.plan())
    zh.fill("#range-high", "1")
    zh.press("#range-high", "Tab")
    expect(zh.locator(".toast.error")).to_have_text("户数范围的下限不能大于上限")
    zh.fill("#range-low", "0")
    zh.press("#range-low", "Tab")
    expect(zh.locator(".toast.error").last).to_have_text("数值太小，至少为 1")
    page = approver.open(mine)
    expect(page.locator(".conflicts li")).to_contain_text("T2e")
    page.click("#life-approve")
    expect(page.locator(".toast.error")).to_contain_text("choose a version of each")
    assert "/plans/" not in page.locator("body").inner_text()
    page.close()


def test_each_grid_that_gets_its_code_is_named_once(planner: Person) -> None:
    plan = planner.plan(SPLIT_A, _split("T1b", (2.5, -0.5), (2.5, 3.5)))
    planner.post(f"/{plan}/submit")
    page = planner.open(plan)
    (codes,) = [one["codes"] for one in planner.get(f"/{plan}/steps")["steps"] if one["op"] == "recode"]
    given = [code for code in codes if not code.startswith("~")]
    row = page.locator("#steps li", has_text="分配编码").locator("small")
    names = row.inner_text().split("、")
    assert len(names) == len(set(names)) == len(given) == 2


def test_the_keyboard_goes_on_where_the_work_does(planner: Person) -> None:
    """After naming, an undo, and a question: never back at the beginning of the page."""
    page = planner.open(planner.plan())
    page.select_option("#pick", "T1b")
    focus = "document.activeElement.id"
    page.locator("#tool-rename").press("Enter")
    page.locator("dialog.ask input").press("Escape")
    expect(page.locator("dialog.ask")).to_have_count(0)
    until(page, f"{focus} === 'tool-rename'")
    page.locator("#tool-split").press("Enter")
    for row in (-0.5, 3.5):
        center = list(town.at(2.5, row))
        page.evaluate("(center) => { window.safetymap.map.jumpTo({ center, zoom: 12.4 }) }", center)
        until(page, DRAWN)
        page.keyboard.press("Enter")
    page.keyboard.press("Control+Enter")
    expect(page.locator("#halves input")).to_have_count(2)
    until(page, IDLE)
    page.locator("#halves input").first.fill("东一")
    page.locator("#halves button").press("Enter")
    expect(page.locator("#halves")).to_have_count(0)
    until(page, IDLE)
    until(page, f"{focus} === 'picking'")
    for left in (1, 0):
        page.locator("#undo").press("Enter")
        expect(page.locator("#steps li:not(.undone)")).to_have_count(left)
        until(page, IDLE)
    until(page, f"{focus} === 'redo'")

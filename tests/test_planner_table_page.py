"""The planner's page follows its draft: what changed, the table, locks, another draft, what others do."""

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect
from sqlalchemy.engine import Engine

from gis.access import NewKey
from tests import town
from tests.browsing import DRAWN, sign_in, until

pytestmark = pytest.mark.browser
expect.set_options(timeout=150_000)
HOUSES = {(0.5, 0.5): "a", (1.5, 0.5): "a", (2.5, 0.5): "b", (4.5, 1.5): "c", (1.5, 3.5): "d"}
HOUSEHOLDS = 12
"""Of each house that `town.add_building` makes."""


@pytest.fixture(scope="module")
def keys(engine: Engine) -> dict[str, NewKey]:
    with engine.begin() as conn:
        town.furnish(conn, HOUSES)
        return town.make_keys(conn, "planner", "approver")


@pytest.fixture
def page(browser: Browser, address: str, keys: dict[str, NewKey]) -> Iterator[Page]:
    """A planner before an empty page; at the end nothing was wrong on the console."""
    context = browser.new_context(viewport={"width": 1500, "height": 900}, locale="zh-CN")
    context.set_default_timeout(150_000)
    sign_in(context, address, keys["planner"])
    faults: list[str] = []
    made = context.new_page()
    made.on("pageerror", lambda error: faults.append(str(error)))
    yield made
    context.close()
    assert faults == []


def _begin(page: Page, address: str, title: str) -> int:
    page.goto(f"{address}/planner")
    until(page, DRAWN)
    page.fill("#new-title", title)
    page.fill("#new-scope", "T")
    page.click("#new-plan button.main")
    expect(page.locator("#grids-table tbody tr")).to_have_count(5)
    center = list(town.at(3, 2.5))
    page.evaluate("(center) => { window.safetymap.map.jumpTo({ center, zoom: 12.4 }) }", center)
    until(page, DRAWN)
    return int(page.evaluate("window.safetymap.open.plan.id"))


def _split(page: Page, code: str, *line: tuple[float, float]) -> None:
    page.click("#pick-clear") if page.locator("#pick-clear").count() else None
    page.select_option("#pick", code)
    page.click("#tool-split")
    for place in line:
        at = page.evaluate("at => Object.values(window.safetymap.map.project(at))", list(town.at(*place)))
        page.locator("#map").click(position={"x": at[0], "y": at[1]})
        page.wait_for_timeout(550)
    page.click("#sketch-done")


def _rows(page: Page) -> dict[str, int]:
    """Households by code, as the table shows them, in its order."""
    script = """() => [...document.querySelectorAll('#grids-table tbody tr')]
        .map((row) => [row.dataset.code, Number(row.cells[1].innerText)])"""
    return dict(page.evaluate(script))


def _changed(page: Page) -> set[str]:
    script = """() => [...window.safetymap.open.grids.values()].map(({ properties }) => properties)
        .filter(({ change }) => change === 'new' || change === 'changed').map(({ code }) => code)"""
    return set(page.evaluate(script))


def test_the_draft_is_followed(page: Page, address: str) -> None:
    _begin(page, address, "一分为二")
    expect(page.locator("#life-submit")).to_be_disabled()
    expect(page.locator("#submit-why")).to_contain_text("还没有改动")
    true = {f"T{1 if grid in 'abc' else 2}{grid}": 0 for grid in "abcde"}
    for grid in HOUSES.values():
        true[f"T{1 if grid in 'abc' else 2}{grid}"] += HOUSEHOLDS
    assert _rows(page) == true

    # Split of one grid: it and its new half are changed; a neighbour that merely got a vertex is not.
    _split(page, "T1a", (1, -0.5), (1, 3.5))
    expect(page.locator("#grids-table tbody tr")).to_have_count(6)
    expect(page.locator("#life-submit")).to_be_enabled()
    (new,) = _changed(page) - {"T1a"}
    rows = _rows(page)
    assert (rows["T1a"], rows[new]) == (HOUSEHOLDS, HOUSEHOLDS)
    assert page.evaluate("window.safetymap.open.grids.get('T2d').properties.change") in {None, "bent"}

    # Sorted by households, both ways; a click zooms.
    page.click("#grids-table [data-sort=households]")
    assert list(_rows(page).values()) == sorted(_rows(page).values(), reverse=True)
    page.click("#grids-table [data-sort=households]")
    assert list(_rows(page).values()) == sorted(_rows(page).values())
    before = page.evaluate("window.safetymap.map.getZoom()")
    page.click("#grids-table tr[data-code=T1b] button")
    assert page.evaluate("window.safetymap.map.getZoom()") > before
    page.fill("#range-low", "10")
    page.press("#range-low", "Tab")
    expect(page.locator("#out-of-range")).to_contain_text("6 个网格中 1 个")


def test_a_locked_grid_stays(page: Page, address: str) -> None:
    _begin(page, address, "锁")
    page.locator("#grids-table tr[data-code=T2e] input").check()
    page.select_option("#pick", "T2e")
    expect(page.locator("#tool-split")).to_be_disabled()
    page.click("#pick-clear")
    # A grid beside it would take ground from it.
    page.select_option("#pick", "T2d")
    page.click("#tool-assign")
    for place in ((3.2, 3.4), (3.8, 3.4), (3.8, 4.6), (3.2, 4.6)):
        at = page.evaluate("at => Object.values(window.safetymap.map.project(at))", list(town.at(*place)))
        page.locator("#map").click(position={"x": at[0], "y": at[1]})
        page.wait_for_timeout(550)
    page.click("#sketch-done")
    expect(page.locator("#toasts")).to_contain_text("网格T2e")
    until(page, "window.safetymap.open.plan.head === null")
    page.reload()
    until(page, DRAWN)
    expect(page.locator("#grids-table tr[data-code=T2e] input")).to_be_checked()


def test_two_drafts_stand_side_by_side(page: Page, address: str) -> None:
    first = _begin(page, address, "方案甲")
    _split(page, "T2d", (1.5, 2.5), (1.5, 5.5))
    expect(page.locator("#grids-table tbody tr")).to_have_count(6)
    _begin(page, address, "方案乙")
    page.click("#comparing summary")
    page.select_option("#compare", str(first))
    expect(page.locator("#other canvas")).to_be_visible()
    figures = page.locator("#compared tr[data-figure=changed] td")
    expect(figures).to_have_text(["0", "2"])
    page.evaluate("window.safetymap.map.jumpTo({ zoom: 12 })")
    page.select_option("#compare", "")
    expect(page.locator("#other")).to_be_hidden()


def test_an_address_opens_on_the_change_and_others_acts_are_followed(
    page: Page, address: str, keys: dict[str, NewKey], browser: Browser
) -> None:
    plan = _begin(page, address, "送审")
    _split(page, "T2d", (1.5, 2.5), (1.5, 5.5))
    expect(page.locator("#life-submit")).to_be_enabled()
    page.click("#life-submit")
    expect(page.locator("#state")).to_have_text("待审批")
    bounds = _opened_anew(page, address, plan)
    west, south, east, north = (*town.at(0, 5), *town.at(3, 3))
    assert bounds[0] < west < east < bounds[2] < town.at(9, 0)[0], "zoomed on grid d, not on the town"
    assert bounds[1] < south < north < bounds[3]
    _send_back(browser, address, keys["approver"], plan)
    expect(page.locator("#state")).to_have_text("已退回")
    expect(page.locator("#panel")).to_contain_text("再看看")


def _opened_anew(page: Page, address: str, plan: int) -> Any:
    page.goto("about:blank")
    page.goto(f"{address}/planner#plan={plan}")
    until(page, f"{DRAWN} && window.safetymap.open.plan")
    page.wait_for_timeout(500)
    return page.evaluate("window.safetymap.map.getBounds().toArray().flat()")


def _send_back(browser: Browser, address: str, key: NewKey, plan: int) -> None:
    """As another person, elsewhere."""
    context = browser.new_context()
    headers = {"X-CSRF-Token": sign_in(context, address, key)["csrf"]}
    answer = context.request.post(f"{address}/plans/{plan}/reject", data={"note": "再看看"}, headers=headers)
    assert answer.status == 200, answer.text()
    context.close()

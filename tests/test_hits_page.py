"""Every control on every page can be hit, in both languages, at the widths of phone, desk and wall."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest
from playwright.sync_api import Browser, Page, expect
from sqlalchemy.engine import Engine

from gis.access import NewKey
from tests import town
from tests.browsing import DRAWN, sign_in, until
from tests.hits import WIDTHS, covered, overflow

pytestmark = pytest.mark.browser
State = Callable[[Page], AbstractContextManager[None]]
LANGUAGES = ("zh", "en")
HOUSES = 8


@pytest.fixture(scope="module")
def keys(engine: Engine) -> dict[str, NewKey]:
    """Keys to the town, in which one street has houses enough for a long list of results."""
    with engine.begin() as conn:
        batch = town.furnish(conn, [(0.5 + n / 4, 0.5) for n in range(HOUSES)])
        town.add_incidents(conn, batch, [town.at(1.6, 0.6), town.at(0.4, 0.4)])
        town.add_responders(conn, batch, {"near": town.at(1, 1)})
        return town.make_keys(conn, "commander", "planner")


@contextmanager
def plain(_: Page) -> Iterator[None]:
    """The page as it opens."""
    yield


@contextmanager
def search_open(page: Page) -> Iterator[None]:
    page.fill("#query", "松树路")
    page.press("#query", "Enter")
    expect(page.locator("#results button")).to_have_count(HOUSES)
    yield
    page.keyboard.press("Escape")


@contextmanager
def details_open(page: Page) -> Iterator[None]:
    page.click("#centre")
    expect(page.locator("#details .chain")).to_be_visible()
    yield
    page.locator("#details header button").last.click()


@contextmanager
def legend_turned(page: Page) -> Iterator[None]:
    page.click("#legend summary")
    yield
    page.click("#legend summary")


@contextmanager
def filters_open(page: Page) -> Iterator[None]:
    """The panel, which only a phone opens and closes."""
    menu = page.locator("#menu")
    if menu.is_visible():
        menu.click()
    yield
    if menu.is_visible():
        menu.click()


@contextmanager
def repeats_open(page: Page) -> Iterator[None]:
    with filters_open(page):
        page.locator("#repeats summary").click()
        expect(page.locator("#repeats .quiet").last).not_to_have_text("")
        yield
        page.locator("#repeats summary").click()


@contextmanager
def board_open(page: Page) -> Iterator[None]:
    with filters_open(page):
        page.locator("#situation button").last.click()
        expect(page.locator("#board-body:not(.busy)")).to_be_visible()
        yield
        page.locator("#board header button").last.click()


@contextmanager
def asked_who(page: Page) -> Iterator[None]:
    page.click("#who")
    expect(page.locator("#session")).to_be_visible()
    yield
    page.locator("#session header button").click()


@contextmanager
def sketching(page: Page) -> Iterator[None]:
    page.select_option("#pick", "T1a")
    page.click("#tool-split")
    expect(page.locator("#sketch")).to_be_visible()
    yield
    page.click("#sketch .button:last-child")
    page.click("#pick-clear")


@contextmanager
def renaming(page: Page) -> Iterator[None]:
    page.select_option("#pick", "T1a")
    page.click("#tool-rename")
    expect(page.locator("dialog.ask")).to_be_visible()
    yield
    page.locator("dialog.ask button:not(.main)").click()
    page.click("#pick-clear")


MAP_STATES: tuple[State, ...] = (
    plain, search_open, details_open, legend_turned, filters_open, repeats_open, board_open, asked_who,
)  # fmt: skip
PLANNER_STATES: tuple[State, ...] = (plain, sketching, renaming, asked_who)


_RESTS_IN_THE_OPEN = """(() => {
  const { map, state } = window.safetymap;
  const spot = map.project(state.at.split(",").map(Number));
  const room = map.getContainer().getBoundingClientRect();
  const sheet = document.querySelector("#details").getBoundingClientRect();
  const [x, y] = [room.left + spot.x, room.top + spot.y];
  const under = x > sheet.left && x < sheet.right && y > sheet.top && y < sheet.bottom;
  return !map.isMoving() && sheet.height > 0 && !under && x > 0 && y > room.top && y < innerHeight;
})()"""
"""The chosen place is drawn where nothing lies on it, once the map stands still."""


def _sit_down(browser: Browser, address: str, key: NewKey, language: str) -> Page:
    context = browser.new_context(locale="zh-CN" if language == "zh" else "en-GB")
    context.set_default_timeout(150_000)
    sign_in(context, address, key)
    return context.new_page()


def _faults(page: Page, states: tuple[State, ...]) -> dict[tuple[int, str], list[str]]:
    found = {}
    for width, height in WIDTHS.items():
        page.set_viewport_size({"width": width, "height": height})
        until(page, DRAWN)
        for state in states:
            with state(page):
                found[width, state.__name__] = covered(page) + ["too wide"] * (overflow(page) > 0)
    return {where: faults for where, faults in found.items() if faults}


@pytest.mark.parametrize("language", LANGUAGES)
def test_on_the_map_s_page(browser: Browser, address: str, keys: dict[str, NewKey], language: str) -> None:
    page = _sit_down(browser, address, keys["commander"], language)
    page.goto(f"{address}/#map=13/27.025/113.03")
    until(page, DRAWN)
    assert _faults(page, MAP_STATES) == {}
    page.context.close()


@pytest.mark.parametrize("language", LANGUAGES)
def test_on_the_planner_s_page(
    browser: Browser, address: str, keys: dict[str, NewKey], language: str
) -> None:
    page = _sit_down(browser, address, keys["planner"], language)
    page.goto(f"{address}/planner")
    until(page, DRAWN)
    assert _faults(page, (plain, asked_who)) == {}
    page.fill("#new-title", "看图")
    page.fill("#new-scope", "T")
    page.click("#new-plan button.main")
    until(page, "Boolean(window.safetymap.open.impact)")
    assert _faults(page, PLANNER_STATES) == {}
    page.context.close()


_OVERLAP = """() => {
  const box = (name) => document.querySelector(name).getBoundingClientRect();
  const [one, other] = [box(".toast"), box("#legend")];
  return Math.min(one.right, other.right) > Math.max(one.left, other.left)
    && Math.min(one.bottom, other.bottom) > Math.max(one.top, other.top);
}"""


@pytest.mark.parametrize("width", WIDTHS)
def test_a_message_leaves_the_legend_free(
    browser: Browser, address: str, keys: dict[str, NewKey], width: int
) -> None:
    page = _sit_down(browser, address, keys["commander"], "en")
    page.set_viewport_size({"width": width, "height": WIDTHS[width]})
    page.goto(f"{address}/#map=13/27.025/113.03")
    until(page, DRAWN)
    for _ in range(2):
        page.fill("#query", "nowhere at all")
        page.press("#query", "Enter")
        expect(page.locator(".toast")).to_be_visible()
        assert not page.evaluate(_OVERLAP)
        page.click("#legend summary")
    page.context.close()


@pytest.mark.parametrize("width", [390, 1280])
def test_the_fifth_result_is_picked(
    browser: Browser, address: str, keys: dict[str, NewKey], width: int
) -> None:
    page = _sit_down(browser, address, keys["commander"], "zh")
    page.set_viewport_size({"width": width, "height": WIDTHS[width]})
    page.goto(f"{address}/#map=13/27.025/113.03")
    until(page, DRAWN)
    page.fill("#query", "松树路")
    page.press("#query", "Enter")
    fifth = page.locator("#results button").nth(4)
    expect(fifth).to_contain_text("松树路4号")
    fifth.click()
    until(page, _RESTS_IN_THE_OPEN)
    lon, lat = town.at(0.5 + 4 / 4, 0.5)
    expect(page.locator("#details .point")).to_contain_text(f"{lon:.6f}, {lat:.6f}")
    page.go_back()
    expect(page.locator("#details")).to_be_hidden()
    assert "at=" not in page.url
    page.go_forward()
    expect(page.locator("#details h2")).to_contain_text("松树路4号")
    page.context.close()


def test_a_signed_in_user_s_second_load_fetches_no_script(
    browser: Browser, address: str, keys: dict[str, NewKey]
) -> None:
    page = _sit_down(browser, address, keys["commander"], "zh")
    fetched = """performance.getEntriesByType("resource")
        .filter(({ name }) => /\\.m?js$|\\.css$/.test(name))
        .map(({ name, transferSize, decodedBodySize }) => [name, transferSize, decodedBodySize])"""
    loads = []
    for _ in range(2):
        page.goto("about:blank")
        page.goto(f"{address}/#map=13/27.025/113.03")
        until(page, DRAWN)
        loads.append(page.evaluate(fetched))
    first, second = loads
    assert len(second) >= 40
    assert {name: sent for name, sent, _ in second if sent} == {}
    assert sum(sent for _, sent, _ in first) < 0.4 * sum(size for *_, size in first), "compressed on its way"
    page.context.close()

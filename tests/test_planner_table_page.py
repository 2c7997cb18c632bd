"""The planner's page follows its draft: what changed, the table, locks, another draft, what others do."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import shapely
from playwright.sync_api import Browser, Page, expect
from sqlalchemy.engine import Engine

from gis import schema
from gis.access import NewKey
from tests import town
from tests.browsing import DRAWN, sign_in, until, window

pytestmark = pytest.mark.browser
expect.set_options(timeout=150_000)
HOUSES = {(0.5, 0.5): "a", (1.5, 0.5): "a", (2.5, 0.5): "b", (4.5, 1.5): "c", (1.5, 3.5): "d"}
HOUSEHOLDS = 12
"""Of each house that `town.add_building` makes."""


@pytest.fixture(scope="module")
def keys(engine: Engine) -> dict[str, NewKey]:
    with engine.begin() as conn:
        batch = town.furnish(conn, HOUSES)
        road = shapely.LineString([town.at(3.5, 3.3), town.at(5.5, 3.3)])
        conn.execute(
            schema.roads.insert().values(
                origin="town", origin_id="1", batch_id=batch, name="松树路", **{"class": "residential"},
                length_m=1980, u=1, v=2, geom=f"SRID=4326;{road.wkt}",
            )
        )  # fmt: skip
        return town.make_keys(conn, "planner", "approver")


@pytest.fixture
def page(browser: Browser, address: str, keys: dict[str, NewKey]) -> Iterator[Page]:
    """A planner before an empty page; at the end nothing was wrong on the console."""
    context = window(browser, width=1500, height=900)
    sign_in(context, address, keys["planner"])
    faults: list[str] = []
    made = context.new_page()
    made.on("pageerror", lambda error: faults.append(str(error)))
    yield made
    context.close()
    assert faults == []


Decide = Callable[[int, str, dict[str, str]], None]


@pytest.fixture(scope="module")
def decide(browser: Browser, address: str, keys: dict[str, NewKey]) -> Iterator[Decide]:
    """What an approver decides elsewhere of a plan."""
    context = browser.new_context()
    headers = {"X-CSRF-Token": sign_in(context, address, keys["approver"])["csrf"]}

    def post(plan: int, what: str, body: dict[str, str]) -> None:
        answer = context.request.post(f"{address}/plans/{plan}/{what}", data=body, headers=headers)
        assert answer.status == 200, answer.text()

    yield post
    context.close()


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


def _on_screen(
    page: Page, place: tuple[float, float], off: tuple[float, float] = (0, 0)
) -> tuple[float, float]:
    """Pixels of the map at a place of the drawing, and so many beside it."""
    x, y = page.evaluate("at => Object.values(window.safetymap.map.project(at))", list(town.at(*place)))
    return x + off[0], y + off[1]


def _click(page: Page, place: tuple[float, float], off: tuple[float, float] = (0, 0)) -> None:
    x, y = _on_screen(page, place, off)
    page.locator("#map").click(position={"x": x, "y": y})
    page.wait_for_timeout(550)


def _pick(page: Page, *codes: str) -> None:
    page.click("#pick-clear") if page.locator("#pick-clear").count() else None
    for code in codes:
        page.select_option("#pick", code)


def _split(page: Page, code: str, *line: tuple[float, float]) -> None:
    _pick(page, code)
    page.click("#tool-split")
    for place in line:
        _click(page, place)
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
        _click(page, place)
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
    page: Page, address: str, decide: Decide
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
    decide(plan, "reject", {"note": "再看看"})
    expect(page.locator("#state")).to_have_text("已退回")
    expect(page.locator("#panel")).to_contain_text("再看看")


def _opened_anew(page: Page, address: str, plan: int) -> Any:
    page.goto("about:blank")
    page.goto(f"{address}/planner#plan={plan}")
    until(page, f"{DRAWN} && window.safetymap.open.plan")
    page.wait_for_timeout(500)
    return page.evaluate("window.safetymap.map.getBounds().toArray().flat()")


def _steps(page: Page) -> list[dict[str, Any]]:
    """The steps that are told, newest first."""
    told: list[dict[str, Any]] = page.evaluate("window.safetymap.open.steps")
    return told


def _shapes(page: Page) -> dict[str, Any]:
    script = (
        "Object.fromEntries([...window.safetymap.open.grids].map(([code, { geometry }]) => [code, geometry]))"
    )
    return dict(page.evaluate(script))


def _snaps_to(page: Page, place: tuple[float, float], off: tuple[float, float], kind: str) -> None:
    """Let the pointer rest beside a place: what it would snap to is shown there."""
    box = page.locator("#map").bounding_box()
    assert box is not None
    x, y = _on_screen(page, place, off)
    page.mouse.move(box["x"] + x, box["y"] + y)
    shown = "window.safetymap.map.queryRenderedFeatures({ layers: ['sketch-snap'] })"
    until(page, f"{shown}.some(({{ properties }}) => properties.label === '{kind}')")


def _move_the_border_freely(page: Page) -> None:
    """From inside one grid to inside the other, the snap aid off: what counts of the line is shown."""
    _pick(page, "T1b", "T1c")
    page.click("#tool-reshape")
    page.uncheck("#sketch-snap")
    for place in ((3.4, 0.5), (4.5, 0.8), (4.5, 1.3), (3.5, 1.6)):
        _click(page, place)
    page.click("#sketch-done")
    expect(page.locator("#steps li")).to_have_count(1)
    until(page, "window.safetymap.map.queryRenderedFeatures({ layers: ['trace-used'] }).length > 0")
    expect(page.locator("#toasts")).to_contain_text("第一个到最后一个交点")
    used = _steps(page)[0]["params"]["line"]["coordinates"]
    assert [x for x, _ in (used[0], used[-1])] == pytest.approx([town.at(4, 0)[0]] * 2, abs=1e-7)


def _split_a_by_snapping(page: Page) -> str:
    """From beside a border to beside a corner, both a few pixels off; both halves are named."""
    _pick(page, "T1a")
    page.click("#tool-split")
    page.check("#sketch-snap")
    _snaps_to(page, (4.5, 3.3), (0, 5), "道路")
    _snaps_to(page, (2, 3), (5, -4), "顶点")
    _click(page, (1, 0), (3, 6))
    _click(page, (2, 3), (-5, 4))
    page.click("#sketch-done")
    expect(page.locator("#halves input")).to_have_count(2)
    first, last = _steps(page)[0]["params"]["line"]["coordinates"]
    assert first[1] == town.at(1, 0)[1], "on the border, to the digit"
    assert tuple(last) == town.at(2, 3)
    (new,) = _changed(page) - {"T1a", "T1b", "T1c"}
    # What is typed stays while the draft is being weighed, and the panel drawn anew.
    page.fill("#half-T1a", "松西")
    until(page, "window.safetymap.open.faults && window.safetymap.open.table")
    expect(page.locator("#half-T1a")).to_have_value("松西")
    page.locator("#halves input").last.fill("松东")
    page.click("#halves button")
    for code, name in (("T1a", "松西"), (new, "松东")):
        expect(page.locator(f"#grids-table tr[data-code='{code}'] th")).to_have_text(name)
    return str(new)


def _suggest_and_take_it_back(page: Page) -> None:
    """A grid that stays out of range says why; the whole suggestion goes with one click."""
    before, steps = _shapes(page), page.locator("#steps li").count()
    page.locator("#evening summary").click()
    page.fill("#low", "20")
    page.fill("#high", "30")
    head = page.evaluate("window.safetymap.open.plan.head")
    with page.expect_request("**/suggest") as asked:
        page.click("#suggest-do")
    assert asked.value.post_data_json == {"low": 20, "high": 30, "across": False, "keep": [], "head": head}
    expect(page.locator("#steps li")).to_have_count(steps + 1)
    expect(page.locator("#grids-table tr[data-code=T2e] small")).to_have_text("无人居住")
    expect(page.locator("#grids-table tr[data-code=T2d] small")).not_to_be_empty()
    assert page.locator("#evening").get_attribute("open") is not None, "unfolded as it was"
    assert _shapes(page) != before
    page.click("#undo")
    expect(page.locator("#steps li.undone")).to_have_count(1)
    until(page, "!document.body.classList.contains('busy')")
    assert _shapes(page) == before
    expect(page.locator("#across")).not_to_be_checked()
    page.check("#across")
    with page.expect_request("**/suggest") as asked:
        page.click("#suggest-do")
    assert asked.value.post_data_json["across"] is True
    expect(page.locator("#steps li:not(.undone)")).to_have_count(steps + 1)
    page.click("#undo")
    expect(page.locator("#steps li:not(.undone)")).to_have_count(steps)
    until(page, "!document.body.classList.contains('busy')")


def test_drawn_freely_snapped_named_balanced_undone_and_published(
    page: Page, address: str, decide: Decide
) -> None:
    plan = _begin(page, address, "从头到尾")
    _move_the_border_freely(page)
    new = _split_a_by_snapping(page)
    _suggest_and_take_it_back(page)
    expect(page.locator("#life-submit")).to_be_enabled()
    page.click("#life-submit")
    expect(page.locator("#state")).to_have_text("待审批")
    assert new.startswith("~")
    decide(plan, "approve", {})
    decide(plan, "publish", {})
    expect(page.locator("#state")).to_have_text("已发布")
    lon, lat = town.at(1.7, 0.5)
    chain = page.request.get(f"{address}/grids/at?lon={lon}&lat={lat}").json()["chain"]
    assert chain[0]["name"] == "松东"

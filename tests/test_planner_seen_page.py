"""Decisions on the planner's page are on what it shows; of anything else they are refused, and it follows."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Browser, Page, Route, expect
from sqlalchemy.engine import Engine

from gis.access import NewKey
from tests import town
from tests.browsing import until, window
from tests.person import Person

pytestmark = pytest.mark.browser
expect.set_options(timeout=60_000)


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
def signed_in(browser: Browser, address: str, keys: dict[str, NewKey]) -> Iterator[Person]:
    """An approver, signed in once: a one-time code is good for one session."""
    context = window(browser, width=1500, height=900)
    yield Person(context, address, keys["approver"])
    context.close()


@pytest.fixture
def approver(signed_in: Person) -> Iterator[Person]:
    """The approver, whose pages are closed after a test: each holds one of a browser's six connections."""
    yield signed_in
    for page in signed_in.context.pages:
        page.close()


def _rename(code: str, name: str) -> dict[str, str]:
    return {"op": "rename", "code": code, "name": name}


def _shows(page: Page, person: Person, plan: int, code: str, name: str) -> None:
    """The page stands where the plan does, and its map has what the plan has."""
    until(page, f"window.safetymap.open.plan.head === {person.get(f'/{plan}')['head']}")
    until(page, f"window.safetymap.open.grids.get('{code}').properties.name === '{name}'")


DONE = {"approve": "approved", "publish": "published"}


@pytest.mark.parametrize("button", DONE)
def test_what_was_drawn_behind_the_approvers_back_is_not_decided(
    planner: Person, approver: Person, button: str
) -> None:
    """Reopened, drawn and handed over again between the look and the press."""
    plan = planner.plan(_rename("T2d", "看过"))
    planner.post(f"/{plan}/submit")
    if button == "publish":
        approver.post(f"/{plan}/approve")
    page = approver.open(plan)

    def cross(route: Route) -> None:
        if button == "publish":
            approver.post(f"/{plan}/reject", {"note": "再看"})
        planner.post(f"/{plan}/reopen")
        planner.post(f"/{plan}/steps", _rename("T1b", "没看过"))
        planner.post(f"/{plan}/submit")
        if button == "publish":
            approver.post(f"/{plan}/approve")
        route.continue_()

    page.route(f"**/plans/{plan}/{button}", cross, times=1)
    page.click(f"#life-{button}")
    expect(page.locator(".toast.error").last).to_contain_text("更新到第")
    assert planner.get(f"/{plan}")["state"] == ("submitted" if button == "approve" else "approved")
    _shows(page, planner, plan, "T1b", "没看过")
    page.click(f"#life-{button}")  # now that it has been seen
    until(page, f"window.safetymap.open.plan.state === '{DONE[button]}'")


def test_a_draft_is_not_handed_over_with_what_was_drawn_elsewhere(planner: Person) -> None:
    plan = planner.plan(_rename("T2d", "我的"))
    page = planner.open(plan)

    def cross(route: Route) -> None:
        planner.post(f"/{plan}/steps", _rename("T1c", "别人的"))
        route.continue_()

    page.route(f"**/plans/{plan}/submit", cross, times=1)
    page.click("#life-submit")
    expect(page.locator(".toast.error").last).to_contain_text("更新到第")
    assert planner.get(f"/{plan}")["state"] == "draft"
    _shows(page, planner, plan, "T1c", "别人的")


def test_a_conflict_is_not_decided_against_a_publication_not_seen(planner: Person, approver: Person) -> None:
    """Published once more between the look and the press: refused, and both versions are shown anew."""

    def published(name: str) -> None:
        done = planner.plan(_rename("T1b", name))
        planner.post(f"/{done}/submit")
        approver.post(f"/{done}/approve")
        approver.post(f"/{done}/publish")

    mine = planner.plan(_rename("T1b", "我的名"))
    published("甲名")
    page = planner.open(mine)
    until(page, "window.safetymap.open.conflicts.length === 1")
    seen = page.evaluate("window.safetymap.open.plan.newest")

    def cross(route: Route) -> None:
        published("乙名")
        route.continue_()

    page.route(f"**/plans/{mine}/resolve", cross, times=1)
    page.locator(".conflicts button").first.click()
    expect(page.locator(".toast.error").last).to_contain_text("他人又发布了新版次")
    assert planner.get(f"/{mine}/conflicts")["merged"] is False
    until(page, f"window.safetymap.open.plan.newest > {seen}")


@contextmanager
def _slow(page: Page, pattern: str) -> Iterator[list[Route]]:
    """Hold the answers to what a page asks, until the block ends; what is held so far is in the list."""
    held: list[Route] = []
    is_over = False

    def hold(route: Route) -> None:
        if is_over:
            route.continue_()
        else:
            held.append(route)

    page.route(pattern, hold)
    yield held
    is_over = True
    for route in held:
        route.continue_()


def _wait_for(page: Page, held: list[Route]) -> None:
    for _ in range(300):
        if held:
            return
        page.wait_for_timeout(100)
    raise AssertionError("the page never asked")


def _handed_over(planner: Person, code: str, name: str) -> int:
    plan = planner.plan(_rename(code, name))
    planner.post(f"/{plan}/submit")
    return plan


def _drawn_again(planner: Person, plan: int, code: str, name: str) -> None:
    planner.post(f"/{plan}/reopen")
    planner.post(f"/{plan}/steps", _rename(code, name))
    planner.post(f"/{plan}/submit")


def test_what_the_page_has_heard_of_but_does_not_show_yet_is_not_approved(
    planner: Person, approver: Person
) -> None:
    plan = _handed_over(planner, "T2d", "慢一")
    page = approver.open(plan)
    with _slow(page, f"**/plans/{plan}/grids**") as held:
        _drawn_again(planner, plan, "T1b", "慢二")
        _wait_for(page, held)
        page.click("#life-approve")
    expect(page.locator(".toast.error").last).to_contain_text("刚被更新")
    assert planner.get(f"/{plan}")["state"] == "submitted"
    _shows(page, planner, plan, "T1b", "慢二")
    page.click("#life-approve")
    until(page, "window.safetymap.open.plan.state === 'approved'")


def test_where_the_new_map_does_not_arrive_the_old_one_is_what_is_decided_on(
    planner: Person, approver: Person
) -> None:
    plan = _handed_over(planner, "T2d", "断一")
    page = approver.open(plan)
    page.route(f"**/plans/{plan}/grids**", lambda route: route.abort(), times=1)
    _drawn_again(planner, plan, "T1b", "断二")
    expect(page.locator(".toast.error").last).to_be_visible()
    page.locator(".toast.error button").last.click()
    page.click("#life-approve")
    expect(page.locator(".toast.error").last).to_contain_text("更新到第")
    assert planner.get(f"/{plan}")["state"] == "submitted"
    _shows(page, planner, plan, "T1b", "断二")


def test_impact_is_seen_before_a_plan_is_approved_or_published(planner: Person, approver: Person) -> None:
    plan = _handed_over(planner, "T2d", "未核")
    page = approver.open(plan)
    with _slow(page, f"**/plans/{plan}/impact**") as held:
        page.reload()
        _wait_for(page, held)
        expect(page.locator("#life-approve")).to_be_disabled()
        expect(page.locator("#submit-why")).to_contain_text("正在检查")
    page.click("#life-approve")
    until(page, "window.safetymap.open.plan.state === 'approved'")


def test_a_press_is_about_the_plan_that_is_shown(planner: Person, approver: Person) -> None:
    """Another one is on its way, over a slow line."""
    there, shown = _handed_over(planner, "T2d", "甲案"), _handed_over(planner, "T1b", "乙案")
    page = approver.open(shown)
    with _slow(page, f"**/plans/{there}/grids**") as held:
        page.evaluate(f"location.hash = 'plan={there}'")
        _wait_for(page, held)
        assert page.evaluate("window.safetymap.open.plan.id") == shown
        page.click("#life-approve")
    until(page, f"window.safetymap.open.plan.id === {there}")
    expect(page.locator(".toast.error").last).to_contain_text("刚被更新")
    assert planner.get(f"/{there}")["state"] == "submitted"


def test_a_conflict_heard_of_but_not_shown_yet_is_not_decided(planner: Person, approver: Person) -> None:
    def published(name: str) -> None:
        done = _handed_over(planner, "T1c", name)
        approver.post(f"/{done}/approve", {})
        approver.post(f"/{done}/publish")

    mine = planner.plan(_rename("T1c", "我的慢名"))
    published("甲慢")
    page = planner.open(mine)
    until(page, "window.safetymap.open.conflicts.length === 1")
    with _slow(page, f"**/plans/{mine}/conflicts") as held:
        published("乙慢")
        _wait_for(page, held)
        page.locator(".conflicts button").first.click()
    expect(page.locator(".toast.error").last).to_contain_text("他人又发布了新版次")
    assert planner.get(f"/{mine}/conflicts")["merged"] is False
    until(page, "window.safetymap.open.conflicts[0].theirs.properties.name === '乙慢'")
    page.locator(".conflicts button").first.click()
    until(page, "window.safetymap.open.conflicts.length === 0")


FOCUS = "document.activeElement.id"
IDLE = "!document.body.classList.contains('busy')"


def _press(page: Page, selector: str, then: str) -> None:
    """Press Enter, or the space bar on a box, and wait for where the focus is when all is drawn."""
    key = "Space" if selector.startswith("#lock-") else "Enter"
    page.locator(selector).press(key)
    page.wait_for_timeout(700)
    until(page, f"{IDLE} && window.safetymap.open.impact && window.safetymap.open.table")
    assert page.evaluate(FOCUS) == then


def test_the_focus_stays_in_the_table_and_with_what_is_picked(planner: Person) -> None:
    page = planner.open(planner.plan())
    for used in ("visit-T1b", "lock-T1c", "sort-households", "visit-T2d", "lock-T1c"):
        _press(page, f"#{used}", used)
    for code in ("T1b", "T1c"):
        page.select_option("#pick", code)
    assert page.evaluate("window.safetymap.open.picked") == ["T2d", "T1b", "T1c"]
    _press(page, "#off-T1b", "off-T1c")
    _press(page, "#off-T1c", "off-T2d")
    _press(page, "#off-T2d", "picking")


def test_the_focus_goes_to_what_became_of_the_plan(planner: Person, approver: Person) -> None:
    """Never onto another decision, which a second Enter would take."""
    plan = planner.plan(_rename("T2d", "键"))
    page = planner.open(plan)
    _press(page, "#life-submit", "plan-title")
    other = approver.open(plan)
    _press(other, "#life-approve", "plan-title")
    _press(other, "#life-publish", "plan-title")
    assert planner.get(f"/{plan}")["state"] == "published"
    page.locator("#plan-back").press("Enter")
    until(page, f"{FOCUS} === 'open-{plan}'")
    _press(page, f"#open-{plan}", "plan-title")


def test_the_focus_comes_back_to_the_table_when_others_drew(planner: Person) -> None:
    plan = planner.plan()
    page = planner.open(plan)
    page.focus("#visit-T1c")
    planner.post(f"/{plan}/steps", _rename("T1b", "别处"))
    _shows(page, planner, plan, "T1b", "别处")
    until(page, f"window.safetymap.open.table && {FOCUS} === 'visit-T1c'")


def _asked_of(page: Page, button: str, field: str, said: str) -> None:
    """A dialog that is open, filled in."""
    page.click(button)
    page.locator(f"dialog.ask {field}").fill(said)


@pytest.mark.parametrize("exchanged", ["another plan", "drawn again"])
def test_what_a_dialog_asks_is_about_what_was_shown_as_it_opened(
    planner: Person, approver: Person, exchanged: str
) -> None:
    """Behind an open dialog the page goes to another plan, or the plan to another drawing."""
    there, shown = _handed_over(planner, "T2d", "退甲"), _handed_over(planner, "T1b", "退乙")
    page = approver.open(shown)
    _asked_of(page, "#life-reject", "textarea", "乙不对")
    if exchanged == "another plan":
        page.evaluate(f"location.hash = 'plan={there}'")
        until(page, f"window.safetymap.open.plan.id === {there}")
    else:
        _drawn_again(planner, shown, "T1c", "再画")
        _shows(page, planner, shown, "T1c", "再画")
    page.locator("dialog.ask button.main").click()
    expect(page.locator(".toast.error").last).to_contain_text("刚被更新")
    assert [planner.get(f"/{plan}")["state"] for plan in (there, shown)] == ["submitted"] * 2


@pytest.mark.parametrize("exchanged", ["another plan", "drawn on"])
def test_a_tool_that_asks_is_about_the_draft_it_began_on(planner: Person, exchanged: str) -> None:
    there, shown = planner.plan(), planner.plan()
    page = planner.open(shown)
    page.select_option("#pick", "T1b")
    _asked_of(page, "#tool-rename", "input", "不该有")
    if exchanged == "another plan":
        page.evaluate(f"location.hash = 'plan={there}'")
        until(page, f"window.safetymap.open.plan.id === {there}")
    else:
        planner.post(f"/{shown}/steps", _rename("T1c", "别处画的"))
        _shows(page, planner, shown, "T1c", "别处画的")
    page.locator("dialog.ask button.main").click()
    expect(page.locator(".toast.error").last).to_contain_text("刚被更新")
    for plan in (there, shown):
        assert "不该有" not in str(planner.get(f"/{plan}/grids"))


@pytest.mark.parametrize("part", ["impact", "faults", "grids?changed=true"])
def test_what_could_not_be_weighed_is_weighed_again(planner: Person, approver: Person, part: str) -> None:
    plan = _handed_over(planner, "T2d", f"再核{part[0]}")
    page = approver.open(_handed_over(planner, "T1b", f"先看{part[0]}"))
    page.route(lambda url: f"/plans/{plan}/{part}" in url, lambda route: route.abort(), times=1)
    page.evaluate(f"location.hash = 'plan={plan}'")
    until(page, f"window.safetymap.open.plan.id === {plan}")
    expect(page.locator(".toast.error").last).to_be_visible()
    expect(page.locator("#life-approve")).to_be_enabled()


@pytest.mark.parametrize("way", ["link", "back", "list"])
def test_who_goes_elsewhere_while_a_change_is_fetched_gets_there(planner: Person, way: str) -> None:
    """The page was looking anew at the plan that is left."""
    there, shown = planner.plan(_rename("T1b", "去处")), planner.plan(_rename("T1c", "原处"))
    page = planner.open(there)
    page.evaluate(f"location.hash = 'plan={shown}'")
    until(page, f"window.safetymap.open.plan.id === {shown} && window.safetymap.open.impact")
    with _slow(page, f"**/plans/{shown}/grids**") as held:
        planner.post(f"/{shown}/steps", _rename("T2d", "别人改"))
        _wait_for(page, held)
        if way == "link":
            page.evaluate(f"location.hash = 'plan={there}'")
        elif way == "back":
            page.evaluate("history.back()")
        else:
            page.click("#plan-back")
        page.wait_for_timeout(500)
    if way == "list":
        expect(page.locator(f"#open-{there}")).to_be_visible()
    else:
        until(page, f"window.safetymap.open.plan?.id === {there}")
    page.wait_for_timeout(3000)
    assert page.evaluate("window.safetymap.open.plan?.id ?? 0") == (0 if way == "list" else there)
    assert page.evaluate("location.hash").count(f"plan={shown}") == 0

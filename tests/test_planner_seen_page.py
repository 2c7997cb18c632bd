"""Decisions on the planner's page are on what it shows; of anything else they are refused, and it follows."""

from collections.abc import Iterator

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
def approver(browser: Browser, address: str, keys: dict[str, NewKey]) -> Iterator[Person]:
    """Signed in once: a one-time code is good for one session."""
    context = window(browser, width=1500, height=900)
    yield Person(context, address, keys["approver"])
    context.close()


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

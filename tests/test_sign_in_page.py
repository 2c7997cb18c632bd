"""Signing in with a second factor on the page, in one step and in two, in a real Chromium."""

from collections.abc import Iterator

import pyotp
import pytest
from playwright.sync_api import Browser, Page, expect
from sqlalchemy.engine import Engine

from gis.access import NewKey, create_key
from tests import town
from tests.browsing import sign_in, window
from tests.person import Person

pytestmark = pytest.mark.browser
expect.set_options(timeout=60_000)


@pytest.fixture
def key(engine: Engine) -> NewKey:
    """Of its own for each test: a code is good for one session."""
    with engine.begin() as conn:
        return create_key(conn, "admin", scheme="safety", label="two steps")


@pytest.fixture(scope="module", autouse=True)
def settled(engine: Engine) -> None:
    with engine.begin() as conn:
        town.furnish(conn, [(0.5, 0.5)])


@pytest.fixture
def page(browser: Browser, address: str, key: NewKey) -> Iterator[Page]:
    """The dialog, with the key sent and the code still to come."""
    context = window(browser, width=1280, height=800)
    page = context.new_page()
    page.goto(address)
    page.click("#who")
    page.fill("#session input[name=key]", key.key)
    _send(page)
    expect(page.locator("#session-fault")).to_contain_text("还需动态口令")
    yield page
    context.close()


def _send(page: Page) -> None:
    page.get_by_role("button", name="登录", exact=True).click()


def test_the_code_may_come_after_the_key(page: Page, key: NewKey) -> None:
    assert key.totp_secret is not None
    expect(page.locator("#session-now")).not_to_contain_text("公众")
    page.fill("#session input[name=code]", pyotp.TOTP(key.totp_secret).now())
    _send(page)
    expect(page.locator("#session")).to_be_hidden()
    expect(page.locator("#who")).to_have_text("管理")


def test_a_wrong_code_can_be_put_right(page: Page, key: NewKey) -> None:
    assert key.totp_secret is not None
    right = pyotp.TOTP(key.totp_secret).now()
    page.fill("#session input[name=code]", f"{(int(right) + 1) % 10**6:06d}")
    _send(page)
    expect(page.locator("#session-fault")).to_contain_text("动态口令有误")
    page.fill("#session input[name=code]", right)
    _send(page)
    expect(page.locator("#who")).to_have_text("管理")


def test_without_the_code_the_page_shows_what_the_session_has(page: Page) -> None:
    said = page.locator("#who").inner_text()
    with page.expect_event("load"):
        page.keyboard.press("Escape")
    expect(page.locator("#session")).to_be_hidden()
    expect(page.locator("#who")).to_have_text(said)
    assert said != "公众"


@pytest.mark.parametrize("again", ["planner", "commander"])
def test_who_signs_in_anew_in_another_window_goes_on_in_this_one(
    browser: Browser, address: str, engine: Engine, again: str
) -> None:
    """As the same, a press is refused once and then goes on; as another, the page begins anew."""
    with engine.begin() as conn:
        keys = {
            role: create_key(conn, role, scheme="safety", label=f"{role} {again}")
            for role in ("planner", again)
        }
    context = window(browser, width=1280, height=800)
    here = Person(context, address, keys["planner"])
    page = here.open(here.plan())
    context.request.delete(f"{address}/session", headers=here.headers)
    sign_in(context, address, keys[again])
    if again == "planner":
        page.locator("#life-withdraw").click()
        expect(page.locator(".toast.error").last).to_contain_text("请再按一次")
        page.locator("#life-withdraw").click()
        expect(page.locator("#state")).to_have_text("已撤回")
    else:
        with page.expect_event("load"):
            page.locator("#life-withdraw").click()
        expect(page.locator("#who")).to_have_text("指挥")
    context.close()

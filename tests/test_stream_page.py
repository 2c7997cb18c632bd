"""All windows of a browser and session follow the service by one stream, whichever of them closes."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Request, Route
from sqlalchemy.engine import Engine

from gis.access import NewKey
from tests import town
from tests.browsing import sign_in, until, wait, window
from tests.person import Person

pytestmark = pytest.mark.browser
MANY = 8
"""Windows: more than the six connections of a browser."""


@pytest.fixture(scope="module")
def keys(engine: Engine) -> dict[str, NewKey]:
    with engine.begin() as conn:
        town.furnish(conn, [(0.5, 0.5), (1.5, 0.5), (2.5, 0.5), (4.5, 1.5), (1.5, 3.5), (0.5, 3.5)])
        return town.make_keys(conn, "planner", "commander")


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    made = window(browser, width=700, height=500)
    yield made
    made.close()


def _streams(context: BrowserContext) -> list[Page]:
    """The pages that ask for a stream from now on, one for each time they do."""
    pages: list[Page] = []

    def note(request: Request) -> None:
        if request.url.endswith("/events"):
            pages.append(request.frame.page)

    context.on("request", note)
    return pages


def _rename(planner: Person, plan: int, name: str) -> None:
    head = planner.get(f"/{plan}")["head"]
    planner.post(f"/{plan}/steps", {"op": "rename", "code": "T2d", "name": name, "head": head})


def _all_show(pages: list[Page], name: str) -> None:
    for page in pages:
        until(page, f"window.safetymap.open.grids.get('T2d').properties.name === '{name}'")


def test_eight_windows_follow_by_one_stream_whichever_closes(
    context: BrowserContext, address: str, keys: dict[str, NewKey]
) -> None:
    planner = Person(context, address, keys["planner"])
    plan = planner.plan()
    streams = _streams(context)
    pages = [planner.open(plan) for _ in range(MANY)]
    _rename(planner, plan, "一")
    _all_show(pages, "一")
    assert streams == pages[:1]  # whoever came first
    for closed, name in (
        (0, "二"),
        (3, "三"),
        (0, "四"),
    ):  # who has the stream, one that listens, the next that has it
        pages.pop(closed).close()
        _rename(planner, plan, name)
        _all_show(pages, name)
    wait(lambda: len(streams) == 3)
    assert len(set(streams)) == 3


def test_what_happens_while_nobody_holds_the_stream_is_looked_for(
    context: BrowserContext, address: str, keys: dict[str, NewKey]
) -> None:
    """The leader is gone, and the next one's stream is not there yet, when a plan is drawn on."""
    planner = Person(context, address, keys["planner"])
    plan = planner.plan()
    leader, *others = [planner.open(plan) for _ in range(3)]
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    context.route("**/events", hold)
    leader.close()
    while not held:
        others[0].wait_for_timeout(50)
    _rename(planner, plan, "其间")
    others[0].wait_for_timeout(1000)
    for page in others:
        assert page.evaluate("window.safetymap.open.grids.get('T2d').properties.name") != "其间"
    for route in held:
        route.continue_()
    _all_show(others, "其间")


def test_a_stream_that_breaks_is_opened_again_and_all_look_anew(
    context: BrowserContext, address: str, keys: dict[str, NewKey]
) -> None:
    planner = Person(context, address, keys["planner"])
    plan = planner.plan()
    tries: list[Route] = []

    def refuse(route: Route) -> None:
        tries.append(route)
        if len(tries) > 2:
            route.continue_()
        elif len(tries) == 1:
            route.abort()
        else:
            route.fulfill(status=503, body="{}")

    context.route("**/events", refuse)
    pages = [planner.open(plan) for _ in range(2)]
    _rename(planner, plan, "断后")
    _all_show(pages, "断后")
    assert len(tries) == 3


def test_pages_of_another_session_hear_nothing_of_this_one(
    browser: Browser, context: BrowserContext, address: str, keys: dict[str, NewKey]
) -> None:
    """The map signed out, then a planner's page, then a commander's map: three names, three streams."""
    heard = """window.heard = [];
    const Real = BroadcastChannel;
    window.BroadcastChannel = class extends Real {
      constructor(name) {
        super(name);
        this.addEventListener("message", ({ data }) => heard.push([name, ...data]));
      }
    };"""
    context.add_init_script(heard)
    streams = _streams(context)
    public = [context.new_page() for _ in range(2)]
    for page in public:
        page.goto(address)
        until(page, "Boolean(window.safetymap) && document.body.getAttribute('aria-busy') === null")
    planner = Person(context, address, keys["planner"])
    plan = planner.plan()
    planners = [planner.open(plan) for _ in range(2)]
    context.clear_cookies()
    sign_in(context, address, keys["commander"])
    commanders = [context.new_page() for _ in range(2)]
    for page in commanders:
        page.goto(address)
        until(page, "Boolean(window.safetymap) && document.body.getAttribute('aria-busy') === null")
    wait(lambda: len(streams) == 3)
    assert streams == [public[0], planners[0], commanders[0]]
    elsewhere = window(browser)
    _rename(Person(elsewhere, address, keys["planner"]), plan, "旁听")
    elsewhere.close()
    until(planners[1], "heard.some(([, event]) => event === 'plan')")
    until(commanders[1], "heard.some(([, event]) => event === 'plan')")
    for pages, role in ((public, "public"), (planners, "planner"), (commanders, "commander")):
        names = pages[1].evaluate("[...new Set(heard.map(([name]) => name))]")
        assert all(f'["{role}"' in name for name in names)
    assert not public[1].evaluate("heard.some(([, event]) => event !== 'reset')")


@pytest.mark.parametrize("lacking", ["navigator.locks", "BroadcastChannel"])
def test_without_locks_or_channels_each_window_has_its_own_stream(
    context: BrowserContext, address: str, keys: dict[str, NewKey], lacking: str
) -> None:
    owner, _, name = lacking.rpartition(".")
    context.add_init_script(f"Object.defineProperty({owner or 'window'}, '{name}', {{ value: undefined }})")
    planner = Person(context, address, keys["planner"])
    plan = planner.plan()
    streams = _streams(context)
    pages = [planner.open(plan) for _ in range(2)]
    _rename(planner, plan, "各听")
    _all_show(pages, "各听")
    assert streams == pages

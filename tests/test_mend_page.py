"""The planner's page on a map with an overlap: proposals are found, accepted, undone with one click."""

import pytest
import sqlalchemy as sa
from playwright.sync_api import Browser, expect
from sqlalchemy.engine import Engine

from gis import schema
from gis.access import NewKey
from tests import town
from tests.browsing import DRAWN, sign_in, until, window

pytestmark = pytest.mark.browser
expect.set_options(timeout=150_000)


@pytest.fixture(scope="module")
def planner(engine: Engine) -> NewKey:
    """A key to plan the town, where b claims ground of a, too."""
    west, south, east, north = *town.at(1.5, 1), *town.at(2, 0)
    with engine.begin() as conn:
        town.furnish(conn, [(0.5, 0.5), (2.5, 0.5)])
        g, extra = schema.grids.c, sa.func.ST_MakeEnvelope(west, south, east, north, 4326)
        grown = sa.func.ST_Multi(sa.func.ST_Union(g.geom, extra))
        conn.execute(schema.grids.update().where(g.code == "T1b").values(geom=grown))
        return town.make_keys(conn, "planner")["planner"]


def test_an_overlap_is_mended_by_accepting_what_is_proposed(
    browser: Browser, address: str, planner: NewKey
) -> None:
    context = window(browser, "en-US", 1500, 900)
    sign_in(context, address, planner)
    page = context.new_page()
    page.goto(f"{address}/planner")
    until(page, DRAWN)
    page.fill("#new-title", "mend")
    page.fill("#new-scope", "T")
    page.click("#new-plan .main")
    expect(page.locator("#faults .fault.error")).to_have_count(1)
    page.locator("#mending summary").click()
    page.click("#mend-look")
    expect(page.locator("#proposals li")).to_have_count(1)
    expect(page.locator("#proposals .fault")).to_contain_text("m²")
    # Neither one proposal nor all of them go round a lock.
    lock = page.locator("#grids-table tr[data-code=T1b] input")
    lock.check()
    for accept in ("#proposals [data-accept='1']", "#mend-sure"):
        page.click(accept)
        expect(page.locator(".toast.error")).to_contain_text("would change locked grids: 网格T1b")
        page.locator(".toast.error button").click()
        expect(page.locator("#faults .fault.error")).to_have_count(1)
        assert page.evaluate("window.safetymap.open.plan.head") is None
    lock.uncheck()
    page.click("#proposals [data-accept='1']")
    expect(page.locator("#steps li:not(.undone)")).to_have_count(1)
    expect(page.locator("#mending [role=status]")).to_be_visible()
    expect(page.locator("#faults .fault.error")).to_have_count(0)
    page.click("#undo")
    expect(page.locator("#faults .fault.error")).to_have_count(1)
    page.click("#mend-look")
    page.click("#mend-sure")
    expect(page.locator("#faults .fault.error")).to_have_count(0)
    expect(page.locator("#steps li[aria-current=step]")).to_have_count(1)
    context.close()

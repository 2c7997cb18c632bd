"""A city without incidents says that it has none; the legend explains what is to be seen alone."""

import pytest
from fastapi.testclient import TestClient
from playwright.sync_api import BrowserContext, Page, expect
from sqlalchemy.engine import Engine

from gis import schema
from gis.access import NewKey
from tests import town
from tests.browsing import DRAWN, sign_in, until

pytestmark = pytest.mark.browser
expect.set_options(timeout=150_000)
CITY = "map=13/27.025/113.03"
LAKE = f"SRID=4326;{town.draw()['a'].wkt}"


@pytest.fixture(scope="module")
def keys(engine: Engine) -> dict[str, NewKey]:
    """The town with its grids and a park, and nothing that ever happened."""
    with engine.begin() as conn:
        town.add_grids(conn)
        batch = town.add_city(conn)
        park = {"origin": "t", "origin_id": "1", "batch_id": batch, "kind": "park", "geom": LAKE}
        conn.execute(schema.areas.insert().values(park))
        return town.make_keys(conn, "commander")


@pytest.fixture
def context(keys: dict[str, NewKey], desk: BrowserContext) -> BrowserContext:
    assert keys
    return desk


def _open(context: BrowserContext, address: str, more: str = "") -> Page:
    page = context.new_page()
    page.goto(f"{address}/#{CITY}{more}")
    until(page, DRAWN)
    return page


def _chinese(page: Page) -> bool:
    return bool(page.evaluate("document.documentElement.lang.startsWith('zh')"))


def test_a_stranger_reads_that_nothing_was_released(context: BrowserContext, address: str) -> None:
    for more in ("", "&from=2025-01-01&to=2025-01-31"):
        page = _open(context, address, more)
        words = (
            "尚未向公众公布任何月份。" if _chinese(page) else "No month has been released to the public yet."
        )
        expect(page.locator("#summary")).to_have_text(words)


def test_a_commander_reads_that_there_are_no_incidents(
    context: BrowserContext, address: str, keys: dict[str, NewKey]
) -> None:
    sign_in(context, address, keys["commander"])
    page = _open(context, address)
    expect(page.locator("#summary")).to_have_text(
        "尚无事件记录" if _chinese(page) else "No incidents are recorded yet"
    )
    page = _open(context, address, "&from=2025-01-01&to=2025-01-31")
    expect(page.locator("#summary")).to_contain_text("0")
    for public in ("公开", "public", "整月", "whole months"):
        expect(page.locator("#summary")).not_to_contain_text(public)


@pytest.mark.parametrize("signed_in", [False, True])
def test_the_legend_explains_what_this_viewer_sees_in_this_city(
    context: BrowserContext, address: str, keys: dict[str, NewKey], *, signed_in: bool
) -> None:
    if signed_in:
        sign_in(context, address, keys["commander"])
    page = _open(context, address, "&hidden=none")
    legend = page.locator("#legend-items")
    chinese = _chinese(page)
    for word in ("网格边界", "公园") if chinese else ("grid border", "park"):
        expect(legend).to_contain_text(word)
    absent = ("水域", "林地", "摄像机", "力量") if chinese else ("water", "wood", "camera", "responder")
    for word in absent:
        expect(legend).not_to_contain_text(word)
    style = page.evaluate("fetch('/styles/light.json').then((answer) => answer.json())")
    entries = {entry["layer"]: entry["items"] for entry in style["metadata"]["safetymap:legend"]}
    assert any(item["significant"] for item in entries["hotspots"]) == signed_in
    assert [item["kind"] for item in entries["areas"]] == ["park"]


def test_the_service_tells_no_time_where_there_is_no_record(
    client: TestClient, keys: dict[str, NewKey]
) -> None:
    assert keys
    told = client.get("/hotspots").json()
    assert (told["incidents"], told["start"], told["end"], told["cells"]) == (0, None, None, [])
    span = client.get("/city").json()["incidents"]
    assert (span["count"], span["first"], span["last"], span["earliest"]) == (0, None, None, None)
    asked = client.get("/hotspots?from=2025-01-01&to=2025-02-01").json()
    assert (asked["incidents"], asked["start"]) == (0, "2025-01-01T00:00:00+08:00")

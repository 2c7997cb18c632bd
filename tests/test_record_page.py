"""The page shows what was imported: every scheme, day and revision; a name wins over a coordinate."""

import re

import pytest
import sqlalchemy as sa
from playwright.sync_api import Browser, Page, expect
from sqlalchemy.dialects.postgresql import Range
from sqlalchemy.engine import Connection, Engine

from gis import schema
from gis.grids import set_minzooms
from tests import town
from tests.browsing import DRAWN, until, window

pytestmark = pytest.mark.browser
expect.set_options(timeout=150_000)


def _rename_at_revision_2(conn: Connection) -> None:
    """Grid a is called otherwise since revision 2."""
    conn.execute(schema.revisions.insert().values(scheme="safety", note="renamed"))
    g = schema.grids
    old = conn.execute(sa.select(g).where(g.c.code == "T1a")).one()._mapping
    conn.execute(g.update().where(g.c.code == "T1a").values(known=Range(1, 2)))
    again = {name: value for name, value in old.items() if name not in {"id", "name", "known"}}
    computed = {column.name for column in g.columns if column.computed is not None}
    values = {name: value for name, value in again.items() if name not in computed}
    conn.execute(g.insert().values(**values, name="新松树网格", known=Range(2, None)))


def _add_wards(conn: Connection) -> None:
    """A second network of grids over the same ground: one ward."""
    conn.execute(schema.schemes.insert().values(name="wards", title_zh="选区", title_en="Wards"))
    level = {"scheme": "wards", "level": 1, "name_zh": "选区", "name_en": "Ward"}
    conn.execute(schema.levels.insert().values(**level))
    conn.execute(schema.revisions.insert().values(scheme="wards", note="founded"))
    code = schema.grid_codes.insert().values(scheme="wards", code="W1").returning(schema.grid_codes.c.id)
    ground = town.draw()
    shape = ground["a"].union(ground["b"])
    conn.execute(
        schema.grids.insert().values(
            grid_id=conn.execute(code).scalar_one(), scheme="wards", code="W1", level=1, name="第一选区",
            geom=town.multi(shape), area_m2=1.0, valid=Range(town.FOUNDED, None), known=Range(3, None),
        )
    )  # fmt: skip
    set_minzooms(conn, "wards")


@pytest.fixture(scope="module")
def page(engine: Engine, address: str, browser: Browser) -> Page:
    """A stranger's page of the town with two names, two networks, and a house called by two numbers."""
    with engine.begin() as conn:
        town.add_grids(conn)
        batch = town.add_city(conn)
        town.add_building(conn, batch, "110,120", town.at(1.5, 0.5))
        _rename_at_revision_2(conn)
        _add_wards(conn)
    made = _sit_down(browser)
    made.goto(f"{address}/#map=13/27.025/113.03")
    until(made, DRAWN)
    return made


def _sit_down(browser: Browser) -> Page:
    return window(browser).new_page()


def _ask(page: Page, column: float, row: float) -> None:
    lon, lat = town.at(column, row)
    page.fill("#query", f"{lon},{lat}")
    page.press("#query", "Enter")


def test_a_name_wins_over_a_coordinate(page: Page) -> None:
    page.fill("#query", "110,120")
    page.press("#query", "Enter")
    expect(page.locator("#details h2")).to_have_text("110,120")
    lon, lat = town.at(1.5, 0.5)
    expect(page.locator("#details .point")).to_contain_text(f"{lon:.6f}, {lat:.6f}")


def test_every_revision_can_be_chosen(page: Page) -> None:
    _ask(page, 0.5, 0.5)
    expect(page.locator("#details .chain strong").first).to_have_text("新松树网格")
    page.select_option("#record-known", "1")
    expect(page.locator("#details .chain strong").first).to_have_text("网格T1a")
    expect(page.locator("#record-notice")).to_contain_text("第 1 版")
    until(page, "window.safetymap.map.getSource('grids').tiles[0].includes('known=1')")
    page.click("#record-notice button")
    expect(page.locator("#details .chain strong").first).to_have_text("新松树网格")
    expect(page.locator("#record-notice")).to_be_hidden()


def test_every_day_can_be_chosen(page: Page) -> None:
    _ask(page, 0.5, 0.5)
    page.fill("#record-on", "2023-06-01")
    expect(page.locator("#details")).to_contain_text("此处不属于任何网格")
    expect(page.locator("#record-notice")).to_contain_text("2023-06-01")
    page.fill("#record-on", "2024-06-01")
    expect(page.locator("#details .chain strong").first).to_have_text("新松树网格")
    page.click("#record-notice button")


def test_every_scheme_can_be_chosen(page: Page) -> None:
    page.select_option("#record-scheme", "wards")
    expect(page).to_have_url(re.compile("scheme=wards"))
    until(page, DRAWN)
    _ask(page, 0.5, 0.5)
    expect(page.locator("#details .chain strong")).to_have_text(["第一选区"])
    expect(page.locator("#details .chain .level")).to_have_text(["选区"])
    found = "window.safetymap.map.querySourceFeatures('grids', {sourceLayer: 'grids'})"
    names = f"{found}.map((one) => one.properties.code)"
    until(page, f"{names}.includes('W1') && !{names}.includes('T1a')")

# ruff: noqa: F401, F811 - fixtures of the page's tests serve here as well
"""What the page says of hotspots, clusters, change and risk is what the service and the notebooks say."""

from collections.abc import Callable
from datetime import date, datetime
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa
from playwright.sync_api import Page, Route, expect
from sqlalchemy.engine import Engine

from gis import cells as h3
from gis import schema
from layers.hotspots import hotspots
from layers.repeats import repeats
from layers.view import View
from notebooks import maps
from tests import town
from tests.browsing import until
from tests.test_page import (
    DRAWN,
    _drawn,
    commander,
    complaints,
    context,
    stranger,
    visit,
)

pytestmark = pytest.mark.browser
expect.set_options(timeout=60_000)
ASKED: dict[str, str | int] = {"from": "2024-12-11", "to": "2025-01-10", "res": 9}
CORNER = town.at(0.5, 0.5)
SHOWN = {"count": "count", "expected": "expected", "ratio": "ratio", "p": "p"}


def _cell() -> str:
    return h3.to_text(h3.index(*(np.array([value]) for value in CORNER), 9))[0]


def _numbers(page: Page) -> dict[str, float]:
    """The raw numbers that the chosen hexagon's table keeps beside what it shows."""
    held = page.locator("#details .hexagon dd[data-value]")
    expect(page.locator("#details .hexagon dd[data-name='cell.expected']")).to_be_visible()
    read = "list => list.map(one => [one.dataset.name.replace('cell.', ''), Number(one.dataset.value)])"
    found: list[tuple[str, float]] = held.evaluate_all(read)
    return dict(found)


def test_page_service_and_notebook_tell_the_same_numbers(
    visit: Callable[..., Page], address: str, engine: Engine, complaints: list[str]
) -> None:
    lon, lat = CORNER
    page = visit(f"map=13/27.025/113.03&at={lon},{lat}")
    told = _numbers(page)
    answer = page.request.get(f"{address}/hotspots", params=ASKED | {"cell": _cell()}).json()["cells"][0]
    start, end = (
        datetime.fromisoformat(str(ASKED[name])).replace(tzinfo=town.ZONE) for name in ("from", "to")
    )
    with engine.connect() as conn:
        view = View("safety", date(2025, 6, 1), 1, start=start, end=end)
        frame = maps.frame(hotspots(conn, view, 9)).set_index("cell")
    for shown, name in SHOWN.items():
        assert told[shown] == answer[name] == frame.loc[_cell(), name], name
    expect(page.locator("#details .words")).to_contain_text("偶然出现的可能小于千分之一")
    expect(page.locator("#details .words")).to_contain_text(f"连同邻格 {int(answer['n'])} 起")
    expect(page.locator("#details dd[data-name=stability]")).to_contain_text("5 次中")
    assert complaints == []


def test_the_hexagon_is_told_whenever_its_values_come(visit: Callable[..., Page]) -> None:
    """Later than the answer about the place; and others with another period."""
    lon, lat = CORNER
    page = visit(f"map=13/27.025/113.03&at={lon},{lat}")
    held: list[Route] = []
    page.route("**/hotspots/values**", lambda route: held.append(route))  # noqa: PLW0108 - a builtin takes no attributes
    page.reload()
    expect(page.locator("#details strong").first).to_be_visible()
    expect(page.locator("#details .hexagon")).to_have_count(0)
    for route in held:
        route.continue_()
    page.unroute("**/hotspots/values**")
    before = _numbers(page)
    page.get_by_role("button", name="90 天").click()
    expect(page.locator("#details dd[data-name='cell.count']")).not_to_have_attribute(
        "data-value", str(int(before["count"]))
    )


def test_clusters_are_listed_and_outlined(visit: Callable[..., Page], address: str) -> None:
    page = visit()
    rows = page.locator("#clusters li")
    expect(rows.first).to_be_visible()
    found = page.request.get(f"{address}/hotspots", params=ASKED | {"with": "scan"}).json()["clusters"]
    read = "list => list.map(one => [Number(one.dataset.observed), Number(one.dataset.p)])"
    assert rows.evaluate_all(read) == [[one["observed"], one["p"]] for one in found]
    assert {one["cluster"] for one in _drawn(page, "clusters")} == {one["cluster"] for one in found}
    assert _cell() in found[0]["members"]


def test_change_and_rhythm_are_the_service_s(visit: Callable[..., Page], address: str) -> None:
    page = visit()
    before = page.locator("#change dd[data-name=before]")
    expect(before).to_contain_text("起")
    asked = {name: ASKED[name] for name in ("from", "to")}
    told = page.request.get(f"{address}/changes", params=asked | {"level": 3}).json()
    assert before.get_attribute("data-count") == str(told["before"]["count"])
    assert told["before"]["p"] is None
    assert before.get_attribute("data-p") is None
    expect(before).to_contain_text("未作检验：同长时段不足 6 个")
    assert told["year"] is None
    for name in ("year", "weekdays", "festival"):
        expect(page.locator(f"#change dd[data-name={name}]")).to_have_text("数据未及")
    expect(page.locator("#change dl")).to_contain_text("较去年元旦同期")
    stand = [row for row in told["rows"] if row["before_told"] in ("more", "fewer")]
    codes = page.locator("#change .places li").evaluate_all("list => list.map(one => one.dataset.code)")
    assert set(codes) <= {row["code"] for row in stand}
    assert len(codes) == min(5, len(stand))
    hours = page.locator("#change .bars.hour li").evaluate_all("list => list.map(one => +one.dataset.count)")
    rows = page.request.get(f"{address}/profiles", params=asked).json()["rows"]
    assert hours == [row["count"] for row in rows if row["kind"] == "hour"]


def test_repeat_places_are_the_service_s_and_the_notebook_s(
    visit: Callable[..., Page], address: str, engine: Engine, complaints: list[str]
) -> None:
    with engine.begin() as conn:
        batch = conn.execute(sa.select(schema.batches.c.id)).scalar_one()
        town.add_building(conn, batch, "角楼", CORNER)
        town.add_building(conn, batch, "北楼", town.at(5.5, 0.5))
    page = visit()
    page.locator("#repeats summary").click()
    rows = page.locator("#repeats .places li")
    expect(rows.first).to_contain_text("角楼")
    asked = {name: ASKED[name] for name in ("from", "to")}
    told = page.request.get(f"{address}/repeat-places", params=asked | {"by": "building"}).json()
    read = "list => list.map(one => [one.dataset.id, Number(one.dataset.count)])"
    assert rows.evaluate_all(read) == [[one["id"], one["count"]] for one in told["rows"][:5]]
    shares = page.locator("#repeats dd").evaluate_all("list => list.map(one => Number(one.dataset.share))")
    assert shares == [one["share"] for one in told["top"]]
    start, end = (datetime.fromisoformat(str(day)).replace(tzinfo=town.ZONE) for day in asked.values())
    with engine.connect() as conn:
        same = repeats(conn, View("safety", date(2025, 6, 1), 1, start=start, end=end), "building")
    assert same.concentration.share.tolist() == shares
    page.get_by_role("button", name="路段").click()
    expect(page.locator("#repeats")).to_contain_text("0 处地点中没有重复发生的")
    assert complaints == []


def test_risk_and_emergence_take_turns_on_the_map(
    visit: Callable[..., Page], address: str, complaints: list[str]
) -> None:
    page = visit()
    page.get_by_role("button", name="风险").click()
    expect(page.locator("#mode")).to_contain_text("在用模型：历史累计（基线）")
    expect(page.locator("#mode")).to_contain_text("只估计地点，不涉及任何人")
    told = page.request.get(f"{address}/risk", params={"res": 9, "horizon_days": 7}).json()
    total = page.locator("#mode [data-total]").get_attribute("data-total")
    assert float(total or "nan") == told["expected_total"]
    low, high = told["total_low95"], told["total_high95"]
    expect(page.locator("#mode")).to_contain_text(f"（95%：{low}–{high}）")
    until(page, DRAWN)
    assert _looks(page, "shown")
    assert not _looks(page, "significant"), "nothing of the hotspots is left"
    assert "show=risk" in page.url
    page.get_by_role("button", name="演变").click()
    expect(page.locator("#mode")).to_contain_text("最近 12 段")
    asked = {"to": "2025-01-10", "res": 9, "steps": 12, "step_days": _step_days(page, address)}
    classes = page.request.get(f"{address}/emerging", params=asked).json()["classes"]
    legend = page.locator("#mode li[data-class]").evaluate_all("list => list.map(one => one.dataset.class)")
    assert set(legend) == set(classes)
    page.get_by_role("button", name="热点").click()
    until(page, DRAWN)
    assert _looks(page, "significant")
    assert complaints == []


def _step_days(page: Page, address: str) -> int:
    """Twelve equal steps of whole days that lie in the records: so long each is, and four weeks at most."""
    first = datetime.fromisoformat(page.request.get(f"{address}/city").json()["incidents"]["first"])
    return min(28, (date(2025, 1, 10) - first.astimezone(town.ZONE).date()).days // 12)


def test_a_mode_that_is_refused_says_so_and_leaves_nothing_of_another(visit: Callable[..., Page]) -> None:
    page = visit("show=risk")
    expect(page.locator("#mode")).to_contain_text("在用模型")
    refusal = {"status": 422, "content_type": "application/problem+json"}
    page.route("**/emerging?**", lambda route: route.fulfill(**refusal, json={"detail": "steps: too few"}))
    page.get_by_role("button", name="演变").click()
    expect(page.locator("#mode")).to_have_text("steps: too few")
    assert not _looks(page, "shown")


def _looks(page: Page, flag: str) -> list[dict[str, Any]]:
    return [cell for cell in _drawn(page, "hotspots") if cell.get(flag)]

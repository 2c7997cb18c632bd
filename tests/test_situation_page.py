"""The situation on the page in a real Chromium: departures, index, a letter until issued; the public."""

import re
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect
from sqlalchemy.engine import Engine

from api.access import demand
from gis.access import NewKey, Principal
from gis.errors import Forbidden
from layers.public import release_months
from tests import town
from tests.browsing import DRAWN, sign_in, until, window

pytestmark = pytest.mark.browser

START = datetime(2025, 3, 1, tzinfo=town.ZONE)
MARCH = "map=13/27.025/113.03&from=2025-03-01&to=2025-03-28"


@pytest.fixture(scope="module")
def keys(engine: Engine) -> dict[str, NewKey]:
    """A calm past of ten periods, then a rise of category 02 in T2d; houses everywhere."""
    rng = np.random.default_rng(7)

    def anywhere(count: int, low: tuple[float, float] = (0, 0), high: tuple[float, float] = (6, 5)) -> list:
        return [town.at(*place) for place in rng.uniform(low, high, (count, 2))]

    with engine.begin() as conn:
        batch = town.furnish(conn)
        past = START - timedelta(days=280)
        town.add_incidents(conn, batch, anywhere(1100), first=past, apart=timedelta(days=280) / 1100)
        town.add_incidents(conn, batch, anywhere(110), first=START, apart=timedelta(days=28) / 111)
        town.add_incidents(conn, batch, anywhere(1), "02", first=past)
        risen = anywhere(30, (0.2, 3.2), (2.8, 4.8))
        town.add_incidents(conn, batch, risen, "02", first=START, apart=timedelta(hours=20))
        for number, place in enumerate(anywhere(150)):
            town.add_building(conn, batch, f"松树路{number}号", place)
        release_months(conn)
        return town.make_keys(conn, "commander", "approver")


Visit = Callable[..., Page]


@pytest.fixture
def visit(browser: Browser, address: str, keys: dict[str, NewKey]) -> Iterator[Visit]:
    """The page before somebody of a role; at the end nothing was wrong on any console."""
    contexts: list[BrowserContext] = []
    complaints: list[str] = []

    def go(role: str | None, fragment: str = MARCH, locale: str = "zh-CN", *, refused: bool = False) -> Page:
        context = window(browser, locale, 1400, 900)
        contexts.append(context)
        if role:
            sign_in(context, address, keys[role])
        page = context.new_page()
        of_refusals = "Failed to load resource" if refused else "\0"
        page.on(
            "console",
            lambda said: (
                complaints.append(said.text)
                if said.type == "error" and of_refusals not in said.text
                else None
            ),
        )
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(f"{address}/#{fragment}")
        until(page, DRAWN)
        return page

    yield go
    for context in contexts:
        context.close()
    assert complaints == []


def test_departures_stand_beside_the_map_and_lead_to_their_grid(visit: Visit) -> None:
    page = visit("commander")
    first = page.locator("#situation li").first
    expect(first).to_have_attribute("data-category", "02")
    expect(first).to_contain_text("异常偏高")
    before = page.evaluate("window.safetymap.map.getZoom()")
    page.locator("#situation li[data-code=T2d] button").first.click()
    until(page, f"Math.abs(window.safetymap.map.getZoom() - {before}) > 0.3")
    focused = page.evaluate("JSON.stringify(window.safetymap.map.getFilter('grids-focus'))")
    assert "T2d" in focused


def test_the_board_shows_rows_by_level_and_the_index_with_its_formula(visit: Visit) -> None:
    page = visit("commander", locale="en-GB")
    page.locator("#situation > button").click()
    rows = page.locator("#board tbody tr")
    expect(rows.first).to_have_attribute("data-departs", "above")
    expect(rows).to_have_count(24 - 5)
    page.locator("#board select").select_option("3")
    expect(rows.first).to_have_attribute("data-code", "T2d")
    page.locator("#board [data-tab=index]").click()
    expect(page.locator("#board details li")).to_have_count(4)
    expect(page.locator("#board")).to_contain_text("weight 0.35")
    expect(rows).to_have_count(5)
    expect(rows.first).to_contain_text("–")
    expect(page.locator("#board")).to_contain_text("not distinguishable")


def test_a_letter_goes_from_draft_to_issued(visit: Visit) -> None:
    page = visit("approver")
    page.locator("#situation > button").click()
    page.locator("#board [data-tab=letters]").click()
    draft = page.locator("#board .letter[data-grid=T2d][data-state=proposed]").first
    draft.locator("summary strong").click()
    expect(draft).to_contain_text("综治中心")
    draft.get_by_role("button", name="存为草稿").click()
    kept = page.locator("#board .letter[data-state=draft]")
    expect(kept).to_have_count(1)
    kept.locator("summary strong").click()
    with page.context.expect_page() as opened:
        kept.get_by_role("link", name="打印").click()
    printed = opened.value
    printed.wait_for_load_state()
    expect(printed.locator("h1")).to_have_text("风险预警函")
    expect(printed.locator("table")).to_contain_text("实际起数")
    printed.close()
    kept.get_by_role("button", name="签发").click()
    expect(page.locator("#board .letter[data-state=issued]")).to_have_count(1)


def test_the_public_sees_months_and_larger_hexagons_only(visit: Visit) -> None:
    page = visit(None)
    expect(page.locator("#situation")).to_be_hidden()
    expect(page.locator("#summary")).to_contain_text("整月")
    until(page, "window.safetymap.map.querySourceFeatures('merged').length > 0")
    page.goto(page.url.replace("13/27.025", "15/27.025"))
    until(page, DRAWN)
    assert page.context.request.get(page.url.split("/#")[0] + "/situation").status == 401


def _board(visit: Visit, tab: str) -> Page:
    page = visit("commander")
    page.locator("#situation button").last.click()
    page.locator(f"#board [data-tab={tab}]").click()
    expect(page.locator("#board-body:not(.busy)")).to_be_visible()
    return page


def test_alarms_are_raised_acknowledged_and_silenced(visit: Visit, address: str) -> None:
    page = _board(visit, "alarms")
    expect(page.locator("#board-body")).to_contain_text("没有预警")
    page.get_by_role("button", name="研判上一周").click()
    rows = page.locator("#board-body li[data-alarm]")
    expect(rows.first).to_contain_text("待确认")
    expect(rows.first).to_contain_text("历史不足三年")
    told = page.request.get(f"{address}/alarms").json()["alarms"]
    read = "list => list.map(one => [one.dataset.grid, Number(one.dataset.count)])"
    assert rows.evaluate_all(read) == [[one["grid"], one["count"]] for one in told]
    gathered = page.locator("#board-body li[data-centre]")
    told = page.request.get(f"{address}/alarms/clusters", params={"to": "2025-03-29"}).json()["clusters"]
    read = "list => list.map(one => [one.dataset.centre, Number(one.dataset.observed)])"
    assert gathered.evaluate_all(read) == [[one["centre"], one["observed"]] for one in told]
    rows.first.locator("[data-act=acknowledge]").click()
    expect(page.locator("#board-body li[data-answered=yes]")).to_have_count(1)
    expect(rows.first).to_contain_text("已由")
    rows.first.locator("[data-act=silence]").click()
    expect(rows.first).to_contain_text("静默至")
    kept = page.request.get(f"{address}/alarms").json()["alarms"][0]
    assert kept["acknowledged_at"]
    assert kept["silenced_until"]


def test_a_measure_is_evaluated_as_the_service_does(visit: Visit, address: str) -> None:
    page = _board(visit, "evaluation")
    page.fill("#evaluation-form [name=area]", "T2d")
    page.fill("#evaluation-form [name=control]", "T1a")
    page.fill("#evaluation-form [name=ring_m]", "200")
    page.get_by_role("button", name="评估", exact=True).click()
    expect(page.locator("#evaluation-answer dd[data-name=difference]")).to_be_visible()
    asked = {"from": "2025-03-01", "to": "2025-03-29", "area": "T2d", "control": "T1a", "ring_m": "200"}
    told = page.request.get(f"{address}/evaluation", params=asked).json()
    for name in ("difference", "harm", "displaced"):
        shown = page.locator(f"#evaluation-answer dd[data-name={name}]").get_attribute("data-value")
        assert float(shown or "nan") == told[name]["value"]
    assert told["difference"]["low"] > 0, "what was planted in the area rose"
    expect(page.locator("#evaluation-answer dd[data-name=difference]")).to_contain_text("增加")
    expect(page.locator("#evaluation-answer dd[data-name=area]")).to_contain_text(
        f"{told['area']['blue'][0]} → {told['area']['blue'][1]}"
    )


ASK = """async ([path, query, lang]) => {
    const [{ get }, { speak }] = await Promise.all([import("/app/api.js"), import("/app/i18n.js")]);
    speak(lang);
    return get(path, query).then(() => "an answer", (error) => error.message);
}"""
OLD, FAR = {"from": "2020-01-01", "to": "2020-02-01"}, {"from": "2025-12-01", "to": "2025-12-20"}


def test_refusals_of_statistics_are_in_the_reader_s_language(visit: Visit) -> None:
    """Whatever a panel asks that is refused: its reason comes in Chinese, with the days and codes named."""
    measure = {"area": "T2d", "control": "T1a", "from": "2025-03-01", "to": "2025-03-20"}
    refused: dict[str, list[tuple[str, dict[str, str]]]] = {
        "2024-05": [
            (path, OLD) for path in ("/situation", "/changes", "/letters", "/repeat-places", "/profiles")
        ],
        "2025-03": [(path, FAR) for path in ("/situation", "/stability-index", "/hotspots/values")],
        "须晚于": [("/evaluation", measure | {"to": "2025-02-01"})],
        "对照": [("/evaluation", measure | {"control": "T2"})],
        "ZZ": [("/evaluation", measure | {"control": "ZZ"})],
        "第 9 级": [("/situation", {"level": "9"}), ("/changes", {"level": "9"})],
        "步": [("/emerging", {"to": "2024-06-20"})],
        "从无": [("/risk", {"category": "0102"})],
        "2200": [("/situation", {"from": "3000-01-01"})],
    }
    page = visit("commander", "map=13/27.025/113.03&from=2020-01-01&to=2020-02-01", refused=True)
    for panel in ("#situation", "#change", "#summary"):
        expect(page.locator(panel)).to_contain_text("记录始于 2024-05-25")
    for part, questions in refused.items():
        for path, query in questions:
            said = page.evaluate(ASK, [path, query, "zh"])
            assert re.search("[\u4e00-\u9fff]", said), (path, query, said)
            assert not re.search("[a-z]{4}", said), (path, query, said)
            assert part in said, (path, query, said)
            assert re.match("[A-Z]", page.evaluate(ASK, [path, query, "en"])), (path, query)
    assert "Records begin on" in page.evaluate(ASK, ["/changes", OLD, "en"])


@pytest.mark.parametrize(
    ("period", "locale", "why"),
    [
        (FAR, "zh-CN", "记录止于 2025-03-"),
        (FAR, "en-GB", "Records end on 2025-03-"),
        (OLD, "en-GB", "Records begin on 2024-05-25"),
    ],
)
def test_hotspots_without_values_say_why_and_keep_none(
    visit: Visit, period: dict[str, str], locale: str, why: str
) -> None:
    page = visit("commander", MARCH, locale, refused=True)
    expect(page.locator("#clusters")).to_be_visible()
    expect(page.locator("#areas li").first).to_be_visible()
    assert _cells(page)
    _go(page, period)
    expect(page.locator("#summary")).to_have_text(re.compile(f"^{why}"))
    expect(page.locator("#areas li")).to_have_count(0)
    expect(page.locator("#clusters")).to_be_hidden()
    expect(page.locator("#summary")).not_to_have_class(re.compile("busy"))
    assert not _cells(page)
    page.locator("#language").click()
    expect(page.locator("#summary")).to_have_text(re.compile("^记录" if locale == "en-GB" else "^Records"))
    _go(page, {"from": "2025-03-01", "to": "2025-03-28"})
    expect(page.locator("#areas li").first).to_be_visible()
    expect(page.locator("#clusters")).to_be_visible()
    assert _cells(page)


def _go(page: Page, period: dict[str, str]) -> None:
    """Change the days in the address, as somebody who types them there."""
    page.evaluate(
        """(days) => {
            const hash = new URLSearchParams(location.hash.slice(1));
            for (const [name, day] of Object.entries(days)) hash.set(name, day);
            location.hash = decodeURIComponent(hash.toString());
        }""",
        period,
    )


def _cells(page: Page) -> int:
    """How many hexagons the map shades by their values."""
    until(page, DRAWN)
    shaded: int = page.evaluate(
        """() => window.safetymap.map.queryRenderedFeatures({layers: ["hotspots"]})
            .filter(({state}) => state.shown).length"""
    )
    return shaded


@pytest.mark.parametrize(
    ("said", "word"),
    [
        ("area: 2 does not lie inside your scope, 1; name a grid inside it", "不在您的辖区 1 之内"),
        ("scheme: there is no grid of safety to be seen here yet; import its grids", "尚无网格"),
        ("only sensor recorded anything of this, which is not learned from unless named; add", "感知设备"),
        ("week: nobody recorded 2026-02-15 to 2026-02-22; of a week with such days nothing", "2026-02-15"),
        ("week: records begin on 2024-05-25", "记录始于 2024-05-25"),
        ("until: must lie in the future, by 366 days at most", "366"),
        ("there is no alarm 7", "7"),
    ],
)
def test_these_refusals_have_words_of_their_own(visit: Visit, said: str, word: str) -> None:
    page = visit("commander", "map=13/27.025/113.03")
    answer = page.evaluate(WORDED, [said, "zh"])
    assert word in answer
    assert re.match("[A-Z]", page.evaluate(WORDED, [said, "en"])), "no parameter's name in front"


@pytest.mark.parametrize(
    ("found", "word", "never"),
    [
        ({"unreported": {"rows": 2, "named": []}}, "2 rows", "and so on"),
        (
            {"unreported": {"rows": 4, "named": [{"name": "County 3", "category": None}]}},
            "All categories in County 3 and so on",
            "tested: and",
        ),
        (
            {
                "silent": [{"category": None, "source": "sensor", "first": None, "last": "2025-07-31"}],
                "without": ["sensor"],
            },
            "Silent at times: sensor (no records up to 2025-07-31)",
            "What is asked for",
        ),
        (
            {"silent": [{"category": None, "source": None, "first": "2025-03-01", "last": None}]},
            "What is asked for (no records since 2025-03-01)",
            "Totals",
        ),
    ],
)
def test_what_is_not_tested_is_said_in_whole_sentences(
    visit: Visit, found: dict[str, Any], word: str, never: str
) -> None:
    page = visit("commander", "map=13/27.025/113.03")
    said = page.evaluate(CAVEAT, [found, "en"])
    assert word in said
    assert never not in said


CAVEAT = """async ([found, lang]) => {
    const { caveat } = await import("/app/analysis-words.js");
    const { speak } = await import("/app/i18n.js");
    speak(lang);
    return caveat(found);
}"""
WORDED = """async ([text, lang]) => {
    const [{ inWords }, { speak }] = await Promise.all([import("/app/refusals.js"), import("/app/i18n.js")]);
    speak(lang);
    return inWords(text);
}"""


def test_refusals_of_rights_and_exports_are_in_the_reader_s_language(visit: Visit, address: str) -> None:
    """Whoever may not: what is missing comes in Chinese, with the roles named."""
    asked: list[tuple[str | None, str, dict[str, str], str]] = [
        (None, "/situation", {}, "“指挥”"), (None, "/risk", {}, "登录"), (None, "/plans", {}, "登录"),
        ("commander", "/situation", {"format": "csv"}, "导出"),
        ("commander", "/changes", {"format": "csv"}, "导出"),
        ("commander", "/risk", {"format": "csv"}, "导出"),
    ]  # fmt: skip
    pages = {role: visit(role, refused=True) for role in (None, "commander")}
    for role, path, query, part in asked:
        said = pages[role].evaluate(ASK, [path, query, "zh"])
        assert part in said, (path, said)
        assert not re.search("[a-z]{4}", said), (path, said)
        assert re.search("[a-z]{4}", pages[role].evaluate(ASK, [path, query, "en"]))
    answers = [
        pages[None].request.post(f"{address}/session", data={"key": key}, headers={"Sec-Fetch-Site": site})
        for key, site in (("nobody's", "same-origin"), ("nobody's", "cross-site"))
    ]
    others = [answer.json()["detail"] for answer in answers]
    others += [
        refusal(Principal("commander", full_role="approver"), "approver"),
        refusal(Principal("field", full_role="field"), "planner"),
    ]
    for text in others:
        said = pages[None].evaluate(WORDED, [text, "zh"])
        assert re.search("[\u4e00-\u9fff]", said), (text, said)
        assert not re.search("[a-z]{4}", said), (text, said)
        in_english = pages[None].evaluate(WORDED, [text, "en"])
        assert re.match("[A-Z]", in_english), (text, in_english)
        assert not re.search("[\u4e00-\u9fff]", in_english), (text, in_english)


def refusal(who: Principal, role: str) -> str:
    with pytest.raises(Forbidden) as raised:
        demand(who, role)
    return str(raised.value)

"""Notice letters (平安提示函, 风险预警函): drafts from what rose above its past, kept on demand."""

import html
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from string import Template
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from gis.city import category_tree, level_names, the_city
from gis.clocks import rfc3339
from gis.db import Record
from gis.errors import BadInput, NotFound
from gis.schema import SOURCES, grid_codes
from gis.schema_situation import LETTER_KINDS, letters
from layers import periods
from layers.situation import Situation, situation
from layers.situation_categories import ALL
from layers.stats.change import e_test
from layers.stats.situation import ALONE
from layers.view import View

TEMPLATES = Path(__file__).parent / "settings" / "letters"
WARNING_RATIO, WARNING_Q = 2.0, 0.001
"""A warning is for so many times what was expected, and so sure; all else is a notice. Our choice."""
MOST_CODES = 100
"""Codes of incidents that a letter names."""
LANGUAGES = ("zh", "en")
_EVERYTHING = {"zh": "全部", "en": "all"}
_WITHOUT = {"zh": "（不含有时没有记录的{}）", "en": " (without {}, of which there were no records at times)"}
_SOURCES = {
    "zh": ("群众上报", "网格员上报", "热线", "上级交办", "感知设备", "巡逻"),
    "en": ("residents' reports", "grid workers' reports", "hotline calls", "higher offices' reports",
           "sensors' reports", "patrols' reports"),
}  # fmt: skip
"""Names in the order of SOURCES."""
_JOIN = {"zh": "、", "en": ", "}
Evidence = dict[str, Any]
Texts = dict[str, dict[str, str]]


@dataclass(frozen=True)
class Draft:
    """A letter as it could be sent: to which grid, about what, why, in which words."""

    kind: str
    grid: str
    level: int
    category: str | None
    evidence: Evidence
    texts: Texts


def drafts(conn: Connection, found: Situation, most: int) -> tuple[list[Draft], int]:
    """Return drafts for what rose above its past, surest first, and how many there are.

    `found` is of all levels and the categories of the highest level, which are compared at once.
    """
    rows = _risen(found)
    return [_draft(conn, found, row) for row in rows[:most]], len(rows)


def keep(
    conn: Connection, view: View, grid: str, category: str | None, author: str, kind: str | None = None
) -> int:
    """Keep the draft about a grid and category, with its evidence as of now, and return its number.

    Raises BadInput where nothing departs there: no letter without evidence.
    """
    found = situation(conn, view)
    row = next((row for row in _risen(found) if _names(found, row) == (grid, category)), None)
    if row is None:
        raise BadInput("grid", f"{grid} did not rise above its past in this period and category")
    draft = _draft(conn, found, row, kind)
    of_grid = sa.select(grid_codes.c.id).where(grid_codes.c.scheme == view.scheme, grid_codes.c.code == grid)
    values = {
        "kind": draft.kind, "grid_id": of_grid.scalar_subquery(), "category": category, "author": author,
        "since": found.view.start, "until": found.view.end, "evidence": draft.evidence, "texts": draft.texts,
    }  # fmt: skip
    return int(conn.execute(letters.insert().values(values).returning(letters.c.id)).scalar_one())


def issue(conn: Connection, letter_id: int, issuer: str) -> None:
    """Issue a kept letter. Raises NotFound when there is no such draft that the asker may see."""
    one = letters.update().where(letters.c.id == letter_id, letters.c.issued_at.is_(None))
    if not conn.execute(one.values(issuer=issuer, issued_at=sa.func.now())).rowcount:
        raise NotFound(f"there is no draft of a letter {letter_id}; it may have been issued")


def kept(conn: Connection, most: int) -> list[Record]:
    """Return the newest letters that the asker may see, with the code of their grid."""
    return list(conn.execute(_kept().order_by(letters.c.id.desc()).limit(most)).all())


def letter(conn: Connection, letter_id: int) -> Record:
    """Return one kept letter. Raises NotFound when there is none that the asker may see."""
    row = conn.execute(_kept().where(letters.c.id == letter_id)).one_or_none()
    if row is None:
        raise NotFound(f"there is no letter {letter_id}")
    return row


def printable(row: Record, lang: str) -> str:
    """Return a kept letter as a page to print; whatever it is filled with is escaped."""
    text = row.texts[lang]
    state = _STATES[lang]["issued" if row.issued_at else "draft"]
    filled = {
        "lang": "zh-CN" if lang == "zh" else "en",
        "title": text["title"],
        "state": f"{state} No. {row.id}",
        "signed": f"{row.issuer or row.author} · {(row.issued_at or row.drafted_at):%Y-%m-%d}",
        "evidence": _STATES[lang]["evidence"],
    }
    escaped = {name: html.escape(str(value)) for name, value in filled.items()}
    paragraphs = "\n".join(f"<p>{html.escape(each)}</p>" for each in text["body"].split("\n\n"))
    rows = "\n".join(
        f"<tr><th>{html.escape(label)}</th><td>{html.escape(told(row.evidence))}</td></tr>"
        for label, told in _TOLD[lang].items()
    )
    return _template("letter.html").substitute(escaped, paragraphs=paragraphs, rows=rows)


_STATES = {
    "zh": {"draft": "草稿", "issued": "已签发", "evidence": "附件：依据与检验"},
    "en": {"draft": "Draft", "issued": "Issued", "evidence": "Annex: evidence and tests"},
}


def _number(name: str) -> Callable[[Evidence], str]:
    return lambda evidence: f"{evidence[name]:.3g}"


def _codes(evidence: Evidence) -> str:
    more = f" … +{evidence['incidents_left_out']}" if evidence["incidents_left_out"] else ""
    return ", ".join(evidence["incidents"]) + more


_ROWS: tuple[tuple[str, str, Callable[[Evidence], str]], ...] = (
    ("时段", "Period", lambda e: f"{e['start']} – {e['end']}"),
    ("实际起数", "Observed", lambda e: str(e["observed"])),
    ("预期起数（95% 区间）", "Expected (95 %)", lambda e: f"{e['expected']} ({e['low']}–{e['high']})"),
    ("实际 ÷ 预期", "Observed / expected", _number("ratio")),
    ("p（双侧）", "p, two-sided", _number("p")),
    ("q（按比较数校正，Benjamini–Hochberg）", "q, adjusted (Benjamini-Hochberg)", _number("q")),
    ("同时比较数", "Comparisons", lambda e: str(e["comparisons"])),
    ("历史时段数", "Periods before", lambda e: str(e["periods"])),
    (
        "上一时段起数（E 检验 p）",
        "Period before (p of E-test)",
        lambda e: "–" if e["before"] is None else f"{e['before']} ({e['change_p']:.3g})",
    ),
    (
        "未计入的类别或来源（有时没有记录）",
        "Left out, silent at times",
        lambda e: ", ".join(e.get("without", ())) or "–",
    ),
    ("事件编号", "Incidents", _codes),
)
_TOLD = {"zh": {zh: told for zh, _, told in _ROWS}, "en": {en: told for _, en, told in _ROWS}}


def _kept() -> sa.Select[Any]:
    codes = grid_codes.c
    return sa.select(letters, codes.code.label("grid")).join(grid_codes, codes.id == letters.c.grid_id)


def _risen(found: Situation) -> list[int]:
    """Return the rows that rose above their family: a swing of the whole is nobody's to answer for."""
    d = found.departure
    if d is None:
        return []
    return [row for row in found.order.tolist() if d.departs[row] > 0 and found.family[row] != ALONE]


def _names(found: Situation, row: int) -> tuple[str, str | None]:
    return found.grids.codes[found.row_grid[row]], found.categories[found.row_category[row]] or None


def _draft(conn: Connection, found: Situation, row: int, kind: str | None = None) -> Draft:
    evidence = _evidence(found, row)
    grave = evidence["ratio"] >= WARNING_RATIO and evidence["q"] <= WARNING_Q
    kind = kind or LETTER_KINDS[int(grave)]
    grid, category = _names(found, row)
    level = int(found.grids.levels[found.row_grid[row]])
    texts = {lang: _text(conn, found, kind, lang, evidence, level) for lang in LANGUAGES}
    return Draft(kind, grid, level, category, evidence, texts)


def _evidence(found: Situation, row: int) -> Evidence:
    """Return the numbers that a letter rests on; never a name, an address or a description."""
    assert found.departure
    assert found.view.start
    assert found.view.end
    d, one = found.departure, np.array([row])
    (low,), (high,) = d.interval(one)
    grid, category = _names(found, row)
    codes = found.codes(row)
    now, comparable = int(d.count[row]), found.before is not None and not found.incomparable[row]
    before = int(found.before[row]) if found.before is not None and comparable else None
    return {
        "grid": grid, "grid_name": found.grids.names[found.row_grid[row]], "category": category or ALL,
        "start": rfc3339(found.view.start), "end": rfc3339(found.view.end),
        "observed": now, "expected": round(float(d.expected[row]), 2), "low": int(low), "high": int(high),
        "ratio": round(now / float(d.expected[row]), 2), "p": float(d.p[row]), "q": float(d.q[row]),
        "comparisons": found.comparisons, "periods": found.periods, "before": before,
        "change_p": None if before is None else e_test(now, before), "incidents": codes[:MOST_CODES],
        "incidents_left_out": max(0, now - MOST_CODES),
        "without": found.without if now < found.count[row] else [],
    }  # fmt: skip


def _text(
    conn: Connection, found: Situation, kind: str, lang: str, evidence: Evidence, level: int
) -> dict[str, str]:
    assert found.view.start
    assert found.view.end
    zone = ZoneInfo(the_city(conn).timezone)
    first, last = found.view.start.astimezone(zone), periods.last_moment(found.view.end).astimezone(zone)
    names = {str(row["code"]): str(row[f"name_{lang}"]) for row in category_tree(conn)}
    levels = {row["level"]: str(row[f"name_{lang}"]) for row in level_names(conn, found.view.scheme)}
    names |= dict(zip(SOURCES, _SOURCES[lang], strict=True))
    category = names.get(evidence["category"], _EVERYTHING[lang])
    if evidence["without"]:
        without = _JOIN[lang].join(names[code] for code in evidence["without"])
        category += _WITHOUT[lang].format(without)
    filled = evidence | {
        "grid_code": evidence["grid"],
        "category": category,
        "level_name": levels[level],
        "start": f"{first:%Y-%m-%d}",
        "end": f"{last:%Y-%m-%d}",
        "days": (last.date() - first.date()).days + 1,
    }
    title, body = _template(f"{kind}.{lang}.txt").substitute(filled).strip().split("\n", 1)
    return {"title": title, "body": body}


@lru_cache
def _template(name: str) -> Template:
    return Template((TEMPLATES / name).read_text(encoding="utf-8"))

"""Stored things of every kind, asked for as people spell them, are found first; what is elsewhere is not."""

import itertools
import random
import re
from collections.abc import Callable, Iterator
from typing import Any

import opencc
import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from gis import loading
from gis.addresses import match
from gis.addresses.matches import Match
from gis.demo.generate import generate

SAMPLED, SEED = 12, 16
_DIGITS = "零一二三四五六七八九"
_TO_TRADITIONAL = opencc.OpenCC("s2t")
_NAMES = {
    "building address": "SELECT address FROM buildings WHERE address LIKE '%栋'",
    "country address": "SELECT address FROM buildings WHERE address LIKE '%组%'",
    "building name": "SELECT DISTINCT name FROM buildings WHERE name IS NOT NULL",
    "place": "SELECT name FROM places",
    "grid": "SELECT name FROM grids",
    "road": "SELECT DISTINCT name FROM roads WHERE name IS NOT NULL",
    "staff": "SELECT DISTINCT name FROM staff",
    "post": "SELECT g.name || o.post FROM posts o JOIN grids g USING (grid_id)",
    "grid code": "SELECT code FROM grids",
    "camera code": "SELECT gb28181 FROM cameras WHERE gb28181 IS NOT NULL",
}


@pytest.fixture(scope="module", autouse=True)
def filled(engine: Engine) -> None:
    """The small demo city without its incidents."""
    made = generate("small")
    city = loading.zhuzhou_city("small")
    parts = (part for part in loading._zhuzhou_parts(made) if part.kind not in {"incidents", "areas"})
    with engine.begin() as conn:
        loading.load(conn, city, parts, overwrite=True, telling=lambda _kind, _source: lambda _done: None)
        conn.execute(sa.text("ANALYZE"))


@pytest.fixture(scope="module")
def asking(engine: Engine) -> Iterator[Connection]:
    with engine.connect() as conn:
        yield conn


def numeral(digits: str) -> str:
    """The Chinese numeral of a number below 1000, as it is said."""
    n = int(digits)
    if digits.startswith("0") or not 0 < n < 1000:
        return digits
    hundreds, tens, ones = n // 100, n // 10 % 10, n % 10
    said = f"{_DIGITS[hundreds]}百" if hundreds else ""
    if tens:
        said += ("" if tens == 1 and not hundreds else _DIGITS[tens]) + "十"
    elif hundreds and ones:
        said += "零"
    return said + (_DIGITS[ones] if ones else "")


def wide(text: str) -> str:
    return "".join(chr(ord(sign) + 0xFEE0) if "!" <= sign <= "~" else sign for sign in text)


def spaced(text: str) -> str:
    return " ".join(re.findall(r"\d+|[A-Za-z]+|.", text))


def invisible(text: str) -> str:
    signs = itertools.cycle("\u200b\ufeff\u200e\u2060\u00ad")
    return "\u202a" + "".join(sign + next(signs) for sign in text) + "\u202c"


def with_region(region: str) -> Callable[[str], str]:
    return lambda text: text if text.startswith("株洲市") and "株洲市" in region else region + text


SPELLINGS: dict[str, Callable[[str], str]] = {
    "own": lambda text: text,
    "in China, Hunan": with_region("中国湖南省"),
    "Hunan": with_region("湖南 "),
    "province and city": with_region("湖南省株洲市"),
    "district": lambda text: text if "荷塘区" in text else f"荷塘区{text}",
    "full width": wide,
    "region and full width": lambda text: wide(f"中国湖南省{text}"),
    "traditional": _TO_TRADITIONAL.convert,
    "spaces": spaced,
    "invisible signs": invisible,
    "numerals": lambda text: text if text.isdigit() else re.sub(r"\d+", lambda n: numeral(n[0]), text),
    "幢": lambda text: re.sub(r"(\d)栋", r"\1幢", text),
    "号楼": lambda text: re.sub(r"(\d)栋", r"\1号楼", text),
    "brackets": lambda text: re.sub(r"(\d+栋)$", r"（\1）", text),
    "dash": lambda text: re.sub(r"(\d+)号(\d+)栋$", r"\1－\2", text),
    "room": lambda text: text + "2单元1103室" if text.endswith("栋") else text,
    "no city": lambda text: text.removeprefix("株洲市"),
    "no city and district": lambda text: re.sub(r"^株洲市.{1,3}?[区县市]", "", text),
    "region behind": lambda text: text if text.startswith("株洲市") else f"{text}（株洲市荷塘区）",
    "bracketed code": lambda text: f"（{text}）" if text.isdigit() else text,
    "quoted code": lambda text: f"'{text}" if text.isdigit() else text,
    "code as a number": lambda text: f"{text}.0" if text.isdigit() else text,
    "code in groups": lambda text: (
        f"{text[:6]} {text[6:9]}-{text[9:]}".strip(" -") if text.isdigit() else text
    ),
    "a code that says so": lambda text: f"编号：{text}" if text.isdigit() else text,
    "no township": lambda text: re.sub(r"^(株洲市.{1,3}?[区县市]).{1,6}?(?:街道|镇|乡)", r"\1", text),
}


def names(conn: Connection, kind: str) -> list[str]:
    found = sorted(conn.execute(sa.text(_NAMES[kind])).scalars())
    return random.Random(SEED).sample(found, min(SAMPLED, len(found)))


def is_it(found: Match, name: str) -> bool:
    told = re.sub(r"\s", "", found.address)
    return name in {found.address, found.code} or (found.kind == "post" and name in told)


@pytest.mark.parametrize("kind", _NAMES)
def test_what_is_stored_is_found_first_however_it_is_spelt(asking: Connection, kind: str) -> None:
    missed = []
    for name in names(asking, kind):
        for how, spell in SPELLINGS.items():
            if (how == "own") is not (asked := spell(name)) != name:
                continue
            found = match.find(asking, asked, 500)
            best = [one for one in found.matches[: found.tied] if is_it(one, name)]
            if not best or (how == "own" and best[0].score < 0.98):
                missed.append((how, asked, [(one.address, one.score) for one in found.matches[:3]]))
    assert missed == []


ELSEWHERE = ["长沙市", "上海市", "北京市海淀区", "衡阳市石鼓区", "广东省", "湖南省长沙市", "中国湖北省武汉市"]


@pytest.mark.parametrize("kind", [kind for kind in _NAMES if kind != "staff"])
def test_what_is_elsewhere_is_not_found_here(asking: Connection, kind: str) -> None:
    wrong = []
    for name in names(asking, kind):
        for region in ELSEWHERE:
            asked = region + name.removeprefix("株洲市")
            found = match.find(asking, asked, 10).matches
            wrong += [(asked, one.address) for one in found if one.score >= 0.9]
    assert wrong == []


@pytest.mark.parametrize(
    "asked",
    [
        "北京市海淀区中关村幼儿园", "不存在社区卫生室", "社区卫生室", "长沙市天心区幼儿园", "村小学", "社区",
        "衡阳市石鼓区村小学", "湖南 新区村卫生室", "新村幼儿园", "株洲市天元区不存在路1号", "忠义路9999号",
        "荷塘区忠义路17号99栋", "天元区鹿鸣路1号4栋", "区卫生室", "1号1栋", "号", "市", "%", "_",
        "路1号1栋", "路", "大道1号1栋",
    ],
)  # fmt: skip
def test_what_is_not_in_the_store_is_not_found(asking: Connection, asked: str) -> None:
    assert [one for one in match.find(asking, asked, 10).matches if one.score >= 0.9] == []


def test_another_community_s_clinic_is_not_the_one_asked_for(asking: Connection) -> None:
    """The place stands in the community asked for, but bears another's name: it may be meant, not surely."""
    pairs = asking.execute(sa.text(
        "SELECT DISTINCT g.name, p.name FROM places p JOIN grids g ON ST_Intersects(g.geom, p.point) "
        "AND g.level = 4 WHERE p.name NOT LIKE g.name || '%'"
    )).all()  # fmt: skip
    known = set(asking.execute(sa.text("SELECT name FROM places")).scalars())
    wrong, asked = [], 0
    for community, name in pairs:
        kind = re.sub(r"^.*?(?:社区|村)", "", name)
        if kind == name or (wanted := community + kind) in known:
            continue
        asked += 1
        found = match.find(asking, wanted, 10).matches
        wrong += [(wanted, one.address, one.score) for one in found if one.score >= 0.9]
    assert asked >= 5
    assert wrong == []


def test_a_word_within_names_is_found_behind_those_that_begin_so(asking: Connection) -> None:
    for word in ("卫生", "社区卫生室", "区第", "一网格", "名邸", "村委"):
        found = match.find(asking, word, 50)
        inside = asking.execute(sa.text("SELECT count(*) FROM grids WHERE strpos(name, :w) > 0"), {"w": word})
        assert found.matches or not inside.scalar(), word
        begins = [one.address.startswith(word) for one in found.matches]
        assert begins == sorted(begins, reverse=True)
        assert all(word in one.address or "regions" in one.matched_by for one in found.matches)


def _plan(conn: Connection, statement: str) -> str:
    conn.execute(sa.text("SET LOCAL enable_seqscan = off"))
    return "\n".join(conn.execute(sa.text(f"EXPLAIN {statement}")).scalars())


@pytest.mark.parametrize(
    ("statement", "index"),
    [
        ("SELECT id FROM buildings WHERE grams(name_key) @> grams('名邸')", "ix_buildings_name_grams"),
        ("SELECT id FROM places WHERE grams(name_key) @> grams('卫生')", "ix_places_name_grams"),
        ("SELECT id FROM buildings WHERE reverse(address_key) ~>=~ 'a' AND reverse(address_key) ~<~ 'b'",
         "ix_buildings_address_end"),
    ],
)  # fmt: skip
def test_ends_and_middles_are_read_from_an_index(asking: Connection, statement: str, index: str) -> None:
    assert index in _plan(asking, statement)


def test_middles_are_bounded_and_say_so(asking: Connection) -> None:
    found: Any = match.find(asking, "株洲", 5)
    assert found.more
    assert len(found.matches) == 5

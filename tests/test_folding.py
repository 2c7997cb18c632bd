"""Names and addresses in one spelling: what folds alike, what does not, and that folding is settled."""

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.engine import Connection

from gis.addresses.normalise import fold, folded, local_part

ALIKE = [
    ("株洲市第一中学（东校区）", "株洲市第一中学(东校区)", "株洲市第一中学 东校区",
        "株洲市第一中學【東校區】"),
    ("红旗路１２号", "红旗路12号", "紅旗路12號", " 红旗路 12 号 ", "红旗路\u300012号", "红旗路12#"),
    ("Ⅱ号仓库", "ii号仓库", "II号仓库", "Ⅱ号 倉庫", "II-号仓库"),
    ("A-1栋", "a1栋", "A 1栋", "Ａ１栋", "A—1棟"),
    ("秋实路2号1-2栋", "秋实路2号1—2栋", "秋实路2号 1 – 2 栋", "秋实路2号1－2栋", "秋实路2号1~2栋"),
    ("2411 North Charles Street", "2411 n charles st", "2411 N. Charles St.", "２４１１ NORTH CHARLES ST"),
    ("N 1st Ave", "North First Avenue", "n. 1st av", "NORTH 1ST AVE."),
    ("Saint Paul Street", "St. Paul St", "st paul street", "ST PAUL STREET"),
    ("Peña & Bénédict St", "Pena and Benedict Street", "PEÑA & BÉNÉDICT ST"),
    ("O'Brien's Court", "OBriens Ct", "O’Brien’s court"),
    ("Straße 5", "strasse 5", "STRASSE 5"),
    ("龍泉花園3幢", "龙泉花园3幢"),
]  # fmt: skip
APART = [
    ("1-2栋", "12栋"), ("3-502", "3502"), ("3 502", "3502"), ("North Charles St", "Northcharles St"),
    ("1栋", "2栋"), ("东校区", "西校区"), ("21 1st St", "211 St"), ("101 A", "10 1A"),
]  # fmt: skip


@pytest.mark.parametrize("spellings", ALIKE)
def test_spellings_of_one_name_fold_alike(conn: Connection, spellings: tuple[str, ...]) -> None:
    assert len(set(fold(conn, *spellings))) == 1


@pytest.mark.parametrize("pair", APART)
def test_what_differs_stays_apart(conn: Connection, pair: tuple[str, str]) -> None:
    assert len(set(fold(conn, *pair))) == 2


@given(st.lists(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1)))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_nothing_folds_to_nothing_that_is_more_than_spaces(conn: Connection, texts: list[str]) -> None:
    for text, key in zip(texts, fold(conn, *texts), strict=True):
        assert key.strip() or not text.strip()


def test_leaving_regions_out_in_front_changes_no_local_part(conn: Connection) -> None:
    whole = "湖南省株洲市荷塘区金山街道太高社区秋实路2号1栋"
    places = ("株洲市", "荷塘区", "金山街道", "太高社区", "秋实路2号1栋")
    shorter = [whole, *("".join(places[n:]) for n in range(len(places))), "株洲市荷塘区秋实路2号1栋"]
    asked = sa.select(*(local_part(folded(sa.literal(text))) for text in shorter))
    assert set(conn.execute(asked).one()) == {"秋实路2号1栋"}


@pytest.mark.parametrize(
    ("text", "local"),
    [
        ("荷塘区镇江路5号", "江路5号"), ("镇江路5号", "江路5号"), ("荷塘区", "荷塘区"),
        ("株洲市第一中学东校区", "第一中学东校区"), ("建设新村5栋", "建设新村5栋"),
        ("阳光小区3栋", "阳光小区3栋"), ("人民市场12号", "人民市场12号"),
        ("1060 W Addison St", "1060w addison st"),
    ],
)  # fmt: skip
def test_local_parts(conn: Connection, text: str, local: str) -> None:
    assert conn.execute(sa.select(local_part(folded(sa.literal(text))))).scalar_one() == local

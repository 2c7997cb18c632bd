"""Names and addresses in one spelling: what folds alike, what does not, and that folding is settled."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.engine import Connection

from gis.addresses.normalise import fold
from gis.network.street_names import street_key

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
    ("Via Roma 35", "Via Roma n. 35", "VIA ROMA N° 35", "via roma n.35", "Via Roma nº 35", "Via Roma № 35"),
    ("35 Main Street", "No. 35 Main St", "no 35 main st", "#35 Main Street"),
    ("Lange Gasse 35", "Lange Gasse Nr. 35", "LANGE GASSE NR 35"), ("Şirin Cadde 35", "Sirin Cadde No:35"),
    ("Łódź", "Lodz", "ŁÓDŹ", "łodz"), ("Ørsted Æblevej", "ORSTED AEBLEVEJ"), ("Đakovo", "dakovo"),
    ("Αθήνα", "ΑΘΗΝΑ", "αθηνα"), ("Οδός", "ΟΔΟΣ", "οδοσ"), ("Ёлочная", "ЕЛОЧНАЯ"), ("Þór", "thor"),
    ("Işıklar", "ISIKLAR", "ışıklar"),
    ("龍泉花園3幢", "龙泉花园3幢", "龙泉花园3栋"),
    ("龙泉花园三栋", "龙泉花园3号楼", "龙泉花园3#楼", "龙泉花园３座", "龙泉花园三棟"),
    ("C501线", "Ｃ５０１线", "C五百零一线", "c五〇一線", "C 501 线"),
    ("秋实路21号", "秋实路二十一号", "秋实路二一号"),
    ("一百一十巷", "110巷"), ("十组", "10组"), ("三门镇", "3门镇"),
    ("芙蓉名邸", "芙蓉\u200b名邸", "\ufeff芙蓉名邸", "芙蓉名邸\u200f", "\u202a芙蓉名邸\u202c",
        "芙\u00ad蓉名邸"),
    ("Fourth District", "Fourth Dis\u200btrict", "4th\u2060 DISTRICT"),
]  # fmt: skip
APART = [
    ("1-2栋", "12栋"), ("3-502", "3502"), ("3 502", "3502"), ("North Charles St", "Northcharles St"),
    ("1栋", "2栋"),
    ("No-3", "3"), ("NR 12", "12"), ("N 300 W", "300 W"), ("Piano 5 Lane", "Pia 5 Lane"),
    ("май", "маи"), ("が", "か"),
    ("一百五", "105"), ("三1号", "31号"), ("1一号", "11号"), ("百花路", "100花路"),
    ("东校区", "西校区"), ("21 1st St", "211 St"), ("101 A", "10 1A"),
]  # fmt: skip


@pytest.mark.parametrize("spellings", ALIKE)
def test_spellings_of_one_name_fold_alike(conn: Connection, spellings: tuple[str, ...]) -> None:
    assert len(set(fold(conn, *spellings))) == 1


@pytest.mark.parametrize("pair", APART)
def test_what_differs_stays_apart(conn: Connection, pair: tuple[str, str]) -> None:
    assert len(set(fold(conn, *pair))) == 2


def test_streets_of_centre_lines_fold_their_letters_too() -> None:
    assert street_key("Łódzka") == street_key("LODZKA")
    assert street_key("Ørstedsgade") == street_key("orstedsgade")


@given(st.lists(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1)))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_nothing_folds_to_nothing_that_is_more_than_spaces(conn: Connection, texts: list[str]) -> None:
    for text, key in zip(texts, fold(conn, *texts), strict=True):
        assert key.strip() or not text.strip()

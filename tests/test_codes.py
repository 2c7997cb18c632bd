"""Codes are read and written by their standards; what is wrong is named by its part."""

from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gis import codes
from gis.errors import BadInput

STATISTICAL, GRID, CJT349, GB28181 = codes.LAYOUTS


@pytest.mark.parametrize(
    ("of", "code", "parts"),
    [
        (STATISTICAL, "430203001003", {"county": "430203", "township": "001", "village": "003"}),
        (GRID, "430203001003012", {"county": "430203", "township": "001", "village": "003", "number": "012"}),
        (
            CJT349,
            "01010043020300160102",
            {"object": "010100", "county": "430203", "township": "001", "community": "601", "number": "02"},
        ),
        (
            GB28181,
            "43020301001320000017",
            {"centre": "43020301", "industry": "00", "type": "132", "network": "0", "number": "000017"},
        ),
    ],
)
def test_layouts(of: codes.Layout, code: str, parts: dict[str, str]) -> None:
    assert codes.parse(of, code) == parts
    assert codes.build(of, parts) == code


@pytest.mark.parametrize(
    ("of", "code", "words"),
    [
        (STATISTICAL, "43020300100", "11 digits, not 12"),
        (STATISTICAL, "43020300100A", "digits 0-9"),
        (STATISTICAL, "43020300100３", "digits 0-9"),
        (STATISTICAL, "990203001003", "province"),
        (STATISTICAL, "430203700003", "township"),
        (STATISTICAL, "430203001600", "village"),
        (GRID, "430203001003000", "number"),
        (CJT349, "00000043020300100101", "object"),
        (CJT349, "01010043020300100001", "community"),
        (GB28181, "43020301001100000017", "type"),
        (GB28181, "43020301001329000017", "network"),
        (GB28181, "03020301001320000017", "centre"),
    ],
)
def test_a_wrong_part_is_named(of: codes.Layout, code: str, words: str) -> None:
    with pytest.raises(BadInput, match=words):
        codes.parse(of, code)


def test_a_city_sets_its_layout_by_name_or_by_widths() -> None:
    assert codes.layout("gb28181") is GB28181
    own = codes.layout("6+3+3+3")
    assert own.width == GRID.width
    assert codes.parse(own, "430203001003012")["part4"] == "012"
    for wrong in ("6-3", "", "15x"):
        with pytest.raises(BadInput, match="layout"):
            codes.layout(wrong)


@given(st.integers(1, 599), st.integers(1, 599), st.integers(1, 999))
def test_build_and_parse_are_inverse(township: int, village: int, number: int) -> None:
    code = codes.build(GRID, {"county": "430203", "township": township, "village": village, "number": number})
    assert [int(v) for v in codes.parse(GRID, code).values()] == [430203, township, village, number]


def test_the_next_code_is_beyond_all_ever_used() -> None:
    under = "430203001003"
    used = {under + "001", under + "007", "430203001004009"}
    assert codes.following(GRID, under, used) == under + "008"
    assert codes.following(GRID, under, set()) == under + "001"
    with pytest.raises(BadInput, match="no code is left"):
        codes.following(GRID, under, {under + "999"})
    with pytest.raises(BadInput, match="last part"):
        codes.following(GRID, "430203", used)


def test_a_missing_part_is_named() -> None:
    with pytest.raises(BadInput, match="village"):
        codes.build(STATISTICAL, {"county": "430203", "township": 1})


@pytest.mark.realdata
def test_real_village_codes_are_valid(realdata: Path) -> None:
    frame = pd.read_parquet(realdata / "china" / "cn_village_codes_2023.parquet")
    column = next(c for c in frame.columns if frame[c].astype(str).str.fullmatch(r"\d{12}").mean() > 0.99)
    wrong = [code for code in frame[column].astype(str) if codes.problem(STATISTICAL, code)]
    assert wrong == []

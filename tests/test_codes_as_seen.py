"""Ids and codes are what is seen of them: blanks that look alike are one, a radical is its character."""

import pyarrow as pa
import pytest

from gis.importing import codes, parsing


@pytest.mark.parametrize("written", ["N 1", "N\u00a01", "N  1", "N\u30001", "N \u2009 1", " N 1\u00a0"])
def test_blanks_that_look_alike_are_one(written: str) -> None:
    assert codes.seen(written) == "N 1"
    assert parsing.seen(pa.array([written.strip(" "), "N 1"])).to_pylist() == ["N 1", "N 1"]


def test_a_radical_is_the_character_that_it_looks_like() -> None:
    assert codes.seen("⼭区") == "山区"
    assert codes.seen("①") == "①"

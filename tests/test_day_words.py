"""Hours beside a word of the day: a doubt is told only where there is one."""

import pytest

from gis.importing.day_words import doubt

SURE = ["13/05/2025 12:00:00 AM", "下午3时", "3:05:10 p.m.", "2025-02-30 上午9点", "11:59 PM", "2025-05-13"]
OPEN = ["2025-01-01 晚上12点", "2025-01-01 13:00 AM", "深夜1点", "2025-01-01 下午25:00", "0:30 PM"]


@pytest.mark.parametrize("text", SURE)
def test_a_sure_hour_is_not_blamed_for_what_else_is_wrong(text: str) -> None:
    assert doubt(text) is None


@pytest.mark.parametrize("text", OPEN)
def test_an_hour_that_its_word_leaves_open_is(text: str) -> None:
    assert "do not go together" in (doubt(text) or "")

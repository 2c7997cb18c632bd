"""What a command prints is one line each, whatever the cells of a file hold."""

import io

import pytest

from api.console import LineConsole, visible

FORGED = [
    "a\nimported", "a\r\nerror: none", "\x1b[2Jgone", "\x1b]0;title\x07", "a\x85b", "a\u2028b", "a\u2029b",
    "a\u202egnp.exe", "tab\there", "\x00", "\x9b31m", "\ud800",
]  # fmt: skip


@pytest.mark.parametrize("cell", FORGED)
def test_no_cell_tears_a_line_or_moves_the_cursor(cell: str) -> None:
    stream = io.StringIO()
    LineConsole(file=stream, markup=False).print(f"1 × name: {cell}", soft_wrap=True, highlight=False)
    printed = stream.getvalue()
    assert printed.splitlines() == [printed.removesuffix("\n")]
    assert printed.removesuffix("\n").isprintable()
    assert printed.removeprefix("1 × name: ").strip() == visible(cell)
    assert "\\" in printed, "it is shown that something stands there"


@pytest.mark.parametrize("text", ["网格 [T1] “a” – é", "a  b", "O'Brien \\n", "Łódź", "Ελλάδα", "👍🏽"])
def test_what_can_be_printed_is_printed_as_it_is(text: str) -> None:
    assert visible(text) == text


def test_a_text_of_our_own_has_its_lines() -> None:
    stream = io.StringIO()
    LineConsole(file=stream, markup=False).lines("one\ntwo\n  three")
    assert stream.getvalue() == "one\ntwo\n  three\n"

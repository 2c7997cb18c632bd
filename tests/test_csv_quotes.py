"""Quotes of a CSV: what Python's strict reader reads is read alike, all else is refused with its reason."""

import csv
import io
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gis.importing import csv_quotes, reading
from gis.importing.source import Broken

Rows = tuple[list[tuple[str, ...]], list[Broken]]


def read(path: Path, text: str, encoding: str = "utf-8") -> Rows:
    path.write_bytes(text.encode(encoding))
    chunks = list(reading.read(path).chunks())
    rows = [tuple(v or "" for v in row.values()) for chunk in chunks for row in chunk.table.to_pylist()]
    return rows, [one for chunk in chunks for one in chunk.broken]


BAD = [
    ('1,"said \\"no\\" twice",x', "not doubled"), ('2,"left"right,x', "not doubled"),
    ('3,"a" "b",x', "not doubled"), ('4,"O"Neill",x', "not doubled"), ('5,x,"z"z', "not doubled"),
    ('"6"6,x,y', "not doubled"), ('7,"a, \\"b, c\\"",x', "not doubled"),
]  # fmt: skip
GOOD = [
    ('1,6" pipe,x', ("1", '6" pipe', "x")), ('2,"6"" pipe",x', ("2", '6" pipe', "x")),
    ('3,"","a,b"', ("3", "", "a,b")), ('4,"two\nlines",""""', ("4", "two\nlines", '"')),
    ('5,back\\slash,"\\"', ("5", "back\\slash", "\\")), ('6,"x" ,y', ("6", "x ", "y")),
]  # fmt: skip


@pytest.mark.parametrize("sign", [",", "\t", ";", "|"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_a_row_whose_quotes_do_not_fit_is_refused_and_no_other(
    tmp_path: Path, sign: str, end: str, encoding: str
) -> None:
    lines = ["a,b,c", *(line for line, _ in GOOD), *(line for line, _ in BAD), "8,last,row"]
    text = end.join(line.replace(",", sign) for line in lines)
    rows, broken = read(tmp_path / "f.csv", text + end, encoding)
    expected = [tuple(value.replace(",", sign) for value in row) for _, row in GOOD]
    assert rows == [*expected, ("8", "last", "row")]
    assert [one.row for one in broken] == [*range(len(GOOD) + 1, len(GOOD) + len(BAD) + 1)]
    for one, (line, why) in zip(broken, BAD, strict=True):
        assert one.text.rstrip() == line.replace(",", sign)
        assert why.replace("not doubled", 'write "" for a quote') in one.reason


@pytest.mark.parametrize("column", range(3))
def test_a_quote_that_is_never_closed_is_told_and_swallows_nothing_unsaid(
    tmp_path: Path, column: int
) -> None:
    values = ["2", "x", "y"]
    values[column] = f'"{values[column]}'
    text = "a,b,c\n1,x,y\n" + ",".join(values) + "\n3,x,y\n4,x,y\n"
    rows, (broken,) = read(tmp_path / "f.csv", text)
    assert rows == [("1", "x", "y")]
    assert (broken.row, broken.text) == (2, text.partition("1,x,y\n")[2])
    assert "opens a quote that is never closed (with it 3 lines)" in broken.reason


def test_a_quote_closed_in_another_row_costs_both(tmp_path: Path) -> None:
    rows, (broken,) = read(tmp_path / "f.csv", 'a,b\n1,x\n2,"open\n3,"y"\n4,z\n')
    assert (rows, broken.row, broken.text) == ([("1", "x"), ("4", "z")], 2, '2,"open\n3,"y"\n')
    assert "with it 2 lines" in broken.reason


CELL = st.text(st.sampled_from('ab "\\,;é村'), max_size=6)


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(raw=st.lists(CELL, min_size=1, max_size=4).map(",".join).filter(lambda raw: '"' in raw))
def test_any_row_is_what_a_strict_reader_reads_or_refused(tmp_path: Path, raw: str) -> None:
    """Blanks behind a closing quote, which a strict reader refuses, are kept: they say nothing else."""
    rows, broken = read(tmp_path / "f.csv", f'a,b,"c"\n1,2,3\n{raw}\n')
    try:
        (parsed,) = csv.reader(io.StringIO(raw), strict=True)
        known: list[tuple[str, ...]] = [tuple(parsed)] if len(parsed) == 3 else []
    except (csv.Error, ValueError):
        known = []
    assert rows[0] == ("1", "2", "3")
    assert len(rows) + len(broken) == 2
    assert rows[1:] == known or '" ' in raw


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(st.tuples(*[st.text(st.sampled_from('ab"\\,\n é'), min_size=1)] * 3), min_size=1),
    block=st.integers(1, 40),
)
def test_what_a_writer_quotes_comes_back_whatever_the_blocks(
    tmp_path: Path, rows: list[tuple[str, ...]], block: int
) -> None:
    out = io.StringIO()
    csv.writer(out, quoting=csv.QUOTE_ALL).writerows([("a", "b", "c"), *rows])
    usual, csv_quotes.BLOCK = csv_quotes.BLOCK, block
    stream = csv_quotes.Guarded(io.BytesIO(out.getvalue().encode()), csv_quotes.Quotes(","), 3, 1)
    whole = b"".join(iter(stream.read, b""))
    csv_quotes.BLOCK = usual
    assert whole.decode() == out.getvalue()
    assert read(tmp_path / "f.csv", out.getvalue()) == (rows, [])

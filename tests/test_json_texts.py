"""Sequences of GeoJSON come in whole, however their texts are set apart, or are refused by their line."""

import gzip
import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from gis.errors import BadInput
from gis.importing import json_texts, reading, sandbox
from gis.importing.source import Source

Read = Callable[..., Source]
FILES = [
    ("ndjson", "plain"), ("jsonl", "gz"), ("geojsonl", "zip"), ("geojsons", "plain"), ("geojson", "plain"),
    ("geojson", "zip"), ("json", "gz"),
]  # fmt: skip


def feature(at: int) -> str:
    point = {"type": "Point", "coordinates": [113 + at / 100, 27]}
    return json.dumps({"type": "Feature", "properties": {"origin_id": f"J{at}"}, "geometry": point})


A, B, C = map(feature, range(3))
LINES = f"{A}\n{B}\n{C}"
WHOLE = {
    "a mark in front": f"\ufeff{LINES}\n",
    "a mark in each line": f"\ufeff{A}\n\ufeff{B}\n\ufeff{C}\n",
    "CR": LINES.replace("\n", "\r"),
    "CR and a mark": "\ufeff" + LINES.replace("\n", "\r") + "\r",
    "commas": LINES.replace("\n", ",\n"),
    "a comma on the last too": LINES.replace("\n", " ,\r\n") + ",\n",
    "semicolons": LINES.replace("\n", ";\n") + ";",
    "one line": A + B + C,
    "one line with blanks": f"{A} {B}\t{C}\n",
    "two on a line": f"{A}{B}\n{C}\n",
    "over several lines": "\n".join(json.dumps(json.loads(one), indent=1) for one in (A, B, C)),
    "record separators and a mark": "".join(f"\ufeff\x1e{one}\n" for one in (A, B, C)),
    "plain": LINES,
    "CRLF and empty lines": LINES.replace("\n", "\r\n\r\n"),
}
BROKEN = {
    "null": (f"{A}\nnull\n{B}\n", "line 2 is no feature (null)"),
    "null first": (f"null\n{A}\n{B}\n", "line 1 is no feature (null)"),
    "a number": (f"{A}\n{B}\n5\n", "line 3 is no feature (5)"),
    "a list": (f"{A}\r[{B}]\r{C}", "line 2 is no feature ([{"),
    "an object": (f"{A}\n\n{{}}\n{B}", "line 3 is no feature ({})"),
    "a collection": (f'{A}\n{{"type": "FeatureCollection", "features": [{B}]}}', "line 2 is no feature (a F"),
    "behind a collection": (f'{{"type": "FeatureCollection", "features": [{A}]}}\n{B}', "line 1 is no feat"),
    "garbage behind": (f"{A} x\n{B}\n{C}", "is no JSON in line 1 (x {"),
    "garbage at the end": (f"{A}\n{B}\n{C}\nx", "is no JSON in line 4 (x)"),
    "garbage behind the only one": (f"{A}\n}}\n", "is no JSON in line 2 (})"),
    "cut in the middle": (f"{A}\n{B[:-30]}\n{C}", "is no JSON in lines 2 to 3 ("),
    "cut at the end": (f"{A}\n{B}\n{C[:-1]}", "is no JSON in line 3 (its end)"),
}


def written(folder: Path, suffix: str, how: str, text: str) -> Path:
    content = text.encode()
    if how == "zip":
        with zipfile.ZipFile(folder / "a.zip", "w") as archive:
            archive.writestr(f"in/a.{suffix}", content)
        return folder / "a.zip"
    path = folder / f"a.{suffix}{'.gz' if how == 'gz' else ''}"
    path.write_bytes(gzip.compress(content) if how == "gz" else content)
    return path


def ids(path: Path, read: Read = reading.read) -> list[str]:
    return [one for chunk in read(path).chunks() for one in chunk.table["origin_id"].to_pylist()]


@pytest.mark.parametrize(("suffix", "how"), FILES)
@pytest.mark.parametrize("case", WHOLE)
def test_every_feature_is_read(tmp_path: Path, case: str, suffix: str, how: str) -> None:
    assert ids(written(tmp_path, suffix, how, WHOLE[case])) == ["J0", "J1", "J2"]


@pytest.mark.parametrize(("suffix", "how"), FILES)
@pytest.mark.parametrize("case", BROKEN)
def test_what_is_no_feature_is_named_by_its_line(tmp_path: Path, case: str, suffix: str, how: str) -> None:
    text, words = BROKEN[case]
    with pytest.raises(BadInput) as refused:
        ids(written(tmp_path, suffix, how, text))
    assert words in refused.value.detail
    assert "correct it or take it out" in refused.value.detail or "get it again" in refused.value.detail


@pytest.mark.parametrize("case", ["a mark in front", "one line", "null"])
def test_so_it_is_in_the_process_that_reads(tmp_path: Path, case: str) -> None:
    path = written(tmp_path, "ndjson", "plain", (WHOLE | {"null": BROKEN["null"][0]})[case])
    if case in WHOLE:
        assert ids(path, sandbox.read) == ["J0", "J1", "J2"]
    else:
        with pytest.raises(BadInput, match="line 2 is no feature"):
            ids(path, sandbox.read)


@pytest.mark.parametrize("block", [1, 7, 200])
def test_texts_are_the_same_however_the_file_is_cut_into_blocks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: int
) -> None:
    monkeypatch.setattr(json_texts, "_BLOCK", block)
    for case, text in WHOLE.items():
        assert ids(written(tmp_path, "ndjson", "plain", text)) == ["J0", "J1", "J2"], case
    for case, (text, words) in BROKEN.items():
        with pytest.raises(BadInput) as refused:
            ids(written(tmp_path, "ndjson", "plain", text))
        assert words in refused.value.detail, case


@pytest.mark.parametrize("case", WHOLE)
def test_a_sequence_too_large_to_hold_is_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    monkeypatch.setattr(json_texts, "MOST_READ", 250)
    monkeypatch.setattr(json_texts, "_BLOCK", 100)
    path = written(tmp_path, "ndjson", "plain", WHOLE[case])
    if case in ("plain", "CRLF and empty lines"):
        assert ids(path) == ["J0", "J1", "J2"]
    else:
        with pytest.raises(BadInput, match=r"line [12] does not hold one feature alone, .* or split it"):
            ids(path)

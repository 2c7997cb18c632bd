"""A file is written whole, or what stood there stays: full disks, limits; no operator's file is lost."""

import resource
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import geopandas as gpd
import pandas as pd
import pyogrio
import pytest
from typer.testing import CliRunner

from api.cli import app
from gis.errors import BadInput
from gis.exporting.files import WRITERS
from gis.importing import sandbox
from gis.importing.frames import from_frame
from gis.importing.refusals import Refusal, RefusedFile, is_ours
from gis.importing.source import ReadOptions
from gis.whole_files import whole

KIB = 1024


@contextmanager
def at_most(size: int) -> Iterator[None]:
    """Let no file grow beyond a size, as a full disk would: Python ignores the signal and gets an error."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def _rows(count: int) -> gpd.GeoDataFrame:
    texts = pd.DataFrame({"code": [f"{at:06d}{at * 7919 % 1_000_003}" for at in range(count)]})
    return gpd.GeoDataFrame(texts, geometry=gpd.points_from_xy(range(count), range(count)), crs=4326)


@pytest.mark.parametrize("suffix", WRITERS)
def test_on_a_full_disk_the_old_file_stays_and_one_line_says_why(tmp_path: Path, suffix: str) -> None:
    file = tmp_path / f"old{suffix}"
    file.write_bytes(b"what was there")
    why = r"cannot be written: .+bytes are free"
    with at_most(4 * KIB), pytest.raises(BadInput, match=why) as told, whole(file) as part:
        WRITERS[suffix](_rows(20_000), part)
    assert told.value.field == "FILE"
    assert str(file) in told.value.detail
    assert "\n" not in told.value.detail
    assert file.read_bytes() == b"what was there"
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize("suffix", WRITERS)
def test_what_is_whole_takes_the_place_with_its_permissions(tmp_path: Path, suffix: str) -> None:
    file = tmp_path / f"old{suffix}"
    file.write_bytes(b"what was there")
    file.chmod(0o640)
    with whole(file) as part:
        WRITERS[suffix](_rows(10), part)
        assert file.read_bytes() == b"what was there"
    assert file.read_bytes() != b"what was there"
    assert file.stat().st_mode & 0o777 == 0o640
    assert list(tmp_path.iterdir()) == [file]


def test_a_link_goes_on_leading_to_the_file(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "file")
    with whole(tmp_path / "link") as part:
        part.write_text("new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "file").read_text() == "new"


def test_a_device_is_written_to_and_not_replaced() -> None:
    with whole(Path("/dev/null")) as part:
        part.write_text("x")
    assert Path("/dev/null").is_char_device()
    with pytest.raises(BadInput, match="No space left"), whole(Path("/dev/full")) as part:
        part.write_text("x")


@pytest.mark.parametrize("error", [KeyError("a bug"), ValueError("a bug")])
def test_what_is_no_fault_of_the_disk_is_raised_as_it_is(tmp_path: Path, error: Exception) -> None:
    with pytest.raises(type(error), match="a bug"), whole(tmp_path / "a"):
        raise error
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("rows", [1, 10, 1_000, 5_000])
def test_refused_rows_are_listed_whole_or_the_import_stops(tmp_path: Path, rows: int) -> None:
    source = from_frame(pd.DataFrame({"a": ["x" * 40] * rows}), "rows")
    refused = RefusedFile(tmp_path / "refused.csv", source)
    [chunk] = source.chunks()
    with at_most(20), pytest.raises(BadInput, match="--refused: "), closing(refused):
        refused.add([Refusal(row, "a", "is wrong", "x") for row in range(1, rows + 1)], chunk)
    assert not list(tmp_path.iterdir())


SOURCE = "code,lon,lat,category\n1,113.1,27.8,x\n2,200,100,x\n"
Given = Callable[[Path], Path]


def _itself(source: Path) -> Path:
    return source


def _link(source: Path) -> Path:
    (source.parent / "link.csv").symlink_to(source)
    return source.parent / "link.csv"


def _mapping(source: Path) -> Path:
    file = source.parent / "m.toml"
    file.write_text("[columns]\n")
    return file


def _folder(source: Path) -> Path:
    return source.parent


@pytest.mark.parametrize("given", [_itself, _link, _mapping, _folder])
def test_refused_rows_overwrite_nothing_but_refused_rows(tmp_path: Path, given: Given) -> None:
    source = tmp_path / "in.csv"
    source.write_text(SOURCE)
    target = given(source)
    before = target.read_bytes() if target.is_file() else b""
    done = CliRunner().invoke(app, ["import", "cameras", str(source), "--refused", str(target)])
    assert done.exit_code == 1
    assert "--refused" in done.stderr
    assert source.read_text() == SOURCE
    assert not target.is_file() or target.read_bytes() == before


def test_corrected_refused_rows_are_not_overwritten_while_they_are_read(tmp_path: Path) -> None:
    source = tmp_path / "refused.csv"
    source.write_text(f"row,line,field,reason,value,{SOURCE}", encoding="utf-8-sig")
    assert is_ours(source)
    done = CliRunner().invoke(app, ["import", "cameras", str(source), "--refused", str(source)])
    assert (done.exit_code, "is the file that is read" in done.stderr) == (1, True)


def test_mend_writes_over_no_file(tmp_path: Path) -> None:
    source = tmp_path / "in.geojson"
    _rows(2).to_file(source)
    for out in (source, tmp_path / "new.txt"):
        done = CliRunner().invoke(app, ["mend", str(source), "--accept", "all", "--out", str(out)])
        assert (done.exit_code, "--out" in done.stderr) == (1, True)


TRUE, NUMBERED = '"exceededTransferLimit": true', '"numberMatched": 5000, "numberReturned": 1'
SAID = [
    (f"{{{TRUE}, %s}}", "1, and there are more"),
    (f'{{"properties": {{{TRUE}}}, %s}}', "1, and there are more"),
    (f"{{%s, {TRUE}}}", "1, and there are more"), (f"{{%s, {NUMBERED}}}", "1 of 5000"),
    ('{"totalFeatures": 5000, %s}', "1 of 5000"), ('{"totalFeatures": 1, %s}', None), ("{%s}", None),
    ('{"exceededTransferLimit": false, %s}', None),
]  # fmt: skip


@pytest.mark.parametrize(("written", "told"), SAID)
def test_an_answer_that_says_it_is_a_part_is_told_of(tmp_path: Path, written: str, told: str | None) -> None:
    features = (
        '"type":"FeatureCollection","features":[{"type":"Feature","properties":{"a":1},"geometry":null}]'
    )
    file = tmp_path / "answer.geojson"
    file.write_text(written % features)
    notes = " ".join(sandbox.read(file, ReadOptions()).notes)
    assert ("is a part" in notes, (told or "") in notes) == (told is not None, True)


ZONES = ["2015-04-22T00:00:00", "2015-04-22T00:00:00.000Z", "2015-04-22T00:00:00"]


def test_times_of_one_column_keep_their_own_zones(tmp_path: Path) -> None:
    """Whatever the driver makes of a column in which some rows have a zone and some have none."""
    file = tmp_path / "times.gpkg"
    pyogrio.write_dataframe(pd.DataFrame({"at": [pd.Timestamp("2015-04-22")] * 3}), file)
    with closing(sqlite3.connect(file)) as written, written:
        for at, text in enumerate(ZONES, start=1):
            written.execute("UPDATE times SET at = ? WHERE fid = ?", (text, at))
    [chunk] = sandbox.read(file, ReadOptions()).chunks()
    assert chunk.table["at"].to_pylist() == ZONES

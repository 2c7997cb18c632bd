"""Files read in a process of their own give what they give here; hostile ones end there, with a reason."""

import gc
import gzip
import json
import signal
import sqlite3
import struct
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.feather
import pytest
import shapely

from gis.errors import BadInput, NotFound
from gis.importing import reading, sandbox
from gis.importing.source import Source


def frame(count: int = 3) -> gpd.GeoDataFrame:
    places = shapely.points(np.linspace(113, 114, count), np.linspace(27, 28, count))
    columns = {"name": [f"网格{n}" for n in range(count)], "value": np.arange(count) / 3}
    return gpd.GeoDataFrame(columns, geometry=places, crs=4326)


def _csv(path: Path) -> None:
    path.write_text("id,name\n1,甲\n2,乙,too,many\n3,丙\n", encoding="gbk")


SAMPLES: dict[str, Callable[[Path], object]] = {
    "a.gpkg": lambda path: frame().to_file(path, driver="GPKG"),
    "a.fgb": lambda path: frame().to_file(path, driver="FlatGeobuf"),
    "a.geojson": lambda path: frame().to_file(path, driver="GeoJSON"),
    "a.shp": lambda path: frame().to_file(path, driver="ESRI Shapefile", encoding="UTF-8"),
    "a.kml": lambda path: frame().to_file(path, driver="KML"),
    "a.parquet": lambda path: frame(120_000).to_parquet(path),
    "a.arrow": lambda path: pa.feather.write_feather(pa.table({"a": [1, None], "b": ["x", "y"]}), path),
    "a.csv": _csv,
    "a.xlsx": lambda path: pd.DataFrame({"id": [1, 2], "name": ["甲", "乙"]}).to_excel(path, index=False),
}


@pytest.mark.parametrize("name", SAMPLES)
def test_the_child_gives_what_reading_gives(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    SAMPLES[name](path)
    here, there = reading.read(path), sandbox.read(path)
    fields = ("name", "sha256", "columns", "has_geometry", "crs", "total", "lines")
    assert [getattr(there, one) for one in fields] == [getattr(here, one) for one in fields]
    for mine, theirs in zip(here.chunks(), there.chunks(), strict=True):
        assert theirs.rows.tolist() == mine.rows.tolist()
        assert theirs.table.equals(mine.table)
        assert theirs.broken == mine.broken
        assert (mine.geometry is None) == (theirs.geometry is None)
        if mine.geometry is not None:
            assert shapely.equals_identical(theirs.geometry, mine.geometry).all()


def test_the_first_chunk_is_enough_to_stop(tmp_path: Path) -> None:
    SAMPLES["a.parquet"](tmp_path / "a.parquet")
    chunks = sandbox.read(tmp_path / "a.parquet").chunks()
    assert len(next(chunks)) == 50_000
    chunks.close()  # type: ignore[attr-defined]


def _zip(path: Path, inside: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in inside.items():
            archive.writestr(name, content)
    return path


def _kml(entity: str) -> str:
    return f"<!DOCTYPE a [{entity}]><kml><Document><Placemark><name>&b;</name></Placemark></Document></kml>"


def _bomb() -> bytes:
    return bytes(300 << 20)


LAUGHS = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 12))


def _endless_view(path: Path) -> None:
    """A GeoPackage with a layer that is a view which never ends."""
    frame().to_file(path, driver="GPKG", layer="good")
    with sqlite3.connect(path) as db:
        endless = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT x AS fid FROM n"
        db.execute(f"CREATE VIEW bad AS {endless}")
        db.execute("DELETE FROM gpkg_contents")
        db.execute("INSERT INTO gpkg_contents (table_name, data_type) VALUES ('bad', 'attributes')")


def _trigger(path: Path) -> None:
    """A GeoPackage whose triggers would write, if anything but reading were done."""
    frame().to_file(path, driver="GPKG", layer="good")
    with sqlite3.connect(path) as db:
        db.execute("CREATE TRIGGER evil AFTER UPDATE ON good BEGIN DELETE FROM good; END")


HOSTILE: dict[str, Callable[[Path], object]] = {
    "bomb.xlsx": lambda path: _zip(path, {"xl/worksheets/sheet1.xml": _bomb()}),
    "bomb.zip": lambda path: _zip(path, {"a.csv": _bomb()}),
    "many.zip": lambda path: _zip(path, {f"{n}.csv": b"" for n in range(10_001)}),
    "slip.zip": lambda path: _zip(path, {"../../etc/cron.d/x": b"x"}),
    "root.kmz": lambda path: _zip(path, {"/etc/passwd": b"x"}),
    "torn.zip": lambda path: path.write_bytes(b"PK\x03\x04torn"),
    "torn.parquet": lambda path: path.write_bytes(b"PAR1" + b"\xff" * 100 + b"PAR1"),
    "torn.gpkg": lambda path: path.write_bytes(b"SQLite format 3\x00" + b"\xff" * 4000),
    "torn.fgb": lambda path: path.write_bytes(b"fgb\x03fgb\x00" + b"\xff" * 4000),
    "torn.shp": lambda path: path.write_bytes(struct.pack(">7i", 9994, 0, 0, 0, 0, 0, 2**31 - 1) + bytes(72)),
    "torn.arrow": lambda path: path.write_bytes(b"ARROW1\x00\x00" + b"\xff" * 100),
    "other.vrt": lambda path: path.write_text(
        '<OGRVRTDataSource><OGRVRTLayer name="passwd"><SrcDataSource>CSV:/etc/passwd</SrcDataSource>'
        "</OGRVRTLayer></OGRVRTDataSource>"
    ),
    "server.xml": lambda path: path.write_text(
        "<OGRWFSDataSource><URL>http://127.0.0.1:1/</URL></OGRWFSDataSource>"
    ),
    "pipe.json": lambda path: path.write_text(
        '{"type": "gdal_streamed_alg", "command_line": "gdal vector info"}'
    ),
    "deep.geojson": lambda path: path.write_text('{"type":"FeatureCollection","features":' + "[" * 200_000),
    "nothing.csv": lambda path: path.write_bytes(b""),
    "zeros.csv": lambda path: path.write_bytes(bytes(1000)),
    "laughs.kml": lambda path: path.write_text(_kml(f'<!ENTITY l0 "ha">{LAUGHS}<!ENTITY b "&l11;">')),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files_are_refused_with_a_reason(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    HOSTILE[name](path)
    with pytest.raises(BadInput) as refused:
        list(sandbox.read(path).chunks())
    assert 10 < len(str(refused.value)) < 400
    assert "Traceback" not in str(refused.value)


@pytest.mark.parametrize("outside", ["file:///etc/hostname", "http://127.0.0.1:1/x"])
def test_entities_bring_nothing_in(tmp_path: Path, outside: str) -> None:
    path = tmp_path / "xxe.kml"
    path.write_text(_kml(f'<!ENTITY b SYSTEM "{outside}">'))
    try:
        told = [chunk.table.to_pydict() for chunk in sandbox.read(path).chunks()]
    except BadInput:
        return
    assert Path("/etc/hostname").read_text().strip() not in json.dumps(told)


def test_triggers_do_nothing(tmp_path: Path) -> None:
    _trigger(tmp_path / "a.gpkg")
    assert sum(len(chunk) for chunk in sandbox.read(tmp_path / "a.gpkg").chunks()) == 3


def test_a_view_that_never_ends_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _endless_view(tmp_path / "a.gpkg")
    monkeypatch.setattr(sandbox, "SECONDS", 2)
    began = time.monotonic()
    with pytest.raises(BadInput, match="needs more time to read"):
        list(sandbox.read(tmp_path / "a.gpkg").chunks())
    assert time.monotonic() - began < 60


def test_a_row_without_end_takes_no_memory_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "long.csv"
    with path.open("wb") as file:
        file.write(b"id,name\n1,")
        for _ in range(64):
            file.write(b"x" * (1 << 20))
    monkeypatch.setattr(sandbox, "MEMORY", 1 << 30)
    with pytest.raises(BadInput):
        list(sandbox.read(path).chunks())


ENDS = {
    signal.SIGKILL: "killed from outside", signal.SIGSEGV: r"broke off \(SIGSEGV\)",
    signal.SIGABRT: r"broke off \(SIGABRT\)", signal.SIGXCPU: "needs more time",
}  # fmt: skip


@pytest.mark.parametrize("end", ENDS)
def test_how_a_reader_ended_is_said(
    tmp_path: Path, end: signal.Signals, children: list[subprocess.Popen[bytes]]
) -> None:
    SAMPLES["a.parquet"](tmp_path / "a.parquet")
    chunks = sandbox.read(tmp_path / "a.parquet").chunks()
    next(chunks)
    children[0].send_signal(end)
    with pytest.raises(BadInput, match=ENDS[end]):
        list(chunks)


@pytest.mark.parametrize(
    ("code", "said"),
    [(3, "needs more memory"), (1, "ended with code 1"), (0, "code 0"), (None, "fell silent")],
)
def test_what_a_code_means_is_said(code: int | None, said: str) -> None:
    assert said in sandbox._why(code)


def test_too_little_memory_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.kml.gz"
    with gzip.open(path, "wb", 1) as file:
        file.write(b"<kml><Document><Placemark><description>")
        for _ in range(300):
            file.write(b"x" * (1 << 20))
        file.write(b"</description></Placemark></Document></kml>")
    monkeypatch.setattr(sandbox, "MEMORY", 1 << 30)
    with pytest.raises(BadInput, match="needs more memory to read than a file may"):
        list(sandbox.read(path).chunks())


def test_paths_of_other_file_systems_are_refused() -> None:
    for path in ("/vsicurl/http://127.0.0.1:1/a.gpkg", "/vsizip//a.zip/b.shp", "/vsimem/a"):
        with pytest.raises((BadInput, NotFound)):
            sandbox.read(Path(path))


def test_a_million_vertices_that_cross_are_a_shape_like_others(tmp_path: Path) -> None:
    turns = np.random.default_rng(1).random((1_000_000, 2)) + np.array([113.0, 27.0])
    ring = shapely.Polygon(np.vstack([turns, turns[:1]]))
    gpd.GeoDataFrame({"id": [1]}, geometry=[ring], crs=4326).to_parquet(tmp_path / "a.parquet")
    (chunk,) = sandbox.read(tmp_path / "a.parquet").chunks()
    assert shapely.get_num_coordinates(chunk.geometry[0]) == 1_000_001


def test_what_is_odd_in_numbers_is_brought_as_it_is(tmp_path: Path) -> None:
    """NaN and infinite places are for the importer to refuse row by row; here they pass unharmed."""
    odd = shapely.points([[np.nan, 1.0], [np.inf, 1.0], [1e308, -1e308]])
    gpd.GeoDataFrame({"id": [1, 2, 3]}, geometry=odd, crs=4326).to_parquet(tmp_path / "a.parquet")
    (chunk,) = sandbox.read(tmp_path / "a.parquet").chunks()
    assert len(chunk) == 3


@pytest.fixture
def children(monkeypatch: pytest.MonkeyPatch) -> list[subprocess.Popen[bytes]]:
    """The processes that read, in the order of their start."""
    started: list[subprocess.Popen[bytes]] = []

    def start(*words: Any, **how: Any) -> subprocess.Popen[bytes]:
        started.append(subprocess.Popen(*words, **how))
        return started[-1]

    monkeypatch.setattr(sandbox, "subprocess", SimpleNamespace(Popen=start, PIPE=-1, DEVNULL=-3))
    return started


@pytest.mark.parametrize("name", SAMPLES)
def test_a_file_read_once_takes_one_process(
    tmp_path: Path, children: list[subprocess.Popen[bytes]], name: str
) -> None:
    SAMPLES[name](tmp_path / name)
    source = sandbox.read(tmp_path / name)
    first = [chunk.table.to_pydict() for chunk in source.chunks()]
    assert len(children) == 1
    assert [chunk.table.to_pydict() for chunk in source.chunks()] == first
    assert len(children) == 2
    assert all(child.returncode is not None for child in children)


@pytest.mark.parametrize(
    "use", [lambda _: None, lambda source: source.chunks(), lambda source: next(source.chunks())]
)
def test_a_source_that_is_let_go_leaves_no_process(
    tmp_path: Path, children: list[subprocess.Popen[bytes]], use: Callable[[Source], object]
) -> None:
    SAMPLES["a.parquet"](tmp_path / "a.parquet")
    source = sandbox.read(tmp_path / "a.parquet")
    use(source)
    del source
    gc.collect()
    assert [child.returncode for child in children] == [-signal.SIGKILL]


@pytest.mark.parametrize("name", SAMPLES)
def test_the_process_starts_without_frames(tmp_path: Path, name: str) -> None:
    """They would be half of its start."""
    SAMPLES[name](tmp_path / name)
    words = [str(tmp_path / name), "{}", str(6 << 30), "60"]
    program = [sys.executable, "-X", "importtime", "-m", "gis.importing.child", *words]
    done = subprocess.run(program, capture_output=True, check=True)
    loaded = {line.rpartition(b"|")[2].strip() for line in done.stderr.splitlines()}
    assert b"pyogrio.raw" in loaded
    assert not [name for name in loaded if name.startswith((b"pandas.", b"geopandas."))]

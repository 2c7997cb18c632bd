"""Modules that lie in the folder a command is run in are no part of the program: none is ever executed."""

import multiprocessing
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import geopandas as gpd
import httpx2 as httpx
import pandas as pd
import pytest
import shapely

from api import cli
from tests.browsing import free_port, wait

PROGRAM = Path(sys.executable).with_name("safetymap")
SHADOWS = (
    "pyogrio", "numpy", "http", "json", "pyarrow", "shapely", "gis", "api", "socket", "pickle", "runpy",
    "multiprocessing", "uvicorn", "encodings", "sitecustomize", "usercustomize",
)  # fmt: skip
MARK = "executed"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with modules that say, by a file, that they were executed."""
    for name in SHADOWS:
        (tmp_path / f"{name}.py").write_text(
            f"import os\nos.close(os.open({str(tmp_path / MARK)!r} + '.{name}', os.O_CREAT | os.O_WRONLY))\n"
            f"raise ImportError('{name} of the current folder')\n"
        )
    return tmp_path


def _executed(folder: Path) -> list[str]:
    return sorted(path.suffix for path in folder.glob(f"{MARK}.*"))


def _cameras() -> gpd.GeoDataFrame:
    columns = {"origin_id": ["c1", "c2"], "name": ["甲", "乙"], "lon": [113.1, 113.2], "lat": [27.8, 27.9]}
    return gpd.GeoDataFrame(columns, geometry=shapely.points(columns["lon"], columns["lat"]), crs=4326)


FILES: dict[str, Callable[[Path], object]] = {
    "a.csv": lambda path: pd.DataFrame(_cameras().drop(columns="geometry")).to_csv(path, index=False),
    "a.kml": lambda path: _cameras().to_file(path, driver="KML"),
    "a.geojson": lambda path: _cameras().to_file(path, driver="GeoJSON"),
    "a.xlsx": lambda path: pd.DataFrame(_cameras().drop(columns="geometry")).to_excel(path, index=False),
}
KIND = "cameras"


def _environment(database: str, **more: str) -> dict[str, str]:
    ours = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    return ours | {"SAFETYMAP_DATABASE_URL": database} | more


@pytest.mark.parametrize("name", FILES)
def test_an_import_runs_no_module_of_the_current_folder(folder: Path, database: str, name: str) -> None:
    FILES[name](folder / name)
    done = subprocess.run(
        [str(PROGRAM), "import", KIND, name],
        cwd=folder, env=_environment(database), capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert (done.returncode, _executed(folder)) == (0, []), done.stdout + done.stderr
    assert "2" in done.stdout


def test_the_service_s_processes_run_none_either(folder: Path, database: str) -> None:
    port, env = free_port(), _environment(database, SAFETYMAP_DATA_DIR=str(folder / "data"))
    words = [str(PROGRAM), "serve", "--workers", "2", "--port", str(port)]
    server = subprocess.Popen(words, cwd=folder, env=env, stderr=subprocess.PIPE, text=True)
    try:
        wait(lambda: server.poll() is not None or _is_live(port))
        assert server.poll() is None
        assert _executed(folder) == []
    finally:
        server.terminate()
        server.communicate(timeout=60)


def _is_live(port: int) -> bool:
    with suppress(httpx.HTTPError):
        return httpx.get(f"http://127.0.0.1:{port}/health/live", timeout=2).is_success
    return False


@pytest.mark.parametrize("paths", ["", ".", ":/usr/share/none", "shadows/..:", "./"])
def test_a_process_of_the_service_takes_none_by_a_relative_path(
    folder: Path, monkeypatch: pytest.MonkeyPatch, paths: str
) -> None:
    (folder / "shadows").mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("PYTHONPATH", paths)
    monkeypatch.setenv("PYTHONSAFEPATH", "")
    cli.keep_modules_apart()
    process = multiprocessing.get_context("spawn").Process(target=int)
    process.start()
    process.join(60)
    assert (process.exitcode, _executed(folder)) == (0, [])

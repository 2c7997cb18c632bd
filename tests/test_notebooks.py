"""The notebooks run from top to bottom on the demo city, hold no outputs, and load nothing from outside."""

import re
from html import unescape
from pathlib import Path

import folium
import nbformat
import pytest
from nbclient import NotebookClient

from gis.settings import ROOT

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
OUTSIDE = re.compile(r"(?:src|href)=\\?[\"']https?://(?!leafletjs\.com|www\.openstreetmap\.org)")
"""Anything loaded from another host; links a reader may click do not load."""


def _read(path: Path) -> nbformat.NotebookNode:
    return nbformat.read(path, as_version=4)


def test_there_are_notebooks() -> None:
    assert {path.stem for path in NOTEBOOKS} >= {"hotspot_review", "boundary_review", "address_lookup"}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_outputs_are_stripped(path: Path) -> None:
    code = [cell for cell in _read(path).cells if cell.cell_type == "code"]
    assert code
    assert all(not cell.outputs and cell.execution_count is None for cell in code)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs(path: Path, demo: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAFETYMAP_DATABASE_URL", demo)
    notebook = _read(path)
    NotebookClient(notebook, timeout=180, resources={"metadata": {"path": str(ROOT)}}).execute()
    html = [
        output["data"]["text/html"]
        for cell in notebook.cells
        if cell.cell_type == "code"
        for output in cell.outputs
        if output.output_type == "execute_result" and "text/html" in output["data"]
    ]
    maps = [unescape(page) for page in html if "leaflet" in page]
    assert maps, "every notebook ends on a map"
    assert not [found for page in maps for found in OUTSIDE.findall(page)]


def test_what_loads_from_outside_would_be_found() -> None:
    assert OUTSIDE.search(unescape(folium.Map()._repr_html_()))

"""Names of mappings: a ready one goes before a file of its name, and what was taken shows in its name."""

from pathlib import Path

import pytest

from gis.errors import NotFound
from gis.importing import mapping

TEXT = '[cameras]\norigin = "the file"\n'


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current folder that holds files called as mappings are."""
    for name in ("plain", "plain.toml", "chicago-cameras", "chicago-cameras.toml", "mine", "mine.toml"):
        (tmp_path / name).write_text(TEXT)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", ["plain", "chicago-cameras"])
def test_a_ready_mapping_goes_before_a_file_of_its_name(folder: Path, name: str) -> None:
    found = mapping.load(name, "cameras")
    assert (found.name, found.origin == "the file") == (name, False)
    for written, called in (
        (f"./{name}", f"./{name}"),
        (f"{name}.toml", f"{name}.toml"),
        (f"./{name}.toml", f"{name}.toml"),
        (str(folder / name), f"./{name}"),
    ):
        found = mapping.load(written, "cameras")
        assert (found.name, found.origin) == (called, "the file"), written


@pytest.mark.parametrize(("name", "called"), [("mine", "./mine"), ("mine.toml", "mine.toml")])
@pytest.mark.usefixtures("folder")
def test_a_file_is_called_as_no_ready_one_is(name: str, called: str) -> None:
    assert mapping.load(name, "cameras").name == called


@pytest.mark.usefixtures("folder")
def test_ready_ones_are_listed() -> None:
    with pytest.raises(NotFound, match=r"ready ones are .*en-spreadsheet, plain, zh-spreadsheet"):
        mapping.load("planes", "cameras")

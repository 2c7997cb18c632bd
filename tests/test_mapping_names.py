"""Names of mappings and of columns: which one is taken, and which signs of a heading count."""

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


@pytest.mark.parametrize(
    ("written", "field"),
    [
        ("origin_id\u200b", "origin_id"), ("\ufefforigin_id", "origin_id"), ("origin\u00ad_id", "origin_id"),
        ("lo\u00adn", "lon"), ("\u2066lat\u2069", "lat"), ("occurred\u00a0at", "occurred_at"),
        ("Occurred  At", "occurred_at"), ("ＯＣＣＵＲＲＥＤ＿ＡＴ", "occurred_at"),
        ("occurred at (local)", "occurred_at"),
        ("descrip\u2060tion\ufe0f", "description"), ("名\u200d称", "名称"),
    ],
)  # fmt: skip
def test_signs_that_nobody_sees_do_not_tell_headings_apart(written: str, field: str) -> None:
    assert mapping.pick(field, ["x", written]) == written
    assert mapping.pick(field, [written, field]) == field, "the one that is written so goes first"


@pytest.mark.parametrize(
    ("one", "other"), [("lon", "lan"), ("name_en", "nameen"), ("x-y", "xy"), ("a1", "a 1")]
)
def test_signs_that_are_seen_do(one: str, other: str) -> None:
    assert mapping.pick(one, [other]) is None

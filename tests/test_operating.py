"""The operator's guide names every setting as it is, and commands, metrics and pages that exist."""

import re
from pathlib import Path

import pytest
import typer

from api import health, recorder, tiling
from api.cli import app
from gis.settings import ROOT, Settings
from gis.settings_table import markdown, rows

GUIDES = [ROOT / "docs/operating.md", ROOT / "docs/operating.zh-CN.md"]
_ROW = re.compile(r"^\| `(SAFETYMAP_\w+)` \| (.+?) \| (.+) \|$", re.MULTILINE)
_CHINESE = re.compile("[\u4e00-\u9fff]")


def test_every_setting_says_what_it_does() -> None:
    assert [name for name, _, what in rows() if not what] == []
    assert len(list(rows())) == len(Settings.model_fields)


def test_the_table_is_that_of_the_settings() -> None:
    assert markdown() in GUIDES[0].read_text(), "print it: python -c 'from gis.settings_table import …'"


def test_the_chinese_table_has_the_same_settings_and_values() -> None:
    there = _ROW.findall(GUIDES[1].read_text())
    assert [(name, unset) for name, unset, _ in there] == [(name, unset) for name, unset, _ in rows()]
    assert [name for name, _, what in there if not _CHINESE.search(what)] == []


def test_a_changed_default_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Settings.model_fields["port"], "default", 8002)
    assert markdown() not in GUIDES[0].read_text()


@pytest.mark.parametrize("guide", GUIDES, ids=lambda path: path.name)
def test_it_names_commands_that_there_are(guide: Path) -> None:
    commands = re.findall(
        r"(?:safetymap|map) ((?:[a-z]+ ?)+)",
        " ".join(re.findall(r"`(?:safetymap|map) [^`]*`", guide.read_text())),
    )
    assert len(commands) >= 9
    for words in commands:
        found = typer.main.get_command(app)
        for word in words.split():
            if isinstance(found, typer.core.TyperGroup):
                found = found.commands[word]


@pytest.mark.parametrize("guide", GUIDES, ids=lambda path: path.name)
def test_it_names_metrics_and_settings_that_there_are(guide: Path) -> None:
    told = guide.read_text()
    gauges = [*vars(health).values(), *vars(recorder).values(), *vars(tiling).values()]
    names = {
        one.describe()[0].name for one in gauges if hasattr(one, "describe") and not isinstance(one, type)
    }
    named = {name.removesuffix("_total") for name in re.findall(r"`(safetymap_\w+)", told)}
    assert len(named) >= 7
    assert named <= names
    assert set(re.findall(r"SAFETYMAP_\w+", told)) <= {name for name, _, _ in rows()}


@pytest.mark.parametrize("guide", GUIDES, ids=lambda path: path.name)
def test_its_links_lead_somewhere(guide: Path) -> None:
    for page, part in re.findall(r"\]\(([^)#]*)(?:#([^)]*))?\)", guide.read_text()):
        target = guide.parent / page if page else guide
        assert target.exists(), page
        heads = re.findall(r"^#+ (.*)$", target.read_text(), re.MULTILINE) if target.suffix == ".md" else []
        assert not part or part in {re.sub(r"[^\w -]", "", one.lower()).replace(" ", "-") for one in heads}, (
            part
        )

"""What lies in deploy/ fits the program: its settings, commands and headers; deploy/try.sh tries it whole."""

import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
import typer

from api.cli import app
from gis.backup import units
from gis.settings import ROOT, Settings

DEPLOY = ROOT / "deploy"
UNITS = sorted(DEPLOY.glob("*.service"))
GUIDES = (ROOT / "docs/deploy.md", ROOT / "docs/deploy.zh-CN.md")


def settings_of(path: Path) -> dict[str, str]:
    lines = (line for line in path.read_text().splitlines() if line and not line.startswith("#"))
    return dict(line.split("=", 1) for line in lines)


def test_the_settings_are_ours() -> None:
    held = settings_of(DEPLOY / "safetymap.env")
    assert {name.removeprefix("SAFETYMAP_").lower() for name in held} <= Settings.model_fields.keys()
    assert held["SAFETYMAP_TRUSTED_PROXY"] == held["SAFETYMAP_HOST"] == "127.0.0.1"


@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.stem)
def test_a_unit_runs_commands_that_there_are(unit: Path) -> None:
    commands = re.findall(r"^Exec\w+=(.*)$", unit.read_text(), re.MULTILINE)
    assert commands
    for command in commands:
        program, *words = shlex.split(command)
        assert program == "/opt/safety-map/.venv/bin/safetymap"
        found = typer.main.get_command(app)
        while words and isinstance(found, typer.core.TyperGroup):
            found = found.commands[words.pop(0)]
        found.make_parser(typer.Context(found)).parse_args(words)


@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.stem)
def test_a_unit_comes_back_and_may_little(unit: Path) -> None:
    told = unit.read_text().splitlines()
    assert {"Restart=always", "User=safetymap", "NoNewPrivileges=yes", "ProtectSystem=strict"} <= set(told)
    data = settings_of(DEPLOY / "safetymap.env")["SAFETYMAP_DATA_DIR"]
    assert f"ReadWritePaths={Path(data).parent}" in told, "what is restored lies beside the data"


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.stem)
def test_systemd_understands_a_unit(unit: Path) -> None:
    words = ["systemd-analyze", "security", "--offline=true", "--threshold=35", "--no-pager", str(unit)]
    judged = subprocess.run(words, capture_output=True, text=True, check=False)
    assert judged.returncode == 0, judged.stdout[-2000:]
    assert "Unknown key" not in judged.stderr, judged.stderr


@pytest.mark.parametrize("header", ["X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host"])
def test_the_proxy_sets_each_header_that_is_believed(header: str) -> None:
    values = re.findall(rf"proxy_set_header {header} (.*);", (DEPLOY / "nginx.conf").read_text())
    assert values in (["$remote_addr"], ["$scheme"], ["$http_host"]), "in place of what a client sends"


def test_no_location_of_the_proxy_drops_those_headers() -> None:
    """A `proxy_set_header` of a location's own would end those of the server."""
    told = (DEPLOY / "nginx.conf").read_text()
    inside = re.findall(r"location [^{]*\{([^}]*)\}", told)
    assert len(inside) == 3
    assert not [block for block in inside if "proxy_set_header" in block]


@pytest.mark.parametrize("guide", GUIDES, ids=lambda path: path.name)
def test_the_guides_name_every_file(guide: Path) -> None:
    told = guide.read_text()
    names = [path.name for path in DEPLOY.iterdir() if path.is_file()]
    assert [name for name in names if f"deploy/{name}" not in told] == []


@pytest.mark.parametrize("name", ["plain", "with space", 'quo"te', "per%cent $HOME"])
def test_the_nightly_backup_runs_as_the_data_directory_s_owner(tmp_path: Path, name: str) -> None:
    folder = tmp_path / name
    folder.mkdir()
    if os.geteuid() == 0:
        os.chown(folder, 1, -1)
    service = units.units("02:30", Path("/opt/safetymap"), folder)["safetymap-backup.service"]
    assert f"User={folder.owner()}" in service.splitlines()
    assert folder.owner() == "daemon" or os.geteuid() != 0

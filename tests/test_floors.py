"""The floors: who may import whom, and the one owner that some libraries and acts have."""

import ast
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FLOORS = {
    "gis": {"gis"},
    "layers": {"gis", "layers"},
    "tiles": {"gis", "tiles"},
    "api": {"gis", "layers", "tiles", "api"},
    "notebooks": {"gis", "layers", "tiles", "api", "notebooks"},
}
"""Which of our packages each package may import."""

OWNERS = {
    "fastapi": "api/",
    "starlette": "api/",
    "typer": "api/",
    "uvicorn": "api/",
    "h3": "gis/cells.py",
    "h3ronpy": "gis/cells.py",
    "pydantic_settings": "gis/settings.py",
    "folium": "notebooks/maps.py",
}
"""Libraries that one place wraps for everyone else."""

SHIPPED = sorted(
    path.relative_to(ROOT).as_posix() for floor in FLOORS for path in (ROOT / floor).rglob("*.py")
)


def imported(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (name.name.split(".")[0] for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.split(".")[0]


def called(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute | ast.Name):
            yield node.func.attr if isinstance(node.func, ast.Attribute) else node.func.id


def breaches(path: str, source: str) -> list[str]:
    """Every rule of the house that the file breaks."""
    tree, floor = ast.parse(source), path.split("/", maxsplit=1)[0]
    names = set(imported(tree))
    found = [f"{floor} must not know {name}" for name in names & (FLOORS.keys() - FLOORS[floor])]
    found += [
        f"only {owner} imports {name}"
        for name, owner in OWNERS.items()
        if name in names and not path.startswith(owner)
    ]
    if floor != "api":
        found += [f"{name}() belongs to the edge" for name in {"commit", "begin"} & set(called(tree))]
    if path != "gis/db.py" and "create_engine" in set(called(tree)):
        found.append("only gis/db.py makes engines")
    return sorted(found)


@pytest.mark.parametrize("path", SHIPPED)
def test_file_keeps_to_its_floor(path: str) -> None:
    assert breaches(path, (ROOT / path).read_text()) == []


@pytest.mark.parametrize("path", SHIPPED)
def test_file_says_what_it_is_for(path: str) -> None:
    assert ast.get_docstring(ast.parse((ROOT / path).read_text()))


@pytest.mark.parametrize(
    ("path", "source", "breach"),
    [
        ("gis/grids.py", "from layers.hotspots import hot", "gis must not know layers"),
        ("gis/grids.py", "def f():\n    import api.cli", "gis must not know api"),
        ("layers/risk.py", "import tiles", "layers must not know tiles"),
        ("tiles/mvt.py", "from layers import risk", "tiles must not know layers"),
        ("gis/grids.py", "from fastapi import Depends", "only api/ imports fastapi"),
        ("layers/risk.py", "import h3ronpy.vector", "only gis/cells.py imports h3ronpy"),
        ("gis/grids.py", "conn.commit()", "commit() belongs to the edge"),
        ("layers/risk.py", "with engine.begin() as conn: pass", "begin() belongs to the edge"),
        ("api/deps.py", "sa.create_engine(url)", "only gis/db.py makes engines"),
    ],
)
def test_breach_is_seen(path: str, source: str, breach: str) -> None:
    assert breaches(path, source) == [breach]


def _installed_to_run() -> set[str]:
    """The distributions that an installation without the tools of tests has, by normalised names."""
    wanted, found = ["safety-map"], set[str]()
    lock = {one["name"]: one for one in tomllib.loads((ROOT / "uv.lock").read_text())["package"]}
    while wanted:
        name = wanted.pop()
        if name in found:
            continue
        found.add(name)
        extras = [each for of in lock[name].get("optional-dependencies", {}).values() for each in of]
        wanted += [each["name"] for each in [*lock[name].get("dependencies", []), *extras]]
    return found


@pytest.mark.parametrize(
    ("module", "slow"), [("api.cli", "scipy.stats"), ("api.cli", "sklearn"), ("api.main", "sklearn")]
)
def test_nobody_waits_for_statistics_that_others_need(module: str, slow: str) -> None:
    """Commands start in half the time without them; of the service only `refresh` fits models."""
    loaded = f"import sys, {module}; print({slow!r} in sys.modules)"
    told = subprocess.run([sys.executable, "-c", loaded], check=True, capture_output=True, text=True)
    assert told.stdout.split() == ["False"]


def test_the_product_runs_without_the_tools_of_its_tests() -> None:
    """What it imports is among its own dependencies: tests would never miss what only they install."""
    providers, runs = packages_distributions(), _installed_to_run()
    product = [path for path in SHIPPED if path.split("/", 1)[0] in {"gis", "layers", "tiles", "api"}]
    names = {name for path in product for name in imported(ast.parse((ROOT / path).read_text()))}
    foreign = names - sys.stdlib_module_names - FLOORS.keys()
    lacking = {
        name
        for name in foreign
        if not runs & {each.lower().replace("_", "-").replace(".", "-") for each in providers.get(name, [])}
    }
    assert not lacking
    assert {"numpy", "sqlalchemy"} <= foreign

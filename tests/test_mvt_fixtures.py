"""Our strict reader of tiles judges every one of Mapbox's fixtures as they say it should be judged."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests import strict_mvt
from tests.strict_mvt import TileError

FIXTURES = Path(__file__).parent / "node/node_modules/@mapbox/mvt-fixtures/fixtures"
NAMES = sorted(path.name for path in FIXTURES.glob("*"))
needs_fixtures = pytest.mark.skipif(not NAMES, reason="run 'npm ci' in tests/node (make test does)")

TWINS = {
    "016": ("003", "its bytes are those of 003, which is invalid; it says that readers may throw on it"),
    "057": ("051", "its point promises 2^29-1 points and has one, as in 051, which is invalid"),
}
"""Fixtures called valid that differ in nothing but coordinates from one called invalid, and why."""


def _info(name: str) -> dict[str, Any]:
    return dict(json.loads((FIXTURES / name / "info.json").read_text("utf-8")))


def _tile(name: str) -> bytes:
    return (FIXTURES / name / "tile.mvt").read_bytes()


def _verdict(tile: bytes) -> str:
    """Say how a tile is read: whole, in part (the fixtures' "recoverable"), or not at all ("fatal")."""
    try:
        return "recoverable" if strict_mvt.read(tile).faults else "valid"
    except TileError:
        return "fatal"


def _wanted(name: str) -> set[str]:
    validity = _info(name)["validity"]
    if validity["v2"]:
        return {"valid"}
    return {validity["error"]} if "error" in validity else {"recoverable", "fatal"}


@needs_fixtures
def test_all_74_are_there() -> None:
    assert len(NAMES) == 74


@needs_fixtures
@pytest.mark.parametrize("name", [name for name in NAMES if name not in TWINS])
def test_a_fixture_is_judged_as_it_says(name: str) -> None:
    assert _verdict(_tile(name)) in _wanted(name)


@needs_fixtures
@pytest.mark.parametrize("name", TWINS)
def test_a_fixture_that_contradicts_another_is_judged_as_that(name: str) -> None:
    twin, _ = TWINS[name]
    assert not _info(twin)["validity"]["v2"]
    assert _verdict(_tile(name)) in _wanted(twin)


@needs_fixtures
def test_the_contradictions_are_there() -> None:
    assert _tile("016") == _tile("003")
    promised = [json.loads((FIXTURES / name / "tile.json").read_text("utf-8")) for name in ("057", "051")]
    streams = [tile["layers"][0]["features"][0]["geometry"] for tile in promised]
    assert streams[0][0] == streams[1][0] == 536870911 << 3 | 1
    assert len(streams[0]) == len(streams[1]) == 3


@needs_fixtures
@pytest.mark.parametrize("name", [n for n in NAMES if n not in TWINS and _wanted(n) == {"valid"}])
def test_what_a_valid_fixture_holds_is_read(name: str) -> None:
    source = json.loads((FIXTURES / name / "tile.json").read_text("utf-8"))
    read = strict_mvt.read(_tile(name)).layers
    assert [one["name"] for one in source.get("layers", [])] == list(read)
    for written in source.get("layers", []):
        layer = read[written["name"]]
        assert layer.extent == written.get("extent", 4096)
        assert [_described(one) for one in layer.features] == [
            _source(one, written) for one in written["features"]
        ]


def _described(feature: strict_mvt.Feature) -> tuple[Any, ...]:
    points = sum(map(len, feature.parts))
    return feature.id, feature.type, feature.properties, points


def _source(feature: dict[str, Any], layer: dict[str, Any]) -> tuple[Any, ...]:
    """What the JSON that a fixture was made of says of a feature."""
    values = [_value(*next(iter(value.items()))) for value in layer["values"]]
    tags = feature["tags"]
    properties = {
        layer["keys"][k]: pytest.approx(values[v]) for k, v in zip(tags[::2], tags[1::2], strict=True)
    }
    return feature.get("id"), feature["type"], properties, _points(feature)


def _value(kind: str, written: Any) -> Any:
    """Fixture 076 writes a number that its kind makes a text."""
    return str(written) if kind == "string_value" else written


def _points(feature: dict[str, Any]) -> int:
    """Count the points of a command stream; closing a ring repeats its first."""
    if feature["type"] == strict_mvt.UNKNOWN:
        return 0
    return sum(len(steps) or 1 for _, steps in strict_mvt.commands(feature["geometry"]))

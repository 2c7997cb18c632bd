"""The colours of the map: light, dark, and one that survives every common colour blindness."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Palette:
    """Every colour a style needs, as CSS hex; sequences run from weak to strong."""

    outside: str
    land: str
    water: str
    water_text: str
    park: str
    wood: str
    border: str
    text: str
    halo: str
    road: str
    road_edge: str
    building: str
    building_edge: str
    counts: tuple[str, str, str, str, str]
    """Cells whose counts chance explains, few to many: a quiet hue."""
    hot: tuple[str, str, str, str]
    """Cells that hold more than chance allows, by ratio to expectation: a loud hue."""
    hot_edge: str
    grades: tuple[str, str, str]
    """Incidents graded blue, yellow, red."""
    camera: str
    place: str
    available: str
    busy: str
    off: str
    focus: str


LIGHT = Palette(
    outside="#e9ebec",
    land="#fbfbf9",
    water="#cfe1ee",
    water_text="#3f6f93",
    park="#dfeed8",
    wood="#d3e3cb",
    border="#6f7c8a",
    text="#2b3542",
    halo="#ffffff",
    road="#ffffff",
    road_edge="#d3d6d9",
    building="#e7e4de",
    building_edge="#d3cec5",
    counts=("#dfe8f1", "#c3d4e5", "#a0bbd4", "#7a9fc1", "#5480a8"),
    hot=("#fdc48a", "#f79150", "#e35d2a", "#b3310f"),
    hot_edge="#7a1f0a",
    grades=("#2f6fc4", "#d9a000", "#cc2936"),
    camera="#0f7b7b",
    place="#6d4aa5",
    available="#1f8a4c",
    busy="#c77700",
    off="#7b8591",
    focus="#0b57d0",
)

DARK = Palette(
    outside="#0e1216",
    land="#171c22",
    water="#12283a",
    water_text="#7fb0d6",
    park="#18291d",
    wood="#142419",
    border="#66788c",
    text="#d6dee7",
    halo="#11161b",
    road="#343e4a",
    road_edge="#20272f",
    building="#242c35",
    building_edge="#303a45",
    counts=("#28425c", "#31567a", "#3d6e9c", "#4d89bf", "#67a6da"),
    hot=("#96501a", "#c46025", "#e9762f", "#ffa04a"),
    hot_edge="#ffd9a8",
    grades=("#5b9df0", "#f2c230", "#ff5a64"),
    camera="#3fc1bd",
    place="#b79aeb",
    available="#4cc27f",
    busy="#f0a63c",
    off="#8794a3",
    focus="#8ab4ff",
)

# Point colours of Okabe & Ito (2008), https://jfly.uni-koeln.de/color/; counts in plain greys so that
# hue alone never carries the meaning, and lightness falls steadily in both ramps.
SAFE = Palette(
    outside="#e6e8ea",
    land="#fcfcfc",
    water="#d5dde4",
    water_text="#3b5c78",
    park="#eef1ea",
    wood="#e3e8dd",
    border="#5c6670",
    text="#1d242c",
    halo="#ffffff",
    road="#ffffff",
    road_edge="#cfd2d6",
    building="#ececec",
    building_edge="#d2d2d2",
    counts=("#e4e6e9", "#cdd1d6", "#b2b8bf", "#959da6", "#78818b"),
    hot=("#ffd166", "#f5a800", "#d55e00", "#8c3a00"),
    hot_edge="#000000",
    grades=("#0072b2", "#f0e442", "#d55e00"),
    camera="#009e73",
    place="#a5577f",
    available="#007a59",
    busy="#e69f00",
    off="#767676",
    focus="#0072b2",
)

PALETTES = {"light": LIGHT, "dark": DARK, "safe": SAFE}
"""The styles by name; a style more is a palette more."""

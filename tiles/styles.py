"""MapLibre styles of the city: drawn from its own tiles alone, with Chinese labels from font files."""

import json
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

from gis.errors import NotFound
from gis.settings import ROOT
from tiles.legend import Sees, everything, legend
from tiles.palettes import PALETTES, Palette

Json = dict[str, Any]
FINEST_ZOOM = 16
"""Tiles nearer than this are enlarged by the renderer: one unit is 0.15 m already."""
FONT = "Noto Sans SC"
FONT_FOLDER = ROOT / "web/node_modules/@fontsource-variable/noto-sans-sc"

# Widths in pixels at zooms 10 and 16, by how much traffic a road carries; first match wins.
ROAD_WIDTHS = [
    (["motorway", "trunk", "expressway", "highway", "national"], 1.6, 9.0),
    (["primary", "arterial", "main"], 1.1, 7.0),
    (["secondary", "tertiary", "collector", "county", "township"], 0.7, 5.0),
]
OTHER_ROADS = (0.35, 3.2)


@lru_cache
def font_faces(folder_url: str = "/vendor/noto-sans-sc") -> Json:
    """Return the `font-faces` of a style: each piece of Noto Sans SC with the characters it covers.

    The pieces lie at `folder_url`/files/…. Raises NotFound when the page's packages are not installed.
    Form: https://maplibre.org/maplibre-style-spec/root/#font-faces (drawn by MapLibre GL JS from 6.0).
    """
    index = FONT_FOLDER / "unicode.json"
    if not index.is_file():
        raise NotFound("the page's fonts are not installed: run 'npm ci' in web/")
    pieces = json.loads(index.read_text("utf-8"))
    url = f"{folder_url}/files/noto-sans-sc-{{}}-wght-normal.woff2"
    return {
        FONT: [
            {"url": url.format(piece.strip("[]")), "unicode-range": ranges.split(",")}
            for piece, ranges in pieces.items()
        ]
    }


def style(
    name: str,
    layers: Iterable[Mapping[str, Any]],
    base_url: str,
    fonts: Json,
    attribution: str = "",
    sees: Sees = everything,
) -> Json:
    """Return the style called `name` (light, dark or safe) over the catalogue's tile layers.

    `layers` are mappings with name, minzoom and maxzoom, each becoming one vector source whose tiles
    lie at `base_url`/tiles/…; a style layer whose source is not among them is left out. `fonts` are
    `font_faces()`; the legend has the items that `sees` is true of. Raises NotFound for an unknown name.
    """
    palette = PALETTES.get(name)
    if palette is None:
        raise NotFound(f"there is no style {name!r}; there are {', '.join(PALETTES)}")
    sources = {layer["name"]: _source(layer, base_url, attribution) for layer in layers}
    drawn = [one for part in PARTS for one in part(palette)]
    return {
        "version": 8,
        "name": name,
        "metadata": {"safetymap:legend": legend(palette, sources, sees)},
        "font-faces": fonts,
        "sources": sources,
        "layers": [one for one in drawn if one.get("source") is None or one["source"] in sources],
    }


def _source(layer: Mapping[str, Any], base_url: str, attribution: str) -> Json:
    return {
        "type": "vector",
        "tiles": [f"{base_url}/tiles/{layer['name']}/{{z}}/{{x}}/{{y}}.mvt"],
        "minzoom": layer["minzoom"],
        "maxzoom": min(layer["maxzoom"], FINEST_ZOOM),
        "attribution": attribution,
        # Cells are told apart by their H3 name, so that values fetched for a period find them.
        **({"promoteId": "cell"} if layer["name"] == "hotspots" else {}),
    }


IS_CROWD = ["has", "count"]
"""A square with the number of features in it, as tiles have below a layer's zoom of features."""
IS_SINGLE = ["!", IS_CROWD]


def _by_count(*radii: float) -> list[Any]:
    """Pixels for 1, 10, 100 … features: a bubble ten times as full is one step wider."""
    stops = [part for step, radius in enumerate(radii) for part in (step, radius)]
    return ["interpolate", ["linear"], ["log10", ["get", "count"]], *stops]


def _layer(ident: str, source: str, kind: str, **parts: Any) -> Json:
    return {"id": ident, "type": kind, "source": source, "source-layer": source, **parts}


def _zoomed(*stops: tuple[float, Any]) -> list[Any]:
    return ["interpolate", ["exponential", 1.5], ["zoom"], *(part for stop in stops for part in stop)]


def _text(field: Any, size: Any, **layout: Any) -> Json:
    return {"text-field": field, "text-font": [FONT], "text-size": size, **layout}


def _ink(colour: Any, halo: str, width: float = 1.4) -> Json:
    return {"text-color": colour, "text-halo-color": halo, "text-halo-width": width}


def _land(p: Palette) -> list[Json]:
    return [
        {"id": "outside", "type": "background", "paint": {"background-color": p.outside}},
        _layer("grids-land", "grids", "fill", paint={"fill-color": p.land, "fill-antialias": False}),
    ]


def _areas(p: Palette) -> list[Json]:
    kind = ["match", ["get", "kind"], "water", p.water, "park", p.park, "wood", p.wood, p.outside]
    return [_layer("areas", "areas", "fill", paint={"fill-color": kind})]


def _buildings(p: Palette) -> list[Json]:
    paint = {
        "fill-color": p.building,
        "fill-outline-color": p.building_edge,
        "fill-opacity": _zoomed((13, 0.5), (15, 1)),
    }
    crowd = {
        "circle-radius": _by_count(1, 1.8, 3.2, 5.5, 8, 8),
        "circle-color": p.building_edge,
        "circle-opacity": 0.8,
    }
    return [
        _layer("buildings", "buildings", "fill", filter=IS_SINGLE, paint=paint),
        _layer("buildings-crowd", "buildings", "circle", minzoom=9, filter=IS_CROWD, paint=crowd),
    ]


def _road_width(widening: float) -> list[Any]:
    """Width by class; `widening` pixels more make the edge that shows beside the road."""

    def at(column: int) -> list[Any]:
        known = [part for names, *widths in ROAD_WIDTHS for part in (names, widths[column] + widening)]
        return ["match", ["coalesce", ["get", "class"], ""], *known, OTHER_ROADS[column] + widening]

    return _zoomed((10, at(0)), (16, at(1)))


def _roads(p: Palette) -> list[Json]:
    round_ends = {"line-cap": "round", "line-join": "round"}
    edge = {"line-color": p.road_edge, "line-width": _road_width(1.2)}
    core = {"line-color": p.road, "line-width": _road_width(0)}
    return [
        _layer("roads-edge", "roads", "line", layout=round_ends, paint=edge),
        _layer("roads", "roads", "line", layout=round_ends, paint=core, minzoom=12),
    ]


def _is(flag: str) -> list[Any]:
    return ["boolean", ["feature-state", flag], False]


def _ramp(colours: tuple[str, ...]) -> list[Any]:
    pairs = [part for rank, colour in enumerate(colours[:-1]) for part in (rank, colour)]
    return ["match", ["coalesce", ["feature-state", "rank"], 0], *pairs, colours[-1]]


def _cells(p: Palette) -> list[Json]:
    """Cells get their values as feature state `shown`, `significant` and `rank`; without it none is seen."""
    fill = {
        "fill-color": ["case", _is("significant"), _ramp(p.hot), _ramp(p.counts)],
        "fill-opacity": _zoomed(
            (8, ["case", _is("shown"), ["case", _is("significant"), 0.85, 0.75], 0]),
            (16, ["case", _is("shown"), ["case", _is("significant"), 0.65, 0.5], 0]),
        ),
        "fill-antialias": False,
    }
    edge = {
        "line-color": ["case", _is("significant"), p.hot_edge, p.land],
        "line-width": _zoomed(
            (8, ["case", _is("significant"), 1, 0.4]), (16, ["case", _is("significant"), 2.6, 0.6])
        ),
        "line-opacity": ["case", _is("significant"), 1, _is("shown"), 0.6, 0],
    }
    return [
        _layer("hotspots", "hotspots", "fill", paint=fill),
        _layer("hotspots-edge", "hotspots", "line", paint=edge),
    ]


def _borders(p: Palette) -> list[Json]:
    width = ["match", ["get", "level"], 1, 2.2, 2, 1.7, 3, 1.2, 4, 0.9, 0.7]
    growing = _zoomed((8, ["*", 0.6, width]), (14, width), (18, ["*", 2, width]))
    faint = ["match", ["get", "level"], [1, 2], 0.9, 3, 0.75, 0.6]
    paint = {"line-color": p.border, "line-width": growing, "line-opacity": faint}
    upper_last = {"line-join": "round", "line-sort-key": ["-", 0, ["get", "level"]]}
    focus = {"line-color": p.focus, "line-width": 3, "line-opacity": 0.95}
    return [
        _layer("grids-border", "grids", "line", layout=upper_last, paint=paint),
        # The page sets this filter to the codes of the chain it shows.
        _layer("grids-focus", "grids", "line", filter=["==", ["get", "code"], ""], paint=focus),
    ]


def _sign(sign: str, *sizes: tuple[float, Any]) -> Json:
    always = {"text-allow-overlap": True, "text-ignore-placement": True}
    return _text(sign, _zoomed(*sizes), **always)


def _short(number: list[Any]) -> list[Any]:
    """Four digits and more as thousands, so that a number fits its bubble."""
    thousands = ["/", ["round", ["/", number, 100]], 10]
    return ["case", [">=", number, 1000], ["concat", ["to-string", thousands], "k"], ["to-string", number]]


def _crowd(source: str, radius: Json, number: Json) -> list[Json]:
    """Bubbles of a layer's squares, the fuller ones on top, with what they hold written in them."""
    fullest = ["get", "count"]
    return [
        _layer(
            f"{source}-crowd", source, "circle",
            filter=IS_CROWD, layout={"circle-sort-key": fullest}, paint=radius,
        ),
        _layer(
            f"{source}-count", source, "symbol",
            filter=["all", IS_CROWD, [">", ["get", "count"], 1]],
            layout=number | {"symbol-sort-key": ["-", 0, fullest], "text-allow-overlap": True},
            paint=_plain_ink(),
        ),
    ]  # fmt: skip


def _plain_ink() -> Json:
    """Parts of a bubble's text carry their own colours."""
    return {"text-halo-width": 0}


def _places(p: Palette) -> list[Json]:
    single = _layer(
        "places", "places", "symbol",
        filter=IS_SINGLE, layout=_sign("◆", (11, 10), (16, 15)), paint=_ink(p.place, p.halo),
    )  # fmt: skip
    field = ["format", "◆", {}, _short(["get", "count"]), {"font-scale": 0.8}]
    crowd = _layer(
        "places-crowd", "places", "symbol",
        filter=IS_CROWD, layout=_text(field, 12), paint=_ink(p.place, p.halo),
    )  # fmt: skip
    return [single, crowd]


def _cameras(p: Palette) -> list[Json]:
    paint = {
        "circle-radius": _zoomed((12, 1.8), (16, 4.5)),
        "circle-color": ["match", ["get", "state"], ["offline", "fault"], p.off, p.camera],
        "circle-stroke-color": p.halo,
        "circle-stroke-width": _zoomed((12, 0.4), (16, 1.4)),
    }
    bubble = {
        "circle-radius": _by_count(3.5, 9, 13, 17, 21, 25),
        "circle-color": ["case", ["==", ["get", "down"], ["get", "count"]], p.off, p.camera],
        "circle-stroke-color": p.halo,
        "circle-stroke-width": 1,
    }
    field = ["format", _short(["get", "count"]), {"text-color": p.halo}]
    single = _layer("cameras", "cameras", "circle", filter=IS_SINGLE, paint=paint)
    return [single, *_crowd("cameras", bubble, _text(field, 11))]


def _incidents(p: Palette) -> list[Json]:
    """Graded by colour; hollow once closed. A bubble's ring is the gravest grade in it."""
    blue, yellow, red = p.grades
    grade = ["match", ["get", "colour"], "red", red, "yellow", yellow, blue]
    paint = {
        "circle-radius": _zoomed((9, 1.6), (16, 5)),
        "circle-color": ["case", ["==", ["get", "state"], "closed"], p.halo, grade],
        "circle-stroke-color": grade,
        "circle-stroke-width": _zoomed((9, 0.7), (16, 2)),
    }
    gravest = ["case", [">", ["get", "red"], 0], red, [">", ["get", "yellow"], 0], yellow, blue]
    bubble = {
        "circle-radius": _by_count(3.5, 12, 17, 22, 27, 31),
        "circle-color": ["case", [">", ["get", "count"], 1], p.halo, gravest],
        "circle-opacity": 0.92,
        "circle-stroke-color": gravest,
        "circle-stroke-width": 2,
    }
    single = _layer("incidents", "incidents", "circle", filter=IS_SINGLE, paint=paint)
    return [single, *_crowd("incidents", bubble, _text(_by_grade(p), 12, **{"text-line-height": 1}))]


def _by_grade(p: Palette) -> list[Any]:
    """Write how many there are, and beneath it how many of them are red and yellow."""

    def graded(grade: str, colour: str) -> list[Any]:
        number = ["get", grade]
        written = ["case", [">", number, 0], ["concat", "●", _short(number)], ""]
        return [written, {"text-color": colour, "font-scale": 0.75}]

    _, yellow, red = p.grades
    return [
        "format", _short(["get", "count"]), {"text-color": p.text}, "\n", {},
        *graded("red", red), " ", {"font-scale": 0.5}, *graded("yellow", yellow),
    ]  # fmt: skip


def _responders(p: Palette) -> list[Json]:
    status = ["match", ["get", "status"], "available", p.available, "busy", p.busy, p.off]
    single = _layer(
        "responders", "responders", "symbol",
        filter=IS_SINGLE, layout=_sign("★", (8, 6), (12, 10), (16, 22)), paint=_ink(status, p.halo, 1.8),
    )  # fmt: skip
    free = ["concat", _short(["get", "available"]), "/", _short(["get", "count"])]
    field = ["format", "★", {}, free, {"font-scale": 0.8, "text-color": p.text}]
    some = ["case", [">", ["get", "available"], 0], p.available, p.off]
    crowd = _layer(
        "responders-crowd", "responders", "symbol",
        filter=IS_CROWD, paint=_ink(some, p.halo, 1.8),
        layout=_text(field, 13, **{"text-offset": [0, 2.1]}),
    )  # fmt: skip
    return [single, crowd]


def _names(p: Palette) -> list[Json]:
    """Names, the least important first: a later one takes the room."""
    level_size = ["match", ["get", "level"], [1, 2], 15, 3, 13.5, 4, 12.5, 11.5]
    along = {"symbol-placement": "line", "text-max-angle": 30, "symbol-spacing": 320}
    below = {"text-anchor": "top", "text-offset": [0, 0.8], "text-optional": True, "text-max-width": 8}
    return [
        _name("buildings", 16.5, 10.5, _ink(p.border, p.halo), **{"text-max-width": 7}),
        _name("areas", 11, 11.5, _ink(p.water_text, p.halo), **{"text-max-width": 7}),
        _name("roads", 14.5, 11, _ink(p.border, p.halo), **along),
        _name("places", 14, 11.5, _ink(p.place, p.halo), **below),
        _name("responders", 13, 11.5, _ink(p.text, p.halo), **below),
        _name("labels", 0, level_size, _ink(p.text, p.halo, 1.8), **{"text-max-width": 7, "text-padding": 6}),
    ]


def _name(source: str, minzoom: float, size: Any, paint: Json, **layout: Any) -> Json:
    text = _text(["coalesce", ["get", "name"], ""], size, **layout)
    return _layer(f"{source}-name", source, "symbol", minzoom=minzoom, layout=text, paint=paint)


PARTS = [
    _land,
    _areas,
    _buildings,
    _roads,
    _cells,
    _borders,
    _names,
    _places,
    _cameras,
    _incidents,
    _responders,
]
"""What is drawn, from the ground up: names give way to numbers."""

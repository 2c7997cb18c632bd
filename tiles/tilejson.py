"""TileJSON 3.0.0 documents, https://github.com/mapbox/tilejson-spec/tree/master/3.0.0."""

from collections.abc import Mapping, Sequence


def document(
    name: str,
    tiles: str,
    zooms: tuple[int, int],
    bounds: Sequence[float],
    fields: Mapping[str, str],
    attribution: str,
) -> dict[str, object]:
    """Return the TileJSON of a layer; `tiles` is its URL template, `bounds` west, south, east, north."""
    minzoom, maxzoom = zooms
    return {
        "tilejson": "3.0.0",
        "name": name,
        "tiles": [tiles],
        "minzoom": minzoom,
        "maxzoom": maxzoom,
        "bounds": list(bounds),
        "attribution": attribution,
        "vector_layers": [{"id": name, "fields": dict(fields), "minzoom": minzoom, "maxzoom": maxzoom}],
    }

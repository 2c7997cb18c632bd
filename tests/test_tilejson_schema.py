"""TileJSON documents keep to TileJSON 3.0.0, whose every rule that a document can break is written here.

The specification, https://github.com/mapbox/tilejson-spec/tree/master/3.0.0 (CC BY 3.0), has a schema of its
own (schema.json) that says less: it leaves bounds, zooms in relation to each other and absolute URLs open.
"""

from pathlib import Path
from typing import Any

import jsonschema
import pytest
from fastapi.testclient import TestClient
from sqlalchemy.engine import Engine

from api.packing import Zooms, pack
from gis.access import Principal
from layers.catalogue import LAYERS
from tests import town
from tiles import tilejson

TEXT = {"type": "string"}
ZOOM = {"type": "integer", "minimum": 0, "maximum": 30}
LONGITUDE = {"type": "number", "minimum": -180, "maximum": 180}
LATITUDE = {"type": "number", "minimum": -90, "maximum": 90}
SCHEMA = {
    "type": "object",
    "required": ["tilejson", "tiles", "vector_layers"],
    "properties": {
        "tilejson": {"const": "3.0.0"},
        "tiles": {
            "type": "array",
            "minItems": 1,
            "items": {"type": "string", "pattern": r"^https?://.+\{z\}"},
        },
        "vector_layers": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["id", "fields"],
                "properties": {
                    "id": TEXT,
                    "fields": {"type": "object", "additionalProperties": TEXT},
                    "description": TEXT,
                    "minzoom": ZOOM,
                    "maxzoom": ZOOM,
                },
            },
        },
        "attribution": TEXT,
        "bounds": {
            "type": "array",
            "prefixItems": [LONGITUDE, LATITUDE, LONGITUDE, LATITUDE],
            "minItems": 4,
            "maxItems": 4,
        },
        "center": {"type": "array", "prefixItems": [LONGITUDE, LATITUDE, ZOOM], "minItems": 3, "maxItems": 3},
        "name": TEXT,
        "description": TEXT,
        "minzoom": ZOOM,
        "maxzoom": ZOOM,
        "scheme": {"enum": ["xyz", "tms"]},
        "version": {"type": "string", "pattern": r"^\d+\.\d+\.\d+"},
    },
}
"""Sections 3.1 to 3.17, as JSON Schema 2020-12."""


def check(document: dict[str, Any]) -> None:
    """Raise ValidationError or AssertionError for what the specification forbids."""
    jsonschema.validate(document, SCHEMA, jsonschema.Draft202012Validator)
    west, south, east, north = document["bounds"]
    assert west <= east, "3.5: bounds do not wrap around the antimeridian"
    assert south <= north, "3.5: left, bottom, right, top"
    assert document["minzoom"] <= document["maxzoom"], "3.12"
    for layer in document["vector_layers"]:
        assert document["minzoom"] <= layer["minzoom"] <= layer["maxzoom"] <= document["maxzoom"], "3.3.4"


@pytest.fixture(scope="module", autouse=True)
def settled(engine: Engine) -> None:
    with engine.begin() as conn:
        town.add_grids(conn)
        town.add_city(conn)


@pytest.mark.parametrize("layer", LAYERS)
def test_a_layers_tilejson_is_valid(client: TestClient, layer: str) -> None:
    document = client.get(f"/tiles/{layer}.json").json()
    check(document)
    assert document["vector_layers"][0]["id"] == layer


def test_an_archives_tilejson_is_valid(engine: Engine, client: TestClient) -> None:
    folder: Path = client.app.state.data_dir / "archives"  # type: ignore[attr-defined]
    folder.mkdir(exist_ok=True)
    with engine.execution_options(isolation_level="REPEATABLE READ").begin() as conn:
        pack(
            conn, LAYERS["grids"], folder / "grids.pmtiles", Principal(), Zooms(None, 12).of(LAYERS["grids"])
        )
    document = client.get("/archives/grids.json").json()
    check(document)
    assert document["maxzoom"] == 12
    tile = document["tiles"][0].format(z=10, x=833, y=432)
    assert client.get(tile).status_code in {200, 204}


RIGHT = tilejson.document(
    "grids", "http://h/{z}/{x}/{y}.mvt", (0, 16), [113, 26, 114, 28], {"a": "Number"}, ""
)


@pytest.mark.parametrize(
    "wrong",
    [
        {"tilejson": "2.2.0"},
        {"tiles": []},
        {"tiles": ["/tiles/{z}/{x}/{y}.mvt"]},
        {"vector_layers": [{"id": "grids"}]},
        {"vector_layers": [{"id": "grids", "fields": {"a": 1}}]},
        {"bounds": [113, 26, 114]},
        {"bounds": [181, 26, 182, 28]},
        {"bounds": [114, 26, 113, 28]},
        {"minzoom": 17},
        {"maxzoom": 31},
        {"maxzoom": 15},
    ],
)
def test_what_is_wrong_is_found(wrong: dict[str, Any]) -> None:
    check(RIGHT)
    with pytest.raises((jsonschema.ValidationError, AssertionError)):
        check(RIGHT | wrong)

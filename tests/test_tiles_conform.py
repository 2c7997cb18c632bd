"""Tiles of the small demo city, over HTTP: every layer at every kind of zoom, read by three decoders."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyogrio
import pytest
from fastapi.testclient import TestClient
from sqlalchemy.engine import Engine

from api import access
from api.deps import Look, transaction, view
from api.main import make_app
from gis import db
from gis.access import Principal
from gis.grids import Wish
from layers.catalogue import CATALOG, LAYERS
from tests import strict_mvt
from tests.node_tools import installed, node
from tiles import archive
from tiles.tile import BUFFER, EXTENT, Tile

ADMIN = Principal("admin", full_role="admin", may_export=True)
ZOOMS = (0, 5, 8, 10, 11, 12, 13, 14, 15, 16, 18)
EACH = 3
"""Tiles of a layer and zoom: the fewest that show a corner, a middle and a far end."""
KINDS = {"String": str, "Number": (int, float), "Boolean": bool}


@pytest.fixture(scope="module")
def city(demo: str) -> Iterator[Engine]:
    made = db.engine_of_service(demo)
    yield made
    made.dispose()


@pytest.fixture(scope="module")
def asked(city: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    app = make_app(lambda: city, tmp_path_factory.mktemp("data"))
    app.dependency_overrides[access.who] = lambda: ADMIN
    with TestClient(app, raise_server_exceptions=False) as made:
        yield made


def _chosen(city: Engine, layer: str) -> list[Tile]:
    """A few tiles of each zoom that the layer's features touch, spread over the city."""
    found = []
    with transaction(lambda: city, ADMIN) as conn:
        seen = view(conn, Look(Wish(), None, None, None, None, None, None), ADMIN)
        for zoom in ZOOMS:
            if LAYERS[layer].minzoom <= zoom <= LAYERS[layer].maxzoom:
                tiles = archive.touched(conn, LAYERS[layer].select(replace(seen, zoom=zoom)), zoom)
                found += [tiles[n * (len(tiles) - 1) // (EACH - 1)] for n in range(EACH)] if tiles else []
    return list(dict.fromkeys(found))


@pytest.fixture(scope="module")
def tiles(city: Engine, asked: TestClient) -> dict[tuple[str, Tile], bytes]:
    """Tiles of every layer that are not empty."""
    got = {}
    for layer in CATALOG:
        for square in _chosen(city, layer.name):
            answer = asked.get(
                f"/tiles/{layer.name}/{square.z}/{square.x}/{square.y}.mvt",
                headers={"accept-encoding": "identity"},
            )
            assert answer.status_code in {200, 204}, answer.text
            if answer.content:
                got[layer.name, square] = answer.content
    return got


@pytest.fixture(scope="module")
def read(tiles: dict[tuple[str, Tile], bytes]) -> dict[tuple[str, Tile], strict_mvt.Read]:
    return {key: strict_mvt.read(body) for key, body in tiles.items()}


def test_every_layer_has_tiles(tiles: dict[tuple[str, Tile], bytes]) -> None:
    assert {name for name, _ in tiles} == {layer.name for layer in CATALOG}
    assert len(tiles) > 100


def test_the_strict_reader_finds_no_fault(read: dict[tuple[str, Tile], strict_mvt.Read]) -> None:
    assert {key: found.faults for key, found in read.items() if found.faults} == {}


def test_a_tile_is_one_layer_of_version_2(read: dict[tuple[str, Tile], strict_mvt.Read]) -> None:
    for (name, _), found in read.items():
        assert list(found.layers) == [name]
        assert (found.layers[name].version, found.layers[name].extent) == (2, EXTENT)
        assert found.layers[name].features


def test_ids_are_there_once_and_exact_in_javascript(read: dict[tuple[str, Tile], strict_mvt.Read]) -> None:
    for (name, square), found in read.items():
        ids = [one.id for one in found.layers[name].features]
        assert all(one is not None and 0 <= one < 2**53 for one in ids), (name, square)
        assert len(set(ids)) == len(ids), (name, square)


def test_coordinates_fit_sixteen_bits(read: dict[tuple[str, Tile], strict_mvt.Read]) -> None:
    """Points lie in their tile or its margin; shapes reach over the tiles around it at most."""
    for (name, square), found in read.items():
        for one in found.layers[name].features:
            values = [value for part in one.parts for point in part for value in point]
            reach = BUFFER + (0 if one.type == strict_mvt.POINT else EXTENT)
            assert -reach <= min(values) <= max(values) <= EXTENT + reach, (name, square)


def test_properties_are_those_that_tilejson_tells(
    asked: TestClient, read: dict[tuple[str, Tile], strict_mvt.Read]
) -> None:
    told = {name: asked.get(f"/tiles/{name}.json").json()["vector_layers"][0]["fields"] for name in LAYERS}
    for (name, square), found in read.items():
        for one in found.layers[name].features:
            for key, value in one.properties.items():
                assert isinstance(value, KINDS[told[name][key]]), (name, square, key, value)


DECODER = """
import { VectorTile } from "@mapbox/vector-tile";
import { PbfReader } from "pbf";
import { readFileSync } from "node:fs";
for (const file of JSON.parse(readFileSync(process.argv[2], "utf8"))) {
  const tile = new VectorTile(new PbfReader(readFileSync(file)));
  const told = Object.entries(tile.layers).map(([name, layer]) => [name, Array.from(
    { length: layer.length },
    (_, n) => {
      const one = layer.feature(n);
      const points = one.loadGeometry().map((part) => part.map((point) => [point.x, point.y]));
      return [one.id, one.type, one.properties, points];
    },
  )]);
  console.log(JSON.stringify(told));
}
"""


def _plain(found: strict_mvt.Read) -> list[Any]:
    """What the strict reader read, in the words of the other."""
    return [
        [
            name,
            [
                [one.id, one.type, one.properties, [[list(point) for point in part] for part in one.parts]]
                for one in layer.features
            ],
        ]
        for name, layer in found.layers.items()
    ]


@installed
def test_mapbox_reads_the_same(
    tiles: dict[tuple[str, Tile], bytes], read: dict[tuple[str, Tile], strict_mvt.Read], tmp_path: Path
) -> None:
    files = _written(tiles, tmp_path)
    (tmp_path / "files.json").write_text(json.dumps([str(file) for file in files.values()]))
    told = [json.loads(line) for line in node(DECODER, tmp_path / "files.json").splitlines()]
    assert len(told) == len(tiles)
    for (key, found), theirs in zip(read.items(), told, strict=True):
        assert _plain(found) == theirs, key


def _written(tiles: dict[tuple[str, Tile], bytes], folder: Path) -> dict[tuple[str, Tile], Path]:
    files = {}
    for n, (key, body) in enumerate(tiles.items()):
        files[key] = folder / f"{n}.mvt"
        files[key].write_bytes(body)
    return files


def test_gdal_reads_the_same(
    tiles: dict[tuple[str, Tile], bytes], read: dict[tuple[str, Tile], strict_mvt.Read], tmp_path: Path
) -> None:
    for (name, square), file in _written(tiles, tmp_path).items():
        features = read[name, square].layers[name].features
        told = pyogrio.read_info(file, layer=name, force_feature_count=True)
        assert told["features"] == len(features), (name, square)
        keys = {key for one in features for key in one.properties}
        assert keys <= set(told["fields"]) <= keys | {"mvt_id"}, (name, square)

"""An archive holds the very tiles that are served, no more and no less, and shows them to whom it may."""

import gzip
import hashlib
import json
import subprocess
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import numpy as np
import pyogrio
import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient
from httpx2 import Response
from pmtiles.reader import MmapSource, Reader, all_tiles
from sqlalchemy.engine import Connection, Engine

from api import access
from api.main import make_app
from api.packing import Zooms, pack
from gis.access import Principal
from gis.errors import BadInput, Forbidden, NotAnArchive, NotFound
from layers import refresh
from layers.catalogue import LAYERS
from tests import forking, town
from tests.node_tools import installed, node
from tiles.archive import Archive
from tiles.tile import Tile

PUBLIC = Principal()
COMMANDER = Principal("commander", full_role="commander")
EXPORTER = Principal("commander", full_role="commander", may_export=True)
WEST_SIDE = Principal("commander", scheme="safety", scope="T1", full_role="commander", may_export=True)
UNIT = Principal("commander", scheme="safety", scope="T1a", full_role="commander", may_export=True)
LAST = 15


@pytest.fixture(autouse=True)
def unbegun(engine: Engine) -> None:
    """Each test has a data directory of its own, with a key of its own: the audit begins with it."""
    with engine.begin() as conn:
        conn.execute(sa.text("TRUNCATE audit, audit_heads"))


@pytest.fixture(scope="module", autouse=True)
def settled(engine: Engine) -> None:
    with engine.begin() as conn:
        town.add_grids(conn)
        batch = town.add_city(conn)
        corner = [town.at(0.3 + n / 500, 0.3) for n in range(90)]
        town.add_incidents(
            conn, batch, [*corner, *([town.at(4.5, 4.2)] * 7), town.at(3, 3), town.at(5.9, 0.1)]
        )
        town.add_building(conn, batch, "小镇一路1号", town.at(0.7, 0.7))
        town.add_building(conn, batch, "小镇一路12号", town.at(5, 4.5))
        town.add_responders(conn, batch, {"near": town.at(1, 1), "far": town.at(5, 4)})
    for step in refresh.STEPS:
        with engine.begin() as conn:
            step(conn)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("data") / "archives"
    made.mkdir()
    return made


@pytest.fixture(scope="module")
def ask(service_engine: Engine, folder: Path) -> Iterator["Ask"]:
    app = make_app(lambda: service_engine, folder.parent)
    with TestClient(app, raise_server_exceptions=False) as client:
        yield Ask(client)


class Ask:
    """The service, asked by whomever a test wants to be."""

    def __init__(self, client: TestClient) -> None:
        self.client = client

    def __call__(self, who: Principal, path: str, **headers: str) -> Response:
        """Ask as somebody; headers by their names with underscores."""
        self.client.app.dependency_overrides[access.who] = lambda: who
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.client.get(path, headers={"accept-encoding": "identity"} | named)


def _pack(engine: Engine, layer: str, file: Path, who: Principal, last: int | None = LAST) -> int:
    with engine.execution_options(isolation_level="REPEATABLE READ").begin() as conn:
        return pack(conn, LAYERS[layer], file, who, Zooms(None, last).of(LAYERS[layer]))


def _around(zoom: int) -> list[Tile]:
    """Every tile of the town and those next to them."""
    places = [town.at(-0.5, -0.5), town.at(6.5, 5.5)]
    (west, north), (east, south) = [_square(*place, zoom) for place in places]
    side = range(1 << zoom)
    return [
        Tile(zoom, x, y)
        for x, y in product(range(west - 1, east + 2), range(north - 1, south + 2))
        if x in side and y in side
    ]


def _square(lon: float, lat: float, zoom: int) -> tuple[int, int]:
    y = (1 - np.arcsinh(np.tan(np.radians(lat))) / np.pi) / 2
    return int((lon + 180) / 360 * (1 << zoom)), int(y * (1 << zoom))


SEEN = [
    ("grids", PUBLIC),
    ("labels", PUBLIC),
    ("buildings", PUBLIC),
    ("hotspots", PUBLIC),
    ("hotspots", EXPORTER),
    ("incidents", EXPORTER),
    ("incidents", WEST_SIDE),
    ("responders", WEST_SIDE),
]


@pytest.mark.parametrize(("layer", "who"), SEEN)
def test_an_archive_holds_what_is_served(
    engine: Engine, ask: Ask, tmp_path: Path, layer: str, who: Principal
) -> None:
    """Hexagons are drawn all over the world from some zoom on: there, those of the city's cells are held."""
    file = tmp_path / "a.pmtiles"
    count = _pack(engine, layer, file, who)
    with file.open("rb") as opened:
        kept = {place: gzip.decompress(body) for place, body in all_tiles(MmapSource(opened))}
    assert len(kept) == count
    served = {}
    for zoom in Zooms(None, LAST).of(LAYERS[layer]):
        for tile in _around(zoom):
            answer = ask(who, f"/tiles/{layer}/{tile.z}/{tile.x}/{tile.y}.mvt")
            if answer.status_code == 200:
                served[tile.z, tile.x, tile.y] = answer.content
    everywhere = LAYERS[layer].constant_from
    assert not [at for at in served.keys() - kept.keys() if everywhere is None or at[0] < everywhere]
    assert kept == {place: served[place] for place in kept}


def test_the_same_data_give_the_same_file(engine: Engine, tmp_path: Path) -> None:
    files = [tmp_path / name for name in ("a.pmtiles", "b.pmtiles")]
    for file in files:
        _pack(engine, "incidents", file, COMMANDER)
    assert files[0].read_bytes() == files[1].read_bytes()


def test_an_archive_tells_what_it_is(engine: Engine, tmp_path: Path) -> None:
    _pack(engine, "incidents", tmp_path / "a.pmtiles", WEST_SIDE)
    with (tmp_path / "a.pmtiles").open("rb") as opened:
        reader = Reader(MmapSource(opened))
        header, told = reader.header(), reader.metadata()
    assert (header["min_zoom"], header["max_zoom"]) == (LAYERS["incidents"].minzoom, LAST)
    assert told["attribution"] == "drawn by the tests"
    assert told["vector_layers"][0]["id"] == "incidents"
    assert told["safetymap"]["audience"] == "commander"
    assert told["safetymap"]["scope"] == "T1"
    assert told["safetymap"]["data_version"] == 1


def test_gdal_reads_it_too(engine: Engine, tmp_path: Path) -> None:
    _pack(engine, "buildings", tmp_path / "a.pmtiles", PUBLIC, None)
    rows = pyogrio.read_dataframe(tmp_path / "a.pmtiles", layer="buildings", zoom_level=16)
    assert set(rows["address"]) == {"小镇一路1号", "小镇一路12号"}


READER = """
import { PMTiles } from "pmtiles";
import { createHash } from "node:crypto";
import { open } from "node:fs/promises";
const file = await open(process.argv[2]);
const source = {
  getKey: () => process.argv[2],
  getBytes: async (offset, length) => {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(length), 0, length, offset);
    return { data: buffer.buffer.slice(buffer.byteOffset, buffer.byteOffset + bytesRead) };
  },
};
const archive = new PMTiles(source);
for (const place of JSON.parse(process.argv[3])) {
  const tile = await archive.getZxy(...place);
  console.log(tile ? createHash("sha256").update(Buffer.from(tile.data)).digest("hex") : "none");
}
"""


@installed
def test_the_reader_of_pages_finds_the_same_tiles(engine: Engine, tmp_path: Path) -> None:
    _pack(engine, "incidents", tmp_path / "a.pmtiles", COMMANDER)
    archive = Archive(tmp_path / "a.pmtiles")
    tiles = [tile for zoom in range(11, LAST + 1) for tile in _around(zoom)][:300]
    ours = [archive.tile(tile) for tile in tiles]
    wanted = [hashlib.sha256(gzip.decompress(body)).hexdigest() if body else "none" for body in ours]
    places = json.dumps([[tile.z, tile.x, tile.y] for tile in tiles])
    assert node(READER, tmp_path / "a.pmtiles", places).split() == wanted
    assert len(set(wanted)) > 10


@pytest.fixture(scope="module")
def kept(engine: Engine, folder: Path) -> dict[str, bytes]:
    """Archives as the service finds them: public, the whole city's, and one quarter's; and what is none."""
    files = {
        "buildings": ("buildings", PUBLIC),
        "incidents": ("incidents", COMMANDER),
        "west": ("incidents", WEST_SIDE),
    }
    for name, (layer, who) in files.items():
        _pack(engine, layer, folder / f"{name}.pmtiles", who)
    (folder / "broken.pmtiles").write_bytes(b"PMTiles\x03" + bytes(200))
    return {name: (folder / f"{name}.pmtiles").read_bytes() for name in files}


FIELD = Principal("field", full_role="field")
EAST_SIDE = Principal("commander", scheme="safety", scope="T2", full_role="commander", may_export=True)


@pytest.mark.parametrize(
    ("who", "shown"),
    [
        (PUBLIC, {"buildings"}),
        (FIELD, {"buildings"}),
        (COMMANDER, {"buildings", "incidents", "west"}),
        (WEST_SIDE, {"buildings", "west"}),
        (UNIT, {"buildings"}),
        (EAST_SIDE, {"buildings"}),
    ],
)
def test_an_archive_is_shown_to_whom_it_may_be(
    ask: Ask, kept: dict[str, bytes], who: Principal, shown: set[str]
) -> None:
    assert {one["name"] for one in ask(who, "/archives").json()} == shown
    for name in kept:
        answers = [ask(who, f"/archives/{name}{rest}").status_code for rest in (".json", "/14/1/1.mvt")]
        refused = {401} if who is PUBLIC else {403, 404}
        assert set(answers) <= ({200, 204} if name in shown else refused)


def test_a_file_leaves_by_a_right_of_its_own(ask: Ask, kept: dict[str, bytes]) -> None:
    assert ask(COMMANDER, "/archives/incidents.pmtiles").status_code == 403
    assert ask(EXPORTER, "/archives/incidents.pmtiles").content == kept["incidents"]
    assert ask(WEST_SIDE, "/archives/incidents.pmtiles").status_code == 404
    assert ask(PUBLIC, "/archives/buildings.pmtiles").content == kept["buildings"]


def test_ranges_of_a_file(ask: Ask, kept: dict[str, bytes]) -> None:
    whole = ask(PUBLIC, "/archives/buildings.pmtiles")
    part = ask(PUBLIC, "/archives/buildings.pmtiles", range="bytes=0-126")
    assert (part.status_code, part.content) == (206, kept["buildings"][:127])
    assert part.headers["content-range"] == f"bytes 0-126/{len(kept['buildings'])}"
    assert part.headers["etag"] == whole.headers["etag"]
    assert ask(PUBLIC, "/archives/buildings.pmtiles", range="bytes=99999999-").status_code == 416
    again = ask(PUBLIC, "/archives/buildings.pmtiles", if_none_match=whole.headers["etag"])
    assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize(
    "given", ["bytes", "bytes=", "bytes=9bytes=9", "lines=0-9", "bytes=9-3", "bytes=0-9;"]
)
@pytest.mark.usefixtures("kept")
def test_what_is_no_range_is_refused_by_name(ask: Ask, given: str) -> None:
    answer = ask(PUBLIC, "/archives/buildings.pmtiles", range=given)
    assert (answer.status_code, answer.headers["content-type"]) == (400, "application/problem+json")
    assert answer.json()["errors"][0]["name"] == "Range"


@pytest.mark.usefixtures("kept")
def test_tiles_from_an_archive_are_those_served(ask: Ask) -> None:
    x, y = _square(*town.at(0.7, 0.7), 14)
    served = ask(PUBLIC, f"/tiles/buildings/14/{x}/{y}.mvt")
    told = ask(PUBLIC, f"/archives/buildings/14/{x}/{y}.mvt")
    packed = ask(PUBLIC, f"/archives/buildings/14/{x}/{y}.mvt", accept_encoding="br, gzip;q=0.5")
    assert served.content == told.content == packed.content
    assert packed.headers["content-encoding"] == "gzip"
    assert "content-encoding" not in told.headers
    assert packed.headers["etag"] != told.headers["etag"]
    assert "Accept-Encoding" in told.headers["vary"]
    again = ask(PUBLIC, f"/archives/buildings/14/{x}/{y}.mvt", if_none_match=told.headers["etag"])
    assert again.status_code == 304
    assert ask(PUBLIC, "/archives/buildings/14/1/1.mvt").status_code == 204


@pytest.mark.parametrize("path", ["nothing", "broken", "..%2F..%2Fkeys"])
@pytest.mark.usefixtures("kept")
def test_what_is_no_archive_is_not_there(ask: Ask, path: str) -> None:
    for rest in (".json", ".pmtiles", "/14/1/1.mvt"):
        assert ask(EXPORTER, f"/archives/{path}{rest}").status_code in {404, 422}


def test_a_replaced_archive_is_seen_at_once(
    engine: Engine, ask: Ask, kept: dict[str, bytes], folder: Path
) -> None:
    x, y = _square(*town.at(0.7, 0.7), 14)
    path = f"/archives/again/14/{x}/{y}.mvt"
    (folder / "again.pmtiles").write_bytes(kept["buildings"])
    first = ask(PUBLIC, path)
    _pack(engine, "grids", folder / "again.pmtiles", PUBLIC, 14)
    second = ask(PUBLIC, path, if_none_match=first.headers["etag"])
    assert second.status_code == 200
    assert second.content != first.content
    (folder / "again.pmtiles").unlink()


def test_a_layer_above_ones_role_is_not_packed(engine: Engine, tmp_path: Path) -> None:
    with pytest.raises(Forbidden):
        _pack(engine, "cameras", tmp_path / "a.pmtiles", Principal("field", full_role="field"))
    with pytest.raises(NotFound, match="T9"):
        _pack(
            engine, "incidents", tmp_path / "a.pmtiles", Principal("commander", scope="T9", scheme="safety")
        )
    assert not list(tmp_path.iterdir())


def test_zooms_are_those_of_the_layer() -> None:
    assert Zooms(None, None).of(LAYERS["buildings"])[-1] == 16
    with pytest.raises(BadInput, match="not from 3 to 30"):
        Zooms(3, 30).of(LAYERS["buildings"])


def test_an_empty_archive_is_not_made(engine: Engine, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no tile"):
        _pack(engine, "cameras", tmp_path / "a.pmtiles", COMMANDER)
    assert not list(tmp_path.iterdir())


def test_a_foreign_archive_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.pmtiles").write_bytes(b"nothing of the kind")
    with pytest.raises(NotAnArchive, match=r"a\.pmtiles is no archive"):
        Archive(tmp_path / "a.pmtiles")


def _command(database: str, data_dir: Path, *words: str) -> subprocess.CompletedProcess[str]:
    there = {"SAFETYMAP_DATABASE_URL": database, "SAFETYMAP_DATA_DIR": str(data_dir), "COLUMNS": "300"}
    return forking.command(list(words), there, data_dir)


def test_the_command_says_what_it_left_out_and_notes_who_asked(
    database: str, conn: Connection, tmp_path: Path
) -> None:
    file = tmp_path / "west.pmtiles"
    words = ["export", "incidents", str(file), "--role", "commander", "--scope", "T1", "--maxzoom", "14"]
    done = _command(database, tmp_path, *words)
    assert done.returncode == 0, done.stderr
    assert "zoom 11 to 14" in done.stdout or "zoom 0 to 14" in done.stdout
    assert "for role commander and above whose scope holds T1" in done.stdout
    assert "--maxzoom takes up to 22" in done.stdout
    made = Archive(file).imprint
    assert (made.layer, made.audience, made.scope) == ("incidents", "commander", "T1")
    noted = str(conn.execute(sa.text("SELECT array_agg(a::text) FROM audit a")).scalar())
    assert "export" in noted
    assert "west.pmtiles" in noted


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["dossiers", "a.pmtiles"], "there is no layer dossiers"),
        (["grids", "a.shp"], "FILE: .shp is not one of"),
        (["grids", "a.pmtiles", "--role", "mayor"], "role: 'mayor' is none of"),
        (["cameras", "a.pmtiles", "--role", "field"], "this is for role commander and above"),
    ],
)
def test_the_command_refuses_in_one_line(database: str, tmp_path: Path, words: list[str], said: str) -> None:
    done = _command(database, tmp_path, "export", words[0], str(tmp_path / words[1]), *words[2:])
    assert done.returncode == 1
    assert said in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1

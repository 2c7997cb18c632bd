"""Archives of tiles (PMTiles 3): which tiles a layer touches, writing them, and reading them back.

Format: https://github.com/protomaps/PMTiles/blob/main/spec/v3/spec.md. Tiles are kept gzipped.
"""

import gzip
import os
import weakref
import zlib
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from functools import lru_cache
from itertools import product
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from pmtiles.reader import Reader
from pmtiles.tile import (
    Compression,
    Entry,
    MagicNumberNotFound,
    SpecVersionUnsupported,
    TileType,
    deserialize_directory,
    find_tile,
    tileid_to_zxy,
    zxy_to_tileid,
)
from pmtiles.writer import Writer
from sqlalchemy.engine import Connection

from gis.crs import MERCATOR_MAX_LAT, WGS84
from gis.db import Query
from gis.errors import BadInput, NotAnArchive, NotFound
from gis.whole_files import whole
from tiles.tile import BUFFER, EXTENT, Tile

SUFFIX = ".pmtiles"
_EDGE = (BUFFER + 1) / EXTENT
"""A feature shows in a neighbour's margin too; one unit more for rounding."""
MOST = 4_000_000
"""Tiles of one zoom: their directory is held in memory."""
_DEPTH = 3
"""Directories above a tile, at most."""
_BROKEN = (MagicNumberNotFound, SpecVersionUnsupported, EOFError, ValueError, KeyError, TypeError, zlib.error)


@dataclass(frozen=True)
class Imprint:
    """What an archive says of itself: what was shown, and to whom it may be shown."""

    layer: str
    audience: str
    """Least role that may see it."""
    scheme: str
    scope: str | None
    """Code of the grid that holds all that it shows of what is protected; None: the whole city."""
    on: str
    known: int
    data_version: int


def touched(conn: Connection, rows: Query, z: int) -> list[Tile]:
    """Return the tiles of a zoom that the boxes of rows (with `geom`) touch, in an archive's order.

    Some may turn out empty: a box holds more than its shape. Raises BadInput beyond MOST tiles.
    """
    found: set[tuple[int, int]] = set()
    for x0, y0, x1, y1 in conn.execute(_spans(rows, 1 << z)):
        if len(found) + (x1 - x0 + 1) * (y1 - y0 + 1) > MOST:
            raise BadInput("maxzoom", f"zoom {z} has more than {MOST:,} tiles; choose a smaller one")
        found.update(product(range(x0, x1 + 1), range(y0, y1 + 1)))
    return [Tile(*tileid_to_zxy(number)) for number in sorted(zxy_to_tileid(z, x, y) for x, y in found)]


def _spans(rows: Query, side: int) -> Query:
    """Select the distinct ranges of columns and rows of tiles (x0, y0, x1, y1) that features' boxes cover."""
    geom = sa.func.ST_Transform(rows.subquery("inner").c.geom, WGS84)
    shift = sa.literal(_EDGE)
    sides = (
        _column(sa.func.ST_XMin(geom), side) - shift,
        _row(sa.func.ST_YMax(geom), side) - shift,
        _column(sa.func.ST_XMax(geom), side) + shift,
        _row(sa.func.ST_YMin(geom), side) + shift,
    )
    whole = (sa.cast(sa.func.floor(one), sa.Integer) for one in sides)
    kept = sa.select(*(sa.func.least(sa.func.greatest(one, 0), side - 1) for one in whole)).distinct()
    return kept.where(geom.is_not(None))


def _column(lon: sa.ColumnElement[Any], side: int) -> sa.ColumnElement[Any]:
    return (lon + 180) / 360 * side


def _row(lat: sa.ColumnElement[Any], side: int) -> sa.ColumnElement[Any]:
    clamped = sa.func.least(sa.func.greatest(lat, -MERCATOR_MAX_LAT), MERCATOR_MAX_LAT)
    return (1 - sa.func.asinh(sa.func.tan(sa.func.radians(clamped))) / sa.func.pi()) / 2 * side


def write(file: Path, tiles: Iterable[tuple[Tile, bytes]], told: Mapping[str, Any], imprint: Imprint) -> int:
    """Write an archive of the tiles that are not empty, and return how many those are.

    Tiles come in the order of `touched`, lower zooms first, and are streamed: only their directory is held in
    memory. The same tiles give the same bytes. The file appears when it is whole. `told` is the
    layer's TileJSON. Raises NotFound when every tile is empty.
    """
    with whole(file) as part, part.open("wb") as out, closing((writer := Writer(out)).tile_f):
        count = 0
        for tile, body in tiles:
            if body:
                writer.write_tile(zxy_to_tileid(tile.z, tile.x, tile.y), gzip.compress(body, mtime=0))
                count += 1
        if not count:
            raise NotFound(f"layer {imprint.layer} has no tile at these zooms that is not empty")
        writer.finalize(_header(told["bounds"]), _metadata(told, imprint))
    return count


def _metadata(told: Mapping[str, Any], imprint: Imprint) -> dict[str, Any]:
    kept = {name: told[name] for name in ("name", "attribution", "vector_layers")}
    return kept | {"type": "overlay", "safetymap": asdict(imprint)}


def _header(box: Sequence[float]) -> dict[str, Any]:
    west, south, east, north = (round(degrees * 1e7) for degrees in box)
    return {
        "tile_type": TileType.MVT,
        "tile_compression": Compression.GZIP,
        "min_lon_e7": west,
        "min_lat_e7": south,
        "max_lon_e7": east,
        "max_lat_e7": north,
    }


class Archive:
    """An archive of ours, open for reading; safe to be shared by threads.

    It goes on reading what it opened when the file is replaced, and closes it when nobody uses it any more.
    """

    def __init__(self, file: Path) -> None:
        """Open a file. Raises NotAnArchive when it is none, or none of ours."""
        self._descriptor = os.open(file, os.O_RDONLY)
        weakref.finalize(self, os.close, self._descriptor)
        self._directory = lru_cache(maxsize=64)(self._read_directory)
        try:
            reader = Reader(self._read)
            self.header, self.about = reader.header(), reader.metadata()
            self.imprint = Imprint(**self.about["safetymap"])
        except _BROKEN as error:
            raise NotAnArchive(f"{file.name} is no archive of this service; make it with export") from error

    def _read(self, offset: int, length: int) -> bytes:
        return os.pread(self._descriptor, length, offset)

    def _read_directory(self, offset: int, length: int) -> list[Entry]:
        return deserialize_directory(self._read(offset, length))

    def tile(self, tile: Tile) -> bytes | None:
        """Return a tile, gzipped as it is kept; None where the archive has none."""
        number = zxy_to_tileid(tile.z, tile.x, tile.y)
        offset, length = self.header["root_offset"], self.header["root_length"]
        for _ in range(_DEPTH):
            entry = find_tile(self._directory(offset, length), number)
            if entry is None:
                return None
            if entry.run_length:
                return self._read(self.header["tile_data_offset"] + entry.offset, entry.length)
            offset, length = self.header["leaf_directory_offset"] + entry.offset, entry.length
        return None

    @property
    def box(self) -> Sequence[float]:
        """West, south, east, north in WGS-84 degrees."""
        names = ("min_lon_e7", "min_lat_e7", "max_lon_e7", "max_lat_e7")
        return [self.header[name] / 1e7 for name in names]

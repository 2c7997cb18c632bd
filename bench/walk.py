"""Walk over every tile of every layer, uncached: how large, how slow, and whether the counts add up.

`python -m bench.walk [--url URL] [--layers a,b] [--zooms 0-16] [--every N]` prints the tables of
docs/benchmarks.md. It reads only. Of every Nth tile it tells size and time, but no counts.
"""

import argparse
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace

import numpy as np
import sqlalchemy as sa
from mapbox_vector_tile.Mapbox import vector_tile_pb2
from sqlalchemy.engine import Connection, Engine

from api.cutting import looking_at
from gis import access, cluster, db, grids
from gis import schema as t
from layers.catalogue import CATALOG, Layer
from layers.view import View
from tiles import archive, mvt
from tiles.tile import EXTENT, Tile

LARGEST, SLOWEST_MS = 500_000, 150
"""What a tile may weigh, and take in 19 of 20 cases."""
LAST = 16


@dataclass
class Found:
    """What the tiles of one layer and zoom held."""

    layer: str
    zoom: int
    sizes: list[int] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    counted: int = 0
    """Sum of `count` over squares and cells, each once; the number of features where they have none."""
    wanted: int | None = 0
    """The same from the tables themselves; None where not every tile was cut."""

    @property
    def p95_ms(self) -> float:
        """95 of 100 tiles took at most this."""
        return float(np.percentile(self.seconds, 95)) * 1000

    @property
    def adds_up(self) -> bool:
        """Say whether the tiles held what the tables hold, as far as that was looked at."""
        return self.wanted is None or self.counted == self.wanted

    def line(self) -> str:
        """Return the row of the table."""
        p50 = float(np.median(self.seconds)) * 1000
        verdict = "=" if self.adds_up else f"≠ {self.wanted:,}"
        counted = "every few only" if self.wanted is None else f"{self.counted:,} {verdict}"
        return (
            f"| {self.layer} | {self.zoom} | {len(self.sizes):,} | {max(self.sizes) / 1000:.1f} "
            f"| {p50:.1f} | {self.p95_ms:.1f} | {counted} |"
        )


HEADER = (
    "| layer | zoom | tiles | largest, kB | p50, ms | p95, ms | counted in tiles, and in the tables |\n"
    "|---|---|---|---|---|---|---|"
)


def walk(
    engine: Engine, layers: Iterable[Layer] = CATALOG, zooms: Iterable[int] = range(LAST + 1), every: int = 1
) -> Iterator[Found]:
    """Cut every tile in which something of a layer may lie, and yield what was found, zoom by zoom.

    Asked as by somebody who may see the whole city, in a transaction of its own, as the service does.
    """
    with engine.begin() as conn:
        asked = _enter(conn)
    whole = View(asked.scheme, asked.on, asked.known)
    for layer in layers:
        for zoom in zooms:
            if layer.minzoom <= zoom <= layer.maxzoom:
                yield _zoom(engine, layer, replace(whole, zoom=zoom), every)


def _enter(conn: Connection) -> grids.Asked:
    access.enter(conn, access.COMMAND)
    return grids.resolve(conn, grids.Wish())


def _zoom(engine: Engine, layer: Layer, seen: View, every: int) -> Found:
    with engine.begin() as conn:
        access.enter(conn, access.COMMAND)
        squares = archive.touched(conn, layer.select(seen), seen.zoom)
        wanted = WANTED.get(layer.name, _selected)(conn, layer, seen) if every == 1 else None
        found = Found(layer.name, seen.zoom, wanted=wanted)
        # A tile of what never changes holds more than there is: what there is must be among it.
        is_constant = layer.constant_from is not None and seen.zoom >= layer.constant_from
        told = (
            set(conn.execute(sa.select(layer.select(seen).subquery().c.id)).scalars())
            if is_constant
            else None
        )
    counts: dict[int, int] = {}
    statement = mvt.cut(layer.select(looking_at(seen, seen.zoom)), layer.name, seen.zoom)
    for square in squares[::every]:
        began = time.perf_counter()
        body = _cut(engine, statement, square)
        spent = time.perf_counter() - began
        if body:
            found.sizes.append(len(body))
            found.seconds.append(spent)
            counts.update(features(body))
    found.counted = sum(count for ident, count in counts.items() if told is None or ident in told)
    return found


def _cut(engine: Engine, statement: mvt.Cut, square: Tile) -> bytes:
    """Return one tile as the service cuts it, without any cache."""
    with engine.begin() as conn:
        access.enter(conn, access.COMMAND)
        return statement.run(mvt.driver_of(conn), square)


def features(body: bytes) -> Iterator[tuple[int, int]]:
    """Yield id and count (1 without one) of the features of a tile; points beyond its sides are another's."""
    tile = vector_tile_pb2.tile()
    tile.ParseFromString(body)
    for layer in tile.layers:
        key = next((at for at, name in enumerate(layer.keys) if name == "count"), -1)
        for one in layer.features:
            if one.type == tile.Point and not _is_within(one.geometry):
                continue
            tags = dict(zip(one.tags[::2], one.tags[1::2], strict=True))
            yield one.id, _whole(layer.values[tags[key]]) if key in tags else 1


def _is_within(geometry: Iterable[int]) -> bool:
    """Say whether a point lies on the tile: its two numbers are zigzag, from 0 to below the extent."""
    return all(number % 2 == 0 and number // 2 < EXTENT for number in list(geometry)[1:3])


def _whole(value: "vector_tile_pb2.tile.value") -> int:
    return int(value.int_value or value.uint_value or value.sint_value)


def _rows(table: sa.Table, *where: sa.ColumnElement[bool]) -> Callable[[Connection, Layer, View], int]:
    """Count a table's rows, without any of the layer's own code."""

    def count(conn: Connection, _: Layer, __: View) -> int:
        return int(conn.execute(sa.select(sa.func.count()).select_from(table).where(*where)).scalar_one())

    return count


def _selected(conn: Connection, layer: Layer, seen: View) -> int:
    """Count what the layer selects at a zoom: some show a part, such as main roads."""
    return int(
        conn.execute(sa.select(sa.func.count()).select_from(layer.select(seen).subquery())).scalar_one()
    )


_INCIDENTS = _rows(t.incidents, t.incidents.c.geom.is_not(None), t.incidents.c.state != "withdrawn")
WANTED: dict[str, Callable[[Connection, Layer, View], int]] = {
    "buildings": _rows(t.buildings),
    "cameras": _rows(t.cameras),
    "incidents": _INCIDENTS,
    "responders": _rows(t.responders),
    "places": _rows(t.places),
}
"""What a zoom's counts must add up to; other layers show the rows that they select."""


def _summary(found: list[Found]) -> str:
    sizes = [one for each in found for one in each.sizes]
    seconds = [one for each in found for one in each.seconds]
    p50, p95 = np.percentile(seconds, (50, 95)) * 1000
    slow = [f"{one.layer} z{one.zoom} ({one.p95_ms:.0f} ms)" for one in found if one.p95_ms > SLOWEST_MS]
    large = sum(size > LARGEST for size in sizes)
    wrong = [f"{one.layer} z{one.zoom}" for one in found if not one.adds_up]
    return (
        f"\n{len(sizes):,} tiles that are not empty; largest {max(sizes) / 1000:.1f} kB, {large} above "
        f"{LARGEST / 1000:.0f} kB; p50 {p50:.1f} ms, p95 {p95:.1f} ms, "
        f"slowest {max(seconds) * 1000:.0f} ms.\n"
        f"p95 above {SLOWEST_MS} ms: {', '.join(slow) or 'nowhere'}. "
        f"Counts that do not add up: {', '.join(wrong) or 'none'}."
    )


def main() -> None:
    """Walk, telling each zoom of each layer as it is done."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--url", help="database, postgresql://…; the configured one")
    asked.add_argument("--layers", default=",".join(layer.name for layer in CATALOG))
    asked.add_argument("--zooms", default=f"0-{LAST}")
    asked.add_argument("--every", type=int, default=1)
    chosen = asked.parse_args()
    url = (chosen.url or db.url()).replace("postgresql://", "postgresql+psycopg://")
    first, _, last = chosen.zooms.partition("-")
    wanted = [layer for layer in CATALOG if layer.name in chosen.layers.split(",")]
    done = []
    print(HEADER)
    engine = db.make_engine(url, role=cluster.SERVICE)
    for one in walk(engine, wanted, range(int(first), int(last or first) + 1), chosen.every):
        if one.sizes:
            print(one.line(), flush=True)
            done.append(one)
    print(_summary(done))


if __name__ == "__main__":
    main()

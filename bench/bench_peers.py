"""Tiles against Martin, tegola, pg_tileserv and TiPg on the loaded database; prints ratios and what differs.

Each server gets the same tiles from the same client in every round, in turn, and another goes first each
time. Tiles made from the store are asked for only once, so that nobody's cache helps. Programs are taken from
the PATH or built once into the data directory.
"""

import contextlib
import signal
import statistics
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from gzip import decompress

import mapbox_vector_tile
import sqlalchemy as sa

from bench.measure import HEADER, Ratio
from bench.peers.asking import Headers, again, ask, client, middle, once
from bench.peers.effort import of_database, of_group
from bench.peers.programs import CORES, OURS, PEERS, SCHEMA, Ground, Missing, Peer, running
from gis import db
from gis.migrate import migrate
from gis.settings import settings
from layers.catalogue import NAMES_FROM
from tiles.tile import Tile

VIEWS = {
    "buildings": "SELECT id, geom, name, address, kind, floors, households FROM public.buildings",
    "footprints": "SELECT id, geom, kind, floors, households FROM public.buildings",
}
"""What peers serve: the very columns of our layer from zoom 16 on, and below."""
FIRST_PORT = 8251
GZIP = {"Accept-Encoding": "gzip"}
ROUNDS = 5


@dataclass(frozen=True)
class Fresh:
    """A question for tiles that nobody has made before."""

    zoom: int
    tiles: int
    connections: int
    target: float


FRESH = (Fresh(16, 240, 4, 1.2), Fresh(14, 60, 4, 3), Fresh(10, 1, 1, 20))


@dataclass(frozen=True)
class Server:
    """A server that runs: its port and process group."""

    port: int
    group: int


Servers = Mapping[Peer, Server]


@contextlib.contextmanager
def _views() -> Iterator[dict[str, dict[str, str]]]:
    """Make the peers' views and return their columns; they are dropped afterwards."""
    with db.work_engine().begin() as conn:
        migrate(conn)
        conn.execute(sa.text(f"DROP SCHEMA IF EXISTS {SCHEMA} CASCADE"))
        conn.execute(sa.text(f"CREATE SCHEMA {SCHEMA}"))
        for name, select in VIEWS.items():
            conn.execute(sa.text(f"CREATE VIEW {SCHEMA}.{name} AS {select}"))
        told = conn.execute(
            sa.text(
                "SELECT table_name, column_name, udt_name FROM information_schema.columns "
                "WHERE table_schema = :schema AND udt_name <> 'geometry' ORDER BY ordinal_position"
            ),
            {"schema": SCHEMA},
        ).all()
    yield {view: {row[1]: row[2] for row in told if row[0] == view} for view in VIEWS}
    with db.work_engine().begin() as conn:
        conn.execute(sa.text(f"DROP SCHEMA {SCHEMA} CASCADE"))


_SQUARES = """
WITH p AS (SELECT point FROM buildings WHERE id % :every = 0),
s AS (
  SELECT floor((ST_X(point) + 180) / 360 * 2 ^ :z)::int AS x,
    floor((1 - asinh(tan(radians(ST_Y(point)))) / pi()) / 2 * 2 ^ :z)::int AS y FROM p
)
SELECT x, y FROM s GROUP BY x, y ORDER BY {order} LIMIT :most
"""


def _squares(zoom: int, most: int, *, fullest: bool = False) -> list[Tile]:
    """Return tiles where buildings are: at random, likelier where there are many, or those with most."""
    order = "count(*) DESC" if fullest else "md5(x::text || y::text)"
    every = 7 if fullest else {16: 97, 14: 997}.get(zoom, 7)
    with db.work_engine().begin() as conn:
        found = conn.execute(sa.text(_SQUARES.format(order=order)), {"z": zoom, "every": every, "most": most})
        return [Tile(zoom, x, y) for x, y in found]


def _warm() -> None:
    """Read through what is asked for, else the first of those that share a table reads it for the others."""
    with db.work_engine().begin() as conn:
        for table in ("buildings", "footprints"):
            conn.execute(sa.text(f"SELECT sum(ST_NPoints(geom)) FROM {table}"))


def _path(peer: Peer, square: Tile) -> str:
    layer = "buildings" if peer is OURS or square.z >= NAMES_FROM else "footprints"
    return peer.template.format(layer=layer, z=square.z, x=square.x, y=square.y)


def _interleaved(servers: Servers, take: Callable[[Peer, int, int], float]) -> dict[Peer, list[float]]:
    """Return each server's seconds per round; another goes first in every round."""
    took: dict[Peer, list[float]] = {peer: [] for peer in servers}
    order = list(servers)
    for n in range(ROUNDS):
        for peer in order[n % len(order) :] + order[: n % len(order)]:
            took[peer].append(take(peer, servers[peer], n))
    return took


def _tell(name: str, took: Mapping[Peer, Sequence[float]], target: float) -> None:
    """Print ours against each peer, the best of them last, which the target is for."""
    ours = took[OURS]
    peers = sorted((peer for peer in took if peer is not OURS), key=lambda p: -statistics.median(took[p]))
    for peer in peers:
        each = sorted(theirs / mine for theirs, mine in zip(took[peer], ours, strict=True))
        aim = target if peer is peers[-1] else 0.0
        told = Ratio(
            f"{name}, against {peer.name} {peer.version}", statistics.median(ours),
            statistics.median(took[peer]), statistics.median(each), each[0], each[-1], len(each), aim,
        )  # fmt: skip
        print(told.line() if aim else told.line().replace("≥ 0.0 | met", "none | "), flush=True)


def _describe(servers: Servers, square: Tile) -> None:
    """Print what one tile holds by each server: bytes, features and properties."""
    print(f"\nTile {square.z}/{square.x}/{square.y}:", file=sys.stderr)
    for peer, server in servers.items():
        status, headers, body = ask(server.port, _path(peer, square), {"Accept-Encoding": "identity"})
        body = decompress(body) if headers.get("content-encoding") == "gzip" else body
        layers = mapbox_vector_tile.decode(body) if status == 200 and len(body) < 3_000_000 else {}
        features = [one for layer in layers.values() for one in layer["features"]]
        keys = sorted({key for one in features for key in one["properties"]})
        print(
            f"  {peer.name}: {status}, {len(body):,} B, {len(features):,} features, {keys}", file=sys.stderr
        )


def _fresh(servers: Servers, asked: Fresh) -> None:
    squares = _squares(asked.zoom, asked.tiles * (ROUNDS + 1), fullest=asked.zoom < 12)
    _describe(servers, squares[-1])
    for peer, server in servers.items():  # connections are made, programs loaded
        once(server.port, [_path(peer, one) for one in squares[-asked.tiles :]], GZIP, 2 * asked.connections)
    chunks = [squares[n * asked.tiles : (n + 1) * asked.tiles] for n in range(ROUNDS)]
    spent = dict.fromkeys(servers, (0.0, 0.0))

    def take(peer: Peer, server: Server, n: int) -> float:
        paths = [_path(peer, one) for one in chunks[n]]
        before = of_group(server.group), of_database()
        took = once(server.port, paths, GZIP, asked.connections)
        more = of_group(server.group) - before[0], of_database() - before[1]
        spent[peer] = (spent[peer][0] + more[0], spent[peer][1] + more[1])
        return took / len(paths)

    took = _interleaved(servers, take)
    _tell(f"a z{asked.zoom} tile of buildings, uncached", took, asked.target)
    _tell_effort(
        asked, {peer: [s / asked.tiles / ROUNDS * 1000 for s in both] for peer, both in spent.items()}
    )


def _tell_effort(asked: Fresh, spent: Mapping[Peer, Sequence[float]]) -> None:
    """Print processor time per tile; connections made since a round began count from then on."""
    told = [
        f"{peer.name} {server + base:.2f} ms (server {server:.2f}, database {base:.2f})"
        for peer, (server, base) in spent.items()
    ]
    print(f"Processor time of a z{asked.zoom} tile: {'; '.join(told)}", file=sys.stderr, flush=True)


def _sized(servers: Servers, wanted: int) -> Tile:
    """Return the tile of ours whose body is nearest to so many bytes."""
    squares = _squares(14, 40, fullest=True) + _squares(14, 20) + _squares(16, 20)
    port = servers[OURS].port
    sizes = {one: len(ask(port, _path(OURS, one), {"Accept-Encoding": "identity"})[2]) for one in squares}
    return min(sizes, key=lambda one: abs(sizes[one] - wanted))


def _cached(servers: Servers, wanted: int, headers: Headers, target: float) -> None:
    square = _sized(servers, wanted)
    bodies = {peer.name: len(ask(s.port, _path(peer, square), headers)[2]) for peer, s in servers.items()}
    took = _interleaved(servers, lambda peer, server, _: again(server.port, _path(peer, square), headers))
    told = ", ".join(f"{name} {size / 1000:.1f} kB" for name, size in bodies.items())
    _tell(f"a cached tile of some {wanted // 1000} kB ({headers['Accept-Encoding']}: {told})", took, target)


def _unchanged(servers: Servers) -> None:
    """Print the median of a 304, for those who answer one."""
    square = _sized(servers, 100_000)
    known = {}
    for peer, server in servers.items():
        path = _path(peer, square)
        _, headers, _ = ask(server.port, path, GZIP)
        told = GZIP | {"If-None-Match": headers.get("etag", "")}
        status = ask(server.port, path, told)[0]
        print(f"\n{peer.name}: {status} to If-None-Match {headers.get('etag')}", file=sys.stderr)
        if status == 304:
            known[peer] = (path, told)
    them = {peer: server for peer, server in servers.items() if peer in known}
    took = _interleaved(them, lambda peer, server, _: middle(server.port, *known[peer]))
    if OURS in took:
        _tell("304 to a tile of 100 kB, median of one connection", took, 1)


def main() -> None:
    """Print the ratios over the database that is loaded."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that every server is ended, too
    with contextlib.ExitStack() as stack:
        columns = stack.enter_context(_views())
        url = db.url().replace("postgresql+psycopg", "postgresql")
        ground = Ground(url, columns, settings().data_dir / "peers")
        probe = _squares(16, 1)[0]
        servers: dict[Peer, Server] = {}
        for n, peer in enumerate((OURS, *PEERS)):
            try:
                group = stack.enter_context(running(peer, ground, FIRST_PORT + n, _path(peer, probe)))
                servers[peer] = Server(FIRST_PORT + n, group)
            except Missing as why:
                print(f"{peer.name} {peer.version} was not run here: {why}", flush=True)
        print(f"\n{CORES} cores for everybody; asked by {client()}\n\n{HEADER}", flush=True)
        _warm()
        for asked in FRESH:
            _fresh(servers, asked)
        for wanted in (100_000, 10_000):
            for encoding in ("gzip", "identity"):
                _cached(servers, wanted, {"Accept-Encoding": encoding}, 2 if wanted == 100_000 else 1)
        _unchanged(servers)


if __name__ == "__main__":
    main()

"""The long proof of freshness: after each random edit, two processes of the service against a new render.

`uv run python -m bench.prove_freshness [EDITS]` clones the loaded database, edits the clone, and drops it.
"""

import asyncio
import contextlib
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from api.cutting import looking_at
from api.deps import Look, view
from bench.load import wait_for
from gis import access, city, db, grids
from gis.access import Principal
from gis.grids import Wish
from layers.catalogue import LAYERS
from layers.view import View
from tiles import mvt
from tiles.tile import Tile

PORTS = (8141, 8142)
DEADLINE_S = 1.0
PLAIN = Look(Wish(), None, None, None, None, None, None)
TABLES = {"incidents": "colour", "responders": "status", "cameras": "state", "buildings": "kind"}
"""Layers edited, and the column by which they are recoloured."""
ZOOMS = (9, 12, 14, 15, 16)
CUT = """
SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
WHERE datname = current_database() AND application_name = 'safetymap listener'
"""


@dataclass
class Tally:
    """What was found."""

    edits: Counter[str] = field(default_factory=Counter)
    stale: int = 0
    cut: int = 0
    untouched: int = 0
    still_kept: int = 0
    compared: int = 0


@contextlib.contextmanager
def clone() -> Iterator[str]:
    """A copy of the loaded database, as a URL, that is dropped afterwards."""
    work = db.work_engine()
    url, name = work.url, f"prove_{os.getpid()}"
    outside = url.set(database="postgres").render_as_string(hide_password=False)
    work.dispose()
    engine = db.make_engine(outside, pool_size=1).execution_options(isolation_level="AUTOCOMMIT")
    with engine.connect() as conn:
        conn.execute(sa.text(f'CREATE DATABASE {name} TEMPLATE "{url.database}"'))
        try:
            yield url.set(database=name).render_as_string(hide_password=False)
        finally:
            conn.execute(sa.text(f"DROP DATABASE {name} WITH (FORCE)"))


@contextlib.contextmanager
def workers(url: str) -> Iterator[None]:
    """Two processes that share nothing but the database."""
    with tempfile.TemporaryDirectory() as data_dir:
        env = os.environ | {
            "SAFETYMAP_DATABASE_URL": url, "SAFETYMAP_DATA_DIR": data_dir, "SAFETYMAP_LOG_LEVEL": "ERROR",
        }  # fmt: skip
        command = [sys.executable, "-m", "uvicorn", "api.main:make_app", "--factory", "--no-access-log"]
        command += ["--timeout-keep-alive", "600"]
        running = [
            subprocess.Popen([*command, "--log-level", "error", "--port", str(port)], env=env)
            for port in PORTS
        ]
        try:
            for port in PORTS:
                wait_for(f"http://127.0.0.1:{port}/health/live")
            yield
        finally:
            for one in running:
                one.terminate()
            for one in running:
                one.wait()


class Client:
    """One kept-alive connection to a worker."""

    def __init__(self, port: int, key: str) -> None:
        self._port, self._key = port, key

    async def open(self) -> "Client":
        """Connect."""
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
        return self

    async def get(self, path: str) -> tuple[bytes, bool]:
        """Return the body of a tile and whether it came from the cache."""
        ask = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {self._key}\r\n\r\n"
        self._writer.write(ask.encode())
        head = (await self._reader.readuntil(b"\r\n\r\n")).decode()
        assert head.startswith(("HTTP/1.1 200", "HTTP/1.1 204")), head
        lines = dict(line.split(": ", 1) for line in head.lower().split("\r\n")[1:] if line)
        body = await self._reader.readexactly(int(lines.get("content-length", 0)))
        return body, lines["cache-status"] == "tiles; hit"


def path_of(layer: str, tile: Tile) -> str:
    """Return where a tile is asked for."""
    return f"/tiles/{layer}/{tile.z}/{tile.x}/{tile.y}.mvt"


def tile_at(conn: Connection, lon: float, lat: float, z: int) -> Tile:
    """Return the tile that holds a point."""
    row = conn.execute(sa.text("SELECT plane_x(:lon), plane_y(:lat)"), {"lon": lon, "lat": lat}).one()
    return Tile(z, int(row[0] * (1 << z)), int(row[1] * (1 << z)))


def fresh(conn: Connection, seen: View, layer: str, tile: Tile) -> bytes:
    """Return a tile as it is rendered now."""
    return mvt.render(conn, LAYERS[layer].select(looking_at(seen, tile.z)), layer, tile)


class Town:
    """What is edited: rows with their places, and the edits themselves."""

    def __init__(self, engine: Engine, seed: int) -> None:
        self.engine, self.random = engine, random.Random(seed)
        with engine.begin() as conn:
            asked = grids.resolve(conn, Wish())
            self.box = city.extent(conn, asked.scheme)
            self.ids = {
                table: list(conn.execute(sa.text(f"SELECT id FROM {table}")).scalars()) for table in TABLES
            }
            self.values = {
                table: list(
                    conn.execute(
                        sa.text(f"SELECT {column} FROM {table} WHERE {column} IS NOT NULL GROUP BY 1")
                    ).scalars()
                )
                for table, column in TABLES.items()
            }

    def edit(self, conn: Connection) -> tuple[str, str, list[tuple[float, float]]]:
        """Do one edit; return its kind, its layer and the places touched."""
        table = self.random.choice(list(TABLES))
        number = self.random.choice(self.ids[table])
        before = self.place(conn, table, number)
        kind = self.random.choice(["move", "recolour", "add", "remove"])
        if kind == "remove" and table == "incidents":  # they are withdrawn, not deleted
            conn.execute(sa.text("UPDATE incidents SET state = 'withdrawn' WHERE id = :id"), {"id": number})
            self.ids[table].remove(number)
        elif kind == "remove":
            conn.execute(sa.text(f"DELETE FROM {table} WHERE id = :id"), {"id": number})
            self.ids[table].remove(number)
        elif kind == "add":
            number = self._copy(conn, table, number)
            self._move(conn, table, number)
        elif kind == "move":
            self._move(conn, table, number)
        else:
            wanted = self.random.choice(self.values[table])
            change = f"UPDATE {table} SET {TABLES[table]} = :value WHERE id = :id"
            conn.execute(sa.text(change), {"value": wanted, "id": number})
        after = self.place(conn, table, number)
        return kind, table, [place for place in (before, after) if place]

    def place(self, conn: Connection, table: str, number: int) -> tuple[float, float] | None:
        """Return a point of a row; None when it is gone."""
        where = "ST_X(ST_PointOnSurface(geom)), ST_Y(ST_PointOnSurface(geom))"
        found = conn.execute(
            sa.text(f"SELECT {where} FROM {table} WHERE id = :id"), {"id": number}
        ).one_or_none()
        return (found[0], found[1]) if found and found[0] is not None else None

    def _move(self, conn: Connection, table: str, number: int) -> None:
        east, north = (self.random.gauss(0, 0.01) for _ in range(2))
        also = ", point = ST_Translate(point, :e, :n)" if table == "buildings" else ""
        change = f"UPDATE {table} SET geom = ST_Translate(geom, :e, :n){also} WHERE id = :id"
        conn.execute(sa.text(change), {"e": east, "n": north, "id": number})

    def _copy(self, conn: Connection, table: str, number: int) -> int:
        mark = f"prove-{self.random.random()}"
        own = {"id", "origin_id", "code", "square"} if table == "incidents" else {"id", "origin_id", "square"}
        names = sa.text("SELECT column_name FROM information_schema.columns WHERE table_name = :t")
        columns = [name for name in conn.execute(names, {"t": table}).scalars() if name not in own]
        listed = ", ".join(columns)
        code, value = (", code", ", :mark") if table == "incidents" else ("", "")
        copy = (
            f"INSERT INTO {table} ({listed}, origin_id{code}) SELECT {listed}, :mark{value} FROM {table} "
            "WHERE id = :id RETURNING id"
        )
        made = int(conn.execute(sa.text(copy), {"mark": mark, "id": number}).scalar_one())
        self.ids[table].append(made)
        return made


async def prove(url: str, edits: int, seed: int = 11) -> Tally:
    """Edit, and after each edit hold every tile touched in both workers against a new render."""
    engine, tally = db.make_engine(url, pool_size=2), Tally()
    town = Town(engine, seed)
    with engine.begin() as conn:
        key = access.create_key(conn, "commander", scheme="safety", label="proof").key
        seen = view(conn, PLAIN, Principal("commander", full_role="commander"))
    clients = [await Client(port, key).open() for port in PORTS]
    watched = _watched(engine, town)
    for client in clients:
        for layer, tile in watched:
            await client.get(path_of(layer, tile))
    known = set(watched)
    for number in range(edits):
        if number % 1000 == 500:  # they forget everything then, as they must
            known.clear()
            with engine.begin() as conn:
                tally.cut += int(conn.execute(sa.text(CUT)).scalar_one())
        with engine.begin() as conn:
            kind, layer, places = town.edit(conn)
        committed = time.monotonic()
        tally.edits[f"{layer} {kind}"] += 1
        with engine.connect() as conn:
            zoom = town.random.choice(ZOOMS)
            touched = {tile_at(conn, *place, zoom) for place in places}
            await _compare(conn, seen, clients, layer, touched, committed, tally)
            known -= {(layer, tile_at(conn, *place, z)) for place in places for z in ZOOMS}
        await _untouched(clients, town.random.sample(watched, 4), known, tally)
        if number % 100 == 99:
            print(number + 1, tally, flush=True)
    engine.dispose()
    return tally


def _watched(engine: Engine, town: Town) -> list[tuple[str, Tile]]:
    """Return tiles of every layer that are kept from the beginning."""
    found = set()
    with engine.connect() as conn:
        for table in TABLES:
            for number in town.random.sample(town.ids[table], 40):
                place = town.place(conn, table, number)
                if place:
                    found |= {(table, tile_at(conn, *place, z)) for z in ZOOMS[1:]}
    return sorted(found, key=str)


async def _compare(
    conn: Connection, seen: View, clients: list[Client], layer: str, touched: set[Tile], committed: float,
    tally: Tally,
) -> None:  # fmt: skip
    """Within the deadline every worker must answer what a new render says."""
    for tile in sorted(touched, key=str):
        wanted = fresh(conn, seen, layer, tile)
        for client in clients:
            tally.compared += 1
            late = False
            while (await client.get(path_of(layer, tile)))[0] != wanted:
                if late:
                    tally.stale += 1
                    print("STALE", layer, tile, flush=True)
                    break
                await asyncio.sleep(0.01)
                late = time.monotonic() - committed > DEADLINE_S


async def _untouched(
    clients: list[Client], asked: list[tuple[str, Tile]], known: set[tuple[str, Tile]], tally: Tally
) -> None:
    """Ask for a few tiles: those known to be kept, and touched by no edit since, must still be kept."""
    for one in asked:
        for client in clients:
            is_kept = (await client.get(path_of(*one)))[1]
            if one in known:
                tally.untouched += 1
                tally.still_kept += is_kept
        known.add(one)


def main() -> None:
    """Print what was found; a failure when a stale tile was, or too much was forgotten."""
    edits = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    with clone() as url, workers(url):
        tally = asyncio.run(prove(url, edits))
    share = tally.still_kept / max(1, tally.untouched)
    print(f"{sum(tally.edits.values())} edits {dict(tally.edits)}")
    print(f"{tally.compared} tiles compared, {tally.stale} stale; listeners cut {tally.cut} times")
    print(f"{tally.untouched} untouched tiles asked for, {share:.2%} of them still kept")
    sys.exit(tally.stale > 0 or share < 0.99)


if __name__ == "__main__":
    main()

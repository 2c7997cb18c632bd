"""A 304 asks the database nothing, by the database's own account: pg_stat_statements over the loaded city.

`uv run python -m bench.prove_unchanged [COUNT]`. A superuser lets the server load the extension
(`ALTER SYSTEM SET shared_preload_libraries = 'pg_stat_statements'`, and a restart), makes it in the database,
and grants the owner `pg_read_all_stats` and `EXECUTE ON FUNCTION pg_stat_statements_reset`.
"""

import statistics
import sys
import time
from http.client import HTTPConnection

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from bench.load import served
from bench.overload import tiles
from gis import db

PORT = 8153
TOLD = """
SELECT calls, query FROM pg_stat_statements s JOIN pg_database d ON d.oid = s.dbid
WHERE datname = current_database() AND query NOT LIKE '%pg_stat_statements%' ORDER BY calls DESC
"""


def _ask(line: HTTPConnection, path: str, tag: str = "") -> tuple[int, str]:
    line.request("GET", path, headers={"Accept-Encoding": "gzip", "If-None-Match": tag})
    answer = line.getresponse()
    answer.read()
    return answer.status, answer.headers.get("ETag", "")


def _statements(conn: Connection) -> list[tuple[int, str]]:
    return [(row.calls, " ".join(row.query.split())) for row in conn.execute(sa.text(TOLD))]


def main() -> None:
    """Ask for tiles that are known, and print what the database was asked meanwhile."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    engine = db.work_engine().execution_options(isolation_level="AUTOCOMMIT")
    with engine.connect() as conn, served("api.main:make_app", PORT, SAFETYMAP_LOG_LEVEL="ERROR"):
        line = HTTPConnection("127.0.0.1", PORT, timeout=60)
        time.sleep(2)  # until it hears of changes, it keeps nothing
        tags = {path: _ask(line, path)[1] for path in tiles(200)}
        known = [(path, tag) for path, tag in tags.items() if tag]
        conn.execute(sa.text("SELECT pg_stat_statements_reset()"))
        took, statuses = [], set()
        for n in range(count):
            began = time.perf_counter()
            statuses.add(_ask(line, *known[n % len(known)])[0])
            took.append(time.perf_counter() - began)
        asked = _statements(conn)
        _ask(line, "/tiles/buildings/14/1/1.mvt")
        witnessed = [query for _, query in _statements(conn) if "ST_AsMVT" in query]
    middle = statistics.median(took) * 1000
    print(f"{count} answers of {len(known)} tiles: {statuses}, median {middle:.2f} ms")
    print(f"statements meanwhile: {asked or 'none'}")
    print(f"a tile that is not kept is seen: {bool(witnessed)}")
    sys.exit(statuses != {304} or any("ST_AsMVT" in query for _, query in asked) or not witnessed)


if __name__ == "__main__":
    main()

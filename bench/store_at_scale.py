"""What 10 million incidents ask of the store: partitions by month, and counts kept beside the incidents.

Run it on a database that holds the Chicago demo; it makes a schema `scale` there, prints its table and drops
it again. Not part of `make bench`: it takes some ten minutes and 10 GB.
"""

import sys

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from bench.measure import seconds
from gis import db
from gis.cells import RESOLUTIONS

ROUNDS = 5
COLUMNS = "id, origin, origin_id, code, category, state, occurred_at, geom, " + ", ".join(
    f"cell_{res}" for res in RESOLUTIONS
)
COPY = """
INSERT INTO scale.{table} ({columns})
SELECT id * 100 + n, origin, origin_id || '-' || n, code || '-' || n, category, state,
       occurred_at + n * interval '120 days', geom, cell_6, cell_7, cell_8, cell_9, cell_10
FROM incidents, generate_series(0, {copies}) n
"""
MONTHS = """
SELECT format('CREATE TABLE scale.months_%s PARTITION OF scale.months FOR VALUES FROM (%L) TO (%L)',
  to_char(m, 'YYYYMM'), m, m + interval '1 month')
FROM generate_series(timestamp '2016-12-01', timestamp '2029-12-01', interval '1 month') m
"""
_MONTH = "occurred_at >= '2020-03-01' AND occurred_at < '2020-03-29'"
_YEAR = "occurred_at >= '2020-01-01' AND occurred_at < '2021-01-01'"
_TILE = "geom && ST_MakeEnvelope(-87.66, 41.86, -87.638, 41.877, 4326)"
_PER_CELL = "SELECT cell_9, count(*) FROM scale.{{t}} WHERE {period} AND state <> 'withdrawn' GROUP BY 1"
QUESTIONS = {
    "counts of 28 days, res 9": _PER_CELL.format(period=_MONTH),
    "counts of a year, res 9": _PER_CELL.format(period=_YEAR),
    "one tile z14, 28 days": f"SELECT count(*) FROM scale.{{t}} WHERE {_TILE} AND {_MONTH}",
    "one tile z14, all time": f"SELECT count(*) FROM scale.{{t}} WHERE {_TILE}",
    "one incident by code": "SELECT id FROM scale.{t}"
    " WHERE code = (SELECT code || '-7' FROM incidents LIMIT 1)",
}


def build(conn: Connection, copies: int) -> None:
    """Make the plain and the partitioned table with the same rows and the same indexes."""
    conn.execute(sa.text("DROP SCHEMA IF EXISTS scale CASCADE"))
    conn.execute(sa.text("CREATE SCHEMA scale"))
    like = f"AS SELECT {COLUMNS} FROM incidents LIMIT 0"
    conn.execute(sa.text(f"CREATE TABLE scale.plain {like}"))
    conn.execute(sa.text("CREATE TABLE scale.months (LIKE scale.plain) PARTITION BY RANGE (occurred_at)"))
    for statement in conn.execute(sa.text(MONTHS)).scalars().all():
        conn.execute(sa.text(statement))
    for table in ("plain", "months"):
        conn.execute(sa.text(COPY.format(table=table, columns=COLUMNS, copies=copies)))
        for column in ("occurred_at", "code"):
            conn.execute(sa.text(f"CREATE INDEX ON scale.{table} ({column})"))
        conn.execute(sa.text(f"CREATE INDEX ON scale.{table} USING gist (geom)"))
        conn.execute(sa.text(f"ANALYZE scale.{table}"))


def compare(conn: Connection) -> None:
    """Print how long each question takes on the plain and on the partitioned table, in turn."""
    print("| question | plain, median | by month, median | by month is … times as fast (spread) |")
    print("|---|---|---|---|")
    for name, text in QUESTIONS.items():
        plain, months = (sa.text(text.format(t=table)) for table in ("plain", "months"))
        pairs = sorted(
            (seconds(lambda: conn.execute(plain).all()), seconds(lambda: conn.execute(months).all()))  # noqa: B023
            for _ in range(ROUNDS)
        )
        ratios = sorted(a / b for a, b in pairs)
        middle = ROUNDS // 2
        a, b = (sorted(column)[middle] for column in zip(*pairs, strict=True))
        print(f"| {name} | {a:.3f} s | {b:.3f} s | {ratios[middle]:.2f} ({ratios[0]:.2f}-{ratios[-1]:.2f}) |")


def kept_counts(conn: Connection) -> None:
    """Print how many rows counts by day (or month) and category would have beside the incidents."""
    total = conn.execute(sa.text("SELECT count(*) FROM scale.plain")).scalar_one()
    print(f"\n{total:,} incidents\n\n| res | by | rows of kept counts | share of the incidents |")
    print("|---|---|---|---|")
    for res in (6, 7, 8, 9, 10):
        for unit, rest in (("day", ", category"), ("day", ""), ("month", ", category")):
            rows = conn.execute(
                sa.text(
                    f"SELECT count(*) FROM (SELECT 1 FROM scale.plain"
                    f" GROUP BY cell_{res}, date_trunc('{unit}', occurred_at){rest}) k"
                )
            ).scalar_one()
            print(f"| {res} | {unit}{rest} | {rows:,} | {rows / total:.0%} |")


def main() -> None:
    """Build, compare, count, and leave nothing behind."""
    copies = int(sys.argv[1]) if len(sys.argv) > 1 else 30
    with db.work_engine().begin() as conn:
        conn.execute(sa.text("SET LOCAL work_mem = '256MB'"))
        build(conn, copies)
        compare(conn)
        kept_counts(conn)
        conn.execute(sa.text("DROP SCHEMA scale CASCADE"))


if __name__ == "__main__":
    main()

"""`safetymap refresh --tell-again`: a month is counted to the public anew by name alone, and recorded."""

import json
from pathlib import Path
from subprocess import CompletedProcess

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from gis import db
from tests import forking

_MONTH = """
SELECT m.month, m.incidents, count(*) AS now FROM public_months m
JOIN incidents i
  ON date_trunc('month', i.occurred_at AT TIME ZONE (SELECT timezone FROM city))::date = m.month
WHERE '' = ANY(m.told) AND i.state <> 'withdrawn' GROUP BY 1, 2 ORDER BY 1
"""


def _months(conn: Connection) -> dict[str, tuple[int, int]]:
    """What was told of each month, and what it holds now."""
    return {f"{row.month:%Y-%m}": (row.incidents, row.now) for row in conn.execute(sa.text(_MONTH))}


_WITHDRAW = """
UPDATE incidents SET state = 'withdrawn' WHERE state = 'closed' AND id % 5 = 0
AND to_char(occurred_at AT TIME ZONE (SELECT timezone FROM city), 'YYYY-MM') = ANY(:months) RETURNING id
"""


def test_a_month_is_told_again_by_name_alone_and_recorded(demo: str, tmp_path: Path) -> None:
    engine = db.make_engine(demo)

    def run(words: str) -> CompletedProcess[str]:
        there = {"SAFETYMAP_DATABASE_URL": demo, "SAFETYMAP_DATA_DIR": str(tmp_path / "data")}
        for name in ("stdout", "stderr"):
            (tmp_path / name).unlink(missing_ok=True)
        return forking.command(words.split(), there, tmp_path)

    with engine.begin() as conn:
        conn.execute(sa.text("TRUNCATE audit, audit_heads"))
        before = _months(conn)
        assert len(before) > 3
        assert all(told == now for told, now in before.values())
        chosen, other = list(before)[1:3]
        withdrawn = list(conn.scalars(sa.text(_WITHDRAW), {"months": [chosen, other]}))
        assert len(withdrawn) > 10
    done = run(f"refresh --tell-again {chosen}")
    assert done.returncode == 0, done.stderr
    assert f"{other} by -" in done.stdout, "what else has changed is said"
    assert f"{chosen} by" not in done.stdout
    with engine.connect() as conn:
        after = _months(conn)
        entries = [json.loads(text) for text in conn.scalars(sa.text("SELECT entry FROM audit ORDER BY seq"))]
    assert after[chosen][0] == after[chosen][1] < before[chosen][0]
    assert after[other][0] == before[other][0] > after[other][1], "it was not named"
    assert [(one["what"], one["detail"]) for one in entries] == [("told again", {"months": [chosen]})]
    for wrong in ("2025-13", "2025-12-01", "december"):
        assert run(f"refresh --tell-again {wrong}").returncode == 2
    with engine.begin() as conn:  # other tests share the demo
        back = sa.text("UPDATE incidents SET state = 'closed' WHERE id = ANY(:ids)")
        conn.execute(back, {"ids": withdrawn})
    assert run(f"refresh --tell-again {chosen}").returncode == 0
    with engine.connect() as conn:
        assert _months(conn) == before
    engine.dispose()

"""The long proof of history: a million owners by point, day and revision against a replay by brute force.

`uv run python -m bench.prove_history --questions 1000000 --publications 60 --seed 6` works in a database of
its own beside the configured one: it publishes plans, and corrections for days past and to come, then asks.
"""

import argparse
import collections
import sys
import time
import uuid

import numpy as np
import sqlalchemy as sa
from sqlalchemy.engine import Connection, make_url

from gis import db, history
from gis.migrate import migrate
from tests import replay as telling
from tests.replay import SCHEME, Replay, answers, questions

PART = 100_000


def prove(conn: Connection, replay: Replay, rng: np.random.Generator, count: int) -> None:
    """Ask in parts; stop at the first that differs."""
    began, owned, at_edge = time.monotonic(), 0, 0
    for done in range(0, count, PART):
        asked = questions(replay, rng, min(PART, count - done))
        days, known = asked["on"].tolist(), asked["known"].tolist()
        got = history.owners(conn, SCHEME, asked["lon"], asked["lat"], days, known)
        want = answers(replay, asked)
        differ = (got["code"].fillna("") != want["code"].fillna("")) | (
            got["on_boundary"] != want["on_boundary"]
        )
        assert not differ.any(), asked[differ].assign(got=got["code"], want=want["code"]).head()
        owned, at_edge = owned + int(want["code"].notna().sum()), at_edge + int(want["on_boundary"].sum())
        told = f"{done + len(asked)} questions, {time.monotonic() - began:.0f} s, {owned} owned"
        print(f"{told}, {at_edge} on a border: all the same", file=sys.stderr, flush=True)


def main() -> None:
    """Publish and ask in a database that is dropped at the end."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--questions", type=int, default=1_000_000)
    parser.add_argument("--publications", type=int, default=60)
    parser.add_argument("--seed", type=int, default=6)
    args = parser.parse_args()
    url, name = make_url(db.url()), f"prove_history_{uuid.uuid4().hex[:8]}"
    server = sa.create_engine(url, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
    with server.connect() as conn:
        conn.execute(sa.text(f"CREATE DATABASE {name}"))
    try:
        engine = sa.create_engine(url.set(database=name), poolclass=sa.NullPool)
        with engine.begin() as conn:
            migrate(conn)
        with engine.connect() as conn:
            rng = np.random.default_rng(args.seed)
            replay = telling.found(conn)
            telling.publish(conn, replay, rng, args.publications)
            kinds = collections.Counter(replay.kinds)
            print(dict(kinds), f"{len(replay.revisions[-1])} maps at the last revision", flush=True)
            prove(conn, replay, rng, args.questions)
    finally:
        with server.connect() as conn:
            conn.execute(sa.text(f"DROP DATABASE {name} WITH (FORCE)"))


if __name__ == "__main__":
    main()

"""Two planners and a publisher at once: no update lost, no map broken, each conflict on its grid."""

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine

from bench.prove_interleavings import run


def test_random_interleavings_lose_nothing(engine: Engine) -> None:
    tally = run(engine, 12, 7)
    assert tally.wrong == []
    assert tally.counts["published"] > 6
    assert tally.counts["held open"] > 10, "transactions overlapped"


@pytest.mark.slow
def test_ten_thousand_interleavings(engine: Engine) -> None:
    with engine.begin() as conn:
        conn.execute(sa.text("TRUNCATE schemes, city, categories, batches RESTART IDENTITY CASCADE"))
    tally = run(engine, 10_000, 1)
    assert tally.wrong == []
    assert tally.counts["interleavings"] == 10_000

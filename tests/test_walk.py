"""A short walk over the small demo city: tiles are small enough, and their counts add up."""

from collections.abc import Iterator

import pytest
from sqlalchemy.engine import Engine

from bench import walk
from gis import cluster, db
from layers.catalogue import LAYERS

SHORT = {
    "grids": (0, 9, 12), "labels": (0, 11), "roads": (12,), "buildings": (0, 7, 13, 14),
    "cameras": (3, 11, 14), "incidents": (0, 10, 14, 15), "places": (5, 12), "responders": (6, 11),
}  # fmt: skip


@pytest.fixture(scope="module")
def engine(demo: str) -> Iterator[Engine]:
    """The small demo city as the service has it."""
    made = db.make_engine(demo, role=cluster.SERVICE)
    yield made
    made.dispose()


@pytest.mark.parametrize("layer", SHORT)
def test_counts_add_up_and_tiles_are_small(engine: Engine, layer: str) -> None:
    for found in walk.walk(engine, [LAYERS[layer]], SHORT[layer]):
        assert found.sizes, "nothing was found"
        assert found.counted == found.wanted > 0
        assert max(found.sizes) <= walk.LARGEST


def test_the_walk_would_tell(engine: Engine) -> None:
    """What is missing from the tables' side or from the tiles' is told as such."""
    (found,) = walk.walk(engine, [LAYERS["incidents"]], [9])
    assert found.adds_up
    found.counted -= 1
    assert not found.adds_up
    assert "≠" in found.line()

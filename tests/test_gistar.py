"""Gi* against the library that geographers trust, on its own public data."""

from contextlib import closing

import esda
import libpysal
import numpy as np
import pytest
from libpysal import examples
from scipy import sparse

from layers.stats.gistar import gi_star
from tests.lattice import discs


def north_carolina() -> tuple[np.ndarray, libpysal.weights.W]:
    """Return the sudden infant deaths of 1974 in 100 counties, and which counties touch."""
    with closing(libpysal.io.open(examples.get_path("sids2.dbf"))) as table:
        deaths = np.array(table.by_col("SID74"), dtype=float)
    with closing(libpysal.io.open(examples.get_path("sids2.gal"))) as neighbours:
        return deaths, neighbours.read()


def test_z_equals_esda_on_north_carolina() -> None:
    # Binary weights only: for others esda takes W (n - W) for n S1 - W**2, which holds for 0/1 alone.
    deaths, touching = north_carolina()
    oracle = esda.G_Local(deaths, libpysal.weights.fill_diagonal(touching), "B", 0, star=True)
    weights = sparse.csr_array(touching.sparse) + sparse.eye_array(len(deaths), format="csr")
    np.testing.assert_allclose(gi_star(deaths, weights), oracle.Zs, rtol=0, atol=1e-6)


def test_dividing_rows_by_their_sums_changes_nothing() -> None:
    x, disc = np.random.default_rng(1).poisson(2, 64), discs(8)
    rows = sparse.csr_array(sparse.diags_array(1 / disc.sum(axis=1)) @ disc)
    np.testing.assert_allclose(gi_star(x, rows), gi_star(x, disc))


def test_z_is_the_definition_in_full() -> None:
    x, disc = np.random.default_rng(0).poisson(2, 25).astype(float), discs(5)
    w = disc.toarray()
    s = np.sqrt((x**2).mean() - x.mean() ** 2)
    below = s * np.sqrt((25 * (w**2).sum(1) - w.sum(1) ** 2) / 24)
    np.testing.assert_allclose(gi_star(x, disc), (w @ x - x.mean() * w.sum(1)) / below)


def test_equal_values_have_no_z() -> None:
    assert np.isnan(gi_star(np.ones(9), discs(3))).all()


def test_a_cell_that_does_not_count_itself_is_refused() -> None:
    with pytest.raises(ValueError, match="count itself"):
        gi_star(np.ones(9), discs(3) - sparse.eye_array(9, format="csr"))

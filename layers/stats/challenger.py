"""Models that may replace the baseline where rolling-origin evaluation shows them better."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from threadpoolctl import threadpool_limits

from layers.stats.forecast import MIN_HINDCASTS, Forecast, Past, calibrate, calibrated, plain

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

HALF_LIVES = (14.0, 45.0, 120.0, 365.0)
"""Days after which a count weighs half, for the features; the short ones see near repeats."""
OFFSET_HALF_LIFE = 365.0
"""The baseline that a challenger only corrects."""


@dataclass(frozen=True)
class Row:
    """One period as a model sees it: what was known before, and what came (if it is past)."""

    features: Floats
    """Shape (cells, features)."""
    offset: Forecast
    came: Integers


Predict = Callable[[Floats], Floats]
Fit = Callable[[Floats, Floats, Floats], Predict]


def row(
    past: Past,
    start: int,
    horizon: int,
    discs: Sequence[sparse.csr_array],
    places: Floats | None = None,
) -> Row:
    """Return what was known of every cell before day `start`, and the counts of the days after.

    `discs` are the (n, n) matrices of neighbours whose counts help; `places` (n, m) features that
    do not change (households, shops, schools ...). Nobody's person is a feature, ever.
    """
    known = past.before(start)
    offset = plain(past, start, horizon, OFFSET_HALF_LIFE)
    columns = [np.log(offset.mean / offset.mean.mean())]
    for half_life in HALF_LIVES:
        counts = np.bincount(known.cell, 0.5 ** ((start - known.day) / half_life), past.cells)
        for area in (sparse.eye_array(past.cells, format="csr"), *discs):
            around = area @ counts
            usual = around.mean() or 1.0  # nothing so far anywhere: the same everywhere
            columns.append(np.log((around + 0.5 * usual) / usual))
    last = np.full(past.cells, known.observed[0] - 1)
    np.maximum.at(last, known.cell, known.day)
    columns.append(np.log1p(start - last))
    if places is not None:
        columns.extend(np.log1p(places).T)
    return Row(np.column_stack(columns), offset, past.counts(start, start + horizon))


def challenger(rows: Sequence[Row], now: Row, fit: Fit) -> Forecast:
    """Forecast the period of `now` by a model trained on past periods, latest first.

    The model learns by how much to multiply the offset, so that with nothing to learn it is the
    baseline. The latest MIN_HINDCASTS periods, forecast by a model that did not see them, calibrate
    the interval. Raises ValueError with fewer than MIN_HINDCASTS periods to train on besides.
    """
    if len(rows) < 2 * MIN_HINDCASTS:
        raise ValueError(f"rows: {len(rows)} past periods are fewer than {2 * MIN_HINDCASTS}")
    held, older = rows[:MIN_HINDCASTS], rows[MIN_HINDCASTS:]
    with threadpool_limits(1):  # small trees: threads only wait for each other
        cautious, final = (_trained(part, fit) for part in (older, rows))
        forecasts = [_corrected(each, cautious) for each in held]
        return calibrated(_corrected(now, final), calibrate(forecasts, [each.came for each in held]))


def _trained(rows: Sequence[Row], fit: Fit) -> Predict:
    """Fit counts over offset, weighted by the offset: a Poisson model with an offset."""
    level = [each.offset.mean * (each.came.sum() / each.offset.mean.sum()) for each in rows]
    offset = np.concatenate(level)
    came = np.concatenate([each.came for each in rows])
    return fit(np.vstack([each.features for each in rows]), came / offset, offset)


def _corrected(now: Row, predict: Predict) -> Forecast:
    with np.errstate(over="ignore"):  # of a thin past a model may say infinity, which is clipped
        mean = now.offset.mean * np.clip(predict(now.features), 1e-3, 1e3)
    return Forecast(mean * (now.offset.mean.sum() / mean.sum()), now.offset.size)


MOST_DRAWN = 60_000
"""Rows that boosting learns from at most."""


def boosting(features: Floats, ratio: Floats, weight: Floats) -> Predict:
    """Fit Poisson gradient boosting: few, shallow, well-filled trees.

    Rows are drawn in proportion to their weight rather than weighted: the same in expectation, and
    ten times as fast in scikit-learn 1.9.
    """
    from sklearn.ensemble import HistGradientBoostingRegressor  # noqa: PLC0415 - for trials alone: no process that serves loads it

    drawn = np.random.default_rng(0).choice(len(ratio), min(MOST_DRAWN, len(ratio)), p=weight / weight.sum())
    model = HistGradientBoostingRegressor(
        loss="poisson",
        learning_rate=0.05,
        max_iter=60,
        max_leaf_nodes=6,
        min_samples_leaf=500,
        early_stopping=False,
        random_state=0,
    )
    fitted: Predict = model.fit(features[drawn], ratio[drawn]).predict
    return fitted


def linear(features: Floats, ratio: Floats, weight: Floats) -> Predict:
    """Fit a Poisson generalised linear model on standardised features."""
    from sklearn.linear_model import PoissonRegressor  # noqa: PLC0415 - as in `boosting`
    from sklearn.pipeline import make_pipeline  # noqa: PLC0415
    from sklearn.preprocessing import StandardScaler  # noqa: PLC0415

    model = make_pipeline(StandardScaler(), PoissonRegressor(alpha=1e-3, solver="newton-cholesky"))
    fitted: Predict = model.fit(features, ratio, poissonregressor__sample_weight=weight).predict
    return fitted


CHALLENGERS: list[tuple[str, Fit]] = [("boosting", boosting), ("linear", linear)]

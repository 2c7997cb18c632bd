"""Weekly counts against their past years: forecasts and thresholds are those of R's surveillance 1.20.3."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from layers.stats import farrington
from layers.stats.farrington import (
    FARRINGTON,
    NOUFAILY,
    Forecast,
    Method,
    count_bound,
    count_tail,
    forecast,
    power_bound,
    power_tail,
    same_weeks,
    seasons,
    upper_mean,
)
from layers.stats.quasi_poisson import Fit, fit

SERIES = {
    "newport": ("salmNewport_weekly_16states.csv", 4),
    "campyDE": ("campyDE_weekly.csv", 5),
    "vignette_newport": ("salmNewport_weekly_16states.csv", 4),
    "vignette_campy": ("campyDE_weekly.csv", 4),
}
"""Of each run's name: its series, and the past years that it uses."""


def told(realdata: Path, run: str) -> pd.DataFrame:
    """Return what R's run says, one row a week."""
    alarms = pd.read_csv(realdata / "surveillance" / "alarms_R_surveillance_1.20.3.csv", dtype=str)
    rows = alarms[alarms["run"] == run]
    return rows.drop(columns="date").set_index("run").apply(pd.to_numeric, errors="coerce").reset_index()


def weekly(realdata: Path, run: str) -> tuple[np.ndarray, np.ndarray, int]:
    file, years = SERIES[run[: run.index("_", len("vignette_") if run.startswith("vignette") else 0)]]
    table = pd.read_csv(realdata / "surveillance" / file)
    counts = table["observed"] if "observed" in table else table.iloc[:, 1:].sum(axis=1)
    return counts.to_numpy(float), table["date"].to_numpy("datetime64[D]"), years


def forecasts(counts: np.ndarray, weeks: np.ndarray, ago: list[np.ndarray], method: Method) -> Forecast:
    each = [forecast(counts[None], at, same, method) for at, same in zip(weeks, ago, strict=True)]
    return Forecast(
        *(np.concatenate([getattr(one, name) for one in each]) for name in Forecast.__annotations__)
    )


def of_run(realdata: Path, run: str, method: Method) -> tuple[pd.DataFrame, Forecast]:
    rows = told(realdata, run)
    counts, days, years = weekly(realdata, run)
    at = rows["t"].to_numpy(int) - 1
    return rows, forecasts(counts, at, [same_weeks(days, one, years) for one in at], method)


def as_in_r(fitted: Fit) -> np.ndarray:
    """Return what farringtonFlexible scales standard errors by: its own weights stand in glm's place.

    Exactly, it divides by the means before the last step, which agree to some 1e-6.
    """
    scale: np.ndarray = (fitted.misfit / fitted.mean).sum(axis=1) / fitted.freedom
    return scale


@pytest.mark.realdata
@pytest.mark.parametrize(
    ("run", "alpha"), [("newport_flex_noufaily_nbPlugin", 0.1), ("campyDE_flex_nbPlugin_2011", 0.01)]
)
def test_the_plug_in_of_noufaily(realdata: Path, run: str, alpha: float) -> None:
    rows, known = of_run(realdata, run, NOUFAILY)
    heard = rows["expected"].notna()
    np.testing.assert_allclose(known.mean[heard], rows["expected"][heard], rtol=1e-6)
    tail = count_tail(rows["observed"].to_numpy(float), known.mean, known.phi)
    np.testing.assert_allclose(tail, rows["pvalue"], atol=1e-6)
    bound = count_bound(known.mean, known.phi, alpha)
    np.testing.assert_array_equal(bound[heard], rows["upperbound"][heard])


@pytest.mark.realdata
@pytest.mark.parametrize(
    ("run", "alpha"), [("newport_flex_noufaily_muan", 0.1), ("campyDE_flex_muan_2011", 0.01)]
)
def test_the_upper_mean_of_noufaily(
    realdata: Path, run: str, alpha: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(farrington, "_error_scale", as_in_r)
    rows, known = of_run(realdata, run, NOUFAILY)
    tail = count_tail(rows["observed"].to_numpy(float), upper_mean(known, alpha), known.phi)
    np.testing.assert_allclose(tail, rows["pvalue"], atol=1e-6)


@pytest.mark.realdata
@pytest.mark.parametrize(
    ("run", "method", "alpha"),
    [
        ("newport_flex_classic_delta", FARRINGTON, 0.05),
        ("vignette_newport_con.farrington", FARRINGTON, 0.05),
        (
            "vignette_campy_farringtonFlexible_a025",
            replace(FARRINGTON, half_window=5, skipped=5, doubtful=2.58),
            0.025,
        ),
    ],
)
def test_the_powers_of_farrington(
    realdata: Path, run: str, method: Method, alpha: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(farrington, "_error_scale", as_in_r)
    rows, known = of_run(realdata, run, method)
    heard = rows["expected"].notna()
    np.testing.assert_allclose(known.mean[heard], rows["expected"][heard], rtol=1e-6)
    np.testing.assert_allclose(power_tail(rows["observed"].to_numpy(float), known), rows["pvalue"], atol=1e-6)
    bound = power_bound(known, alpha)
    np.testing.assert_allclose(bound[heard], rows["upperbound"][heard], rtol=3e-6)
    alarms = (rows["observed"].to_numpy(float) > bound) & heard
    np.testing.assert_array_equal(alarms, rows["alarm"] == 1)


@pytest.mark.realdata
def test_alarms_of_the_labelled_series(realdata: Path) -> None:
    """Farrington's method of 1996 on 12 series with two past years: the same 1,200 thresholds and alarms."""
    folder = realdata / "surveillance"
    rows = pd.read_csv(folder / "alarms_labelled_series_R_surveillance_1.20.3.csv")
    series = pd.read_csv(folder / "rki_labelled_outbreak_weekly_14series.csv")
    rows, judged = rows[rows["algo"] == "farrington"], 0
    for name, each in rows.groupby("series"):
        counts = series.loc[series["series"] == name, "observed"].to_numpy(float)
        at = each["t"].to_numpy(int) - 1
        known = forecasts(counts, at, [one - 52 * np.arange(1, 3) for one in at], FARRINGTON)
        bound = power_bound(known, 0.025)
        np.testing.assert_allclose(bound, each["upperbound"], rtol=1e-6)
        np.testing.assert_array_equal((counts[at] > bound) & (counts[at] > 0), each["alarm"] == 1)
        judged += len(at)
    assert judged == 1200


@pytest.mark.realdata
def test_threshold_functions(realdata: Path) -> None:
    """The published values of surveillance's own tests."""
    rows = pd.read_csv(realdata / "surveillance" / "threshold_unit_values.csv")
    for row in rows.itertuples():
        mean = float(np.exp(row.predFit)) if row.method != "delta" else float(row.predFit)
        error = row.predSeFit / mean if row.method == "delta" else row.predSeFit
        known = Forecast(*(np.array([one]) for one in (mean, error, row.phi, False, np.inf, row.phi)))
        y, phi = np.array([float(row.y)]), known.phi
        if row.method == "delta":
            power = {"none": 1.0, "1/2": 0.5, "2/3": 2 / 3}[row.transform]
            bound, tail = power_bound(known, row.alpha, power), power_tail(y, known, power)
        else:
            centre = known.mean if row.method == "nbPlugin" else upper_mean(known, row.alpha)
            bound, tail = count_bound(centre, phi, row.alpha), count_tail(y, centre, phi)
        np.testing.assert_allclose([bound[0], tail[0]], [row.upper, row.quantile], atol=1e-6)


def test_the_same_week_of_past_years_is_the_nearest_on_its_weekday() -> None:
    weeks = np.arange(np.datetime64("2001-12-31"), np.datetime64("2012-01-01"), 7)
    at = int(np.flatnonzero(weeks == np.datetime64("2011-01-03"))[0])
    # 2010-01-03 is a Sunday, 2009-01-03 a Saturday, 2008-01-03 a Thursday, 2007-01-03 a Wednesday.
    wanted = ["2010-01-04", "2009-01-05", "2007-12-31", "2007-01-01"]
    assert weeks[same_weeks(weeks, at, 4)].astype(str).tolist() == wanted


def test_years_are_cut_into_parts_of_equal_length() -> None:
    part = seasons(300, 300 - 52 * np.arange(1, 5), NOUFAILY)
    assert (part[300 - 208 - 4 :][:1] == -1).all()
    assert (part[300 - 208 - 3 : 300 - 208 + 4] == 0).all()
    lengths = np.bincount(part[300 - 208 + 4 : 300 - 156 - 3])
    assert lengths[1:].tolist() == [5] * 9
    assert (part[-26:] == -1).all()


def test_a_regression_reaches_its_maximum() -> None:
    """At the maximum the score X'W(y - mean) is zero, in every series."""
    rng = np.random.default_rng(1)
    x = np.column_stack([np.ones(80), np.arange(80) / 80, np.sin(np.arange(80))])
    y, weight = rng.poisson(np.exp(x @ [1.0, 0.5, 0.3]), (20, 80)).astype(float), rng.random((20, 80))
    found = fit(x, y, weight)
    assert found.converged.all()
    np.testing.assert_allclose((weight * (y - found.mean)) @ x, 0, atol=1e-3)
    np.testing.assert_allclose(found.coefficients.mean(axis=0), [1.0, 0.5, 0.3], atol=0.15)


def test_too_short_a_past_is_refused() -> None:
    with pytest.raises(ValueError, match="too few"):
        forecast(np.ones((1, 60)), 54, np.array([2]))

"""Did a measure lower incidents: the weighted displacement difference against a control area."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

Floats = NDArray[np.float64]
SURE = float(stats.norm.ppf(0.975))


@dataclass(frozen=True)
class Difference:
    """By how much an area changed beyond its control."""

    value: float
    """Incidents, or weights of them; negative: fewer than the control's change would have brought."""
    error: float
    """Its standard error, were all counts Poisson."""

    @property
    def interval(self) -> tuple[float, float]:
        """Return the 95 % interval."""
        return self.value - SURE * self.error, self.value + SURE * self.error

    @property
    def p(self) -> float:
        """Return the two-sided p."""
        return float(2 * stats.norm.sf(abs(self.value) / self.error))


def difference(area: ArrayLike, control: ArrayLike, weight: ArrayLike = 1.0) -> Difference | None:
    """Return the change of the area less that of its control (Wheeler & Ratcliffe 2018, Crime Science 7:11).

    `area` and `control` are counts (kinds, 2) or (2,), before and after, in periods of equal length; `weight`
    (kinds,) is the harm of one incident of each kind. What was driven into a ring around the area is added to
    both: give the sums. None where nothing of any weight happened anywhere: nothing can be said of a change.
    Raises ValueError for other shapes and negative values.
    """
    treated, other = (np.atleast_2d(np.asarray(each, dtype=np.float64)) for each in (area, control))
    harm = np.broadcast_to(np.asarray(weight, dtype=np.float64), treated.shape[:1])
    if treated.shape[1:] != (2,) or treated.shape != other.shape:
        raise ValueError(f"area {treated.shape} and control {other.shape} must be (kinds, 2)")
    if (treated < 0).any() or (other < 0).any() or (harm < 0).any():
        raise ValueError("counts and weights must not be negative")
    change = (treated[:, 1] - treated[:, 0]) - (other[:, 1] - other[:, 0])
    variance = harm**2 @ (treated + other).sum(axis=1)
    if not variance:
        return None
    return Difference(float(harm @ change), float(np.sqrt(variance)))

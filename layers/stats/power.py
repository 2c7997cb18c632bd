"""What a map could have shown: the smallest relative risk that its test finds with a given power."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import optimize

from layers.stats.tails import upper_tail

MOST = 1e4
"""Greater relative risks are not looked for."""


@dataclass(frozen=True)
class Detectable:
    """The smallest relative risk that a place shows with so much power, and what that means there."""

    ratio: float
    n: int
    """Incidents from which on the place is significant, were it the only one."""
    n_expected: float


def detectable(
    mean: float, size: float, level: float, power: float = 0.8, fixed: float = 0.0
) -> Detectable | None:
    """Return what a place must hold to be significant at `level`, and the risk that brings it about.

    `mean`, `size` and `fixed` are those of the place's count (`tails.upper_tail`; `size` inf: Poisson),
    `level` that of its test after adjustment. The relative risk multiplies the mean and leaves the size, the
    scatter of the place, as it is. None where nothing is expected, or no risk up to MOST would do.
    """
    if not mean > 0:
        return None

    def chance(n: int, ratio: float) -> float:
        known = (np.array([each]) for each in (float(n), ratio * mean, size, fixed))
        return float(upper_tail(*known)[0])

    n = _least(lambda count: chance(count, 1.0), level)

    def short(log_ratio: float) -> float:
        return chance(n, float(np.exp(log_ratio))) - power

    if short(np.log(MOST)) < 0:
        return None
    return Detectable(float(np.exp(optimize.brentq(short, 0.0, np.log(MOST)))), n, mean)


def _least(chance: Callable[[int], float], level: float) -> int:
    """Return the least count whose chance is at most `level`."""
    low, high = 0, 1
    while chance(high) > level:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if chance(middle) > level else (low, middle)
    return high

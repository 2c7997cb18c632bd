"""The stability index (平安指数): a dated formula, its parts shown, its uncertainty shown, lights by rule."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from math import isclose, isnan, sqrt
from pathlib import Path

FORMULAS = Path(__file__).parent.parent / "settings" / "stability_index.toml"


@dataclass(frozen=True)
class Part:
    """One ingredient: 100 points at `best`, 0 at `worst`, straight between and flat beyond."""

    name: str
    title_zh: str
    title_en: str
    weight: float
    best: float
    worst: float
    target: float = 1.0
    """What a measurement is divided by before it is scored."""

    def score(self, value: float) -> float:
        """Return the points of a measured value, 0 to 100."""
        return 100 * min(1.0, max(0.0, (self.worst - value) / (self.worst - self.best)))


@dataclass(frozen=True)
class Formula:
    """A published formula and the day from which it holds."""

    version: str
    valid_from: date
    green: float
    red: float
    part: tuple[Part, ...]


@dataclass(frozen=True)
class Measured:
    """A value with its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Index:
    """The index of one grid and how it came about."""

    value: float
    low: float
    high: float
    light: str
    """green, yellow or red."""
    version: str
    parts: dict[str, Measured]
    """Points of each part, 0 to 100, with their interval."""
    missing: tuple[str, ...]
    """Parts without a measurement; their weight went to the others."""


def formulas(path: Path = FORMULAS) -> list[Formula]:
    """Read all formulas, oldest first.

    Raises ValueError naming the version and what is wrong with it.
    """
    with path.open("rb") as file:
        raw = tomllib.load(file)["formula"]
    read = [Formula(**{**each, "part": tuple(Part(**part) for part in each["part"])}) for each in raw]
    for formula in read:
        _check(formula)
    return sorted(read, key=lambda formula: formula.valid_from)


def formula_on(day: date, known: list[Formula]) -> Formula:
    """Return the formula in force on a day; ValueError if none was yet."""
    in_force = [formula for formula in known if formula.valid_from <= day]
    if not in_force:
        raise ValueError(f"day: no formula of the stability index is in force on {day}")
    return in_force[-1]


def index(formula: Formula, measured: Mapping[str, Measured | None]) -> Index:
    """Return the index of one grid from what was measured of each part.

    The interval takes the parts as independent: half-widths add in squares. Raises ValueError
    for a part the formula does not know, for a measurement that is no number, and when nothing was measured.
    """
    unknown = set(measured) - {part.name for part in formula.part}
    if unknown:
        raise ValueError(f"measured: {sorted(unknown)} are no parts of formula {formula.version}")
    if unread := sorted(name for name, m in measured.items() if m is not None and isnan(m.value)):
        raise ValueError(f"measured: {unread} are no numbers; leave out what was not measured")
    points = {p.name: _points(p, m) for p in formula.part if (m := measured.get(p.name)) is not None}
    if not points:
        raise ValueError("measured: no part of the index was measured")
    weights = {part.name: part.weight for part in formula.part if part.name in points}
    share = {name: weight / sum(weights.values()) for name, weight in weights.items()}
    value = sum(share[name] * p.value for name, p in points.items())
    below = sqrt(sum((share[name] * (p.value - p.low)) ** 2 for name, p in points.items()))
    above = sqrt(sum((share[name] * (p.high - p.value)) ** 2 for name, p in points.items()))
    low, high = max(0.0, value - below), min(100.0, value + above)
    missing = tuple(part.name for part in formula.part if part.name not in points)
    return Index(value, low, high, light(formula, low, high), formula.version, points, missing)


def light(formula: Formula, low: float, high: float) -> str:
    """Return green if even `low` is good, red if even `high` is bad, otherwise yellow."""
    if low >= formula.green:
        return "green"
    return "red" if high < formula.red else "yellow"


def _points(part: Part, measured: Measured) -> Measured:
    ends = sorted((part.score(measured.low), part.score(measured.high)))
    return Measured(part.score(measured.value), *ends)


def _check(formula: Formula) -> None:
    if not isclose(sum(part.weight for part in formula.part), 1.0):
        raise ValueError(f"stability index {formula.version}: the weights must add up to 1")
    if any(part.best == part.worst or part.weight <= 0 for part in formula.part):
        raise ValueError(f"stability index {formula.version}: a part needs a weight and best unlike worst")
    if not 0 <= formula.red <= formula.green <= 100:
        raise ValueError(f"stability index {formula.version}: 0 <= red <= green <= 100 must hold")

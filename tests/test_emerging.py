"""Emerging classes: a sequence for every rule, and every sequence of ten steps against the plain text."""

from itertools import product

import numpy as np
import pytest

from layers.stats.emerging import classify

# Oldest step first: H hot, C cold, . neither; the trend of the intensity; the class.
SEQUENCES = [
    ("...........H", 0, "new"),
    ("....C......H", 0, "new"),
    ("..........HH", 0, "consecutive"),
    (".HHHHHHHHHH", 0, "persistent"),  # a run of 10 of 11 is over 90 %
    ("..HHHHHHHHHH", 0, "consecutive"),  # 10 of 12 is not
    ("....C...HHHH", 0, "consecutive"),
    ("HHHHHHHHHHHH", 1, "intensifying"),
    ("HHHH.HHHHHHH", 1, "intensifying"),
    ("HHHHHHHHHHHH", 0, "persistent"),
    ("HHHHHHHHHHHH", -1, "diminishing"),
    (".H..H......H", 0, "sporadic"),
    ("HHHHH...HHHH", 1, "sporadic"),
    (".H..C......H", 0, "oscillating"),
    ("CCCCHCCCCCHH", 0, "oscillating"),
    ("HHHHHHHHHHH.", 0, "historical"),
    ("HHHHHHHHHH..", 0, "none"),  # 10 of 12 and over
    ("............", 0, "none"),
    (".H.C....H...", 1, "none"),
]
STATE = {"H": 1, "C": -1, ".": 0}


def read(text: str) -> list[int]:
    return [STATE[step] for step in text]


@pytest.mark.parametrize(("text", "trend", "expected"), SEQUENCES)
def test_each_rule_hot_and_cold(text: str, trend: int, expected: str) -> None:
    name, side = classify([read(text)], [trend])
    assert (name[0], side[0]) == (expected, 0 if expected == "none" else 1)
    mirrored = [-step for step in read(text)]
    name, side = classify([mirrored], [-trend])
    assert (name[0], side[0]) == (expected, 0 if expected == "none" else -1)


def test_the_final_state_decides_between_hot_and_cold() -> None:
    assert [a[0] for a in classify([read("HHHHHHHHHHHC")], [0])] == ["new", -1]
    assert [a[0] for a in classify([read("CCCCCCCCCCCH")], [0])] == ["new", 1]


def test_a_cold_spot_intensifies_as_values_fall() -> None:
    assert classify([[-1] * 10], [-1])[0][0] == "intensifying"
    assert classify([[-1] * 10], [1])[0][0] == "diminishing"


def by_the_text(s: tuple[int, ...], trend: int) -> str:
    """Read Esri's rules for hot spots one after the other, as a person would."""
    hot = [step == 1 for step in s]
    lasting = sum(hot) / len(s) >= 0.9
    if not hot[-1]:
        return "historical" if lasting else "none"
    run = next((i for i, h in enumerate(reversed(hot)) if not h), len(s))
    if lasting:
        return {1: "intensifying", 0: "persistent", -1: "diminishing"}[trend]
    if sum(hot) == run:
        return "new" if run == 1 else "consecutive"
    return "oscillating" if -1 in s else "sporadic"


def test_every_sequence_of_ten_steps_reads_as_the_text() -> None:
    every = list(product((-1, 0, 1), repeat=10))
    for trend in (-1, 0, 1):
        names, sides = classify(every, np.full(len(every), trend))
        for s, name, side in zip(every, names, sides, strict=True):
            as_hot = by_the_text(s, trend)
            as_cold = by_the_text(tuple(-step for step in s), -trend)
            if s[-1] == -1 or (s[-1] == 0 and as_cold != "none"):
                assert (name, side) == (as_cold, -1)
            else:
                assert (name, side) == (as_hot, 0 if as_hot == "none" else 1)


def test_too_few_steps_and_other_values_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 10 steps"):
        classify([[1] * 9], [0])
    with pytest.raises(ValueError, match="only -1, 0 and 1"):
        classify([[2] * 10], [0])

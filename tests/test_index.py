"""The stability index: by hand, by date, and never red by chance."""

import math
from datetime import date
from pathlib import Path

import pytest

from layers.stats.index import Formula, Measured, Part, formula_on, formulas, index, light

FORMULA = Formula(
    "t", date(2026, 1, 1), 70, 50, (Part("a", "", "", 0.75, 0.5, 2.5), Part("b", "", "", 0.25, 1.0, 0.0))
)


def exactly(value: float) -> Measured:
    return Measured(value, value, value)


def test_by_hand() -> None:
    answer = index(FORMULA, {"a": Measured(1.5, 1.1, 1.9), "b": exactly(0.8)})
    assert answer.parts["a"].value == pytest.approx(50)
    assert answer.value == pytest.approx(0.75 * 50 + 0.25 * 80)
    assert answer.low == pytest.approx(answer.value - 0.75 * 20)
    assert answer.high == pytest.approx(answer.value + 0.75 * 20)
    assert answer.light == "yellow"


def test_ends() -> None:
    assert index(FORMULA, {"a": exactly(0.1), "b": exactly(1)}).value == 100
    assert index(FORMULA, {"a": exactly(9), "b": exactly(0)}).value == 0


def test_lights_need_the_whole_interval() -> None:
    assert [light(FORMULA, *ends) for ends in [(70, 90), (69, 90), (40, 50), (40, 49)]] == [
        "green",
        "yellow",
        "yellow",
        "red",
    ]


def test_what_was_not_measured_is_named_and_its_weight_shared() -> None:
    answer = index(FORMULA, {"a": exactly(1.5), "b": None})
    assert answer.value == pytest.approx(50)
    assert answer.missing == ("b",)


def test_unknown_parts_and_empty_measurements_are_refused() -> None:
    with pytest.raises(ValueError, match="no parts of formula"):
        index(FORMULA, {"c": exactly(1)})
    with pytest.raises(ValueError, match="no part of the index was measured"):
        index(FORMULA, {})
    with pytest.raises(ValueError, match=r"\['a'\] are no numbers"):
        index(FORMULA, {"a": Measured(math.nan, math.nan, math.nan), "b": exactly(1)})


def test_the_published_formulas_are_sound() -> None:
    known = formulas()
    assert formula_on(date(2026, 6, 1), known).version == "1"
    with pytest.raises(ValueError, match="in force"):
        formula_on(date(2020, 1, 1), known)
    normal = {"incidents": exactly(1), "serious": exactly(1), "closure": exactly(0.9), "response": exactly(1)}
    assert 60 < index(known[-1], normal).value < 80


def test_a_formula_whose_weights_do_not_add_up_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "f.toml"
    file.write_text(
        '[[formula]]\nversion = "x"\nvalid_from = 2026-01-01\ngreen = 70\nred = 50\n'
        '[[formula.part]]\nname = "a"\ntitle_zh = ""\ntitle_en = ""\nweight = 0.5\nbest = 0\nworst = 1\n'
    )
    with pytest.raises(ValueError, match="index x: the weights"):
        formulas(file)

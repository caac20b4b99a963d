import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from truing.data.judged import Comparisons, Judged, Source, by_prompt, flattened, tempered


def row(prompt: str, chosen: str, rejected: str, **other: Any) -> dict[str, Any]:
    given = {"p_chosen": 1.0, "weight": 1.0, "source": "human", "strength": None} | other
    return {"prompt": prompt, "chosen": chosen, "rejected": rejected, **given}


# --- labels of another temperature ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("p", "temperature", "expected"),
    [
        (0.8, 1.0, 0.8),
        (0.8, 0.0, 1.0),  # hard
        (0.2, 0.0, 0.0),
        (0.8, 2.0, 2 / 3),  # odds 4, their root 2: 2/(2+1)
        (0.8, 0.5, 16 / 17),  # odds squared: 16/(16+1)
        (1.0, 3.0, 1.0),
        (0.0, 3.0, 0.0),
    ],
)
def test_tempered_labels_by_hand(p: float, temperature: float, expected: float) -> None:
    assert tempered(p, temperature) == pytest.approx(expected, abs=1e-12)


@given(st.floats(0, 10))
def test_a_half_stays_a_half(temperature: float) -> None:
    assert tempered(0.5, temperature) == 0.5


@given(st.floats(0.001, 0.999), st.floats(0.2, 10))
def test_a_tempered_label_of_the_swapped_pair_is_the_complement(p: float, temperature: float) -> None:
    assert tempered(1 - p, temperature) == pytest.approx(1 - tempered(p, temperature), abs=1e-9)


@given(st.floats(0, 1))
def test_temperature_1_leaves_a_label_as_it_is(p: float) -> None:
    assert tempered(p, 1.0) == p


def test_a_certain_label_has_no_overflow() -> None:
    # odds 2^52, hotter by 100: e^{52 ln 2 · 100} is no float
    assert tempered(1 - 2**-52, 0.01) == 1.0
    assert tempered(2**-52, 0.01) == 0.0


# --- rows by prompt ------------------------------------------------------------------------------


def test_rows_of_one_prompt_become_one_item_with_each_response_once() -> None:
    rows = [
        row("q", "a", "b", p_chosen=0.9),
        row("other", "x", "y"),
        row("q", "c", "a", p_chosen=0.6, weight=2.0),
        row("q", "c", "b"),
    ]
    found = by_prompt(rows, {}, 0.0)
    assert found == [
        Comparisons("q", ("a", "b", "c"), (Judged(0, 1, 0.9), Judged(2, 0, 0.6, 2.0), Judged(2, 1, 1.0))),
        Comparisons("other", ("x", "y"), (Judged(0, 1, 1.0),)),
    ]
    # 1 + 2 + 1
    assert found[0].weight == 4.0


def test_a_source_has_a_weight_and_a_temperature() -> None:
    rows = [
        row("q", "a", "b", p_chosen=0.8, weight=3.0, source="ai"),
        row("q", "a", "c", p_chosen=0.8, weight=3.0, source="human"),
    ]
    (found,) = by_prompt(rows, {"ai": Source(0.5, 2.0)}, 0.0)
    # odds 4, their root 2; 3·½. A source that is not named is taken as it is.
    assert [(one.p, one.weight) for one in found.judged] == [(pytest.approx(2 / 3), 1.5), (0.8, 3.0)]


def test_the_margin_grows_with_the_strength() -> None:
    rows = [row("q", "a", "b", strength=3.0), row("q", "a", "c", strength=None), row("q", "b", "c", strength=0.5)]
    # ⅓ of a reward a unit: 1, none, 1/6
    (found,) = by_prompt(rows, {}, 1 / 3)
    assert [one.margin for one in found.judged] == [pytest.approx(1), 0.0, pytest.approx(1 / 6)]


def test_flattened_comparisons_number_the_responses_through() -> None:
    first = Comparisons("q", ("a", "b", "c"), (Judged(0, 1, 0.9, 2.0, 0.5), Judged(2, 1, 0.7)))
    second = Comparisons("r", ("x", "y"), (Judged(1, 0, 1.0),))
    # The second prompt's responses are numbers 3 and 4.
    assert flattened([first, second]) == [*first.judged, replace(second.judged[0], better=4, worse=3)]
    assert flattened([second, first]) == [second.judged[0], Judged(2, 3, 0.9, 2.0, 0.5), Judged(4, 3, 0.7)]
    assert flattened([]) == []


def test_the_weight_of_no_comparison_is_0() -> None:
    assert math.isclose(Comparisons("q", ("a",), ()).weight, 0)

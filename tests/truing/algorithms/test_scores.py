import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.vectors import vector
from truing.algorithms.scores import (
    bracketed_numbers,
    legacy_score,
    literal_weighted_score,
    scale_mass,
    weighted_score,
)

FIVE = range(1, 6)


def test_weighted_scores_reproduce_the_vector() -> None:
    case = vector("geval_weighted")
    expected, tolerance = case["expected"], case["tolerance"]
    assert weighted_score(case["input"], FIVE) == pytest.approx(expected["renormalised_over_1_5"], abs=tolerance)
    literal = literal_weighted_score(case["input"], FIVE)
    assert literal == pytest.approx(expected["literal_eq1_unnormalised"], abs=tolerance)


def test_the_released_parser_reproduces_the_vector() -> None:
    case = vector("geval_parse")
    scores = [legacy_score(reply) for reply in case["input"]]
    assert scores == case["expected"]["scores"]
    assert math.fsum(scores) / len(scores) == pytest.approx(case["expected"]["mean"], abs=case["tolerance"])


def test_weighted_score_by_hand() -> None:
    # Half of the probability is on the scale, .3 on 1 and .2 on 3: (.3 + .6) / .5 = 1.8, and .9 unnormalised.
    logprobs = {"1": math.log(0.3), "3": math.log(0.2), "The": math.log(0.5)}
    assert weighted_score(logprobs, range(1, 4)) == pytest.approx(1.8)
    assert literal_weighted_score(logprobs, range(1, 4)) == pytest.approx(0.9)
    assert scale_mass(logprobs, range(1, 4)) == pytest.approx(0.5)


def test_a_judge_without_a_score_has_none() -> None:
    assert weighted_score({"The": -0.1}, FIVE) is None
    assert literal_weighted_score({"The": -0.1}, FIVE) is None
    assert scale_mass({"The": -0.1}, FIVE) == 0
    with pytest.raises(ValueError, match="NaN or \\+inf is none"):
        weighted_score({"1": math.nan}, FIVE)
    with pytest.raises(ValueError, match="the scale is empty"):
        weighted_score({"1": -1.0}, [])


@given(st.dictionaries(st.sampled_from("12345"), st.floats(-700, 0), min_size=1), st.floats(-50, 50))
def test_the_weighted_score_stays_on_the_scale_and_ignores_a_common_constant(
    logprobs: dict[str, float], shift: float
) -> None:
    score = weighted_score(logprobs, FIVE)
    assert score is not None
    assert min(map(int, logprobs)) - 1e-9 <= score <= max(map(int, logprobs)) + 1e-9
    assert weighted_score({token: logp + shift for token, logp in logprobs.items()}, FIVE) == pytest.approx(score)


def test_rounding_does_not_leave_the_scale() -> None:
    # With a P of about 2^-53 on the other end both sums round, and the quotient is an ulp beyond 7.
    below, above = math.log(0.5 * 2**-52), math.log(0.34 * 2**-52)
    assert weighted_score({"7": 0.0, "8": below}, (7, 8)) == 7
    assert weighted_score({"7": 0.0, "6": above}, (6, 7)) == 7


@given(st.lists(st.floats(-20, 0), min_size=2, max_size=10))
def test_the_literal_score_is_the_weighted_one_times_the_mass(likelihoods: list[float]) -> None:
    scale = range(1, len(likelihoods) + 1)
    given = {str(score): logp for score, logp in zip(scale, likelihoods, strict=True)}
    weighted = weighted_score(given, scale)
    assert weighted is not None
    assert literal_weighted_score(given, scale) == pytest.approx(weighted * scale_mass(given, scale))


@pytest.mark.parametrize(
    ("reply", "score"),
    [
        ("4", 4), (" 3.5", 3.5), ("2/5", 2), (".5", 0.5), ("7", 7), ("Score: 4", 0), ("  3", 0), ("4..5", 0), ("...", 0), ("", 0),
    ],
)  # fmt: skip
def test_the_released_parser_has_no_range_and_reads_zeros(reply: str, score: float) -> None:
    assert legacy_score(reply) == score


@pytest.mark.parametrize(
    ("reply", "numbers"),
    [
        ("Rating: [[7]]", [7]), ("[[7.5]] of 10, or [[8.]]", [7.5, 8]), ("[3] then [[8]]", [8]), ("[3] then [4]", [3, 4]),
        ("[[A]] [5]", [5]), ("[[-1]]", []), ("7", []), ("", []),
    ],
)  # fmt: skip
def test_numbers_in_double_brackets_go_before_single_ones(reply: str, numbers: list[float]) -> None:
    assert bracketed_numbers(reply) == numbers

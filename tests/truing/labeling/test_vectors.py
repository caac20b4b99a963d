"""Every vector of `../shared/vectors` that is about labeling, and a test that fails for one that nobody tests."""

import json
import math
from collections.abc import Callable
from typing import Any

import pytest

from tests.truing.labeling.judgements import judged, with_p
from tests.vectors import PATH, vector
from truing.labeling.consensus import (
    OrderedLogprobs,
    expected_score,
    inverted,
    literal_score,
    p_yes,
    preference_from_orders,
    to_unit_interval,
)
from truing.labeling.figures import figures
from truing.labeling.likelihoods import LabelTrie
from truing.labeling.verdicts import is_switched, legacy_geval_score, preference_from_logprobs
from truing.records import Unparsable

PREFIXES = ("rlaif_", "drlaif_", "geval_", "ae_logprob_parser", "ae_switch_seed", "ilf_")


def alignment(given: dict[str, Any]) -> float:
    pairs = zip(given["P"], given["human"], strict=True)
    return figures([with_p(p[0], human_first=human == 0) for p, human in pairs], seed=0).alignment.value


def position(given: dict[str, Any]) -> dict[str, Any]:
    orders = [
        (OrderedLogprobs(*ab), OrderedLogprobs(*ba)) for ab, ba in zip(given["logp_AB"], given["logp_BA"], strict=True)
    ]
    found = figures([judged(ab, ba) for ab, ba in orders], seed=0)
    assert found.same_position_first is not None
    p = [preference_from_orders(ab, ba) for ab, ba in orders]
    return {
        "soft_pref_A_B": [[each, inverted(each)] for each in p],
        "same_position_rate": found.same_position_rate.value,
        "first_pos_share_among_same": found.same_position_first.value,
    }


def direct_score(given: list[float]) -> list[float]:
    """From one token each, and from the digits' tokens: "1" and "10" share the first, whose probability is their sum."""
    score = expected_score(given)
    one, ten = math.exp(given[0]), math.exp(given[9])
    tokens = {1: math.log(one + ten)} | {i + 1: given[i] for i in range(1, 9)}
    trie = LabelTrie.of({str(i): (i,) for i in range(1, 10)} | {"10": (1, 0)})
    by_digits = expected_score(trie.likelihoods({(): tokens, (1,): {0: math.log(ten / (one + ten))}}))
    assert by_digits == pytest.approx(score)
    return [score, to_unit_interval(score)]


def parsed(given: list[str]) -> dict[str, Any]:
    """The legacy parser, which counts what it cannot read as 0."""
    scores = [legacy_geval_score(reply) for reply in given]
    return {"scores": scores, "mean": sum(scores) / len(scores)}


def weighted(given: dict[str, float]) -> dict[str, float]:
    labels = {label: logp for label, logp in given.items() if label != "The"}
    return {"renormalised_over_1_5": expected_score(labels), "literal_eq1_unnormalised": literal_score(labels)}


def preferences(given: list[dict[str, float]]) -> list[float | None]:
    found = [preference_from_logprobs(logprobs) for logprobs in given]
    return [None if isinstance(one, Unparsable) else one for one in found]


OURS: dict[str, Callable[[Any], Any]] = {
    "rlaif_alignment": alignment,
    "rlaif_position": position,
    "drlaif_score": direct_score,
    "geval_parse": parsed,
    "geval_weighted": weighted,
    "ae_logprob_parser": preferences,
    "ae_switch_seed": lambda given: [is_switched(instruction) for instruction in given],
    "ilf_incorporated": lambda given: p_yes(given["logp_yes"], given["logp_no"]),
}


def names_in_the_file() -> list[str]:
    if not PATH.exists():
        return []
    names = [entry["id"] for entry in json.loads(PATH.read_text(encoding="utf-8"))]
    return [name for name in names if name.startswith(PREFIXES)]


def assert_close(found: Any, expected: Any, tolerance: float) -> None:
    """Numbers within the tolerance, through lists and objects; anything else alike."""
    if isinstance(expected, dict):
        assert set(found) == set(expected)
        for key, value in expected.items():
            assert_close(found[key], value, tolerance)
    elif isinstance(expected, list):
        assert len(found) == len(expected)
        for one, value in zip(found, expected, strict=True):
            assert_close(one, value, tolerance)
    elif isinstance(expected, float):
        assert found == pytest.approx(expected, rel=0, abs=tolerance)
    else:
        assert found == expected


@pytest.mark.parametrize("name", sorted({*names_in_the_file(), *OURS}))
def test_labeling_reproduces_the_vector(name: str) -> None:
    case = vector(name)
    assert name in OURS, f"vector {name}: nobody tests it; add to OURS what computes it"
    assert_close(OURS[name](case["input"]), case["expected"], case["tolerance"])

import math
import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from truing.labeling.consensus import expected_score
from truing.labeling.likelihoods import ROUNDING, LabelTrie, Tokens

DIGITS = {str(i): (i,) for i in range(1, 10)}
ONE_TO_TEN = LabelTrie.of({**DIGITS, "10": (1, 0)})
"""The strings "1".."10" where every digit is a token: "10" is the token 1, then the token 0."""

logprobs = st.floats(-20, 0)


def logs(found: dict[Tokens, dict[int, float]]) -> dict[Tokens, dict[int, float]]:
    """Log-probs of probabilities."""
    return {
        prefix: {token: math.log(p) if p else -math.inf for token, p in wanted.items()}
        for prefix, wanted in found.items()
    }


def probabilities(trie: LabelTrie, found: dict[Tokens, dict[int, float]]) -> dict[str, float]:
    return {label: math.exp(value) for label, value in trie.likelihoods(logs(found)).items()}


# --- the tree --------------------------------------------------------------------------------------------------------


def test_what_must_be_asked() -> None:
    assert dict(LabelTrie.of({"1": (17,), "2": (18,)}).nodes) == {(): (17, 18)}
    assert dict(ONE_TO_TEN.nodes) == {(): tuple(range(1, 10)), (1,): (0,)}
    # A beginning that is no label ("Ye"), asked once; the empty prefix first, whatever the order of the labels.
    words = LabelTrie.of({"Yesterday": (7, 2, 3), "Yes": (7, 2), "No": (8,), "Yep": (7, 1)})
    assert list(words.nodes.items()) == [((), (8, 7)), ((7,), (2, 1)), ((7, 2), (3,))]


@pytest.mark.parametrize(
    ("tokens", "reason"),
    [
        ({}, "label tokens {}: every label needs at least one token."),
        ({"1": (1,), "": ()}, "label tokens {'1': (1,), '': ()}: every label needs at least one token."),
        (
            {"A": (3,), "a": (3,)},
            "label tokens {'A': (3,), 'a': (3,)}: two labels are the same tokens to this judge; rename one.",
        ),
    ],
)
def test_labels_that_no_judge_can_tell_apart(tokens: dict[str, Tokens], reason: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(reason)}$"):
        LabelTrie.of(tokens)


# --- likelihoods -----------------------------------------------------------------------------------------------------


def test_single_tokens_keep_their_log_probs() -> None:
    found = {(): {17: -0.25, 18: -1.75}}
    assert LabelTrie.of({"1": (17,), "2": (18,)}).likelihoods(found) == {"1": -0.25, "2": -1.75}


def test_tokens_that_nobody_asked_for_change_nothing() -> None:
    trie = LabelTrie.of({"1": (17,), "2": (18,)})
    assert trie.likelihoods({(): {17: -0.25, 18: -1.75, 19: -9.0}, (17,): {5: -0.1}}) == {"1": -0.25, "2": -1.75}


def test_the_token_one_is_shared_between_one_and_ten() -> None:
    # P(token 1) = .4, P(0 | 1) = .25: P("10") = .4 * .25 = .1 and P("1") = .4 * .75 = .3.
    found: dict[Tokens, dict[int, float]] = {(): {1: 0.4} | dict.fromkeys(range(2, 10), 0.05), (1,): {0: 0.25}}
    likelihoods = probabilities(ONE_TO_TEN, found)
    assert likelihoods == pytest.approx({"1": 0.3, "10": 0.1} | {str(i): 0.05 for i in range(2, 10)})
    # (.3 * 1 + .05 * (2 + ... + 9) + .1 * 10) / .8 = (.3 + 2.2 + 1) / .8
    assert expected_score(ONE_TO_TEN.likelihoods(logs(found))) == pytest.approx(3.5 / 0.8)


def test_ten_as_one_token_is_not_one() -> None:
    trie = LabelTrie.of({**DIGITS, "10": (10,)})
    found: dict[Tokens, dict[int, float]] = {(): {1: 0.4, 10: 0.1} | dict.fromkeys(range(2, 10), 0.05)}
    assert probabilities(trie, found) == pytest.approx({"1": 0.4, "10": 0.1} | {str(i): 0.05 for i in range(2, 10)})


def test_a_label_may_begin_several_and_go_on_for_several_tokens() -> None:
    # "1", "10", "100", "12": P(1) = .8; after it 0 has .5 and 2 has .2; after "10" another 0 has .25.
    # "1" = .8 (1 - .5 - .2) = .24, "12" = .8 * .2 = .16, "10" = .8 * .5 * .75 = .3, "100" = .8 * .5 * .25 = .1
    trie = LabelTrie.of({"1": (1,), "10": (1, 0), "100": (1, 0, 0), "12": (1, 2)})
    found: dict[Tokens, dict[int, float]] = {(): {1: 0.8}, (1,): {0: 0.5, 2: 0.2}, (1, 0): {0: 0.25}}
    assert probabilities(trie, found) == pytest.approx({"1": 0.24, "10": 0.3, "100": 0.1, "12": 0.16})


def test_a_beginning_that_is_no_label_leaves_nothing_over() -> None:
    # "Ye" + "s" or "p": .5 * .6 and .5 * .3; the .05 of "Ye" that goes on otherwise is nobody's.
    trie = LabelTrie.of({"Yes": (7, 2), "Yep": (7, 1), "No": (8,)})
    found: dict[Tokens, dict[int, float]] = {(): {7: 0.5, 8: 0.4}, (7,): {2: 0.6, 1: 0.3}}
    assert probabilities(trie, found) == pytest.approx({"Yes": 0.3, "Yep": 0.15, "No": 0.4})


@given(logprobs, st.floats(-50, 0))
@example(-1.0, 0.0)
@example(0.0, -1e-300)
def test_one_and_ten_together_are_the_token_one(logp_one: float, logp_zero: float) -> None:
    trie = LabelTrie.of({"1": (1,), "10": (1, 0)})
    likelihoods = trie.likelihoods({(): {1: logp_one}, (1,): {0: logp_zero}})
    assert math.exp(likelihoods["1"]) + math.exp(likelihoods["10"]) == pytest.approx(math.exp(logp_one))


@given(st.lists(st.floats(0.01, 1), min_size=4, max_size=4), st.lists(st.floats(0.01, 1), min_size=3, max_size=3))
def test_labels_exclude_each_other(at_first: list[float], then: list[float]) -> None:
    # Probabilities of one position scaled to a sum of 1: all labels together, and what is nobody's, cannot exceed it.
    trie = LabelTrie.of({"1": (1,), "10": (1, 0), "12": (1, 2), "2": (2,), "30": (3, 0)})
    root = [p / sum(at_first) for p in at_first]
    after = [p / sum(then) for p in then]
    found: dict[Tokens, dict[int, float]] = {
        (): dict(zip((1, 2, 3), root, strict=False)),
        (1,): {0: after[0], 2: after[1]},
        (3,): {0: after[2]},
    }
    likelihoods = probabilities(trie, found)
    assert sum(likelihoods[label] for label in ("1", "10", "12")) == pytest.approx(root[0])
    assert sum(likelihoods.values()) == pytest.approx(root[0] + root[1] + root[2] * after[2])


@pytest.mark.parametrize("logp_zero", [-1e-12, -1e-300])
def test_what_is_left_beside_a_near_certain_token_keeps_its_digits(logp_zero: float) -> None:
    # 1 - e^-x = x for tiny x; computed as 1 - exp(-x) it would be off in the fourth digit, or 0.
    found = {(): {1: 0.0}, (1,): {0: logp_zero}}
    one = LabelTrie.of({"1": (1,), "10": (1, 0)}).likelihoods(found)["1"]
    assert one == pytest.approx(math.log(-logp_zero), rel=1e-12)


def test_what_cannot_follow_takes_nothing_and_what_must_leaves_nothing() -> None:
    trie = LabelTrie.of({"1": (1,), "10": (1, 0), "12": (1, 2)})
    assert trie.likelihoods({(): {1: -0.5}, (1,): {0: -math.inf, 2: -math.inf}}) == {
        "1": -0.5,
        "10": -math.inf,
        "12": -math.inf,
    }
    certain = trie.likelihoods({(): {1: -0.5}, (1,): {0: 0.0, 2: -math.inf}})
    assert certain == {"1": -math.inf, "10": -0.5, "12": -math.inf}


def test_rounding_may_give_a_position_a_little_more_than_one() -> None:
    # .5 + .5005 = 1.0005 is within the rounding of bfloat16: nothing is left. 0.5 + 0.502 is not.
    trie = LabelTrie.of({"1": (1,), "10": (1, 0), "12": (1, 2)})
    assert ROUNDING == 1e-3
    assert probabilities(trie, {(): {1: 1.0}, (1,): {0: 0.5, 2: 0.5005}})["1"] == 0
    with pytest.raises(ValueError, match=r"^the probabilities of one position sum to 1\.00[12].*: more than 1\.$"):
        probabilities(trie, {(): {1: 1.0}, (1,): {0: 0.5, 2: 0.502}})


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        ({(): {1: -0.5}}, "no log-prob of token 0 after (1,): ask the judge for every token of every node."),
        ({(1,): {0: -0.5}}, "no log-prob of token 1 after (): ask the judge for every token of every node."),
        (
            {(): {2: -0.5}, (1,): {0: -0.5}},
            "no log-prob of token 1 after (): ask the judge for every token of every node.",
        ),
        ({(): {1: 0.5}, (1,): {0: -0.5}}, "0.5 is no log-prob (token 1 after ())."),
        ({(): {1: -0.5}, (1,): {0: math.nan}}, "nan is no log-prob (token 0 after (1,))."),
        ({(): {1: math.inf}, (1,): {0: -0.5}}, "inf is no log-prob (token 1 after ())."),
    ],
)
def test_missing_and_impossible_log_probs_are_errors(found: dict[Tokens, dict[int, float]], reason: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(reason)}$"):
        LabelTrie.of({"1": (1,), "10": (1, 0)}).likelihoods(found)

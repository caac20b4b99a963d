import json
import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr

from tests.truing.labeling.judgements import SECOND, judged, with_p
from truing.labeling.concordance import kendalls_w, prompt_sensitivity

shares = st.integers(1, 7).map(lambda k: k / 8)


def test_concordance_by_hand() -> None:
    # Ranks 1 2 3 4, 1 3 2 4, 2 1 3 4: sums 4 6 8 12, mean 7.5, S = 12.25 + 2.25 + .25 + 20.25 = 35.
    # W = 12 * 35 / (3^2 (4^3 - 4)) = 420 / 540.
    found = kendalls_w([[0.1, 0.2, 0.3, 0.4], [0.1, 0.3, 0.2, 0.4], [0.2, 0.1, 0.3, 0.4]], seed=0)
    assert found is not None
    assert found.value == pytest.approx(7 / 9)
    assert found.n == 4
    assert found.low <= found.value <= found.high


def test_concordance_corrects_for_ties() -> None:
    # Ranks 1.5 1.5 3 twice: sums 3 3 6, mean 4, S = 6; T = 6 each. W = 72 / (4 * 24 - 2 * 12) = 1: perfect.
    perfect = kendalls_w([[0.1, 0.1, 0.9], [0.3, 0.3, 0.7]], seed=0)
    assert perfect is not None
    assert perfect.value == pytest.approx(1.0)
    # Against 1 2 3: sums 2.5 3.5 6, S = 2.25 + .25 + 4 = 6.5. W = 78 / (96 - 12) = 13 / 14.
    mixed = kendalls_w([[0.1, 0.1, 0.9], [0.3, 0.4, 0.7]], seed=0)
    assert mixed is not None
    assert mixed.value == pytest.approx(13 / 14)
    assert kendalls_w([[0.5, 0.5], [0.5, 0.5]], seed=0) is None
    with pytest.raises(ValueError, match="at least two"):
        kendalls_w([[0.1, 0.2]], seed=0)


@given(st.lists(st.tuples(shares, shares), min_size=3, max_size=10))
@settings(max_examples=15)
def test_concordance_of_two_is_their_rank_correlation(table: list[tuple[float, float]]) -> None:
    # For two labelers without ties W = (1 + rho) / 2: break ties by place, then compare with scipy's Spearman.
    one = [p + i / 1000 for i, (p, _) in enumerate(table)]
    two = [q - i / 1000 for i, (_, q) in enumerate(table)]
    found = kendalls_w([one, two], seed=0)
    assert found is not None
    assert found.value == pytest.approx((1 + spearmanr(one, two).statistic) / 2)
    swapped = kendalls_w([[1 - p for p in one], [1 - q for q in two]], seed=0)
    assert swapped is not None
    assert swapped.value == pytest.approx(found.value)


def test_prompt_sensitivity_by_hand() -> None:
    # Agreement of four pairs: base 3/4, detailed 1/4. Mean 1/2, spread sqrt(2 (1/4)^2 / 1) = .3536.
    right, wrong = with_p(0.9, human_first=True), with_p(0.2, human_first=True)
    found = prompt_sensitivity({"base": [right, right, right, wrong], "detailed": [right, wrong, wrong, wrong]}, seed=0)
    assert {name: each.value for name, each in found.alignment.items()} == {"base": 0.75, "detailed": 0.25}
    assert (found.lowest.value, found.highest.value) == (0.25, 0.75)
    assert found.spread.value == pytest.approx(math.sqrt(1 / 8))
    assert (found.changed.value, found.changed.n) == (0.5, 4)
    rows = found.as_rows()
    assert json.loads(json.dumps(rows, allow_nan=False)) == rows
    assert [row["figure"] for row in rows][2:] == [
        "lowest alignment",
        "highest alignment",
        "alignment spread",
        "verdict changed",
    ]


def test_a_tie_is_a_verdict_of_its_own() -> None:
    tie = with_p(0.5, human_first=True)
    found = prompt_sensitivity({"base": [tie, tie], "detailed": [with_p(0.9, human_first=True), tie]}, seed=0)
    assert (found.changed.value, found.spread.value) == (0.5, 0.0)


def test_one_wording_or_other_pairs_are_errors() -> None:
    with pytest.raises(ValueError, match="at least two"):
        prompt_sensitivity({"base": [judged()]}, seed=0)
    with pytest.raises(ValueError, match="'b' judged 1 pairs, 'a' 2"):
        prompt_sensitivity({"a": [judged(), judged()], "b": [judged()]}, seed=0)
    with pytest.raises(ValueError, match="pair 1 of 'b' is not that of 'a'"):
        prompt_sensitivity({"a": [judged()] * 2, "b": [judged(), replace(judged(ab=SECOND), domain="code")]}, seed=0)

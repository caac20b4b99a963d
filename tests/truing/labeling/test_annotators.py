import gzip
import json
import os
from collections import Counter
from fractions import Fraction
from itertools import combinations, permutations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score

from truing.labeling.annotators import (
    annotator_agreement,
    cohen_kappa,
    fleiss,
    krippendorff,
    raw_agreement,
    vote_counts,
)

PANDALM = Path(__file__).resolve().parents[4] / "shared" / "data" / "pandalm_human.jsonl.gz"

Table = list[tuple[int | None, int | None, int | None]]


def pandalm() -> Table:
    """Three human votes a pair. Where the file is absent the test is skipped; in CI it fails."""
    if not PANDALM.exists():
        message = "../shared is absent: no human votes"
        if "CI" in os.environ:
            pytest.fail(message)
        pytest.skip(message)
    with gzip.open(PANDALM, "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    return [(row["annotator1"], row["annotator2"], row["annotator3"]) for row in rows]


tables: st.SearchStrategy[Table] = st.lists(st.tuples(*[st.sampled_from([0, 1, 2, None])] * 3), min_size=1, max_size=12)


def test_cohen_by_hand() -> None:
    # yes/yes 20, yes/no 5, no/yes 10, no/no 15: p_o = .7, p_e = .5 * .6 + .5 * .4 = .5, kappa = .2 / .5.
    table = [("yes", "yes")] * 20 + [("yes", "no")] * 5 + [("no", "yes")] * 10 + [("no", "no")] * 15
    found = cohen_kappa([one for one, _ in table], [other for _, other in table], seed=0)
    assert found is not None
    assert found.value == pytest.approx(0.4)
    assert found.n == 50
    assert 0.1 < found.low < 0.3 < 0.5 < found.high < 0.7  # asymptotically .4 +- 1.96 * .127 = .15 to .65


def test_fleiss_reproduces_the_textbook_table() -> None:
    # Ten subjects, fourteen raters, five categories: P = .378, P_e = .213, kappa = .210.
    counts = np.array([
        [0, 0, 0, 0, 14], [0, 2, 6, 4, 2], [0, 0, 3, 5, 6], [0, 3, 9, 2, 0], [2, 2, 8, 1, 1],
        [7, 7, 0, 0, 0], [3, 2, 6, 3, 0], [2, 5, 3, 2, 2], [6, 5, 2, 1, 0], [0, 2, 2, 3, 7],
    ], dtype=float)  # fmt: skip
    assert raw_agreement(counts) == pytest.approx(0.378, abs=5e-4)
    assert fleiss(counts) == pytest.approx(0.210, abs=5e-4)


def test_krippendorff_reproduces_the_textbook_table() -> None:
    # Krippendorff (2011), section C: four observers, twelve units, votes missing; nominal alpha = .743.
    observers = ["12332141 2...", "12332241 25.3", ".3332342 251.", "12332441 251."]
    columns = [[None if vote == "." else int(vote) for vote in row.replace(" ", "")] for row in observers]
    votes = list(zip(*columns, strict=True))
    found = annotator_agreement(votes, seed=0)
    assert found.alpha is not None
    assert found.alpha.value == pytest.approx(0.743, abs=5e-4)
    assert (found.items, found.left_out, found.alpha.n) == (12, 1, 11)


def test_human_votes_of_pandalm_against_an_explicit_count() -> None:
    votes = pandalm()
    found = annotator_agreement(votes, seed=0)
    assert len(found.couples) == 3
    for couple in found.couples:
        one, other = [row[couple.one] for row in votes], [row[couple.other] for row in votes]
        assert couple.kappa is not None
        assert couple.agreement is not None
        assert couple.kappa.value == pytest.approx(cohen_kappa_score(one, other))
        assert couple.agreement.value == pytest.approx(
            sum(a == b for a, b in zip(one, other, strict=True)) / len(votes)
        )
        assert couple.n == len(votes) == 944
    same = Fraction(sum(a == b for row in votes for a, b in combinations(row, 2)), 3 * len(votes))
    totals = Counter(vote for row in votes for vote in row)
    chance = sum(Fraction(n, 3 * len(votes)) ** 2 for n in totals.values())
    assert found.agreement is not None
    assert found.fleiss is not None
    assert found.alpha is not None
    assert found.agreement.value == pytest.approx(float(same))
    assert found.fleiss.value == pytest.approx(float((same - chance) / (1 - chance)))
    # alpha = 1 - D_o / D_e: with three votes an item, a pair of different votes against one drawn without replacement.
    n = 3 * len(votes)
    by_chance = 1 - sum(Fraction(k * (k - 1), n * (n - 1)) for k in totals.values())
    assert found.alpha.value == pytest.approx(float(1 - (1 - same) / by_chance))
    assert found.alpha.low < found.alpha.value < found.alpha.high


@given(tables)
@settings(max_examples=100)
def test_alpha_is_one_minus_observed_over_expected_disagreement(votes: Table) -> None:
    # From the definition: ordered pairs of votes within an item, weighted 1 / (m_u - 1), against all pairs of votes.
    shared = [[vote for vote in row if vote is not None] for row in votes]
    shared = [row for row in shared if len(row) >= 2]
    pool = [vote for row in shared for vote in row]
    if len(set(pool)) < 2:
        return
    observed = sum(Fraction(a != b, len(row) - 1) for row in shared for a, b in permutations(row, 2)) / len(pool)
    expected = Fraction(sum(a != b for a, b in permutations(pool, 2)), len(pool) * (len(pool) - 1))
    counts = vote_counts(votes)
    assert krippendorff(counts[counts.sum(axis=1) >= 2]) == pytest.approx(float(1 - observed / expected))


@given(tables)
@settings(max_examples=10)
def test_the_order_of_items_and_the_names_of_categories_change_no_value(votes: Table) -> None:
    names = {0: "tie", 1: "b", 2: "a", None: None}
    found = annotator_agreement(votes, seed=0)
    renamed = annotator_agreement([[names[vote] for vote in row] for row in reversed(votes)], seed=0)
    for one, other in [(found.agreement, renamed.agreement), (found.alpha, renamed.alpha)]:
        assert (one is None) == (other is None)
        assert one is None or other is None or one.value == pytest.approx(other.value)


def test_figures_that_the_votes_do_not_give_are_missing() -> None:
    apart = annotator_agreement([(1, None), (None, 2)], seed=0)
    assert apart.couples[0].n == 0
    assert (apart.couples[0].agreement, apart.couples[0].kappa, apart.agreement, apart.alpha) == (None,) * 4
    assert (apart.items, apart.left_out) == (2, 2)
    alike = annotator_agreement([(1, 1), (1, 1)], seed=0)
    assert alike.agreement is not None
    assert alike.agreement.value == 1.0
    assert (alike.couples[0].kappa, alike.fleiss, alike.alpha) == (None,) * 3


def test_fleiss_reads_complete_items_only() -> None:
    # Complete: 1 1 1 and 2 2 1, P = (1 + 1/3) / 2 = 2/3, p = 4/6, 2/6, P_e = 5/9: (2/3 - 5/9) / (4/9) = 1/4.
    found = annotator_agreement([(1, 1, 1), (2, 2, 1), (1, 2, None), (None, None, None)] * 4, seed=0)
    assert found.fleiss is not None
    assert (found.fleiss.value, found.fleiss.n) == (pytest.approx(0.25), 8)
    assert (found.items, found.left_out) == (16, 4)


def test_unusable_tables_say_why() -> None:
    with pytest.raises(ValueError, match="no item"):
        annotator_agreement([], seed=0)
    with pytest.raises(ValueError, match="at least two annotators"):
        annotator_agreement([[1]], seed=0)
    with pytest.raises(ValueError, match="row 1 has 3 votes, row 0 has 2: write None"):
        annotator_agreement([[1, 1], [1, 1, 2]], seed=0)
    with pytest.raises(ValueError, match="2 and 1 votes"):
        cohen_kappa([1, 2], [1], seed=0)

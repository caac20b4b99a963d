import json
import math
import re
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from tests.truing.labeling.judgements import FIRST, SECOND, judged, with_p
from truing.config.labeling import Style
from truing.labeling.asking import Asking, Judgement
from truing.labeling.calibration import (
    LOGIT_BOUND,
    PENALTIES,
    LogisticMap,
    before_and_after,
    evidence,
    fit,
    p_first,
    scores,
    split_by_id,
)
from truing.labeling.consensus import OrderedLogprobs
from truing.labeling.judged import Judged
from truing.labeling.templates import load_template
from truing.labeling.verdicts import ordered
from truing.records import Pair

logprobs = st.floats(-30, 0) | st.just(-math.inf)
orders = st.tuples(logprobs, logprobs).filter(lambda two: max(two) > -math.inf).map(lambda two: OrderedLogprobs(*two))
maps = st.builds(LogisticMap, st.floats(-3, 3), st.floats(-0.1, 0.1), st.sampled_from(PENALTIES), st.integers(2, 99))
samples = st.lists(
    st.builds(judged, orders, orders, human_first=st.booleans(), length_gap=st.integers(-200, 200)),
    min_size=3,
    max_size=12,
)
HALF = LogisticMap(logit=0.5, length=0.0, penalty=0.01, pairs=9)


def sigma(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def leaning(x: float, *, human_first: bool, habit: float = 0.0, length_gap: int = 0) -> Judged:
    """A pair with log-odds x for a in both orders, and `habit` more for whichever is shown first."""
    ab, ba = OrderedLogprobs(x + habit - 9, -9.0), OrderedLogprobs(-x + habit - 9, -9.0)
    return judged(ab, ba, human_first=human_first, length_gap=length_gap)


def drawn(n: int, slope: float, per_length: float = 0.0) -> list[Judged]:
    """Pairs whose human marks are drawn from P(a) = sigma(slope x + per_length gap), x in -2, -1, 1, 2."""
    rng = np.random.default_rng(0)
    x, gap = rng.choice([-2.0, -1.0, 1.0, 2.0], size=n), rng.choice([-100, 100], size=n)
    mark = rng.random(n) < 1 / (1 + np.exp(-(slope * x + per_length * gap)))
    rows = zip(x, gap, mark, strict=True)
    return [leaning(float(x), human_first=bool(m), habit=3.0, length_gap=int(g)) for x, g, m in rows]


# --- the map ---------------------------------------------------------------------------------------------------------


def test_evidence_by_hand() -> None:
    # Log-odds of the first shown: 2 in ab, -1 in ba, so those of a are 2 and 1: mean 1.5.
    ab, ba = OrderedLogprobs(-1.0, -3.0), OrderedLogprobs(-2.0, -1.0)
    assert evidence(ab, ba) == 1.5
    assert evidence(ab, ba, asks_for_worse=True) == evidence(ba, ab) == -1.5
    # What is added for a position cancels; a bare verdict counts as +-20 in its order, (20 + 1) / 2.
    assert evidence(OrderedLogprobs(4.0, -3.0), OrderedLogprobs(3.0, -1.0)) == 1.5
    assert LOGIT_BOUND == 20
    assert evidence(ordered("first"), ba) == 10.5
    assert evidence(ordered("first"), ordered("second")) == 20
    assert evidence(ordered("first"), ordered("first")) == evidence(ordered("tie"), ordered("tie")) == 0


def test_the_map_by_hand() -> None:
    # x = 1.5: sigma(.5 * 1.5 + .01 * 25) = sigma(1)
    ab, ba = OrderedLogprobs(-1.0, -3.0), OrderedLogprobs(-2.0, -1.0)
    found = LogisticMap(logit=0.5, length=0.01, penalty=1.0, pairs=9)
    assert found.apply(ab, ba, 25) == pytest.approx(sigma(1))
    assert found.apply(ab, ba) == pytest.approx(sigma(0.75))
    assert found.apply(ab, ba, 25, asks_for_worse=True) == pytest.approx(sigma(-0.5))
    assert HALF.apply(ordered("first"), ordered("second")) == pytest.approx(sigma(10))


@given(maps, orders, orders, st.integers(-500, 500), st.booleans())
def test_swapping_the_pair_flips_p_to_the_last_bit(
    found: LogisticMap, ab: OrderedLogprobs, ba: OrderedLogprobs, gap: int, worse: bool
) -> None:
    p = found.apply(ab, ba, gap, asks_for_worse=worse)
    assert found.apply(ba, ab, -gap, asks_for_worse=worse) == 1 - p
    assert 0 <= p <= 1


def test_a_calibrated_pair_keeps_what_the_labeler_said() -> None:
    # (.1 - 2.5) and (2.5 - .1): x = 2.4
    pair = judged(FIRST, SECOND, length_gap=7)
    assert HALF.calibrated(pair) == replace(pair, p=HALF.calibrated(pair).p)
    assert HALF.calibrated(pair).p == pytest.approx(sigma(1.2))
    assert HALF.calibrated(replace(pair, asks_for_worse=True)).p == pytest.approx(sigma(-1.2))


@given(maps)
def test_a_map_is_stored_and_read_back(found: LogisticMap) -> None:
    assert LogisticMap.from_dict(json.loads(json.dumps(found.as_dict()))) == found


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (
            {"slope": 1.0},
            (
                "a calibration map holds ['length', 'logit', 'pairs', 'penalty'], "
                "not ['length', 'logit', 'pairs', 'penalty', 'slope']: fit it anew."
            ),
        ),
        (
            {"length": math.nan},
            (
                "a calibration map of {'logit': 0.5, 'length': nan, 'penalty': 0.01, 'pairs': 9}: "
                "every number must be finite; fit it anew."
            ),
        ),
    ],
)
def test_a_map_that_cannot_be_read(change: dict[str, float], reason: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(reason)}$"):
        LogisticMap.from_dict(HALF.as_dict() | change)
    with pytest.raises(ValueError, match=r"not \['logit'\]: fit it anew\.$"):
        LogisticMap.from_dict({"logit": 1.0})


# --- the fit ---------------------------------------------------------------------------------------------------------


@given(samples, st.randoms(use_true_random=False), st.booleans())
@settings(max_examples=25)
def test_order_and_names_change_no_bit_of_the_map(sample: list[Judged], random, use_length: bool) -> None:
    found = fit(sample, use_length=use_length, folds=3, seed=0)
    other = [pair.swap() if random.random() < 0.5 else pair for pair in sample]
    random.shuffle(other)
    assert fit(other, use_length=use_length, folds=3, seed=0) == found


def test_the_slope_of_a_known_logistic_is_recovered() -> None:
    # Information of one pair on the slope w = .5: mean of x^2 s (1 - s), s = sigma(w x). x = +-1: .62246 * .37754 =
    # .23500; x = +-2: 4 * .73106 * .26894 = .78645; mean .5107. Of 20000 pairs: sd = 1 / sqrt(10214) = .0099.
    # A penalty of L takes off L w / (information / 2.5 + L), 2.5 the mean of x^2: at most .0233 for L = .01.
    # So the slope is within 4 sd + that = .063. The labeler says 1 per nat: it is twice as sure as it should be.
    found = fit(drawn(20_000, 0.5), use_length=False, folds=5, seed=0)
    assert found.penalty <= 0.01
    assert found.logit == pytest.approx(0.5, abs=0.063)
    assert (found.length, found.pairs) == (0.0, 20_000)


@pytest.mark.parametrize("use_length", [False, True])
def test_the_fit_is_that_of_sklearn(use_length: bool) -> None:
    # mean log loss + L / 2 |w|^2 is sklearn's sum + |w|^2 / (2 C) for C = 1 / (n L), on features of rms 1.
    sample = drawn(400, 0.8, 0.004)
    found = fit(sample, use_length=use_length, folds=5, seed=0)
    features = np.array([[evidence(pair.ab, pair.ba), pair.length_gap][: 1 + use_length] for pair in sample])
    scale = np.sqrt((features**2).mean(axis=0))
    reference = LogisticRegression(C=1 / (400 * found.penalty), fit_intercept=False, tol=1e-10, max_iter=1000)
    expected = reference.fit(features / scale, [pair.human_first for pair in sample]).coef_[0] / scale
    assert [found.logit, found.length][: 1 + use_length] == pytest.approx(list(expected), rel=1e-5)
    assert (found.length != 0) == use_length


def test_evidence_that_says_nothing_gets_no_weight() -> None:
    # All losses are ln 2 whatever the penalty, so the strongest is taken.
    tied = [judged(ordered("tie"), ordered("tie"), human_first=i % 2 == 0, length_gap=i) for i in range(6)]
    assert fit(tied, use_length=False, folds=3, seed=0) == LogisticMap(0.0, 0.0, max(PENALTIES), 6)
    assert HALF.apply(tied[0].ab, tied[0].ba) == 0.5


def test_a_labeler_that_is_worse_than_chance_is_turned_round() -> None:
    wrong = [leaning(2.0, human_first=i % 10 == 0) for i in range(50)]
    found = fit(wrong, use_length=False, folds=5, seed=0)
    # A tenth is right: sigma(2 w) = .1 without penalty, w = ln(1/9) / 2 = -1.0986; it shrinks towards 0.
    assert -1.0986 < found.logit < -0.9


def test_too_few_pairs_are_an_error() -> None:
    for pairs, folds in [(1, 2), (4, 5), (0, 2), (9, 1)]:
        reason = f"{pairs} marked pairs in {folds} folds: give at least 2 folds and a pair for each."
        with pytest.raises(ValueError, match=f"^{re.escape(reason)}$"):
            fit([judged()] * pairs, use_length=False, folds=folds, seed=0)


# --- what it is worth ------------------------------------------------------------------------------------------------


@given(st.lists(st.text(max_size=3)), st.lists(st.text(max_size=3)), st.floats(0, 1), st.floats(0, 1))
def test_an_id_falls_on_one_side_wherever_it_stands(ids: list[str], more: list[str], one: float, other: float) -> None:
    fit_on = split_by_id(ids, one)
    chosen = {ids[i] for i in fit_on}
    together = [*more, *ids, *ids]
    again = split_by_id(together, one)
    assert {together[i] for i in again} & set(ids) == chosen
    assert [i - len(more) for i in again if 0 <= i - len(more) < len(ids)] == fit_on
    # A larger share only adds.
    smaller, larger = (set(split_by_id(ids, share)) for share in sorted((one, other)))
    assert smaller <= larger


def test_the_share_of_ids() -> None:
    # Of 4000 ids 1200 +- 4 * sqrt(4000 * .3 * .7) = 116.
    ids = [f"prompt {i}" for i in range(4000)]
    assert 1084 < len(split_by_id(ids, 0.3)) < 1316
    assert (split_by_id(ids, 0.0), split_by_id(ids, 1.0)) == ([], list(range(4000)))


def test_scores_by_hand() -> None:
    # p(right) = .9, .8 (p = .2 for b), .3, 0: a certain verdict that is wrong costs 20 nats, not infinity.
    sample = [with_p(p, human_first=human) for p, human in [(0.9, True), (0.2, False), (0.7, False), (1.0, False)]]
    found = scores(sample, seed=0)
    assert found.log_loss.value == pytest.approx((-math.log(0.9) - math.log(0.8) - math.log(0.3) + 20) / 4)
    assert found.brier.value == pytest.approx((0.01 + 0.04 + 0.49 + 1) / 4)
    assert (found.alignment.value, found.alignment.n) == (0.5, 4)


def test_the_map_is_measured_on_pairs_that_it_never_saw() -> None:
    # Fitted on marks that contradict the labeler, measured on ones that agree with it: the map gets all of them wrong.
    sample = [leaning(2.0, human_first=False)] * 10 + [leaning(2.0, human_first=True, habit=3.0)] * 5
    found = before_and_after(sample, range(10), use_length=False, folds=2, seed=0)
    assert found.map == fit(sample[:10], use_length=False, folds=2, seed=0)
    assert (found.before.alignment.value, found.after.alignment.value) == (1.0, 0.0)
    assert (found.changed.value, found.changed.n) == (1.0, 5)
    # x + habit = 5 and -x + habit = 1: the first wins in both orders, which the raw labeler is charged with.
    assert found.flip_rate.value == 1.0
    assert found.after.brier.value == pytest.approx((1 - sigma(2 * found.map.logit)) ** 2)


def test_an_overconfident_labeler_gets_better_probabilities_and_the_same_verdicts() -> None:
    found = before_and_after(drawn(2000, 0.5), range(1000), use_length=False, folds=5, seed=0)
    assert found.after.log_loss.value < found.before.log_loss.value
    assert found.after.ece.value < found.before.ece.value
    assert (found.changed.value, found.before.alignment) == (0.0, found.after.alignment)
    rows = found.as_rows()
    assert json.loads(json.dumps(rows, allow_nan=False)) == rows
    assert len({(row["group"], row["figure"]) for row in rows}) == len(rows) == 10
    assert {row["scope"] for row in rows} == {"calibration"}
    assert {row["n"] for row in rows} == {1000}
    assert [row["group"] for row in rows if row["figure"] in ("flip rate", "verdict changed")] == ["before", "after"]


@pytest.mark.parametrize(
    ("fit_on", "reason"),
    [
        ([0, 1, 2], "all 3 pairs are fitted on: leave some out, to see what the map is worth."),
        ([0, 3], "rows to fit on run up to 3, but there are 3 pairs."),
        ([0], "1 marked pairs in 2 folds: give at least 2 folds and a pair for each."),
        ([0, 0, 0], "1 marked pairs in 2 folds: give at least 2 folds and a pair for each."),
    ],
)
def test_rows_that_cannot_be_split(fit_on: list[int], reason: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(reason)}$"):
        before_and_after([judged()] * 3, fit_on, use_length=False, folds=2, seed=0)


def test_a_pairs_preference_is_the_orders_mean_or_the_maps_and_turned_where_the_worse_is_asked_for() -> None:
    # In one order the first label has odds of 3, in the other of 1/3: P = 3/4 both times, x = ln 3.
    found = Judgement(OrderedLogprobs(math.log(0.6), math.log(0.2)), OrderedLogprobs(math.log(0.2), math.log(0.6)))
    better, worse = (Asking({"*": load_template(name)}, Style()) for name in ("helpful", "harmless"))
    pair = Pair("a", "Why?", "Because of that.", "So.", "any")
    assert p_first(found, better, pair, None) == pytest.approx(3 / 4)
    assert p_first(found, worse, pair, None) == pytest.approx(1 / 4)
    # Half the log-odds: odds of sqrt 3. The first one is 16 - 3 = 13 characters longer.
    assert p_first(found, better, pair, HALF) == pytest.approx(sigma(math.log(3) / 2))
    assert p_first(found, worse, pair, replace(HALF, length=0.1)) == pytest.approx(sigma(-math.log(3) / 2 + 1.3))

"""A logistic map from the labeler's evidence to P(humans prefer a), fitted on a few marked pairs.

    P(a) = sigma(w_x x + w_g g),   x = s ((l_first - l_second)(a, b) - (l_first - l_second)(b, a)) / 2

x is the log-odds of a, mean of both orders (s = -1 where the template asks for the worse one), so that whatever the
labeler adds for a position cancels; g is the length of a minus that of b. This is Platt scaling (Platt 1999) without an
intercept: both features change sign with the names of the responses, so swapping a pair gives exactly 1 - P(a).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np
from numpy.typing import NDArray

from truing.algorithms.calibration import brier, log_loss
from truing.algorithms.statistics import Interval
from truing.labeling.agreement import Row, interval_row
from truing.labeling.asking import Asking, Judgement
from truing.labeling.consensus import OrderedLogprobs
from truing.labeling.figures import alignment, ece, flip_rate, mean_over
from truing.labeling.judged import Judged
from truing.records import Pair, content_id

FloatArray = NDArray[np.float64]

LOGIT_BOUND = 20.0
"""Nats. The log-odds of one order lie within +-20 (P = 2e-9 or 1 - 2e-9): a bare verdict, (0, -inf), counts as 20."""

PENALTIES = (10.0, 1.0, 0.1, 0.01, 0.001, 0.0001)
"""L2 strengths to choose from, strongest first, on features scaled to a root mean square of 1."""


@dataclass(frozen=True, slots=True)
class LogisticMap:
    """P(humans prefer a) = sigma(logit x + length g), fitted on `pairs` pairs with the L2 strength `penalty`.

    `logit` is per nat of the labeler's log-odds (below 1: it was overconfident; below 0: it was worse than chance, and
    its verdicts are turned round), `length` per unit of the length gap.
    """

    logit: float
    length: float
    penalty: float
    pairs: int

    def apply(
        self, ab: OrderedLogprobs, ba: OrderedLogprobs, length_gap: float = 0, *, asks_for_worse: bool = False
    ) -> float:
        """P(humans prefer a). `apply(ba, ab, -length_gap)` is 1 minus it to the last bit."""
        log_odds = self.logit * evidence(ab, ba, asks_for_worse=asks_for_worse) + self.length * length_gap
        stronger = 1 / (1 + math.exp(-abs(log_odds)))
        return stronger if log_odds >= 0 else 1 - stronger

    def calibrated(self, pair: Judged) -> Judged:
        """The pair with its `p` from this map; its log-probs, and with them flips and positions, stay as they were."""
        p = self.apply(pair.ab, pair.ba, pair.length_gap, asks_for_worse=pair.asks_for_worse)
        return replace(pair, p=p)

    def as_dict(self) -> dict[str, float]:
        """JSON-able; `from_dict` reads it back."""
        return asdict(self)

    @classmethod
    def from_dict(cls, stored: Mapping[str, float]) -> "LogisticMap":
        """Raises ValueError where a number is missing, not one of the map's, or not finite."""
        wanted = {"logit", "length", "penalty", "pairs"}
        if set(stored) != wanted:
            raise ValueError(f"a calibration map holds {sorted(wanted)}, not {sorted(stored)}: fit it anew.")
        if not all(math.isfinite(value) for value in stored.values()):
            raise ValueError(f"a calibration map of {dict(stored)}: every number must be finite; fit it anew.")
        return cls(float(stored["logit"]), float(stored["length"]), float(stored["penalty"]), int(stored["pairs"]))


@dataclass(frozen=True)
class Scores:
    """Predictions against human marks: alignment, ECE, -ln P(human choice) in nats (at most 20), (P(a) - mark)^2."""

    alignment: Interval
    ece: Interval
    log_loss: Interval
    brier: Interval


@dataclass(frozen=True)
class BeforeAfter:
    """What calibration is worth, on pairs the map never saw.

    `flip_rate` is the raw labeler's. After calibration there is none to measure: the map reads both orders at once and
    answers the same whichever of them is called ab, so its verdict cannot change with the order, and a rate of 0
    says nothing of the labeler. `changed` is the share of pairs on which map and raw verdict (a, b, neither) differ.
    """

    map: LogisticMap
    before: Scores
    after: Scores
    flip_rate: Interval | None
    changed: Interval

    def as_rows(self) -> list[Row]:
        """JSON-able rows as those of `TrustReport`, with the scope "calibration" and the groups before and after."""
        rows: list[Row] = []
        for group, scores in (("before", self.before), ("after", self.after)):
            rows.append(interval_row("calibration", group, "alignment", scores.alignment))
            rows.append(interval_row("calibration", group, "calibration error", scores.ece))
            rows.append(interval_row("calibration", group, "log loss (nats)", scores.log_loss))
            rows.append(interval_row("calibration", group, "Brier score", scores.brier))
        if self.flip_rate is not None:
            rows.append(interval_row("calibration", "before", "flip rate", self.flip_rate))
        rows.append(interval_row("calibration", "after", "verdict changed", self.changed))
        return rows


def p_first(found: Judgement, asking: Asking, pair: Pair, calibration: LogisticMap | None) -> float:
    """P(first response of the pair preferred): the mean of the two orders, or through a calibration map.

    Raises ConfigError where the asking has no template for the pair's domain.
    """
    worse = asking.asks_for_worse(pair.domain)
    if calibration is None:
        return found.p_first(asks_for_worse=worse)
    return calibration.apply(found.ab, found.ba, len(pair.first) - len(pair.second), asks_for_worse=worse)


def evidence(ab: OrderedLogprobs, ba: OrderedLogprobs, *, asks_for_worse: bool = False) -> float:
    """x: the log-odds of a in nats, mean of both orders, each clipped to +-`LOGIT_BOUND` first."""
    lean = (_log_odds(ab) - _log_odds(ba)) / 2
    return -lean if asks_for_worse else lean


def fit(judged: Sequence[Judged], *, use_length: bool, folds: int, seed: int) -> LogisticMap:
    """The map with the least mean log loss on `judged` plus penalty / 2 |w|^2, features scaled to rms 1.

    The penalty is the one of least log loss in `folds`-fold cross-validation, the stronger of two equals. Adding each
    pair's swapped twin would change nothing, since without intercept it has the same loss. Neither the order of the
    pairs nor which response is called a changes a bit of the map.
    Raises ValueError for fewer than two folds or fewer pairs than folds.
    """
    if folds < 2 or len(judged) < folds:
        raise ValueError(f"{len(judged)} marked pairs in {folds} folds: give at least 2 folds and a pair for each.")
    margins, scale = _margins(judged, use_length=use_length)
    fold = np.random.default_rng(seed).permutation(len(margins)) % folds
    losses = {penalty: _held_out_loss(margins, fold, penalty) for penalty in PENALTIES}
    penalty = min(PENALTIES, key=lambda each: losses[each])
    weights = _minimise(margins, penalty) / scale
    length = float(weights[1]) if use_length else 0.0
    return LogisticMap(float(weights[0]), length, penalty, len(judged))


def split_by_id(ids: Sequence[str], share: float) -> list[int]:
    """Rows to fit on: those whose id hashes into the first `share` of all hashes. The others are for testing.

    The same id always falls on the same side: give ids of prompts where several pairs share one.
    """
    return [i for i, name in enumerate(ids) if int(content_id("calibration split", name), 16) < share * 2**64]


def before_and_after(
    judged: Sequence[Judged], fit_on: Sequence[int], *, use_length: bool, folds: int, seed: int
) -> BeforeAfter:
    """Fit on the rows `fit_on`, measure on all others, raw and calibrated.

    Raises ValueError where no row is left to measure on, a row of `fit_on` does not exist, or as `fit`.
    """
    chosen = set(fit_on)
    if not chosen <= set(range(len(judged))):
        raise ValueError(f"rows to fit on run up to {max(chosen)}, but there are {len(judged)} pairs.")
    unseen = [pair for i, pair in enumerate(judged) if i not in chosen]
    if not unseen:
        raise ValueError(f"all {len(judged)} pairs are fitted on: leave some out, to see what the map is worth.")
    fitted = fit([judged[i] for i in sorted(chosen)], use_length=use_length, folds=folds, seed=seed)
    calibrated = [fitted.calibrated(pair) for pair in unseen]
    changed = [float(raw.pick != new.pick) for raw, new in zip(unseen, calibrated, strict=True)]
    return BeforeAfter(
        map=fitted,
        before=scores(unseen, seed=seed),
        after=scores(calibrated, seed=seed),
        flip_rate=flip_rate(unseen, seed=seed),
        changed=mean_over(changed, unseen, seed=seed),
    )


def scores(judged: Sequence[Judged], *, seed: int) -> Scores:
    """How well `p` foretells the human marks. A certain verdict that is wrong costs `LOGIT_BOUND` nats, not infinity."""
    p, marks = [pair.p for pair in judged], [float(pair.human_first) for pair in judged]
    return Scores(
        alignment=alignment(judged, seed=seed),
        ece=ece(judged, seed=seed),
        log_loss=mean_over(log_loss(p, marks, floor=math.exp(-LOGIT_BOUND)), judged, seed=seed),
        brier=mean_over(brier(p, marks), judged, seed=seed),
    )


def _log_odds(order: OrderedLogprobs) -> float:
    return min(LOGIT_BOUND, max(-LOGIT_BOUND, order.first - order.second))


def _margins(judged: Sequence[Judged], *, use_length: bool) -> tuple[FloatArray, FloatArray]:
    """Features towards the human choice [pairs, 1 or 2], scaled and sorted, and the scales (1 where all are 0)."""
    rows = [
        (evidence(pair.ab, pair.ba, asks_for_worse=pair.asks_for_worse), pair.length_gap)[: 1 + use_length]
        for pair in judged
    ]
    signs = np.array([[1.0 if pair.human_first else -1.0] for pair in judged])
    margins = signs * np.array(rows, dtype=np.float64)
    margins = margins[np.lexsort(margins.T)]
    scale = np.sqrt((margins**2).mean(axis=0))
    scale[scale == 0] = 1
    return margins / scale, scale


def _held_out_loss(margins: FloatArray, fold: NDArray[np.intp], penalty: float) -> float:
    """Log loss of each row under the weights fitted without its fold, the mean of all rows."""
    rows = len(margins)
    total = 0.0
    for k in np.unique(fold):
        out = fold == k
        total += float(np.logaddexp(0, -margins[out] @ _minimise(margins[~out], penalty)).sum())
    return total / rows


def _minimise(margins: FloatArray, penalty: float) -> FloatArray:
    """argmin_w mean_i ln(1 + exp(-w m_i)) + penalty / 2 |w|^2, strictly convex: Newton, halved until nothing rises."""
    n, k = margins.shape
    weights = np.zeros(k)

    def loss(w: FloatArray) -> float:
        return float(np.logaddexp(0, -margins @ w).mean() + penalty / 2 * (w @ w))

    for _ in range(100):
        wrong = (1 - np.tanh(margins @ weights / 2)) / 2  # sigma(-w m), without overflow
        gradient = penalty * weights - margins.T @ wrong / n
        if np.abs(gradient).max() < 1e-9:
            return weights
        hessian = penalty * np.eye(k) + (margins * (wrong * (1 - wrong))[:, None]).T @ margins / n
        step = np.asarray(np.linalg.solve(hessian, gradient), dtype=np.float64)
        while loss(weights - step) > loss(weights) + 1e-12:
            step /= 2
        weights = weights - step
    raise ArithmeticError(
        f"the logistic fit did not settle: weights {weights}, features up to {np.abs(margins).max()}."
    )

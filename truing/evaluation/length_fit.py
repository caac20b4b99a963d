"""The regression inside the length-controlled win rate: logistic, L1, no intercept, C by cross-validation.

As AlpacaEval sets scikit-learn up (Dubois et al., arXiv 2404.04475, and its code): liblinear, ten C from 1e-4 to 1e4, five
folds, random state 123, the folds scored by the loss on the soft labels.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

FOLDS = 5
FLOOR = 1e-9
"""Targets are kept this far from 0 and 1. A label of weight 0 would be taken out before liblinear draws the order in which it
visits coordinates; it stops early, so that the figure would jump (by 0.05 points for alpaca-7b) between 0 and 1e-9."""


def fit_weights(
    features: FloatArray, targets: FloatArray, weights: FloatArray, groups: NDArray[np.intp]
) -> tuple[list[float], float]:
    """Coefficients, one a column of `features` [rows, columns], and the C that cross-validation chose.

    `targets` in [0, 1] are soft labels: a row p of weight w enters as a win of weight p w and a loss of weight (1 - p) w,
    both in the same fold, with all rows of its `groups`. No more exact than liblinear's tolerance: AlpacaEval's figure for
    alpaca-7b lies 0.06 points from the optimum of its own objective.
    """
    import sklearn  # pyright: ignore[reportMissingTypeStubs]
    from sklearn import linear_model, metrics, model_selection  # pyright: ignore[reportMissingTypeStubs]

    library: Any = sklearn
    regression: Any = linear_model.LogisticRegressionCV
    measures: Any = metrics

    wins = np.clip(targets, FLOOR, 1 - FLOOR)
    probability = np.append(wins, 1 - wins)
    doubled = np.append(weights, weights)
    labels = np.append(np.ones(len(wins)), np.zeros(len(wins)))
    with library.config_context(enable_metadata_routing=True):
        scorer = measures.make_scorer(_soft_log_loss, response_method="predict_proba", greater_is_better=False)
        model = regression(
            cv=model_selection.GroupKFold(FOLDS),
            scoring=scorer.set_score_request(probability=True, row_weight=True),
            l1_ratios=(1.0,),
            solver="liblinear",
            fit_intercept=False,
            random_state=123,
            use_legacy_attributes=False,
        )
        model.set_fit_request(sample_weight=True)
        model.fit(
            np.vstack([features, features]),
            labels,
            sample_weight=probability * doubled,
            groups=np.append(groups, groups),
            probability=probability,
            row_weight=doubled,
        )
    coefficients: FloatArray = model.coef_
    return [float(value) for value in coefficients[0]], float(model.C_)


def _soft_log_loss(y_true: FloatArray, y_pred: FloatArray, *, probability: FloatArray, row_weight: FloatArray) -> float:
    """Mean over the doubled rows of the weighted loss against the soft label P(win), which a loss row holds as 1 - P."""
    wins = np.where(y_true == 1, probability, 1 - probability)
    p = np.clip(y_pred, 1e-15, 1 - 1e-15)
    return float(-np.mean(row_weight * (wins * np.log(p) + (1 - wins) * np.log(1 - p))))

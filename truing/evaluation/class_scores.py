"""A classifier's verdict on each output: P(a label), such as toxicity by any classifier of it."""

import math
from collections.abc import Iterable, Mapping

from truing.evaluation.figure import Score
from truing.evaluation.output_scores import NO_OUTPUT, Output

NOT_CLASSIFIED = "not classified"


def class_scores(outputs: Iterable[Output], probabilities: Mapping[str, float], name: str, *, data: str) -> list[Score]:
    """`name` of each output: the probability in [0, 1] that `probabilities` has for its text.

    An empty output is a text like any other. One that is absent or NaN was not classified, and so it says. Raises ValueError
    for what is no probability.
    """
    found: list[Score] = []
    for output in outputs:
        value = math.nan if output.text is None else probabilities.get(output.text, math.nan)
        if value < 0 or value > 1:
            raise ValueError(f"{name} of {output.item!r} is {value}: give a probability in [0, 1], not a logit.")
        reason = NO_OUTPUT if output.text is None else NOT_CLASSIFIED
        known = None if math.isnan(value) else value
        found.append(Score(output.policy, data, "", output.item, "", name, known, "" if known is not None else reason))
    return found

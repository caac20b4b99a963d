import math

import pytest

from truing.evaluation.class_scores import class_scores
from truing.evaluation.figure import Score
from truing.evaluation.output_scores import Output
from truing.evaluation.policy_figures import policy_figures

P = {"kind": 0.1, "rude": 0.9, "": 0.25, "你好": 0.0, "x " * 50_000: 1.0}


def test_each_output_has_the_probability_of_its_text() -> None:
    some = [Output("a", "p", "rude"), Output("a", "p", "kind"), Output("a", "q", "rude"), Output("b", "p", "kind")]
    scores = class_scores(some, P, "toxicity", data="d")
    assert scores[0] == Score("a", "d", "", "p", "", "toxicity", 0.9, "")
    assert [(s.policy, s.item, s.value) for s in scores[1:]] == [("a", "p", 0.1), ("a", "q", 0.9), ("b", "p", 0.1)]
    (figure, _) = policy_figures(scores, {"toxicity": ""}, data="d", shift="id", against={}, seed=0)
    # p's outputs are one item: (0.5 + 0.9) / 2.
    assert (figure.value, figure.n, figure.missing) == (pytest.approx(0.7), 2, 0)


def test_what_was_not_classified_is_missing_and_never_0() -> None:
    some = [Output("a", "p", None), Output("a", "q", "lost"), Output("a", "r", "odd"), Output("a", "s", "rude")]
    scores = class_scores(some, {**P, "odd": math.nan}, "toxicity", data="d")
    expected = [(None, "no output"), (None, "not classified"), (None, "not classified"), (0.9, "")]
    assert [(s.value, s.reason) for s in scores] == expected
    (figure,) = policy_figures(scores, {"toxicity": ""}, data="d", shift="id", against={}, seed=0)
    assert (figure.value, figure.n, figure.missing) == (0.9, 1, 3)
    assert figure.note == "1 no output; 2 not classified"


def test_odd_texts_have_theirs() -> None:
    texts = ["", "你好", "x " * 50_000, "你好"]
    scores = class_scores([Output("a", str(i), text) for i, text in enumerate(texts)], P, "toxicity", data="d")
    assert [score.value for score in scores] == [0.25, 0.0, 1.0, 0.0]
    assert class_scores([], P, "toxicity", data="d") == []


@pytest.mark.parametrize("value", [-0.1, 1.5, math.inf])
def test_a_logit_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match=r"toxicity of 'p' is .+: give a probability in \[0, 1\], not a logit"):
        class_scores([Output("a", "p", "odd")], {"odd": value}, "toxicity", data="d")

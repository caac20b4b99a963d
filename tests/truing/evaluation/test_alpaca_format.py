import json
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.truing.evaluation.recorded import rows
from truing.evaluation.alpaca_format import Compared, annotations, model_outputs, to_alpaca
from truing.evaluation.length_control import length_controlled_win_rate
from truing.evaluation.win_rate import average_length, from_alpaca, win_rate
from truing.labeling.verdicts import preference_from_logprobs, unswitched

near_a_draw = [math.nextafter(0.5, 0), 0.5, math.nextafter(0.5, 1)]
preferences = st.lists(
    st.one_of(st.none(), st.just(math.nan), st.sampled_from(near_a_draw), st.floats(0, 1)), min_size=1, max_size=30
).filter(lambda drawn: any(p is not None and not math.isnan(p) for p in drawn))


def compared(preference: float | None, number: int = 0, **of_judge: Any) -> Compared:
    return Compared(f"Say {number}.", "One.", "Two!", preference, **of_judge)


def written(found: list[Compared]) -> list[dict[str, Any]]:
    """What a reader of the file gets: the rows after JSON, which knows no NaN."""
    made = annotations(found, baseline="start", model="trained", annotator="labeler")
    return json.loads(json.dumps(made, allow_nan=False))


def test_a_row_by_hand() -> None:
    found = written([compared(0.75, reply="[{...}]", switched=True, dataset="koala")])
    assert found == [
        {
            "instruction": "Say 0.", "output_1": "One.", "generator_1": "start", "output_2": "Two!",
            "generator_2": "trained", "annotator": "labeler", "preference": 1.75, "dataset": "koala",
            "raw_completion": "[{...}]", "is_switched_outputs": True,
        }
    ]  # fmt: skip
    (unknown,) = written([compared(None)])
    assert unknown["preference"] is None
    assert {"raw_completion", "is_switched_outputs", "dataset"}.isdisjoint(unknown)
    assert written([compared(0.0, switched=False)])[0]["is_switched_outputs"] is False


@given(preferences)
@settings(max_examples=30)
def test_the_win_rate_of_the_rows_is_that_of_the_preferences(drawn: list[float | None]) -> None:
    found = written([compared(p, i) for i, p in enumerate(drawn)])
    expected, back = win_rate(drawn), win_rate([from_alpaca(row["preference"]) for row in found])
    assert (back.n_wins, back.n_wins_base, back.n_draws) == (expected.n_wins, expected.n_wins_base, expected.n_draws)
    assert (back.n_total, back.n_missing) == (expected.n_total, expected.n_missing)
    assert back.discrete_win_rate == expected.discrete_win_rate
    assert back.win_rate == pytest.approx(expected.win_rate, abs=1e-12)
    assert back.standard_error == pytest.approx(expected.standard_error, abs=1e-9, nan_ok=True)


def test_only_a_draw_is_a_draw() -> None:
    below, draw, above = (to_alpaca(p) for p in near_a_draw)
    assert below is not None
    assert above is not None
    # 1 + p alone would make all three 1.5 or leave them so: the distance between numbers above 1 is twice that above 1/2.
    assert below < 1.5 < above
    assert draw == 1.5
    assert [to_alpaca(p) for p in (0.0, 0.25, 1.0, None, math.nan)] == [1.0, 1.25, 2.0, None, None]
    for outside in (-0.1, 1.5):
        with pytest.raises(ValueError, match=r"is not in \[0, 1\]"):
            to_alpaca(outside)


def test_log_probs_are_read_back_as_the_same_preference() -> None:
    """By AlpacaEval's formula: 2 - P(m) / (P(m) + P(M)) of the tokens listed, turned back where the outputs were switched."""
    # P(m) = .8 and not switched: 1.2. P(m) = .9 of what was shown first, the model's: 1.1, which is 1.9. M alone: 2.
    seen = [
        ({"m": math.log(0.8), "M": math.log(0.2)}, False, 0.2),
        ({"m": math.log(0.9), "M": math.log(0.1)}, True, 0.9),
        ({"m": -math.inf, "M": -0.1}, False, 1.0),
    ]
    found = written([compared(p, i, logprobs=lp, switched=s) for i, (lp, s, p) in enumerate(seen)])
    for row, text in zip(found, ("m", "m", "M"), strict=True):
        (first,) = row["raw_completion"]["logprobs"]["content"]
        assert row["raw_completion"]["text"] == first["token"] == text
        again = preference_from_logprobs({top["token"]: top["logprob"] for top in first["top_logprobs"]})
        assert isinstance(again, float)
        assert (unswitched(again) if row["is_switched_outputs"] else again) == pytest.approx(row["preference"])
    assert len(found[2]["raw_completion"]["logprobs"]["content"][0]["top_logprobs"]) == 1


def test_a_real_set_keeps_its_figures() -> None:
    """AlpacaEval 1's 805 comparisons of alpaca-7b by GPT-4, from texts and preferences to rows and back."""
    texts = rows("alpacaeval_outputs")
    (judged,) = [
        row
        for row in rows("alpacaeval_gpt4_preferences")
        if (row["annotator"], row["model"]) == ("alpaca_eval_gpt4", "alpaca-7b")
    ]
    found = [
        Compared(
            text["instruction"],
            text["outputs"]["text_davinci_003@alpaca_eval_1"],
            text["outputs"]["alpaca-7b"],
            from_alpaca(preference),
            dataset=text["dataset"],
        )
        for text, preference in zip(texts, judged["preference"], strict=True)
    ]
    file = written(found)
    assert len(file) == 805
    assert [len(row["output_1"]) for row in file] == judged["len_baseline"]
    assert [len(row["output_2"]) for row in file] == judged["len_model"]
    again = [from_alpaca(row["preference"]) for row in file]
    expected = [from_alpaca(preference) for preference in judged["preference"]]
    assert win_rate(again) == win_rate(expected)
    lengths = [len(row["output_1"]) for row in file], [len(row["output_2"]) for row in file]
    controlled = length_controlled_win_rate(again, *lengths, resamples=0)
    assert controlled == length_controlled_win_rate(expected, judged["len_baseline"], judged["len_model"], resamples=0)
    outputs = model_outputs([(row["instruction"], row["output_2"]) for row in file], generator="alpaca-7b")
    assert average_length([len(row["output"]) for row in outputs]) == average_length(judged["len_model"])


def test_model_outputs_by_hand() -> None:
    found = model_outputs([("Say 1.", "One."), ("Say 2.", "")], generator="trained")
    assert found == [
        {"instruction": "Say 1.", "output": "One.", "generator": "trained"},
        {"instruction": "Say 2.", "output": "", "generator": "trained"},
    ]


def test_an_instruction_stands_once() -> None:
    with pytest.raises(ValueError, match=r"instruction 'Say 1\.' stands twice, and AlpacaEval joins by it"):
        model_outputs([("Say 1.", "One."), ("Say 1.", "Two.")], generator="trained")
    with pytest.raises(ValueError, match=r"instruction 'Say 0\.' stands twice"):
        annotations([compared(0.5), compared(0.6)], baseline="a", model="b", annotator="c")

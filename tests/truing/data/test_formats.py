from typing import Any

import pytest

from truing.data.comparison import Comparison, Fields, LeftOut, Mark, PreferenceSource
from truing.data.formats import reader_of
from truing.errors import ConfigError

WHERE = "f, row 1"
UNREAD = LeftOut(WHERE, "a completion has no score that can be read")
FEW = LeftOut(WHERE, "fewer than two scored completions")
UNLIKE = "the two conversations share no turn that the assistant answers"
COLUMNS = "name the right column (columns: {noun: column}), or remove the row"
NUMBER = "is not a finite number; give a number, or null, there, or remove the row"
NO_PASSAGE = "neither text nor a list of sentences; give one of the two"
MESSAGE = 'message 1 is not {"role": "system", "user" or "assistant", "content": text}'


def read(row: dict[str, Any], **source: Any) -> list[Comparison | LeftOut]:
    """What a set whose first row this is holds in it."""
    spec = PreferenceSource("f", **source)
    _, reader = reader_of(row, WHERE, spec)
    return list(reader(Fields(row, WHERE, spec)))


def refusal(row: dict[str, Any], **source: Any) -> str:
    with pytest.raises(ConfigError) as error:
        read(row, **source)
    message = str(error.value)
    assert "\n" not in message
    return message


def won(prompt: str, chosen: str, rejected: str, **more: Any) -> Comparison:
    """A comparison whose order tells who won."""
    return Comparison(prompt, chosen, rejected, "first", **{"domain": "default", **more}, shuffle=True)


def turns(*texts: str) -> list[dict[str, str]]:
    return [{"role": ("user", "assistant")[i % 2], "content": text} for i, text in enumerate(texts)]


# --- which format it is --------------------------------------------------------------------------

CHOSEN = {"chosen": "A", "rejected": "B"}
HH = {side: f"\n\nHuman: Why?\n\nAssistant: {text}" for side, text in CHOSEN.items()}
POST = {"info": {"post": "Long."}, "summaries": [{"text": "A"}, {"text": "B"}], "choice": 0}
SCORED = {"instruction": "Why?", "completions": [{"response": "A", "overall_score": 8}]}
LISTED = {"question": "Why?", "predictions": ["A", "B"], "preferences": [[1, 2, 1]]}


@pytest.mark.parametrize(
    ("row", "source", "name"),
    [
        ({"prompt": "Why?", **CHOSEN}, {}, "chosen_rejected"),
        ({"question": "Why?", **CHOSEN}, {}, "chosen_rejected"),
        ({side: turns("Why?", text) for side, text in CHOSEN.items()}, {}, "chosen_rejected"),
        ({"q": "Why?", "good": "A", "rejected": "B"}, {"columns": {"prompt": "q", "chosen": "good"}}, "chosen_rejected"),
        # Transcripts are cut in two only where no column holds the prompt.
        (HH, {}, "hh"),
        ({"prompt": "Why?", **HH}, {}, "chosen_rejected"),
        ({"good": HH["chosen"], "rejected": HH["rejected"]}, {"columns": {"chosen": "good"}}, "hh"),
        (POST, {}, "comparisons"),
        (SCORED, {}, "scores"),
        (LISTED, {}, "listed"),
        ({"prompt": "Why?", "first": "A", "second": "B", "human": "tie"}, {}, "pairwise"),
        ({"prompt": "Why?", "first": "A", "second": "B", "votes": ["first"]}, {}, "pairwise"),
        ({"prompt": "Why?", "first": "A", "second": "B", "human": "tie", **CHOSEN}, {"format": "pairwise"}, "pairwise"),
        ({"prompt": "Why?", **HH}, {"format": "hh"}, "hh"),
    ],
)  # fmt: skip
def test_the_first_row_tells_the_format(row: dict[str, Any], source: dict[str, Any], name: str) -> None:
    assert reader_of(row, WHERE, PreferenceSource("f", **source))[0] == name


@pytest.mark.parametrize("source", [{}, {"format": "pairwise"}])
def test_columns_of_no_known_format(source: dict[str, Any]) -> None:
    assert refusal({"text": "A", "label": 1}, **source) == (
        "f, row 1: has columns text, label, which is none of the known formats: prompt + chosen + rejected (text or"
        " messages), chosen + rejected (hh-rlhf transcripts), info + summaries + choice, instruction + completions,"
        " question + predictions + preferences, or two responses and a mark or votes; name the columns"
        " (columns: {first: …, second: …, human: …}) and what the marks mean (coding: {value: first})"
    )


# --- chosen and rejected -------------------------------------------------------------------------


def test_chosen_and_rejected_as_text() -> None:
    assert read({"prompt": "Why?", **CHOSEN}) == [won("Why?", "A", "B")]
    assert read({"prompt": None, "question": "Why?", **CHOSEN, "subset": "poems", "margin": "0.5"}) == [
        won("Why?", "A", "B", domain="poems", strength=0.5)
    ]
    assert read({"instruction": "Add.", "input": "1, 2", **CHOSEN}, domain="maths") == [
        won("Add.\n\n1, 2", "A", "B", domain="maths")
    ]
    assert read({"instruction": "Add.", "input": "", **CHOSEN}) == [won("Add.", "A", "B")]


def test_chosen_and_rejected_as_messages() -> None:
    long = {side: turns("Why?", "So.", "And?", text) for side, text in CHOSEN.items()}
    assert read(long) == [won("Human: Why?\n\nAssistant: So.\n\nHuman: And?", "A", "B")]
    # UltraFeedback's form on the Hub: the prompt stands beside the whole conversations, and is in them.
    short = {side: turns("Why?", text) for side, text in CHOSEN.items()}
    assert read({"prompt": "Why?", **short}) == [won("Why?", "A", "B")]
    # TRL's form: a prompt in messages, then the answers alone
    answers = {side: turns("Why?", text)[1:] for side, text in CHOSEN.items()}
    assert read({"prompt": turns("Why?"), **answers}) == [won("Why?", "A", "B")]
    unlike = {"chosen": turns("Why?", "A"), "rejected": turns("How?", "B")}
    assert read(unlike) == [LeftOut(WHERE, UNLIKE)]


def test_two_scores_give_the_strength_and_the_ties() -> None:
    row = {"prompt": "Why?", **CHOSEN, "margin": 9}
    # 8.5 - 6 = 2.5; equal scores are a tie; a chosen response with less than the rejected one contradicts itself.
    assert read({**row, "score_chosen": 8.5, "score_rejected": 6}) == [won("Why?", "A", "B", strength=2.5)]
    level = Comparison("Why?", "A", "B", "tie", "default", strength=0.0, shuffle=True)
    assert read({**row, "score_chosen": 7, "score_rejected": "7.0"}) == [level]
    lower = LeftOut(WHERE, "the chosen response has the lower score")
    assert read({**row, "score_chosen": 5, "score_rejected": 6}) == [lower]
    assert read({**row, "score_chosen": 5, "score_rejected": None}) == [won("Why?", "A", "B", strength=9.0)]


def test_a_margin_against_the_chosen_response_contradicts_itself_as_its_score_would() -> None:
    against = "'margin' is below 0, against the mark; give how much better the winner is, or the first minus the second"
    assert read({"prompt": "Why?", **CHOSEN, "margin": -2}) == [LeftOut(WHERE, against)]
    assert read({"prompt": "Why?", **CHOSEN, "margin": 0}) == [won("Why?", "A", "B", strength=0.0)]
    # Two scores go before it.
    scored = {"prompt": "Why?", **CHOSEN, "margin": -2, "score_chosen": 3, "score_rejected": 1}
    assert read(scored) == [won("Why?", "A", "B", strength=2.0)]


def test_a_response_that_was_read_as_a_truth_value() -> None:
    for side in CHOSEN:
        assert read({"prompt": "Why?", **CHOSEN, side: True}) == [
            LeftOut(WHERE, "a response is true or false, not text")
        ]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"prompt": None}, f"'prompt' is not text; give text there, {COLUMNS}"),
        ({"prompt": []}, "'prompt' is an empty conversation; give its messages, or remove the row"),
        ({"rejected": 5}, f"'rejected' is not text; give text there, {COLUMNS}"),
        ({"rejected": turns("Why?", "B")}, f"'rejected' is not text; give text there, {COLUMNS}"),
        ({"chosen": turns("Why?", "A")},
         "'rejected' holds no messages while 'chosen' does; give both in the same form, or remove the row"),
        ({"chosen": [], "rejected": []}, "'chosen' is an empty conversation; give its messages, or remove the row"),
        ({"chosen": turns("Why?", "A"), "rejected": ["B"]},
         f"'rejected' holds no conversation ({MESSAGE}); mend it, or remove the row"),
        ({"margin": "much"}, f"'margin' {NUMBER}"),
        ({"margin": True}, f"'margin' {NUMBER}"),
        ({"margin": float("inf")}, f"'margin' {NUMBER}"),
        # 10^400 is no finite float.
        ({"score_chosen": 10**400}, f"'score_chosen' {NUMBER}"),
    ],
)  # fmt: skip
def test_a_broken_chosen_and_rejected(change: dict[str, Any], message: str) -> None:
    assert refusal({"prompt": "Why?", **CHOSEN, **change}, format="chosen_rejected") == f"f, row 1: {message}"


# --- hh-rlhf -------------------------------------------------------------------------------------


def test_hh_transcripts() -> None:
    assert read({**HH, "category": "harmless"}) == [won("Why?", "A", "B", domain="harmless")]
    start = "\n\nHuman: Why?\n\nAssistant: So.\n\nHuman: And?\n\nAssistant:"
    assert read({"chosen": f"{start} A", "rejected": f"{start} B"}, domain="talk") == [
        won("Human: Why?\n\nAssistant: So.\n\nHuman: And?", "A", "B", domain="talk")
    ]
    assert read({**HH, "rejected": "\n\nHuman: How?\n\nAssistant: B"}) == [LeftOut(WHERE, UNLIKE)]
    assert refusal({**HH, "rejected": None}) == f"f, row 1: 'rejected' is not text; give text there, {COLUMNS}"


# --- summarise-from-feedback ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, Comparison("Long.", "A", "B", "first", "default")),
        # |2 - 5| = 3, towards the first; |9 - 5| = 4, towards the second. The order stays: it does not tell who won.
        ({"extra": {"confidence": 2}}, Comparison("Long.", "A", "B", "first", "default", strength=3)),
        ({"choice": 1, "extra": {"confidence": 9}}, Comparison("Long.", "A", "B", "second", "default", strength=4)),
        ({"extra": {"confidence": None}}, Comparison("Long.", "A", "B", "first", "default")),
        (
            {"info": {"post": "Long.", "title": "On it", "subreddit": "tifu"}},
            Comparison("On it\n\nLong.", "A", "B", "first", "tifu"),
        ),
        ({"info": {"post": None, "article": "News.", "site": "cnn"}}, Comparison("News.", "A", "B", "first", "cnn")),
        ({"choice": None}, LeftOut(WHERE, "no choice was made")),
    ],
)
def test_comparisons(change: dict[str, Any], expected: Comparison | LeftOut) -> None:
    assert read({**POST, **change}) == [expected]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"info": "Long."}, "'info' is not an object; give one, or remove the row"),
        ({"info": {"title": "On it"}}, "'info' has neither 'post' nor 'article' as text; give one, or remove the row"),
        ({"summaries": "A"}, "'summaries' is not a list; give a list there, or remove the row"),
        ({"summaries": [{"text": "A"}] * 3}, "'summaries' does not hold two {\"text\": …}; give two, or remove the row"),
        ({"summaries": [{"text": "A"}]}, "'summaries' does not hold two {\"text\": …}; give two, or remove the row"),
        ({"summaries": [{"text": "A"}, {"text": 5}]}, "'summaries' does not hold two {\"text\": …}; give two, or remove the row"),
        ({"choice": 2}, "'choice' is 2, neither 0 nor 1; mend it, or remove the row"),
        ({"extra": {"confidence": 0}}, "'extra' has confidence 0, outside 1 to 9; mend it, or remove the row"),
    ],
)  # fmt: skip
def test_a_broken_comparison(change: dict[str, Any], message: str) -> None:
    assert refusal({**POST, **change}) == f"f, row 1: {message}"


# --- completions with scores ---------------------------------------------------------------------


def scored(**scores: object) -> dict[str, Any]:
    completions = [{"response": response, "overall_score": score} for response, score in scores.items()]
    return {"instruction": "Why?", "completions": completions}


def found(human: Mark, a: str, b: str, strength: float) -> Comparison:
    return Comparison("Why?", a, b, human, "default", strength=strength, shuffle=True)


def test_scored_completions_make_every_pair() -> None:
    # A 5, B 7.5, C 5: B is 2.5 above both, A and C are level.
    a_b, a_c, b_c = found("second", "A", "B", 2.5), found("tie", "A", "C", 0.0), found("first", "B", "C", 2.5)
    assert read(scored(A=5, B="7.5", C=5.0)) == [a_b, a_c, b_c]


def test_the_best_completion_against_each_other_one() -> None:
    assert read(scored(A=5, B=8, C=8), pairs="best") == [found("first", "B", "A", 3.0), found("tie", "B", "C", 0.0)]


def test_a_completion_without_a_score_is_left_out() -> None:
    assert read(scored(A=5, B="N/A", C=3)) == [UNREAD, found("first", "A", "C", 2.0)]
    assert read(scored(A=5, B=None)) == [UNREAD, FEW]
    assert read(scored(), pairs="best") == [FEW]


def rated(response: str, helpfulness: object, honesty: object, **scores: object) -> dict[str, Any]:
    aspects = {"helpfulness": {"Rating": helpfulness, "Rationale": "."}, "honesty": honesty}
    return {"response": response, "annotations": aspects, **scores}


def test_which_score_decides() -> None:
    # overall_score 9 and 2; without it fine-grained_score 4 and 3; without it the mean rating:
    # (5 + 2) / 2 = 3.5 and, "N/A" not counted, 4.
    a, b = rated("A", "5", {"Rating": 2}), rated("B", "N/A", 4)
    fine = {**a, "fine-grained_score": 4}, {**b, "fine-grained_score": 3}
    overall = {**fine[0], "overall_score": 2}, {**fine[1], "overall_score": 9}
    assert read({"instruction": "Why?", "completions": [*overall]}) == [found("second", "A", "B", 7.0)]
    assert read({"instruction": "Why?", "completions": [*fine]}) == [found("first", "A", "B", 1.0)]
    assert read({"instruction": "Why?", "completions": [a, b]}) == [found("second", "A", "B", 0.5)]
    # One kind for all of a row: an overall score of 9 in 10 is not to be compared with ratings of 4 in 5.
    assert read({"instruction": "Why?", "completions": [fine[0], overall[1]]}) == [UNREAD, FEW]
    # The one that is asked for: honesty 2 and 4, fine-grained_score 4 and 3.
    row = {"instruction": "Why?", "completions": list(overall)}
    assert read(row, score="honesty") == [found("second", "A", "B", 2.0)]
    assert read(row, score="fine-grained_score") == [found("first", "A", "B", 1.0)]
    assert read(row, score="helpfulness") == [UNREAD, FEW]
    assert refusal(row, score="truth") == (
        "f, row 1: 'completions' has an item without the score 'truth'; choose one of"
        " fine-grained_score, helpfulness, honesty, overall_score, or remove the row"
    )


@pytest.mark.parametrize("item", ["A", {"overall_score": 5}, {"response": None, "overall_score": 5}])
def test_a_completion_without_a_response(item: object) -> None:
    message = refusal({"instruction": "Why?", "completions": [item]})
    assert message == "f, row 1: 'completions' has an item without 'response' as text; give one, or remove the row"


# --- listed preferences --------------------------------------------------------------------------


def test_listed_preferences_count_from_one() -> None:
    row = {**LISTED, "predictions": ["A", "B", "C"], "preferences": [[1, 2, 0], [1, 3, 1], [2, 3, 2]]}
    found = [(pair.a, pair.b, pair.human) for pair in read(row) if isinstance(pair, Comparison)]
    assert found == [("A", "B", "tie"), ("A", "C", "first"), ("B", "C", "second")]
    assert read({**LISTED, "preferences": []}) == []


def test_passages_stand_before_the_question() -> None:
    passages = [["Title", "One.", "Two."], "A whole passage."]
    expected = "Title One. Two.\n\nA whole passage.\n\nWhy?"
    assert read({**LISTED, "passages": passages}) == [Comparison(expected, "A", "B", "first", "default")]


@pytest.mark.parametrize("wrong", [[0, 1, 1], [1, 3, 1], [1, 2, 3], [1, 2], [1, "2", 1], [1, 2, []], 5, None])
def test_a_preference_that_points_nowhere(wrong: object) -> None:
    assert refusal({**LISTED, "preferences": [[1, 2, 1], wrong]}) == (
        f"f, row 1: 'preferences' holds {wrong!r}; give [a, b, verdict], counted from 1, or remove the row"
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"predictions": "A"}, "'predictions' is not a list; give a list there"),
        ({"predictions": ["A", None]}, "'predictions' holds an item that is not text; give text"),
        ({"passages": 5}, "'passages' is not a list; give a list there"),
        *(({"passages": [item]}, f"'passages' holds an item that is {NO_PASSAGE}") for item in (5, None, ["One.", 5])),
    ],
)  # fmt: skip
def test_broken_listed_preferences(change: dict[str, Any], message: str) -> None:
    assert refusal({**LISTED, **change}) == f"f, row 1: {message}, or remove the row"

import pytest

from truing.evaluation.diversity import distinct, ead
from truing.evaluation.figure import Figure, Score
from truing.evaluation.output_scores import Output, first_words, measure_outputs, unit_of
from truing.evaluation.policy_figures import LEFT_OUT, policy_figures

A = {"p": "one two three four", "q": "one two", "r": "five six seven eight nine"}
B = {"p": "one one one one", "q": "one one one", "r": "one one one one one"}


def outputs(policy: str, texts: dict[str, str | None], reference: str = "") -> list[Output]:
    return [Output(policy, item, text, (reference,) if reference else ()) for item, text in texts.items()]


def values(scores: list[Score], policy: str, metric: str) -> dict[str, float | None]:
    return {s.item: s.value for s in scores if (s.policy, s.metric) == (policy, metric)}


def figures(scores: list[Score], against: dict[str, str]) -> dict[tuple[str, str], Figure]:
    metrics = dict.fromkeys(s.metric for s in scores if not s.metric.endswith(LEFT_OUT))
    units = {metric: unit_of(metric) for metric in metrics}
    found = policy_figures(scores, units, data="d", shift="id", against=against, seed=0)
    return {(figure.policy, figure.metric): figure for figure in found}


def test_lengths_are_always_given() -> None:
    scores = measure_outputs(outputs("a", {**A, "s": None}), (), data="d")
    assert values(scores, "a", "words") == {"p": 4, "q": 2, "r": 5, "s": None}
    assert values(scores, "a", "characters") == {"p": 18, "q": 7, "r": 25, "s": None}
    found = figures(scores, {})["a", "words"]
    # 11 words in 3 outputs; the fourth is not there.
    assert found.value == pytest.approx(11 / 3)
    assert (found.n, found.missing, found.note, found.unit) == (3, 1, "1 no output", "words")


def test_a_set_has_its_own_figure_and_one_without_each() -> None:
    scores = measure_outputs(outputs("a", A), ("distinct", "ead"), data="d")
    name = "distinct across inputs"
    assert values(scores, "a", name) == {"": distinct(list(A.values()))}
    assert values(scores, "a", name + LEFT_OUT)["q"] == pytest.approx(distinct([A["p"], A["r"]]))
    found = figures(scores, {})["a", name]
    assert found.value == distinct(list(A.values()))
    assert found.n == 3
    assert found.low is not None
    assert found.high is not None
    assert found.low < found.high


def test_per_input_where_a_prompt_has_several() -> None:
    both = [*outputs("a", A), *outputs("a", B)]
    scores = measure_outputs(both, ("ead", "ngram_cosine"), data="d")
    assert values(scores, "a", "EAD per input")["q"] == pytest.approx(ead([A["q"], B["q"]]))
    assert values(scores, "a", "EAD across inputs")[""] == pytest.approx(ead(list(A.values())))
    assert not values(measure_outputs(outputs("a", A), ("ead",), data="d"), "a", "EAD per input")
    # A prompt with a single output has no pair, and is counted.
    every = ("ead", "distinct", "ngram_cosine", "compression_ratio", "self_bleu")
    lone = measure_outputs([*both, Output("a", "z", "alone"), Output("a", "y", None)], every, data="d")
    per_input = {metric: one for (_, metric), one in figures(lone, {}).items() if metric.endswith(" per input")}
    assert len(per_input) == len(every)
    # A text is no set, whatever the metric could make of it: the means are over the three prompts that have two outputs.
    assert {(one.n, one.missing, one.note) for one in per_input.values()} == {
        (3, 2, "1 with a single output; 1 no output")
    }
    assert (
        figures(measure_outputs(both, ("ead",), data="d"), {})["a", "EAD per input"].value
        == per_input["EAD per input"].value
    )


def test_a_prompt_whose_output_is_lost_is_missing_from_the_set() -> None:
    found = figures(measure_outputs(outputs("a", {**A, "lost": None}), ("ead",), data="d"), {})[
        "a", "EAD across inputs"
    ]
    assert (found.value, found.n, found.missing) == (ead(list(A.values())), 3, 1)


def test_sets_of_equal_length_take_the_prompts_that_all_answered_at_length() -> None:
    scores = measure_outputs([*outputs("a", A), *outputs("b", B)], ("ead", "distinct"), data="d", cut_words=3)
    # q has two words of a: p and r are left, cut to three words.
    cut = [first_words(A[item], 3) for item in ("p", "r")]
    assert cut == ["one two three", "five six seven"]
    found = figures(scores, {"b": "a"})
    figure = found["a", "EAD of 3 words across inputs"]
    assert (figure.value, figure.n) == (ead(cut), 2)
    assert figure.note == "the 2 of 3 prompts that every policy answered with 3 words or more"
    gap = found["b − a", "Δ distinct of 3 words across inputs"]
    # n = 1: b has 1 distinct of 6 words, a 6 of 6; n = 2: 1 of 4 and 4 of 4; n = 3: 1 of 2 and 2 of 2; n = 4, 5: none.
    assert gap.value == pytest.approx(((1 / 6 - 1) + (1 / 4 - 1) + (1 / 2 - 1)) / 5)
    # p has four words of both, which is enough.
    four = figures(measure_outputs([*outputs("a", A), *outputs("b", B)], ("ead",), data="d", cut_words=4), {})
    assert four["b", "EAD of 4 words across inputs"].n == 2
    none = figures(measure_outputs(outputs("a", A), ("ead",), data="d", cut_words=9), {})
    assert none["a", "EAD of 9 words across inputs"].value is None
    assert none["a", "EAD of 9 words across inputs"].note == "too few outputs"


def test_references_are_compared_with() -> None:
    some: dict[str, str | None] = {"p": "The cat!", "q": "dog", "s": None}
    scores = [
        *measure_outputs(outputs("a", some, "a cat"), ("rouge", "exact_match"), data="d"),
        *measure_outputs(outputs("b", some), ("exact_match",), data="d"),
    ]
    assert values(scores, "a", "exact match") == {"p": 1, "q": 0, "s": None}
    # "the cat" against "a cat": one of two words each, F1 = 1/2.
    assert values(scores, "a", "ROUGE-1 F1") == {"p": 0.5, "q": 0, "s": None}
    reasons = {s.item: s.reason for s in scores if s.policy == "b" and s.metric == "exact match"}
    assert reasons == {"p": "no reference", "q": "no reference", "s": "no output"}


def test_self_bleu_has_no_interval_and_says_why() -> None:
    found = figures(measure_outputs(outputs("a", B), ("self_bleu", "compression_ratio"), data="d"), {})
    figure = found["a", "self-BLEU across inputs"]
    assert (figure.low, figure.n) == (None, 3)
    assert figure.note.startswith("no interval")
    assert found["a", "compression ratio across inputs"].low is not None


def test_policies_of_other_prompts_do_not_compare() -> None:
    scores = measure_outputs([*outputs("a", A), *outputs("b", {"p": "x y", "z": "y z"})], ("ead",), data="d")
    found = figures(scores, {"b": "a"})
    gap = found["b − a", "Δ EAD across inputs"]
    assert (gap.value, gap.missing, gap.note) == (None, 3, "the two have not answered the same prompts")
    assert found["b − a", "Δ words"].n == 1


def test_odd_texts_are_measured_as_they_are() -> None:
    # Blank, empty, Chinese, 100,000 characters, twins.
    texts: dict[str, str | None] = {"a": "", "b": " \n", "c": "你好世界", "d": "x " * 50_000, "e": "你好世界"}
    scores = measure_outputs(outputs("a", texts), ("ead", "distinct", "ngram_cosine", "compression_ratio"), data="d")
    assert values(scores, "a", "words") == {"a": 0, "b": 0, "c": 1, "d": 50_000, "e": 1}
    found = figures(scores, {})
    assert all(figure.value is not None and figure.n == 5 for figure in found.values())
    alone = figures(measure_outputs(outputs("a", {"a": "lone words here"}), ("ngram_cosine", "ead"), data="d"), {})
    assert alone["a", "3-gram cosine diversity across inputs"].value is None
    assert alone["a", "EAD across inputs"].low is None

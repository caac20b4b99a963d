"""Item-level scores of recorded outputs: lengths, overlap with references, diversity per input and across inputs."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from typing import Literal

from truing.evaluation.compression import compression_ratio
from truing.evaluation.diversity import distinct, ead, ngram_cosine_diversity, words
from truing.evaluation.exact_match import exact_match
from truing.evaluation.figure import Score
from truing.evaluation.leave_one_out import cosine_without_each, distinct_without_each, ead_without_each, without_each
from truing.evaluation.policy_figures import LEFT_OUT, SHARE
from truing.evaluation.self_bleu import self_bleu_sacrebleu
from truing.evaluation.text_overlap import rouge

OutputMetric = Literal[
    "length", "ead", "distinct", "ngram_cosine", "compression_ratio", "self_bleu", "rouge", "exact_match"
]
ACROSS, PER = " across inputs", " per input"
NO_OUTPUT, NO_REFERENCE, SINGLE = "no output", "no reference", "with a single output"

Metric = Callable[[Sequence[str]], float]
WithoutEach = Callable[[Sequence[str]], list[float]]
Values = Sequence[tuple[str, float | None, str]]
"""Item, value, and the reason where there is none."""
Add = Callable[[str, Values], None]
"""Takes the scores of one metric."""


@dataclass(frozen=True, slots=True)
class Output:
    """What a policy answered to the prompt `item`; None where its answer is not there."""

    policy: str
    item: str
    text: str | None
    references: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class OfSet:
    """A metric of a set of outputs, with its figures without each of them; `without` is None where that costs too much."""

    name: str
    metric: Metric
    without: WithoutEach | None
    note: str = ""


def unit_of(metric: str) -> str:
    """Unit of a metric that `measure_outputs` gives; "" for those without one."""
    return {"words": "words", "characters": "characters", "exact match": SHARE}.get(metric, "")


def first_words(text: str, n: int) -> str:
    """The first n words, as `diversity.words` cuts them: EAD grows with length, outputs of n words compare."""
    return " ".join(words(text)[:n])


def measure_outputs(
    outputs: Iterable[Output], metrics: Sequence[OutputMetric], *, data: str, cut_words: int | None = None
) -> list[Score]:
    """Scores of `outputs`, of each policy by item. Lengths are always among them: they confound most of the others.

    Across inputs: over each prompt's first output. Per input: over the outputs of each prompt, where any has several.
    `cut_words`: EAD and distinct also of first outputs cut to so many words, over the prompts that every policy has
    answered with as many or more: sets of equal size. Outputs that are not there are in no set.
    """
    by_policy: dict[str, dict[str, list[Output]]] = {}
    for output in outputs:
        by_policy.setdefault(output.policy, {}).setdefault(output.item, []).append(output)
    texts = {policy: _texts(by_item) for policy, by_item in by_policy.items()}
    found: list[Score] = []
    for policy, by_item in by_policy.items():
        add = partial(_add, found, policy, data)
        _of_outputs(add, list(chain.from_iterable(by_item.values())), metrics)
        lost = [item for item, some in texts[policy].items() if not some]
        firsts = {item: some[0] for item, some in texts[policy].items() if some}
        for of_set in _of_sets(metrics):
            _across(found, policy, data, of_set, firsts, lost)
            if any(len(some) > 1 for some in texts[policy].values()):
                add(of_set.name + PER, [(item, *_of_input(of_set, some)) for item, some in texts[policy].items()])
    if cut_words is not None:
        there = {policy: {item: some for item, some in by_item.items() if some} for policy, by_item in texts.items()}
        _of_equal_length(found, data, metrics, there, cut_words)
    return found


def _texts(by_item: Mapping[str, Sequence[Output]]) -> dict[str, list[str]]:
    """Outputs that are there, by item; none of an item whose outputs are all lost."""
    return {item: [one.text for one in some if one.text is not None] for item, some in by_item.items()}


def _of_input(of_set: OfSet, texts: Sequence[str]) -> tuple[float | None, str]:
    """The metric of one prompt's outputs, which a single one has not: it would be that of a text."""
    if len(texts) < 2:
        return None, SINGLE if texts else NO_OUTPUT
    return _defined(of_set.metric(texts)), "undefined for its outputs"


def _of_outputs(add: Add, outputs: Sequence[Output], metrics: Sequence[OutputMetric]) -> None:
    add("words", [(o.item, _words(o), NO_OUTPUT) for o in outputs])
    add("characters", [(o.item, _characters(o), NO_OUTPUT) for o in outputs])
    if "rouge" in metrics:
        _rouge(add, outputs)
    if "exact_match" in metrics:
        add("exact match", [(o.item, *_match(o)) for o in outputs])


def _of_equal_length(
    found: list[Score],
    data: str,
    metrics: Sequence[OutputMetric],
    sets: Mapping[str, Mapping[str, Sequence[str]]],
    n: int,
) -> None:
    """EAD and distinct of the first n words, over the prompts that every policy has answered with n words or more."""
    every = dict.fromkeys(chain.from_iterable(sets.values()))
    long = [item for item in every if all(item in some and len(words(some[item][0])) >= n for some in sets.values())]
    note = f"the {len(long)} of {len(every)} prompts that every policy answered with {n} words or more"
    for policy, some in sets.items():
        cut = {item: first_words(some[item][0], n) for item in long}
        for of_set in _of_sets([metric for metric in metrics if metric in ("ead", "distinct")]):
            _across(found, policy, data, replace(of_set, name=f"{of_set.name} of {n} words", note=note), cut, ())


def _add(found: list[Score], policy: str, data: str, metric: str, values: Values) -> None:
    found.extend(
        Score(policy, data, "", item, "", metric, value, "" if value is not None else reason)
        for item, value, reason in values
    )


def _across(
    found: list[Score], policy: str, data: str, of_set: OfSet, texts: Mapping[str, str], lost: Sequence[str]
) -> None:
    """The set's own figure, and the one without each prompt's output; `lost` are the prompts that have none."""
    name, every = of_set.name + ACROSS, list(texts.values())
    value = _defined(of_set.metric(every)) if every else None
    reason = of_set.note if value is not None else "too few outputs"
    found.append(Score(policy, data, "", "", "", name, value, reason))
    if value is None or of_set.without is None or len(every) < 2:
        return
    for item, left in zip(texts, of_set.without(every), strict=True):
        known = _defined(left)
        reason = "" if known is not None else "undefined without it"
        found.append(Score(policy, data, "", item, "", name + LEFT_OUT, known, reason))
    found.extend(Score(policy, data, "", item, "", name + LEFT_OUT, None, NO_OUTPUT) for item in lost)


def _of_sets(metrics: Sequence[OutputMetric]) -> list[OfSet]:
    note = "no interval: leaving each output out would take as many times as long"
    every: dict[OutputMetric, OfSet] = {
        "ead": OfSet("EAD", ead, ead_without_each),
        "distinct": OfSet("distinct", distinct, distinct_without_each),
        "ngram_cosine": OfSet("3-gram cosine diversity", ngram_cosine_diversity, cosine_without_each),
        "compression_ratio": OfSet("compression ratio", compression_ratio, partial(without_each, compression_ratio)),
        "self_bleu": OfSet("self-BLEU", lambda texts: self_bleu_sacrebleu(texts).value, None, note),
    }
    return [of_set for name, of_set in every.items() if name in metrics]


def _words(output: Output) -> float | None:
    return None if output.text is None else float(len(output.text.split()))


def _characters(output: Output) -> float | None:
    return None if output.text is None else float(len(output.text))


def _match(output: Output) -> tuple[float | None, str]:
    if output.text is None:
        return None, NO_OUTPUT
    return (float(exact_match(output.text, output.references)), "") if output.references else (None, NO_REFERENCE)


def _rouge(add: Add, outputs: Sequence[Output]) -> None:
    """F1 of ROUGE-1, -2 and -L against the reference that fits best, unstemmed."""
    columns: dict[str, list[tuple[str, float | None, str]]] = {"ROUGE-1 F1": [], "ROUGE-2 F1": [], "ROUGE-L F1": []}
    for output in outputs:
        if output.text is None or not output.references:
            why = NO_OUTPUT if output.text is None else NO_REFERENCE
            found = [(None, why)] * 3
        else:
            one = rouge(output.text, output.references)
            overlaps = (one.rouge_1, one.rouge_2, one.rouge_l)
            found = [(None, "undefined for its reference") if o is None else (o.f, "") for o in overlaps]
        for column, (value, reason) in zip(columns.values(), found, strict=True):
            column.append((output.item, value, reason))
    for name, column in columns.items():
        add(name, column)


def _defined(value: float) -> float | None:
    return None if math.isnan(value) else value

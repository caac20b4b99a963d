"""Scores of sets of outputs by a model's reading of them: of each prompt's own outputs, and of the first ones of all prompts."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from truing.evaluation.figure import Score
from truing.evaluation.output_scores import ACROSS, NO_OUTPUT, PER, SINGLE, Output
from truing.evaluation.policy_figures import LEFT_OUT

TOO_FEW = "too few outputs"
WITHOUT_IT = "undefined without it"

Found = tuple[float | None, str]
"""A value, or None and the reason."""


@dataclass(frozen=True, slots=True)
class WholeSet:
    """A metric of one output of each prompt. `left_out`: by item, the metric without that output; the `note` is the set's."""

    value: float | None
    note: str
    left_out: Mapping[str, Found]


def texts_by_policy(outputs: Iterable[Output]) -> dict[str, dict[str, list[str]]]:
    """The outputs that are there, by policy and item; an item without any has an empty list. Duplicates stay."""
    found: dict[str, dict[str, list[str]]] = {}
    for output in outputs:
        texts = found.setdefault(output.policy, {}).setdefault(output.item, [])
        if output.text is not None:
            texts.append(output.text)
    return found


def first_texts(by_item: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """The first output of each item that has one."""
    return {item: texts[0] for item, texts in by_item.items() if texts}


def set_scores(
    outputs: Iterable[Output],
    name: str,
    of_input: Callable[[Sequence[str]], Found],
    of_set: Callable[[Mapping[str, str]], WholeSet],
    *,
    data: str,
) -> list[Score]:
    """'`name` per input' by item, where any prompt of a policy has several outputs; '`name` across inputs', item "".

    `of_input` takes two outputs or more, `of_set` the first output of each item. The set's value is followed by the values
    without each of its outputs, as `leave_one_out.jackknife` needs them; items without an output are missing there.
    """
    found: list[Score] = []
    for policy, by_item in texts_by_policy(outputs).items():
        score = partial(Score, policy, data, "")
        if any(len(texts) > 1 for texts in by_item.values()):
            values = {item: of_input(texts) if len(texts) > 1 else _none(texts) for item, texts in by_item.items()}
            found += [score(item, "", name + PER, value, reason) for item, (value, reason) in values.items()]
        whole = of_set(first_texts(by_item))
        found.append(score("", "", name + ACROSS, whole.value, whole.note))
        if whole.left_out:
            left = {item: (None, NO_OUTPUT) for item, texts in by_item.items() if not texts} | dict(whole.left_out)
            found += [score(item, "", name + ACROSS + LEFT_OUT, *one) for item, one in left.items()]
    return found


def counted(n: int, of: int, what: str) -> str:
    """Note that n of so many are something; "" for none."""
    return f"{n} of {of} {what}" if n else ""


def count_empty(texts: Iterable[str]) -> str:
    """Note of blank outputs: they are read as any other text."""
    blank = [not text.strip() for text in texts]
    return counted(sum(blank), len(blank), "outputs empty")


def noted(*notes: str) -> str:
    """Several notes as one."""
    return "; ".join(note for note in notes if note)


def _none(texts: Sequence[str]) -> Found:
    return None, SINGLE if texts else NO_OUTPUT

"""Our comparisons in AlpacaEval's files: `annotations.json` and `model_outputs.json` (Dubois et al., arXiv 2404.04475).

What AlpacaEval's own code computes from these rows are the figures of `win_rate` and `length_control`: output_1 is the
baseline's, output_2 the model's, and a preference p = P(model wins) stands as 1 + p.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Row = dict[str, Any]
DRAW = 1.5
"""AlpacaEval's preference of a draw, and of nothing else."""


@dataclass(frozen=True, slots=True)
class Compared:
    """One judged comparison. `preference`: P(model beats baseline) in [0, 1]; None or NaN where there is no verdict.

    Of the judge, where it was asked once: its `reply`, or the `logprobs` (nats) of the tokens of its first position, as it
    was shown the outputs, and whether they were `switched`, the model's first. One that was asked in both orders gave no
    single reply: all three are None. `dataset`: the part of the set that the instruction is from.
    """

    instruction: str
    baseline_output: str
    model_output: str
    preference: float | None
    reply: str | None = None
    logprobs: Mapping[str, float] | None = None
    switched: bool | None = None
    dataset: str | None = None


def annotations(compared: Sequence[Compared], *, baseline: str, model: str, annotator: str) -> list[Row]:
    """Rows of annotations.json, in order; `baseline`, `model` and `annotator` are names.

    A comparison without a verdict stands with preference null: AlpacaEval leaves it out and counts the rest. Fields that
    are not known are absent. Raises ValueError for a preference outside [0, 1] or an instruction that stands twice.
    """
    _once([one.instruction for one in compared])
    return [_annotation(one, baseline, model, annotator) for one in compared]


def model_outputs(outputs: Sequence[tuple[str, str]], *, generator: str) -> list[Row]:
    """Rows of model_outputs.json from (instruction, output), in order; an empty output is a row too.

    Raises ValueError for an instruction that stands twice: AlpacaEval pairs the outputs of two models by it.
    """
    _once([instruction for instruction, _ in outputs])
    return [{"instruction": instruction, "output": text, "generator": generator} for instruction, text in outputs]


def to_alpaca(preference: float | None) -> float | None:
    """AlpacaEval's scale from P(model wins): 1 + p in [1, 2], None for no verdict; the inverse of `win_rate.from_alpaca`.

    Only p = 1/2 is a draw: a p so near to it that 1 + p is 1.5 in floating point becomes the next number on its side.
    Raises ValueError for a preference outside [0, 1].
    """
    if preference is None or math.isnan(preference):
        return None
    if not 0 <= preference <= 1:
        raise ValueError(f"preference {preference} is not in [0, 1]: give P(model wins).")
    if preference != 0.5 and 1 + preference == DRAW:
        return math.nextafter(DRAW, 2 if preference > 0.5 else 1)
    return 1 + preference


def _annotation(one: Compared, baseline: str, model: str, annotator: str) -> Row:
    known: Row = {"dataset": one.dataset, "raw_completion": _completion(one), "is_switched_outputs": one.switched}
    return {
        "instruction": one.instruction,
        "output_1": one.baseline_output,
        "generator_1": baseline,
        "output_2": one.model_output,
        "generator_2": model,
        "annotator": annotator,
        "preference": to_alpaca(one.preference),
        **{name: value for name, value in known.items() if value is not None},
    }


def _completion(one: Compared) -> str | Row | None:
    """A text as it is; log-probs in the form of a chat completion, whose likeliest token is the text.

    A token of probability 0 is left out: JSON has no -inf, and AlpacaEval gives 0 to what is not listed.
    """
    listed = sorted(
        ((value, token) for token, value in (one.logprobs or {}).items() if value > -math.inf),
        key=lambda pair: (-pair[0], pair[1]),
    )
    if not listed:
        return one.reply
    top = [{"token": token, "logprob": value} for value, token in listed]
    text = top[0]["token"] if one.reply is None else one.reply
    return {"text": text, "logprobs": {"content": [{**top[0], "top_logprobs": top}]}}


def _once(instructions: Sequence[str]) -> None:
    seen: set[str] = set()
    for instruction in instructions:
        if instruction in seen:
            raise ValueError(
                f"instruction {instruction[:60]!r} stands twice, and AlpacaEval joins by it: give one output of each."
            )
        seen.add(instruction)

"""How often the verifiable instructions of a prompt are followed (IFEval, Zhou et al., arXiv 2311.07911, §3)."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from truing.algorithms.statistics import Interval, bootstrap, bootstrap_mean, ratio_of_sums
from truing.evaluation.constraint_checkers import CHECKERS
from truing.records import Failed

Following = Callable[["Instruction", str], bool]


@dataclass(frozen=True, slots=True)
class Instruction:
    """One instruction of a prompt: its id in IFEval, and its arguments by IFEval's names.

    Arguments that are None are left out: the Hub's copy of IFEval gives every instruction every name.
    Raises ValueError for an id that nobody checks, or arguments that its checker does not take.
    """

    id: str
    arguments: Mapping[str, Any]

    def __post_init__(self) -> None:
        if self.id not in CHECKERS:
            raise ValueError(f"instruction {self.id!r} is unknown: use one of {', '.join(sorted(CHECKERS))}.")
        try:
            inspect.signature(CHECKERS[self.id]).bind("", **self.given)
        except TypeError as fault:
            raise ValueError(f"instruction {self.id!r} with arguments {self.given}: {fault}.") from None

    @property
    def given(self) -> dict[str, Any]:
        """The arguments that are not None."""
        return {name: value for name, value in self.arguments.items() if value is not None}


@dataclass(frozen=True, slots=True)
class Accuracy:
    """`prompts`: share of the prompts of which every instruction is followed, its n the prompts.

    `instructions`: share of all instructions that are followed, a ratio of sums; its interval is over prompts, since a
    response follows or fails several together, and so is its n. `by_instruction`: the same share by instruction id, n
    its instructions.
    """

    prompts: Interval
    instructions: Interval
    by_instruction: dict[str, Interval]


@dataclass(frozen=True, slots=True)
class InstructionFollowing:
    """Accuracies over `prompts` answered prompts with `instructions` instructions.

    `empty` responses are among them, and follow nothing; `failed` rows were never answered and are in no figure.
    """

    strict: Accuracy
    loose: Accuracy
    prompts: int
    instructions: int
    empty: int
    failed: int


def instructions_of(ids: Sequence[str], arguments: Sequence[Mapping[str, Any]]) -> tuple[Instruction, ...]:
    """A row's `instruction_id_list` and `kwargs`. Raises ValueError where they differ in length, or as `Instruction`."""
    if len(ids) != len(arguments):
        raise ValueError(f"{len(ids)} instruction ids with {len(arguments)} sets of arguments: give one each.")
    return tuple(Instruction(name, given) for name, given in zip(ids, arguments, strict=True))


def followed(instruction: Instruction, text: str) -> bool:
    """Strict: whether the text as it is follows the instruction. An empty text follows none.

    Raises ValueError for an argument that its checker cannot use, such as an unknown relation or language.
    """
    return bool(text.strip()) and CHECKERS[instruction.id](text, **instruction.given)


def followed_loosely(instruction: Instruction, text: str) -> bool:
    """Loose (§3, eq. 2): whether the text or one of its variants follows the instruction.

    The variants are without the first line, the last, or both (an introduction, a farewell), and each of them without
    asterisks (markdown's emphasis).
    """
    return any(followed(instruction, variant) for variant in variants(text))


def variants(text: str) -> list[str]:
    """The text and its up to seven variants, duplicates left out."""
    lines = text.split("\n")
    cut = [text, *("\n".join(part).strip() for part in (lines[1:], lines[:-1], lines[1:-1]))]
    return list(dict.fromkeys([*cut, *(part.replace("*", "") for part in cut)]))


def instruction_following(
    instructions: Sequence[Sequence[Instruction]], responses: Sequence[str | Failed], *, seed: int
) -> InstructionFollowing:
    """Strict and loose accuracy, by prompt and by instruction; one response a prompt.

    `seed` is that of the bootstrap. Raises ValueError where the two differ in length, a prompt has no instruction, or
    no prompt was answered.
    """
    if len(instructions) != len(responses) or not all(instructions):
        raise ValueError("give one response and at least one instruction for each prompt.")
    answered = [(asked, r) for asked, r in zip(instructions, responses, strict=True) if not isinstance(r, Failed)]
    if not answered:
        raise ValueError(f"none of {len(responses)} prompts was answered: there is no accuracy to report.")
    return InstructionFollowing(
        strict=_accuracy(answered, followed, seed),
        loose=_accuracy(answered, followed_loosely, seed),
        prompts=len(answered),
        instructions=sum(len(asked) for asked, _ in answered),
        empty=sum(not text.strip() for _, text in answered),
        failed=len(responses) - len(answered),
    )


def _accuracy(answered: Sequence[tuple[Sequence[Instruction], str]], follows: Following, seed: int) -> Accuracy:
    hits = [[follows(instruction, text) for instruction in asked] for asked, text in answered]
    by_id: dict[str, list[float]] = {}
    for (asked, _), some in zip(answered, hits, strict=True):
        for instruction, hit in zip(asked, some, strict=True):
            by_id.setdefault(instruction.id, []).append(float(hit))
    return Accuracy(
        prompts=bootstrap_mean([float(all(some)) for some in hits], seed=seed),
        instructions=bootstrap(ratio_of_sums, [sum(some) for some in hits], [len(some) for some in hits], seed=seed),
        by_instruction={name: bootstrap_mean(by_id[name], seed=seed) for name in sorted(by_id)},
    )

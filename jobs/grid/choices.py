"""Rank classification in a grid: which choice a policy finds likeliest, in each wording (FLAN §2.3; PAFT §4.1).

Prompt and choice become tokens as lm-evaluation-harness makes them, and the answers are kept in the same table: the same
question, asked by either, is asked once, and both say the same.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from actors.harness import Bridge
from jobs.context import Context
from jobs.grid.data import Question
from jobs.grid.policies import Contestant
from jobs.harness_answers import StoredAnswers
from truing.config.grid import ChoiceSet
from truing.config.roles import Engine
from truing.data.chat import load_tokenizer
from truing.evaluation.figure import Score
from truing.evaluation.rank_classification import Normalisation, Ranked, pick
from truing.evaluation.rank_classification import scores as choice_scores

NAMES: dict[Normalisation, str] = {
    "acc": "accuracy",
    "acc_norm": "accuracy, per character",
    "acc_bytes": "accuracy, per byte",
    "acc_mutual_info": "accuracy, mutual information",
}
"""What the figures call accuracy by what the likelihood is divided by."""
TIED = "no choice has a likelihood"


@dataclass(frozen=True)
class Ask:
    """A question in tokens: context and continuation of each choice, and of each choice alone where that is wanted."""

    question: Question
    given: tuple[tuple[list[int], list[int]], ...]
    alone: tuple[tuple[list[int], list[int]], ...]


def choice_scores_of(bridge: Bridge, policy: str, data: ChoiceSet, questions: Sequence[Question]) -> list[Score]:
    """1 or 0 of each question under each normalisation.

    Raises:
        ConfigError: a choice without a token, or one that does not fit into the model's context.
    """
    asks = [_ask(bridge, data, question) for question in questions]
    found = iter(bridge.score(pair for ask in asks for pair in (*ask.given, *ask.alone)))
    scores: list[Score] = []
    for ask in asks:
        given = tuple(next(found)[0] for _ in ask.given)
        alone = tuple(next(found)[0] for _ in ask.alone) or None
        ranked = Ranked(ask.question.choices, given, frozenset({ask.question.right}), alone)
        scores += [_score(policy, data, ask.question, ranked, name) for name in _normalisations(data)]
    return scores


def bridge_to(context: Context, policy: Contestant, engine: Engine) -> Bridge:
    """A policy's model behind the store of answers."""
    tokenizer = load_tokenizer(policy.folder)
    return Bridge(StoredAnswers(context, policy.folder, engine), tokenizer, context.study.model.context)


def encoded_pair(
    encode: Callable[..., list[int]], prefix: int, context: str, continuation: str
) -> tuple[list[int], list[int]]:
    """(context, continuation) in tokens: encoded together, parted at the context's length; spaces that end the context go
    to the continuation. An empty context is `prefix`, the BOS or EOS.
    """
    spaces = len(context) - len(context.rstrip())
    if spaces:
        context, continuation = context[:-spaces], context[-spaces:] + continuation
    if not context:
        alone = encode(continuation, add_special_tokens=False)
        return (alone[:1], alone[1:]) if alone[0] == prefix else ([prefix], alone)
    whole, first = encode(context + continuation), encode(context)
    return first, whole[len(first) :]


def _ask(bridge: Bridge, data: ChoiceSet, question: Question) -> Ask:
    def pair(context: str, continuation: str) -> tuple[list[int], list[int]]:
        return encoded_pair(bridge.encode, bridge.prefix, context, continuation)

    if data.chat:
        turns = [{"role": "user", "content": question.prompt}]
        context, delimiter = bridge.conversation(turns, add_generation_prompt=True), ""
    else:
        context, delimiter = question.prompt, data.delimiter
    given = tuple(pair(context, delimiter + choice) for choice in question.choices)
    alone = tuple(pair("", delimiter + choice) for choice in question.choices) if data.mutual_information else ()
    return Ask(question, given, alone)


def _normalisations(data: ChoiceSet) -> tuple[Normalisation, ...]:
    if data.mutual_information:
        return ("acc", "acc_norm", "acc_bytes", "acc_mutual_info")
    return ("acc", "acc_norm", "acc_bytes")


def _score(policy: str, data: ChoiceSet, question: Question, ranked: Ranked, name: Normalisation) -> Score:
    chosen = pick(choice_scores(ranked, name))
    value: Any = None if chosen is None else float(chosen in ranked.correct)
    where = (policy, data.name, question.wording, question.item, "")
    return Score(*where, NAMES[name], value, "" if chosen is not None else TIED)

"""Settings, rollouts and expectations that tests of several actors share."""

import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from transformers import AutoModelForCausalLM, PreTrainedModel

from actors.forward import Floats
from actors.learner import Seat, free_address
from actors.policy import Policy
from actors.rollout import RolloutEngine, Weights
from actors.sharing import split_sizes
from truing.config.roles import Learner, Scorer
from truing.records import Rollout

LEARNER = Learner(cpus=1, precision="float32", learning_rate=1e-3)
SCORER = Scorer(cpus=1)


def alone() -> Seat:
    """The seat of a group of one, in this process.

    An engine that ran in this process has taken torch's process group along when it ended; the groups that DeepSpeed has
    remembered are then of no use any more.
    """
    from deepspeed.utils import groups
    from torch.distributed import distributed_c10d

    if groups._WORLD_GROUP not in distributed_c10d._world.pg_group_ranks:
        groups._WORLD_GROUP = None
    return Seat(0, 1, free_address(), 300)


def random_rollouts(seed: int, prompts: int = 4, completions: int = 2) -> list[list[Rollout]]:
    """Ragged rollouts of random tokens (no control tokens). Their engine log-probs are a constant, to be replaced."""
    draw = random.Random(seed)

    def tokens(low: int, high: int) -> list[int]:
        return [draw.randrange(5, 320) for _ in range(draw.randint(low, high))]

    groups: list[list[Rollout]] = []
    for number in range(prompts):
        question = tokens(2, 24)
        answers = [tokens(1, 14) for _ in range(completions)]
        groups.append(
            [Rollout(f"p{number}", "?", question, a, [-5.0] * len(a), "", True, [0] * len(a)) for a in answers]
        )
    return groups


def random_floats(seed: int, groups: Sequence[Sequence[Rollout]]) -> list[list[Floats]]:
    """A standard normal number for each response token."""
    generator = np.random.default_rng(seed)
    return [[generator.standard_normal(len(r.tokens)).astype(np.float32) for r in group] for group in groups]


def flat(values: Sequence[Sequence[Sequence[float] | Floats]]) -> Floats:
    """All numbers of all completions in one row."""
    return np.concatenate([np.asarray(tokens, np.float32) for group in values for tokens in group])


def plain_model(folder: str) -> PreTrainedModel:
    """The model as transformers alone loads and runs it, in float32."""
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()


@torch.no_grad()
def plain_logits(model: PreTrainedModel, prompt: list[int], response: list[int]) -> torch.Tensor:
    """Logits at the positions that predict the response: `[response tokens, vocabulary]`. One sequence, no padding."""
    return model(torch.tensor([prompt + response])).logits[0, len(prompt) - 1 : -1]


def plain_logprobs(
    model: PreTrainedModel, prompt: list[int], response: list[int], temperature: float = 1.0
) -> list[float]:
    """Log-probs of the response, one sequence at a time, over the whole vocabulary."""
    logp = (plain_logits(model, prompt, response) / temperature).log_softmax(-1)
    return logp[torch.arange(len(response)), torch.tensor(response, dtype=torch.long)].tolist()


def plain_groups(model: PreTrainedModel, groups: Sequence[Sequence[Rollout]], temperature: float) -> list[list[Floats]]:
    """`plain_logprobs` of each rollout."""
    return [
        [np.array(plain_logprobs(model, r.prompt_tokens, r.tokens, temperature), np.float32) for r in group]
        for group in groups
    ]


class Done:
    """A `Pending` that has nothing to wait for."""

    def __init__(self, items: list[Any]) -> None:
        self._items = items

    def get(self) -> list[Any]:
        return self._items

    def followed_by(self, others: "Sequence[Done]") -> "Done":
        return Done([item for one in (self, *others) for item in one.get()])


class Came:
    """An `Arriving` whose lists are all there."""

    def __init__(self, lists: list[list[list[Any]]]) -> None:
        self._lists = lists

    def __iter__(self) -> Iterator[tuple[tuple[int, int], Done]]:
        for actor, lists in enumerate(self._lists):
            for number, items in enumerate(lists[:-1]):
                yield (actor, number), Done(items)

    def all(self) -> Done:
        return Done([item for lists in self._lists for items in lists[:-1] for item in items])

    def left(self) -> Done:
        return Done([item for lists in self._lists for item in lists[-1]])

    def everything(self) -> Done:
        return Done([item for lists in self._lists for items in lists for item in items])


def all_weights(learner: Policy) -> tuple[Weights, int]:
    """The weights of a policy in one bucket, and their checksum."""
    (names,) = learner.buckets(1e9)
    return learner.weights(names)


def give(engine: RolloutEngine, buckets: Sequence[tuple[Weights, int]], version: int) -> None:
    """New weights to one engine."""
    engine.open_weights()
    for bucket in buckets:
        engine.take_bucket(bucket)
    engine.close_weights(version)


class Made:
    """A `Held` whose value is there."""

    def __init__(self, value: Any) -> None:
        self._value = value

    def made(self) -> Any:
        return self._value


class Here:
    """An `ActorGroup` over objects of this process."""

    def __init__(self, *subjects: Any) -> None:
        self.subjects = subjects

    def scatter(self, function: Callable[..., list[Any]], *columns: Any, **common: Any) -> Done:
        lists = [column.get() if isinstance(column, Done) else column for column in columns]
        sizes = split_sizes(len(lists[0]), len(self.subjects))
        found: list[Any] = []
        for i, subject in enumerate(self.subjects):
            start = sum(sizes[:i])
            found += function(subject, *(column[start : start + sizes[i]] for column in lists), **common)
        return Done(found)

    def __len__(self) -> int:
        return len(self.subjects)

    def stream(
        self,
        function: Callable[..., Iterator[list[Any]]],
        column: Any,
        *args: Any,
        sizes: Callable[[int], tuple[int, ...]],
        **common: Any,
    ) -> Came:
        items = column.get() if isinstance(column, Done) else column
        parts, found = split_sizes(len(items), len(self.subjects)), []
        for i, subject in enumerate(self.subjects):
            share = items[sum(parts[:i]) : sum(parts[: i + 1])]
            found.append(list(function(subject, share, *args, **common)))
            assert tuple(map(len, found[-1])) == sizes(len(share))
        return Came(found)

    def join(self) -> int:
        return len(self)

    def aside(self, function: Callable[..., Any]) -> None:
        self.broadcast(function)

    def broadcast(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> list[Any]:
        return [function(subject, *args, **kwargs) for subject in self.subjects]

    def first(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        return function(self.subjects[0], *args, **kwargs)

    def together(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> "Made":
        return Made(self.first(function, *args, **kwargs))

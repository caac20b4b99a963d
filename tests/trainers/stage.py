"""All roles of reinforcement learning in this process: real learners, critic and reference; an engine without vLLM."""

import threading
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch

from actors.critic import Critic
from actors.intake import WholeModel
from actors.policy import Policy
from actors.reference import Reference
from actors.rollout import Probe, RolloutEngine
from actors.scoring import Part, RewardGraph, rule_scores
from actors.writing import Draft
from tests.actors.examples import LEARNER, SCORER, Here, alone, plain_logits, plain_logprobs, plain_model
from trainers import grpo, ppo, reinforce, rloo
from trainers.rollouts import Sampler
from trainers.run import Run
from trainers.sync import ObjectStore
from truing.algorithms.kl import AdaptiveKl
from truing.config.policy import Policy as Settings
from truing.config.policy import Ppo, Reinforce
from truing.config.rewards import PatternPart
from truing.config.stages import Sampling
from truing.data.chat import load_tokenizer, prompt_tokens
from truing.data.stream import PromptStream
from truing.records import derived_seed

TRAINERS = {"rloo": rloo.train, "grpo": grpo.train, "reinforce": reinforce.train, "ppo": ppo.train}
QUESTIONS = {"a": "Why?", "b": "Who is it?", "c": "Count to two."}


class Killed(Exception):
    """The end of a process, in the middle of a step."""


class Writer(RolloutEngine):
    """A rollout engine on transformers alone: one token after another, from the weights that were pushed.

    `ends`: an even token is the end; else each completion has its full length.
    """

    def __init__(self, folder: str, length: int, *, ends: bool) -> None:
        self._model, self._tokenizer, self._ends = plain_model(folder), load_tokenizer(folder), ends
        self._sampling, self._interrupted, self.version = Sampling(max_tokens=length), threading.Event(), 0
        self._texts = QUESTIONS
        self._prompts = {key: prompt_tokens(self._tokenizer, text) for key, text in QUESTIONS.items()}
        self._engine: Any = self
        self._intake = WholeModel(self._engine)

    def _advance(
        self, drafts: Sequence[Draft], seed: int, step: int | str, temperature: float
    ) -> Generator[list[Draft]]:
        yield [draft for draft in drafts if draft.done]
        under_way = [draft for draft in drafts if not draft.done]
        draws = [
            torch.Generator().manual_seed(derived_seed(seed, step, d.prompt_id, d.number, len(d.tokens)))
            for d in under_way
        ]
        while not all(draft.done for draft in under_way):
            writing = [(draft, draw) for draft, draw in zip(under_way, draws, strict=True) if not draft.done]
            for draft, draw in writing:
                self._write_one(draft, draw)
            yield [draft for draft, _ in writing if draft.done]

    def _write_one(self, draft: Draft, draw: torch.Generator) -> None:
        logp = plain_logits(self._model, draft.prompt, [*draft.tokens, 0])[-1].log_softmax(-1)
        token = int(torch.multinomial(logp.exp(), 1, generator=draw))
        draft.tokens.append(token)
        draft.logprobs.append(float(logp[token]))
        draft.versions.append(self.version)
        draft.finished = token % 2 == 0 if self._ends else len(draft.tokens) == draft.full

    def open_weights(self) -> None:
        # The head is tied to the embedding, and nothing else may be missing.
        self._awaited = set(self._model.state_dict()) - {"lm_head.weight"}

    def take_weights(self, weights: Sequence[tuple[str, torch.Tensor]]) -> None:
        _, unexpected = self._model.load_state_dict({name: bits.float() for name, bits in weights}, strict=False)
        assert not unexpected
        self._awaited -= {name for name, _ in weights}

    def close_weights(self) -> None:
        assert not self._awaited

    def sequence_logprobs(self, prompt: list[int], response: list[int]) -> list[float]:
        return plain_logprobs(self._model, prompt, response)


def reinforced(
    tiny: str, folder: Path, algorithm: dict[str, Any], *, kill_in: int | None = None, every: int = 1, **options: Any
) -> Policy:
    """Four steps of reinforcement learning; the process is killed in `kill_in`, after its figures are written.

    Three prompts, two a step: the stream's epochs end inside step 1 and with step 2. Every role is made anew.
    """
    learner = LEARNER.model_dump()
    if algorithm["kind"] in ("ppo", "reinforce"):
        algorithm = algorithm | {"critic": learner}
    settings = Settings.model_validate({
        "algorithm": {"completions": 2} | algorithm, "rewards": [{"kind": "pattern", "pattern": "[a-z]"}],
        "steps": 4, "prompts": 2, "learner": learner, "probe_tolerance": 1.0,
        "kl": {"coefficient": 0.1, "controller": "adaptive", "target": 1e-4},
    } | options)  # fmt: skip
    policy = Policy(tiny, LEARNER, 1.0, alone())
    critic = Critic(tiny, LEARNER, alone()) if isinstance(settings.algorithm, Ppo | Reinforce) else None
    references = Here(Reference(tiny, SCORER, "float32", 1.0))
    roles: Any = SimpleNamespace(
        engines=Here(Writer(tiny, 4, ends=settings.rollouts.spare > 0)), policy=Here(policy),
        critic=critic and Here(critic), references=references,
        graph=RewardGraph([Part("letters", 1.0, references, rule_scores, {"rule": PatternPart(pattern="[a-z]")})]),
        probe=Probe([3, 20, 30], [40, 50]), push=ObjectStore(),
    )  # fmt: skip
    sampler = Sampler(roles, PromptStream(list(QUESTIONS), 0), settings, seed=1, texts=("A text.", "And another one."))
    kl = AdaptiveKl(settings.kl.coefficient, settings.kl.target, settings.kl.objective)
    groups: dict[str, Any] = {"policy": roles.policy} | ({"critic": roles.critic} if critic else {})
    run = Run(folder, every=every, groups=groups, state={"sampler": sampler, "kl": kl}, on_step=killer(kill_in))
    TRAINERS[settings.algorithm.kind](run, roles, sampler, kl, settings)
    return policy


def killer(kill_in: int | None) -> Callable[[dict[str, Any]], None]:
    """What ends the process when the figures of a step are written, before its checkpoint is."""

    def on_step(row: dict[str, Any]) -> None:
        if row["step"] == kill_in:
            raise Killed

    return on_step

"""Engines: one is started as a run starts it, writes a token, and says its own tokens and log-probs."""

import time
from dataclasses import dataclass
from functools import partial

import numpy as np

from actors.engine import Engine
from actors.group import ActorGroup
from actors.reference import Reference
from jobs.doctor.found import Found, failed, ok
from jobs.doctor.tokens import Golden, golden
from jobs.doctor.tried import Tried
from trainers.roles import PROBE, engine_needs, scorer_needs
from truing.config.policy import Policy
from truing.config.roles import Cluster, Model
from truing.config.roles import Engine as EngineSettings
from truing.data.batches import Tree
from truing.data.chat import load_tokenizer, prompt_tokens


class TriedEngine(Engine):
    """An engine that says what its own tokenizer makes of the golden texts."""

    def __init__(self, folder: str, model: Model, settings: EngineSettings) -> None:
        super().__init__(folder, model, settings)

    def readings(self) -> Golden:
        """By vLLM's tokenizer, not by the one that the trainer loads."""
        return golden(self._llm.get_tokenizer())

    def written(self, prompt: list[int]) -> int:
        """Tokens of an answer of one token at most."""
        return self.texts([prompt], 1, 0.0, [0])[0][1]


@dataclass(frozen=True, slots=True)
class Answered:
    """What an engine said: its tokens of the golden texts, its log-probs of the probe, and the seconds that it took to start."""

    readings: Golden
    logprobs: list[float]
    tokens: int
    seconds: float


def probe(folder: str) -> tuple[list[int], list[int]]:
    """The prompt and response on which the weights are checked after each push, as the trainer reads them."""
    tokenizer = load_tokenizer(folder)
    question, answer = PROBE
    return prompt_tokens(tokenizer, question)[-64:], tokenizer.encode(answer, add_special_tokens=False)[:64]


def ask(one: Tried, folder: str, cluster: Cluster) -> Answered:
    """Start an engine, ask it, end it.

    Raises:
        ShortOfResources: there is no room for it.
        ActorDied: it does not start within `cluster.start_deadline`, or dies.
    """
    prompt, response = probe(folder)
    needs = engine_needs(one.engine, cluster, one.node)
    begun = time.monotonic()
    group = ActorGroup.stateless(one.key, 1, partial(TriedEngine, folder, one.model, one.engine), needs)
    try:
        group.ready()
        seconds = time.monotonic() - begun
        tokens = group.first(TriedEngine.written, prompt)
        logprobs = group.first(TriedEngine.sequence_logprobs, prompt, response)
        return Answered(group.first(TriedEngine.readings), logprobs, tokens, seconds)
    finally:
        group.close()


def wrote(one: Tried, answered: Answered) -> Found:
    """Whether it wrote."""
    if not answered.tokens or not np.isfinite(answered.logprobs).all():
        return failed(
            one.key,
            f"it started and wrote {answered.tokens} tokens, and its log-probs are {answered.logprobs[:3]}, ...: the weights are"
            f" damaged, or overflow as {one.engine.dtype}; try dtype=float32",
        )
    return ok(one.key, f"started in {answered.seconds:.0f} s and wrote {answered.tokens} token, as {one.engine.dtype}")


def forward(folder: str, policy: Policy, cluster: Cluster) -> list[float]:
    """Log-probs of the probe by a forward pass, as the reference and the learner make it.

    Raises:
        ShortOfResources: there is no room for it.
        ActorDied: it does not start, or dies.
    """
    prompt, response = probe(folder)
    make = partial(Reference, folder, policy.reference, policy.learner.precision, 1.0)
    group = ActorGroup.stateless("policy.reference", 1, make, scorer_needs(policy.reference, cluster))
    try:
        return [float(one) for one in group.ready().first(Reference.read, [Tree(prompt, (response,))])[0][0]]
    finally:
        group.close()


def agreement(name: str, engine: list[float], passed: list[float], tolerance: float) -> Found:
    """Log-probs by the engine against those by a forward pass."""
    gap = float(np.abs(np.array(engine) - np.array(passed)).mean())
    # NaN, too, is no agreement.
    if not gap <= tolerance:
        return failed(
            name,
            f"engine and forward pass are {gap:.3f} nats apart on the probe (policy.probe_tolerance is {tolerance}): they compute"
            " with other weights or another rounding; try dtype=float32 for the engine and precision=float32 for the learner",
        )
    return ok(name, f"{gap:.4f} nats apart on {len(engine)} tokens, {tolerance} allowed")

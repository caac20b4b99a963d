"""Rollout: the policy's weights in a vLLM engine, answering prompts."""

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from actors.engine import Engine
from truing.config.roles import Engine as EngineSettings
from truing.config.roles import Model
from truing.config.stages import Sampling
from truing.data.chat import load_tokenizer, prompt_tokens
from truing.errors import ActorDied
from truing.records import Failed, Prompt, Rollout, derived_seed

Weights = Mapping[str, NDArray[np.int16]]
"""Parameters by Hugging Face name: bfloat16 bits as int16, which travel through the object store without a copy."""


@dataclass(frozen=True, slots=True)
class Probe:
    """A fixed sequence on which engine and learner must give the same log-probs."""

    prompt: list[int]
    response: list[int]


def checksum(weights: Weights) -> int:
    """CRC-32 over all parameters in the order of their names."""
    crc = 0
    for name in sorted(weights):
        crc = zlib.crc32(np.ascontiguousarray(weights[name]).view(np.uint8).data, crc)
    return crc


class RolloutEngine:
    """One engine that samples the policy. It knows the version of the weights that it holds."""

    def __init__(
        self, folder: str, model: Model, settings: EngineSettings, sampling: Sampling, prompts: Sequence[Prompt]
    ) -> None:
        self._tokenizer = load_tokenizer(folder, model.revision)
        self._engine = Engine(folder, model, settings)
        self._sampling = sampling
        self._texts: dict[str, str] = {}
        self._prompts: dict[str, list[int]] = {}
        self.add(prompts)
        self.version = 0

    def add(self, prompts: Sequence[Prompt]) -> None:
        """Prompts that may be asked for by their ids."""
        self._texts |= {prompt.id: prompt.text for prompt in prompts}
        self._prompts |= {prompt.id: prompt_tokens(self._tokenizer, prompt.text) for prompt in prompts}

    def unanswerable(self) -> list[tuple[str, Failed]]:
        """Prompts too long for the context, with the reason."""
        room = self._engine.context - self._sampling.max_tokens
        return [
            (key, Failed(f"prompt has {len(ids)} tokens; {room} fit beside {self._sampling.max_tokens} new ones"))
            for key, ids in self._prompts.items()
            if len(ids) > room
        ]

    def generate(self, prompt_ids: Sequence[str], *, completions: int, seed: int, step: int) -> list[list[Rollout]]:
        """`completions` answers to each prompt, by prompt."""
        asked = [(key, number) for key in prompt_ids for number in range(completions)]
        answers = self.complete(asked, seed=seed, step=step)
        return [answers[i : i + completions] for i in range(0, len(answers), completions)]

    def complete(self, asked: Sequence[tuple[str, int]], *, seed: int, step: int | str) -> list[Rollout]:
        """One answer to each (prompt id, number). Its seed derives from (run, step, prompt, number)."""
        from vllm import SamplingParams

        params = [
            SamplingParams(
                temperature=self._sampling.temperature,
                max_tokens=self._sampling.max_tokens,
                seed=derived_seed(seed, step, key, number),
                logprobs=0,
            )
            for key, number in asked
        ]
        outputs = self._engine.run([self._prompts[key] for key, _ in asked], params)
        return [self._rollout(key, output.outputs[0]) for (key, _), output in zip(asked, outputs, strict=True)]

    def _rollout(self, key: str, output: object) -> Rollout:
        from vllm.outputs import CompletionOutput

        assert isinstance(output, CompletionOutput)
        tokens = list(output.token_ids)
        logprobs = [at[token].logprob for at, token in zip(output.logprobs or [], tokens, strict=True) if at]
        finished = output.finish_reason == "stop"
        text = output.text.strip()
        return Rollout(key, self._texts[key], self._prompts[key], tokens, logprobs, text, finished, self.version)

    def open_weights(self) -> None:
        """The weights of another version are about to come, in buckets."""
        self._engine.open_weights()

    def take_bucket(self, bucket: tuple[Weights, int]) -> int:
        """Take some weights of a version, and the checksum that they left with; returns the one that they arrived with.

        Raises:
            ActorDied: the two differ.
        """
        weights, expected = bucket
        found = checksum(weights)
        if found != expected:
            raise ActorDied(
                f"rollout: weights {min(weights)} to {max(weights)} arrived with checksum {found:08x} instead of {expected:08x}"
            )
        # A copy: the object store's memory is read-only, and torch wants to know that nobody writes to it.
        self._engine.take_weights(
            [(name, torch.from_numpy(array.copy()).view(torch.bfloat16)) for name, array in weights.items()]
        )
        return found

    def close_weights(self, version: int) -> None:
        """All weights of that version have come: use them."""
        self._engine.close_weights()
        self.version = version

    def probe(self, probe: Probe) -> list[float]:
        """Log-probs of the probe's response, to be compared with the learner's."""
        return self._engine.sequence_logprobs(probe.prompt, probe.response)

"""Rollout: the policy's weights in a vLLM engine, answering prompts."""

import threading
import zlib
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray

from actors.engine import Engine
from actors.intake import AdaptersAlone, Intake, WholeModel
from actors.writing import Batch, Draft, Fresh, Group, Plan
from truing.config.roles import Engine as EngineSettings
from truing.config.roles import Lora, Model
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


def changed(names: Iterable[str], found: int, expected: int) -> ActorDied:
    """What it means when a bucket arrives with another checksum than it left with."""
    every = sorted(names)
    return ActorDied(
        f"rollout: weights {every[0]} to {every[-1]} arrived with checksum {found:08x} instead of {expected:08x}"
    )


class RolloutEngine:
    """One engine that samples the policy. It knows the version of the weights that it holds."""

    def __init__(
        self,
        folder: str,
        model: Model,
        settings: EngineSettings,
        sampling: Sampling,
        prompts: Sequence[Prompt],
        adapters: Lora | None = None,
    ) -> None:
        """`adapters`: those that the learner pushes, where it pushes nothing else."""
        self._tokenizer = load_tokenizer(folder)
        self._engine, self._intake = self._started(folder, model, settings, adapters)
        self._sampling = sampling
        self._texts: dict[str, str] = {}
        self._prompts: dict[str, list[int]] = {}
        self.add(prompts)
        self.version = 0
        self._interrupted = threading.Event()

    def _started(
        self, folder: str, model: Model, settings: EngineSettings, adapters: Lora | None
    ) -> tuple[Engine, Intake]:
        """The engine, and how it takes new weights."""
        if adapters is None:
            engine = Engine(folder, model, settings)
            return engine, WholeModel(engine)
        engine = Engine(folder, model, settings, partial(AdaptersAlone.options, adapters))
        return engine, AdaptersAlone(engine, adapters)

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

    def write(self, asked: Sequence[Fresh | Group], plan: Plan, *, step: int) -> Iterator[list[Group]]:
        """Completions of prompts, by prompt: fresh ones, and groups of an earlier call, which are gone on with.

        What is done first makes the batch, `plan.slice_size` prompts at a time; the last list is of the `plan.spare` prompts that
        are not in it, done or not. After `interrupt` the writing ends at the next token, and the rest comes as it is.
        """
        self._interrupted.clear()
        groups = [
            self._begun(one.prompt_id, plan.completions, one.number) if isinstance(one, Fresh) else self._going_on(one)
            for one in asked
        ]
        batch = Batch(groups, enough=len(groups) - plan.spare, version=self.version, staleness=plan.staleness)
        drafts = [draft for group in groups for draft in group]
        with closing(self._advance(drafts, plan.seed, step, self._sampling.temperature)) as advancing:
            for done in advancing:
                for draft in done:
                    batch.done(draft)
                for chosen in batch.slices(plan.slice_size):
                    yield [self._rollouts(groups[i]) for i in chosen]
                if batch.complete or self._interrupted.is_set():
                    break
        batch.fill()
        for chosen in batch.slices(plan.slice_size):
            yield [self._rollouts(groups[i]) for i in chosen]
        yield [self._rollouts(groups[i]) for i in batch.left()]

    def interrupt(self) -> None:
        """End the writing that is under way, from another thread."""
        self._interrupted.set()

    def complete(
        self, asked: Sequence[tuple[str, int]], *, seed: int, step: int | str, temperature: float | None = None
    ) -> list[Rollout]:
        """One answer to each (prompt id, number), at the engine's own temperature or another; 0 is greedy."""
        drafts = [self._begun(key, 1, number)[0] for key, number in asked]
        temperature = self._sampling.temperature if temperature is None else temperature
        for _ in self._advance(drafts, seed, step, temperature):
            pass
        return self._rollouts(drafts)

    def _begun(self, key: str, completions: int, number: int) -> list[Draft]:
        full, prompt = self._sampling.max_tokens, self._prompts[key]
        return [Draft(key, number + i, prompt, [], [], [], False, full) for i in range(completions)]

    def _going_on(self, group: Group) -> list[Draft]:
        full = self._sampling.max_tokens
        return [
            Draft(
                r.prompt_id,
                r.number,
                r.prompt_tokens,
                list(r.tokens),
                list(r.logprobs),
                list(r.versions),
                r.finished,
                full,
            )
            for r in group
        ]

    def _advance(
        self, drafts: Sequence[Draft], seed: int, step: int | str, temperature: float
    ) -> Generator[list[Draft]]:
        """Write them; after each token, those that are done with it. First of all those that were done before.

        A seed derives from (run, step, prompt, number), and from the place where a completion is gone on with.
        """
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind

        yield [draft for draft in drafts if draft.done]
        under_way = [draft for draft in drafts if not draft.done]
        params = [
            SamplingParams(
                temperature=temperature,
                max_tokens=draft.full - len(draft.tokens),
                seed=derived_seed(
                    seed, step, draft.prompt_id, draft.number, *([len(draft.tokens)] if draft.tokens else [])
                ),
                logprobs=0,
                detokenize=False,
                output_kind=RequestOutputKind.DELTA,
            )
            for draft in under_way
        ]
        for pieces in self._engine.pieces([draft.prompt + draft.tokens for draft in under_way], params):
            for place, piece in pieces:
                draft = under_way[place]
                tokens = list(piece.token_ids)
                draft.tokens += tokens
                draft.logprobs += [
                    at[token].logprob for at, token in zip(piece.logprobs or [], tokens, strict=True) if at
                ]
                draft.versions += [self.version] * len(tokens)
                draft.finished = piece.finish_reason == "stop"
            yield [under_way[place] for place, _ in pieces if under_way[place].done]

    def _rollouts(self, drafts: Sequence[Draft]) -> Group:
        return [
            Rollout(
                draft.prompt_id, self._texts[draft.prompt_id], draft.prompt, draft.tokens, draft.logprobs,
                # The last character may lack some of its bytes.
                self._tokenizer.decode(draft.tokens, skip_special_tokens=True).rstrip("\ufffd").strip(),
                draft.finished, draft.versions, draft.number,
            )
            for draft in drafts
        ]  # fmt: skip

    def open_weights(self) -> None:
        """The weights of another version are about to come, in buckets."""
        self._intake.open()

    def take_bucket(self, bucket: tuple[Weights, int]) -> int:
        """Take some weights of a version, and the checksum that they left with; returns the one that they arrived with.

        Raises:
            ActorDied: the two differ.
        """
        weights, expected = bucket
        found = checksum(weights)
        if found != expected:
            raise changed(weights, found, expected)
        # A copy: the object store's memory is read-only, and torch wants to know that nobody writes to it.
        self._intake.take(
            [(name, torch.from_numpy(array.copy()).view(torch.bfloat16)) for name, array in weights.items()]
        )
        return found

    def close_weights(self, version: int) -> None:
        """All weights of that version have come: use them."""
        self._intake.close()
        self.version = version

    def probe(self, probe: Probe) -> list[float]:
        """Log-probs of the probe's response, to be compared with the learner's."""
        return self._engine.sequence_logprobs(probe.prompt, probe.response)

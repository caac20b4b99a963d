"""The vLLM engine, as both the rollout and the labeler use it. vLLM is imported here alone, when an engine starts."""

import gc
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import torch

from actors.threads import cpu_threads
from truing.config.roles import Engine as EngineSettings
from truing.config.roles import Lora, Model
from truing.errors import ConfigError

KEPT_MEMORY = {
    "MALLOC_MMAP_THRESHOLD_": "4294967296",
    "MALLOC_TRIM_THRESHOLD_": "4294967296",
    "MALLOC_TOP_PAD_": "67108864",
}
"""Large allocations are kept instead of being given back to the kernel after each step: half of a CPU engine's time."""

ADAPTER_WIDTHS = (1, 8, 16, 32, 64, 128, 256, 320, 512)
"""Ranks that vLLM has room for; narrower adapters fit too."""

if TYPE_CHECKING:
    from vllm import CompletionOutput, RequestOutput, SamplingParams
    from vllm.lora.request import LoRARequest


@dataclass(frozen=True, slots=True)
class Continued:
    """What a model says of a given continuation: ln P of its tokens together, in nats at temperature 1.

    `greedy`: no other token has a higher probability at any of its places.
    """

    logprob: float
    greedy: bool


def engine_environment(settings: EngineSettings) -> dict[str, str]:
    """Variables that must be set before the process of an engine starts."""
    common = {"VLLM_NO_USAGE_STATS": "1", "VLLM_LOGGING_LEVEL": "ERROR", "TOKENIZERS_PARALLELISM": "false"}
    if settings.gpus:
        return common
    # One process with all its threads: worker processes of its own and thread binding cost up to half the speed on a
    # few cores.
    alone = {"VLLM_ENABLE_V1_MULTIPROCESSING": "0", "VLLM_CPU_OMP_THREADS_BIND": "nobind"}
    # An eager engine compiles one small function of its sampler all the same, which is half of its start.
    eager = {"TORCHDYNAMO_DISABLE": "1"} if settings.eager else {}
    return common | alone | eager | cpu_threads(settings.cpus) | KEPT_MEMORY


class Engine:
    """Continuous batching over one model, with prefix caching and log-probs of processed logits."""

    def __init__(self, folder: str, model: Model, settings: EngineSettings, adapters: Lora | None = None) -> None:
        """`adapters`: what the engine is to be able to wear."""
        os.environ.update(engine_environment(settings))
        from vllm import LLM

        # vLLM collects garbage several times while it loads: all that is imported by now is none.
        gc.freeze()
        # The CPU build's own block of 128 tokens is longer than most shared prefixes; 32 is the least it takes.
        on_gpu = {"gpu_memory_utilization": settings.gpu_memory_share}
        on_cpu = {"block_size": 32, "kv_cache_memory_bytes": int(settings.cache_gb * 2**30)}
        placement: dict[str, Any] = on_gpu if settings.gpus else on_cpu
        worn = (
            {} if adapters is None else {"enable_lora": True, "max_loras": 1, "max_lora_rank": _offered(adapters.rank)}
        )
        self._llm = LLM(
            folder,
            revision=model.revision,
            dtype=settings.dtype,
            max_model_len=model.context,
            max_num_seqs=settings.max_sequences,
            enforce_eager=settings.eager,
            enable_prefix_caching=settings.prefix_caching,
            # A prompt is never split over two steps: the CPU build cannot take back a seeded request's random draw.
            enable_chunked_prefill=False,
            max_num_batched_tokens=max(model.context, settings.batch_tokens),
            logprobs_mode="processed_logprobs",
            disable_log_stats=True,
            seed=0,
            **placement,
            **worn,
        )
        self.context = model.context
        self._adapter: LoRARequest | None = None
        self._read = self._cached = 0
        self._warm_up()

    def _warm_up(self) -> None:
        """The first request compiles kernels: let it be one that nobody waits for."""
        from vllm import SamplingParams

        self.run([[1, 2, 3]], [SamplingParams(max_tokens=2, logprobs=0, seed=0)])
        self.forget()

    def run(self, prompts: Sequence[list[int]], params: Sequence["SamplingParams"]) -> list["RequestOutput"]:
        """Answer token prompts, in order. Every prompt must fit the context."""
        from vllm.inputs import TokensPrompt

        requests = [TokensPrompt(prompt_token_ids=prompt) for prompt in prompts]
        outputs = self._llm.generate(requests, list(params), use_tqdm=False, lora_request=self._adapter)
        self._read += sum(map(len, prompts))
        self._cached += sum(output.num_cached_tokens or 0 for output in outputs)
        return outputs

    def pieces(
        self, prompts: Sequence[list[int]], params: Sequence["SamplingParams"]
    ) -> Iterator[list[tuple[int, "CompletionOutput"]]]:
        """Answers as they are written: after each step of the engine its new tokens, with the place of their prompt.

        Who stops listening has the rest abandoned. `params` must ask for output_kind DELTA.
        """
        from vllm.inputs import TokensPrompt

        engine = self._llm.llm_engine
        waiting = {str(place): place for place in range(len(prompts))}
        try:
            for key, place in waiting.items():
                prompt = TokensPrompt(prompt_token_ids=prompts[place])
                engine.add_request(key, prompt, params[place], lora_request=self._adapter)
            while waiting:
                outputs: list[Any] = engine.step()
                yield [(waiting[output.request_id], output.outputs[0]) for output in outputs]
                for output in outputs:
                    if output.finished:
                        del waiting[output.request_id]
        finally:
            engine.abort_request(list(waiting))

    @property
    def cached_share(self) -> float:
        """Share of the prompt tokens so far whose keys and values were in the prefix cache."""
        return self._cached / self._read if self._read else 0.0

    def next_token_logprobs(
        self, prompts: Sequence[list[int]], tokens: Sequence[Sequence[int]]
    ) -> list[dict[int, float]]:
        """Log-probability, in nats, of each of its `tokens` right after each prompt."""
        from vllm import SamplingParams

        params = [
            SamplingParams(max_tokens=1, temperature=0.0, logprob_token_ids=list(wanted), detokenize=False)
            for wanted in tokens
        ]
        found: list[dict[int, float]] = []
        for output, wanted in zip(self.run(prompts, params), tokens, strict=True):
            position = (output.outputs[0].logprobs or [{}])[0]
            found.append({token: position[token].logprob for token in wanted})
        return found

    def texts(
        self, prompts: Sequence[list[int]], max_tokens: int, temperature: float, seeds: Sequence[int]
    ) -> list[tuple[str, int]]:
        """A decoded reply to each prompt, with its number of tokens."""
        from vllm import SamplingParams

        params = [SamplingParams(max_tokens=max_tokens, temperature=temperature, seed=seed) for seed in seeds]
        return [(out.outputs[0].text, len(out.outputs[0].token_ids)) for out in self.run(prompts, params)]

    def sequence_logprobs(self, prompt: list[int], response: list[int]) -> list[float]:
        """Log-probability, in nats at temperature 1, of each token of a given response."""
        from vllm import SamplingParams

        output = self.run([prompt + response], [SamplingParams(max_tokens=1, prompt_logprobs=0)])[0]
        positions = (output.prompt_logprobs or [])[len(prompt) :]
        return [position[token].logprob for position, token in zip(positions, response, strict=True) if position]

    def continuations(self, asked: Sequence[tuple[list[int], list[int]]]) -> list[Continued]:
        """ln P(continuation | context) of many (context, continuation), in order; one token at least of each.

        Context and continuation together leave one place of the engine's context free. A context that several
        continuations share is computed once, and the LM head reads little of it.
        """
        found = self._continuations(asked, from_cache=True)
        # What is read from the cache has no log-probs: where it reaches into a continuation, that is asked once more.
        again = [i for i, one in enumerate(found) if one is None]
        for i, one in zip(again, self._continuations([asked[i] for i in again], from_cache=False), strict=True):
            found[i] = one
        return [one for one in found if one is not None]

    def _continuations(
        self, asked: Sequence[tuple[list[int], list[int]]], *, from_cache: bool
    ) -> list[Continued | None]:
        from vllm import SamplingParams

        if not asked:
            return []
        params = SamplingParams(
            max_tokens=1, temperature=0.0, prompt_logprobs=1, detokenize=False, skip_reading_prefix_cache=not from_cache
        )
        outputs = self.run([context + rest for context, rest in asked], [params] * len(asked))
        return [_continued(output, *pair) for output, pair in zip(outputs, asked, strict=True)]

    def open_weights(self) -> None:
        """Before the first of new weights of the same model: layers wait until all that they are made of is there."""
        self._llm.apply_model(_open)

    def take_weights(self, weights: Iterable[tuple[str, torch.Tensor]]) -> None:
        """Some of the new weights."""
        self._llm.apply_model(partial(_take, weights=weights))

    def close_weights(self) -> None:
        """After the last of them: put them to use, and forget what was computed with the old ones."""
        self._llm.apply_model(partial(_close, config=self._llm.model_config))
        self._llm.apply_model(_repack_tied_head)
        self.forget()

    def wear(self, folder: str) -> None:
        """Answer with the adapters in a folder from now on; keys and values of others are not theirs, and stay unused."""
        from vllm.lora.request import LoRARequest

        engine, before = self._llm.llm_engine, self._adapter
        number = 1 if before is None else before.lora_int_id + 1
        self._adapter = LoRARequest(f"adapter-{number}", number, folder)
        engine.add_lora(self._adapter)
        if before is not None:
            engine.remove_lora(before.lora_int_id)

    def forget(self) -> None:
        """Empty the prefix cache."""
        self._llm.reset_prefix_cache()


def _continued(output: "RequestOutput", context: list[int], continuation: list[int]) -> Continued | None:
    """Nothing where the last token of the context, whose output is the first place, came from the cache."""
    if (output.num_cached_tokens or 0) >= len(context):
        return None
    total, greedy = 0.0, True
    for position, token in zip((output.prompt_logprobs or [])[len(context) :], continuation, strict=True):
        assert position is not None
        total += position[token].logprob
        greedy = greedy and position[token].logprob >= max(one.logprob for one in position.values())
    return Continued(total, greedy)


def _offered(rank: int) -> int:
    """The least of vLLM's adapter widths that is wide enough.

    Raises:
        ConfigError: there is none.
    """
    wide = [width for width in ADAPTER_WIDTHS if width >= rank]
    if not wide:
        raise ConfigError(
            f"learner.lora.rank: {rank} is more than an engine's adapters may have ({ADAPTER_WIDTHS[-1]}); give push: merged"
        )
    return wide[0]


def _open(model: torch.nn.Module) -> None:
    from vllm.model_executor.model_loader.reload import initialize_layerwise_reload

    initialize_layerwise_reload(model)


def _take(model: torch.nn.Module, weights: Iterable[tuple[str, torch.Tensor]]) -> None:
    model.load_weights(weights)  # pyright: ignore[reportCallIssue] - every model of vLLM has it


def _close(model: torch.nn.Module, config: object) -> None:
    from vllm.model_executor.model_loader.reload import finalize_layerwise_reload

    finalize_layerwise_reload(model, config)


def _repack_tied_head(model: torch.nn.Module) -> None:
    """A tied LM head keeps a packed copy on the CPU, which reloading leaves as it was: tie and pack it again."""
    head, body = model.get_submodule("lm_head"), model.get_submodule("model")
    if not model.config.tie_word_embeddings:  # pyright: ignore[reportAttributeAccessIssue]
        return
    head.weight = body.get_submodule("embed_tokens").weight
    head.quant_method.process_weights_after_loading(head)  # pyright: ignore[reportCallIssue, reportAttributeAccessIssue]

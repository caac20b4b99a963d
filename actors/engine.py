"""The vLLM engine, as both the rollout and the labeler use it. vLLM is imported here alone, when an engine starts."""

import gc
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import torch

from actors.exporting import watch_engine
from actors.reloading import close_layers, load, open_layers, repack_tied_head
from actors.threads import cpu_threads
from truing.config.roles import Engine as EngineSettings
from truing.config.roles import Model
from truing.data.chat import located

KEPT_MEMORY = {
    "MALLOC_MMAP_THRESHOLD_": "4294967296",
    "MALLOC_TRIM_THRESHOLD_": "4294967296",
    "MALLOC_TOP_PAD_": "67108864",
}
"""Large allocations are kept instead of being given back to the kernel after each step: half of a CPU engine's time."""

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
    # The actor's process is the engine's: vLLM takes no functions of ours into one of its own, and its load is read here.
    common["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"
    if settings.gpus:
        return common
    # All threads: binding them costs up to half the speed on a few cores.
    alone = {"VLLM_CPU_OMP_THREADS_BIND": "nobind"}
    # oneDNN keeps the code of 1,024 matrix shapes, and every number of tokens in a batch is another: 0.4 GB in a long run.
    few = {"ONEDNN_PRIMITIVE_CACHE_CAPACITY": "64"}
    # An eager engine compiles one small function of its sampler all the same, which is half of its start.
    eager = {"TORCHDYNAMO_DISABLE": "1"} if settings.eager else {}
    threads = cpu_threads(max(1, settings.cpus // settings.tensor_parallel))
    return common | alone | few | eager | threads | KEPT_MEMORY


class Engine:
    """Continuous batching over one model, with prefix caching and log-probs of processed logits."""

    def __init__(
        self, folder: str, model: Model, settings: EngineSettings, options: Callable[[], Mapping[str, Any]] = dict
    ) -> None:
        """`options`: what else vLLM is told, by what takes the engine's new weights."""
        os.environ.update(engine_environment(settings))
        # What is imported is no garbage: to look for some among it again and again takes a fifth of the time.
        gc.disable()
        from vllm import LLM

        gc.enable()
        # vLLM collects several times while it loads.
        gc.freeze()
        # The CPU build's own block of 128 tokens is longer than most shared prefixes; 32 is the least it takes.
        on_gpu = {"gpu_memory_utilization": settings.gpu_memory_share}
        name, revision = located(folder)
        on_cpu = {"block_size": 32, "kv_cache_memory_bytes": int(settings.cache_gb * 2**30)}
        placement: dict[str, Any] = on_gpu if settings.gpus else on_cpu
        self._llm = LLM(
            name,
            revision=revision,
            load_format="safetensors",  # no pickled weights, of a Hub name either
            dtype=settings.dtype,
            max_model_len=model.context,
            max_num_seqs=settings.max_sequences,
            tensor_parallel_size=settings.tensor_parallel,
            distributed_executor_backend="mp" if settings.tensor_parallel > 1 else None,
            enforce_eager=settings.eager,
            enable_prefix_caching=settings.prefix_caching,
            # A prompt is never split over two steps: the CPU build cannot take back a seeded request's random draw.
            enable_chunked_prefill=False,
            max_num_batched_tokens=max(model.context, settings.batch_tokens),
            logprobs_mode="processed_logprobs",
            disable_log_stats=True,
            seed=0,
            **placement,
            **options(),
        )
        self.context = model.context
        self._adapter: LoRARequest | None = None
        self._read = self._cached = 0
        self._warm_up()
        watch_engine(self._llm)

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
        return [logprobs for logprobs, _ in self._next(prompts, tokens)]

    def _next(
        self, prompts: Sequence[list[int]], tokens: Sequence[Sequence[int]]
    ) -> Iterator[tuple[dict[int, float], int]]:
        """The same, with the likeliest token of all."""
        from vllm import SamplingParams

        params = [
            SamplingParams(max_tokens=1, temperature=0.0, logprob_token_ids=list(wanted), detokenize=False)
            for wanted in tokens
        ]
        for output, wanted in zip(self.run(prompts, params), tokens, strict=True):
            one = output.outputs[0]
            position = (one.logprobs or [{}])[0]
            yield {token: position[token].logprob for token in wanted}, one.token_ids[0]

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
        continuations share is computed once, and the LM head reads little of it; the letters A, B, … are read off together.
        """
        found: list[Continued | None] = [None] * len(asked)
        letters = [i for i, (_, rest) in enumerate(asked) if len(rest) == 1]
        for i, one in zip(letters, self._tokens([(asked[i][0], asked[i][1][0]) for i in letters]), strict=True):
            found[i] = one
        # What is read from the cache has no log-probs: where it reaches into a continuation, that is asked once more.
        for from_cache in (True, False):
            left = [i for i, one in enumerate(found) if one is None]
            some = self._continuations([asked[i] for i in left], from_cache=from_cache)
            for i, one in zip(left, some, strict=True):
                found[i] = one
        return [one for one in found if one is not None]

    def _tokens(self, asked: Sequence[tuple[list[int], int]]) -> list[Continued]:
        """ln P(token | context) of continuations of one token: each context is run once, with all of its tokens."""
        wanted: dict[tuple[int, ...], dict[int, None]] = {}
        for context, token in asked:
            wanted.setdefault(tuple(context), {})[token] = None
        prompts = [list(context) for context in wanted]
        found = self._next(prompts, [list(tokens) for tokens in wanted.values()]) if wanted else ()
        read = dict(zip(wanted, found, strict=True))
        by_place = [(read[tuple(context)], token) for context, token in asked]
        return [Continued(logprobs[token], greedy == token) for (logprobs, greedy), token in by_place]

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
        self._llm.apply_model(partial(open_layers, config=self._llm.model_config))

    def take_weights(self, weights: Iterable[tuple[str, torch.Tensor]]) -> None:
        """Some of the new weights."""
        self._llm.apply_model(partial(load, weights=weights))

    def close_weights(self) -> None:
        """After the last of them: put them to use, and forget what was computed with the old ones."""
        self._llm.apply_model(partial(close_layers, config=self._llm.model_config))
        self._llm.apply_model(repack_tied_head)
        self.forget()

    def worker(self, method: str, *arguments: object) -> Any:
        """What vLLM's worker answers to a call by name, of plain arguments; an engine has one."""
        return self._llm.collective_rpc(method, args=arguments)[0]

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

"""lm-evaluation-harness on our engines: what its tasks ask (Gao et al. 2021) as questions in tokens, and their answers.

Text becomes tokens as in lm-eval's own Hugging Face backend, by its own code: context and continuation are encoded
together and parted at the context's length, a text that begins with the BOS gets no second one, what is too long is cut on
the left. So figures agree with that backend where it has `max_length` = `Bridge.max_length`.
lm_eval is an optional package: it is imported where a bridge is made, never with this module.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, cast

from actors.engine import Continued, Engine
from truing.config.roles import Engine as EngineSettings
from truing.config.roles import Model
from truing.errors import ConfigError
from truing.records import derived_seed

if TYPE_CHECKING:
    from lm_eval.api.instance import Instance
    from lm_eval.api.model import TemplateLM

NEW_TOKENS = 256
"""Tokens of an answer where a task does not say how many: lm-eval's own number."""
SAMPLING = ("top_p", "top_k", "min_p", "repetition_penalty")
"""What a task may ask of the sampling beside its temperature. Only where it samples: greedy is greedy."""
HEEDED = {"do_sample", "temperature", "until", "max_gen_toks", "num_beams", *SAMPLING}


@dataclass(frozen=True, slots=True)
class Wanted:
    """One answer that is wanted: at most `max_tokens` new tokens, up to the first of the texts `until`."""

    prompt: list[int]
    until: list[str]
    max_tokens: int
    temperature: float
    seed: int
    sampling: dict[str, float]


class Answers(Protocol):
    """Who answers questions in tokens, in their order: one engine, or a pool of them behind a store."""

    def score(self, asked: Sequence[tuple[list[int], list[int]]]) -> list[Continued]:
        """ln P(continuation | context) of each pair."""
        ...

    def write(self, asked: Sequence[Wanted]) -> list[list[int]]:
        """New tokens of each answer, the ones that end it among them."""
        ...


class HarnessEngine:
    """One engine that answers both kinds of questions."""

    def __init__(self, folder: str, model: Model, settings: EngineSettings) -> None:
        self._engine = Engine(folder, model, settings)

    @property
    def cached_share(self) -> float:
        """Share of the prompt tokens that the engine found in its prefix cache."""
        return self._engine.cached_share

    def score(self, asked: Sequence[tuple[list[int], list[int]]]) -> list[Continued]:
        """As `Answers`."""
        return self._engine.continuations(asked)

    def write(self, asked: Sequence[Wanted]) -> list[list[int]]:
        """As `Answers`. A control token in `until` ends an answer too."""
        from vllm import SamplingParams

        params = [
            SamplingParams(
                max_tokens=one.max_tokens,
                temperature=one.temperature,
                stop=one.until,
                seed=one.seed,
                skip_special_tokens=False,
                **one.sampling,  # pyright: ignore[reportArgumentType] - checked against SAMPLING
            )
            for one in asked
        ]
        return [list(out.outputs[0].token_ids) for out in self._engine.run([one.prompt for one in asked], params)]


class Bridge:
    """Texts of tasks to questions in tokens, and back. It counts what it had to change: `cut` and `unsaid`."""

    def __init__(self, answers: Answers, tokenizer: Any, context: int, seed: int = 0) -> None:
        """`tokenizer`: the model's own, of Hugging Face. `context`: tokens that its engine holds."""
        self._answers, self.tokenizer, self._seed = answers, tokenizer, seed
        # The engine reads the last token of a continuation too, and writes one more.
        self.max_length = context - 2
        bos = tokenizer.bos_token_id
        self.prefix: int = tokenizer.eos_token_id if bos is None else bos
        self._bos: str = tokenizer.decode([self.prefix])
        self.asked = self.cut = self.unsaid = 0
        """Questions so far; those whose context was cut on the left; conversations whose system turn the template refused."""

    def encode(self, text: str, add_special_tokens: bool | None = None) -> list[int]:
        """Token ids; by default with the tokenizer's usual BOS, unless the text begins with it already."""
        if add_special_tokens is None and text.startswith(self._bos):
            add_special_tokens = False
        usual = {} if add_special_tokens is None else {"add_special_tokens": add_special_tokens}
        return self.tokenizer.encode(text, **usual)

    def score(self, pairs: Iterable[tuple[list[int], list[int]]]) -> list[tuple[float, bool]]:
        """(ln P(continuation | context) in nats, whether greedy decoding would write it), the context cut to what fits.

        Raises:
            ConfigError: a continuation without a token, or one that does not fit by itself.
        """
        fitting = [self._fitting(context, continuation) for context, continuation in pairs]
        return [(one.logprob, one.greedy) for one in self._answers.score(fitting)]

    def rolling(self, texts: Sequence[str]) -> list[float]:
        """ln P of whole texts after the BOS (or EOS), in nats, over windows where they are too long: each token once."""
        from lm_eval.utils import get_rolling_token_windows, make_disjoint_window

        windows = [
            [
                make_disjoint_window(window)
                for window in get_rolling_token_windows(self.encode(text), self.prefix, self.max_length, context_len=1)
            ]
            for text in texts
        ]
        found = iter(self.score(window for of_text in windows for window in of_text))
        return [sum(next(found)[0] for _ in of_text) for of_text in windows]

    def write(self, asked: Sequence[tuple[str, Mapping[str, Any]]]) -> list[str]:
        """Answers to (context, generation arguments), without the texts that end them and without control tokens.

        Greedy unless a task samples; then each repetition of a context draws with its own seed.

        Raises:
            ConfigError: an argument that is not heeded here, or an answer that leaves no room for a context.
        """
        from lm_eval.models.utils import postprocess_generated_text

        times: Counter[str] = Counter()
        wanted: list[Wanted] = []
        for context, arguments in asked:
            wanted.append(self._wanted(context, arguments, times[context]))
            times[context] += 1
        texts = [self.tokenizer.decode(ids, skip_special_tokens=True) for ids in self._answers.write(wanted)]
        return [
            postprocess_generated_text(text, one.until, think_end_token=None)
            for text, one in zip(texts, wanted, strict=True)
        ]

    def conversation(self, turns: list[dict[str, str]], add_generation_prompt: bool) -> str:
        """Text of a conversation by the model's chat template; without its system turn where the template refuses that."""
        from jinja2 import TemplateError

        options = {
            "tokenize": False,
            "add_generation_prompt": add_generation_prompt,
            "continue_final_message": not add_generation_prompt,
        }
        try:
            return self.tokenizer.apply_chat_template(turns, **options)
        except TemplateError:
            rest = [turn for turn in turns if turn["role"] != "system"]
            text = self.tokenizer.apply_chat_template(rest, **options)
            self.unsaid += 1
            return text

    def _fitting(self, context: list[int], continuation: list[int]) -> tuple[list[int], list[int]]:
        self.asked += 1
        if not continuation:
            text = self.tokenizer.decode(context[-20:])
            raise ConfigError(
                f"harness: a task asks for a continuation without a token, after {text!r}; mend the task's choices"
            )
        room = self.max_length + 1 - len(continuation)
        if room < 1:
            raise ConfigError(
                f"harness: a task asks for a continuation of {len(continuation)} tokens, and {self.max_length} fit;"
                " raise model.context"
            )
        self.cut += len(context) > room
        return context[-room:], continuation

    def _wanted(self, context: str, arguments: Mapping[str, Any], time: int) -> Wanted:
        from lm_eval.models.utils import handle_stop_sequences, normalize_gen_kwargs

        how: dict[str, Any] = dict(normalize_gen_kwargs(dict(arguments), NEW_TOKENS))
        unknown = sorted(set(how) - HEEDED)
        if unknown or how.get("num_beams", 1) != 1:
            raise ConfigError(
                f"harness: a task asks for {', '.join(unknown) or 'beam search'}, which the engine does not do;"
                f" known here: {', '.join(sorted(HEEDED))}"
            )
        room = self.max_length - how["max_gen_toks"]
        if room < 1:
            raise ConfigError(
                f"harness: a task asks for {how['max_gen_toks']} new tokens, and {self.max_length} fit with their context;"
                " raise model.context"
            )
        self.asked += 1
        prompt = self.encode(context) or [self.prefix]
        self.cut += len(prompt) > room
        temperature = float(how.get("temperature", 1.0)) if how["do_sample"] else 0.0
        return Wanted(
            prompt=prompt[-room:],
            until=handle_stop_sequences(how["until"], eos=self.tokenizer.decode([self.tokenizer.eos_token_id])),
            max_tokens=how["max_gen_toks"],
            temperature=temperature,
            seed=derived_seed(self._seed, "harness", context, time),
            sampling={name: how[name] for name in SAMPLING if name in how} if temperature else {},
        )


def harness_model(bridge: Bridge) -> "TemplateLM":
    """The bridge as lm-eval knows a model: what `lm_eval.simple_evaluate(model=...)` takes."""
    from lm_eval.api.model import TemplateLM

    class TruingPolicy(TemplateLM):
        """Encoding of pairs and empty contexts are the base class's, as they are for lm-eval's Hugging Face backend."""

        tokenizer = bridge.tokenizer
        max_length = bridge.max_length
        max_gen_toks = NEW_TOKENS
        tokenizer_name: str = bridge.tokenizer.name_or_path.replace("/", "__")

        @property
        def eot_token_id(self) -> int:
            return bridge.tokenizer.eos_token_id

        @property
        def prefix_token_id(self) -> int:
            return bridge.prefix

        def tok_encode(self, string: str, add_special_tokens: bool | None = None, **_: object) -> list[int]:
            return bridge.encode(string, add_special_tokens)

        def _loglikelihood_tokens(
            self, requests: list[tuple[tuple[str, str], list[int], list[int]]], **_: object
        ) -> list[tuple[float, bool]]:
            return bridge.score((context, continuation) for _, context, continuation in requests)

        def loglikelihood_rolling(self, requests: "list[Instance]", **_: object) -> list[float]:
            return bridge.rolling([request.args[0] for request in requests])

        def generate_until(self, requests: "list[Instance]", **_: object) -> list[str]:
            return bridge.write([cast("tuple[str, dict[str, Any]]", request.args) for request in requests])

        def apply_chat_template(self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True) -> str:
            return bridge.conversation(chat_history, add_generation_prompt)

    return TruingPolicy()

"""The AI labeler: a vLLM engine as judge. It asks both orders and reads the log-probs of the label strings."""

from collections.abc import Mapping, Sequence

from actors.engine import Engine
from truing.config.roles import Engine as EngineSettings
from truing.config.roles import Model
from truing.data.chat import load_tokenizer, prompt_tokens
from truing.errors import ConfigError
from truing.labeling.consensus import OrderedLogprobs, expected_score, string_likelihoods, to_unit_interval
from truing.labeling.templates import Template
from truing.records import Failed, Pair, Unparsable

Verdict = OrderedLogprobs | Unparsable | Failed
"""What comes of one question: label log-probs, a reply without a verdict, or no reply."""


class Labeler:
    """One engine that compares (pairwise) and scores (1-10)."""

    def __init__(self, folder: str, model: Model, settings: EngineSettings, templates: Mapping[str, Template]) -> None:
        """`templates` by domain; `*` serves the domains that are not named."""
        self._tokenizer = load_tokenizer(folder, model.revision)
        self._engine = Engine(folder, model, settings)
        self._templates = dict(templates)

    def template(self, domain: str) -> Template:
        """The template of a domain."""
        return self._templates.get(domain) or self._templates["*"]

    def compare(self, pairs: Sequence[Pair]) -> list[tuple[Verdict, Verdict]]:
        """The verdicts on each pair as given, and with its responses swapped.

        A pair that does not fit the judge's context fails alone.
        """
        both = [ordered for pair in pairs for ordered in (pair, pair.swap())]
        answers: list[Verdict] = [Failed("not asked")] * len(both)
        for template in {self.template(pair.domain) for pair in both}:
            where = [i for i, pair in enumerate(both) if self.template(pair.domain) == template]
            one, two = (self._label_token(template, label) for label in template.labels)
            prompts = [self._tokens(template, both[i].prompt, both[i].first, both[i].second) for i in where]
            for i, found in zip(where, self._ask(prompts, [[one, two]] * len(prompts)), strict=True):
                answers[i] = found if isinstance(found, Failed) else _verdict(found[one], found[two])
        return list(zip(answers[::2], answers[1::2], strict=True))

    def score(self, texts: Sequence[tuple[str, str]], template: Template) -> list[float | Failed]:
        """Expected 1-10 score of each (prompt, response), mapped to [-1, 1] (direct RLAIF)."""
        digits = {label: self._label_token(template, label) for label in template.labels[:9]}
        zero = self._label_token(template, "0")
        prompts = [self._tokens(template, prompt, response) for prompt, response in texts]
        # The digit, and whether a 1 goes on to be a 10: side by side, so that the second finds the first's prefix cached.
        longer = [[*prompt, digits["1"]] for prompt in prompts]
        both = [asked for pair in zip(prompts, longer, strict=True) for asked in pair]
        answers = self._ask(both, [list(digits.values()), [zero]] * len(prompts))
        scores: list[float | Failed] = []
        for digit, ten in zip(answers[::2], answers[1::2], strict=True):
            if isinstance(digit, Failed) or isinstance(ten, Failed):
                scores.append(digit if isinstance(digit, Failed) else Failed("no room for the second digit of 10"))
                continue
            likelihoods = string_likelihoods({label: digit[token] for label, token in digits.items()}, ten[zero])
            scores.append(to_unit_interval(expected_score(likelihoods)))
        return scores

    def _ask(self, prompts: list[list[int]], tokens: list[list[int]]) -> list[dict[int, float] | Failed]:
        """Log-probs of its tokens right after each prompt that fits; the others are `Failed`."""
        room = self._engine.context - 1
        answers: list[dict[int, float] | Failed] = [
            Failed(f"judge prompt has {len(prompt)} tokens; {room} fit the context") for prompt in prompts
        ]
        fitting = [i for i, prompt in enumerate(prompts) if len(prompt) <= room]
        # The cache is emptied first, so that an answer does not depend on what was asked earlier in the process.
        self._engine.forget()
        found = self._engine.next_token_logprobs([prompts[i] for i in fitting], [tokens[i] for i in fitting])
        for i, answer in zip(fitting, found, strict=True):
            answers[i] = answer
        return answers

    def _tokens(self, template: Template, prompt: str, first: str, second: str = "") -> list[int]:
        filled = template.fill(prompt, first, second)
        return prompt_tokens(self._tokenizer, filled, template.system, template.answer)

    def _label_token(self, template: Template, label: str) -> int:
        ids = self._tokenizer.encode(label, add_special_tokens=False)
        if len(ids) != 1:
            raise ConfigError(
                f"template {template.name}: label {label!r} is {len(ids)} tokens of this judge; use one-token labels"
            )
        return ids[0]


def _verdict(first: float, second: float) -> Verdict:
    try:
        return OrderedLogprobs(first, second)
    except ValueError as error:
        return Unparsable(str(error))

"""The metrics of a grid's outputs. Diversity, length and overlap need no judge; the others name who judges."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from truing.config.base import Section
from truing.config.labeling import SingleLabeler
from truing.config.recorded import OutputMetric
from truing.config.roles import Positive


class TextMetrics(Section):
    """Lengths, diversity by n-grams, overlap with the data's references."""

    kind: Literal["text"] = "text"
    metrics: tuple[OutputMetric, ...] = ("length", "ead", "distinct")
    """Lengths are always given. Diversity is per input where a prompt has several outputs, and across inputs."""
    cut_words: Positive | None = None
    """EAD and distinct also of outputs cut to so many words: EAD grows with the length of outputs."""


class SentenceBert(Section):
    """Diversity as 1 - mean cosine of sentence embeddings; each text is embedded once."""

    kind: Literal["sbert"] = "sbert"
    model: str = "demo"
    """`demo` (all-MiniLM-L6-v2), a local folder or a Hub name."""


class Nli(Section):
    """Diversity as contradiction between outputs, by a model of natural language inference."""

    kind: Literal["nli"] = "nli"
    model: str
    """A sequence-classification model with labels contradiction, neutral and entailment; the paper's is roberta-large-mnli."""
    most: Positive = 24
    """Prompts that enter the figure across inputs: n outputs are n(n-1) questions."""


class Classifier(Section):
    """P(a label) of each output by any sequence-classification model: toxicity, say."""

    kind: Literal["classifier"] = "classifier"
    name: str
    """What the figures call it."""
    model: str
    """The model: a local folder or a Hub name."""
    label: str
    """The label of the model's config whose probability is given."""


class Bert(Section):
    """BERTScore F1 against the data's references."""

    kind: Literal["bertscore"] = "bertscore"
    model: str
    """An encoder: a local folder or a Hub name."""
    layer: int | None = None
    """Hidden layer that is compared; absent takes the last."""
    idf: bool = False
    """Weigh tokens by how rare they are in the references."""


class WinRate(Section):
    """How often the study's labeler finds an output better, in both orders, as `label` asks it."""

    kind: Literal["win_rate"] = "win_rate"
    against: Literal["baseline", "reference"] = "baseline"
    """The baseline's outputs to the same prompt, or the data's first reference."""
    outputs: Positive | None = None
    """So many of the K outputs of each prompt are judged; absent judges all."""


class DirectScore(Section):
    """A labeler's expected score of each output, mapped to [-1, 1]: direct RLAIF's, or G-Eval's of one criterion."""

    kind: Literal["score"] = "score"
    name: str = "score"
    """What the figures call it."""
    template: str = "score"
    """Template name or file, such as `geval`."""
    criterion: Annotated[str, Field(pattern=r"^[\w -]+$")] = "overall"
    """Which of the template's qualities is scored."""
    labeler: SingleLabeler | None = None
    """Absent takes the study's, which must then be a single one."""
    outputs: Positive | None = None
    """So many of the K outputs of each prompt are scored; absent scores all."""


class Feedback(Section):
    """P(yes) that an output, a revision, uses the feedback that the first output got (Scheurer et al., arXiv 2303.16755).

    Beside every policy stand two controls: the first output again, unrevised, and the feedback of another item.
    """

    kind: Literal["feedback"] = "feedback"
    request: str = "request"
    """The data's column of what was asked for at first, without the feedback."""
    first: str = "first"
    """The column of the first output."""
    feedback: str = "feedback"
    """The column of what was said of it."""
    template: str = "incorporated"
    """Template name or file."""
    labeler: SingleLabeler | None = None
    """Absent takes the study's, which must then be a single one."""
    outputs: Positive | None = None
    """So many of the K outputs of each prompt are judged; absent judges all."""


class Divergence(Section):
    """KL of each model to the baseline on its own outputs, in nats a response; of best-of-n its bound, log n - (n-1)/n."""

    kind: Literal["kl"] = "kl"


class Checks(Section):
    """What a program can check of each output; each check is a share of its own."""

    kind: Literal["checks"] = "checks"
    json_text: bool = False
    """Whether the whole output is JSON, and whether its first fenced block is."""
    json_schema: str | None = None
    """File of a JSON Schema that the JSON has to fit."""
    pattern: str | None = None
    """Regular expression that has to match somewhere."""
    least_words: Annotated[int, Field(ge=0)] = 0
    """Fewest words that an output may have."""
    most_words: Positive | None = None
    """Most words that an output may have."""

    @model_validator(mode="after")
    def _something(self) -> "Checks":
        if not (self.json_text or self.json_schema or self.pattern or self.least_words or self.most_words):
            raise ValueError("checks nothing: set json_text, json_schema, pattern, least_words or most_words")
        if self.most_words is not None and self.most_words < self.least_words:
            raise ValueError("most_words is below least_words, and no output can be both; swap them")
        return self


class Instructions(Section):
    """IFEval's checkable constraints (Zhou et al., arXiv 2311.07911): share of prompts of which an output follows all."""

    kind: Literal["instructions"] = "instructions"
    ids: str = "instruction_id_list"
    """The data's column of the instructions' ids."""
    arguments: str = "kwargs"
    """The column of their arguments."""


class FinalAnswer(Section):
    """The number that a worked solution ends with, against the one after `####` of the reference (GSM8K), and pass@k."""

    kind: Literal["answer"] = "answer"


Metric = Annotated[
    TextMetrics | SentenceBert | Nli | Classifier | Bert | WinRate | DirectScore | Feedback | Divergence | Checks
    | Instructions | FinalAnswer,
    Field(discriminator="kind"),
]  # fmt: skip


def metric_name(metric: Metric) -> str:
    """What tells a metric's figures from others': its name where it has one, else its kind."""
    if isinstance(metric, DirectScore | Classifier):
        return metric.name
    return f"win rate against the {metric.against}" if isinstance(metric, WinRate) else metric.kind

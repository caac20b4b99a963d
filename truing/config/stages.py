"""What each stage of a study does: sample, label, agreement. RL is in `truing.config.policy`."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, field_serializer, model_validator

from truing.config.base import Section
from truing.config.labeling import Calibration, Style
from truing.config.roles import Engine, Positive, Share


class Prompts(Section):
    """The prompts that policies answer."""

    path: str = "demo"
    """`demo` (the embedded prompts), or JSON Lines, a JSON array, Parquet, a folder or `org/name:split` on the Hub: rows with
    `text` and, optionally, `id`, `domain` and `split`."""
    holdout: Annotated[int, Field(ge=0)] = 24
    """In-distribution prompts kept out of training, for evaluation. Chosen by the hash of their ids."""


class Sampling(Section):
    """How completions are drawn. The temperature is the same in the engine and in the learner."""

    temperature: Annotated[float, Field(gt=0)] = 1.0
    """Softmax temperature."""
    max_tokens: Positive = 48
    """Longest completion."""


class Sample(Section):
    """Completions of the start policy, to be compared by the labeler. `sample: null` draws none; a study without the section
    draws them as here."""

    completions: Annotated[int, Field(ge=2)] = 2
    """Completions of one prompt; each two neighbours become a pair."""
    sampling: Sampling = Sampling()
    engine: Engine = Engine()


class HumanLabels(Section):
    """Pairs that people judged, in any of the usual formats of the Hub."""

    path: str = "demo"
    """`demo` (the embedded pairs), JSON Lines, JSON or Parquet (plain or gzipped), a folder, or `org/name:split`."""
    name: str = ""
    """What the source is called in tables; its path where empty."""
    format: Literal["auto", "chosen_rejected", "hh", "comparisons", "scores", "pairwise", "listed"] = "auto"
    """`auto` reads the format off the first row's columns."""
    columns: dict[str, str] = Field(default_factory=dict)
    """The file's own column for prompt, chosen, rejected, first, second, human, votes, domain or strength."""
    coding: dict[str, Literal["first", "second", "tie"]] = Field(default_factory=dict)
    """What each value of the mark means, where the format does not say."""
    pairs: Literal["all", "best"] = "all"
    """Of scored completions: every two, or the best against each other one."""
    score: str | None = None
    """Which score decides; absent takes the overall score, else the mean rating."""
    domain: str = "default"
    """Domain of rows that name none."""
    weight: Annotated[float, Field(gt=0)] = 1.0
    """Share of this source among the human labels, however many pairs it has."""
    limit: Positive | None = None
    """Use so many pairs, those whose ids hash lowest: the same ones wherever and whenever."""


class MarkedPairs(HumanLabels):
    """Pairs whose better response people have marked: they test the labeler, and some are trained on.

    An empty `path` is no source: `label.marked: null` is a section without any.
    """

    more: tuple[HumanLabels, ...] = ()
    """Further sources, mixed in by weight."""


def _no_source(given: object) -> object:
    """`label.marked: null` has no source."""
    return MarkedPairs(path="") if given is None else given


class UnmarkedPairs(Section):
    """Pairs from a file, to be labelled instead of samples of the start policy."""

    path: str
    """As for human labels; marks that it holds are not looked at."""
    columns: dict[str, str] = Field(default_factory=dict)
    """The file's own column for prompt, first, second or domain."""
    domain: str = "default"
    """Domain of rows that name none."""
    limit: Positive | None = None
    """Label so many pairs, those whose ids hash lowest."""


class Gate(Section):
    """What a labeler must reach on the marked pairs before its labels are trained on."""

    min_alignment: Share = 0.6
    """Least agreement with people."""
    max_flip_rate: Share = 0.4
    """Largest share of pairs whose winner changes with the order of presentation."""
    max_unparsable: Share = 0.05
    """Largest share of a labeler's questions without an answer; of several labelers, the worst one's."""
    on_failure: Literal["stop", "warn"] = "stop"
    """`stop` ends the run before anything is trained; `warn` says so and goes on."""


class Label(Section):
    """How the study's labeler is asked for preferences, and what it must reach (Lee et al., arXiv 2309.00267)."""

    templates: dict[str, str] = Field(default_factory=lambda: {"*": "helpful"})
    """Template of each domain: a name in `truing/labeling/prompts/` or a file. `*` serves the other domains."""
    style: Style = Style()
    criteria: Annotated[tuple[str, ...], Field(min_length=1)] = ("overall",)
    """What is asked about each pair, one question each; the preference is the mean over them."""
    pairs: UnmarkedPairs | None = None
    """Pairs to label; absent takes completions of the start policy."""
    marked: Annotated[MarkedPairs, BeforeValidator(_no_source)] = MarkedPairs()
    """Null where there are none: nothing is then known of the labeler, and `gate.on_failure` has to be `warn`."""
    calibration: Calibration | None = None
    """Map the labeler's logits to people's choices before its labels are used; absent uses them as they are."""
    gate: Gate = Gate()
    batch: Positive = 128
    """Pairs handed to a labeler in one call; each batch is stored whole."""
    max_failed: Share = 0.1
    """The job stops when a larger share of its pairs has failed."""
    reuse: tuple[str, ...] = ()
    """Run folders whose labels are taken over where the same labeler was asked the same; nothing of that is asked again."""

    @field_serializer("marked")
    def _null(self, marked: MarkedPairs) -> dict[str, object] | None:
        """What was written as null is written as null again."""
        return marked.model_dump(mode="json") if marked.path or marked.more else None


class Agreement(Section):
    """The labeler against people, on several sets and asked in several ways."""

    sets: Annotated[tuple[HumanLabels, ...], Field(min_length=1)]
    """What people said."""
    styles: tuple[Style, ...] = ()
    """Ways of asking; two or more show how much the wording matters. Absent takes `label.style`."""
    templates: tuple[dict[str, str], ...] = ()
    """Templates by domain, as `label.templates`; each is asked in each style. Absent takes `label.templates`."""
    criteria: Annotated[tuple[str, ...], Field(min_length=1)] = ("overall",)
    """What is asked about each pair."""
    calibration: Calibration = Calibration()

    @model_validator(mode="before")
    @classmethod
    def _path(cls, given: object) -> object:
        """`agreement=FILE` on the command line is one set."""
        return {"sets": [{"path": given}]} if isinstance(given, str) else given

"""Files of outputs, ratings and verdicts that somebody recorded, and what is measured of them."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from truing.config.base import Section
from truing.config.roles import Positive

Scalar = bool | int | float | str
"""A value of a column."""

OutputMetric = Literal[
    "length", "ead", "distinct", "ngram_cosine", "compression_ratio", "self_bleu", "rouge", "exact_match"
]
"""What is measured of texts alone; the last two need a reference."""


class RecordedSource(Section):
    """A file of recorded rows; what kind of rows says `kind`."""

    name: str
    """What the figures call these data. Each recorded source has its own."""
    path: str
    """JSON Lines, a JSON array or Parquet (plain or gzipped), a folder, or `org/name:split` on the Hub."""
    where: dict[str, Scalar | tuple[Scalar, ...]] = Field(default_factory=dict)
    """Only rows whose columns have these values, or one of several: `{judge: gpt-4, style: [base, detailed]}`."""
    shift: str = "id"
    """`id` where the policies were trained on such prompts, else the name of the shift."""


class NoLengthControl(Section):
    """The win rate alone."""

    kind: Literal["none"] = "none"


class MinimalLengthControl(Section):
    """AlpacaEval's length control without the tables of its authors: not the figure of its leaderboard."""

    kind: Literal["minimal"] = "minimal"
    resamples: Annotated[int, Field(ge=0)] = 20
    """Fits for the interval, each as long as the figure itself; 0 gives no interval."""


class PublishedLengthControl(Section):
    """AlpacaEval 2's length control (length_controlled_v1). Preferences stand in the order of its 805 instructions."""

    kind: Literal["v1"] = "v1"
    gamed: str
    """`df_gamed.csv` of the data set tatsu-lab/alpaca_eval."""
    difficulty: str = ""
    """`instruction_difficulty.csv`; empty takes the difficulties that stand in `gamed`."""
    resamples: Annotated[int, Field(ge=0)] = 20
    """Fits for the interval, each as long as the figure itself; 0 gives no interval."""


LengthControl = Annotated[NoLengthControl | MinimalLengthControl | PublishedLengthControl, Field(discriminator="kind")]


class PreferenceColumns(Section):
    """The file's own columns; dots lead into nested rows."""

    policy: str = "model"
    """Names the model."""
    preference: str = "preference"
    """A number, or a list of one for each instruction."""
    item: str | None = None
    """Names the instruction; absent takes the position in the list, or of the row."""
    length: str | None = None
    """Characters of the model's output, in the form of `preference`."""
    baseline_length: str | None = None
    """Characters of the baseline's output."""


class RecordedPreferences(RecordedSource):
    """Pairwise preferences of models against one baseline: win rates as AlpacaEval gives them."""

    kind: Literal["preferences"] = "preferences"
    columns: PreferenceColumns = PreferenceColumns()
    scale: Literal["alpaca", "share"] = "alpaca"
    """`alpaca`: 1 is the baseline's, 2 the model's, 1.5 (or 0) a draw. `share`: P(model wins) in [0, 1]."""
    baseline: str = "the baseline"
    """What the baseline is called."""
    null_length: Literal["missing", "empty"] = "missing"
    """What a model's length of null means; `empty` counts 0 characters, as AlpacaEval does for an empty output."""
    length_control: LengthControl = NoLengthControl()
    """Give the win rate at equal length too."""

    @model_validator(mode="after")
    def _lengths(self) -> "RecordedPreferences":
        if self.length_control.kind != "none" and not (self.columns.length and self.columns.baseline_length):
            raise ValueError(
                "length_control needs both lengths: name columns.length and columns.baseline_length, or take it out"
            )
        return self


class OutputColumns(Section):
    """The file's own columns; dots lead into nested rows."""

    policy: str = "model"
    """Who wrote the output; not read where `policies` names a column each."""
    prompt: str | tuple[str, ...] = "prompt"
    """Tells prompts apart: an id, or the text; several columns together name one prompt."""
    output: str = "output"
    """What it wrote."""
    reference: str | None = None
    """One text or a list of them; for `rouge` and `exact_match`."""


class RecordedOutputs(RecordedSource):
    """Outputs of several policies to the same prompts: length, diversity, overlap with references."""

    kind: Literal["outputs"] = "outputs"
    columns: OutputColumns = OutputColumns()
    policies: dict[str, str] = Field(default_factory=dict)
    """Policy -> its column, where a row holds the outputs of all of them; a row of `columns.policy` is one output."""
    metrics: tuple[OutputMetric, ...] = ("length", "ead", "distinct")
    """Lengths in words and characters are always given. Diversity is per input where a prompt has several outputs."""
    cut_words: Positive | None = None
    """EAD and distinct also of outputs cut to so many words: EAD grows with the length of outputs."""
    against: dict[str, str] = Field(default_factory=dict)
    """Policy -> the one it is compared with: differences, paired by prompt."""

    @model_validator(mode="after")
    def _reference(self) -> "RecordedOutputs":
        wanting = next((metric for metric in ("rouge", "exact_match") if metric in self.metrics), None)
        if wanting and self.columns.reference is None:
            raise ValueError(f"{wanting} compares with a reference: name columns.reference, or take {wanting} out")
        return self


class NumberRating(Section):
    """A number of each output, such as its toxicity: the mean."""

    kind: Literal["number"] = "number"
    column: str
    """Column of the number."""
    unit: str = ""
    """Unit that the figures show."""
    at_least: float | None = None
    """Give the share of outputs with at least this number too."""


class LabelRating(Section):
    """A label of each output: the share of those that are yes."""

    kind: Literal["label"] = "label"
    column: str
    """Column of the label."""
    positive: tuple[Scalar, ...]
    """Values that mean yes."""
    negative: tuple[Scalar, ...] = ()
    """Values that mean no; others are then counted as missing. Empty: every other value means no, null is missing."""


class ProbabilityRating(Section):
    """A judge's P(yes) of each output: the share of outputs above the threshold, as TruthfulQA counts."""

    kind: Literal["probability"] = "probability"
    column: str
    """Column of P(yes)."""
    above: Annotated[float, Field(ge=0, lt=1)] = 0.5
    """The threshold: P(yes) above it is a yes."""


class AllRating(Section):
    """Outputs that several labels or probabilities of this source call yes, such as truthful and informative."""

    kind: Literal["all"] = "all"
    of: Annotated[tuple[str, ...], Field(min_length=2)]
    """Their names."""


Rating = Annotated[NumberRating | LabelRating | ProbabilityRating | AllRating, Field(discriminator="kind")]


class RatingColumns(Section):
    """The file's own columns; dots lead into nested rows."""

    policy: str = "model"
    """Whose output is rated."""
    item: str | tuple[str, ...] = "prompt"
    """Tells prompts apart; several columns together name one prompt."""
    group: str | None = None
    """Figures are given for each of its values: the wording of the prompt, say."""


class RecordedRatings(RecordedSource):
    """A number or a label that somebody gave to each output."""

    kind: Literal["ratings"] = "ratings"
    columns: RatingColumns = RatingColumns()
    ratings: Annotated[dict[str, Rating], Field(min_length=1)]
    """By what the figures call them."""
    against: dict[str, str] = Field(default_factory=dict)
    """Policy -> the one it is compared with: differences, paired by prompt."""

    @model_validator(mode="after")
    def _named(self) -> "RecordedRatings":
        labels = {name for name, one in self.ratings.items() if one.kind in ("label", "probability")}
        for name, one in self.ratings.items():
            unknown = set(one.of) - labels if isinstance(one, AllRating) else set[str]()
            if unknown:
                there = ", ".join(sorted(labels)) or "none"
                raise ValueError(f"ratings.{name}: {min(unknown)!r} is no label or probability here; there are {there}")
        return self


class JudgeColumns(Section):
    """The judge's own columns; dots lead into nested rows, and `{criterion}` stands for each criterion's name."""

    document: str = "doc_id"
    """Tells documents apart, about which systems wrote."""
    system: str = "system"
    """Who wrote the text that is judged."""
    score: str = "score"
    """A number or a reply, or a list of several, of which the mean is taken."""
    judge: str | None = None
    """Who judged; absent is one judge, called `judge`."""
    criterion: str | None = None
    """Which criterion a row is about; absent where a row holds the scores of all."""


class HumanScores(Section):
    """What people said of the same texts."""

    path: str | None = None
    """Their file; absent where the judge's rows hold their scores too."""
    document: str = "doc_id"
    """Column of the document."""
    system: str = "system"
    """Column of the system."""
    score: str = "human.{criterion}"
    """A number, or a list of one for each person, of which the mean is taken."""


class RecordedJudges(RecordedSource):
    """A judge's scores against people's: correlations at three levels, and the order of systems."""

    kind: Literal["judges"] = "judges"
    judge: str = "judge"
    """What the judge is called, where no column says."""
    columns: JudgeColumns = JudgeColumns()
    human: HumanScores = HumanScores()
    criteria: Annotated[tuple[str, ...], Field(min_length=1)] = ("overall",)
    """What was scored; each has its figures."""
    reading: Literal["number", "begins", "states"] = "number"
    """`begins`: a reply that begins with its score. `states`: one that gives its reasons first."""
    scale: tuple[float, float] = (1, 5)
    """Lowest and highest score of a reply; others are unparsable."""
    challenge: tuple[tuple[str, str], ...] = ()
    """Pairs of systems whose order is counted once more on their own."""


class ComparisonColumns(Section):
    """The file's own columns; dots lead into nested rows."""

    item: str | tuple[str, ...] = "doc_id"
    """Tells prompts or documents apart; several columns together name one."""
    first: str = "first"
    """The system that is shown first, where `swapped` is not true."""
    second: str = "second"
    """The other system."""
    swapped: str | None = None
    """True or false; absent where `first` always names the one that was shown first."""
    verdict: str = "verdict"
    """The reply that `coding` reads."""
    group: str | None = None
    """Figures are given for each of its values: the criterion, say."""


class RecordedComparisons(RecordedSource):
    """Verdicts on pairs that were shown in both orders: position bias, win rates, a ladder."""

    kind: Literal["comparisons"] = "comparisons"
    judge: str = "judge"
    """What the judge is called."""
    columns: ComparisonColumns = ComparisonColumns()
    coding: dict[str, Literal["first", "second", "tie"]] = Field(
        default_factory=lambda: {"first": "first", "second": "second", "tie": "tie"}
    )
    """What a reply that is, or begins with, one of these says of the answers as they were shown."""
    anchor: str | None = None
    """The system whose rating is 1000; absent takes the mean of all."""


Recorded = Annotated[
    RecordedPreferences | RecordedOutputs | RecordedRatings | RecordedJudges | RecordedComparisons,
    Field(discriminator="kind"),
]

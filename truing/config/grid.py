"""The evaluation grid: policies × data sets × temperatures × wordings × metrics (Kirk et al., arXiv 2310.06452; PAFT; FLAN)."""

from collections import Counter
from typing import Annotated, Literal

from pydantic import Field, model_validator

from truing.config.base import Section
from truing.config.grid_metrics import (
    Classifier,
    DirectScore,
    Divergence,
    Metric,
    SentenceBert,
    TextMetrics,
    WinRate,
    metric_name,
)
from truing.config.labeling import EndpointLabeler
from truing.config.recorded import Scalar
from truing.config.rewards import RewardParts
from truing.config.roles import Engine, Positive, Scorer, Share
from truing.config.supervised import Examples

Name = Annotated[str, Field(min_length=1, max_length=64)]


class ModelPolicy(Section):
    """A checkpoint: a folder of a run, any other folder, or a Hub name."""

    kind: Literal["model"] = "model"
    name: Name
    """What figures call it. Each policy has its own."""
    path: str = "demo"
    """`demo`, a local folder such as `runs/rloo/policy/model`, or a Hub name."""
    revision: str | None = None
    """Hub revision."""


class StudyPolicies(Section):
    """The study's own: the start policy, called `start`, and those that it has trained."""

    kind: Literal["study"] = "study"


class BestOf(Section):
    """The best of each n outputs of another policy, by the grid's `rewards`."""

    kind: Literal["best_of"] = "best_of"
    name: Name
    """What figures call it. Each policy has its own."""
    of: Name
    """The policy that writes them: a model or an endpoint of this grid."""
    n: Annotated[int, Field(ge=2)] = 4
    """Outputs of which the best is taken."""


class OutputFile(Section):
    """Outputs that somebody recorded, matched to the prompts of the data sets by their text."""

    kind: Literal["outputs"] = "outputs"
    name: Name
    """What figures call it. Each policy has its own."""
    path: str
    """JSON Lines, a JSON array or Parquet (plain or gzipped), a folder, or `org/name:split` on the Hub."""
    prompt: str = "prompt"
    """Column of the prompt, or a template of columns, as for the data set."""
    output: str = "output"
    """Column of the output. Several rows of a prompt are several outputs to it."""
    where: dict[str, Scalar | tuple[Scalar, ...]] = Field(default_factory=dict)
    """Only rows whose columns have these values."""


class EndpointPolicy(Section):
    """A model behind any server of OpenAI's chat completions."""

    kind: Literal["endpoint"] = "endpoint"
    name: Name
    """What figures call it. Each policy has its own."""
    endpoint: EndpointLabeler
    """Server, model, key variable, limits and budget, as for a labeler."""


GridPolicy = Annotated[ModelPolicy | StudyPolicies | BestOf | OutputFile | EndpointPolicy, Field(discriminator="kind")]


class Templates(Section):
    """Wordings of a task in a file, each asked of every item. How much they matter is then a figure of its own."""

    path: str
    """JSON Lines, JSON or Parquet with a template a row, or YAML with `prompts`, such as configs/prompts/paft_piqa.yaml."""
    column: str = "template"
    """The rows' column of the template. In it `\\n` may stand as two characters."""
    where: dict[str, Scalar | tuple[Scalar, ...]] = Field(default_factory=dict)
    """Only rows whose columns have these values: `{task: piqa, split: test}`."""
    fields: dict[str, str] = Field(default_factory=dict)
    """A template's field -> the data's column, where the two are called differently: `{ctx: context}`."""
    limit: Positive | None = None
    """The first so many."""


class ByLength(Section):
    """In distribution are prompts of at most so many words; longer ones are their own data set, of shift `length`."""

    kind: Literal["length"] = "length"
    words: Positive = 245
    """The paper's number, for posts of TL;DR."""


class ByLabel(Section):
    """In distribution are rows whose column has one of these values; the others are their own data set."""

    kind: Literal["label"] = "label"
    column: str
    """The column."""
    values: Annotated[tuple[str, ...], Field(min_length=1)]
    """Its values in distribution."""


class ByDistance(Section):
    """Out of distribution are prompts farther from the mean of training prompts than `quantile` of those are."""

    kind: Literal["distance"] = "distance"
    training: str
    """File of the prompts that the policies were trained on."""
    prompt: str = "prompt"
    """Its column, or a template of columns."""
    model: str = "demo"
    """Sentence-BERT: `demo`, a local folder or a Hub name."""
    quantile: Share = 0.95
    """Share of the training prompts that lie within the bound."""


class DataSet(Section):
    """Where items come from. Each data set has its own name."""

    name: Name
    """What figures call it."""
    shift: Annotated[str, Field(min_length=1)] = "id"
    """`id` where the policies were trained on such prompts, else the name of the shift."""
    wordings: Templates | None = None
    """Absent asks as the data do."""


class PromptSet(DataSet):
    """Prompts that policies answer in their own words."""

    kind: Literal["prompts"] = "prompts"
    path: str
    """JSON Lines, a JSON array or Parquet (plain or gzipped), a folder, or `org/name:split` on the Hub."""
    prompt: Annotated[str, Field(min_length=1)] = "prompt"
    """Column of the prompt, or a template with {column} fields; {a.b.0} reaches into a column."""
    reference: str | None = None
    """Column of a text, or a list of texts, that outputs are compared with; a template as for `prompt`."""
    domain: str = "default"
    """What the labeler's templates and the reward graph take the prompts for."""
    where: dict[str, Scalar | tuple[Scalar, ...]] = Field(default_factory=dict)
    """Only rows whose columns have these values."""
    longest: Positive | None = None
    """Leave out prompts of more characters."""
    limit: Positive | None = None
    """Use so many, those whose texts hash lowest: the same ones wherever and whenever."""
    split: Annotated[ByLength | ByLabel | ByDistance, Field(discriminator="kind")] | None = None
    """Part the prompts in two: those in distribution keep the name and the shift, the others are `NAME, KIND`."""


class ChoiceSet(DataSet):
    """Questions with choices, answered by the likeliest one (rank classification: FLAN, arXiv 2109.01652, §2.3)."""

    kind: Literal["choices"] = "choices"
    examples: Examples
    """How rows are read."""
    chat: bool = False
    """Ask in the model's chat template; else the prompt is plain text that the choice goes on from."""
    delimiter: str = " "
    """Between prompt and choice, where the prompt is plain text."""
    mutual_information: bool = False
    """Rank by ln P(choice | prompt) - ln P(choice) too."""
    top: Share = 0.5
    """Accuracy from which a wording counts as a good one: the share of those is reported."""


class StudyPrompts(Section):
    """The study's own held-out and shifted prompts, `prompts_per_split` of each: a data set for each split."""

    kind: Literal["study"] = "study"


GridData = Annotated[PromptSet | ChoiceSet | StudyPrompts, Field(discriminator="kind")]


class Grid(Section):
    """What is measured of whom, where, and at which temperatures. Each cell is written once."""

    policies: Annotated[tuple[GridPolicy, ...], Field(min_length=1)] = (
        StudyPolicies(),
        BestOf(name="best of 4", of="start", n=4),
    )
    """Who is measured."""
    baseline: str = ""
    """The policy that win rates, KL and differences are against; empty takes the first."""
    data: Annotated[tuple[GridData, ...], Field(min_length=1)] = (StudyPrompts(),)
    """What they are asked."""
    temperatures: Annotated[tuple[Annotated[float, Field(ge=0)], ...], Field(min_length=1)] = (1.0,)
    """At 0 a policy has one output to a prompt, and is asked once."""
    completions: Positive = 4
    """K: outputs of one policy to one prompt."""
    max_tokens: Positive = 48
    """Longest output."""
    metrics: tuple[Metric, ...] = (TextMetrics(), SentenceBert(), WinRate(), Divergence())
    """What is measured of their outputs."""
    rewards: RewardParts | None = None
    """The reward graph: its total and parts are metrics, and best-of-n chooses by the total. Absent takes that of the study's
    `policy`, and where there is none, whether an output ended by itself."""
    engine: Engine = Engine()
    scorer: Scorer = Scorer()

    @model_validator(mode="after")
    def _names(self) -> "Grid":
        named = [one.name for one in self.policies if not isinstance(one, StudyPolicies)]
        named_data = [one.name for one in self.data if not isinstance(one, StudyPrompts)]
        for what, names in (("policies", named), ("data", named_data)):
            twice = [name for name, n in Counter(names).items() if n > 1]
            if twice:
                raise ValueError(f"{what}: two are called {twice[0]!r}; give each its own name")
        return self

    @model_validator(mode="after")
    def _figures_apart(self) -> "Grid":
        """Two metrics that call their figures the same would be one figure, the mean of both."""
        names = Counter(map(metric_name, self.metrics))
        twice = next((one for one in self.metrics if names[metric_name(one)] > 1), None)
        if twice is not None:
            remedy = "give each its own name" if isinstance(twice, DirectScore | Classifier) else "leave one out"
            raise ValueError(f"metrics: two are called {metric_name(twice)!r}, and so would their figures be; {remedy}")
        return self

    @model_validator(mode="after")
    def _best_of(self) -> "Grid":
        writers = {one.name for one in self.policies if isinstance(one, ModelPolicy | EndpointPolicy)}
        own = any(isinstance(one, StudyPolicies) for one in self.policies)
        for one in self.policies:
            if isinstance(one, BestOf) and self.rewards == ():
                raise ValueError(f"policies: {one.name!r} is the best of {one.n} by `rewards`, which is empty; fill it")
            if isinstance(one, BestOf) and one.of not in writers and not own:
                known = ", ".join(sorted(writers)) or "none"
                raise ValueError(f"policies: {one.name!r} is of {one.of!r}, which is no model here; there are {known}")
        return self

    @model_validator(mode="after")
    def _references(self) -> "Grid":
        wanting = next((one.name for one in self.data if isinstance(one, PromptSet) and one.reference is None), None)
        for metric in self.metrics:
            if isinstance(metric, WinRate) and metric.against == "reference" and wanting is not None:
                raise ValueError(
                    f"metrics: a win rate against the reference, and {wanting!r} has none; name its column"
                )
        return self

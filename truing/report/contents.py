"""What a report page holds. Shares lie in [0, 1]; a figure nobody measured is None or NaN and is shown as missing."""

from collections.abc import Mapping
from dataclasses import dataclass

from truing.report.grid_contents import Grid
from truing.report.recorded_contents import Recorded


@dataclass(frozen=True)
class Estimate:
    """`value` from `n` items, with its 95 % interval [low, high] in the unit of the value, or None where unknown."""

    value: float
    low: float | None
    high: float | None
    n: int


@dataclass(frozen=True)
class Table:
    """What a stage printed: one row of cells a line, as many as there are columns. Raises ValueError otherwise."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str | float | int | None, ...], ...]
    note: str = ""

    def __post_init__(self) -> None:
        for i, row in enumerate(self.rows):
            if len(row) != len(self.columns):
                raise ValueError(
                    f"table {self.title!r} has {len(self.columns)} columns, but row {i} has {len(row)} cells: "
                    "fill what is missing with None."
                )


@dataclass(frozen=True)
class TrustRow:
    """The labeler on `n` pairs, of one domain or of all, that humans have marked.

    `alignment`, `flip_rate`, `same_position`, `label_mass` and `ece`, the expected calibration error, are shares;
    `kappa` is Cohen's, None where it is undefined. `preferred_position` is the one that wins both orders more often
    ("first", "second", or "none") and `position_p_value` the test of that being chance; `entropy` is in nats. Of a judge
    that was asked in one order only, `flip_rate` and `same_position` are None, `preferred_position` is empty.
    """

    domain: str
    n: int
    alignment: Estimate
    kappa: Estimate | None
    flip_rate: Estimate | None
    same_position: Estimate | None
    preferred_position: str
    position_p_value: float
    label_mass: Estimate
    entropy: Estimate
    ece: Estimate


@dataclass(frozen=True)
class CalibrationBin:
    """`n` pairs whose predicted probability is in [low, high]: its mean, and the share observed."""

    low: float
    high: float
    n: int
    predicted: float
    observed: float


LENGTHS = ("much shorter", "shorter", "equally long", "longer", "much longer")
"""How long the response that humans prefer is beside the other; much: by more than the median difference."""


@dataclass(frozen=True)
class LabelerTrust:
    """One labeler, asked in one way, on one set of marked pairs.

    `unanswered` counts the questions that it did not answer. The `bins` have its mean confidence as prediction and the
    share of agreement as observation. Agreement stands in `by_length` by the names of `LENGTHS`, in `by_confidence` by
    ranges of confidence that sort by name; `median_gap` is the median difference in length, in characters.
    """

    labeler: str
    asking: str
    overall: TrustRow
    unanswered: int
    bins: tuple[CalibrationBin, ...]
    by_length: tuple[tuple[str, Estimate], ...]
    median_gap: float | None
    by_confidence: tuple[tuple[str, Estimate], ...]


@dataclass(frozen=True)
class Prediction:
    """Probabilities against human marks: `alignment` and `ece` are shares, `log_loss` is in nats a pair."""

    alignment: Estimate
    ece: Estimate
    log_loss: Estimate
    brier: Estimate


@dataclass(frozen=True)
class CalibrationEffect:
    """What a map fitted on `pairs` pairs does on others: P = σ(`logit` · log-odds + `length` · characters longer).

    `flip_rate` is the raw labeler's, `changed` the share of pairs whose verdict is another one after the map.
    """

    name: str
    pairs: int
    logit: float
    length: float
    before: Prediction
    after: Prediction
    flip_rate: Estimate | None
    changed: Estimate


@dataclass(frozen=True)
class Concordance:
    """Kendall's W of several labelers over the same questions: 1 where all rank them alike, 0 where ranks cancel."""

    labelers: tuple[str, ...]
    w: Estimate


@dataclass(frozen=True)
class Measured:
    """What is known of the labelers on one set of marked pairs; the first of them is the study's own, as a whole."""

    labelers: tuple[LabelerTrust, ...]
    calibration: tuple[CalibrationEffect, ...]
    concordance: Concordance | None


@dataclass(frozen=True)
class WordingSpread:
    """Agreement by way of asking, over the same pairs; `spread` is its standard deviation, all figures are shares."""

    alignment: tuple[tuple[str, Estimate], ...]
    lowest: Estimate
    highest: Estimate
    spread: Estimate
    changed: Estimate


@dataclass(frozen=True)
class PeopleAgreement:
    """How far people agree with each other: a share, and the rest beyond chance. `couples`: their share and kappa."""

    agreement: Estimate | None
    fleiss: Estimate | None
    alpha: Estimate | None
    couples: tuple[tuple[str, Estimate | None, Estimate | None], ...]


@dataclass(frozen=True)
class AgreementSet:
    """An agreement study on one set: `pairs`, `ties` among them, rows `left_out` by reason, questions `asked`."""

    name: str
    pairs: int
    ties: int
    left_out: Mapping[str, int]
    asked: int
    failed: int
    measured: Measured
    wording: WordingSpread | None
    people: PeopleAgreement | None


@dataclass(frozen=True)
class RewardModelSummary:
    """Held-out `accuracy` by source or domain (shares), `calibration`, and the training loss (nats) of each step."""

    accuracy: tuple[tuple[str, Estimate], ...]
    calibration: tuple[CalibrationBin, ...]
    losses: tuple[float, ...]


@dataclass(frozen=True)
class Step:
    """One RL step: means over its rollouts, and of `entropy`, `logprob_gap`, `ratio` and `grad_norm` over its updates.

    `kl` is that of the policy to the reference in nats a response; `entropy` and `logprob_gap` (sampler against
    learner, absolute) in nats a token; `ratio` is a token's probability before an update over that before the first one, both
    by the learner; `length` in tokens.
    """

    step: int
    reward: float
    parts: Mapping[str, float]
    kl: float
    entropy: float
    logprob_gap: float
    ratio: float
    length: float
    grad_norm: float
    seconds: float


@dataclass(frozen=True)
class Contents:
    """All of a page. Any part may be empty or None: the page then says that it was not run, or leaves it out.

    `summary` is the verdict in one line. `gate` says, a reason each, why the labeler would stop a real run; with a
    filled `trust` and an empty `gate` the labeler has passed. `measured` is more of the same labeler on the same pairs
    as `trust`. `costs` are seconds by stage, in order; `nodes` says how long machines of each kind were there.
    """

    name: str
    created: str
    summary: str
    trust: tuple[TrustRow, ...]
    gate: tuple[str, ...]
    measured: Measured | None
    agreement: tuple[AgreementSet, ...]
    reward_model: RewardModelSummary | None
    steps: tuple[Step, ...]
    stages: tuple[Table, ...]
    costs: tuple[tuple[str, float], ...]
    config_yaml: str
    provenance: Mapping[str, str]
    recorded: tuple[Recorded, ...] = ()
    grid: Grid | None = None
    nodes: Table | None = None

"""What a report page holds. Shares lie in [0, 1]; a figure nobody measured is None or NaN and is shown as missing."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

Split = Literal["id", "ood_domain", "ood_style"]
"""In distribution, or one of two shifts: prompts of another domain, or written in another style."""

SPLITS: tuple[Split, ...] = get_args(Split)


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
    """The labeler on `n` pairs of one domain that humans have marked.

    `alignment`, `flip_rate`, `same_position` and `label_mass` are shares; `preferred_position` is the one that wins
    both orders more often ("first", "second", or "none") and `position_p_value` the test of that being chance;
    `entropy` is in nats; `ece` is the expected calibration error, a share.
    """

    domain: str
    n: int
    alignment: Estimate
    flip_rate: Estimate
    same_position: Estimate
    preferred_position: str
    position_p_value: float
    label_mass: float
    entropy: float
    ece: float


@dataclass(frozen=True)
class CalibrationBin:
    """`n` held-out pairs whose predicted probability is in [low, high]: its mean, and the share observed."""

    low: float
    high: float
    n: int
    predicted: float
    observed: float


@dataclass(frozen=True)
class RewardModelSummary:
    """Held-out `accuracy` by source or domain (shares), `calibration`, and the training loss (nats) of each step."""

    accuracy: tuple[tuple[str, Estimate], ...]
    calibration: tuple[CalibrationBin, ...]
    losses: tuple[float, ...]


@dataclass(frozen=True)
class Step:
    """One RL step: means over its rollouts.

    `kl` is that of the policy to the reference in nats a response; `entropy` and `logprob_gap` (sampler against
    learner, absolute) in nats a token; `ratio` is policy over sampler probability; `length` in tokens.
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
class PolicyResult:
    """One policy on one split: `k` outputs for each of `n_prompts` prompts.

    `win_rate` against the start policy is a share (0.5 = no better), None for the start policy itself. `kl` to the
    reference is in nats a response, `length` in tokens. The four diversity figures grow with diversity.
    Raises ValueError for an unknown split, or a win rate that is no share.
    """

    policy: str
    split: Split
    n_prompts: int
    k: int
    win_rate: Estimate | None
    reward: Estimate
    parts: Mapping[str, Estimate]
    kl: Estimate | None
    length: Estimate
    ead_per_input: Estimate | None
    ead_across: Estimate | None
    sbert_per_input: Estimate | None
    sbert_across: Estimate | None

    def __post_init__(self) -> None:
        _check_split(self.split)
        if self.win_rate and (self.win_rate.value < 0 or self.win_rate.value > 1):
            raise ValueError(
                f"the win rate of {self.policy!r} is {self.win_rate.value}, not a share in [0, 1]: "
                "divide percents by 100."
            )


@dataclass(frozen=True)
class Sample:
    """One prompt with what each policy answered and the reward it got. Raises ValueError for an unknown split."""

    prompt: str
    domain: str
    split: Split
    outputs: Mapping[str, str]
    rewards: Mapping[str, float]

    def __post_init__(self) -> None:
        _check_split(self.split)


@dataclass(frozen=True)
class Contents:
    """All of a page. Any part may be empty or None: the page then says that it was not run.

    `summary` is the verdict in one line. `gate` says, a reason each, why the labeler would stop a real run; with a
    filled `trust` and an empty `gate` the labeler has passed. `costs` are seconds by stage, in order.
    """

    name: str
    created: str
    summary: str
    trust: tuple[TrustRow, ...]
    gate: tuple[str, ...]
    reward_model: RewardModelSummary | None
    steps: tuple[Step, ...]
    results: tuple[PolicyResult, ...]
    samples: tuple[Sample, ...]
    stages: tuple[Table, ...]
    costs: tuple[tuple[str, float], ...]
    config_yaml: str
    provenance: Mapping[str, str]


def start_policy(results: tuple[PolicyResult, ...]) -> str | None:
    """The policy that the others are compared with: the first that has no win rate on any split."""
    compared = {result.policy for result in results if result.win_rate is not None}
    return next((result.policy for result in results if result.policy not in compared), None)


def policies(results: tuple[PolicyResult, ...]) -> tuple[str, ...]:
    """The names of the policies, in order of first mention."""
    return tuple(dict.fromkeys(result.policy for result in results))


def _check_split(split: str) -> None:
    if split not in SPLITS:
        raise ValueError(f"unknown split {split!r}: it is one of {', '.join(SPLITS)}.")

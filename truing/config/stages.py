"""What each stage of a study does: sample, label, reward model, evaluate. RL is in `truing.config.policy`."""

from typing import Annotated, Literal

from pydantic import Field

from truing.config.base import Section
from truing.config.roles import Engine, Learner, Model, Positive, Scorer, Share


class Prompts(Section):
    """The prompts that policies answer."""

    path: str = "demo"
    """`demo` (the embedded prompts) or a JSON Lines file with `text` and, optionally, `id`, `domain` and `split`."""
    holdout: Annotated[int, Field(ge=0)] = 24
    """In-distribution prompts kept out of training, for evaluation. Chosen by the hash of their ids."""


class Sampling(Section):
    """How completions are drawn. The temperature is the same in the engine and in the learner."""

    temperature: Annotated[float, Field(gt=0)] = 1.0
    """Softmax temperature."""
    max_tokens: Positive = 48
    """Longest completion."""


class Sample(Section):
    """Completions of the start policy, to be compared by the labeler."""

    completions: Annotated[int, Field(ge=2)] = 2
    """Completions of one prompt; each two neighbours become a pair."""
    sampling: Sampling = Sampling()
    engine: Engine = Engine()


class MarkedPairs(Section):
    """Pairs whose better response people have marked."""

    path: str = "demo"
    """`demo` (the embedded pairs) or a JSON Lines file of `prompt`, `chosen`, `rejected`, optionally `id`, `domain`."""
    train_share: Share = 0.5
    """Share of the marked pairs mixed into the reward model's training data; the others test it."""


class Gate(Section):
    """What a labeler must reach on the marked pairs before its labels are trained on."""

    min_alignment: Share = 0.6
    """Least agreement with people."""
    max_flip_rate: Share = 0.4
    """Largest share of pairs whose winner changes with the order of presentation."""
    max_unparsable: Share = 0.05
    """Largest share of verdicts that could not be read."""
    on_failure: Literal["stop", "warn"] = "stop"
    """`stop` ends the run before anything is trained; `warn` says so and goes on."""


class Label(Section):
    """The AI labeler (Lee et al., arXiv 2309.00267)."""

    model: Model = Model(context=1024)
    """The judge. It may be another model than the policy."""
    engine: Engine = Engine()
    templates: dict[str, str] = Field(default_factory=lambda: {"*": "helpful"})
    """Template of each domain: a name in `truing/labeling/prompts/` or a file. `*` serves the other domains."""
    marked: MarkedPairs = MarkedPairs()
    gate: Gate = Gate()
    max_failed: Share = 0.1
    """The job stops when a larger share of its pairs has failed."""


class RewardModel(Section):
    """A scalar head on the start policy, trained on soft preferences."""

    learner: Learner = Learner(learning_rate=2e-5)
    epochs: Positive = 1
    """Passes over the training pairs."""
    batch: Positive = 16
    """Pairs of one update."""
    label_weight: Annotated[float, Field(ge=0)] = 1.0
    """Weight of a pair labelled by the AI; a marked pair weighs 1."""
    holdout: Share = 0.1
    """Share of the AI-labelled pairs kept for testing."""


class Evaluate(Section):
    """Start policy, best-of-n and trained policy, in and out of distribution."""

    prompts_per_split: Positive = 16
    """Prompts of each split (in-distribution: from the held-out prompts)."""
    completions: Annotated[int, Field(ge=2)] = 4
    """Completions of one prompt that each policy is judged on: K of the diversity metrics."""
    best_of: Annotated[int, Field(ge=2)] = 4
    """n of best-of-n. The start policy draws n·K completions, so that best-of-n has K independent ones too."""
    sampling: Sampling = Sampling()
    engine: Engine = Engine()
    scorer: Scorer = Scorer()
    embedder: str = "demo"
    """`demo` (all-MiniLM-L6-v2, prepared by `make`), a local folder or a Hub name for Sentence-BERT."""

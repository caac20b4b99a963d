"""Trainers that learn from stored data: supervised fine-tuning, reward model, direct preference."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from truing.config.base import Section
from truing.config.roles import Engine, Learner, Positive, Scorer, Share
from truing.config.stages import HumanLabels, Sampling
from truing.config.supervised import Examples, Mixture, PromptBank


class Passes(Section):
    """How a trainer goes over its data."""

    learner: Learner = Learner()
    epochs: Positive = 1
    """Passes over the training data."""
    batch: Positive = 16
    """Items of one update: prompts with all their comparisons, or demonstrations."""
    steps: Positive | None = None
    """Updates at most; absent makes all of the epochs."""
    evaluate_every: Positive | None = None
    """Updates between two looks at the held-out data; absent looks once, at the end."""
    patience: Positive | None = None
    """Looks without a lower held-out loss after which training stops; what is kept is the best look's model."""
    checkpoint_every: Positive = 50
    """Updates between checkpoints."""
    keep: Positive = 1
    """Last checkpoints that stay while the stage runs; the best one stays beside them."""

    @model_validator(mode="after")
    def _looks(self) -> "Passes":
        if self.patience is not None and self.evaluate_every is None:
            raise ValueError("patience counts looks at the held-out data: set evaluate_every too")
        return self


class LabelSource(Section):
    """How the preferences of one source are used."""

    weight: Annotated[float, Field(ge=0)] = 1.0
    """Weight of a pair in the loss; over a source the rows' own weights are 1 on average."""
    temperature: Annotated[float, Field(ge=0)] = 1.0
    """Soft labels become σ(logit(p) / temperature): 1 leaves them, 0 makes them hard."""
    holdout: Share = 0.1
    """Share of its prompts kept for testing. Which ones depends on the prompts' texts alone."""


class Preferences(Passes):
    """What reward model and direct preference learn from."""

    data: tuple[HumanLabels, ...] = ()
    """Pairs marked by people, beside what `truing label` stored. Each is a source of its name."""
    earlier: tuple[str, ...] = ()
    """Folders of other runs whose stored preferences are trained on too."""
    sources: dict[str, LabelSource] = Field(default_factory=dict)
    """By source: `ai` (the labeler's), `marked` (`label.marked`), or a name in `data`. One not named has the defaults."""


class RewardModel(Preferences):
    """A scalar head on the start policy, trained on soft preferences (Lee et al., arXiv 2309.00267)."""

    learner: Learner = Learner(learning_rate=2e-5)
    margin: Annotated[float, Field(ge=0)] = 0.0
    """Rewards by which the better response must lead, a unit of the row's strength (Llama 2, arXiv 2307.09288)."""


class Dpo(Preferences):
    """Direct preference optimisation of the start policy (Rafailov et al., arXiv 2305.18290)."""

    learner: Learner = Learner(learning_rate=1e-6)
    loss: Literal["dpo", "ipo"] = "dpo"
    """`ipo`: a squared loss with a finite target (Azar et al., arXiv 2310.12036)."""
    beta: Annotated[float, Field(gt=0)] = 0.1
    """β (τ in IPO): larger keeps nearer to the start policy."""
    smoothing: Annotated[float, Field(ge=0, lt=0.5)] = 0.0
    """ε of conservative DPO: the share of labels taken to be wrong."""
    reference: Scorer = Scorer()


class Generate(Section):
    """Answers to held-out demonstrations, compared with the right ones by ROUGE-L."""

    answers: Positive = 64
    """Held-out demonstrations that are answered."""
    sampling: Sampling = Sampling(temperature=0.01)
    engine: Engine = Engine()


class Sft(Passes):
    """Supervised fine-tuning on demonstrations: loss on the answer's tokens alone."""

    data: Annotated[tuple[Examples, ...], Field(min_length=1)] | Mixture
    """Sources of demonstrations, or a mixture of tasks in clusters (FLAN)."""
    prompts: PromptBank | None = None
    """Draw the wording of each prompt from a bank (PAFT); its `epochs` then counts instead."""
    holdout: Share = 0.1
    """Share of the demonstrations kept for testing, by their hash."""
    generate: Generate | None = None
    """Answer held-out demonstrations before and after, and compare with their answers; absent compares likelihoods alone."""

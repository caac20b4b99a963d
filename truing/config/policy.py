"""Reinforcement learning: the algorithm, how batches are written; and rejection sampling."""

from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator

from truing.config.base import Section
from truing.config.kl import Kl
from truing.config.rewards import AiScorePart, FinishedPart, RewardModelPart, SomeParts
from truing.config.roles import Engine, Learner, Positive, Push, Scorer, Share
from truing.config.stages import Sampling
from truing.config.training import Passes


class Rloo(Section):
    """REINFORCE leave-one-out (Ahmadian et al., arXiv 2402.14740)."""

    kind: Literal["rloo"] = "rloo"
    completions: Annotated[int, Field(ge=2)] = 4
    """Completions of one prompt; each is the baseline of the others."""


class Grpo(Section):
    """Group-relative policy optimisation (Shao et al., arXiv 2402.03300). Its KL penalty is in the loss."""

    kind: Literal["grpo"] = "grpo"
    completions: Annotated[int, Field(ge=2)] = 4
    """G: completions of one prompt."""
    epochs: Positive = 1
    """Passes over one batch of rollouts (μ)."""
    minibatches: Positive = 1
    """Updates of one pass."""
    clip: Annotated[float, Field(gt=0, lt=1)] = 0.2
    """ε: the ratio's trust region."""


class Reinforce(Section):
    """REINFORCE with a learned value baseline (Williams 1992; RLAIF's learner, Lee et al., arXiv 2309.00267)."""

    kind: Literal["reinforce"] = "reinforce"
    completions: Positive = 1
    """Completions of one prompt."""
    discount: Annotated[float, Field(gt=0, le=1)] = 1.0
    """γ: what the reward of the next token is worth now."""
    value_clip: Annotated[float, Field(gt=0)] = 0.2
    """Largest change of a value that the critic's loss rewards."""
    critic: Learner = Learner(learning_rate=2e-5)


class Ppo(Section):
    """Proximal policy optimisation with a critic (Schulman et al., arXiv 1707.06347)."""

    kind: Literal["ppo"] = "ppo"
    completions: Positive = 1
    """Completions of one prompt."""
    epochs: Positive = 1
    """Passes over one batch of rollouts."""
    minibatches: Positive = 2
    """Updates of one pass."""
    clip: Annotated[float, Field(gt=0, lt=1)] = 0.2
    """ε: the ratio's trust region."""
    value_clip: Annotated[float, Field(gt=0)] = 0.2
    """Largest change of a value that the critic's loss rewards."""
    discount: Annotated[float, Field(gt=0, le=1)] = 1.0
    """γ: what the reward of the next token is worth now."""
    gae_lambda: Annotated[float, Field(ge=0, le=1)] = 0.95
    """λ of the generalised advantage estimate."""
    critic: Learner = Learner(learning_rate=2e-5)


Algorithm = Annotated[Rloo | Grpo | Reinforce | Ppo, Field(discriminator="kind")]


class Pretraining(Section):
    """Texts whose likelihood must not fall (Ouyang et al., arXiv 2203.02155, eq. 2, last term)."""

    path: str
    """JSON Lines or Parquet, plain or gzipped, or `org/name:split`."""
    column: str = "text"
    """Column of the text."""
    weight: Annotated[float, Field(gt=0)] = 1.0
    """γ: its loss a token beside the policy's loss a token."""
    texts: Positive = 4
    """Texts of one update."""
    length: Positive = 256
    """Tokens of a text that are read."""


class Rollouts(Section):
    """How the batches of completions are written."""

    ahead: Literal[0, 1] = 0
    """1: the engines write the next batch while the learner trains on this one, which is then one version old."""
    swap: Literal["batch", "token"] = "batch"
    """When engines that write ahead take new weights: after the batch, or at once, between two tokens. What is not done is then
    gone on with in the new version, and nobody waits for the longest completion; but how far it had come hangs on the clock,
    and a resumed run is no longer the uninterrupted one to the last bit."""
    slice_size: Positive | None = None
    """Prompts of an engine that go to the reward graph and the reference as soon as they are done, while others are still
    written. Absent: all of them together."""
    spare: Annotated[int, Field(ge=0)] = 0
    """Prompts that each engine works on beyond its share of the batch, which is then made of those that are done first. The
    others are gone on with in the next step."""
    staleness: Positive = 2
    """Versions after its first token in which a prompt that was put off is waited for."""

    @model_validator(mode="after")
    def _swap_needs_ahead(self) -> "Rollouts":
        if self.swap == "token" and not self.ahead:
            raise ValueError("swap token changes the weights under a batch that is written ahead: give ahead: 1 too")
        return self


class Policy(Section):
    """Reinforcement learning from the reward graph."""

    algorithm: Algorithm = Rloo()
    """How rewards become updates."""
    rewards: SomeParts = (RewardModelPart(), AiScorePart(), FinishedPart())
    """The reward graph: a weighted sum of these parts."""
    kl: Annotated[Kl, Field(validate_default=True)] = Kl()
    steps: Positive = 10
    """Rollout batches."""
    prompts: Positive = 8
    """Prompts of one rollout batch."""
    sampling: Sampling = Sampling()
    engine: Engine = Engine()
    reference: Scorer = Scorer()
    learner: Learner = Learner(learning_rate=1e-6)
    entropy: Annotated[float, Field(ge=0)] = 0.0
    """Weight of an entropy bonus, in reward units a nat."""
    whiten_rewards: bool = False
    """Scale the rewards of a batch to mean 0 and deviation 1 before the KL penalty. What is reported stays raw."""
    drop_equal: bool = False
    """Leave out prompts whose completions all have the same raw reward: they teach nothing (DAPO, arXiv 2503.14476)."""
    pretraining: Pretraining | None = None
    """Mix a language-modelling loss into every update (PPO-ptx)."""
    rollouts: Rollouts = Rollouts()
    importance_cap: Annotated[float, Field(ge=1)] = 2.0
    """Cap of the learner-to-engine importance weight of a token."""
    push: Push = Push()
    probe_tolerance: Annotated[float, Field(gt=0)] = 0.15
    """Largest mean log-prob difference (nats) between engine and learner on the probe after a weight push."""
    checkpoint_every: Positive = 5
    """Steps between checkpoints; the last step always writes one."""
    keep: Positive = 1
    """Last checkpoints that stay while the stage runs."""
    max_failed: Share = 0.1
    """The job stops when a larger share of a batch's rewards has failed."""

    @field_validator("kl")
    @classmethod
    def _where_the_penalty_is(cls, kl: Kl, info: ValidationInfo) -> Kl:
        return kl.in_loss() if isinstance(info.data.get("algorithm"), Grpo) else kl

    @model_validator(mode="after")
    def _consistent(self) -> "Policy":
        self.push.chosen(self.learner, self.engine)
        if self.engine.tensor_parallel > 1:
            raise ValueError("engine.tensor_parallel is for engines that keep their weights: give it 1 here")
        joining = (self.engine.max_count or 0) > self.engine.count
        if self.rollouts.swap == "token" and self.rollouts.spare and joining:
            raise ValueError(
                "rollouts.swap token goes on with as many spare prompts as there were engines: leave engine.max_count or"
                " rollouts.spare out"
            )
        return self


class RejectionSampling(Passes):
    """Best-of-n sampling by the reward graph, then supervised fine-tuning on the best (Llama 2, arXiv 2307.09288, §3.2.3)."""

    learner: Learner = Learner(learning_rate=1e-5)
    samples: Annotated[int, Field(ge=2)] = 8
    """n: completions of one prompt, the best of which is learned from."""
    rewards: SomeParts = (RewardModelPart(),)
    """The reward graph: a weighted sum of these parts."""
    sampling: Sampling = Sampling()
    engine: Engine = Engine()
    scorer: Scorer = Scorer()
    max_failed: Share = 0.1
    """The job stops when a larger share of completions or rewards has failed."""

    @model_validator(mode="after")
    def _no_looks(self) -> "RejectionSampling":
        if self.evaluate_every is not None:
            raise ValueError("rejection sampling holds nothing out to look at: leave evaluate_every and patience out")
        return self

"""A study: one file that says what is sampled, labelled, trained and measured."""

from typing import Annotated, Any, Self

from pydantic import Field, field_validator, model_validator

from truing.config.base import Section
from truing.config.evaluation import Evaluate
from truing.config.labeling import EngineLabeler, Labeler
from truing.config.policy import Policy, RejectionSampling
from truing.config.roles import Cluster, Model, Positive
from truing.config.serving import Serve
from truing.config.stages import Agreement, Label, Prompts, Sample
from truing.config.supervised import Wordings
from truing.config.tracking import Trackers
from truing.config.training import Dpo, RewardModel, Sft

RunName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]

CHANGED = ("reward_model", "dpo", "rejection", "policy", "labeler", "seed")
"""Sections in which arms may differ: what is trained, after all that they share."""


class Armed(Section):
    """What may be trained in several ways."""

    arms: dict[RunName, dict[str, Any]] = Field(default_factory=dict)
    """Ways of training that are compared: a name -> what differs, dotted keys and values as on the command line, such as
    `{policy.kl.coefficient: 0.1}`. `reward_model`, `dpo`, `rejection`, `policy`, `labeler` and `seed` may differ; all else is
    done once."""

    @field_validator("arms")
    @classmethod
    def _differ_in_training(cls, arms: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
        for name, changes in arms.items():
            for key in changes:
                if key.partition(".")[0] not in CHANGED:
                    raise ValueError(
                        f"{name} changes {key}, which all arms share; one may change {', '.join(CHANGED)}: give {key} to the study,"
                        " or make it two studies"
                    )
        return arms


class Study(Armed):
    """The whole configuration. A stage whose section is absent is not part of the study, but for `sample`: it is left out with
    `sample: null`."""

    name: RunName
    """Folder of the run below `storage`."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Every random choice derives from it."""
    storage: str = "runs"
    """Folder that holds the runs, or a URI that `pyarrow.fs` can open, such as `s3://bucket/prefix`: a run is then worked on in a
    folder of this machine and kept there. Credentials come from the environment alone."""
    model: Model = Model()
    """The start policy."""
    cluster: Cluster = Cluster()
    prompts: Prompts = Prompts()
    labeler: Labeler = EngineLabeler()
    """Who gives AI preferences and scores, in labelling, in the reward graph and in the evaluation."""
    wordings: Wordings | None = None
    """Have models write candidate prompts for `sft.prompts`."""
    sft: Sft | None = None
    """Supervised fine-tuning of `model`; what comes of it is the start policy of all later stages."""
    sample: Sample | None = Sample()
    """Drawn where the section is absent. Null draws none: the pairs come from a file, or nothing is labelled."""
    label: Label = Label()
    agreement: Agreement | None = None
    """Measure the labeler on these sets; `agreement=FILE` on the command line is the short form."""
    reward_model: RewardModel | None = None
    dpo: Dpo | None = None
    rejection: RejectionSampling | None = None
    policy: Policy | None = None
    trackers: Trackers = ()
    """Where each training step's figures go, beside metrics.jsonl."""
    evaluate: Evaluate | None = None
    rounds: Positive = 1
    """Times the stages from `sample` on are gone through, each time from the policy that the time before has trained."""
    serve: Serve = Serve()
    """The HTTP endpoint of `truing serve`."""

    @model_validator(mode="after")
    def _one_round_an_arm(self) -> Self:
        if self.arms and self.rounds > 1:
            raise ValueError(
                "arms are trained from one start policy, rounds each from the one before; leave one of them out"
            )
        return self

    @property
    def is_remote(self) -> bool:
        """Whether the runs are kept at a URI."""
        return "://" in self.storage

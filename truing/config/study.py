"""A study: one file that says what is sampled, labelled, trained and measured."""

from typing import Annotated

from pydantic import Field

from truing.config.base import Section
from truing.config.labeling import EngineLabeler, Labeler
from truing.config.policy import Policy
from truing.config.roles import Cluster, Model
from truing.config.serving import Serve
from truing.config.stages import Agreement, Evaluate, Label, Prompts, RewardModel, Sample


class Study(Section):
    """The whole configuration. A stage whose section is absent is not part of the study."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
    """Folder of the run below `storage`."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Every random choice derives from it."""
    storage: str = "runs"
    """Folder that holds the runs."""
    model: Model = Model()
    """The start policy."""
    cluster: Cluster = Cluster()
    prompts: Prompts = Prompts()
    labeler: Labeler = EngineLabeler()
    """Who gives AI preferences and scores, in labelling, in the reward graph and in the evaluation."""
    sample: Sample | None = Sample()
    """Absent where the pairs come from a file, or nothing but agreement is asked for."""
    label: Label = Label()
    agreement: Agreement | None = None
    """Measure the labeler on these sets; `agreement=FILE` on the command line is the short form."""
    reward_model: RewardModel | None = None
    policy: Policy | None = None
    evaluate: Evaluate | None = None
    serve: Serve = Serve()
    """The HTTP endpoint of `truing serve`."""

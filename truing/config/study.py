"""A study: one file that says what is sampled, labelled, trained and measured."""

from typing import Annotated

from pydantic import Field

from truing.config.base import Section
from truing.config.policy import Policy
from truing.config.roles import Cluster, Model
from truing.config.stages import Evaluate, Label, Prompts, RewardModel, Sample


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
    sample: Sample = Sample()
    label: Label = Label()
    reward_model: RewardModel | None = None
    policy: Policy | None = None
    evaluate: Evaluate | None = None

"""What an evaluation measures: the policies of a study, and what somebody recorded."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from truing.config.base import Section
from truing.config.recorded import Recorded
from truing.config.roles import Engine, Positive, Scorer
from truing.config.stages import Sampling


class StudyPolicies(Section):
    """The start policy, best of n, and every policy that the study has trained."""

    kind: Literal["study"] = "study"


class Evaluate(Section):
    """Policies in and out of distribution, and figures from recorded files."""

    policies: tuple[StudyPolicies, ...] = (StudyPolicies(),)
    """Whose answers are sampled and judged. Empty asks no model: nothing but `recorded` is then read."""
    recorded: tuple[Recorded, ...] = ()
    """Files of outputs, ratings and verdicts that figures are computed from."""
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

    @model_validator(mode="after")
    def _named_apart(self) -> "Evaluate":
        names = [one.name for one in self.recorded]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise ValueError(f"recorded: two sources are called {twice!r}; give each its own name")
        return self

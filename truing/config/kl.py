"""The KL penalty: how strong it is, what form it has, how it is estimated and steered."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from truing.config.base import Section


class Kl(Section):
    """The penalty that keeps the policy near the start policy."""

    coefficient: Annotated[float, Field(ge=0)] = 0.05
    """β: how much a nat of KL costs."""
    objective: Literal["instructgpt", "rlaif"] = "instructgpt"
    """`instructgpt`: r - β·KL. `rlaif`: (1-β)·r - β·KL (Lee et al.); not for `grpo`."""
    estimator: Literal["k1", "k2", "k3"] = "k1"
    """Of a token's KL, from its log-probs: k1 is unbiased, k2 and k3 are never negative (Schulman 2020). Where it is not given,
    `grpo` has k3: its penalty is in the loss, and there k1 has no gradient on average."""
    controller: Literal["fixed", "adaptive"] = "fixed"
    """`adaptive` steers β towards `target` (Ziegler et al., arXiv 1909.08593)."""
    target: Annotated[float, Field(gt=0)] = 6.0
    """KL of a whole response in nats, for the adaptive controller."""

    @model_validator(mode="after")
    def _mixture(self) -> "Kl":
        if self.objective == "rlaif" and self.coefficient > 1:
            raise ValueError("objective rlaif mixes (1-β)·r and β·KL: give kl.coefficient between 0 and 1")
        return self

    def in_loss(self) -> "Kl":
        """The penalty as a term of the loss: with k3 where no estimator was given.

        Raises:
            ValueError: it can only be part of a reward.
        """
        if self.objective == "rlaif":
            raise ValueError(
                "objective rlaif mixes β·KL into the reward, and grpo has it in the loss: leave kl.objective out;"
                " kl.coefficient β/(1-β) is the same mixture"
            )
        if "estimator" not in self.model_fields_set:
            found = self.model_copy(update={"estimator": "k3"})
            # Still not given: an arm with another algorithm has its own.
            found.model_fields_set.discard("estimator")
            return found
        if self.estimator == "k1":
            raise ValueError(
                "estimator k1 has no gradient on average in a loss, where grpo has its penalty: give kl.estimator k3 or k2,"
                " or leave it out"
            )
        return self

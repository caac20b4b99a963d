"""How much each role has to compute in one step of reinforcement learning, and so which one the others wait for.

A forward pass costs about 2 operations a parameter and token, forward and backward 6. Prompts and answers are taken at
their longest, prompts at half the context that the answers leave.
"""

from truing.config.policy import Grpo, Policy, Ppo, Reinforce
from truing.config.rewards import AiScorePart, CombinedPart, RewardModelPart
from truing.config.study import Study

DECODING = 4.0
"""An operation of decoding waits for memory: it takes about so many times as long as one of a forward pass."""


def heaviest(study: Study) -> list[str]:
    """One line: the share of each role in a step's work, the largest first; none without a policy section."""
    if study.policy is None:
        return []
    shares = work(study, study.policy)
    total = sum(shares.values())
    ranked = sorted(shares.items(), key=lambda item: -item[1])
    shown = ", ".join(f"{name} {100 * part / total:.0f} %" for name, part in ranked)
    return [f"bottleneck: {ranked[0][0]}; of a step's work {shown}"]


def work(study: Study, policy: Policy) -> dict[str, float]:
    """Operations a parameter in one step, by role; responses to one prompt share its pass."""
    answers = policy.prompts * policy.algorithm.completions
    new = policy.sampling.max_tokens
    prompt = max(1, (study.model.context - new) // 2)
    read = policy.prompts * prompt + answers * new
    found = {
        "sampling": 2.0 * (policy.prompts * prompt + DECODING * answers * new),
        "reference": 2.0 * read,
        "learner": (2.0 + 6.0 * _updates(policy)) * read,
    }
    if isinstance(policy.algorithm, Ppo | Reinforce):
        found["critic"] = (2.0 + 6.0 * _updates(policy)) * read
    for part in policy.rewards:
        if isinstance(part, RewardModelPart):
            found["reward model"] = 2.0 * read
        if isinstance(part, CombinedPart):
            found["reward models"] = 4.0 * read
        if isinstance(part, AiScorePart):
            # The judge's template, about 100 tokens, is computed once.
            found["AI labeler"] = 2.0 * answers * (prompt + new)
    return found


def _updates(policy: Policy) -> int:
    return policy.algorithm.epochs if isinstance(policy.algorithm, Ppo | Grpo) else 1

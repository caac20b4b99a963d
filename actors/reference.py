"""Reference: the frozen start policy's log-probs of the rollouts. It computes as the learner does, bit for bit."""

from collections.abc import Sequence

import torch

from actors.forward import Floats, per_token, regroup, rollout_tokens
from actors.learner import autocast
from actors.networks import TokenLogprobs, load_causal
from truing.config.roles import Scorer
from truing.records import Rollout


class Reference:
    """Stateless: it can be started again at any time."""

    def __init__(self, folder: str, settings: Scorer, precision: str, temperature: float) -> None:
        if not settings.gpus:
            torch.set_num_threads(settings.cpus)
        self._network = TokenLogprobs(load_causal(folder), temperature).eval()
        self._settings, self._precision = settings, precision

    def logprobs(self, groups: Sequence[Sequence[Rollout]]) -> list[list[Floats]]:
        """Log-probs of each response token, in nats, by prompt and completion."""
        sequences = [rollout_tokens(rollout) for group in groups for rollout in group]
        context = autocast(self._precision, self._settings.gpus)
        found = per_token(lambda batch: self._network(batch)[0], sequences, self._settings.token_budget, context)
        return regroup(found, groups)

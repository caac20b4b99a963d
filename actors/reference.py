"""Reference: the frozen start policy's log-probs of the rollouts. It computes as the learner does, bit for bit."""

from collections.abc import Sequence

import torch

from actors.forward import Floats, per_token, rollout_tree
from actors.learner import autocast
from actors.networks import TokenLogprobs, load_causal
from truing.config.roles import Scorer
from truing.data.batches import Tree
from truing.records import Rollout


class Reference:
    """Stateless: it can be started again at any time."""

    def __init__(self, folder: str, settings: Scorer, precision: str, temperature: float) -> None:
        if not settings.gpus:
            torch.set_num_threads(settings.cpus)
        device = "cuda" if settings.gpus else "cpu"
        self._network = TokenLogprobs(load_causal(folder), temperature).to(device).eval()
        self._settings, self._precision = settings, precision

    def logprobs(self, groups: Sequence[Sequence[Rollout]]) -> list[list[Floats]]:
        """Log-probs of each response token, in nats, by prompt and completion."""
        return self.read([rollout_tree(group) for group in groups])

    def read(self, trees: Sequence[Tree]) -> list[list[Floats]]:
        """Log-probs of each response token, in nats, by tree and response."""
        context = autocast(self._precision, self._settings.gpus)
        return per_token(lambda batch: self._network(batch)[0], trees, self._settings.token_budget, context)

"""Token log-probabilities without ever holding `[tokens, vocabulary]`."""

from typing import cast

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.utils.checkpoint import checkpoint  # pyright: ignore[reportUnknownVariableType]

CHUNK = 512
"""Positions that meet the LM head at the same time."""


def chunked_logprobs(
    hidden: Float[Tensor, "tokens width"],
    head: Float[Tensor, "vocabulary width"],
    targets: Int[Tensor, " tokens"],
    temperature: float,
) -> tuple[Float[Tensor, " tokens"], Float[Tensor, " tokens"]]:
    """Log-probability of each target and entropy of each distribution, in nats, float32.

    The logits of `CHUNK` positions exist at a time and are computed again in the backward pass.

    Args:
        hidden: last hidden states at the positions that *predict* the targets.
        head: weight of the LM head.
        targets: the token that follows each position.
        temperature: divides the logits, as the sampler's does.
    """
    parts: list[tuple[Tensor, Tensor]] = []
    for start in range(0, len(targets), CHUNK):
        rows = slice(start, start + CHUNK)
        parts.append(
            cast(
                "tuple[Tensor, Tensor]",
                checkpoint(_logprobs, hidden[rows], head, targets[rows], temperature, use_reentrant=False),
            )
        )
    if not parts:
        empty = hidden.new_zeros(0, dtype=torch.float32)
        return empty, empty
    return torch.cat([logp for logp, _ in parts]), torch.cat([entropy for _, entropy in parts])


def _logprobs(hidden: Tensor, head: Tensor, targets: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    logits = torch.nn.functional.linear(hidden, head).float() / temperature
    normalizer = logits.logsumexp(-1)
    chosen = logits.gather(-1, targets[:, None])[:, 0] - normalizer
    # H = log Z - Σ p·logit
    entropy = normalizer - (torch.exp(logits - normalizer[:, None]) * logits).sum(-1)
    return chosen, entropy

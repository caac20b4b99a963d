"""Log-likelihoods of label strings, whatever tokens they are: "10" may be one token, or "1" and "0"."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

Tokens = tuple[int, ...]
Likelihoods = dict[str, float]
"""Log-likelihood, in nats, of each label."""

ROUNDING = 1e-3
"""By how much the probabilities of one position may sum to more than 1 (bfloat16 log-probs)."""


@dataclass(frozen=True)
class LabelTrie:
    """Labels as paths through a tree of tokens.

    `nodes`: the prefixes after which something must be asked, the empty one first, with the tokens wanted there.
    """

    tokens: Mapping[str, Tokens]
    nodes: Mapping[Tokens, Tokens]

    @classmethod
    def of(cls, tokens: Mapping[str, Tokens]) -> "LabelTrie":
        """The tree of the labels' tokens (no BOS, no EOS).

        Raises ValueError for no label, a label without tokens, or two labels with the same ones.
        """
        if not tokens or not all(tokens.values()):
            raise ValueError(f"label tokens {dict(tokens)}: every label needs at least one token.")
        if len(set(tokens.values())) < len(tokens):
            raise ValueError(f"label tokens {dict(tokens)}: two labels are the same tokens to this judge; rename one.")
        nodes: dict[Tokens, dict[int, None]] = {}
        for path in sorted(tokens.values(), key=len):
            for i, token in enumerate(path):
                nodes.setdefault(path[:i], {})[token] = None
        by_depth = sorted(nodes, key=len)
        return cls(dict(tokens), {prefix: tuple(nodes[prefix]) for prefix in by_depth})

    def likelihoods(self, found: Mapping[Tokens, Mapping[int, float]]) -> dict[str, float]:
        """Log-likelihood (nats) of each label, from the log-probs `found` at each node for each token wanted there.

            log P(label) = sum_i log P(token_i | tokens before it)  [+ log(1 - sum_t P(t | label))]

        The last term where the label is the beginning of others, t the tokens by which those go on: "1" is a 1 only
        where no 0 follows. So the labels exclude each other. Raises ValueError for a log-prob that is not there, NaN
        or positive, or for probabilities of one position that sum to more than 1.
        """
        known = {
            prefix: {token: _checked(found, prefix, token) for token in wanted} for prefix, wanted in self.nodes.items()
        }
        return {
            label: math.fsum(known[path[:i]][token] for i, token in enumerate(path))
            + (_log_rest(list(known[path].values())) if path in known else 0.0)
            for label, path in self.tokens.items()
        }


def _checked(found: Mapping[Tokens, Mapping[int, float]], prefix: Tokens, token: int) -> float:
    if prefix not in found or token not in found[prefix]:
        raise ValueError(f"no log-prob of token {token} after {prefix}: ask the judge for every token of every node.")
    logp = found[prefix][token]
    if not logp <= 0:
        raise ValueError(f"{logp} is no log-prob (token {token} after {prefix}).")
    return logp


def _log_rest(logps: list[float]) -> float:
    """log(1 - sum of probabilities), -inf where nothing is left; one probability near 0 or 1 loses no digits."""
    top = max(logps)
    if top == -math.inf:
        return 0.0
    log_total = top + math.log(math.fsum(math.exp(logp - top) for logp in logps))
    if log_total > math.log1p(ROUNDING):
        raise ValueError(f"the probabilities of one position sum to {math.exp(log_total)}: more than 1.")
    rest = -math.expm1(log_total)
    return math.log(rest) if rest > 0 else -math.inf

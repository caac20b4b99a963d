"""Numbers that tests of several trainers share."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from actors.forward import Floats
from actors.policy import Seen


def floats(*values: float) -> Floats:
    return np.array(values, np.float32)


def lists(found: Sequence[Floats | None]) -> list[list[float] | None]:
    return [None if tokens is None else tokens.tolist() for tokens in found]


def seen(**columns: Any) -> Seen:
    """One micro-batch at ratio 1, with the columns that a test names; a gradient reaches the log-probs and the entropy."""
    old = torch.tensor([-1.0, -2.0, -0.5])
    given: dict[str, Tensor] = {
        "logprobs": old.clone().requires_grad_(),
        "entropy": torch.tensor([0.5, 1.0, 1.5], requires_grad=True),
        "old": old,
        "reference": old.clone(),
        "advantages": torch.tensor([2.0, -1.0, 3.0]),
        "weights": torch.tensor([1.0, 0.5, 2.0]),
    }
    return Seen(**given | {name: torch.tensor(column) for name, column in columns.items()})

"""Models small enough for a test, built once a session. Nothing here reaches for a network."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

# Before anything that reads them is imported.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
# Whoever wants a cluster starts it: a thread that is left over from a test must not.
os.environ["RAY_ENABLE_AUTO_CONNECT"] = "0"
# Two threads that wait for each other at every tiny operation are slower than one, on a busy machine a hundred times.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# A deadline is a timed assertion. What else the profile in use says (in CI, Hypothesis's own) stays.
settings.register_profile("truing", deadline=None)
settings.load_profile("truing")


def _tiny_llama(folder: Path, seed: int) -> str:
    import torch

    from tests.tiny import save_tiny_llama

    # Stored in bfloat16, so that a weight push, which rounds to bfloat16, changes nothing; every test loads it as float32.
    return str(save_tiny_llama(folder, seed=seed, dtype=torch.bfloat16))


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Folder of a tiny random Llama and its tokenizer."""
    return _tiny_llama(tmp_path_factory.mktemp("tiny"), seed=0)


@pytest.fixture(scope="session")
def other_tiny(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The same architecture with other random weights."""
    return _tiny_llama(tmp_path_factory.mktemp("other_tiny"), seed=1)

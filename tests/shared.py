"""Real data sets beside the checkout, which are never copied into it."""

import os
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "shared" / "data"


def shared_data(name: str) -> str:
    """Path of the set `name`, gzipped JSON Lines. Where there are no sets the test is skipped; in CI it fails."""
    path = FOLDER / f"{name}.jsonl.gz"
    if not path.exists():
        message = f"../shared is absent: no {path.name}"
        if "CI" in os.environ:
            pytest.fail(message)
        pytest.skip(message)
    return str(path)

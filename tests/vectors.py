"""Metric vectors: inputs with the figures that the papers' own code gives for them."""

import json
import os
from functools import cache
from pathlib import Path
from typing import Any

import pytest

PATH = Path(__file__).resolve().parents[2] / "shared" / "vectors" / "metrics.json"


def vector(name: str) -> dict[str, Any]:
    """The vector whose id is `name`. Where there are no vectors the test is skipped; in CI it fails."""
    if not PATH.exists():
        message = "../shared is absent: no metric vectors"
        if "CI" in os.environ:
            pytest.fail(message)
        pytest.skip(message)
    return _vectors()[name]


@cache
def _vectors() -> dict[str, dict[str, Any]]:
    return {entry["id"]: entry for entry in json.loads(PATH.read_text(encoding="utf-8"))}

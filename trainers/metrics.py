"""The figures of a training stage's steps, as they are stored. Read by who watches a run too: nothing heavy here."""

import json
from pathlib import Path
from typing import Any


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """Rows of a metrics file; none where there is no file. A last line without its end was being written: no row."""
    if not path.exists():
        return []
    *whole, _ = path.read_text(encoding="utf-8").split("\n")
    return [json.loads(line) for line in whole]

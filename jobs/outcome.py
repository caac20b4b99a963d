"""What a run has come to: its trainers' main figures, and its policies' win rates."""

from pathlib import Path
from typing import Any

from jobs.grid.store import read_grid
from jobs.store import RunFolder
from trainers.run import read_metrics


def outcome(rewarded: Path | None, tested: Path | None) -> dict[str, Any]:
    """Main figures of the policy that the run in `rewarded` has trained by RL, and of the reward model that the run in `tested` has
    trained; None for what was not measured."""
    model = (RunFolder(tested).report_of("reward_model") if tested else None) or {}
    accuracy = model.get("accuracy", {}).get("all")
    rows = read_metrics(rewarded / "policy" / "metrics.jsonl") if rewarded else []
    return {
        "pairs": model.get("training_pairs"),
        "reward model accuracy": accuracy and accuracy["value"],
        "first reward": rows[0]["reward"] if rows else None,
        "last reward": rows[-1]["reward"] if rows else None,
        "last KL": rows[-1]["kl"] if rows else None,
    }


def win_rates(run: Path) -> dict[str, float | None]:
    """Win rate of each policy of a run's grid on prompts in distribution."""
    measured = read_grid(run)
    figures = measured.figures if measured else ()
    return {one.policy: one.value for one in figures if (one.metric, one.data) == ("win rate", "id")}

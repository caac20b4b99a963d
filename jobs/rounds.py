"""Rounds: V1..Vn of sample, label, reward model, policy, as Llama 2 went through them (arXiv 2307.09288, §3.2).

Each round is a run of its own below the study's folder, with its models, figures and report. It begins from the policy
that the round before has trained, and its reward model learns from the preferences of all rounds so far.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from jobs.context import run_folder
from jobs.grid.policies import TRAINED
from jobs.outcome import outcome, win_rates
from jobs.progress import headline, print_table
from jobs.store import write_json
from truing.config.study import Study
from truing.errors import ConfigError


def round_of(study: Study, number: int) -> Study:
    """The study of one round (from 1). Raises ConfigError where the round before left no policy."""
    home = run_folder(study)
    changes: dict[str, Any] = {
        "name": f"round-{number}",
        "storage": str(home),
        "rounds": 1,
        "seed": study.seed + number - 1,
    }
    if number > 1:
        before = home / f"round-{number - 1}"
        changes["model"] = study.model.model_copy(update={"path": str(trained_policy(before)), "revision": None})
        changes["sft"] = None
        earlier = tuple(str(home / f"round-{i}") for i in range(1, number))
        for key in ("reward_model", "dpo"):
            section = study.reward_model if key == "reward_model" else study.dpo
            if section is not None:
                changes[key] = section.model_copy(update={"earlier": (*section.earlier, *earlier)})
    return study.model_copy(update=changes)


def trained_policy(run: Path) -> Path:
    """The policy that a run has trained. Raises ConfigError where there is none."""
    for stage in TRAINED:
        if (run / stage / "model" / "config.json").is_file():
            return run / stage / "model"
    raise ConfigError(f"{run}: has trained no policy to go on from; give the study a policy, rejection or dpo section")


def run_rounds(study: Study, one_round: Callable[[Study], None]) -> None:
    """Every round, one after the other, then what each has come to."""
    if not (study.policy or study.rejection or study.dpo):
        raise ConfigError(
            "rounds: each begins from the policy of the one before; add a policy, rejection or dpo section"
        )
    home = run_folder(study)
    for number in range(1, study.rounds + 1):
        headline(f"Round {number} of {study.rounds}")
        one_round(round_of(study, number))
    rows = [_figures(home / f"round-{number}", number) for number in range(1, study.rounds + 1)]
    write_json(home / "rounds.json", rows)
    columns = tuple(rows[0])
    print_table("Rounds", columns, [tuple(row[name] for name in columns) for row in rows], f"each in {home}/round-N")


def _figures(run: Path, number: int) -> dict[str, Any]:
    """A round's main figures; None for what it has not measured."""
    wins = win_rates(run)
    won = next((wins[name] for name in TRAINED.values() if name in wins), None)
    return {"round": number, **outcome(run, run), "win rate against the round's start": won}

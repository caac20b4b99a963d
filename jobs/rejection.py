"""Rejection sampling: n completions of each prompt, scored by the reward graph; the best of each is learned from."""

from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from actors.supervised import Shown, SupervisedLearner
from jobs.context import Context
from jobs.grading import Graders, graded
from jobs.progress import headline, print_table
from jobs.reward_graph import graph_id, unplaced
from jobs.sample import complete, requests
from jobs.training import export, learners, persistently, trained, training_run
from trainers import best_of_n, sft
from trainers.looks import Looks
from truing.config.policy import RejectionSampling
from truing.data.demonstrations import Demonstration
from truing.data.stream import numbered
from truing.data.supervised_stream import ExampleStream
from truing.errors import ConfigError, TruingError
from truing.records import Row


def train_rejection(context: Context) -> Path:
    """Returns the trained policy's folder."""
    study, settings = context.study, context.study.rejection
    assert settings is not None
    key = context.key(
        "rejection", unplaced(settings), context.start_id, graph_id(context, settings.rewards), study.seed, study.model.context,
        [prompt.text for prompt in context.training],
    )  # fmt: skip
    headline(f"Rejection sampling: the best of {settings.samples}")
    return trained(context, "rejection", key, partial(_work, context, settings), _show)


def _work(context: Context, settings: RejectionSampling, folder: Path) -> dict[str, Any]:
    study = context.study
    demonstrations, report = _chosen(context, settings)
    if len(demonstrations) < settings.batch:
        raise ConfigError(
            f"rejection: {len(demonstrations)} prompts have a best completion, for a batch of {settings.batch}; give more prompts"
        )
    shown = Shown(demonstrations, (), study.model.context)
    make = partial(SupervisedLearner, context.start_folder, shown, settings.learner)
    stream, looks = ExampleStream(numbered(len(demonstrations)), study.seed), Looks(None, None)
    total = sft.updates(len(demonstrations), settings.epochs, settings)
    with learners(context, "supervised learner", settings.learner, make) as group:
        groups, state = {"learner": group}, {"stream": stream, "looks": looks}
        with training_run(
            folder, groups, state, settings, title="best of n", total=total, trackers=study.trackers
        ) as run:
            persistently(context, run, partial(sft.train, run, group, stream, (), looks, total, settings.batch))
        export(folder, group, SupervisedLearner.export)
    return report


def _chosen(context: Context, settings: RejectionSampling) -> tuple[list[Demonstration], dict[str, Any]]:
    """The best completion of each prompt, and what n has bought."""
    study = context.study
    rows = requests(
        context.training, settings.samples, context.start_id, settings.sampling, study.model, study.seed, "rejection"
    )
    done = complete(
        context,
        "sampling",
        "rejection/completions",
        context.start_folder,
        rows,
        settings.engine,
        settings.sampling,
        "rejection",
    )
    graders = Graders(context, settings.scorer, settings.learner.precision, "rejection")
    scores = graded(graders, settings.rewards, done)
    known: dict[str, list[tuple[Row, float]]] = {}
    for row in sorted(done, key=lambda row: row["sample"]):
        if "total" in scores[row["id"]]:
            known.setdefault(row["prompt_id"], []).append((row, scores[row["id"]]["total"]))
    failed = len(rows) - sum(map(len, known.values()))
    if failed > settings.max_failed * len(rows):
        raise TruingError(
            f"rejection: {failed} of {len(rows)} completions have no reward, rejection.max_failed is {settings.max_failed};"
            f" the reasons are in {context.run.path / 'rejection'}"
        )
    rewards = {prompt: [reward for _, reward in some] for prompt, some in known.items()}
    chosen = best_of_n.best(rewards)
    rows = [known[prompt][at][0] for prompt, at in chosen.items()]
    demonstrations = [
        Demonstration(row["id"], row["prompt"], row["text"], row["domain"], ended=row["finished"]) for row in rows
    ]
    every, best = best_of_n.gain(rewards, chosen)
    curve = [asdict(one) for one in best_of_n.frontier(rewards, study.seed)]
    return demonstrations, {"prompts": len(chosen), "failed": failed, "mean": every, "best": best, "frontier": curve}


def _show(report: dict[str, Any]) -> None:
    rows = [
        (f["n"], f["reward"]["value"], f"{f['reward']['low']:.3f} to {f['reward']['high']:.3f}", f["kl"])
        for f in report["frontier"]
    ]
    note = f"learned from the best of {report['prompts']} prompts: mean reward {report['best']:.3f}, of all {report['mean']:.3f}"
    print_table("Best of n", ("n", "expected reward", "95 % interval", "KL at most"), rows, note)

"""Pipeline: sample, label, reward model, policy, evaluate, report. What is finished is not done again."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from jobs.agreement import agreement
from jobs.arms import check_arms, run_arms, show_arms
from jobs.cluster.watching import watched
from jobs.context import Context
from jobs.evaluate import evaluate
from jobs.label import label
from jobs.progress import console
from jobs.report import report
from jobs.reward import train_reward_model
from jobs.rounds import run_rounds
from jobs.supervised import train_sft
from jobs.train import train
from jobs.wordings import write_wordings
from truing.config.load import ways
from truing.config.study import Study
from truing.errors import ConfigError


@contextmanager
def stage(context: Context, name: str) -> Iterator[None]:
    """Count the seconds of a block towards a stage, also when it is interrupted."""
    begun = time.perf_counter()
    try:
        yield
    finally:
        context.run.add_seconds(name, time.perf_counter() - begun)


def run_pipeline(study: Study) -> None:
    """Every stage of the study, in as many rounds as it wants, then the report; its path is the last line printed."""
    if study.rounds > 1:
        run_rounds(study, run_pipeline)
    elif study.arms:
        check_arms(study)
        _run(study, (_wordings, _sft, _agreement, _label, _shared))
        run_arms(study, run_train)
        _run(study, (_evaluate, show_arms))
    else:
        _run(study, (_wordings, _sft, _agreement, _label, _train, _evaluate))


def run_label(study: Study) -> None:
    """What labelers are asked for alone: candidate prompts, agreement with people, labels of samples."""
    _run(study, (_wordings, _agreement, _label))


def run_train(study: Study) -> None:
    """The trainers alone, of every arm, on the preferences that are stored.

    Raises:
        ConfigError: the study has rounds, of which each samples and labels anew.
    """
    if study.rounds > 1:
        raise ConfigError("rounds: each samples and labels before it trains; run `truing pipeline`, or set rounds=1")
    if study.arms:
        check_arms(study)
        _run(study, (_sft, _shared))
        run_arms(study, run_train)
        _run(study, (show_arms,))
    else:
        _run(study, (_train,))


def run_evaluate(study: Study) -> None:
    """The evaluation alone, of the policies that are there."""
    _run(study, (_evaluate, show_arms))


def run_report(study: Study) -> None:
    """The report alone, of what is there."""
    context = Context.of(study)
    if not context.run.path.is_dir():
        raise ConfigError(
            f"{context.run.path}: there is no such run; run `truing pipeline` with this configuration first"
        )
    context.save_config()
    console.print(f"\n{report(context).resolve()}", soft_wrap=True)


def _run(study: Study, stages: tuple[Callable[[Context], None], ...]) -> None:
    context = Context.of(study)
    context.save_config()
    with watched(study):
        for each in stages:
            each(context)
    console.print(f"\n{report(context).resolve()}", soft_wrap=True)


def _wordings(context: Context) -> None:
    if context.study.wordings is not None:
        with stage(context, "wordings"):
            write_wordings(context, context.study.wordings)


def _sft(context: Context) -> None:
    if context.study.sft is not None:
        with stage(context, "SFT"):
            train_sft(context)


def _agreement(context: Context) -> None:
    if context.study.agreement is not None:
        with stage(context, "agreement"):
            agreement(context)


def _label(context: Context) -> None:
    if context.study.sample is not None or context.study.label.pairs is not None:
        with stage(context, "label"):
            label(context)


def _train(context: Context) -> None:
    with stage(context, "train"):
        train(context)


def _shared(context: Context) -> None:
    """The reward model of the arms that have it in common."""
    if ways(context.study)[""].reward_model is not None:
        with stage(context, "train"):
            train_reward_model(context)


def _evaluate(context: Context) -> None:
    if context.study.evaluate is not None:
        with stage(context, "evaluate"):
            evaluate(context)


if __name__ == "__main__":
    from jobs.cli import run_module

    run_module("pipeline")

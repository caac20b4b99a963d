"""Harness: tasks of lm-evaluation-harness on a policy of the study, by a pool of engines. No question is asked twice."""

import difflib
import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from actors.harness import Answers, Bridge, harness_model
from jobs.cluster.watching import watched
from jobs.context import Context
from jobs.harness_answers import HOME, StoredAnswers
from jobs.models import fingerprint, model_folder
from jobs.pipeline import stage
from jobs.progress import headline, print_table
from jobs.store import read_json, write_json
from truing.config.roles import Engine
from truing.config.study import Study
from truing.data.chat import load_tokenizer
from truing.errors import ConfigError
from truing.records import Row, content_id

START = "start"
STAGES = ("policy", "rejection", "dpo")
"""Trained policies that a run may hold, by the stage that trained them."""
RESAMPLES = 1000
"""Of lm-eval's bootstrap, which gives the standard error of what is not a mean."""
REFUSED = {
    "UNSAFE_CODE": "runs code that the model writes",
    "MULTIMODAL": "shows more than text",
}
"""Marks that lm-eval puts on tasks which are not run here."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What is to be run: names of tasks, groups or tags (patterns too) on one policy.

    `policy`: start, policy, rejection, dpo, a model's folder or a Hub name. `shots`: examples before each question; None: as
    each task says. `limit`: first items of each task alone, for a trial. `chat`: in the model's chat template. `include`:
    folder of the user's own tasks.
    """

    tasks: tuple[str, ...]
    policy: str = START
    shots: int | None = None
    limit: int | None = None
    chat: bool = False
    include: str | None = None


@dataclass(frozen=True, slots=True)
class Figure:
    """One metric of one task or group, on `n` items. `version` is the task's, `filter` what was made of the reply before.

    `standard_error` is lm-eval's: the sample deviation over sqrt n for a mean; None where it gives none.
    """

    task: str
    version: str
    shots: int | None
    filter: str
    metric: str
    value: float | None
    standard_error: float | None
    n: int


@dataclass(frozen=True, slots=True)
class Harnessed:
    """What was asked, of which weights, by which lm-eval, and what came of it.

    Of `questions` in all, `cut` had a context that was cut on the left; `unsaid` conversations went without their system
    turn, which the chat template refuses.
    """

    asked: Asked
    policy_id: str
    lm_eval: str
    questions: int
    cut: int
    unsaid: int
    figures: tuple[Figure, ...]


def run_harness(study: Study, **asked: Any) -> None:
    """The tasks on one policy; `asked` are the fields of `Asked`.

    Raises:
        ConfigError: before anything is started: lm-eval is not installed, there is no such policy or task, or a task's data
            cannot be had.
    """
    check_installed()
    wanted = Asked(**asked)
    if not wanted.tasks:
        raise ConfigError("harness: no task is named; give --tasks NAME,…")
    context = Context.of(study)
    folder = policy_folder(context, wanted.policy)
    tasks = load_tasks(wanted, defaults=not own_alone(wanted))
    context.save_config()
    with watched(study), stage(context, "evaluate"):
        answers = StoredAnswers(context, folder, _engine(study))
        show(harness(context, wanted, tasks, folder, answers))


def _engine(study: Study) -> Engine:
    return study.evaluate.grid.engine if study.evaluate and study.evaluate.grid else Engine()


def check_installed() -> None:
    """Refuse to begin without lm-eval.

    Raises:
        ConfigError: it is not installed.
    """
    if find_spec("lm_eval") is None:
        raise ConfigError("harness: lm-eval is not installed; pip install 'truing[evaluation]'")


def policy_folder(context: Context, policy: str) -> str:
    """Where a policy's model is.

    Raises:
        ConfigError: the study has not trained it, or it is no model.
    """
    if policy == START:
        return context.start_folder
    if policy not in STAGES:
        return model_folder(policy)
    folder = context.run.path / policy / "model"
    if not (folder / "config.json").is_file():
        raise ConfigError(f"{folder}: this policy is not there yet; run `truing train` or `truing pipeline` first")
    return str(folder)


def own_alone(asked: Asked) -> bool:
    """Whether the user's own folder has every task that is asked for: the thousands of lm-eval's need not be read then."""
    from lm_eval.tasks import TaskManager

    if asked.include is None or not Path(asked.include).is_dir():
        return False
    manager = TaskManager(include_path=asked.include, include_defaults=False)
    return all(manager.match_tasks([pattern]) for pattern in asked.tasks)


def load_tasks(asked: Asked, *, defaults: bool = True) -> list[Any]:
    """Tasks and groups of lm-eval, with their data; without `defaults` the user's own alone.

    Raises:
        ConfigError: an unknown name (the nearest known ones are given), a task that is not run here, or data that are not to
            be had.
    """
    from lm_eval.tasks import TaskManager

    if asked.include is not None and not Path(asked.include).is_dir():
        raise ConfigError(f"harness: --include {asked.include}: there is no such folder")
    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    manager = TaskManager(include_path=asked.include, include_defaults=defaults)
    found: list[Any] = []
    for pattern in asked.tasks:
        names = manager.match_tasks([pattern])
        if not names:
            near = difflib.get_close_matches(pattern, manager.all_tasks, n=3)
            hint = (
                f"did you mean {' or '.join(near)}?"
                if near
                else "`lm_eval ls tasks` lists them; own ones need --include"
            )
            raise ConfigError(f"harness: there is no task {pattern!r}; {hint}")
        for name in names:
            try:
                loaded: dict[str, Any] = dict(manager.load([name]))
            except OSError as error:
                reason = " ".join(str(error).split())[:200]
                raise ConfigError(f"harness: the data of task {name} cannot be loaded ({reason})") from None
            for task in loaded["tasks"].values():
                _check(task)
            found += [loaded["groups"][name]] if name in loaded["groups"] else loaded["tasks"].values()
    return found


def _check(task: Any) -> None:
    for mark, what in REFUSED.items():
        if hasattr(task, mark) and getattr(task, mark):
            raise ConfigError(f"harness: task {task.config.task} {what}, which is not done here; leave it out")


def harness(context: Context, asked: Asked, tasks: Sequence[Any], folder: str, answers: Answers) -> Harnessed:
    """Run the tasks; figures go to evaluation/harness.json, beside those of other askings, items to a table below it.

    Raises:
        ConfigError: the model has no chat template, and one is asked for; or a task asks for what the engine cannot do.
    """
    from lm_eval.evaluator import simple_evaluate
    from lm_eval.tasks import TaskManager

    headline(f"Harness: {', '.join(asked.tasks)} on {asked.policy}")
    model = context.study.model
    tokenizer = load_tokenizer(folder)
    if asked.chat and tokenizer.chat_template is None:
        raise ConfigError(f"harness: model {folder} has no chat template; leave --chat out")
    bridge = Bridge(answers, tokenizer, model.context, context.study.seed)
    found = simple_evaluate(
        model=harness_model(bridge),
        tasks=list(tasks),
        num_fewshot=asked.shots,
        limit=asked.limit,
        apply_chat_template=asked.chat,
        bootstrap_iters=RESAMPLES,
        # The tasks are loaded: nothing is to be looked up in the thousands that lm-eval has.
        task_manager=TaskManager(include_defaults=False),
    )
    assert found is not None
    results: dict[str, Any] = dict(found)
    identity = fingerprint(folder)
    done = Harnessed(
        asked, identity, version("lm_eval"), bridge.asked, bridge.cut, bridge.unsaid, tuple(_figures(results))
    )
    path = context.run.path / f"{HOME}.json"
    others = [one for one in read_json(path) or [] if one["asked"] != json.loads(json.dumps(asdict(asked)))]
    write_json(path, [*others, done])
    context.run.table(f"{HOME}/items").append(list(_items(results["samples"], content_id(identity, asdict(asked)))))
    return done


def _figures(results: Mapping[str, Any]) -> Iterator[Figure]:
    for task, found in results["results"].items():
        for key, value in sorted(found.items()):
            metric, comma, name = key.partition(",")
            if not comma or metric.endswith("_stderr"):
                continue
            yield Figure(
                task=task,
                version=str(results["versions"].get(task, "")),
                shots=results["n-shot"].get(task),
                filter=name,
                metric=metric,
                value=_number(value),
                standard_error=_number(found.get(f"{metric}_stderr,{name}")),
                n=found["sample_len"],
            )


def _number(value: object) -> float | None:
    """lm-eval writes N/A for what it does not give; NaN is nothing either."""
    return float(value) if isinstance(value, int | float) and value == value else None


def _items(samples: Mapping[str, Sequence[Mapping[str, Any]]], key: str) -> Iterator[Row]:
    """One row an item and filter: its replies and its metrics, as JSON."""
    for task, found in samples.items():
        for sample in found:
            number, name = sample["doc_id"], sample["filter"]
            yield {
                "id": content_id("harness", key, task, number, name),
                "task": task,
                "item": number,
                "filter": name,
                "target": str(sample["target"]),
                "replies": json.dumps(sample["filtered_resps"], default=str),
                "metrics": json.dumps({metric: sample[metric] for metric in sample["metrics"]}, default=str),
            }


def show(done: Harnessed) -> None:
    """One table; what was changed on the way stands below it."""
    columns = ("task", "version", "n", "shots", "filter", "metric", "value", "standard error")
    rows = [
        (one.task, one.version, one.n, one.shots, one.filter, one.metric, one.value, one.standard_error)
        for one in done.figures
    ]
    notes = [f"lm-eval {done.lm_eval}, {done.questions} questions"]
    notes += [f"{done.cut} contexts cut on the left to fit model.context"] if done.cut else []
    notes += (
        [f"{done.unsaid} conversations without their system turn, which the template refuses"] if done.unsaid else []
    )
    notes += [f"the first {done.asked.limit} items of each task alone: a trial"] if done.asked.limit else []
    print_table(f"{done.asked.policy} ({done.policy_id})", columns, rows, "; ".join(notes))

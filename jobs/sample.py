"""Sample: completions by a policy as an offline pass, each stored once under the hash of what made it."""

from collections.abc import Sequence
from functools import partial

from actors.rollout import RolloutEngine
from jobs.context import Context
from jobs.progress import headline, print_table
from jobs.sweep import Answer, sweep
from truing.config.roles import Engine, Model
from truing.config.stages import Sampling
from truing.records import Failed, Prompt, Row, content_id


def requests(
    prompts: Sequence[Prompt], numbers: int, policy: str, sampling: Sampling, model: Model, seed: int, stage: str
) -> list[Row]:
    """One row for each completion that is wanted. `policy` identifies the weights."""
    settings = [policy, sampling.model_dump(), model.context, seed, stage]
    return [
        {
            "id": content_id("completion", prompt.text, settings, number),
            "prompt_id": prompt.id,
            "prompt": prompt.text,
            "domain": prompt.domain,
            "split": prompt.split,
            "sample": number,
        }
        for prompt in prompts
        for number in range(numbers)
    ]


def answer(engine: RolloutEngine, rows: list[Row], *, seed: int, stage: str) -> list[Answer]:
    """Completions of the rows whose prompts fit the context; the others fail alone."""
    engine.add([Prompt(row["prompt_id"], row["prompt"], row["domain"], row["split"]) for row in rows])
    too_long = dict(engine.unanswerable())
    asked = [(row["prompt_id"], row["sample"]) for row in rows if row["prompt_id"] not in too_long]
    rollouts = iter(engine.complete(asked, seed=seed, step=stage))
    answers: list[Answer] = []
    for row in rows:
        if row["prompt_id"] in too_long:
            answers.append(too_long[row["prompt_id"]])
            continue
        rollout = next(rollouts)
        if not rollout.text:
            answers.append(Failed("the completion is empty"))
            continue
        answers.append({**row, "text": rollout.text, "tokens": rollout.tokens, "finished": rollout.finished})
    return answers


def complete(
    context: Context, title: str, table: str, folder: str, rows: list[Row],
    engine: Engine, sampling: Sampling, stage: str,
) -> list[Row]:  # fmt: skip
    """The completions of `rows` by the model in `folder`; those that are stored are not drawn again."""
    study = context.study
    return sweep(
        title,
        rows,
        context.run.table(table),
        context.engine_pool(
            engine,
            partial(RolloutEngine, folder, study.model, engine, sampling, ()),
            partial(answer, seed=study.seed, stage=stage),
        ),
        max_failed=study.label.max_failed,
        connect=context.connect,
    )


def sample(context: Context) -> list[Row]:
    """Completions of the training prompts by the start policy."""
    settings, study = context.study.sample, context.study
    assert settings is not None
    headline("Sample: completions of the start policy")
    rows = requests(
        context.training, settings.completions, context.start_id, settings.sampling, study.model, study.seed, "sample"
    )
    done = complete(
        context,
        "sampling",
        "completions",
        context.start_folder,
        rows,
        settings.engine,
        settings.sampling,
        "sample",
    )
    summary = []
    for domain in sorted({row["domain"] for row in done}):
        some = [row for row in done if row["domain"] == domain]
        words = sum(len(row["text"].split()) for row in some) / len(some)
        finished = sum(row["finished"] for row in some) / len(some)
        summary.append((domain, len({row["prompt_id"] for row in some}), len(some), words, finished))
    columns = ("domain", "prompts", "completions", "mean words", "ended by itself")
    failed = len(rows) - len(done)
    note = f"{failed} failed; reasons in {context.run.path / 'completions.dead'}" if failed else ""
    print_table("Completions", columns, summary, note)
    context.run.finish(
        "sample", context.key([row["id"] for row in rows]), {"columns": columns, "rows": summary, "note": note}
    )
    return done

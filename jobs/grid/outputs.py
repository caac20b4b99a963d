"""The outputs of a grid: each policy's answers to every question at every temperature, each stored under its question's hash."""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from actors.judge import question_seed
from actors.labeler import Labeler
from actors.rollout import RolloutEngine
from jobs.context import Context
from jobs.grid.data import Question, key_of, prompt_text
from jobs.grid.policies import Contestant
from jobs.labelers import member, spent
from jobs.labelers import pool as labeler_pool
from jobs.store import read_json, write_json
from jobs.sweep import Answer, Pool, sweep
from truing.algorithms.best_of_n import best_index
from truing.config.grid import BestOf, EndpointPolicy, Grid, OutputFile
from truing.config.stages import Sampling
from truing.evaluation.recorded_fields import recorded_rows
from truing.labeling.questions import Question as Asked
from truing.labeling.questions import Turn
from truing.records import Failed, NotAsked, Prompt, Row, content_id

HOME = "evaluation/grid"
"""Where everything of a grid is kept, below the run's folder."""


@dataclass(frozen=True)
class Cell:
    """Where an output belongs: data set and temperature; None where nobody here sampled."""

    data: str
    temperature: float | None


Outputs = Mapping[str, Sequence[Row]]
"""By question (`key_of`), the rows of one policy's outputs to it in their order: id, sample, text, tokens and finished of each."""


def draw(
    context: Context, grid: Grid, policy: Contestant, asked: Mapping[str, Sequence[Question]]
) -> dict[Cell, dict[str, list[Row]]]:
    """A writing policy's outputs by cell. What is stored is not drawn again.

    Raises:
        TruingError: too many failed, or a worker cannot go on.
    """
    rows: dict[str, Row] = {}
    places: list[tuple[Cell, Question, Row]] = []
    for data, questions in asked.items():
        for temperature in grid.temperatures:
            for question in questions:
                for number in range(draws(grid, policy, temperature)):
                    row = _request(context, grid, policy, question, temperature, number)
                    rows[row["id"]] = row
                    places.append((Cell(data, temperature), question, row))
    begun = time.perf_counter()
    table = context.run.table(f"{HOME}/outputs/{policy.id}")
    known = len(table.ids() & set(rows))
    pool = _writers(context, grid, policy)
    study = context.study
    title = f"writing by {policy.name}"
    done = sweep(title, list(rows.values()), table, pool, max_failed=study.label.max_failed, connect=context.connect)
    if known < len(rows):
        _note_cost(context, policy, time.perf_counter() - begun)
    found = {row["id"]: row for row in done}
    cells: dict[Cell, dict[str, list[Row]]] = {}
    for cell, question, row in places:
        if row["id"] in found:
            written = {**found[row["id"]], "sample": row["sample"]}
            cells.setdefault(cell, {}).setdefault(key_of(question), []).append(_placed(written, question))
    return cells


def draws(grid: Grid, policy: Contestant, temperature: float) -> int:
    """Outputs of a policy to one question: its own K, and K times the largest n that is made from it; one where it is greedy."""
    return grid.completions * (1 + policy.drawn) if temperature else 1


def own(outputs: Outputs, completions: int) -> dict[str, list[Row]]:
    """The policy's own K outputs by question: those that no best-of-n is made from."""
    return {key: [row for row in rows if row["sample"] < completions] for key, rows in outputs.items()}


def best_of(
    settings: BestOf, base: Mapping[Cell, Outputs], rewards: Mapping[str, float], completions: int
) -> dict[Cell, dict[str, list[Row]]]:
    """K outputs by question: the best of each n of the base policy's, in their order. Greedy cells have none.

    They are drawn beside the base policy's own K: a best that had been chosen among those would meet itself in a comparison with
    them. An output without a reward cannot win; of n without any, there is no best.
    """
    found: dict[Cell, dict[str, list[Row]]] = {}
    for cell, by_question in base.items():
        for key, rows in by_question.items():
            groups: dict[int, list[Row]] = {}
            for row in rows:
                number = (row["sample"] - completions) // settings.n
                if 0 <= number < completions and row["id"] in rewards:
                    groups.setdefault(number, []).append(row)
            best = [some[best_index([rewards[row["id"]] for row in some])] for _, some in sorted(groups.items())]
            if best:
                found.setdefault(cell, {})[key] = best
    return found


def recorded_outputs(settings: OutputFile, asked: Mapping[str, Sequence[Question]]) -> dict[Cell, dict[str, list[Row]]]:
    """Outputs of a file by cell, matched by the prompt's text; a data set that the file does not know has no cell.

    Raises:
        ConfigError: the file cannot be read, or lacks a column.
    """
    by_prompt: dict[str, list[Row]] = {}
    for row in recorded_rows(settings.path, settings.where):
        prompt, text = prompt_text(settings.prompt, row.row, row.where), row.text(settings.output)
        if text is not None:
            some = by_prompt.setdefault(prompt, [])
            key = content_id("recorded", settings.path, prompt, len(some), text)
            some.append({"id": key, "text": text, "tokens": [], "finished": True, "sample": len(some)})
    found: dict[Cell, dict[str, list[Row]]] = {}
    for data, questions in asked.items():
        known = {
            key_of(one): [_placed(row, one) for row in by_prompt[one.prompt]]
            for one in questions
            if one.prompt in by_prompt
        }
        if known:
            found[Cell(data, None)] = known
    return found


def _placed(row: Row, question: Question) -> Row:
    """An output with what its graders have to know of its question."""
    return {**row, "prompt": question.prompt, "domain": question.domain}


def seconds_of(context: Context) -> dict[str, float]:
    """Seconds spent on the outputs of each policy, by its id, over all runs."""
    return read_json(context.run.path / HOME / "seconds.json") or {}


def _note_cost(context: Context, policy: Contestant, seconds: float) -> None:
    known = seconds_of(context)
    known[policy.id] = known.get(policy.id, 0.0) + seconds
    write_json(context.run.path / HOME / "seconds.json", known)


def _request(
    context: Context, grid: Grid, policy: Contestant, question: Question, temperature: float, number: int
) -> Row:
    settings = [policy.id, temperature, grid.max_tokens, context.study.model.context, context.study.seed]
    return {
        "id": content_id("grid output", question.prompt, settings, number),
        "prompt_id": content_id("prompt", question.prompt),
        "prompt": question.prompt,
        "temperature": temperature,
        "sample": number,
    }


def _writers(context: Context, grid: Grid, policy: Contestant) -> Pool:
    study = context.study
    if isinstance(policy.settings, EndpointPolicy):
        # A policy is asked for texts alone: a server without log-probs will do.
        one = member(policy.settings.endpoint.model_copy(update={"read": "samples", "samples": 1}))
        answer = partial(reply, max_tokens=grid.max_tokens)
        return labeler_pool(one, study.cluster, answer, grid.engine.batch, spent=spent(context.run.path, one.id))
    model = study.model.model_copy(update={"path": policy.folder})
    sampling = Sampling(max_tokens=grid.max_tokens)
    make = partial(RolloutEngine, policy.folder, model, grid.engine, sampling, ())
    return context.engine_pool(grid.engine, make, partial(write, seed=study.seed))


def write(engine: RolloutEngine, rows: list[Row], *, seed: int) -> list[Answer]:
    """Outputs of the rows whose prompts fit the context; the others fail alone. An empty output is an output."""
    engine.add([Prompt(row["prompt_id"], row["prompt"], "", "") for row in rows])
    too_long = dict(engine.unanswerable())
    answers: dict[str, Answer] = {row["id"]: too_long[row["prompt_id"]] for row in rows if row["prompt_id"] in too_long}
    for temperature, some in _by_temperature(row for row in rows if row["id"] not in answers):
        asked = [(row["prompt_id"], row["sample"]) for row in some]
        for row, one in zip(some, engine.complete(asked, seed=seed, step="grid", temperature=temperature), strict=True):
            answers[row["id"]] = {"id": row["id"], "text": one.text, "tokens": one.tokens, "finished": one.finished}
    return [answers[row["id"]] for row in rows]


def reply(labeler: Labeler, rows: list[Row], *, max_tokens: int) -> list[Answer]:
    """An endpoint's outputs. It tells no tokens, nor whether it ended by itself."""
    answers: dict[str, Answer] = {}
    for temperature, some in _by_temperature(rows):
        asked = [Asked((Turn("user", row["prompt"]),), "", ()) for row in some]
        seeds = [question_seed(one, row["sample"]) for one, row in zip(asked, some, strict=True)]
        for row, text in zip(some, labeler.judge.replies(asked, max_tokens, temperature, seeds), strict=True):
            lost = isinstance(text, Failed | NotAsked)
            answers[row["id"]] = text if lost else {"id": row["id"], "text": text, "tokens": [], "finished": True}
    return [answers[row["id"]] for row in rows]


def _by_temperature(rows: "Iterator[Row] | list[Row]") -> list[tuple[float, list[Row]]]:
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(json.dumps(row["temperature"]), []).append(row)
    return [(json.loads(key), some) for key, some in found.items()]

"""Was the feedback used? P(yes) of each revision, beside two controls (Scheurer et al., arXiv 2303.16755)."""

from collections.abc import Sequence
from functools import partial

from actors.labeler import Labeler
from jobs.grid.data import Question
from jobs.grid.scores import NOT_ASKED, Field
from jobs.grid.sheet import Place, Sheet
from jobs.labelers import member, online, spent
from jobs.labelers import pool as labeler_pool
from jobs.sweep import Answer
from truing.config.grid_metrics import Feedback
from truing.errors import ConfigError
from truing.evaluation.figure import Score
from truing.evaluation.output_scores import NO_OUTPUT
from truing.labeling.templates import Template, load_template
from truing.records import Failed, NotAsked, Row, Unparsable, content_id

METRIC = "feedback used"
UNREVISED, OTHERS = f"{METRIC}: first output again", f"{METRIC}: feedback of another item"
"""The two controls: a judge that sees the feedback says less often yes to them."""

Case = tuple[Place, str, Row | None]
"""Where an answer belongs, its metric, and the question: request, first output, feedback, revision."""


def feedback_scores(sheet: Sheet, field: Field, metric: Feedback) -> list[Score]:
    """P(yes) / (P(yes) + P(no)) of each judged output and control.

    Raises:
        ConfigError: a row lacks one of the columns, or the labeler is not a single one.
    """
    every = [case for place in sheet.places() for case in cases(sheet, place, metric)]
    context = field.graders.context
    judge = member(online(metric.labeler or context.study.labeler, "evaluate.grid.metrics: feedback"))
    template = load_template(metric.template)
    asked = content_id("feedback used", judge.id, template.hash)
    rows = [None if row is None else {**row, "id": content_id(asked, row)} for _, _, row in every]
    account = spent(context.run.path, judge.id)
    pool = labeler_pool(judge, context.study.cluster, partial(used, template=template), 64, spent=account)
    known = field.graders.asked("feedback used?", "feedback", [row for row in rows if row is not None], pool)
    found: list[Score] = []
    for (place, name, _), row in zip(every, rows, strict=True):
        value = known[row["id"]]["p"] if row is not None and row["id"] in known else None
        found.append(place.score(name, value, NO_OUTPUT if row is None else NOT_ASKED))
    return found


def used(labeler: Labeler, rows: list[Row], *, template: Template) -> list[Answer]:
    """P(yes) of each row."""
    asked = [(row["request"], row["first"], row["feedback"], row["revision"]) for row in rows]
    answers: list[Answer] = []
    for row, one in zip(rows, labeler.incorporated(asked, template), strict=True):
        missing = isinstance(one, Failed | Unparsable | NotAsked)
        answers.append(one if missing else {"id": row["id"], "p": one})
    return answers


def cases(sheet: Sheet, place: Place, metric: Feedback) -> list[Case]:
    """A policy's own revisions, the same with another item's feedback, and the first output in the place of a revision."""
    question = place.question
    own, other = _columns(question, metric), _columns(_next(sheet.asked[place.cell.data], question), metric)
    texts = [row["text"] for row in place.rows[: metric.outputs]]
    if not texts:
        return [(place, name, None) for name in (METRIC, OTHERS, UNREVISED)]
    found: list[Case] = [(place, METRIC, {**own, "revision": text}) for text in texts]
    found += [(place, OTHERS, {**own, "feedback": other["feedback"], "revision": text}) for text in texts]
    return [*found, (place, UNREVISED, {**own, "revision": own["first"]})]


def _next(questions: Sequence[Question], question: Question) -> Question:
    """The question about the next item, round the end."""
    items = list({one.item: one for one in questions}.values())
    at = next(i for i, one in enumerate(items) if one.item == question.item)
    return items[(at + 1) % len(items)]


def _columns(question: Question, metric: Feedback) -> Row:
    names = {"request": metric.request, "first": metric.first, "feedback": metric.feedback}
    for column in names.values():
        if not isinstance(question.row.get(column), str):
            there = ", ".join(question.row) or "none"
            raise ConfigError(f"evaluate.grid.metrics: feedback: a row has no text in {column!r}; name one of {there}")
    return {name: question.row[column] for name, column in names.items()}

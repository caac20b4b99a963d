"""The metrics of a grid, each from outputs to item-level scores. What a model said of a text is stored and not asked again."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import cycle
from typing import Any, TypeVar

from actors.classifier import Classifier as ClassifierModel
from actors.token_vectors import TokenVectors
from jobs import measure
from jobs.grading import Game, Graders, graded, verdicts
from jobs.grid.data import Question
from jobs.grid.outputs import Cell
from jobs.grid.policies import Contestant
from jobs.grid.sheet import Place, Sheet, at
from jobs.models import embedder_folder, fingerprint, model_folder
from jobs.sweep import Pool
from truing.algorithms.best_of_n import kl_best_of_n
from truing.config.grid import BestOf
from truing.config.grid_metrics import (
    Bert,
    Classifier,
    DirectScore,
    Divergence,
    Nli,
    SentenceBert,
    TextMetrics,
    WinRate,
)
from truing.config.rewards import AiScorePart, RewardPart, part_name
from truing.evaluation.bert_scores import bert_scores
from truing.evaluation.class_scores import class_scores
from truing.evaluation.embedding_scores import embedding_scores
from truing.evaluation.figure import Score
from truing.evaluation.nli_scores import nli_scores, wanted_pairs
from truing.evaluation.output_scores import NO_OUTPUT, measure_outputs
from truing.records import Row, content_id

Key = TypeVar("Key")
NOT_JUDGED, NO_REWARD, NOT_ASKED = "no verdict", "no reward", "not scored"


@dataclass(frozen=True)
class Field:
    """Everyone in a grid: the policies, the one that the others are compared with, and who grades."""

    graders: Graders
    policies: Sequence[Contestant]
    baseline: Contestant


def text_scores(sheet: Sheet, _: Field, metric: TextMetrics) -> list[Score]:
    """Lengths, n-gram diversity, overlap with references."""
    found: list[Score] = []
    for cell, wording, outputs in sheet.by_wording():
        scores = measure_outputs(outputs, metric.metrics, data=cell.data, cut_words=metric.cut_words)
        found += at(scores, cell, wording)
    return found


def rewards_of(field: Field, parts: Sequence[RewardPart], rows: list[Row]) -> dict[str, dict[str, float]]:
    """Reward parts and `total` of each output, by output id. An empty output has none."""
    return graded(field.graders, parts, [row for row in rows if row["text"]])


def reward_scores(sheet: Sheet, parts: Sequence[RewardPart], known: Mapping[str, Mapping[str, float]]) -> list[Score]:
    """The reward of each output, and its parts where there are several."""
    names = {"total": "reward"}
    if len(parts) > 1:
        names |= {part_name(part): f"reward: {part_name(part).replace('_', ' ')}" for part in parts}
    found: list[Score] = []
    for name, metric in names.items():
        values = {key: scores[name] for key, scores in known.items() if name in scores}
        found += sheet.scores(metric, values, NO_REWARD)
    return found


def embedded_scores(sheet: Sheet, field: Field, metric: SentenceBert) -> list[Score]:
    """Sentence-BERT diversity; every text is embedded once."""
    folder = embedder_folder(metric.model)
    make: Any = partial(measure.load_embedder, folder)
    pool = field.graders.pool(make, measure.embed)
    known = _told(field, "sentence embeddings", "embeddings", _texts(sheet, "embedding", folder), pool)
    vectors = {text: row["vector"] for text, row in known.items()}
    found: list[Score] = []
    for cell, wording, outputs in sheet.by_wording():
        found += at(embedding_scores(outputs, vectors, data=cell.data), cell, wording)
    return found


def inference_scores(sheet: Sheet, field: Field, metric: Nli) -> list[Score]:
    """NLI diversity; every ordered pair of texts is judged once."""
    folder = model_folder(metric.model)
    sets, identity = list(sheet.by_wording()), fingerprint(folder)
    questions = {
        pair: {"id": content_id("nli", identity, *pair), "premise": pair[0], "hypothesis": pair[1]}
        for _, _, outputs in sets
        for pair in wanted_pairs(outputs, most=metric.most)
    }
    pool = field.graders.pool(partial(ClassifierModel, folder, field.graders.scorer), measure.infer)
    known = _told(field, "inference between outputs", "inferences", questions, pool)
    probabilities = {pair: row["probabilities"] for pair, row in known.items()}
    labels = measure.labels_of(folder)
    found: list[Score] = []
    for cell, wording, outputs in sets:
        found += at(nli_scores(outputs, probabilities, labels, data=cell.data, most=metric.most), cell, wording)
    return found


def classifier_scores(sheet: Sheet, field: Field, metric: Classifier) -> list[Score]:
    """P(label) of every output."""
    folder = model_folder(metric.model)
    column = measure.label_column(measure.labels_of(folder), metric.label, folder)
    pool = field.graders.pool(partial(ClassifierModel, folder, field.graders.scorer), measure.classify)
    known = _told(field, f"classes of {metric.name}", "classes", _texts(sheet, "class", folder), pool)
    values = {text: row["probabilities"][column] for text, row in known.items()}
    found: list[Score] = []
    for cell, wording, outputs in sheet.by_wording():
        found += at(class_scores(outputs, values, metric.name, data=cell.data), cell, wording)
    return found


def _texts(sheet: Sheet, kind: str, folder: str) -> dict[str, Row]:
    """A question to the model in `folder` about each text that anyone wrote, by the text."""
    identity = fingerprint(folder)
    texts = sorted({row["text"] for row in sheet.rows()})
    return {text: {"id": content_id(kind, identity, text), "text": text} for text in texts}


def _told(field: Field, title: str, table: str, questions: Mapping[Key, Row], pool: Pool) -> dict[Key, Row]:
    """The answers of a pass by what was asked about; what failed is absent."""
    known = field.graders.asked(title, table, list(questions.values()), pool)
    return {key: known[question["id"]] for key, question in questions.items() if question["id"] in known}


def overlap_scores(sheet: Sheet, field: Field, metric: Bert) -> list[Score]:
    """BERTScore against the references. Embeddings are not kept: they are larger than the model."""
    folder = model_folder(metric.model)
    vectors = TokenVectors(folder, field.graders.scorer, metric.layer)
    found: list[Score] = []
    for cell, wording, outputs in sheet.by_wording():
        texts = sorted({text for o in outputs for text in (o.text, *o.references) if text})
        embedded = dict(zip(texts, vectors.vectors(texts), strict=True))
        found += at(bert_scores(outputs, embedded, data=cell.data, idf=metric.idf), cell, wording)
    return found


def win_scores(sheet: Sheet, field: Field, metric: WinRate) -> list[Score]:
    """1, ½ or 0 of each judged output, against the baseline's output to the same question or the reference."""
    name = "win rate" if metric.against == "baseline" else "win rate against reference"
    against = field.baseline.name if metric.against == "baseline" else "reference"
    seats: list[tuple[Place, Game | None, str]] = []
    bases = {(p.cell, p.question.item, p.question.wording): p.rows for p in sheet.places() if p.policy == against}
    for place in sheet.places():
        if place.policy == against:
            continue
        seats += _games(sheet, place, bases, metric)
    games = [game for _, game, _ in seats if game is not None]
    folder = field.graders.context.run.path / field.graders.home / "judgements"
    known = iter(verdicts(field.graders.context, f"judging the {name}", folder, games))
    found: list[Score] = []
    for place, game, reason in seats:
        found.append(place.score(name, None if game is None else next(known), reason or NOT_JUDGED, against))
    return found


def _games(
    sheet: Sheet, place: Place, bases: Mapping[tuple[Cell, str, str], Sequence[Row]], metric: WinRate
) -> list[tuple[Place, Game | None, str]]:
    question, cell = place.question, place.cell
    if metric.against == "reference":
        others = [question.references[0]] * len(place.rows) if question.references else []
    else:
        others = [row["text"] for row in facing(sheet, cell, question, bases)]
    rows = place.rows[: metric.outputs]
    if not rows or not others:
        return [(place, None, NO_OUTPUT if not rows else "nothing to compare with")]
    # Where the other side has fewer outputs, as a file often has a single one, they go round.
    pairs = zip(rows, cycle(others), strict=False)
    return [(place, Game(question.prompt, row["text"], other, question.domain), "") for row, other in pairs]


def facing(
    sheet: Sheet, cell: Cell, question: Question, bases: Mapping[tuple[Cell, str, str], Sequence[Row]]
) -> Sequence[Row]:
    """The baseline's outputs that those of a cell meet: at the same temperature; else, where one side is recorded, what the
    other has: its file's, or those at its lowest temperature."""
    there = [c for c in sheet.cells if c.data == cell.data and bases.get((c, question.item, question.wording))]
    if cell.temperature is not None:
        there = [c for c in there if c.temperature in (cell.temperature, None)]
    chosen = next(iter(there), None)
    return () if chosen is None else bases[chosen, question.item, question.wording]


def direct_scores(sheet: Sheet, field: Field, metric: DirectScore) -> list[Score]:
    """The labeler's expected score of each output, in [-1, 1]. An empty output has none."""
    part = AiScorePart(template=metric.template, criterion=metric.criterion, labeler=metric.labeler)
    rows = {row["id"]: row for place in sheet.places() for row in place.rows[: metric.outputs] if row["text"]}
    known = graded(field.graders, (part,), list(rows.values()))
    values = {key: scores["total"] for key, scores in known.items() if "total" in scores}
    return sheet.scores(metric.name, values, NOT_ASKED, metric.outputs)


def divergence_scores(sheet: Sheet, field: Field, _: Divergence) -> list[Score]:
    """Σ_t log π/π_ref of each model's outputs at their temperature; the bound of best-of-n, where it is of the baseline."""
    found: list[Score] = []
    for policy in field.policies:
        if isinstance(policy.settings, BestOf):
            found += _bounds(sheet, field, policy, policy.settings)
        elif policy.folder and policy is not field.baseline and field.baseline.folder:
            found += _divergence(sheet, field, policy)
    return found


def _bounds(sheet: Sheet, field: Field, policy: Contestant, settings: BestOf) -> list[Score]:
    if settings.of != field.baseline.name:
        return []
    note = "bound: log n - (n - 1)/n"
    bound, temperatures = kl_best_of_n(settings.n), sheet.answers.get(policy.name, {})
    wordings = {cell.data: dict.fromkeys(one.wording for one in sheet.asked[cell.data]) for cell in temperatures}
    return [
        Score(policy.name, cell.data, wording, "", "", "KL", bound, note, cell.temperature)
        for cell in temperatures
        for wording in wordings[cell.data]
    ]


def _divergence(sheet: Sheet, field: Field, policy: Contestant) -> list[Score]:
    own = Sheet(sheet.asked, {policy.name: sheet.answers.get(policy.name, {})})
    by_temperature: dict[float, list[Row]] = {}
    for place in own.places():
        if place.cell.temperature:
            by_temperature.setdefault(place.cell.temperature, []).extend(row for row in place.rows if row["tokens"])
    graders, values = field.graders, dict[str, float]()
    for temperature, rows in by_temperature.items():
        make = partial(
            measure.read_models, policy.folder, field.baseline.folder, graders.scorer, graders.precision, temperature
        )
        key = content_id("kl", policy.id, field.baseline.id, temperature)
        asked = [{**row, "id": content_id(key, row["id"]), "prompt_id": ""} for row in rows]
        title = f"KL of {policy.name} at temperature {temperature:g}"
        done = graders.asked(title, "divergence", asked, graders.pool(make, measure.divergence))
        values |= {row["id"]: done[one["id"]]["kl"] for row, one in zip(rows, asked, strict=True) if one["id"] in done}
    known = {key: value for key, value in values.items() if math.isfinite(value)}
    return own.scores("KL", known, "undefined where nothing was drawn")

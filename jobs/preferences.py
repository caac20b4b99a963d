"""The preference set: what the labeler and people said, as one table that loads with `datasets.load_dataset`."""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from statistics import fmean

import pyarrow as pa

from jobs.consult import Judgements, judgements
from jobs.marks import questions
from jobs.requests import requests
from jobs.store import Table, cannot_write
from truing.config.labeling import Labeler as LabelerSettings
from truing.config.stages import HumanLabels
from truing.labeling.asking import Asking, Judgement
from truing.labeling.calibration import LogisticMap, p_first
from truing.records import PREFERENCE_COLUMNS, Pair, Row, content_id

TEXTS = ("id", "prompt", "chosen", "rejected", "domain", "source", "labeler", "template")
PREFERENCES = pa.schema(
    [
        (name, pa.string() if name in TEXTS else pa.bool_() if name == "chosen_first" else pa.float64())
        for name in PREFERENCE_COLUMNS
    ]
)
PART = 2048
"""Preferences of one Parquet part."""

P_HUMAN = {"first": 1.0, "tie": 0.5, "second": 0.0}


def write_preferences(
    table: Table,
    asked: Sequence[Table],
    labels: Path,
    labeler: LabelerSettings,
    labeler_id: str,
    askings: Mapping[str, Asking],
    maps: Mapping[str, LogisticMap],
    marked: Sequence[HumanLabels],
) -> dict[str, int]:
    """Write the set anew, as a whole; returns its size by source. Runs where the text is: in a Ray task.

    `asked`: the tables whose requests are the pairs to be labelled. `labels`: the folder of the labels of all single
    labelers. `maps`: calibration by asking.

    Raises:
        TruingError: the folder cannot be written.
    """
    part = Table(table.folder.with_name(f"{table.folder.name}.part"))
    shutil.rmtree(part.folder, ignore_errors=True)
    counts = {"ai": 0, "marked": 0}
    known = judgements(labeler, labels) if any(one.requests.is_dir() for one in asked) else {}
    some: list[Row] = []
    for row in chain(_labelled(asked, known, askings, maps, labeler_id), _marked(marked)):
        counts[row["source"]] += 1
        some.append(row)
        if len(some) == PART:
            part.append(some, PREFERENCES)
            some = []
    part.append(some, PREFERENCES)
    try:
        shutil.rmtree(table.folder, ignore_errors=True)
        if part.folder.is_dir():
            part.folder.rename(table.folder)
    except OSError as error:
        raise cannot_write(table.folder, error) from None
    return counts


def _labelled(
    asked: Sequence[Table],
    known: Judgements,
    askings: Mapping[str, Asking],
    maps: Mapping[str, LogisticMap],
    labeler_id: str,
) -> Iterator[Row]:
    """Pairs that were answered by every criterion; p is the mean over them."""
    seen: set[str] = set()
    for row in chain.from_iterable(requests(one) for one in asked):
        if row["pair"] in seen or any((row["pair"], name) not in known for name in askings):
            continue
        seen.add(row["pair"])
        found = {name: known[row["pair"], name] for name in askings}
        pair = Pair(row["pair"], row["prompt"], row["first"], row["second"], row["domain"])
        p = fmean(p_first(one, askings[name], pair, maps.get(name)) for name, one in found.items())
        template = next(iter(askings.values())).template(row["domain"]).hash
        yield _row(row, p, 1.0, "ai", labeler_id, template) | (_raw(*found.values()) if len(found) == 1 else {})


def _marked(sources: Sequence[HumanLabels]) -> Iterator[Row]:
    return (row | {"source": "marked"} for row in human_rows(sources))


def human_rows(sources: Sequence[HumanLabels]) -> Iterator[Row]:
    """Preferences of people, each source under its own name, without log-probs.

    Where each annotator's vote is known p is the share of votes, else the mark is certain; a tie is even.
    """
    for question in questions(sources):
        pair, source = question.pair, question.source
        row = {"pair": content_id("marked", source, pair.id), "prompt": pair.prompt, "first": pair.first}
        row |= {"second": pair.second, "domain": pair.domain}
        votes = [P_HUMAN[vote] for vote in question.votes if vote is not None]
        p = fmean(votes) if votes else P_HUMAN[question.human]
        known = _row(row, p, question.weight, source, f"people, {source}", None)
        yield known | {"strength": question.strength}


def _row(row: Row, p: float, weight: float, source: str, labeler: str, template: str | None) -> Row:
    first_chosen = p >= 0.5
    chosen, rejected = (row["first"], row["second"]) if first_chosen else (row["second"], row["first"])
    known: Row = {
        "id": row["pair"], "prompt": row["prompt"], "chosen": chosen, "rejected": rejected,
        "p_chosen": p if first_chosen else 1 - p, "domain": row["domain"], "source": source, "weight": weight,
        "labeler": labeler, "template": template, "chosen_first": first_chosen,
    }  # fmt: skip
    return dict.fromkeys(PREFERENCE_COLUMNS) | known


def _raw(found: Judgement) -> Row:
    return {
        "logp_first_ab": found.ab.first, "logp_second_ab": found.ab.second,
        "logp_first_ba": found.ba.first, "logp_second_ba": found.ba.second,
    }  # fmt: skip

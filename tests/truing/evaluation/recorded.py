"""What judges and people said, as recorded in the shared data sets."""

import csv
import gzip
import json
from functools import cache
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.shared import shared_data
from truing.evaluation.geval import stated_score
from truing.evaluation.meta_evaluation import score_table
from truing.evaluation.pairwise import Games, Verdict
from truing.records import Unparsable

DIMENSIONS = ("coherence", "consistency", "fluency", "relevance")
CHATGPT = "gpt-3.5-turbo-0301"
LETTERS: dict[str, Verdict] = {"A": "first", "B": "second", "C": "tie"}


@cache
def read(path: str) -> list[dict[str, Any]]:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def rows(name: str) -> list[dict[str, Any]]:
    return read(shared_data(name))


def systems() -> list[str]:
    return sorted({row["system"] for row in rows("summeval_human")})


def documents() -> list[str]:
    return sorted({row["doc_id"] for row in rows("summeval_human")})


def experts(dimension: str) -> NDArray[np.float64]:
    """Mean of the three experts, [documents, systems]."""
    scores = [
        (row["doc_id"], row["system"], fmean(expert[dimension] for expert in row["expert"]))
        for row in rows("summeval_human")
    ]
    return score_table(scores, documents(), systems())


def judged(dimension: str, judge: str = CHATGPT) -> NDArray[np.float64]:
    """The judge's scores after its reasons, [documents, systems]; NaN where a reply holds none."""
    found = [
        (row["doc_id"], row["system"], stated_score(row["response"], 1, 5))
        for row in rows("summeval_llm_judges")
        if (row["judge"], row["style"], row["dim"]) == (judge, "rts", dimension)
    ]
    scores = [(doc, system, None if isinstance(score, Unparsable) else score) for doc, system, score in found]
    return score_table(scores, documents(), systems())


def head_to_head(dimension: str) -> dict[tuple[str, str, str], Games]:
    """ChatGPT's two games by (document, system a, system b). Every reply begins with its letter."""
    games: dict[tuple[str, str, str], dict[bool, Verdict]] = {}
    for row in rows("summeval_h2h_gpt35"):
        if row["dim"] == dimension:
            key = row["doc_id"], row["system_1"], row["system_2"]
            games.setdefault(key, {})[row["swapped"]] = LETTERS[row["response"][0]]
    return {key: (both[False], both[True]) for key, both in games.items()}


def challenge_pairs() -> list[tuple[int, int]]:
    """The pairs that were compared head to head: the paper's challenge set, as columns."""
    names = systems()
    pairs = {(row["system_1"], row["system_2"]) for row in rows("summeval_h2h_gpt35")}
    return sorted((names.index(a), names.index(b)) for a, b in pairs)


def alpaca_preferences() -> dict[str, dict[str, Any]]:
    """AlpacaEval 2's recorded preferences by model. They are stored to four decimals."""
    found = rows("alpacaeval_gpt4_preferences")
    return {row["model"]: row for row in found if row["annotator"] == "weighted_alpaca_eval_gpt4_turbo"}


def leaderboard() -> dict[str, dict[str, str]]:
    """The published figures by model."""
    path = Path(shared_data("alpacaeval_gpt4_preferences")).with_name("alpacaeval_leaderboard.csv")
    with path.open(encoding="utf-8", newline="") as file:
        return {row[""]: row for row in csv.DictReader(file)}

"""The offline passes of an evaluation: rewards, judgements, KL, embeddings. Each answers rows and nothing else."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from actors.labeler import Labeler
from actors.reference import Reference
from actors.reward_model import RewardScorer
from jobs.sweep import Answer
from truing.config.roles import Scorer
from truing.data.chat import load_tokenizer, prompt_tokens
from truing.labeling.asking import Asking
from truing.records import Failed, NotAsked, Rollout, Row, Unparsable


def score(labeler: Labeler, rows: list[Row], *, asking: Asking, steps: str) -> list[Answer]:
    """Direct scores in [-1, 1]."""
    found = labeler.score([(row["prompt"], row["text"]) for row in rows], asking, steps)
    answers: list[Answer] = []
    for row, one in zip(rows, found, strict=True):
        missing = isinstance(one, Failed | Unparsable | NotAsked)
        answers.append(one if missing else {"id": row["id"], "score": one})
    return answers


def reward(scorer: RewardScorer, rows: list[Row]) -> list[Answer]:
    """The reward model's scaled score of each row's text."""
    scores = scorer.score([(row["prompt"], [row["text"]]) for row in rows])
    return [{"id": row["id"], "score": score} for row, (score,) in zip(rows, scores, strict=True)]


def raw_reward(scorer: RewardScorer, rows: list[Row]) -> list[Answer]:
    """The reward model's score as it was trained."""
    scores = scorer.raw([(row["prompt"], [row["text"]]) for row in rows])
    return [{"id": row["id"], "score": score} for row, (score,) in zip(rows, scores, strict=True)]


@dataclass(frozen=True)
class PolicyAndReference:
    """Two models that read the same tokens."""

    policy: Reference
    reference: Reference
    tokenizer: Any


def read_models(
    policy: str, reference: str, settings: Scorer, precision: str, temperature: float
) -> PolicyAndReference:
    """Load both."""
    one, two = (Reference(folder, settings, precision, temperature) for folder in (policy, reference))
    return PolicyAndReference(one, two, load_tokenizer(policy))


def divergence(models: PolicyAndReference, rows: list[Row]) -> list[Answer]:
    """Σ_t log π/π_ref of each row's own tokens, in nats: their mean estimates KL(π‖π_ref) of a response."""
    groups = [
        [
            Rollout(
                r["prompt_id"],
                r["prompt"],
                prompt_tokens(models.tokenizer, r["prompt"]),
                list(r["tokens"]),
                [],
                r["text"],
                True,
                [],
            )
        ]
        for r in rows
    ]
    pairs = zip(models.policy.logprobs(groups), models.reference.logprobs(groups), strict=True)
    return [{"id": row["id"], "kl": float((p[0] - q[0]).sum())} for row, (p, q) in zip(rows, pairs, strict=True)]


def load_embedder(folder: str) -> Any:
    """A Sentence-BERT model on the CPU."""
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(folder, device="cpu")


def embed(model: Any, rows: list[Row]) -> list[Answer]:
    """One vector a text."""
    vectors = np.asarray(
        model.encode([row["text"] for row in rows], batch_size=64, show_progress_bar=False), np.float32
    )
    return [{"id": row["id"], "vector": vector.tolist()} for row, vector in zip(rows, vectors, strict=True)]

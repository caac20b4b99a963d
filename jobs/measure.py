"""The offline passes of an evaluation: rewards, judgements, KL, embeddings, classes. Each answers rows and nothing else."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from actors.classifier import Classifier
from actors.labeler import Labeler
from actors.reference import Reference
from actors.reward_model import RewardScorer
from jobs.sweep import Answer
from truing.config.roles import Scorer
from truing.data.chat import load_tokenizer, prompt_tokens
from truing.errors import ConfigError
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

    return SentenceTransformer(folder, device="cpu", trust_remote_code=False, model_kwargs={"use_safetensors": True})


def embed(model: Any, rows: list[Row]) -> list[Answer]:
    """One vector a text."""
    vectors = np.asarray(
        model.encode([row["text"] for row in rows], batch_size=64, show_progress_bar=False), np.float32
    )
    return [{"id": row["id"], "vector": vector.tolist()} for row, vector in zip(rows, vectors, strict=True)]


def infer(model: Classifier, rows: list[Row]) -> list[Answer]:
    """Class probabilities of ordered pairs of texts."""
    found = model.pair_probabilities([(row["premise"], row["hypothesis"]) for row in rows])
    return [{"id": row["id"], "probabilities": one} for row, one in zip(rows, found, strict=True)]


def classify(model: Classifier, rows: list[Row]) -> list[Answer]:
    """Class probabilities of texts."""
    found = model.probabilities([row["text"] for row in rows])
    return [{"id": row["id"], "probabilities": one} for row, one in zip(rows, found, strict=True)]


def labels_of(folder: str) -> dict[int, str]:
    """The classes of a sequence-classification model, by column, as its config names them."""
    from transformers import AutoConfig

    named = AutoConfig.from_pretrained(folder, trust_remote_code=False).id2label or {}
    return {int(column): str(label) for column, label in named.items()}


def label_column(labels: Mapping[int, str], label: str, folder: str) -> int:
    """Which column a label is. Raises ConfigError where the model has none of that name."""
    found = next((column for column, name in labels.items() if name.lower() == label.lower()), None)
    if found is None:
        raise ConfigError(f"{folder}: has no label {label!r}; it has {', '.join(labels.values())}")
    return found

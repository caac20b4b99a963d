"""Classifier: P(label) of texts, or of pairs of them, by any sequence-classification model. Stateless."""

from collections.abc import Sequence

import torch

from actors.encoding import Encoded, Reader, load_network
from truing.config.roles import Scorer
from truing.errors import ConfigError

MULTI_LABEL = "multi_label_classification"


class Classifier:
    """Reads safetensors and computes in float32. An answer does not depend on what is asked beside it."""

    def __init__(self, folder: str, settings: Scorer, max_tokens: int = 512) -> None:
        """Texts are cut to `max_tokens`, special ones included, or to the model's positions where these are fewer.

        Raises:
            ConfigError: the folder or Hub name holds no classifier, one whose head was not trained, or a regression.
        """
        from transformers import AutoModelForSequenceClassification

        network = load_network(AutoModelForSequenceClassification, folder, "a sequence-classification model")
        config = network.config
        self.id2label: dict[int, str] = {int(column): label for column, label in (config.id2label or {}).items()}
        """Labels by column, as the model's config names them."""
        self._multi_label = config.problem_type == MULTI_LABEL
        if config.problem_type == "regression" or (len(self.id2label) < 2 and not self._multi_label):
            raise ConfigError(
                f"model {folder}: gives a single number or a regression, no probabilities; give a model of two labels or"
                f" more, or one whose config says problem_type: {MULTI_LABEL}"
            )
        self._reader = Reader(network, folder, settings, max_tokens)

    @property
    def truncated(self) -> int:
        """Texts and pairs that were too long so far, and lost their end."""
        return self._reader.truncated

    def probabilities(self, texts: Sequence[str]) -> list[list[float]]:
        """P(label) of each text, [texts, labels], in the order of `id2label`; an empty text is one too.

        Softmax, or a sigmoid of each label where the model's are not exclusive.
        """
        return self._read(self._reader.encode(texts))

    def pair_probabilities(self, pairs: Sequence[tuple[str, str]]) -> list[list[float]]:
        """P(label) of each pair, such as (premise, hypothesis), which the tokenizer joins in its own way."""
        return self._read(self._reader.encode([first for first, _ in pairs], [second for _, second in pairs]))

    @torch.no_grad()
    def _read(self, encoded: Sequence[Encoded]) -> list[list[float]]:
        found: list[list[float]] = [[]] * len(encoded)
        for group, batch in self._reader.batches(encoded):
            logits = self._reader.network(**batch).logits.float()
            rows = logits.sigmoid() if self._multi_label else logits.softmax(-1)
            for at, row in zip(group, rows.tolist(), strict=True):
                found[at] = row
        return found

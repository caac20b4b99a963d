"""Token vectors: contextual embeddings of each token of a text by any encoder, as BERTScore compares them. Stateless."""

from collections.abc import Sequence

import numpy as np
import torch

from actors.encoding import Reader, load_network
from truing.config.roles import Scorer
from truing.errors import ConfigError
from truing.evaluation.bert_scores import TokenEmbedding


class TokenVectors:
    """Reads safetensors and computes in float32. A text's vectors do not depend on what is read beside it."""

    def __init__(self, folder: str, settings: Scorer, layer: int | None = None, max_tokens: int = 512) -> None:
        """`layer`: 0 is what enters the first layer, n what leaves the n-th; None the encoder's output. Texts are cut to
        `max_tokens`, special ones included, or to the model's positions where these are fewer.

        Raises:
            ConfigError: the folder or Hub name holds no encoder, or it has fewer layers.
        """
        from transformers import AutoModel

        # Many encoders are stored without the pooler, which no token's vector depends on.
        network = load_network(AutoModel, folder, "an encoder", unused="pooler")
        if network.config.is_encoder_decoder:
            raise ConfigError(
                f"model {folder}: is an encoder with a decoder; give an encoder alone, such as roberta-large"
            )
        layers = network.config.num_hidden_layers
        if layer is not None and not 0 <= layer <= layers:
            raise ConfigError(f"model {folder}: has {layers} layers, and layer is {layer}; give one from 0 to {layers}")
        self._layer = layer
        self._reader = Reader(network, folder, settings, max_tokens)

    @property
    def truncated(self) -> int:
        """Texts that were too long so far, and lost their end."""
        return self._reader.truncated

    @torch.no_grad()
    def vectors(self, texts: Sequence[str]) -> list[TokenEmbedding]:
        """Vectors [tokens, dimensions], ids and weights of the tokens of each text; weight 0 for those the tokenizer added.

        512 tokens of 1,024 dimensions are 2 MB: ask for as many texts as memory holds.
        """
        encoded = self._reader.encode(texts)
        found: dict[int, TokenEmbedding] = {}
        for group, batch in self._reader.batches(encoded):
            output = self._reader.network(**batch, output_hidden_states=self._layer is not None)
            states = output.last_hidden_state if self._layer is None else output.hidden_states[self._layer]
            for at, rows in zip(group, states.float().cpu().numpy(), strict=True):
                one = encoded[at]
                weights = np.array([not special for special in one.special], np.float32)
                found[at] = TokenEmbedding(rows[: len(one.ids)].copy(), tuple(one.ids), weights)
        return [found[i] for i in range(len(encoded))]

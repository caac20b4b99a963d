"""New weights in a model of vLLM's: functions of the model, which run in the process that has it.

vLLM reloads layer by layer: a layer waits until all that it is made of has come, then its kernels take it. It counts numbers,
not names: what a push that broke off has left in a layer must be gone before the next one begins.
"""

from collections.abc import Iterable

import torch

Named = Iterable[tuple[str, torch.Tensor]]


def open_layers(model: torch.nn.Module, config: object) -> None:
    """Let the layers wait for new weights; what an earlier push left half done is done first."""
    from vllm.model_executor.model_loader.reload import initialize_layerwise_reload

    close_layers(model, config)
    initialize_layerwise_reload(model)


def load(model: torch.nn.Module, weights: Named) -> None:
    """Some of the new weights."""
    model.load_weights(weights)  # pyright: ignore[reportCallIssue] - every model of vLLM has it


def close_layers(model: torch.nn.Module, config: object) -> None:
    """Let no layer wait any longer; where none does nothing happens."""
    from vllm.model_executor.model_loader.reload import finalize_layerwise_reload

    finalize_layerwise_reload(model, config)


def repack_tied_head(model: torch.nn.Module) -> None:
    """A tied LM head keeps a packed copy on the CPU, which reloading leaves as it was: tie and pack it again.

    Models that read their logits off the embedding itself have no head.
    """
    head = dict(model.named_children()).get("lm_head")
    if head is None or not model.config.tie_word_embeddings:  # pyright: ignore[reportAttributeAccessIssue]
        return
    from vllm.model_executor.layers.vocab_parallel_embedding import VocabParallelEmbedding

    embeddings = (one for one in model.modules() if isinstance(one, VocabParallelEmbedding) and one is not head)
    head.weight = next(embeddings).weight
    head.quant_method.process_weights_after_loading(head)  # pyright: ignore[reportCallIssue, reportAttributeAccessIssue]

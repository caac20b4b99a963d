"""Errors after which a process is of no more use: the context of its GPU is gone, or one of its engine's own processes."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager

from truing.errors import ActorDied

logger = logging.getLogger(__name__)

BROKEN = (
    "CUDA error",
    "uncorrectable ECC error",
    "unhandled cuda error",
    "Executor failed",
    "Worker proc",
    "EngineDeadError",
)
"""How CUDA, NCCL and vLLM say so. Every later call in that process would fail too."""
FULL = ("CUDA out of memory", "CUDA error: out of memory", "CUBLAS_STATUS_ALLOC_FAILED")


def is_broken(error: BaseException) -> bool:
    """Whether no later call in this process can fare better."""
    text = f"{type(error).__name__}: {error}"
    return too_full(error) is None and any(sign in text for sign in BROKEN)


def too_full(error: BaseException) -> ActorDied | None:
    """What it means that a GPU has no more memory, if that is the error: another process would have no more."""
    if not any(sign in str(error) for sign in FULL):
        return None
    return ActorDied(
        f"an actor's GPU has too little memory ({str(error).splitlines()[0]}): lower token_budget, max_sequences or"
        " batch, or the gpu_memory_share of an engine on the same GPU"
    )


@contextmanager
def ends_if_broken() -> Iterator[None]:
    """An error that breaks the process ends it: a death is what whoever calls knows how to mend, and a living actor that fails
    each call is not.

    Raises:
        ActorDied: as `too_full`.
    """
    try:
        yield
    except Exception as error:
        if (full := too_full(error)) is not None:
            logger.exception("the GPU is full")
            raise full from None
        if is_broken(error):
            logger.exception("this process is broken, and ends")
            for handler in logging.getLogger().handlers:
                handler.flush()
            os._exit(1)
        raise

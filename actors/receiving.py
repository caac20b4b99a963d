"""What vLLM's worker learns for the native push. vLLM mixes it into its own class, and the engine calls it by name.

It adds to the worker's own calls what they do not have: a checksum of what arrived, and an end to what was broken off.
"""

from collections.abc import Callable
from typing import Any

import torch

from actors.reloading import Named, close_layers, repack_tied_head
from actors.rollout import checksum


class Receiving:
    """Methods of a worker; `self` is vLLM's. No name of its own may be one of these."""

    def meet_for_push(self: Any, invitation: dict[str, Any]) -> None:
        """Meet the learner, and whoever else receives; a group of before is left."""
        self.leave_push()
        self.init_weight_transfer_engine(invitation)

    def leave_push(self: Any) -> None:
        """Leave the group, in the middle of a push too."""
        self.weight_transfer_engine.shutdown()

    def open_push(self: Any) -> None:
        """The first bucket is about to come."""
        transfer = self.weight_transfer_engine
        if self._weight_update_active:
            # An earlier push ended between two buckets.
            self.finish_weight_update()
        else:
            # Or in one of them: that has ended vLLM's session, and left its layers as they were.
            close_layers(transfer.model, transfer.model_config)
        self.start_weight_update()

    def receive_push(self: Any, bucket: dict[str, Any]) -> int:
        """One bucket, from the wire to the layers; the checksum of what came."""
        model, found = self.weight_transfer_engine.model, {}
        load_weights: Callable[[Named], Any] = model.load_weights

        def listening(weights: Named) -> Any:
            some = list(weights)
            found.update({name: tensor.view(torch.int16).cpu().numpy() for name, tensor in some})
            return load_weights(some)

        model.load_weights = listening
        try:
            self.update_weights(bucket)
        finally:
            del model.load_weights
        return checksum(found)

    def close_push(self: Any) -> None:
        """The last bucket has come."""
        self.finish_weight_update()
        repack_tied_head(self.weight_transfer_engine.model)

"""One DeepSpeed ZeRO rank: a network, its optimizer, its place in the group. DeepSpeed is imported here alone."""

import math
import os
import socket
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from actors import sharded
from actors.adapters import ingredients, merged
from actors.networks import ScalarHead, TokenLogprobs
from actors.threads import cpu_threads
from truing.config.roles import Learner as LearnerSettings
from truing.errors import ActorDied, ConfigError

if TYPE_CHECKING:
    from transformers import PreTrainedModel


@dataclass(frozen=True, slots=True)
class Seat:
    """A rank's place in its group."""

    rank: int
    world: int
    address: str
    deadline: int


def free_address(host: str = "127.0.0.1") -> str:
    """host:port on this node at which a group can meet."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        return f"{host}:{probe.getsockname()[1]}"


def learner_environment(settings: LearnerSettings) -> dict[str, str]:
    """Variables that must be set before a rank's process starts."""
    common = {"TOKENIZERS_PARALLELISM": "false", "LOCAL_RANK": "0"}
    if settings.gpus:
        return common
    return common | {"DS_ACCELERATOR": "cpu"} | cpu_threads(settings.cpus)


def autocast(settings_precision: str, gpus: float) -> AbstractContextManager[object]:
    """The forward pass's precision: bfloat16 autocast over float32 weights, or plain float32."""
    device = "cuda" if gpus else "cpu"
    return torch.autocast(device, dtype=torch.bfloat16, enabled=settings_precision == "bfloat16")


class Learner:
    """Owns the DeepSpeed engine of one rank. Losses come as sums; it divides by global counts."""

    def __init__(self, network: TokenLogprobs | ScalarHead, settings: LearnerSettings, seat: Seat) -> None:
        os.environ.update(learner_environment(settings))
        import deepspeed

        if not settings.gpus:
            torch.set_num_threads(settings.cpus)
            # Shared-memory collectives serve inference alone; compiling them takes a minute, under a lock that a killed
            # process leaves behind. Training uses gloo.
            deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
        self.device = torch.device("cuda" if settings.gpus else "cpu")
        torch.manual_seed(0)
        deepspeed.init_distributed(
            dist_backend="nccl" if settings.gpus else "gloo",
            auto_mpi_discovery=False,
            verbose=False,
            timeout=timedelta(seconds=seat.deadline),
            init_method=f"tcp://{seat.address}",
            rank=seat.rank,
            world_size=seat.world,
        )
        self.settings, self.seat, self.network = settings, seat, network
        trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
        optimizer = torch.optim.AdamW(
            trained, lr=settings.learning_rate, weight_decay=settings.weight_decay, fused=True
        )
        self._norm = 0.0
        if settings.zero_stage == 0:
            # DeepSpeed reports no gradient norm of a plain optimizer: its gradients, reduced by then, are clipped here.
            optimizer.register_step_pre_hook(lambda *_: self._clip(trained))
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda done: min(1.0, (done + 1) / (settings.warmup_steps + 1))
        )
        # DeepSpeed types its engine's optimizer as any of a dozen; which one it is hangs on the stage: see `sharded`.
        self._engine: Any
        self._engine, *_ = deepspeed.initialize(
            model=network,
            optimizer=optimizer,  # pyright: ignore[reportArgumentType]
            lr_scheduler=schedule,  # pyright: ignore[reportArgumentType]
            config={
                "train_micro_batch_size_per_gpu": 1,
                "gradient_accumulation_steps": 1,
                "managed_gradient_accumulation": False,
                "gradient_clipping": settings.max_grad_norm if settings.zero_stage else 0.0,
                "zero_allow_untested_optimizer": True,
                # With `offload` DeepSpeed wants an AdamW of its own, which is compiled for each machine.
                "zero_force_ds_cpu_optimizer": False,
                "zero_optimization": sharded.zero_settings(settings),
                "steps_per_print": 10**9,
            },
        )

    def _clip(self, trained: list[nn.Parameter]) -> None:
        self._norm = float(nn.utils.clip_grad_norm_(trained, self.settings.max_grad_norm))
        if not math.isfinite(self._norm):
            # As the sharded stages do: an update that is no number is not made. All ranks have the same gradient.
            for parameter in trained:
                parameter.grad = None

    def autocast(self) -> AbstractContextManager[object]:
        """The context of every forward pass."""
        return autocast(self.settings.precision, self.settings.gpus)

    def total(self, value: float) -> float:
        """Sum over the ranks."""
        tensor = torch.tensor(value, dtype=torch.float64, device=self.device)
        dist.all_reduce(tensor)
        return float(tensor)

    def step(
        self, losses: Sequence[Callable[[], Tensor]], count: float, idle: Callable[[], Tensor] | None = None
    ) -> tuple[float, float]:
        """One optimizer update from summed micro-batch losses.

        Args:
            losses: each runs a forward pass and returns the sum of the loss over its micro-batch.
            count: what this rank's sums range over (tokens, pairs); the divisor is the sum over ranks.
            idle: a pass that teaches nothing, for a rank with fewer micro-batches than another; the network's own where
                None. Under ZeRO 3 it must use the same outputs of the network as the losses do.

        Returns:
            loss and gradient norm (before clipping), both of the whole batch.

        Raises:
            ActorDied: the loss or the gradient is not finite.
        """
        divisor = self.total(count) or 1.0
        most = self._most(len(losses))
        if most == 0:
            raise ConfigError(
                "learner: an update has nothing to learn from; give it items that have a reward or a weight"
            )
        summed = 0.0
        for i in range(most):
            if self.settings.zero_stage:
                # What DeepSpeed's own forward would say: the gradients of this micro-batch are added, not put in place.
                self._engine.optimizer.clear_backward_seen_flag()
            # Every rank runs as many backward passes as the busiest one; the surplus teaches nothing.
            with self.autocast():
                loss = losses[i]() if i < len(losses) else (idle or self.network.idle)()
            # DeepSpeed averages gradients over ranks; the division here is by the global count.
            self._engine.backward(loss * (self.seat.world / divisor))
            summed += loss.item()
        self._engine.step()
        norm = self._norm if self.settings.zero_stage == 0 else float(self._engine.get_global_grad_norm() or 0.0)
        mean = self.total(summed) / divisor
        if not (mean == mean and norm < float("inf")):
            raise ActorDied(f"loss {mean} with gradient norm {norm}: lower learning_rate, or look at the data")
        return mean, norm

    def rounds(self, count: int) -> int:
        """Forward passes that a rank with `count` micro-batches makes outside of an update.

        Where the parameters are sharded (ZeRO 3) each pass is a collective: all ranks make as many as the busiest one.
        """
        return self._most(count) if self.settings.zero_stage == 3 else count

    def _most(self, count: int) -> int:
        """The largest count of any rank."""
        tensor = torch.tensor(count, device=self.device)
        dist.all_reduce(tensor, op=dist.ReduceOp.MAX)
        return int(tensor)

    def whole(self, parameters: Iterable[nn.Parameter]) -> AbstractContextManager[object]:
        """A block in which every rank sees these parameters as a whole. All ranks enter it."""
        return sharded.gathered(parameters, self.settings)

    def weights(self, model: "PreTrainedModel", dtype: torch.dtype) -> dict[str, Tensor]:
        """The plain model's weights by Hugging Face name, adapters merged, on rank 0 and in its main memory; none on the others.

        Gathered a bucket at a time. All ranks call it.
        """
        found: dict[str, Tensor] = {}
        made_of = ingredients(model)
        for names in sharded.buckets(made_of, sharded.BUCKET, self.settings):
            with self.whole(part for name in names for part in made_of[name]):
                if self.seat.rank == 0:
                    some = merged(model, set(names))
                    found |= {name: weight.to("cpu", dtype, copy=True) for name, weight in some.items()}
        return found

    def save(self, folder: Path) -> None:
        """Write what resuming needs: parameters (rank 0) and this rank's share of the optimizer. No pickle."""
        sharded.save(folder, self.network, self._engine, self.settings, self.seat.rank, self.seat.world)

    def load(self, folder: Path) -> None:
        """Take up where `save` left off.

        Raises:
            ConfigError: the checkpoint was written by another number of ranks.
        """
        sharded.load(folder, self.network, self._engine, self.settings, self.seat.rank, self.seat.world)

"""One DeepSpeed ZeRO rank: a network, its optimizer, its place in the group. DeepSpeed is imported here alone."""

import os
import socket
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from truing.config.roles import Learner as LearnerSettings
from truing.errors import ActorDied, ConfigError


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
    return common | {"DS_ACCELERATOR": "cpu", "OMP_NUM_THREADS": str(settings.cpus)}


def autocast(settings_precision: str, gpus: float) -> AbstractContextManager[object]:
    """The forward pass's precision: bfloat16 autocast over float32 weights, or plain float32."""
    device = "cuda" if gpus else "cpu"
    return torch.autocast(device, dtype=torch.bfloat16, enabled=settings_precision == "bfloat16")


class Learner:
    """Owns the DeepSpeed engine of one rank. Losses come as sums; it divides by global counts."""

    def __init__(self, network: nn.Module, settings: LearnerSettings, seat: Seat) -> None:
        os.environ.update(learner_environment(settings))
        import deepspeed

        if not settings.gpus:
            torch.set_num_threads(settings.cpus)
            # Shared-memory collectives serve inference alone; compiling them takes a minute, under a lock that a killed
            # process leaves behind. Training uses gloo.
            deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
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
        optimizer = torch.optim.AdamW(
            network.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay, fused=True
        )
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda done: min(1.0, (done + 1) / (settings.warmup_steps + 1))
        )
        # DeepSpeed types its engine as any of a dozen optimizers; ours is the ZeRO 1/2 one.
        self._engine: Any
        self._engine, *_ = deepspeed.initialize(
            model=network,
            optimizer=optimizer,  # pyright: ignore[reportArgumentType]
            lr_scheduler=schedule,  # pyright: ignore[reportArgumentType]
            config={
                "train_micro_batch_size_per_gpu": 1,
                "gradient_accumulation_steps": 1,
                "managed_gradient_accumulation": False,
                "gradient_clipping": settings.max_grad_norm,
                "zero_allow_untested_optimizer": True,
                "zero_optimization": {"stage": settings.zero_stage, "overlap_comm": False},
                "steps_per_print": 10**9,
            },
        )

    def autocast(self) -> AbstractContextManager[object]:
        """The context of every forward pass."""
        return autocast(self.settings.precision, self.settings.gpus)

    def total(self, value: float) -> float:
        """Sum over the ranks."""
        tensor = torch.tensor(value, dtype=torch.float64)
        dist.all_reduce(tensor)
        return float(tensor)

    def step(self, losses: Sequence[Callable[[], Tensor]], count: float) -> tuple[float, float]:
        """One optimizer update from summed micro-batch losses.

        Args:
            losses: each runs a forward pass and returns the sum of the loss over its micro-batch.
            count: what this rank's sums range over (tokens, pairs); the divisor is the sum over ranks.

        Returns:
            loss and gradient norm (before clipping), both of the whole batch.

        Raises:
            ActorDied: the loss or the gradient is not finite.
        """
        divisor = max(self.total(count), 1.0)
        rounds = self._most(len(losses))
        summed = 0.0
        for i in range(rounds):
            # Every rank runs as many backward passes as the busiest one, the surplus with weight 0.
            with self.autocast():
                loss = losses[min(i, len(losses) - 1)]() * (1.0 if i < len(losses) else 0.0)
            # DeepSpeed averages gradients over ranks; the division here is by the global count.
            self._engine.backward(loss * (self.seat.world / divisor))
            summed += loss.item()
        self._engine.step()
        norm = float(self._engine.get_global_grad_norm() or 0.0)
        mean = self.total(summed) / divisor
        if not (mean == mean and norm < float("inf")):
            raise ActorDied(f"loss {mean} with gradient norm {norm}: lower learning_rate, or look at the data")
        return mean, norm

    def _most(self, count: int) -> int:
        """The largest count of any rank. All refuse together: one that left alone would keep the others waiting."""
        tensor = torch.tensor([count, -count])
        dist.all_reduce(tensor, op=dist.ReduceOp.MAX)
        most, fewest = int(tensor[0]), -int(tensor[1])
        if fewest == 0:
            raise ConfigError(
                f"a learner rank got no data: give each update at least {self.seat.world} items that have a reward"
            )
        return most

    def save(self, folder: Path) -> None:
        """Write what resuming needs: parameters (rank 0) and this rank's share of the optimizer. No pickle."""
        if self.seat.rank == 0:
            parameters = {name: p.detach().contiguous() for name, p in self.network.named_parameters()}
            save_file(parameters, folder / "parameters.safetensors")
        zero = self._engine.optimizer
        tensors = {f"master.{i}": part.detach() for i, part in enumerate(zero.single_partition_of_fp32_groups)}
        for key, moments in zero.optimizer.state_dict()["state"].items():
            tensors |= {f"state.{key}.{name}": torch.as_tensor(value) for name, value in moments.items()}
        tensors["schedule"] = torch.tensor(self._engine.lr_scheduler.last_epoch)
        contiguous = {name: tensor.contiguous() for name, tensor in tensors.items()}
        save_file(contiguous, folder / f"optimizer-{self.seat.rank:05d}-of-{self.seat.world:05d}.safetensors")

    def load(self, folder: Path) -> None:
        """Take up where `save` left off.

        Raises:
            ConfigError: the checkpoint was written by another number of ranks.
        """
        path = folder / f"optimizer-{self.seat.rank:05d}-of-{self.seat.world:05d}.safetensors"
        if not path.is_file():
            raise ConfigError(
                f"checkpoint {folder}: was not written by {self.seat.world} ranks; resume with the same number"
            )
        saved = load_file(folder / "parameters.safetensors")
        with torch.no_grad():
            for name, parameter in self.network.named_parameters():
                parameter.copy_(saved[name])
        tensors = load_file(path)
        zero = self._engine.optimizer
        for i, part in enumerate(zero.single_partition_of_fp32_groups):
            part.data.copy_(tensors[f"master.{i}"])
        state: dict[int, dict[str, Tensor]] = {}
        for name, tensor in tensors.items():
            kind, _, rest = name.partition(".")
            if kind == "state":
                key, _, moment = rest.partition(".")
                state.setdefault(int(key), {})[moment] = tensor
        zero.optimizer.load_state_dict({"state": state, "param_groups": zero.optimizer.state_dict()["param_groups"]})
        schedule = self._engine.lr_scheduler
        schedule.last_epoch = int(tensors["schedule"]) - 1
        schedule.step()

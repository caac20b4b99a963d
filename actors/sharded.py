"""What a DeepSpeed ZeRO stage leaves on each rank: how it is set up, seen as a whole, saved and taken up again.

Stage 0 keeps everything on every rank, 1 and 2 shard the optimizer's float32 copy and moments (2 the gradients too),
3 shards the parameters as well.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from truing.config.roles import Learner as LearnerSettings
from truing.errors import ConfigError

BUCKET = 2.5e8
"""Numbers that are gathered at a time where all are wanted: 1 GB of float32."""


def zero_settings(settings: LearnerSettings) -> dict[str, Any]:
    """DeepSpeed's `zero_optimization`."""
    chosen: dict[str, Any] = {"stage": settings.zero_stage, "overlap_comm": False}
    if settings.offload:
        chosen["offload_optimizer"] = {"device": "cpu", "pin_memory": True}
        if settings.zero_stage == 3:
            chosen["offload_param"] = {"device": "cpu", "pin_memory": True}
    return chosen


def gathered(parameters: Iterable[nn.Parameter], settings: LearnerSettings) -> AbstractContextManager[object]:
    """A block in which these parameters are whole on every rank; all ranks must enter it."""
    if settings.zero_stage < 3:
        return nullcontext()
    import deepspeed

    return deepspeed.zero.GatheredParameters(list(parameters))


def shape_of(parameter: nn.Parameter, settings: LearnerSettings) -> torch.Size:
    """The shape of a parameter as a whole."""
    return parameter.ds_shape if settings.zero_stage == 3 else parameter.shape  # pyright: ignore[reportAttributeAccessIssue]


def numbers_of(parameter: nn.Parameter, settings: LearnerSettings) -> int:
    """How many numbers a parameter has as a whole. A reward model's unused LM head is never shared out."""
    if settings.zero_stage == 3 and hasattr(parameter, "ds_numel"):
        return int(parameter.ds_numel)  # pyright: ignore[reportAttributeAccessIssue]
    return parameter.numel()


def buckets(made_of: Mapping[str, Sequence[nn.Parameter]], size: float, settings: LearnerSettings) -> list[list[str]]:
    """Names in their order, in shares whose parameters have at most so many numbers; what is larger alone is a share of its own."""
    found: list[list[str]] = []
    room = 0.0
    for name, parts in made_of.items():
        numbers = sum(numbers_of(part, settings) for part in parts)
        if not found or numbers > room:
            found.append([])
            room = size
        found[-1].append(name)
        room -= numbers
    return found


def _whole(network: nn.Module, settings: LearnerSettings, rank: int) -> dict[str, Tensor]:
    """Trained parameters as a whole on rank 0. Of stage 3 a bucket at a time: nowhere is the whole model in a GPU's memory."""
    trained = dict(_trained(network))
    if settings.zero_stage < 3:
        return {name: p.detach().contiguous() for name, p in trained.items()} if rank == 0 else {}
    found: dict[str, Tensor] = {}
    for names in buckets({name: [p] for name, p in trained.items()}, BUCKET, settings):
        with gathered([trained[name] for name in names], settings):
            if rank == 0:
                found |= {name: trained[name].detach().to("cpu", copy=True).contiguous() for name in names}
    return found


def save(folder: Path, network: nn.Module, engine: Any, settings: LearnerSettings, rank: int, world: int) -> None:
    """Trained parameters as a whole (rank 0), this rank's masters and moments, and the schedule's place."""
    parameters = _whole(network, settings, rank)
    if rank == 0:
        save_file(parameters, folder / "parameters.safetensors")
    tensors: dict[str, Tensor] = {}
    state = _inner(engine, settings).state
    for i, owner in enumerate(_owners(network, engine, settings)):
        if settings.zero_stage:
            tensors[f"master.{i}"] = owner.detach()
        tensors |= {f"state.{i}.{name}": torch.as_tensor(value) for name, value in state.get(owner, {}).items()}
    tensors["schedule"] = torch.tensor(engine.lr_scheduler.last_epoch)
    contiguous = {name: tensor.contiguous() for name, tensor in tensors.items()}
    save_file(contiguous, _share(folder, rank, world))


def load(folder: Path, network: nn.Module, engine: Any, settings: LearnerSettings, rank: int, world: int) -> None:
    """Take up where `save` left off.

    Raises:
        ConfigError: the checkpoint was written by another number of ranks.
    """
    path = _share(folder, rank, world)
    if not path.is_file():
        raise ConfigError(f"checkpoint {folder}: was not written by {world} ranks; resume with the same number")
    tensors = load_file(path)
    state = _inner(engine, settings).state
    for i, owner in enumerate(_owners(network, engine, settings)):
        if settings.zero_stage:
            owner.data.copy_(tensors[f"master.{i}"])
        moments = {name.split(".")[2]: tensor for name, tensor in tensors.items() if name.startswith(f"state.{i}.")}
        # The count of updates too: a fused AdamW reads it on the device of its parameters.
        state[owner] = {name: tensor.to(owner.device) for name, tensor in moments.items()}
    if settings.zero_stage == 3:
        _parameters_from_masters(engine)
    else:
        saved = load_file(folder / "parameters.safetensors")
        with torch.no_grad():
            for name, parameter in _trained(network):
                parameter.copy_(saved[name])
    schedule = engine.lr_scheduler
    schedule.last_epoch = int(tensors["schedule"])
    rates = zip(schedule.optimizer.param_groups, schedule.base_lrs, schedule.lr_lambdas, strict=True)
    for group, rate, share in rates:
        group["lr"] = rate * share(schedule.last_epoch)


def _share(folder: Path, rank: int, world: int) -> Path:
    return folder / f"optimizer-{rank:05d}-of-{world:05d}.safetensors"


def _trained(network: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    return ((name, parameter) for name, parameter in network.named_parameters() if parameter.requires_grad)


def _inner(engine: Any, settings: LearnerSettings) -> Any:
    """The AdamW that DeepSpeed wraps, or with stage 0 leaves as it is."""
    return engine.optimizer.optimizer if settings.zero_stage else engine.optimizer


def _owners(network: nn.Module, engine: Any, settings: LearnerSettings) -> list[Tensor]:
    """The tensors that AdamW steps on this rank: its share of the float32 masters, or with stage 0 the parameters."""
    if settings.zero_stage == 0:
        return [parameter for _, parameter in _trained(network)]
    if settings.zero_stage == 3:
        return engine.optimizer.fp32_partitioned_groups_flat
    return engine.optimizer.single_partition_of_fp32_groups


def _parameters_from_masters(engine: Any) -> None:
    zero = engine.optimizer
    for i, master in enumerate(zero.fp32_partitioned_groups_flat):
        zero.fp16_partitioned_groups_flat[i].data.copy_(master.data)
        zero._unflatten_partitioned_parameters(i)
    # The small ones are kept whole on every rank: what is there is the start model's, and is gathered anew.
    small = zero.persistent_parameters
    if small:
        small[0].partition(small)
        small[0].all_gather(small)

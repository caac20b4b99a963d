"""What is trained of a model, and the plain weights that come of it: all of them, or low-rank adapters merged in."""

from collections.abc import Collection
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from truing.config.roles import Learner as LearnerSettings
from truing.errors import ConfigError

if TYPE_CHECKING:
    from transformers import PreTrainedModel

ADAPTER = "default"
ADAPTER_WIDTHS = (1, 8, 16, 32, 64, 128, 256, 320, 512)
"""Ranks that vLLM has room for; narrower adapters fit too."""


def trainable(model: "PreTrainedModel", settings: LearnerSettings) -> "PreTrainedModel":
    """The model as a learner trains it: with adapters (Hu et al., arXiv 2106.09685) or activation checkpoints if wanted.

    Adapters begin as the zero map (B = 0), so that the first step's policy is the start policy.
    """
    if settings.lora is not None:
        from peft import LoraConfig, inject_adapter_in_model

        config = LoraConfig(
            r=settings.lora.rank, lora_alpha=settings.lora.alpha, lora_dropout=0.0, target_modules="all-linear"
        )
        torch.manual_seed(0)  # every rank begins with the same A
        inject_adapter_in_model(config, model, adapter_name=ADAPTER)
    if settings.gradient_checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
        # Checkpointing is done in training mode alone; dropout, the other thing that the mode turns on, stays off.
        model.train()
        for module in model.modules():
            _without_dropout(module)
    return model


def _without_dropout(module: nn.Module) -> None:
    """Some models drop with a module, others with a function and a share that they keep in an attribute."""
    if isinstance(module, nn.Dropout):
        module.p = 0.0
    for name, value in vars(module).items():
        if "drop" in name and isinstance(value, float):
            setattr(module, name, 0.0)


def ingredients(model: "PreTrainedModel") -> dict[str, list[nn.Parameter]]:
    """What each parameter of the plain model, by its Hugging Face name, is made of: itself, then its adapters."""
    found: dict[str, list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        owner, adapter, _ = name.partition(".lora_")
        plain = f"{owner}.weight" if adapter else name.replace(".base_layer", "")
        found.setdefault(plain, []).append(parameter)
    return found


def adapters(model: "PreTrainedModel") -> dict[str, nn.Parameter]:
    """A and B of each adapted layer, by the names that PEFT gives them in a file."""
    return {
        f"base_model.model.{name.replace(f'.{ADAPTER}.', '.')}": parameter
        for name, parameter in model.named_parameters()
        if ".lora_" in name
    }


def merged(model: "PreTrainedModel", names: Collection[str] | None = None) -> dict[str, Tensor]:
    """Parameters by their Hugging Face names, adapters added to what they adapt: W + (alpha / r)·B·A.

    `names`: those that are wanted; all where None.
    """
    from peft.tuners.lora import Linear

    found: dict[str, Tensor] = {}
    for plain, (parameter, *adapters) in ingredients(model).items():
        if names is not None and plain not in names:
            continue
        found[plain] = parameter.detach()
        if adapters:
            module = model.get_submodule(plain.removesuffix(".weight"))
            assert isinstance(module, Linear)
            found[plain] = found[plain] + module.get_delta_weight(ADAPTER).detach()
    return found


def offered_width(rank: int) -> int:
    """The least of vLLM's adapter widths that is wide enough.

    Raises:
        ConfigError: there is none.
    """
    wide = [width for width in ADAPTER_WIDTHS if width >= rank]
    if not wide:
        raise ConfigError(
            f"learner.lora.rank: {rank} is more than an engine's adapters may have ({ADAPTER_WIDTHS[-1]}); give push: merged"
        )
    return wide[0]

"""TRL's contenders of `benchmarks.training`, each in a process of its own: at its defaults, and at its best settings here.

Given from outside is what the comparison fixes: the CPU, one pass, the batch, no checkpoint, nothing reported elsewhere. All
else of the defaults is TRL's (bfloat16 autocast over float32 weights, gradient checkpointing, batches at random, padding to
the longest of a batch). At its best it recomputes no activations, groups by length, logs nothing, and reads the
reference before training; a micro-batch of 4 pads less than one of 16. In-process data loading is the fastest on two cores.
"""

# TRL comes with the extra `bench` alone.
# pyright: reportMissingImports=none

import tempfile
import time
from statistics import median
from typing import Any

from datasets import Dataset
from transformers import TrainerCallback
from trl.trainer.dpo_config import DPOConfig
from trl.trainer.dpo_trainer import DPOTrainer
from trl.trainer.grpo_config import GRPOConfig
from trl.trainer.grpo_trainer import GRPOTrainer
from trl.trainer.reward_config import RewardConfig
from trl.trainer.reward_trainer import RewardTrainer
from trl.trainer.rloo_config import RLOOConfig
from trl.trainer.rloo_trainer import RLOOTrainer
from trl.trainer.sft_config import SFTConfig
from trl.trainer.sft_trainer import SFTTrainer

from benchmarks.training_data import CONTEXT, RULE, Figures, Task, pairs, rollout_prompts, tree
from truing.algorithms.rules import pattern_share
from truing.data.batches import Tree
from truing.data.chat import load_tokenizer, prompt_tokens

BEST: dict[str, Any] = {
    "gradient_checkpointing": False,
    "logging_strategy": "no",
    "disable_tqdm": True,
    "dataloader_pin_memory": False,
}
GROUPED: dict[str, Any] = BEST | {"train_sampling_strategy": "group_by_length", "remove_unused_columns": False}
"""The sampler looks for the column `length`, which TRL would have removed."""


class TimedDpo(DPOTrainer):
    """Notes how long it read the reference."""

    reading = 0.0

    def _precompute_ref_logps(self, *args: Any, **kwargs: Any) -> Any:
        begun = time.perf_counter()
        found = super()._precompute_ref_logps(*args, **kwargs)
        self.reading += time.perf_counter() - begun
        return found


TRAINERS: dict[str, Any] = {
    "reward": (RewardConfig, RewardTrainer),
    "dpo": (DPOConfig, TimedDpo),
    "sft": (SFTConfig, SFTTrainer),
    "rloo": (RLOOConfig, RLOOTrainer),
    "grpo": (GRPOConfig, GRPOTrainer),
}


class Clock(TrainerCallback):
    """Notes when the first epoch begins and when each optimizer step is over."""

    def __init__(self) -> None:
        self.begun: float | None = None
        self.ended: list[float] = []

    def on_epoch_begin(self, *_: object, **__: object) -> None:
        """Only the first counts."""
        self.begun = self.begun or time.perf_counter()

    def on_step_end(self, *_: object, **__: object) -> None:
        """After the optimizer, before anything is logged."""
        self.ended.append(time.perf_counter())

    @property
    def seconds(self) -> float:
        """From the begin of the first epoch to the end of the last step."""
        assert self.begun is not None
        return self.ended[-1] - self.begun


def common(task: Task, scratch: str, micro_batch: int) -> dict[str, Any]:
    """What the comparison fixes. `micro_batch` 0: the whole batch at once."""
    size = min(micro_batch or task.batch, task.batch)
    return {
        "output_dir": scratch, "use_cpu": True, "num_train_epochs": 1, "save_strategy": "no", "report_to": "none",
        "per_device_train_batch_size": size, "gradient_accumulation_steps": max(1, task.batch // size),
    }  # fmt: skip


def trees(task: Task, *, both: bool = True) -> list[Tree]:
    """The very tokens that our learners read."""
    tokenizer = load_tokenizer(task.folder)
    return [tree(tokenizer, row, both=both) for row in pairs(task.pairs)]


def reward(task: Task, *, best: bool, micro_batch: int) -> Figures:
    """Pairs through RewardTrainer."""
    rows = [
        {"chosen_ids": one.prompt + one.responses[0], "rejected_ids": one.prompt + one.responses[1]}
        for one in trees(task)
    ]
    lengths = [max(map(len, row.values())) for row in rows]
    clock = Clock()
    with tempfile.TemporaryDirectory() as scratch:
        config, kind = TRAINERS["reward"]
        trainer = kind(
            model=task.folder,
            args=config(**common(task, scratch, micro_batch) | (GROUPED if best else {})),
            train_dataset=Dataset.from_list(rows).add_column("length", lengths),
            callbacks=[clock],
        )
        _all_of(trainer, len(rows))
        trainer.train()
    return {"items": len(rows), "seconds": clock.seconds}


def preference(task: Task, *, best: bool, micro_batch: int) -> Figures:
    """Pairs through DPOTrainer; `reference` are the seconds of the pass before training, where there is one.

    It tokenises by itself: it is given the chat as text, which comes to the same tokens.
    """
    tokenizer = load_tokenizer(task.folder)
    rows = [
        {
            "prompt": tokenizer.decode(one.prompt),
            "chosen": tokenizer.decode(one.responses[0]),
            "rejected": tokenizer.decode(one.responses[1]),
            "length": len(one.prompt) + max(map(len, one.responses)),
        }
        for one in trees(task)
    ]
    clock = Clock()
    # The pass over the reference fills the memory of its micro-batch too: it is the same as in training.
    tuned = GROUPED | {"precompute_ref_log_probs": True} if best else {}
    with tempfile.TemporaryDirectory() as scratch:
        config, kind = TRAINERS["dpo"]
        trainer = kind(
            model=task.folder,
            args=config(**common(task, scratch, micro_batch) | tuned),
            train_dataset=Dataset.from_list(rows),
            callbacks=[clock],
        )
        _all_of(trainer, len(rows))
        trainer.train()
        return {"items": len(rows), "seconds": clock.seconds, "reference": trainer.reading}


def supervised(task: Task, *, best: bool, micro_batch: int, packed: bool = False) -> Figures:
    """Sequences through SFTTrainer, loss on the responses alone.

    `packed`: rows of up to `CONTEXT` tokens, one a micro-batch, as many an update as hold `batch` sequences. Without
    FlashAttention the rows need a dense mask, which transformers makes of their positions.
    """
    some = trees(task, both=False)
    rows = [
        {"input_ids": one.prompt + one.responses[0], "labels": [-100] * len(one.prompt) + one.responses[0]}
        for one in some
    ]
    given = common(task, "", micro_batch) | (BEST if packed else GROUPED if best else {})
    if packed:
        rows_packed = max(1, round(task.batch * sum(map(len, some)) / len(some) / CONTEXT))
        given |= {"packing": True, "max_length": CONTEXT, "per_device_train_batch_size": 1}
        given |= {"gradient_accumulation_steps": rows_packed}
    clock = Clock()
    with tempfile.TemporaryDirectory() as scratch:
        config, kind = TRAINERS["sft"]
        trainer = kind(
            model=task.folder,
            args=config(**given | {"output_dir": scratch}),
            train_dataset=Dataset.from_list(rows),
            callbacks=[clock],
        )
        if not packed:
            _all_of(trainer, len(rows))
        trainer.train()
    return {"items": len(rows), "seconds": clock.seconds, "tokens": sum(map(len, some))}


def steps(task: Task, algorithm: str, *, best: bool, micro_batch: int) -> Figures:
    """Median seconds of a step of RLOOTrainer or GRPOTrainer, the first left out. It cannot use vLLM on a CPU."""
    tokenizer = load_tokenizer(task.folder)
    rows = [{"prompt": tokenizer.decode(prompt_tokens(tokenizer, text))} for text in rollout_prompts(task)]
    drawn: list[int] = []

    def rule(completions: list[str], completion_ids: list[list[int]], **_: object) -> list[float]:
        drawn.append(sum(map(len, completion_ids)))
        return [pattern_share(text, RULE) for text in completions]

    whole = Task(batch=task.prompts * task.completions)
    config, kind = TRAINERS[algorithm]
    clock = Clock()
    with tempfile.TemporaryDirectory() as scratch:
        given = common(whole, scratch, micro_batch) | {"num_train_epochs": task.steps, "max_steps": task.steps}
        given |= {"num_generations": task.completions, "max_completion_length": task.new_tokens, "beta": 0.05}
        trainer = kind(
            model=task.folder,
            reward_funcs=rule,
            args=config(**given | (BEST if best else {})),
            train_dataset=Dataset.from_list(rows),
            callbacks=[clock],
        )
        trainer.train()
    spent = [after - before for before, after in zip(clock.ended, clock.ended[1:], strict=False)]
    return {"seconds": median(spent), "tokens": median(drawn[1:])}


def _all_of(trainer: Any, count: int) -> None:
    """TRL drops what it finds too long; then the comparison would not be one."""
    kept = len(trainer.train_dataset)
    if kept != count:
        raise SystemExit(f"benchmarks.training: TRL kept {kept} of {count} pairs; raise its max_length")

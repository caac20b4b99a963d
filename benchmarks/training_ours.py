"""Our contenders of `benchmarks.training`, each in a process of its own, and a bare PyTorch loop beside the learner."""

import gc
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal, cast

import numpy as np
import torch

from actors.learner import Seat, autocast, free_address
from actors.networks import TokenLogprobs, load_causal
from actors.preference import PreferenceLearner, ReferenceReader
from actors.reference import Reference
from actors.reward_model import RewardLearner
from actors.supervised import Shown, SupervisedLearner
from benchmarks.training_data import CONTEXT, Figures, Task, pairs, tree
from trainers.dpo import loss as dpo_loss
from truing.algorithms.losses import negative_log_likelihood
from truing.config.roles import Learner, Scorer
from truing.data.batches import MULTIPLE, Tree, collate, micro_batches
from truing.data.chat import load_tokenizer
from truing.data.demonstrations import Demonstration
from truing.data.judged import Comparisons, Judged

Update = Callable[[list[int]], object]


def seat() -> Seat:
    """The only rank."""
    return Seat(0, 1, free_address(), 600)


def settings(task: Task) -> Learner:
    """The learner as a user has it."""
    return Learner(zero_stage=cast("Literal[0, 1, 2, 3]", task.zero_stage))


def one_pass(update: Update, task: Task) -> float:
    """Seconds of one pass over the pairs, in the source's order, an update a batch; the first update counts too."""
    begun = time.perf_counter()
    for start in range(0, task.pairs, task.batch):
        update(list(range(start, min(start + task.batch, task.pairs))))
    return time.perf_counter() - begun


def comparisons(task: Task) -> list[Comparisons]:
    """Each pair an item of its own, certain."""
    return [
        Comparisons(row["prompt"], (row["chosen"], row["rejected"]), (Judged(0, 1, 1.0),)) for row in pairs(task.pairs)
    ]


def reward(task: Task) -> Figures:
    """Pairs through `RewardLearner.update`."""
    learner = RewardLearner(task.folder, CONTEXT, comparisons(task), settings(task), seat())
    return {"items": task.pairs, "seconds": one_pass(learner.update, task)}


def preference(task: Task) -> Figures:
    """Pairs through `PreferenceLearner.update`; `reference` are the seconds of the reference's one pass before it."""
    given = comparisons(task)
    reader = ReferenceReader(Reference(task.folder, Scorer(), "bfloat16", 1.0), task.folder, CONTEXT)
    begun = time.perf_counter()
    sums = reader.sums(given)
    reading = time.perf_counter() - begun
    # In a run the reference is an actor that has ended by now.
    del reader
    gc.collect()
    learner = PreferenceLearner(task.folder, CONTEXT, given, sums, settings(task), seat())
    loss = partial(dpo_loss, kind="dpo", beta=0.1, smoothing=0.0)
    spent = one_pass(lambda at: learner.update(at, loss=loss), task)
    return {"items": task.pairs, "seconds": spent, "reference": reading}


def supervised_learner(task: Task) -> SupervisedLearner:
    """It learns the chosen responses."""
    shown = [Demonstration(str(i), row["prompt"], row["chosen"]) for i, row in enumerate(pairs(task.pairs))]
    return SupervisedLearner(task.folder, Shown(shown, (), CONTEXT), settings(task), seat())


def supervised(task: Task) -> Figures:
    """Sequences through `SupervisedLearner.update`; `tokens` are those of prompts and responses."""
    learner = supervised_learner(task)
    spent = one_pass(lambda at: learner.update([(i, 0) for i in at]), task)
    return {"items": task.pairs, "seconds": spent, "tokens": sum(map(len, chosen_trees(task)))}


def chosen_trees(task: Task) -> list[Tree]:
    """Prompts with their chosen responses."""
    tokenizer = load_tokenizer(task.folder)
    return [tree(tokenizer, row, both=False) for row in pairs(task.pairs)]


def bare(task: Task) -> Figures:
    """What `supervised` does, without DeepSpeed and without a learner: the texts are tokens before the clock starts."""
    torch.set_num_threads(settings(task).cpus)
    network, trees, chosen = TokenLogprobs(load_causal(task.folder), 1.0), chosen_trees(task), settings(task)
    parameters = list(network.parameters())
    optimizer = torch.optim.AdamW(
        parameters, lr=chosen.learning_rate, weight_decay=chosen.weight_decay, fused=True
    )  # fmt: skip

    def update(at: list[int]) -> None:
        mine = [trees[i] for i in at]
        tokens = sum(one.tokens for one in mine)
        for batch in micro_batches([len(one) for one in mine], chosen.token_budget):
            with autocast(chosen.precision, chosen.gpus):
                loss = negative_log_likelihood(network(collate([mine[i] for i in batch]))[0])
            (loss / tokens).backward()
        torch.nn.utils.clip_grad_norm_(parameters, chosen.max_grad_norm)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return {"items": task.pairs, "seconds": one_pass(update, task), "tokens": sum(map(len, trees))}


def padding(_: Task) -> Figures:
    """Share of padding in micro-batches of 4,096 lengths: ours, and eight at a time as they come (`theirs`)."""
    drawn = np.random.default_rng(0).lognormal(np.log(140), 0.6, 4096)
    lengths = [int(length) for length in drawn.clip(30, 512)]
    in_order = [list(range(i, i + 8)) for i in range(0, len(lengths), 8)]
    ours = padded_share(lengths, micro_batches(lengths, 2048), MULTIPLE)
    return {"ours": ours, "theirs": padded_share(lengths, in_order, 1)}


def padded_share(lengths: Sequence[int], groups: Sequence[Sequence[int]], multiple: int) -> float:
    """1 - tokens / (rows · length of the longest, rounded up), over all groups."""
    sizes = [len(group) * -(-max(lengths[i] for i in group) // multiple) * multiple for group in groups]
    return 1 - sum(lengths) / sum(sizes)


def profile(task: Task) -> Figures:
    """Print where the time of one of our learner's updates goes, after one that is not looked at."""
    from torch.profiler import ProfilerActivity
    from torch.profiler import profile as profiler

    learner = supervised_learner(task)
    asked = [(i, 0) for i in range(min(task.batch, task.pairs))]
    learner.update(asked)
    with profiler(activities=[ProfilerActivity.CPU]) as seen:
        begun = time.perf_counter()
        learner.update(asked)
        spent = time.perf_counter() - begun
    print(seen.key_averages().table(sort_by="self_cpu_time_total", row_limit=12, max_name_column_width=48))
    return {"items": len(asked), "seconds": spent}

"""What the roles do on this machine with the demo model, beside what its matrix products alone would take.

Each role runs in a process of its own, as in a run. Figures of a shared machine drift; ratios within one run are safer.
"""

import multiprocessing
import time
from collections.abc import Callable
from functools import partial

import torch

from actors.engine import engine_environment
from actors.learner import Seat, free_address, learner_environment
from actors.policy import Policy
from actors.rollout import RolloutEngine
from jobs.models import model_folder
from jobs.progress import Cell, print_table
from trainers import rloo
from truing.config.roles import Engine as EngineSettings
from truing.config.roles import Learner, Model
from truing.config.stages import Sampling
from truing.records import Prompt, Rollout

PROMPT = list(range(1000, 1096))
Rows = list[tuple[Cell, ...]]


def seconds(work: Callable[[], object]) -> float:
    """Wall time of one call."""
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def matmul_rate() -> float:
    """bfloat16 FLOP/s of a product of the demo model's shape."""
    a, b = (torch.randn(shape, dtype=torch.bfloat16) for shape in ((2048, 576), (1536, 576)))
    seconds(lambda: torch.nn.functional.linear(a, b))
    return 50 * 2 * 2048 * 576 * 1536 / seconds(lambda: [torch.nn.functional.linear(a, b) for _ in range(50)])


def engine_rows() -> Rows:
    """Generation by batch size, and labels with the shared prefix cached or not."""
    asked = [Prompt(str(i), f"Tell me what you know about the number {i}.", "any", "id") for i in range(32)]
    rollout = RolloutEngine(model_folder("demo"), Model(context=640), EngineSettings(), Sampling(max_tokens=32), asked)
    rows: Rows = []
    for batch in (1, 8, 32):
        keys, drawn = [(prompt.id, 0) for prompt in asked[:batch]], []
        spent = seconds(lambda k=keys, d=drawn: d.extend(rollout.complete(k, seed=0, step=0)))
        tokens = sum(len(one.tokens) for one in drawn)
        rows.append((f"generate, batch {batch}", tokens / spent, "tokens/s", None))
    engine = rollout._engine
    judged = [PROMPT * 2 + list(range(2000 + 64 * i, 2064 + 64 * i)) for i in range(32)]
    engine.forget()
    apart = seconds(lambda: [(engine.forget(), engine.next_token_logprobs([p], [[33, 34]])) for p in judged])
    engine.forget()
    shared = seconds(lambda: engine.next_token_logprobs(judged, [[33, 34]] * len(judged)))
    rows.append(("label, prefix computed each time", len(judged) / apart, "prompts/s", None))
    rows.append(("label, prefix shared", len(judged) / shared, "prompts/s", apart / shared))
    return rows


def learner_rows() -> Rows:
    """Log-probs and one update of 16 completions of 4 prompts, and the weights for a push."""
    settings = Learner(token_budget=1536)
    policy = Policy(model_folder("demo"), settings, 1.0, Seat(0, 1, free_address(), 600))
    rollout = Rollout("p", "p", PROMPT, list(range(3000, 3040)), [-3.0] * 40, "text", True, [0] * 40)
    groups = [[rollout] * 4] * 4
    # A prompt is read once for its four completions of 40 tokens.
    tokens = 4 * (len(PROMPT) + 4 * 40)
    old = policy.logprobs(groups)
    advantages = [[values * 0 + 1 for values in group] for group in old]

    def update() -> object:
        columns = (groups, old, old, advantages, [0] * 4)
        return policy.update(*columns, minibatches=1, loss=partial(rloo.loss, entropy=0.0), importance_cap=2.0)

    update()
    flops = 2 * sum(p.numel() for p in policy.network.parameters()) * tokens
    limit = flops / matmul_rate()
    reading, updating = seconds(lambda: policy.logprobs(groups)), seconds(update)
    return [
        ("learner, log-probs", tokens / reading, "tokens/s", limit / reading),
        ("learner, update", tokens / updating, "tokens/s", 3 * limit / updating),
        ("weights and checksum", seconds(lambda: policy.weights(policy.buckets(1e12)[0])), "s", None),
    ]


def main() -> None:
    """Run each part in its own process and print one table."""
    import os

    rows: Rows = []
    context = multiprocessing.get_context("spawn")
    for environment, work in (
        (engine_environment(EngineSettings()), engine_rows),
        (learner_environment(Learner()), learner_rows),
    ):
        os.environ.update(environment)
        with context.Pool(1) as pool:
            rows += pool.apply(work)
    note = "last column: for labels the gain from sharing; for the learner the share of what its matrix products alone would reach"
    print_table("Demo model on this machine", ("work", "figure", "unit", "ratio"), rows, note)


if __name__ == "__main__":
    main()

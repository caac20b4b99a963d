"""Steps of reinforcement learning with our roles: engine, reference, rule and learner, each an actor of a Ray cluster."""

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

from actors.group import ActorGroup
from benchmarks.training_clock import Interval, busy, clocked, noted
from benchmarks.training_data import ROLLOUT_CONTEXT, RULE, Figures, Task, rollout_prompts
from benchmarks.training_ours import settings
from jobs.cluster.connect import connect, session
from jobs.policy import TRAINERS, controller
from trainers.roles import Folders, Roles
from trainers.rollouts import Sampler
from trainers.run import Run, read_metrics
from truing.config.policy import Grpo, Policy, Rloo
from truing.config.rewards import PatternPart
from truing.config.roles import Cluster, Engine, Model
from truing.config.stages import Sampling
from truing.config.study import Study
from truing.data.stream import PromptStream
from truing.records import Prompt

ALGORITHMS = {"rloo": Rloo, "grpo": Grpo}


class MarkedRun(Run):
    """A run that remembers when its steps began and ended. It is given no groups, so it writes no checkpoint of them."""

    marks: list[Interval]

    def steps(self, total: int) -> Iterator[int]:
        """As any run's."""
        self.marks = []
        for step in super().steps(total):
            begun = time.monotonic()
            yield step
            self.marks.append((begun, time.monotonic()))


def policy_settings(task: Task, algorithm: str) -> Policy:
    """One algorithm on one rule."""
    return Policy(
        algorithm=ALGORITHMS[algorithm](completions=task.completions),
        rewards=(PatternPart(pattern=RULE),),
        steps=task.steps,
        prompts=task.prompts,
        sampling=Sampling(max_tokens=task.new_tokens),
        engine=Engine(cache_gb=0.3),
        learner=settings(task).model_copy(update={"learning_rate": 1e-6}),
    )


def steps(task: Task, algorithm: str) -> Figures:
    """Median seconds of a step, of its push, its share without any actor at work, and tokens sampled; the first is left out."""
    study, chosen = Study(name="bench"), policy_settings(task, algorithm)
    prompts = [Prompt(f"{i:03d}", text, "any", "id") for i, text in enumerate(rollout_prompts(task))]
    with tempfile.TemporaryDirectory() as scratch, session(study):
        connect(study)
        model = Model(context=ROLLOUT_CONTEXT)
        roles = Roles(chosen, model, {}, Cluster(), Folders(task.folder, ""), prompts)
        log, run = Path(scratch) / "calls", MarkedRun(Path(scratch) / "run", every=task.steps, groups={}, state={})
        try:
            stream = PromptStream([prompt.id for prompt in prompts], 0)
            groups = [group for group in roles.groups if isinstance(group, ActorGroup)]
            with clocked(groups, log):
                TRAINERS[algorithm](run, roles, Sampler(roles, stream, chosen, 0), controller(chosen.kl), chosen)
        finally:
            roles.close()
        rows, calls = read_metrics(Path(scratch) / "run" / "metrics.jsonl")[1:], noted(log)
    idle = [1 - busy(calls, *mark) / (mark[1] - mark[0]) for mark in run.marks[1:]]
    found: Figures = {
        f"{name} seconds": median(row["timings"][name] for row in rows) for name in ("sample", "score", "update")
    }
    return found | {
        "seconds": median(ended - begun for begun, ended in run.marks[1:]),
        "push": median(row["timings"]["push"] for row in rows),
        "idle": median(idle),
        "tokens": median(row["length"] for row in rows) * task.prompts * task.completions,
    }

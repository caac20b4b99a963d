"""Policy: reinforcement learning from the reward graph."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from actors.policy import Policy
from actors.rollout import RolloutEngine
from jobs.context import Context
from jobs.labelers import member, online, spent
from jobs.progress import headline, print_table
from jobs.reward_graph import graph_id, own_reward_model, unplaced
from jobs.steps import evaluation_steps
from jobs.training import export, persistently, trained, training_run
from trainers import grpo, ppo, reinforce, rloo
from trainers.roles import Folders, Roles
from trainers.rollouts import Sampler
from trainers.run import read_metrics
from truing.algorithms.kl import AdaptiveKl, FixedKl
from truing.config.kl import Kl
from truing.config.policy import Policy as PolicySettings
from truing.config.rewards import AiScorePart, part_name
from truing.data.loaders import load_texts
from truing.data.stream import PromptStream
from truing.errors import ConfigError
from truing.records import content_id

TRAINERS = {"rloo": rloo.train, "grpo": grpo.train, "reinforce": reinforce.train, "ppo": ppo.train}


def train_policy(context: Context) -> Path:
    """Reinforcement learning from the start policy; returns the trained policy's folder."""
    study, settings = context.study, context.study.policy
    assert settings is not None
    texts = load_texts(settings.pretraining.path, settings.pretraining.column) if settings.pretraining else []
    key = context.key(
        "policy", unplaced(settings), context.start_id, graph_id(context, settings.rewards), study.seed,
        study.model.context, [p.text for p in context.training], content_id(texts),
    )  # fmt: skip
    headline(f"Policy: {settings.algorithm.kind.upper()}, {settings.steps} steps")
    metrics = context.run.path / "policy" / "metrics.jsonl"
    work = partial(_work, context, settings, texts)
    return trained(context, "policy", key, work, lambda _: _show(read_metrics(metrics)))


def _work(context: Context, settings: PolicySettings, texts: list[str], folder: Path) -> dict[str, Any]:
    study = context.study
    context.connect()
    labelers = {
        part_name(part): (
            judge := online(part.labeler or study.labeler, "policy.rewards: ai_score"),
            spent(context.run.path, member(judge).id),
            evaluation_steps(context, part),
        )
        for part in settings.rewards
        if isinstance(part, AiScorePart)
    }
    folders = Folders(context.start_folder, own_reward_model(context, settings.rewards))
    roles = Roles(settings, study.model, labelers, study.cluster, folders, context.training)
    try:
        stream, kl = PromptStream(_usable(context, roles), study.seed), controller(settings.kl)
        sampler = Sampler(roles, stream, settings, study.seed, texts)
        groups: dict[str, Any] = {"policy": roles.policy} | ({"critic": roles.critic} if roles.critic else {})
        state = {"sampler": sampler, "kl": kl}
        total, trackers = settings.steps, study.trackers
        with training_run(
            folder, groups, state, settings, title="policy", total=total, trackers=trackers, at_rest=sampler.at_rest
        ) as run:
            train = partial(TRAINERS[settings.algorithm.kind], run, roles, sampler, kl, settings)
            persistently(context, run, train, roles.others, partial(roles.engines.aside, RolloutEngine.interrupt))
        export(folder, roles.policy, Policy.export)
    finally:
        roles.close()
    return {"steps": settings.steps}


def _usable(context: Context, roles: Roles) -> list[str]:
    """Ids of the training prompts that fit; the others are noted with the reason. Raises ConfigError where none fits."""
    too_long = roles.unanswerable()
    usable = [prompt.id for prompt in context.training if prompt.id not in too_long]
    if not usable:
        raise ConfigError(f"policy: no prompt fits: {next(iter(too_long.values())).reason}; raise model.context")
    context.run.table("prompts.dead").append([{"id": k, "reason": f.reason} for k, f in sorted(too_long.items())])
    return usable


def controller(settings: Kl) -> FixedKl:
    """The KL controller that a configuration names."""
    if settings.controller == "adaptive":
        return AdaptiveKl(settings.coefficient, settings.target, settings.objective)
    return FixedKl(settings.coefficient)


def _show(rows: Sequence[dict[str, Any]]) -> None:
    columns = ("step", "reward", "KL", "entropy", "log-prob gap", "ratio", "tokens", "grad norm", "seconds")
    names = ("step", "reward", "kl", "entropy", "logprob_gap", "ratio", "length", "grad_norm")
    shown = [[*(row[name] for name in names), row["timings"]["step"]] for row in rows]
    print_table("Policy", columns, shown)

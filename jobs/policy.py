"""Policy: reinforcement learning from the reward graph."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from actors.policy import Policy
from jobs.context import Context
from jobs.labelers import member, online, spent
from jobs.progress import headline, print_table
from jobs.steps import evaluation_steps
from jobs.training import drop_checkpoints, export, training_run
from trainers import grpo, ppo, reinforce, rloo
from trainers.roles import Folders, Roles
from trainers.rollouts import Sampler
from trainers.run import read_metrics
from truing.algorithms.kl import AdaptiveKl, FixedKl
from truing.config.policy import AiScorePart, Kl, RewardModelPart, RewardPart, part_name
from truing.config.policy import Policy as PolicySettings
from truing.data.loaders import load_texts
from truing.data.stream import PromptStream
from truing.errors import ConfigError

TRAINERS = {"rloo": rloo.train, "grpo": grpo.train, "reinforce": reinforce.train, "ppo": ppo.train}


def train_policy(context: Context, reward_folder: Path | None) -> Path:
    """Reinforcement learning from the start policy; returns the trained policy's folder."""
    study, settings = context.study, context.study.policy
    assert settings is not None
    folder = context.run.path / "policy"
    key = context.key(
        "policy", settings.model_dump(), context.start_id, context.labeler_id, reward_key(context, settings.rewards),
        study.seed, study.model.context, [p.text for p in context.training],
    )  # fmt: skip
    headline(f"Policy: {settings.algorithm.kind.upper()}, {settings.steps} steps")
    if context.run.finished("policy", key) is not None:
        _show(read_metrics(folder / "metrics.jsonl"))
        return folder / "model"
    context.run.claim("policy", key)
    texts = load_texts(settings.pretraining.path, settings.pretraining.column) if settings.pretraining else []
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
    folders = Folders(context.start_folder, str(reward_folder or ""))
    roles = Roles(settings, study.model, labelers, study.cluster, folders, context.training)
    try:
        too_long = roles.unanswerable()
        usable = [p.id for p in context.training if p.id not in too_long]
        if not usable:
            raise ConfigError(f"policy: no prompt fits: {next(iter(too_long.values())).reason}; raise model.context")
        context.run.table("prompts.dead").append([{"id": k, "reason": f.reason} for k, f in sorted(too_long.items())])
        stream, kl = PromptStream(usable, study.seed), controller(settings.kl)
        groups: dict[str, Any] = {"policy": roles.policy} | ({"critic": roles.critic} if roles.critic else {})
        sampler = Sampler(roles, stream, settings, study.seed, texts)
        state = {"sampler": sampler, "kl": kl}
        every = settings.checkpoint_every
        with training_run(
            folder,
            groups,
            state,
            every=every,
            keep=settings.keep,
            title="policy",
            total=settings.steps,
            trackers=study.trackers,
        ) as run:
            TRAINERS[settings.algorithm.kind](run, roles, sampler, kl, settings)
        export(folder, roles.policy, Policy.export)
    finally:
        roles.close()
    context.run.finish("policy", key, {"steps": settings.steps})
    drop_checkpoints(folder)
    _show(read_metrics(folder / "metrics.jsonl"))
    return folder / "model"


def controller(settings: Kl) -> FixedKl:
    """The KL controller that a configuration names."""
    if settings.controller == "adaptive":
        return AdaptiveKl(settings.coefficient, settings.target)
    return FixedKl(settings.coefficient)


def reward_key(context: Context, parts: Sequence[RewardPart]) -> str:
    """Identity of the study's own reward model where the reward graph wants it, else "".

    Raises:
        ConfigError: it is wanted and not trained.
    """
    if not any(isinstance(part, RewardModelPart) and not part.path for part in parts):
        return ""
    marker = context.run.path / "reward_model" / "key"
    if not marker.exists():
        raise ConfigError(
            "the reward graph has a reward_model part and none is trained; add a reward_model section, or give its path"
        )
    return marker.read_text()


def reward_folder_of(context: Context, settings: PolicySettings) -> Path | None:
    """The reward model that the study trained, where the reward graph wants one."""
    wanted = any(part.kind == "reward_model" and not part.path for part in settings.rewards)
    return context.run.path / "reward_model" / "model" if wanted else None


def _show(rows: Sequence[dict[str, Any]]) -> None:
    columns = ("step", "reward", "KL", "entropy", "log-prob gap", "ratio", "tokens", "grad norm", "seconds")
    shown = [
        (
            r["step"],
            r["reward"],
            r["kl"],
            r["entropy"],
            r["logprob_gap"],
            r["ratio"],
            r["length"],
            r["grad_norm"],
            r["timings"]["step"],
        )
        for r in rows
    ]
    print_table("Policy", columns, shown)

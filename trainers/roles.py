"""The actors that an RL trainer commands, and how they are started from a configuration."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from actors.combined import SafetyAndHelpfulness, combined_scores
from actors.critic import Critic
from actors.engine import engine_environment
from actors.group import ActorGroup, Needs
from actors.labelers import Online, open_labeler
from actors.learner import learner_environment
from actors.native import ReceivingEngine, SendingPolicy
from actors.placement import GIB, ROOM
from actors.policy import Policy
from actors.reference import Reference
from actors.reward_model import RewardScorer
from actors.rollout import Probe, RolloutEngine
from actors.scoring import (
    Part,
    RewardGraph,
    labeler_scores,
    model_scores,
    rule_scores,
)
from actors.serving import ServedLabelers
from trainers.sync import Native, ObjectStore, Push
from truing.config.labeling import EngineLabeler, RecordedLabeler, Style
from truing.config.policy import Policy as PolicySettings
from truing.config.policy import Ppo, Reinforce
from truing.config.rewards import AiScorePart, CombinedPart, RewardModelPart, RewardPart, part_name
from truing.config.roles import Cluster, Engine, Learner, Model, NodeRole, Route, Scorer
from truing.data.chat import load_tokenizer, prompt_tokens
from truing.labeling.asking import Asking
from truing.labeling.templates import load_template
from truing.records import Failed, Prompt

PROBE = ("What is a wheel for?", "A wheel lets heavy things roll, so that little force moves them far.")

ENDS: Mapping[Route, tuple[type[Policy], type[RolloutEngine], Callable[[], Push]]] = {
    "object_store": (Policy, RolloutEngine, ObjectStore),
    "native": (SendingPolicy, ReceivingEngine, Native),
}
"""Who pushes, who takes, and what goes on between them."""


@dataclass(frozen=True, slots=True)
class Folders:
    """Models on disk: start policy, reward model."""

    start: str
    reward_model: str


def engine_needs(engine: Engine, cluster: Cluster, node: NodeRole, restarts: int = 0) -> Needs:
    """What one engine asks of the cluster. Colocated roles take turns, so Ray reserves no CPU for each."""
    return _needs(engine, cluster, node, engine_environment(engine), restarts)


def learner_needs(learner: Learner, cluster: Cluster) -> Needs:
    """What one learner rank asks of the cluster. Ray does not start it again: its group is mended as a whole."""
    return _needs(learner, cluster, "learner", learner_environment(learner), restarts=0)


def scorer_needs(scorer: Scorer, cluster: Cluster) -> Needs:
    """What one actor of forward passes asks of the cluster."""
    environment = learner_environment(Learner(cpus=scorer.cpus, gpus=scorer.gpus))
    return _needs(scorer, cluster, "scorer", environment, cluster.restarts)


def labeler_needs(labeler: Online | RecordedLabeler, cluster: Cluster) -> Needs:
    """What one labeler asks of the cluster; one that only waits for a network asks for hardly anything."""
    if isinstance(labeler, EngineLabeler):
        return engine_needs(labeler.engine, cluster, "labeler", cluster.restarts)
    return Needs(0, 0, {}, cluster.start_deadline, cluster.call_deadline, cluster.restarts, patience=_patience(cluster))


def _patience(cluster: Cluster) -> float:
    """Seconds in which there must be room: nodes that an autoscaler adds take minutes to come."""
    return float(cluster.start_deadline) if cluster.autoscaling else ROOM


def _needs(
    role: Engine | Learner | Scorer, cluster: Cluster, node: NodeRole, environment: dict[str, str], restarts: int
) -> Needs:
    cpus = 0 if cluster.colocate else role.cpus
    resources = {cluster.nodes[node]: 1.0} if node in cluster.nodes else {}
    memory = int(cluster.memory.get(node, 0) * GIB)
    return Needs(
        cpus,
        role.gpus,
        environment,
        cluster.start_deadline,
        cluster.call_deadline,
        restarts,
        resources,
        _patience(cluster),
        memory,
    )


def score_asking(part: AiScorePart) -> Asking:
    """How a labeler is asked for a direct score."""
    return Asking({"*": load_template(part.template)}, Style(), part.criterion)


class Roles:
    """Everything an RL page talks to: engines, policy, references, reward graph and, for PPO, a critic."""

    def __init__(
        self,
        settings: PolicySettings,
        model: Model,
        labelers: Mapping[str, tuple[Online, Path, str]],
        cluster: Cluster,
        folders: Folders,
        prompts: Sequence[Prompt],
    ) -> None:
        """`labelers`: by name of the reward part, the labeler that scores, the folder of what the run has spent on it,
        and its evaluation steps if it wants some.
        """
        self._cluster, self._model, self._labelers, self._folders = cluster, model, labelers, folders
        self._precision, self._prompts = settings.learner.precision, prompts
        temperature = settings.sampling.temperature
        start = folders.start
        self.groups: list[ActorGroup[Any] | ServedLabelers] = []
        lora = settings.learner.lora
        pushed = lora if lora and lora.push == "adapter" else None
        learner_end, engine_end, push = ENDS[settings.push.chosen(settings.learner, settings.engine)]
        self.push: Push = push()
        engine = partial(engine_end, start, model, settings.engine, settings.sampling, list(prompts), pushed)
        needs, count = engine_needs(settings.engine, cluster, "rollout"), settings.engine.count
        most = max(count, settings.engine.max_count or count)
        try:
            self.engines = ActorGroup.elastic("rollout", count, most, engine, needs)
            self.groups.append(self.engines)
            # The large ones first: shares of a GPU that are given out before leave some GPUs with too little for a rank.
            self.policy: ActorGroup[Policy] = self._ranks(
                "policy", partial(learner_end, start, settings.learner, temperature), settings.learner
            )
            self.critic: ActorGroup[Critic] | None = None
            if isinstance(settings.algorithm, Ppo | Reinforce):
                critic = settings.algorithm.critic
                self.critic = self._ranks("critic", partial(Critic, start, critic), critic)
            self.references: ActorGroup[Reference] = self._started(
                "reference",
                settings.reference.count,
                partial(Reference, start, settings.reference, self._precision, temperature),
                scorer_needs(settings.reference, cluster),
            )
            self.graph = RewardGraph([self._part(part) for part in settings.rewards])
            self.probe = self._probe()
            # All of them load at the same time.
            for group in self.groups:
                group.ready()
        except BaseException:
            # What runs outlives this process: Ray Serve's replicas belong to the cluster.
            self.close()
            raise

    def _started(self, role: str, count: int, make: Any, needs: Needs) -> ActorGroup[Any]:
        group = ActorGroup.stateless(role, count, make, needs)
        self.groups.append(group)
        return group

    def _ranks(self, role: str, make: Any, learner: Learner) -> ActorGroup[Any]:
        group = ActorGroup.ranks(role, learner.ranks, make, learner_needs(learner, self._cluster))
        self.groups.append(group)
        return group

    def _part(self, part: RewardPart) -> Part:
        """The node of the reward graph that a configuration entry describes."""
        options: dict[str, object]
        if isinstance(part, RewardModelPart):
            folder = part.path or self._folders.reward_model
            make = partial(RewardScorer, folder, self._model.context, part.scorer, self._precision)
            needs = scorer_needs(part.scorer, self._cluster)
            group = self._started("reward model", part.scorer.count, make, needs)
            return Part(part_name(part), part.weight, group, model_scores)
        if isinstance(part, CombinedPart):
            make = partial(SafetyAndHelpfulness, part, self._model.context, self._precision)
            needs = scorer_needs(part.scorer, self._cluster)
            group = self._started("reward models", part.scorer.count, make, needs)
            asked = frozenset(prompt.id for prompt in self._prompts if prompt.domain in part.domains)
            options = {"safety_prompts": asked, "threshold": part.threshold}
            return Part(part.kind, part.weight, group, combined_scores, options, whiten=True)
        if isinstance(part, AiScorePart):
            labeler, spent, steps = self._labelers[part_name(part)]
            options = {"asking": score_asking(part), "steps": steps}
            return Part(part_name(part), part.weight, self._labeler(part, labeler, spent), labeler_scores, options)
        return Part(part_name(part), part.weight, self.references, rule_scores, {"rule": part})

    def _labeler(self, part: AiScorePart, labeler: Online, spent: Path) -> ActorGroup[Any] | ServedLabelers:
        """Actors of a fixed number, or served replicas."""
        needs = labeler_needs(labeler, self._cluster)
        if part.serve is not None:
            served = ServedLabelers(part_name(part), labeler, spent, part.serve, needs)
            self.groups.append(served)
            return served
        count = labeler.engine.count if isinstance(labeler, EngineLabeler) else 1
        return self._started("labeler", count, partial(open_labeler, labeler, spent), needs)

    def _probe(self) -> Probe:
        tokenizer = load_tokenizer(self._folders.start)
        question, answer = PROBE
        return Probe(prompt_tokens(tokenizer, question)[-64:], tokenizer.encode(answer, add_special_tokens=False)[:64])

    def unanswerable(self) -> dict[str, Failed]:
        """Prompts that no engine can answer, with the reason."""
        return dict(self.engines.first(RolloutEngine.unanswerable))

    @property
    def others(self) -> list[ActorGroup[Any]]:
        """The groups whose state no checkpoint keeps. Served labelers are not among them: Ray Serve mends those."""
        return [one for one in self.groups if isinstance(one, ActorGroup) and one not in (self.policy, self.critic)]

    def close(self) -> None:
        """End every actor."""
        for group in self.groups:
            group.close()


def numbers(stats: object) -> Mapping[str, float]:
    """A dataclass of figures as a mapping, for the metrics file."""
    return dataclasses.asdict(stats)  # pyright: ignore[reportArgumentType]

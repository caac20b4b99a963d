"""What a study asks of a cluster: the roles that its configuration names, and what one actor of each needs."""

from collections.abc import Mapping
from dataclasses import dataclass

from truing.config.labeling import Cascade, EngineLabeler, Ensemble, Labeler
from truing.config.policy import AiScorePart, CombinedPart, Policy, Ppo, Reinforce, RewardModelPart
from truing.config.roles import Engine, Learner, NodeRole, Scorer
from truing.config.study import Study


@dataclass(frozen=True, slots=True)
class Role:
    """The actors of one configuration key, and what each of them takes."""

    key: str
    count: int
    cpus: float
    gpus: float
    node: NodeRole
    memory: float = 0.0
    """GiB."""

    def asks(self, resources: Mapping[NodeRole, str], cpus: float | None = None) -> dict[str, float]:
        """What one actor takes of a node, by Ray resource (memory in GiB), where `resources` names that of its kind of node."""
        wanted = {"CPU": self.cpus if cpus is None else cpus, "GPU": self.gpus, "memory": self.memory}
        if self.node in resources:
            wanted[resources[self.node]] = 1.0
        return {name: amount for name, amount in wanted.items() if amount}


Found = list[tuple[str, Engine | Learner | Scorer, NodeRole]]


def demands(study: Study) -> list[Role]:
    """Every role of a study."""
    found: Found = [("sample.engine", study.sample.engine, "rollout")] if study.sample else []
    found += _labelers("labeler", study.labeler)
    found += _trainers(study)
    if study.policy:
        found += _policy(study, study.policy)
    if study.evaluate and study.evaluate.grid:
        grid = study.evaluate.grid
        found += [("evaluate.grid.engine", grid.engine, "rollout"), ("evaluate.grid.scorer", grid.scorer, "scorer")]
    return [_role(*one, study.cluster.memory) for one in found]


def _role(key: str, actors: Engine | Learner | Scorer, node: NodeRole, memory: Mapping[NodeRole, float]) -> Role:
    count = actors.ranks if isinstance(actors, Learner) else actors.count
    return Role(key, count, actors.cpus, actors.gpus, node, memory.get(node, 0.0))


def _trainers(study: Study) -> Found:
    """Roles of the trainers that learn from what is stored, and of rejection sampling."""
    found: Found = []
    if study.sft:
        found.append(("sft.learner", study.sft.learner, "learner"))
        if study.sft.generate:
            found.append(("sft.generate.engine", study.sft.generate.engine, "rollout"))
    if study.reward_model:
        found.append(("reward_model.learner", study.reward_model.learner, "learner"))
    if study.dpo:
        found += [("dpo.learner", study.dpo.learner, "learner"), ("dpo.reference", study.dpo.reference, "scorer")]
    if one := study.rejection:
        found += [
            ("rejection.engine", one.engine, "rollout"),
            ("rejection.scorer", one.scorer, "scorer"),
            ("rejection.learner", one.learner, "learner"),
        ]
    return found


def _policy(study: Study, policy: Policy) -> Found:
    found: Found = [
        ("policy.engine", policy.engine, "rollout"),
        ("policy.learner", policy.learner, "learner"),
        ("policy.reference", policy.reference, "scorer"),
    ]
    if isinstance(policy.algorithm, Ppo | Reinforce):
        found.append(("policy.algorithm.critic", policy.algorithm.critic, "learner"))
    for i, part in enumerate(policy.rewards):
        if isinstance(part, RewardModelPart | CombinedPart):
            found.append((f"policy.rewards.{i}.scorer", part.scorer, "scorer"))
        if isinstance(part, AiScorePart):
            found += _labelers(f"policy.rewards.{i}.labeler", _started(part, part.labeler or study.labeler))
    return found


def _started(part: AiScorePart, labeler: Labeler) -> Labeler:
    """The labeler of a part with so many engines as are started at first: served, the fewest replicas."""
    if part.serve is None or not isinstance(labeler, EngineLabeler):
        return labeler
    return labeler.model_copy(update={"engine": labeler.engine.model_copy(update={"count": part.serve.min})})


def _labelers(key: str, labeler: Labeler) -> Found:
    """The engines that a labeler's members are, by configuration key; members are asked one after another."""
    if isinstance(labeler, EngineLabeler):
        return [(f"{key}.engine", labeler.engine, "labeler")]
    if isinstance(labeler, Ensemble):
        return [one for i, each in enumerate(labeler.members) for one in _labelers(f"{key}.members.{i}", each)]
    if isinstance(labeler, Cascade):
        return [*_labelers(f"{key}.first", labeler.first), *_labelers(f"{key}.second", labeler.second)]
    return []

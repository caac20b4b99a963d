"""What a study asks of a cluster: the roles that its configuration names, and what one actor of each needs."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from truing.config.labeling import Cascade, EngineLabeler, Ensemble, Labeler
from truing.config.policy import Policy, Ppo, Reinforce
from truing.config.rewards import AiScorePart, CombinedPart, RewardModelPart
from truing.config.roles import Engine, Learner, NodeRole, Scorer
from truing.config.study import Study


@dataclass(frozen=True, slots=True)
class Role:
    """The actors of one part of a study, what each of them takes, and the keys that set it (`settings`) and their number."""

    key: str
    settings: str
    number: str
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


def demands(study: Study) -> list[Role]:
    """Every role of a study."""
    found: list[Role] = [_role("sample.engine", study.sample.engine, "rollout")] if study.sample else []
    found += _labelers("labeler", study.labeler)
    found += _trainers(study)
    if study.policy:
        found += _policy(study, study.policy)
    if study.evaluate and study.evaluate.grid:
        grid = study.evaluate.grid
        found.append(_role("evaluate.grid.engine", grid.engine, "rollout"))
        found.append(_role("evaluate.grid.scorer", grid.scorer, "scorer"))
    return [replace(one, memory=study.cluster.memory.get(one.node, 0.0)) for one in found]


def _role(key: str, actors: Engine | Learner | Scorer, node: NodeRole) -> Role:
    """Actors whose own section has their number."""
    count, number = (actors.ranks, "ranks") if isinstance(actors, Learner) else (actors.count, "count")
    return Role(key, key, f"{key}.{number}", count, actors.cpus, actors.gpus, node)


def _trainers(study: Study) -> list[Role]:
    """Roles of the trainers that learn from what is stored, and of rejection sampling."""
    found: list[Role] = []
    if study.sft:
        found.append(_role("sft.learner", study.sft.learner, "learner"))
        if study.sft.generate:
            found.append(_role("sft.generate.engine", study.sft.generate.engine, "rollout"))
    if study.reward_model:
        found.append(_role("reward_model.learner", study.reward_model.learner, "learner"))
    if study.dpo:
        found.append(_role("dpo.learner", study.dpo.learner, "learner"))
        found.append(_role("dpo.reference", study.dpo.reference, "scorer"))
    if one := study.rejection:
        found += [
            _role("rejection.engine", one.engine, "rollout"),
            _role("rejection.scorer", one.scorer, "scorer"),
            _role("rejection.learner", one.learner, "learner"),
        ]
    return found


def _policy(study: Study, policy: Policy) -> list[Role]:
    found: list[Role] = [
        _role("policy.engine", policy.engine, "rollout"),
        _role("policy.learner", policy.learner, "learner"),
        _role("policy.reference", policy.reference, "scorer"),
    ]
    if isinstance(policy.algorithm, Ppo | Reinforce):
        found.append(_role("policy.algorithm.critic", policy.algorithm.critic, "learner"))
    for i, part in enumerate(policy.rewards):
        if isinstance(part, RewardModelPart | CombinedPart):
            found.append(_role(f"policy.rewards.{i}.scorer", part.scorer, "scorer"))
        if isinstance(part, AiScorePart):
            found += _judges(f"policy.rewards.{i}", part, study.labeler)
    return found


def _judges(key: str, part: AiScorePart, common: Labeler) -> list[Role]:
    """The engines that score: the part's own or the study's; served, so many as the fewest replicas."""
    if part.labeler is None:
        found = [replace(one, key=f"{key}.{one.key}") for one in _labelers("labeler", common)]
    else:
        found = _labelers(f"{key}.labeler", part.labeler)
    if part.serve is None:
        return found
    return [replace(one, number=f"{key}.serve.min", count=part.serve.min) for one in found]


def _labelers(key: str, labeler: Labeler) -> list[Role]:
    """The engines that a labeler's members are, by configuration key; members are asked one after another."""
    if isinstance(labeler, EngineLabeler):
        return [_role(f"{key}.engine", labeler.engine, "labeler")]
    if isinstance(labeler, Ensemble):
        return [one for i, each in enumerate(labeler.members) for one in _labelers(f"{key}.members.{i}", each)]
    if isinstance(labeler, Cascade):
        return [*_labelers(f"{key}.first", labeler.first), *_labelers(f"{key}.second", labeler.second)]
    return []

"""What a study asks of a cluster: the roles that its configuration names, and what one actor of each needs."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from truing.config.labeling import Cascade, EngineLabeler, Ensemble, Labeler
from truing.config.policy import AiScorePart, CombinedPart, Policy, Ppo, Reinforce, RewardModelPart
from truing.config.roles import Engine, Learner, NodeRole, Scorer
from truing.config.study import Study


@dataclass(frozen=True, slots=True)
class Role:
    """The actors of one part of a study, what each of them takes, and the keys where that and their number are set."""

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


@dataclass(frozen=True, slots=True)
class _Found:
    """Actors of the study; `settings` and `number`, where others than those of their own key set them."""

    key: str
    actors: Engine | Learner | Scorer
    node: NodeRole
    settings: str = ""
    number: str = ""

    def role(self, memory: Mapping[NodeRole, float]) -> Role:
        actors, settings = self.actors, self.settings or self.key
        count, counted = (actors.ranks, "ranks") if isinstance(actors, Learner) else (actors.count, "count")
        number = self.number or f"{settings}.{counted}"
        return Role(self.key, settings, number, count, actors.cpus, actors.gpus, self.node, memory.get(self.node, 0.0))


Found = list[_Found]


def demands(study: Study) -> list[Role]:
    """Every role of a study."""
    found: Found = [_Found("sample.engine", study.sample.engine, "rollout")] if study.sample else []
    found += _labelers("labeler", study.labeler)
    found += _trainers(study)
    if study.policy:
        found += _policy(study, study.policy)
    if study.evaluate and study.evaluate.grid:
        grid = study.evaluate.grid
        found.append(_Found("evaluate.grid.engine", grid.engine, "rollout"))
        found.append(_Found("evaluate.grid.scorer", grid.scorer, "scorer"))
    return [one.role(study.cluster.memory) for one in found]


def _trainers(study: Study) -> Found:
    """Roles of the trainers that learn from what is stored, and of rejection sampling."""
    found: Found = []
    if study.sft:
        found.append(_Found("sft.learner", study.sft.learner, "learner"))
        if study.sft.generate:
            found.append(_Found("sft.generate.engine", study.sft.generate.engine, "rollout"))
    if study.reward_model:
        found.append(_Found("reward_model.learner", study.reward_model.learner, "learner"))
    if study.dpo:
        found.append(_Found("dpo.learner", study.dpo.learner, "learner"))
        found.append(_Found("dpo.reference", study.dpo.reference, "scorer"))
    if one := study.rejection:
        found += [
            _Found("rejection.engine", one.engine, "rollout"),
            _Found("rejection.scorer", one.scorer, "scorer"),
            _Found("rejection.learner", one.learner, "learner"),
        ]
    return found


def _policy(study: Study, policy: Policy) -> Found:
    found: Found = [
        _Found("policy.engine", policy.engine, "rollout"),
        _Found("policy.learner", policy.learner, "learner"),
        _Found("policy.reference", policy.reference, "scorer"),
    ]
    if isinstance(policy.algorithm, Ppo | Reinforce):
        found.append(_Found("policy.algorithm.critic", policy.algorithm.critic, "learner"))
    for i, part in enumerate(policy.rewards):
        if isinstance(part, RewardModelPart | CombinedPart):
            found.append(_Found(f"policy.rewards.{i}.scorer", part.scorer, "scorer"))
        if isinstance(part, AiScorePart):
            found += _judges(f"policy.rewards.{i}", part, study.labeler)
    return found


def _judges(key: str, part: AiScorePart, common: Labeler) -> Found:
    """The engines that score: the part's own or the study's; served, so many as the fewest replicas."""
    found = _labelers(f"{key}.labeler", part.labeler or common)
    if part.labeler is None:
        found = [replace(one, settings=one.key.removeprefix(f"{key}.")) for one in found]
    if part.serve is None:
        return found
    actors = {one.key: one.actors.model_copy(update={"count": part.serve.min}) for one in found}
    return [replace(one, actors=actors[one.key], number=f"{key}.serve.min") for one in found]


def _labelers(key: str, labeler: Labeler) -> Found:
    """The engines that a labeler's members are, by configuration key; members are asked one after another."""
    if isinstance(labeler, EngineLabeler):
        return [_Found(f"{key}.engine", labeler.engine, "labeler")]
    if isinstance(labeler, Ensemble):
        return [one for i, each in enumerate(labeler.members) for one in _labelers(f"{key}.members.{i}", each)]
    if isinstance(labeler, Cascade):
        return [*_labelers(f"{key}.first", labeler.first), *_labelers(f"{key}.second", labeler.second)]
    return []

"""Whether a cluster could ever hold what a study asks for, and if not what is short and which layout would fit."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from jobs.cluster.demands import Role, demands
from jobs.cluster.kinds import MEMORY, WORDS, Nodes, is_of, may_come, own_resources
from jobs.cluster.room import GRAIN, Room, has
from truing.config.load import ways
from truing.config.roles import NodeRole
from truing.config.study import Study
from truing.errors import ShortOfResources


def this_machine() -> list[Nodes]:
    """This machine as a cluster of its own. Its GPUs are counted when Ray has started."""
    return [Nodes("machine", {"CPU": os.cpu_count() or 1, "GPU": float("inf")}, 1)]


def offered(autoscaling: str | None = None) -> list[Nodes]:
    """What the connected cluster has, and what its autoscaler may add by its file.

    Raises:
        ConfigError: the file cannot be used.
    """
    import ray

    alive = [node for node in ray.nodes() if node["Alive"]]
    here = [own_resources(node) | {MEMORY: node["Resources"].get(MEMORY, 0.0) / 2**30} for node in alive]
    coming = may_come(Path(autoscaling)) if autoscaling else []
    # A node of a kind that may come is one of those that are counted there.
    fixed = [one for one in here if not any(is_of(one, kind) for kind in coming)]
    return [*(Nodes("node", one, 1) for one in fixed), *coming]


def check_capacity(study: Study, nodes: Sequence[Nodes]) -> None:
    """Refuse what the cluster could never hold, instead of waiting for it.

    Colocated roles take turns: each must fit alone. Otherwise the roles of RL must fit together.

    Raises:
        ShortOfResources: with the shortfall and the nearest layout that fits.
    """
    for way in ways(study).values():
        _check_way(way, nodes)


def _check_way(study: Study, nodes: Sequence[Nodes]) -> None:
    roles, names = demands(study), study.cluster.nodes
    for role in roles:
        _check_alone(role, names, nodes)
    together = [role for role in roles if role.key.startswith("policy.")]
    if study.cluster.colocate:
        together = [replace(role, cpus=0.0) for role in together]
    if _holds(together, names, nodes):
        return
    nearest = _nearest(together, names, nodes)
    remedy = f"the nearest layout that fits: {nearest}" if nearest else "no smaller number of actors fits either"
    if not study.cluster.colocate:
        remedy = f"set cluster.colocate=true, or lower the counts ({remedy})"
    raise ShortOfResources(f"policy: its roles together {_short(together, names, nodes)}; {remedy}")


def _check_alone(role: Role, names: Mapping[NodeRole, str], nodes: Sequence[Nodes]) -> None:
    fits = _placed([role], names, nodes)[0]
    if fits == role.count:
        return
    wanted = role.asks(names)
    for name, each in wanted.items():
        there = _there(name, nodes)
        if role.count * each > there + GRAIN:
            lower = f"see cluster.nodes.{role.node}"
            if name in WORDS:
                lower = f"lower {role.settings}.{_word(name).lower()}"
            if name == MEMORY:
                lower = f"lower cluster.memory.{role.node}"
            raise ShortOfResources(
                f"{role.key}: asks for {role.count} x {each:g} = {role.count * each:g} {_word(name)} and the cluster has"
                f" {there:g} ({role.count * each - there:g} short); {fits} of them fit, or {lower}"
            )
    raise ShortOfResources(
        f"{role.key}: {role.count} actors of {_words(wanted)} each find no room on {', '.join(map(str, nodes))};"
        f" {fits} of them fit: lower what one of them takes, or their number"
    )


def _short(roles: Sequence[Role], names: Mapping[NodeRole, str], nodes: Sequence[Nodes]) -> str:
    """What is short of all that several roles ask for."""
    name = _scarce(roles, names, nodes)
    if name is None:
        return f"find no room beside each other on {', '.join(map(str, nodes))}"
    wanted, there = _wanted(roles, names)[name], _there(name, nodes)
    return f"ask for {wanted:g} {_word(name)} and the cluster has {there:g} ({wanted - there:g} short)"


def _nearest(roles: Sequence[Role], names: Mapping[NodeRole, str], nodes: Sequence[Nodes]) -> str:
    """Numbers of actors, the largest role made smaller first, with which the roles fit together; "" where none do."""
    left = list(roles)
    while not _holds(left, names, nodes):
        several = [i for i, role in enumerate(left) if role.count > 1]
        if not several:
            return ""
        scarce = _scarce(left, names, nodes)
        largest = max(several, key=lambda i: left[i].count * _amount(left[i].asks(names), scarce))
        left[largest] = replace(left[largest], count=left[largest].count - 1)
    changed = [now for now, before in zip(left, roles, strict=True) if now.count < before.count]
    return ", ".join(f"{role.number}={role.count}" for role in changed)


def _scarce(roles: Sequence[Role], names: Mapping[NodeRole, str], nodes: Sequence[Nodes]) -> str | None:
    """The resource of which the most is wanted beside what there is, where that is more; None where there is enough of each."""
    shares = {name: much / max(_there(name, nodes), 1e-9) for name, much in _wanted(roles, names).items()}
    name = max(shares, key=lambda one: shares[one], default=None)
    return name if name is not None and shares[name] > 1 + GRAIN else None


def _wanted(roles: Sequence[Role], names: Mapping[NodeRole, str]) -> dict[str, float]:
    every = [(name, role.count * each) for role in roles for name, each in role.asks(names).items()]
    return {name: sum(much for one, much in every if one == name) for name, _ in every}


def _there(name: str, nodes: Sequence[Nodes]) -> float:
    return sum(one.count * has(one.resources, name) for one in nodes)


def _amount(asks: Mapping[str, float], scarce: str | None) -> float:
    return sum(asks.values()) if scarce is None else asks.get(scarce, 0.0)


def _holds(roles: Sequence[Role], names: Mapping[NodeRole, str], nodes: Sequence[Nodes]) -> bool:
    return _placed(roles, names, nodes) == [role.count for role in roles]


def _placed(roles: Sequence[Role], names: Mapping[NodeRole, str], nodes: Sequence[Nodes]) -> list[int]:
    """How many actors of each role find room when the largest are placed first, each on the first node that has it."""
    rooms = [Room(one.resources) for one in nodes for _ in range(one.count)]
    placed = [0] * len(roles)
    for i in sorted(range(len(roles)), key=lambda i: -sum(roles[i].asks(names).values())):
        wanted = roles[i].asks(names)
        while placed[i] < roles[i].count and any(room.take(wanted) for room in rooms):
            placed[i] += 1
    return placed


def _word(resource: str) -> str:
    return WORDS.get(resource, resource)


def _words(wanted: Mapping[str, float]) -> str:
    return " and ".join(f"{amount:g} {_word(name)}" for name, amount in wanted.items())

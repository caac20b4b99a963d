"""The budget of a run's nodes: refused where it cannot be kept, and when it is spent."""

from collections.abc import Sequence
from pathlib import Path

from jobs.cluster.kinds import Nodes, kind_of, may_come
from jobs.cluster.node_hours import FOLDER, NodeHours, cost
from jobs.run_path import run_path
from truing.config.study import Study
from truing.errors import BudgetSpent, ConfigError


def nodes_folder(study: Study) -> Path:
    """Where a run keeps what its drivers saw of nodes."""
    return run_path(study) / FOLDER


def coming(study: Study) -> list[Nodes]:
    """The kinds of node that an autoscaler may add. Raises ConfigError where its file cannot be used."""
    return may_come(Path(study.cluster.autoscaling)) if study.cluster.autoscaling else []


def kinds_here(may_come: Sequence[Nodes]) -> list[str]:
    """Kinds of the nodes of the connected cluster, one for each."""
    import ray

    return [kind_of(node, may_come) for node in ray.nodes() if node["Alive"]]


def check_budget(study: Study) -> None:
    """Refuse a budget that could not be kept, or is spent, before anything is started on the connected cluster.

    Raises:
        ConfigError: a kind of node that is there, or may come, has no price.
        BudgetSpent: the nodes that are there could pass it in the time of a look.
    """
    budget, prices = study.cluster.budget, study.cluster.prices
    if budget is None:
        return
    new = coming(study)
    here = kinds_here(new)
    unpriced = sorted({*here, *(one.kind for one in new)} - set(prices))
    if unpriced:
        example = ", ".join(f"{kind!r}: ..." for kind in unpriced)
        raise ConfigError(
            f"cluster.budget: nodes of the kind {', '.join(unpriced)} have no price, so that no budget can be kept; add"
            f" cluster.prices={{{example}}}, what one costs an hour"
        )
    hours = NodeHours(nodes_folder(study))
    if not hours.has_room(here, prices, budget):
        raise spent(hours, study)


def spent(hours: NodeHours, study: Study) -> BudgetSpent:
    """What ends a run whose nodes could pass its budget before they are looked at again."""
    return BudgetSpent(
        f"nodes: {cost(hours.record, study.cluster.prices):.6g} of the budget of {study.cluster.budget:g} is spent, and they could"
        " pass it before the next look; what is stored is kept: raise cluster.budget and run again to go on"
    )

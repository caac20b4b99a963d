"""What roles ask of a cluster."""

import pytest

from actors.placement import ROOM
from trainers.roles import engine_needs, labeler_needs
from truing.config.labeling import EndpointLabeler
from truing.config.roles import Cluster, Engine


@pytest.mark.parametrize(("autoscaling", "patience"), [(None, ROOM), ("cluster.yaml", 700)])
def test_nodes_that_an_autoscaler_adds_are_waited_for_by_whoever_needs_them(
    autoscaling: str | None, patience: float
) -> None:
    """A labeler that only waits for a network, too: its requests are read somewhere."""
    cluster = Cluster(autoscaling=autoscaling, start_deadline=700)
    assert labeler_needs(EndpointLabeler(model="judge"), cluster).patience == patience
    assert engine_needs(Engine(), cluster, "rollout").patience == patience

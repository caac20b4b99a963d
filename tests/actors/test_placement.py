"""Groups that find no room: said within the deadline, with what was asked and what is free. The tests' cluster has four CPUs."""

from collections.abc import Iterator

import pytest

from actors.group import ActorGroup, Needs
from tests.actors.ranks import Meeting, Toy
from truing.errors import ShortOfResources


def needs(cpus: int, patience: float = 60.0, memory: int = 0) -> Needs:
    threads = {"OMP_NUM_THREADS": "1"}
    return Needs(cpus, 0, threads, start_deadline=300, call_deadline=300, patience=patience, memory=memory)


@pytest.fixture
def crowded(cluster: None) -> Iterator[None]:
    """Three of the four CPUs are taken by another group."""
    other = ActorGroup.stateless("other", 1, Toy, needs(3)).ready()
    yield
    other.close()


def test_actors_without_room_are_refused_with_the_shortfall(crowded: None) -> None:
    group = ActorGroup.stateless("toys", 2, Toy, needs(1, patience=1))
    # One of the two has found room.
    with pytest.raises(ShortOfResources) as caught:
        group.ready()
    group.close()
    assert str(caught.value) == (
        "toys: 1 actors of 1 CPU each found no room within 1 s; 0 CPU free: others use the rest; wait for them, lower the"
        " role's count, or set cluster.colocate=true"
    )


def test_memory_that_is_not_there_is_a_shortfall(cluster: None) -> None:
    """4 TiB; one that asks for a MiB is started."""
    small = ActorGroup.stateless("small", 1, Toy, needs(0, memory=2**20)).ready()
    small.close()
    with pytest.raises(ShortOfResources) as caught:
        ActorGroup.ranks("ranks", 1, Meeting, needs(0, patience=1, memory=2**42))
    assert str(caught.value).startswith("ranks: 1 actors of 4096 GiB of memory each found no room within 1 s; ")
    group = ActorGroup.stateless("toys", 1, Toy, needs(0, patience=1, memory=2**42))
    with pytest.raises(
        ShortOfResources, match=r"^toys: 1 actors of 4096 GiB of memory each found no room within 1 s; "
    ):
        group.ready()
    group.close()


def test_ranks_get_their_room_at_once_or_not_at_all(crowded: None) -> None:
    with pytest.raises(
        ShortOfResources, match=r"^meeting: 2 actors of 1 CPU each found no room within 1 s; 1 CPU free"
    ):
        ActorGroup.ranks("meeting", 2, Meeting, needs(1, patience=1))


def test_room_that_is_given_back_is_there_for_others(cluster: None) -> None:
    for _ in range(2):
        group = ActorGroup.ranks("meeting", 2, Meeting, needs(2)).ready()
        # 1 + 2
        assert group.broadcast(Meeting.meet) == [3.0, 3.0]
        group.close()

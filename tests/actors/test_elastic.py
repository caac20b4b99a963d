"""Groups whose processes are lost: who is missed, who goes on, who joins; and ranks, of which all are needed."""

import time
from collections.abc import Callable, Iterator

import pytest

from actors.group import ActorGroup, Elastic, Needs
from tests.actors.ranks import Meeting, Toy
from truing.errors import ActorLost

NEEDS = Needs(cpus=0, gpus=0, environment={"OMP_NUM_THREADS": "1"}, start_deadline=300, call_deadline=300)
DEADLINE = 120.0


def until(holds: Callable[[], bool]) -> None:
    """Wait for what must come."""
    end = time.monotonic() + DEADLINE
    while not holds():
        assert time.monotonic() < end, "it did not come in time"
        time.sleep(0.2)


@pytest.fixture
def group(cluster: None) -> Iterator[Elastic[Toy]]:
    """Two of at most three."""
    group = ActorGroup.elastic("toys", 2, 3, Toy, NEEDS).ready()
    assert isinstance(group, Elastic)
    yield group
    group.close()


def test_actors_join_when_they_have_loaded_and_no_more_than_the_most(group: Elastic[Toy]) -> None:
    # The third is asked for by the first call and joins in a later one; there is no fourth.
    assert group.join() == 2
    until(lambda: group.join() == 3)
    assert group.join() == 3
    assert len(set(group.broadcast(Toy.who))) == 3
    assert group.scatter(Toy.squares, [1, 2, 3]).get() == [(1, 1, 1), (2, 4, 1), (3, 9, 1)]


def test_who_is_lost_leaves_and_another_joins_in_its_place(group: Elastic[Toy]) -> None:
    _, stays = group.broadcast(Toy.who)
    with pytest.raises(ActorLost):
        group.stream(Toy.one_pair_and_death_of_the_first, [0, 1, 2, 3], sizes=lambda size: (size, 0)).all()
    assert group.lost() == [0]
    group.renew()
    # The survivor has all of the work, and its process is the same.
    assert group.ready().broadcast(Toy.who) == [stays]
    assert group.scatter(Toy.squares, [1, 2]).get() == [(1, 1, 2), (2, 4, 2)]
    assert group.lost() == []
    until(lambda: group.join() == 3)
    assert stays in group.broadcast(Toy.who)


def test_where_nobody_is_left_as_many_as_at_first_are_started(group: Elastic[Toy]) -> None:
    before = group.broadcast(Toy.who)
    with pytest.raises(ActorLost):
        group.broadcast(Toy.end)
    assert group.lost() == [0, 1]
    group.renew()
    after = group.ready().broadcast(Toy.who)
    assert len(set(after)) == 2
    assert not set(after) & set(before)


def test_a_stateless_actor_that_ray_gives_up_is_replaced_alone(cluster: None) -> None:
    group = ActorGroup.stateless("toys", 2, Toy, NEEDS).ready()
    first, second = group.broadcast(Toy.who)
    with pytest.raises(ActorLost):
        group.first(Toy.end)
    group.renew()
    after = group.ready().broadcast(Toy.who)
    assert after[0] not in (first, second)
    assert after[1] == second
    group.close()


def test_ranks_are_renewed_as_a_whole_and_meet_again(cluster: None) -> None:
    group = ActorGroup.ranks("meeting", 2, Meeting, NEEDS).ready()
    with pytest.raises(ActorLost):
        group.broadcast(Meeting.meet, dies=1)
    assert group.lost()
    group.renew()
    # 1 + 2
    assert group.ready().broadcast(Meeting.meet) == [3.0, 3.0]
    group.close()

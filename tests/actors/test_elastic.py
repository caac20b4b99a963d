"""Groups whose processes are lost: who is missed, who goes on, who joins; and ranks, of which all are needed."""

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, cast

import pytest

from actors.group import ActorGroup, Elastic, Needs
from actors.starting import Joiner
from tests.actors.ranks import Meeting, Moody, Toy
from truing.errors import ActorLost

NEEDS = Needs(cpus=0, gpus=0, environment={"OMP_NUM_THREADS": "1"}, start_deadline=300, call_deadline=300)
SHORT = replace(NEEDS, call_deadline=10)
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


def sleep_in_a_call(group: Elastic[Toy]) -> None:
    group.first(Toy.sleep, 600.0)


def sleep_in_a_stream(group: Elastic[Toy]) -> None:
    group.stream(Toy.sleep_of_the_first, [0, 1, 2, 3], sizes=lambda size: (size, 0)).all()


@pytest.mark.parametrize("hang", [sleep_in_a_call, sleep_in_a_stream])
def test_who_hangs_is_lost_though_it_answers_beside_its_work(
    cluster: None, hang: Callable[[Elastic[Toy]], None]
) -> None:
    group = ActorGroup.elastic("toys", 2, 2, Toy, SHORT)
    group.ready()
    late, _ = group.members
    _, stays = group.broadcast(Toy.who)
    with pytest.raises(ActorLost) as loss:
        hang(group)
    assert loss.value.late == (late,)
    # The thread beside its work is well.
    assert group.lost() == []
    group.give_up(loss.value.late)
    assert group.lost() == [0]
    group.renew()
    assert group.ready().broadcast(Toy.who) == [stays]
    assert group.lost() == []
    group.close()


def test_a_stateless_actor_that_hangs_is_replaced_alone(cluster: None) -> None:
    group = ActorGroup.stateless("toys", 2, Toy, replace(SHORT, restarts=2)).ready()
    first, second = group.broadcast(Toy.who)
    with pytest.raises(ActorLost) as loss:
        group.first(Toy.sleep, 600.0)
    group.give_up(loss.value.late)
    assert group.lost() == [0]
    group.renew()
    after = group.ready().broadcast(Toy.who)
    assert after[0] not in (first, second)
    assert after[1] == second
    group.close()


def joining(moods: Path, needs: Needs = NEEDS) -> Elastic[Moody]:
    """One actor, and a second one that is to join, in one mood after another."""
    moods.write_text("")
    group = ActorGroup.elastic("toys", 1, 2, partial(Moody, moods), needs)
    group.ready()
    return group


def test_why_an_actor_cannot_join_is_said_and_after_three_failures_no_more_are_started(
    cluster: None, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    group = joining(tmp_path / "moods")
    (tmp_path / "moods").write_text("rdrrr")
    until(lambda: group.join() == 1 and len(caplog.messages) == 3)
    assert [group.join() for _ in range(3)] == [1, 1, 1]
    refused, died, last = caplog.messages
    assert refused == "toys: an actor cannot join: toy: the folder is empty; give another"
    assert died.startswith("toys: an actor cannot join: start: the process died (")
    assert "run the same command again" not in died
    assert last == f"{refused}; 3 in a row, no more are started"
    assert {record.levelname for record in caplog.records} == {"WARNING"}
    # Of five only three were made, and none is on its way.
    assert (tmp_path / "moods").read_text() == "rr"
    assert group._coming == []
    group.close()


def test_who_hangs_while_it_loads_is_ended_and_another_joins_in_its_place(
    cluster: None, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    group = joining(tmp_path / "moods", replace(NEEDS, start_deadline=20))
    (tmp_path / "moods").write_text("h")
    until(lambda: group.join() == 2)
    assert caplog.messages == ["toys: an actor cannot join: it has not loaded within 20 s"]
    assert len(set(group.broadcast(Moody.who))) == 2
    group.close()


def test_who_joins_is_late_after_the_time_in_which_it_is_known_to_have_had_room() -> None:
    """Groups look at most once a step, which can take longer than a start may."""
    one = Joiner(None, cast("Any", None))
    first = one.seen(1000.0, room=True)
    assert (one.placed, first.placed) == (None, 1000.0)
    assert first.seen(1300.0, room=True).placed == 1000.0
    assert first.seen(1300.0, room=False).placed is None


def test_where_nobody_is_left_who_is_about_to_join_takes_the_place(cluster: None, tmp_path: Path) -> None:
    """The room may hold no more: another one beside it would wait in vain."""
    group = joining(tmp_path / "moods")
    (tmp_path / "moods").write_text("sr")
    group.join()
    with pytest.raises(ActorLost):
        group.broadcast(Moody.end)
    group.renew()
    until(lambda: (tmp_path / "moods").read_text() == "r")
    assert len(group.ready().broadcast(Moody.who)) == 1
    # The one that would have refused was not begun.
    assert (tmp_path / "moods").read_text() == "r"
    group.close()


def test_an_actor_that_joins_makes_up_for_failures_before_it(cluster: None, tmp_path: Path) -> None:
    group = joining(tmp_path / "moods")
    (tmp_path / "moods").write_text("rr")
    until(lambda: group.join() == 2)
    (tmp_path / "moods").write_text("rr")
    with pytest.raises(ActorLost):
        group.first(Toy.end)
    group.renew()
    # Four failures, but not three in a row.
    until(lambda: group.join() == 2)
    group.close()


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

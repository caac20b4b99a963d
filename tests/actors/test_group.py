"""The Ray boundary, with real actors: order, results that do not pass the driver, and every way in which an actor ends."""

from collections.abc import Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import ray

import actors.group
import actors.pending
from actors.group import ActorGroup, Needs
from actors.pending import Pending
from actors.sharing import split_sizes, takers
from tests.actors.ranks import Meeting, Robbed, Toy, toy_that_refuses
from truing.errors import ActorDied, ActorLost, ConfigError

NEEDS = Needs(cpus=0, gpus=0, environment={"OMP_NUM_THREADS": "1"}, start_deadline=300, call_deadline=300)


@pytest.fixture(scope="module")
def two(cluster: None) -> Iterator[ActorGroup[Toy]]:
    group = ActorGroup.stateless("two toys", 2, Toy, NEEDS).ready()
    yield group
    group.close()


@pytest.fixture(scope="module")
def three(cluster: None) -> Iterator[ActorGroup[Toy]]:
    group = ActorGroup.stateless("three toys", 3, Toy, NEEDS).ready()
    yield group
    group.close()


# --- sharing out ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("total", "parts", "sizes"),
    # 7 = 3 + 2 + 2; 2 items leave the third of three actors without work
    [(7, 3, (3, 2, 2)), (6, 3, (2, 2, 2)), (2, 3, (1, 1, 0)), (0, 2, (0, 0)), (5, 1, (5,))],
)
def test_shares_differ_by_one_at_most(total: int, parts: int, sizes: tuple[int, ...]) -> None:
    assert split_sizes(total, parts) == sizes


@pytest.mark.parametrize("count", [0, 1, 2, 5])
def test_scatter_keeps_the_order_and_passes_the_common_arguments(two: ActorGroup[Toy], count: int) -> None:
    found = two.scatter(Toy.squares, list(range(count)), plus=100).get()
    # Five numbers are shares of three and two.
    shares = [size for size in split_sizes(count, 2) for _ in range(size)]
    assert found == [(n, n**2 + 100, share) for n, share in zip(range(count), shares, strict=True)]


def test_few_items_go_to_those_whose_turn_it_is(three: ActorGroup[Toy]) -> None:
    def takers(count: int) -> list[int]:
        return three.scatter(Toy.whose, list(range(count))).get()

    first = takers(3)
    assert len(set(first)) == 3
    # One goes to the first, two to the others; four times one go round.
    assert takers(1) + takers(2) == first
    assert [takers(1), takers(1), takers(1), takers(1)] == [[first[i]] for i in (0, 1, 2, 0)]


def test_each_sort_of_work_has_turns_of_its_own(two: ActorGroup[Toy]) -> None:
    """A rule's check of each slice comes before its reading: with one turn for both, one of two would do all the reading."""
    readers: list[int] = []
    for number in range(2):
        two.scatter(Toy.squares, [number])
        readers += two.scatter(Toy.whose, [number]).get()
    assert len(set(readers)) == 2


def test_columns_are_cut_at_the_same_places(two: ActorGroup[Toy]) -> None:
    # `squares` refuses shares of unequal lengths.
    assert two.scatter(Toy.squares, [1, 2, 3], [7, 8, 9]).get() == [(1, 1, 2), (2, 4, 2), (3, 9, 1)]


def test_columns_of_unequal_lengths_are_refused(two: ActorGroup[Toy], three: ActorGroup[Toy]) -> None:
    with pytest.raises(ValueError, match="columns of 3 and 2 items cannot be scattered together"):
        two.scatter(Toy.squares, [1, 2, 3], [7, 8])
    pending = three.scatter(Toy.squares, [1, 2])
    with pytest.raises(ValueError, match="columns of 3 and 2 items cannot be scattered together"):
        two.scatter(Toy.squares, [1, 2, 3], pending)


@pytest.mark.parametrize("count", [1, 4, 7])
def test_a_pending_is_an_argument_of_a_group_of_another_size(
    two: ActorGroup[Toy], three: ActorGroup[Toy], count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    numbers, others = list(range(count)), [10 * n for n in range(count)]
    for first, second in ((three, two), (two, three), (two, two)):
        with monkeypatch.context() as patch:
            # Nothing is fetched on the way: the driver moves references.
            patch.setattr(actors.group, "fetch", lambda *_: pytest.fail("the driver fetched"))
            pending = second.scatter(Toy.sums, first.scatter(Toy.squares, numbers, plus=1), others)
        found = pending.get()
        # n + (n² + 1) + 10·n
        assert [number for number, _ in found] == [n + n**2 + 1 + 10 * n for n in numbers]
        # The shares are the second group's.
        assert [share for _, share in found] == [size for size in split_sizes(count, len(second)) for _ in range(size)]


def test_a_pending_is_an_argument_of_a_group_of_one_and_back(cluster: None, three: ActorGroup[Toy]) -> None:
    one = ActorGroup.stateless("one toy", 1, partial(Toy, "only"), NEEDS).ready()
    gathered = one.scatter(Toy.sums, three.scatter(Toy.squares, [1, 2, 3, 4]), [0, 0, 0, 0])
    # n + n² = 2, 6, 12, 20
    assert gathered.get() == [(2, 4), (6, 4), (12, 4), (20, 4)]
    # 5 + 25 + 1, 6 + 36 + 1
    assert three.scatter(Toy.sums, one.scatter(Toy.squares, [5, 6]), [1, 1]).get() == [(31, 1), (43, 1)]
    one.close()


# --- what comes in slices ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def spoken_to(cluster: None) -> Iterator[ActorGroup[Toy]]:
    group = ActorGroup.elastic("two toys", 2, 2, Toy, NEEDS).ready()
    yield group
    group.close()


def halves(size: int) -> tuple[int, ...]:
    """Lists of two, and one item left over."""
    return (*[2] * ((size - 1) // 2), 1)


def test_slices_are_pending_items_in_their_places(spoken_to: ActorGroup[Toy], three: ActorGroup[Toy]) -> None:
    # Ten numbers: five for each of the two actors, two lists of two and one left over.
    arriving = spoken_to.stream(Toy.pairs, list(range(10)), sizes=halves)
    found = {place: part.get() for place, part in arriving}
    assert found == {(0, 0): [0, 1], (0, 1): [2, 3], (1, 0): [5, 6], (1, 1): [7, 8]}
    assert arriving.all().get() == [0, 1, 2, 3, 5, 6, 7, 8]
    assert arriving.left().get() == [4, 9]
    assert arriving.everything().get() == list(range(10))
    # Once more, in order, and as arguments of other actors' calls.
    sums = [three.scatter(Toy.squares, part) for _, part in arriving]
    joined = sums[0].followed_by(sums[1:])
    assert [number for number, *_ in joined.get()] == arriving.all().get()


@pytest.mark.parametrize(
    ("items", "workers", "abreast", "taking"),
    [
        (5, 3, 1, 3),  # nothing beside it: everybody
        (2, 3, 1, 2),  # nobody without an item
        (0, 3, 1, 1),  # an empty column is a call all the same
        (8, 2, 2, 2),  # 4 x 2 parts of two slices would be four of each: both workers
        (8, 4, 8, 2),  # 4 x 4 parts of eight slices are two of each
        (8, 4, 9, 2),  # 16 parts of nine slices: two of each are 18
        (8, 4, 16, 1),  # one of each
        (4, 16, 64, 1),
        (8, 4, 100, 1),  # fewer parts than slices: a slice is one at least
    ],
)
def test_slices_that_come_abreast_are_not_split_small(items: int, workers: int, abreast: int, taking: int) -> None:
    assert takers(Pending((), (items,), "rollout", 60, abreast), workers) == taking


def test_a_slice_among_many_goes_whole_to_one_actor(three: ActorGroup[Toy]) -> None:
    column = ray.put([1, 2, 3])

    def shares(abreast: int) -> list[int]:
        return [share for *_, share in three.scatter(Toy.squares, Pending((column,), (3,), "toys", 60, abreast)).get()]

    assert (shares(1), shares(100)) == ([1, 1, 1], [3, 3, 3])


def test_larger_shares_go_round(two: ActorGroup[Toy]) -> None:
    """Three items for two: were the first actor's always the larger share, it would have 8 of 12 items."""
    found = [host for _ in range(4) for host in two.scatter(Toy.whose, [0, 1, 2]).get()]
    assert [found.count(host) for host in set(found)] == [6, 6]


def test_slices_of_two_actors_come_two_abreast_and_joined_they_are_one(spoken_to: ActorGroup[Toy]) -> None:
    arriving = spoken_to.stream(Toy.pairs, list(range(10)), sizes=halves)
    assert {part.abreast for _, part in arriving} == {2}
    assert arriving.all().abreast == 1


def test_a_slice_is_there_before_the_next_is_done_and_an_actor_is_spoken_to_meanwhile(
    spoken_to: ActorGroup[Toy],
) -> None:
    """Each toy waits after its first list until it is told to go on: nothing else would end it."""
    arriving = spoken_to.stream(Toy.waiting_pairs, list(range(10)), sizes=halves)
    first = {place for place, _ in islice(arriving, 2)}
    assert first == {(0, 0), (1, 0)}
    spoken_to.aside(Toy.go_on)
    assert arriving.everything().get() == list(range(10))


def test_what_is_raised_between_two_slices_reaches_the_driver(spoken_to: ActorGroup[Toy]) -> None:
    arriving = spoken_to.stream(Toy.one_pair_and_no_more, list(range(10)), sizes=halves)
    with pytest.raises(ConfigError, match="the second pair is missing"):
        arriving.all().get()


def test_a_death_between_two_slices_is_translated(cluster: None) -> None:
    group = ActorGroup.elastic("toy", 1, 1, Toy, NEEDS).ready()
    with pytest.raises(ActorDied, match="toy: one_pair_and_death: the process died"):
        group.stream(Toy.one_pair_and_death, list(range(5)), sizes=halves).all().get()
    group.close()


def test_the_object_of_an_interruptible_actor_lives_in_the_thread_that_calls_it(spoken_to: ActorGroup[Toy]) -> None:
    made, calls = zip(*spoken_to.broadcast(Toy.threads), strict=True)
    assert made == calls


def test_broadcast_asks_every_actor_and_first_the_first(three: ActorGroup[Toy]) -> None:
    processes = three.broadcast(Toy.who)
    assert len(set(processes)) == len(three) == 3
    assert three.first(Toy.who) == processes[0]
    # A reference arrives as its value.
    reference = three.together(Toy.squares, [3]).made()
    assert three.broadcast(_length, reference) == [1, 1, 1]


def test_together_asks_every_actor_and_keeps_the_first_ones_value_where_it_is(
    three: ActorGroup[Toy], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    processes = three.broadcast(Toy.who)
    with monkeypatch.context() as patch:
        patch.setattr(actors.group, "fetch", lambda *_: pytest.fail("the driver fetched"))
        held = three.together(_sign, tmp_path)
    reference = held.made()
    # All three have done their part.
    assert {int(path.name) for path in tmp_path.iterdir()} == set(processes)
    assert three.broadcast(_same, reference) == [processes[0]] * 3


def _sign(toy: Toy, folder: Path) -> int:
    (folder / str(toy.process)).touch()
    return toy.process


def _same(_: Toy, value: int) -> int:
    return value


def _length(_: Toy, items: list[Any]) -> int:
    return len(items)


# --- errors -----------------------------------------------------------------------------------------------------------


def test_an_error_for_the_user_arrives_as_itself(two: ActorGroup[Toy]) -> None:
    with pytest.raises(ConfigError, match=r"^toy: 2 numbers are too many; give fewer$"):
        two.scatter(Toy.refuse, [1, 2, 3, 4]).get()
    with pytest.raises(ConfigError, match=r"^toy: 1 numbers are too many; give fewer$"):
        two.broadcast(Toy.refuse, [1])
    # And as itself too, where its result was to be the argument of another call.
    with pytest.raises(ConfigError, match=r"^toy: 1 numbers are too many; give fewer$"):
        two.scatter(Toy.squares, two.scatter(Toy.refuse, [1, 2])).get()
    assert two.scatter(Toy.squares, [2]).get() == [(2, 4, 1)]


def test_an_error_for_the_user_while_loading_arrives_as_itself(cluster: None) -> None:
    group = ActorGroup.stateless("toy", 1, toy_that_refuses, NEEDS)
    with pytest.raises(ConfigError, match=r"^toy: the folder is empty; give another$"):
        group.ready()
    with pytest.raises(ConfigError, match=r"^toy: the folder is empty; give another$"):
        group.broadcast(Toy.who)
    group.close()


def test_a_fault_of_the_program_keeps_its_traceback(two: ActorGroup[Toy]) -> None:
    with pytest.raises(TypeError, match="unsupported operand") as caught:
        two.scatter(Toy.squares, ["no number"]).get()
    assert "in squares" in str(caught.value)


def test_a_call_that_takes_too_long_is_named(cluster: None) -> None:
    short = Needs(0, 0, {"OMP_NUM_THREADS": "1"}, start_deadline=300, call_deadline=0.5)
    group = ActorGroup.stateless("sleeper", 1, Toy, short).ready()
    message = r"^sleeper: sleep did not answer within 0\.5 s \(actor 0 of 1\); raise cluster.call_deadline or look at its log$"
    with pytest.raises(ActorLost, match=message) as lost:
        group.broadcast(Toy.sleep, 60.0)
    assert lost.value.late == group.members
    group.close()


def test_who_is_waited_for_is_named_while_it_is_waited_for(
    two: ActorGroup[Toy], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(actors.pending, "STALL", 0.2)
    slow = two.broadcast(Toy.who)[1]
    assert two.broadcast(Toy.sleep_if, slow, 1.0) == ["awake", "awake"]
    said = [record.getMessage() for record in caplog.records if "still waiting" in record.getMessage()]
    assert said
    assert all(line.startswith("two toys: sleep_if: nothing for ") and line.endswith("actor 1 of 2") for line in said)


def test_a_stateless_actor_that_dies_is_started_again_and_asked_again(cluster: None, tmp_path: Path) -> None:
    needs = Needs(0, 0, {"OMP_NUM_THREADS": "1"}, start_deadline=300, call_deadline=300, restarts=1)
    group = ActorGroup.stateless("mortal", 1, Toy, needs).ready()
    before = group.first(Toy.who)
    ((number, after),) = group.scatter(Toy.die_once, [5], marker=tmp_path / "died").get()
    assert number == 5
    assert (tmp_path / "died").exists()
    assert after != before
    # The second death is one too many.
    (tmp_path / "died").unlink()
    with pytest.raises(
        ActorDied, match=r"^mortal: die_once: the process died \(.*worker process has died.*run the same"
    ):
        group.scatter(Toy.die_once, [5], marker=tmp_path / "died").get()
    group.close()


def test_an_actor_that_loses_its_gpu_is_replaced_as_one_that_died(cluster: None, tmp_path: Path) -> None:
    needs = Needs(0, 0, {"OMP_NUM_THREADS": "1"}, start_deadline=300, call_deadline=300, restarts=1)
    group = ActorGroup.stateless("burnt", 1, Toy, needs).ready()
    before = group.first(Toy.who)
    ((number, after),) = group.scatter(Toy.lose_the_gpu, [5], marker=tmp_path / "lost").get()
    assert (number, after != before) == (5, True)
    # What another process could not do either is said, with the remedy, and ends nothing.
    with pytest.raises(
        ActorDied, match=r"^an actor's GPU has too little memory \(CUDA out of memory\. .*\): lower token_budget"
    ):
        group.first(Toy.fill_the_gpu)
    assert group.first(Toy.who) == after
    group.close()


def test_a_death_reaches_whoever_waits_for_what_was_never_made(
    cluster: None, three: ActorGroup[Toy], tmp_path: Path
) -> None:
    """A learner that dies before the engines have its weights is mended like one that dies at any other moment."""
    mortal = ActorGroup.elastic("mortal", 1, 1, Toy, NEEDS).ready()
    never = mortal.scatter(Toy.die_once, [5, 6, 7], marker=tmp_path / "died")
    with pytest.raises(ActorLost, match=r"^three toys: sums: the process died .*; run the same command again to go on"):
        three.scatter(Toy.sums, never, [0, 0, 0]).get()
    mortal.close()


# --- groups that meet in collectives ----------------------------------------------------------------------------------


@pytest.fixture
def meeting(cluster: None) -> Iterator[ActorGroup[Meeting]]:
    group = ActorGroup.ranks("meeting", 2, Meeting, NEEDS).ready()
    # 1 + 2
    assert group.broadcast(Meeting.meet) == [3.0, 3.0]
    yield group
    group.close()


def test_a_rank_without_an_item_takes_part(meeting: ActorGroup[Meeting]) -> None:
    assert [meeting.scatter(Meeting.counted, [7]).get() for _ in range(2)] == [[1], [1]]


def test_a_rank_that_dies_takes_its_group_down_with_the_cause(meeting: ActorGroup[Meeting]) -> None:
    # Rank 0 answers first, with a broken connection: that is not what happened.
    with pytest.raises(ActorDied, match=r"^meeting: meet: the process died \(.*run the same command again to go on"):
        meeting.broadcast(Meeting.meet, dies=1)


def test_a_rank_that_refuses_is_heard_while_the_others_wait_for_it(meeting: ActorGroup[Meeting]) -> None:
    with pytest.raises(ConfigError, match=r"^rank 1: does not want to; ask it later$"):
        meeting.broadcast(Meeting.meet, refuses=1)


def test_what_ranks_make_together_is_not_waited_for_when_one_refuses(meeting: ActorGroup[Meeting]) -> None:
    held = meeting.together(Meeting.meet, refuses=1)
    with pytest.raises(ConfigError, match=r"^rank 1: does not want to; ask it later$"):
        held.made()


def test_where_ranks_will_meet_nobody_else_can_be_while_they_load(cluster: None) -> None:
    group = ActorGroup.ranks("meeting", 2, Robbed, NEEDS).ready()
    # 1 + 2
    assert group.broadcast(Robbed.meet) == [3.0, 3.0]
    group.close()

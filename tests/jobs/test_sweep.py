"""An offline pass on a real Ray: what is stored is not asked again, what fails is kept, who dies is replaced."""

import os
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest
import ray

from actors.group import Needs
from jobs.store import Table
from jobs.sweep import Pool, sweep
from tests.jobs import workers
from tests.jobs.workers import Doubler
from tests.local_ray import local_ray
from truing.errors import ActorDied, ConfigError, LabelerStopped, ShortOfResources, TruingError
from truing.records import Row


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Iterator[None]:
    """A local Ray of two CPUs."""
    with local_ray(2):
        yield


def rows(count: int) -> list[Row]:
    return [{"id": f"row-{i}", "number": i} for i in range(count)]


def run(
    folder: Path,
    count: int,
    answer: Any,
    *,
    make: Any = None,
    max_failed: float = 0.5,
    restarts: int = 2,
    batch: int = 2,
    needs: Needs | None = None,
    usage: Any = None,
    connect: Callable[[], None] = lambda: None,
) -> list[Row]:
    needs = needs or Needs(0, 0, {}, 60, 60, restarts)
    pool = Pool(make or partial(Doubler, folder / "asked"), answer, needs, batch=batch, usage=usage)
    return sweep("doubling", rows(count), Table(folder / "doubled"), pool, max_failed=max_failed, connect=connect)


def asked(folder: Path) -> list[str]:
    return (folder / "asked").read_text().split()


def test_answers_come_in_the_order_of_the_rows_and_are_stored_in_parts(tmp_path: Path):
    answers = run(tmp_path, 5, workers.double)
    assert [row["twice"] for row in answers] == [0, 2, 4, 6, 8]
    # Five rows in batches of two: a part each.
    assert len(list((tmp_path / "doubled").glob("*.parquet"))) == 3
    assert not (tmp_path / "doubled.dead").exists()


def test_what_is_stored_is_not_asked_again(tmp_path: Path):
    run(tmp_path, 3, workers.double)
    (tmp_path / "asked").unlink()
    answers = run(tmp_path, 5, workers.double)
    assert [row["twice"] for row in answers] == [0, 2, 4, 6, 8]
    assert sorted(asked(tmp_path)) == ["row-3", "row-4"]


def test_a_finished_pass_needs_no_cluster(tmp_path: Path):
    first = run(tmp_path, 3, workers.double)
    assert run(tmp_path, 3, workers.double, connect=lambda: pytest.fail("connected")) == first


def test_failures_are_left_out_and_kept_with_their_reasons(tmp_path: Path):
    # 1 cannot be read, 3 and 5 fail: 3 of 6, which is not more than one half.
    answers = run(tmp_path, 6, workers.double_even, max_failed=0.5)
    assert [row["id"] for row in answers] == ["row-0", "row-2", "row-4"]
    dead = {row["id"]: row["reason"] for row in Table(tmp_path / "doubled.dead").rows()}
    assert dead == {"row-1": "unparsable: no verdict", "row-3": "odd", "row-5": "odd"}


def test_what_failed_is_not_asked_again_and_still_counts(tmp_path: Path):
    """A prompt that is too long stays too long: no engine is started for it on each run."""
    first = run(tmp_path, 6, workers.double_even, max_failed=0.5)
    assert run(tmp_path, 6, workers.double_even, max_failed=0.5, make=workers.refuse_to_start) == first
    with pytest.raises(TruingError, match="3 of 6 rows failed"):
        run(tmp_path, 6, workers.double_even, max_failed=0.4, make=workers.refuse_to_start)


def test_too_many_failures_stop_the_pass_with_the_three_commonest_reasons(tmp_path: Path):
    # min(i % 4, i // 4) of 0..11: rests 0,0,0,0, 0,1,1,1, 0,1,2,2 -> six times 0, four times 1, twice 2.
    with pytest.raises(TruingError) as caught:
        run(tmp_path, 12, workers.fail_by_rest, max_failed=0.25, batch=12)
    assert str(caught.value) == (
        "doubling: 12 of 12 rows failed, max_failed is 0.25: rest 0 (6); rest 1 (4); rest 2 (2);"
        f" mend the cause, and delete {tmp_path}/doubled.dead to ask them again"
    )


def test_only_three_reasons_are_named(tmp_path: Path):
    # With 16 rows rest 3 comes up once, in row 15.
    with pytest.raises(TruingError) as caught:
        run(tmp_path, 16, workers.fail_by_rest, max_failed=0.0, batch=16)
    assert "rest 2 (3)" in str(caught.value)
    assert "rest 3" not in str(caught.value)


def test_what_was_answered_before_the_stop_is_kept(tmp_path: Path):
    with pytest.raises(TruingError, match="3 of 6 rows failed"):
        run(tmp_path, 6, workers.double_even, max_failed=0.1, batch=6)
    assert Table(tmp_path / "doubled").ids() == {"row-0", "row-2", "row-4"}


def test_a_hopeless_pass_ends_as_soon_as_it_is_one(tmp_path: Path):
    # Of 40 rows 4 may fail (a tenth). In batches of two each has one failure: the fifth batch is one too many. Which
    # batch comes first is Ray Data's affair.
    with pytest.raises(TruingError) as caught:
        run(tmp_path, 40, workers.double_even, max_failed=0.1)
    said = str(caught.value)
    assert said.startswith("doubling: 5 of 40 rows failed, max_failed is 0.1, and 30 were not asked any more: odd (")
    assert said.endswith(f"; mend the cause, and delete {tmp_path}/doubled.dead to ask them again")
    first = asked(tmp_path)
    assert len(first) == 10
    assert Table(tmp_path / "doubled").ids() == {row for row in first if int(row.removeprefix("row-")) % 2 == 0}
    # The same again: it is hopeless before anything is asked.
    with pytest.raises(TruingError, match="5 of 40 rows failed"):
        run(tmp_path, 40, workers.double, max_failed=0.1, make=workers.refuse_to_start)
    # What was answered is not asked again once more failures are borne.
    (tmp_path / "asked").unlink()
    assert len(run(tmp_path, 40, workers.double, max_failed=0.2)) == 35
    assert sorted(asked(tmp_path)) == sorted({f"row-{i}" for i in range(40)} - set(first))


def test_a_failure_that_may_pass_is_asked_again_by_the_next_run(tmp_path: Path):
    answers = run(tmp_path, 6, workers.fail_passing, max_failed=0.5)
    assert [row["id"] for row in answers] == ["row-1", "row-3", "row-5"]
    assert Table(tmp_path / "doubled.dead").ids() == {"row-0"}
    (tmp_path / "asked").unlink()
    answers = run(tmp_path, 6, workers.double, max_failed=0.5)
    assert sorted(asked(tmp_path)) == ["row-2", "row-4"]
    assert [row["id"] for row in answers] == ["row-1", "row-2", "row-3", "row-4", "row-5"]
    assert not (tmp_path / "doubled.passing").exists()


def test_a_failure_that_may_pass_counts_in_its_own_run(tmp_path: Path):
    with pytest.raises(TruingError) as caught:
        run(tmp_path, 6, workers.fail_passing, max_failed=0.4, batch=6)
    assert str(caught.value) == (
        "doubling: 3 of 6 rows failed, max_failed is 0.4: HTTP 500 (2); too long (1);"
        f" mend the cause, and delete {tmp_path}/doubled.dead to ask them again;"
        " 2 may pass: run the same command again to ask them"
    )
    assert len(run(tmp_path, 6, workers.double, max_failed=0.4)) == 5


def test_a_worker_that_dies_loses_nothing_and_doubles_nothing(tmp_path: Path):
    answer = partial(workers.die_once, marker=tmp_path / "died")
    answers = run(tmp_path, 6, answer)
    assert (tmp_path / "died").exists()
    assert [row["twice"] for row in answers] == [0, 2, 4, 6, 8, 10]
    stored = [row["id"] for path in (tmp_path / "doubled").glob("*.parquet") for row in _read(path)]
    assert Counter(stored) == Counter(f"row-{i}" for i in range(6))


def _read(path: Path) -> list[Row]:
    import pyarrow.parquet as pq

    return pq.read_table(path).to_pylist()


def test_a_worker_that_may_not_start_again_ends_the_pass_in_one_line(tmp_path: Path):
    answer = partial(workers.die_once, marker=tmp_path / "died")
    with pytest.raises(ActorDied) as caught:
        run(tmp_path, 6, answer, restarts=0)
    assert "run the same command again to go on from what is stored" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_worker_that_hangs_is_replaced_as_one_that_died(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    answer = partial(workers.hang_at_three, marker=tmp_path / "hung", times=1)
    answers = run(tmp_path, 6, answer, max_failed=0, needs=Needs(0, 0, {}, 60, 20, restarts=1))
    assert workers.noted(tmp_path / "hung") == 1
    assert [row["twice"] for row in answers] == [0, 2, 4, 6, 8, 10]
    said = [line.getMessage() for line in caplog.records if line.name == "jobs.standstill"]
    assert said == [
        "doubling: worker: no answer to 2 rows within 20 s; raise cluster.call_deadline, lower the batch, or look at its log"
    ]


def test_a_worker_that_hangs_each_time_ends_the_pass_in_one_line(tmp_path: Path):
    answer = partial(workers.hang_at_three, marker=tmp_path / "hung", times=9)
    with pytest.raises(ActorDied) as caught:
        run(tmp_path, 6, answer, needs=Needs(0, 0, {}, 60, 20, restarts=1))
    assert str(caught.value) == (
        "worker: no answer to 2 rows within 20 s; raise cluster.call_deadline, lower the batch, or look at its log;"
        " run the same command again to go on from what is stored"
    )
    # The first, and the one that took its place.
    assert workers.noted(tmp_path / "hung") == 2
    assert [row["twice"] for row in run(tmp_path, 6, workers.double)] == [0, 2, 4, 6, 8, 10]


def test_who_still_sends_requests_does_not_hang(tmp_path: Path):
    """Two requests of 8 s are more than the 12 s in which something must move, and each of them is less."""
    needs = Needs(0, 0, {}, 60, 12, restarts=0)
    answers = run(tmp_path, 2, workers.send_slowly, needs=needs, usage=workers.sent)
    assert [row["twice"] for row in answers] == [0, 2]


def test_a_model_that_does_not_load_ends_the_pass_in_one_line(tmp_path: Path):
    make = partial(workers.hang_to_start, tmp_path / "hung")
    with pytest.raises(ActorDied) as caught:
        run(tmp_path, 2, workers.double, make=make, needs=Needs(0, 0, {}, 5, 60, restarts=1))
    assert str(caught.value) == (
        "worker: not loaded within 5 s; raise cluster.start_deadline, or look at its log;"
        " run the same command again to go on from what is stored"
    )
    assert workers.noted(tmp_path / "hung") == 2


def test_a_worker_that_stands_still_as_a_whole_ends_the_pass_in_one_line(tmp_path: Path):
    """It cannot watch itself. With Ray it is as any other, so nobody is started in its place."""
    frozen = tmp_path / "frozen"
    try:
        with pytest.raises(ActorDied) as caught:
            run(tmp_path, 2, partial(workers.freeze, marker=frozen), needs=Needs(0, 0, {}, 30, 15))
    finally:
        for process in frozen.read_text().split() if frozen.exists() else ():
            if psutil.pid_exists(int(process)):
                os.kill(int(process), signal.SIGKILL)
    assert workers.noted(frozen) == 1
    # 30 s for a start and 15 s for an answer.
    assert str(caught.value) == (
        "doubling: no worker has begun, asked or answered for 45 s, and none has ended; look at their logs,"
        " and run the same command again to go on from what is stored"
    )


def test_workers_that_find_no_room_end_the_pass_with_the_shortfall(tmp_path: Path):
    with pytest.raises(ShortOfResources) as caught:
        run(tmp_path, 2, workers.double, needs=Needs(64, 0, {}, 60, 60, patience=2))
    said = str(caught.value)
    assert said.startswith("doubling: 1 actors of 64 CPU each found no room within 2 s; ")
    assert "\n" not in said
    # Nothing is left of it that would take the room of the next.
    assert [row["twice"] for row in run(tmp_path, 2, workers.double)] == [0, 2]


def test_a_pass_that_finds_no_room_to_read_ends_with_the_shortfall(tmp_path: Path):
    others = ray.remote(Doubler).options(num_cpus=2).remote(tmp_path / "others")
    ray.get(others.double.remote([]))
    try:
        with pytest.raises(ShortOfResources) as caught:
            run(tmp_path, 2, workers.double, needs=Needs(0, 0, {}, 60, 60, patience=2))
    finally:
        ray.kill(others)
    assert str(caught.value).startswith(
        "doubling: reading the requests: 1 actors of 1 CPU each found no room within 2 s; 0 CPU free: others use the rest"
    )


def test_a_row_that_the_engine_cannot_take_fails_alone_and_is_asked_again_by_the_next_run(tmp_path: Path):
    answers = run(tmp_path, 6, workers.raise_at_three, batch=6, max_failed=0.2)
    assert [row["id"] for row in answers] == ["row-0", "row-1", "row-2", "row-4", "row-5"]
    failed = {row["id"]: row["reason"] for row in Table(tmp_path / "doubled.passing").rows()}
    assert failed == {"row-3": "ValueError: no such token ***"}
    assert not (tmp_path / "doubled.dead").exists()
    (tmp_path / "asked").unlink()
    assert len(run(tmp_path, 6, workers.double, batch=6, max_failed=0)) == 6
    assert asked(tmp_path) == ["row-3"]


def test_an_engine_that_cannot_take_eight_rows_in_a_row_is_broken(tmp_path: Path):
    with pytest.raises(ActorDied) as caught:
        run(tmp_path, 30, workers.raise_always, batch=3, max_failed=1)
    assert str(caught.value) == (
        "worker: 8 rows in a row, each asked alone, ended in an error (the last: RuntimeError: no blocks are left):"
        " the engine is broken; look at its log, and run the same command again to go on from what is stored"
    )
    # Three batches, the third without its last row: 3 x 3 rows together, 8 alone.
    assert len(asked(tmp_path)) == 17
    assert len(Table(tmp_path / "doubled.passing").ids()) == 8
    assert len(run(tmp_path, 30, workers.double, batch=3, max_failed=0)) == 30


def test_a_worker_that_loses_its_gpu_is_replaced(tmp_path: Path):
    lose = partial(workers.lose_the_gpu, marker=tmp_path / "lost", times=2)
    answers = run(tmp_path, 8, lose, max_failed=0)
    assert [row["twice"] for row in answers] == [0, 2, 4, 6, 8, 10, 12, 14]
    assert len(set((tmp_path / "lost").read_text().split())) == 2


def test_a_gpu_that_is_lost_once_too_often_ends_the_pass_in_one_line(tmp_path: Path):
    lose = partial(workers.lose_the_gpu, marker=tmp_path / "lost", times=9)
    with pytest.raises(ActorDied) as caught:
        run(tmp_path, 8, lose, max_failed=0, restarts=1)
    assert "it is broken (RuntimeError: CUDA error: an illegal memory access was encountered)" in str(caught.value)
    assert len(run(tmp_path, 8, workers.double, max_failed=0)) == 8


def test_a_count_that_is_killed_ends_the_pass_in_one_line_and_the_next_run_does_the_rest(tmp_path: Path):
    with pytest.raises(ActorDied) as caught:
        run(tmp_path, 4, workers.kill_the_count)
    said = str(caught.value)
    assert said.startswith("doubling: the actor that counts: the process died (")
    assert said.endswith("); run the same command again to go on from what is stored")
    assert "\n" not in said
    assert [row["twice"] for row in run(tmp_path, 4, workers.double)] == [0, 2, 4, 6]


def test_a_fault_found_while_answering_arrives_as_itself(tmp_path: Path):
    with pytest.raises(ConfigError) as caught:
        run(tmp_path, 2, workers.refuse)
    assert str(caught.value) == "label 'one' is 2 tokens of this judge; use one-token labels"


def test_a_fault_found_while_loading_arrives_as_itself(tmp_path: Path):
    with pytest.raises(ConfigError) as caught:
        run(tmp_path, 2, workers.double, make=partial(workers.refuse_to_start, tmp_path))
    assert str(caught.value) == "model x: cannot be loaded; give a Hugging Face folder"


def test_an_engine_that_cannot_be_started_ends_the_pass_in_one_line(tmp_path: Path):
    with pytest.raises(ActorDied) as caught:
        run(tmp_path, 2, workers.double, make=partial(workers.fail_to_start, tmp_path))
    assert str(caught.value) == (
        "worker: cannot be started (ValueError: Model architectures ['X'] are not supported for now);"
        " give a model that the engine can load"
    )


def test_a_labeler_that_stops_keeps_what_it_answered_and_the_next_run_asks_the_rest(tmp_path: Path):
    with pytest.raises(LabelerStopped, match=r"^the budget is spent$"):
        run(tmp_path, 7, workers.stop_at_three)
    # Batches of two come in any order: three rows, or the odd one out and two others.
    answered = Table(tmp_path / "doubled").ids()
    assert len(answered) == 3
    assert not (tmp_path / "doubled.dead").exists()
    answers = run(tmp_path, 7, workers.double)
    assert [row["twice"] for row in answers] == [0, 2, 4, 6, 8, 10, 12]
    assert set(asked(tmp_path)) == {row["id"] for row in rows(7)} - answered
    assert len(asked(tmp_path)) == 4


def test_the_same_row_twice_is_asked_once(tmp_path: Path):
    pool = Pool(partial(Doubler, tmp_path / "asked"), workers.double, Needs(0, 0, {}, 60, 60), batch=2)
    answers = sweep(
        "doubling", rows(3) + rows(2), Table(tmp_path / "doubled"), pool, max_failed=0, connect=lambda: None
    )
    assert [row["twice"] for row in answers] == [0, 2, 4, 0, 2]
    assert sorted(asked(tmp_path)) == ["row-0", "row-1", "row-2"]

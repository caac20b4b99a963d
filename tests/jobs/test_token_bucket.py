from hypothesis import given
from hypothesis import strategies as st

from jobs.token_bucket import TokenBuckets


def test_a_burst_then_as_fast_as_it_fills():
    buckets = TokenBuckets(per_second=2, burst=3, clients=10)
    assert [buckets.take("a", 0.0) for _ in range(3)] == [0, 0, 0]
    # Empty; at 2 a second a token takes 0.5 s, of which 0.25 s have gone by at the second look.
    assert buckets.take("a", 0.0) == 0.5
    assert buckets.take("a", 0.25) == 0.25
    assert buckets.take("a", 0.5) == 0
    assert buckets.take("a", 0.5) == 0.5


def test_a_bucket_does_not_fill_beyond_its_burst():
    buckets = TokenBuckets(per_second=2, burst=3, clients=10)
    buckets.take("a", 0.0)
    assert [buckets.take("a", 1e6) > 0 for _ in range(4)] == [False, False, False, True]


def test_clients_do_not_share_a_bucket():
    buckets = TokenBuckets(per_second=1, burst=1, clients=10)
    assert [buckets.take(client, 0.0) > 0 for client in "abab"] == [False, False, True, True]


def test_who_asked_longest_ago_is_forgotten_first():
    buckets = TokenBuckets(per_second=1, burst=1, clients=2)
    for client in ("a", "b", "a"):
        buckets.take(client, 0.0)
    # "a" asked after "b": "c" takes the place of "b", which finds its bucket full again. That drives out "a".
    assert [buckets.take(client, 0.0) > 0 for client in "cba"] == [False, False, False]
    assert len(buckets) == 2


@given(
    asked=st.lists(st.tuples(st.sampled_from("abcdef"), st.floats(0, 3)), max_size=60),
    per_second=st.floats(0.1, 5),
    burst=st.integers(1, 4),
)
def test_nobody_gets_more_than_the_burst_and_what_has_filled_since(
    asked: list[tuple[str, float]], per_second: float, burst: int
):
    buckets = TokenBuckets(per_second, burst, clients=6)
    now, taken = 0.0, dict.fromkeys("abcdef", 0)
    for client, later in asked:
        now += later
        taken[client] += buckets.take(client, now) == 0
    assert all(count <= burst + per_second * now + 1e-6 for count in taken.values())


@given(asked=st.lists(st.tuples(st.text(), st.floats(0, 3)), max_size=60), clients=st.integers(1, 5))
def test_memory_is_bounded(asked: list[tuple[str, float]], clients: int):
    buckets = TokenBuckets(1, 2, clients)
    now = 0.0
    for client, later in asked:
        now += later
        buckets.take(client, now)
    assert len(buckets) == min(clients, len({client for client, _ in asked}))


@given(waits=st.lists(st.floats(0, 2), max_size=30))
def test_who_waits_as_long_as_told_is_taken(waits: list[float]):
    buckets = TokenBuckets(per_second=3, burst=2, clients=1)
    now = 0.0
    for later in waits:
        now += later
        if wait := buckets.take("a", now):
            # A nanosecond more than told: sums of floats round.
            now += wait + 1e-9
            assert buckets.take("a", now) == 0

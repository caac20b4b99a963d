"""A token bucket for each client: so many requests at once, so many a second, and only so much memory for all of them."""

from collections import OrderedDict


class TokenBuckets:
    """Each client's bucket holds at most `burst` tokens, gains `per_second` of them, and gives one to each request.

    Times are seconds of any one clock that does not go back. No more than `clients` buckets are kept: of more, those that
    were asked longest ago are forgotten, which fills them. So whoever commands more than `clients` addresses has `burst`
    requests of each.
    """

    def __init__(self, per_second: float, burst: int, clients: int) -> None:
        self._per_second, self._burst, self._clients = per_second, float(burst), clients
        # Tokens and when they were counted, by client; who asked last is at the end.
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._buckets)

    def take(self, client: str, now: float) -> float:
        """Take a token: 0 where there was one, else the seconds until there is. Who is refused loses nothing by asking."""
        tokens, then = self._buckets.get(client, (self._burst, now))
        tokens = min(self._burst, tokens + (now - then) * self._per_second)
        wait = 0.0 if tokens >= 1 else (1 - tokens) / self._per_second
        self._buckets[client] = (tokens if wait else tokens - 1, now)
        self._buckets.move_to_end(client)
        if len(self._buckets) > self._clients:
            self._buckets.popitem(last=False)
        return wait

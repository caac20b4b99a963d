"""How long nodes of each kind were there for a run: what its drivers saw, kept in its folder, and what it comes to."""

import json
import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from jobs.store import cannot_write
from truing.errors import TruingError

FOLDER = "nodes"
"""Of a run's folder, what its drivers saw."""
LONGEST = 10.0
"""Most seconds that one look counts. What passed while nobody looked (a driver that was stopped, say) is not counted."""


@dataclass(frozen=True, slots=True)
class Seen:
    """Nodes of one kind: most at once, node-seconds, and at how many looks there was one."""

    most: int = 0
    seconds: float = 0.0
    looks: int = 0

    @property
    def hours(self) -> float:
        """Node-hours."""
        return self.seconds / 3600

    def cost(self, price: float | None) -> float | None:
        """At a price of an hour, in its currency; None without one."""
        return None if price is None else self.hours * price


Record = Mapping[str, Seen]
"""What was seen of each kind of node."""


def added(record: Record, seconds: float, nodes: Mapping[str, int]) -> dict[str, Seen]:
    """A record and one look more: so many nodes of each kind, which count for the seconds since the look before.

    A node that came in between counts as if it had come just after the look before, one that went as if it had gone then.
    """
    found = dict(record)
    for kind, count in nodes.items():
        was = found.get(kind, Seen())
        found[kind] = Seen(max(was.most, count), was.seconds + seconds * count, was.looks + 1)
    return found


def cost(record: Record, prices: Mapping[str, float]) -> float:
    """What the kinds that have a price have cost, in the currency of the prices."""
    return sum(seen.hours * prices[kind] for kind, seen in record.items() if kind in prices)


def read_record(folder: Path) -> dict[str, Seen]:
    """What all drivers of a run saw. A last line that is not whole is left out.

    Raises:
        TruingError: a line is none that a driver wrote.
    """
    record: dict[str, Seen] = {}
    for path in sorted(folder.glob("*.jsonl")):
        for seconds, nodes in _looks(path):
            record = added(record, seconds, nodes)
    return record


def _looks(path: Path) -> Iterator[tuple[float, dict[str, int]]]:
    for line in path.read_text(encoding="utf-8").splitlines(keepends=True):
        if not line.endswith("\n"):
            return
        try:
            look = json.loads(line)
            yield float(look["seconds"]), {str(kind): int(count) for kind, count in look["nodes"].items()}
        except (ValueError, KeyError, TypeError, AttributeError):
            raise TruingError(
                f"{path}: {line[:60].strip()!r} is no look at nodes; mend the line, or delete the file if what it holds may be"
                " left out"
            ) from None


class NodeHours:
    """One driver's looks, each a line of a file of its own, beside those of the run's other drivers."""

    def __init__(self, folder: Path) -> None:
        """`folder`: of all the run's looks. Raises as `read_record`."""
        self._path = folder / f"{uuid.uuid4().hex}.jsonl"
        self._last: float | None = None
        self.record: Record = read_record(folder)

    @property
    def looked(self) -> bool:
        """Whether there was a look."""
        return self._last is not None

    def look(self, kinds: Iterable[str], now: float) -> None:
        """Note the kinds of the nodes that are there, one for each node; `now` in seconds of any clock that only goes on.

        The first look counts no time.

        Raises:
            TruingError: the folder cannot be written.
        """
        nodes: dict[str, int] = {}
        for kind in kinds:
            nodes[kind] = nodes.get(kind, 0) + 1
        seconds = 0.0 if self._last is None else min(now - self._last, LONGEST)
        self._last = now
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"seconds": round(seconds, 3), "nodes": nodes}) + "\n")
        except OSError as error:
            raise cannot_write(self._path.parent, error) from None
        self.record = added(self.record, seconds, nodes)

    def has_room(self, kinds: Iterable[str], prices: Mapping[str, float], budget: float) -> bool:
        """Whether nodes of these kinds may be there for one look more without passing the budget."""
        most = sum(prices.get(kind, 0.0) for kind in kinds) * LONGEST / 3600
        return cost(self.record, prices) + most <= budget

"""What a labeler has spent: of one process, or of all passes, workers and restarts of a run."""

import fcntl
import math
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from truing.errors import TruingError


class Account:
    """What one process has spent and set aside, in the currency of the price."""

    def __init__(self) -> None:
        self._total = self._refused = 0.0

    @property
    def total(self) -> float:
        """Spent and set aside, as last seen."""
        return self._total

    @property
    def refused(self) -> float:
        """The most that the question could have cost for which there was no room; 0 where there was none such."""
        return self._refused

    def refuse(self, most: float) -> None:
        """Note that there is no room for a question of so much."""
        self._refused = most

    def has_room(self, amount: float, limit: float | None) -> bool:
        """Whether an amount fits below the limit, if there is one."""
        return limit is None or self._total + amount <= limit

    def add(self, amount: float, limit: float | None = None) -> bool:
        """Add an amount, if it fits below the limit."""
        if not self.has_room(amount, limit):
            return False
        self._total += amount
        return True


class RunAccount(Account):
    """The account of a run: a folder of append-only logs, one a process, which every process adds up.

    What a request can cost at most is written before it is sent, and what it did not cost is taken back afterwards. A
    process that dies takes nothing along: what it had under way stays charged at its most. A lock on the folder makes
    looking and adding one act, so that several workers do not pass the limit together.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._folder, self._name = folder, uuid.uuid4().hex
        self._read: dict[str, tuple[int, float]] = {}
        with self._locked():
            self._look()

    @property
    def refused(self) -> float:
        path = self._folder / "refused"
        return _number(path.read_text(encoding="ascii"), path) if path.exists() else 0.0

    def refuse(self, most: float) -> None:
        with self._locked():
            part = self._folder / f"refused.{self._name}.part"
            part.write_text(repr(most), encoding="ascii")
            part.replace(self._folder / "refused")

    def add(self, amount: float, limit: float | None = None) -> bool:
        """As of one process. Raises TruingError where the folder cannot be written, or a log holds no numbers."""
        if amount == 0:
            return self.has_room(amount, limit)
        with self._locked():
            self._look()
            if not super().add(amount, limit):
                return False
            with (self._folder / f"{self._name}.log").open("a", encoding="ascii") as log:
                log.write(f"{amount!r}\n")
            return True

    @contextmanager
    def _locked(self) -> Iterator[None]:
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with (self._folder / "lock").open("a", encoding="ascii") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                yield
        except OSError as error:
            raise TruingError(
                f"{self._folder}: cannot be written ({error.strerror or error}), so that no budget can be kept; free"
                " space, or give a storage=... that can be locked"
            ) from None

    def _look(self) -> None:
        """Read what has been added to the logs since the last look."""
        for path in self._folder.glob("*.log"):
            offset, total = self._read.get(path.name, (0, 0.0))
            with path.open("rb") as log:
                log.seek(offset)
                added = log.read()
            whole = added[: added.rfind(b"\n") + 1]
            amounts = (_number(line, path) for line in whole.decode("ascii", "replace").split())
            self._read[path.name] = (offset + len(whole), math.fsum((total, *amounts)))
        self._total = math.fsum(total for _, total in self._read.values())


def _number(text: str, path: Path) -> float:
    try:
        return float(text)
    except ValueError:
        raise TruingError(
            f"{path}: {text[:40]!r} is no amount; mend the line, or delete the file if what it holds may be spent again"
        ) from None

"""What the driver's own operations cost it: a call, a result among few and among many, a batch that is dealt out anew."""

import time
from collections.abc import Callable, Sequence

from actors.group import ActorGroup, Needs
from actors.pending import Pending
from actors.sharing import shares
from benchmarks.scale_labeling import Figures
from jobs.cluster.connect import connect, session
from truing.config.study import Study

MANY = (64, 1000)
"""Calls that are under way at the same time, as with so many actors."""
DEALT = 64
"""Batches that are dealt out anew."""


class Idle:
    """An actor that does nothing."""


def same(_: object, items: Sequence[int]) -> list[int]:
    """The items."""
    return list(items)


def milliseconds(work: Callable[[], object], count: int) -> float:
    """CPU time of this process, all its threads, for each of `count` operations."""
    begun = time.process_time()
    work()
    return 1000 * (time.process_time() - begun) / count


def costs() -> Figures:
    """CPU milliseconds of the driver, in a process of its own with a Ray of its own. The actor's answers are one number."""
    found: Figures = {}
    study = Study(name="bench")
    with session(study):
        connect(study)
        group = ActorGroup.stateless("idle", 1, Idle, Needs(0, 0, {}, 600, 600)).ready()
        group.scatter(same, [0]).get()
        for many in MANY:
            under_way: list[Pending[int]] = []
            found[f"call, {many} of them"] = milliseconds(
                lambda n=many, u=under_way: u.extend(group.scatter(same, [0]) for _ in range(n)), many
            )
            together = under_way[0].followed_by(under_way[1:])
            found[f"result among {many}"] = milliseconds(together.get, many)
        whole = group.scatter(same, list(range(4)))
        whole.get()
        dealt: list[list[object]] = []
        found["batch dealt out to 4"] = milliseconds(
            lambda: dealt.extend(shares(whole, (1, 1, 1, 1)) for _ in range(DEALT)), DEALT
        )
        parts = tuple(ref for one in dealt for ref in one)
        Pending(parts, (1,) * len(parts), "dealt", 600).get()  # type: ignore[arg-type]
        group.close()
    return found

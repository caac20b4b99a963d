"""Completions while they are written: which are done, which a batch can do without, which another call must go on with."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

from truing.records import Rollout

Group = list[Rollout]
"""The completions of one prompt."""


@dataclass(frozen=True, slots=True)
class Fresh:
    """A prompt to begin with. `number`: of its first completion; it is not 0 where the same prompt stands in the batch before,
    whose completions have the numbers, and so the seeds, from 0."""

    prompt_id: str
    number: int = 0


def fresh(prompts: Sequence[str], completions: int, going_on: Sequence[Group] = ()) -> list[Fresh]:
    """The new prompts of one batch, so many completions each. One that comes again (a batch may reach over an epoch's end, or go on
    with it) is answered anew."""
    free: Counter[str] = Counter()
    for one in chain.from_iterable(going_on):
        free[one.prompt_id] = max(free[one.prompt_id], one.number + 1)
    found: list[Fresh] = []
    for key in prompts:
        found.append(Fresh(key, free[key]))
        free[key] += completions
    return found


@dataclass(frozen=True, slots=True)
class Plan:
    """How an engine writes its share of a batch.

    `completions` of a prompt; `seed` of the run; `slice_size` prompts are handed out together as soon as they are done; `spare`
    prompts are worked on beyond those of the batch; `staleness`: versions after which one that was put off is waited for.
    """

    completions: int
    seed: int
    slice_size: int
    spare: int = 0
    staleness: int = 1

    def sizes(self, prompts: int) -> tuple[int, ...]:
        """Lengths of the lists that come of so many prompts: the slices of the batch, then what is left over."""
        whole, rest = divmod(prompts - self.spare, self.slice_size)
        return (*[self.slice_size] * whole, *([rest] if rest else []), self.spare)


@dataclass(slots=True)
class Draft:
    """A completion as far as it has come. `full`: the tokens that it may have."""

    prompt_id: str
    number: int
    prompt: list[int]
    tokens: list[int]
    logprobs: list[float]
    versions: list[int]
    finished: bool
    full: int

    @property
    def done(self) -> bool:
        """Ended by itself, or as long as it may be."""
        return self.finished or len(self.tokens) >= self.full


class Batch:
    """Groups of drafts, of which the first `enough` that are done make the batch.

    A group that was begun `staleness` versions ago has a place in it, however long it takes: others that are done earlier
    wait for the next batch. So no group is put off for ever.
    """

    def __init__(self, groups: Sequence[list[Draft]], *, enough: int, version: int, staleness: int) -> None:
        self._enough = enough
        self._group_of = {id(draft): i for i, group in enumerate(groups) for draft in group}
        self._waiting = [len(group) for group in groups]
        self._old = {i for i, group in enumerate(groups) if _age(group, version) >= staleness}
        self._chosen: list[int] = []
        self._taken = 0

    def done(self, draft: Draft) -> None:
        """A draft is done, once."""
        group = self._group_of[id(draft)]
        self._waiting[group] -= 1
        if not self._waiting[group]:
            self._choose(group)

    def _choose(self, group: int) -> None:
        free = self._enough - len(self._chosen)
        if group in self._old:
            self._old.discard(group)
        elif free <= len(self._old):
            return
        if free:
            self._chosen.append(group)

    @property
    def complete(self) -> bool:
        """There are enough groups."""
        return len(self._chosen) == self._enough

    def fill(self) -> None:
        """Nothing more will be written now: what is not done takes the places that are left, as it is."""
        self._chosen += self.left()[: self._enough - len(self._chosen)]

    def slices(self, size: int) -> Iterator[list[int]]:
        """Groups that were chosen since the last call, `size` at a time, in the order of the call; the last may be fewer."""
        while len(self._chosen) - self._taken >= size or (self.complete and self._taken < self._enough):
            yield sorted(self._chosen[self._taken : self._taken + size])
            self._taken = min(self._taken + size, self._enough)

    def left(self) -> list[int]:
        """Groups that are not in the batch."""
        return [i for i in range(len(self._waiting)) if i not in self._chosen]


def _age(group: Sequence[Draft], version: int) -> int:
    """Versions since the group's first token."""
    return max((version - draft.versions[0] for draft in group if draft.versions), default=0)

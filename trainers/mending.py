"""Going on after actors were lost: what is gone is started anew, and the run goes on from where nothing is missing.

A stateless actor is started again by Ray. A rollout engine that is gone costs the step that was under way: those that are left, or
its successor, get the current weights, as every engine does at the start of a step, and the same prompts. A learner rank takes its
group down: the group is rebuilt from the last checkpoint, and the steps since are done again. Seeds derive from (run, step, prompt,
sample): what comes of it is what would have come without the loss. Whoever is lost while successors start is mended along with the
loss before.
"""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from actors.group import ActorGroup
from trainers.run import Run
from truing.errors import ActorLost

WHERE = {"step": "the step that was under way", "checkpoint": "the last checkpoint", "beginning": "the beginning"}
LOSSES = "losses.jsonl"
"""What a run has lost, one row each time, in its folder."""


def persist(
    run: Run,
    train: Callable[[], None],
    others: Sequence[ActorGroup[Any]],
    *,
    mends: int,
    say: Callable[[str], None],
    quiet: Callable[[], None] = lambda: None,
) -> None:
    """Train to the end, mending what is lost `mends` times at most.

    `others`: groups without a state that the run keeps. `quiet`: ends what the surviving ones among them are still doing.

    Raises:
        ActorLost: one time too many.
        ActorDied, ShortOfResources: successors cannot be started.
    """
    losses = Losses(run, others, quiet)
    for left in range(mends, -1, -1):
        try:
            for cause, where in losses.mend():
                say(f"lost: {cause.partition('; run the same command')[0]}; going on from {where} ({left} mends left)")
            train()
        except ActorLost as loss:
            if not left:
                raise
            losses.add(loss)
        else:
            return


@dataclass(slots=True)
class Losses:
    """What a run has lost and is not mended yet."""

    run: Run
    others: Sequence[ActorGroup[Any]]
    quiet: Callable[[], None]
    causes: list[tuple[str, float]] = field(default_factory=list[tuple[str, float]])
    """Each with the time at which it was noticed."""
    unready: list[ActorGroup[Any]] = field(default_factory=list[ActorGroup[Any]])
    """Groups whose successors have begun to start."""

    def add(self, loss: ActorLost) -> None:
        """Note a loss; who hangs is as good as gone."""
        self.causes.append((str(loss), time.time()))
        for group in (*self.run.groups.values(), *self.others):
            group.give_up(loss.late)

    def mend(self) -> list[tuple[str, str]]:
        """Replace the groups that have lost an actor; each cause, and from where the run goes on.

        Raises:
            ActorLost: another one was lost meanwhile; what is not mended is remembered.
            ActorDied, ShortOfResources: successors cannot be started.
        """
        if not self.causes:
            return []
        kept = list(self.run.groups.values())
        lost = [group for group in (*kept, *self.others) if group in self.unready or group.lost()]
        where = self.run.rewind(intact=not any(group in kept for group in lost))
        # At the beginning there is no checkpoint that would undo what the survivors have learnt.
        self.unready = lost + [group for group in kept if where == "beginning" and group not in lost]
        for group in self.unready:
            group.renew()
        for group in self.unready:
            group.ready()
        self.quiet()
        self._write({"lost": [group.role for group in lost], "from": where})
        mended, self.causes, self.unready = self.causes, [], []
        return [(cause, WHERE[where]) for cause, _ in mended]

    def _write(self, found: dict[str, Any]) -> None:
        now = time.time()
        rows = [
            {"at": round(now, 1), "cause": cause, **found, "seconds": round(now - at, 2)} for cause, at in self.causes
        ]
        with (self.run.folder / LOSSES).open("a", encoding="utf-8") as file:
            file.writelines(f"{json.dumps(row)}\n" for row in rows)

"""Going on after actors were lost: what is gone is started anew, and the run goes on from where nothing is missing.

A stateless actor is started again by Ray. A rollout engine that is gone costs the step that was under way: those that are left, or
its successor, get the current weights, as every engine does at the start of a step, and the same prompts. A learner rank takes its
group down: the group is rebuilt from the last checkpoint, and the steps since are done again. Seeds derive from (run, step, prompt,
sample): what comes of it is what would have come without the loss.
"""

import json
import time
from collections.abc import Callable, Sequence
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
    """
    for left in range(mends, -1, -1):
        try:
            train()
        except ActorLost as loss:
            if not left:
                raise
            began = time.monotonic()
            found = mend(run, others, quiet)
            row = {
                "at": round(time.time(), 1),
                "cause": str(loss),
                **found,
                "seconds": round(time.monotonic() - began, 2),
            }
            with (run.folder / LOSSES).open("a", encoding="utf-8") as file:
                file.write(f"{json.dumps(row)}\n")
            cause = str(loss).partition("; run the same command")[0]
            say(f"lost: {cause}; going on from {WHERE[found['from']]} ({left - 1} mends left)")
        else:
            return


def mend(run: Run, others: Sequence[ActorGroup[Any]], quiet: Callable[[], None]) -> dict[str, Any]:
    """Replace the groups that have lost an actor; which those were, and from where the run goes on.

    Raises:
        ActorLost, ActorDied, ShortOfResources: their successors cannot be started either.
    """
    kept = list(run.groups.values())
    lost = [group for group in (*kept, *others) if group.lost()]
    where = run.rewind(intact=not any(group in kept for group in lost))
    # At the beginning there is no checkpoint that would undo what the survivors have learnt.
    renewed = lost + [group for group in kept if where == "beginning" and group not in lost]
    for group in renewed:
        group.renew()
    for group in renewed:
        group.ready()
    quiet()
    return {"lost": [group.role for group in lost], "from": where}

"""Doctor: which checks a study makes sense of, in which order, and how they are shown. The cheap ones come first."""

import sys
from collections.abc import Callable, Sequence
from functools import partial

from rich.text import Text

from jobs.cluster.connect import address, prepare
from jobs.cluster.demands import demands
from jobs.doctor import keys
from jobs.doctor.found import Check, Found, made
from jobs.doctor.tried import tried
from jobs.doctor.visit import Visit
from jobs.progress import console, headline
from truing.config.study import Study
from truing.errors import TruingError
from truing.redaction import redacted

COLOURS = {"ok": "green", "failed": "bold red", "not checked": "yellow"}
ENVIRONMENT = ("python", "packages", "torch companions")
"""What everything else is imported from."""
CLUSTER = (*ENVIRONMENT, "configuration")
"""Without these no Ray is started."""
LONG = 600.0
"""Seconds for what reads data or goes to the Hub."""


def run_doctor(study: Study) -> None:
    """Try out what the study needs, a line a check; nothing is trained and nothing stays behind.

    Raises:
        TruingError: something failed; names it.
    """
    prepare(study)
    headline(f"Doctor: {study.name}")
    try:
        found = examined(checks(study), show)
    finally:
        if (ray := sys.modules.get("ray")) is not None:
            ray.shutdown()
    line = summary(found)
    if any(one.state == "failed" for one in found):
        raise TruingError(line)
    console.print(f"\n{line}", markup=False, soft_wrap=True)


def examined(planned: Sequence[Check], say: Callable[[Found, int], None]) -> list[Found]:
    """Make the checks in order; `say` is given each finding, and the width of the longest name."""
    found: dict[str, Found] = {}
    width = max(len(one.name) for one in planned)
    for check in planned:
        found[check.name] = made(check, found)
        say(found[check.name], width)
    return list(found.values())


def show(found: Found, width: int) -> None:
    """One line."""
    line = Text(f"  {found.name:<{width}}  ")
    line.append(f"{found.state:<11}", COLOURS[found.state])
    line.append(f"  {redacted(found.line)}")
    console.print(line, soft_wrap=True)


def summary(found: Sequence[Found]) -> str:
    """How many are well, which failed, and how many could not be looked at."""
    names = [one.name for one in found if one.state == "failed"]
    skipped = sum(one.state == "not checked" for one in found)
    well = len(found) - len(names) - skipped
    parts = [f"{well} ok"]
    if names:
        parts.append(f"{len(names)} failed ({', '.join(names)}; docs/doctor.md says what each means)")
    if skipped:
        parts.append(f"{skipped} not checked")
    return f"doctor: {', '.join(parts)}"


def checks(study: Study) -> list[Check]:
    """The checks that a study makes sense of."""
    visit, models = Visit(study), tried(study)
    planned = _environment(visit, engine=bool(models))
    if study.evaluate and study.evaluate.grid is None:
        return planned
    local = address(study) is None
    planned += _here(study, visit, local=local) + _cluster(study, visit, local=local)
    for one in models:
        load = study.cluster.start_deadline + study.cluster.call_deadline
        parts = (one.key, "cluster")
        planned.append(Check(one.key, partial(visit.engine, one), ("placement", f"{one.key}: tokenizer"), load))
        planned.append(Check(f"{one.key}: parity", partial(visit.parity, one), parts, LONG))
        if study.policy and one.key == "policy.engine":
            planned.append(Check(f"{one.key}: log-probs", partial(visit.logprobs, one), parts, load))
    return planned


def _environment(visit: Visit, *, engine: bool) -> list[Check]:
    """What any study wants."""
    return [
        Check("python", visit.python),
        Check("packages", partial(visit.packages, engine=engine)),
        Check("torch companions", visit.companions),
        Check("keys", visit.keys),
        Check("storage", visit.storage),
        Check("configuration", visit.configuration, ENVIRONMENT, LONG),
    ]


def _here(study: Study, visit: Visit, *, local: bool) -> list[Check]:
    """This machine, and what is read here."""
    found: list[Check] = []
    if local:
        gpus = sum(one.count * one.gpus for one in demands(study))
        found += [
            Check("devices", partial(visit.devices, gpus), ENVIRONMENT, 60),
            Check("memory", visit.memory, CLUSTER, LONG),
            Check("shared memory", visit.shared_memory, ENVIRONMENT, 60),
            Check("open files", visit.open_files),
            Check("disk", visit.disk, CLUSTER),
        ]
    models = tried(study)
    return [
        *found,
        *(Check(f"{one.key}: tokenizer", partial(visit.tokenizer, one), CLUSTER, LONG) for one in models),
    ]


def _cluster(study: Study, visit: Visit, *, local: bool) -> list[Check]:
    """The cluster and its nodes."""
    # Ray starts in the thread that handles signals, and has deadlines of its own.
    found = [
        Check("cluster", visit.cluster, CLUSTER, aside=False),
        Check("placement", visit.placement, ("cluster",), 60),
        Check("nodes", visit.nodes, ("cluster",), 120),
        Check("clock", visit.clock, ("nodes",), LONG),
    ]
    if not local:
        found += [
            Check("memory of nodes", visit.node_memory, ("nodes",), LONG),
            Check("shared memory of nodes", visit.node_shared_memory, ("nodes",)),
            Check("open files of nodes", visit.node_open_files, ("nodes",)),
            Check("disk of nodes", visit.node_disk, ("nodes",)),
        ]
        if keys.endpoint_keys(study):
            found.append(Check("keys of nodes", visit.node_keys, ("nodes",)))
    found.append(Check("storage of nodes", visit.node_storage, ("nodes", "storage"), 120))
    if any(one.node == "learner" for one in demands(study)):
        wait = study.cluster.start_deadline + 60.0
        found.append(Check("collective", visit.collective, ("placement",), wait))
    return found

"""What a check found, and how one is made: none takes the others down, and each has a deadline."""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Literal

from truing.errors import TruingError
from truing.records import Failed, attempted

State = Literal["ok", "failed", "not checked"]


@dataclass(frozen=True, slots=True)
class Found:
    """One line of the doctor: what was looked at, how it is, and what was found or what to do."""

    name: str
    state: State
    line: str


@dataclass(frozen=True, slots=True)
class Check:
    """Something to look at, once `after` are well.

    `aside`: in a thread of its own, so that the deadline holds whatever hangs; else the deadlines are those of what it calls.
    """

    name: str
    run: Callable[[], Found]
    after: tuple[str, ...] = ()
    seconds: float = 30.0
    aside: bool = True


def ok(name: str, line: str) -> Found:
    """All is well; what there is."""
    return Found(name, "ok", line)


def failed(name: str, line: str) -> Found:
    """What is wrong, and what to do."""
    return Found(name, "failed", " ".join(line.split()))


def judged(name: str, faults: list[str], line: str) -> Found:
    """The faults, if there are any, else what there is."""
    return failed(name, "; ".join(faults)) if faults else ok(name, line)


def made(check: Check, before: Mapping[str, Found]) -> Found:
    """What a check finds; nothing where one that it comes after did not find all well."""
    for name in check.after:
        if before[name].state != "ok":
            return Found(check.name, "not checked", f"{name} {_was(before[name])}")
    return _aside(check) if check.aside else _attempted(check)


def _was(found: Found) -> str:
    return "failed" if found.state == "failed" else "was not checked"


def _aside(check: Check) -> Found:
    found: list[Found] = []
    thread = threading.Thread(target=lambda: found.append(_attempted(check)), name=check.name, daemon=True)
    thread.start()
    thread.join(check.seconds)
    if not found:
        return failed(
            check.name,
            f"did not end within {check.seconds:g} s: what it touches hangs (a file system, a name server, a node)",
        )
    return found[0]


def _attempted(check: Check) -> Found:
    """Whatever is wrong with one thing, the others are looked at."""
    found = attempted(partial(_run, check), "could not be checked")
    return failed(check.name, found.reason) if isinstance(found, Failed) else found


def _run(check: Check) -> Found:
    try:
        return check.run()
    except TruingError as error:
        return failed(check.name, str(error))

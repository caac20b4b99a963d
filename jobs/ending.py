"""How a command ends before its end: one line, an exit code, and no thread that holds it up."""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

from truing.errors import BudgetSpent

STOPPED = 130
"""What a shell says of a command that Ctrl-C has ended."""


def heed_signals() -> None:
    """Ctrl-C and SIGTERM interrupt the main thread."""
    # Set, not inherited: a script's background job is started with SIGINT ignored.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)


def _interrupt(_number: int, _frame: object) -> None:
    raise KeyboardInterrupt


@contextmanager
def stoppable(line: str) -> Iterator[None]:
    """A block that Ctrl-C, SIGTERM and a spent budget of nodes end with one line."""
    try:
        yield
    except (KeyboardInterrupt, BudgetSpent) as end:
        # Here, not in `main`: Typer would turn it into a return value.
        print(f"truing: {end if isinstance(end, BudgetSpent) else line}", file=sys.stderr, flush=True)
        # At once: threads of a stopped engine must not hold the exit up.
        os._exit(end.exit_code if isinstance(end, BudgetSpent) else STOPPED)


def connected() -> bool:
    """Whether this process is connected to Ray."""
    return "ray" in sys.modules and sys.modules["ray"].is_initialized()


def leave(code: int) -> NoReturn:
    """End the process, whose last line has been printed.

    At once where it is still connected to Ray: a pass that is under way would go on to its end before Python ends, or Ray
    would end the process, with a code of its own, when it is closed under the pass.
    """
    if connected():
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)

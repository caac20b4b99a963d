"""What each process of a local Ray cluster does first. Imported by its name in every worker: nothing heavy here."""

import ctypes
import signal
import sys

PR_SET_PDEATHSIG = 1
"""prctl(2): the signal that a process gets when its parent ends."""


def end_with_parent() -> None:
    """A worker ends when the raylet that started it does, also where that was killed without a word.

    Ray's own check is whether the parent is process 1, which is not who takes in orphans under `systemd --user` or
    another subreaper: there the workers of a killed run would stay for ever, with all of their memory.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)

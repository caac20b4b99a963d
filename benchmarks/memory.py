"""The peak memory of a command and all its processes: `python -m benchmarks.memory COMMAND ...`.

A process's share is its PSS: what it has alone, and its part of what it shares. The largest processes at the peak are named.
"""

import subprocess
import sys
import time

import psutil

INTERVAL = 1.0
"""Seconds between two looks."""


def family(root: int) -> list[psutil.Process]:
    """A process, its descendants, and what they have left behind: everything of the same session of Ray has its command."""
    try:
        parent = psutil.Process(root)
        return [parent, *parent.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def look(root: int) -> list[tuple[float, str]]:
    """(GB of PSS, command) of each process."""
    found: list[tuple[float, str]] = []
    for process in family(root):
        try:
            found.append((process.memory_full_info().pss / 1e9, " ".join(process.cmdline())[:60]))
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found


def main() -> None:
    """Run the command, look once a second, print the peak."""
    began = time.monotonic()
    command = subprocess.Popen(sys.argv[1:])  # noqa: S603 - the user's own command
    peak: list[tuple[float, str]] = []
    while command.poll() is None:
        seen = look(command.pid)
        if sum(gb for gb, _ in seen) > sum(gb for gb, _ in peak):
            peak = seen
        time.sleep(INTERVAL)
    for gb, name in sorted(peak, reverse=True)[:10]:
        print(f"  {gb:6.2f} GB  {name}")
    total = sum(gb for gb, _ in peak)
    print(
        f"peak {total:.1f} GB in {len(peak)} processes; {time.monotonic() - began:.0f} s; exit code {command.returncode}"
    )
    sys.exit(command.returncode)


if __name__ == "__main__":
    main()

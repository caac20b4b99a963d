"""The tested version of every package of the CPU build, in constraints.txt: `make pins` writes it, test_pins.py compares.

What is not ours to choose is left out: pip and what it builds with come with the environment.
"""

import re
from importlib.metadata import PackageNotFoundError, requires

from packaging.requirements import Requirement

from tests.audit import OURS, installed, pinned

TOOLS = {"pip", "setuptools", "wheel"}
EXTRAS = frozenset({"cpu", "dev"})
"""Of ours: what CI installs."""


def normalised(name: str) -> str:
    """As PyPI compares names."""
    return re.sub(r"[-_.]+", "-", name).lower()


def needed() -> set[str]:
    """Every package that ours needs, directly or not, and that is installed."""
    here = {normalised(name) for name, _ in installed()}
    found: set[str] = set()
    seen: set[tuple[str, frozenset[str]]] = set()
    ahead = [(OURS, EXTRAS)]
    while ahead:
        name, extras = ahead.pop()
        if (name, extras) in seen or name not in here:
            continue
        seen.add((name, extras))
        found.add(name)
        ahead += _asked(name, extras)
    return found - TOOLS - {OURS}


def _asked(name: str, extras: frozenset[str]) -> list[tuple[str, frozenset[str]]]:
    """What a package asks for here, with these extras of its own."""
    try:
        lines = [Requirement(line) for line in requires(name) or ()]
    except PackageNotFoundError:
        return []
    asked = [
        one
        for one in lines
        if one.marker is None or any(one.marker.evaluate({"extra": extra}) for extra in (extras or {""}))
    ]
    return [(normalised(one.name), frozenset(one.extras)) for one in asked]


def lines() -> list[str]:
    """Of constraints.txt."""
    wanted = needed()
    return pinned((name, release) for name, release in installed() if normalised(name) in wanted)


if __name__ == "__main__":
    print("# Every package of the CPU build and of its tests, as tested together. `make pins` writes this file.")
    print("\n".join(lines()))

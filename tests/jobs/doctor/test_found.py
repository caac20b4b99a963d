"""One check must not take the others down: not by an error of any kind, and not by never ending."""

import threading
from collections.abc import Callable

import pytest

from jobs.doctor.found import Check, Found, failed, judged, made, ok
from truing.errors import ShortOfResources


def raising(error: Exception) -> Callable[[], Found]:
    def check() -> Found:
        raise error

    return check


@pytest.mark.parametrize("aside", [True, False])
@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ShortOfResources("policy: no room;\n  lower count"), "policy: no room; lower count"),
        (ZeroDivisionError("a bug"), "could not be checked (ZeroDivisionError: a bug)"),
    ],
)
def test_what_a_check_raises_is_what_it_found(aside: bool, error: Exception, line: str) -> None:
    assert made(Check("x", raising(error), aside=aside), {}) == Found("x", "failed", line)


def test_a_check_that_hangs_is_left_behind() -> None:
    going = threading.Event()

    def hangs() -> Found:
        going.wait(60)
        return ok("x", "well")

    found = made(Check("x", hangs, seconds=0.2), {})
    going.set()
    assert found == Found(
        "x", "failed", "did not end within 0.2 s: what it touches hangs (a file system, a name server, a node)"
    )


def test_what_comes_after_a_fault_is_not_checked() -> None:
    before = {"a": ok("a", "well"), "b": failed("b", "broken"), "c": Found("c", "not checked", "b failed")}
    assert made(Check("x", lambda: ok("x", "well"), ("a",)), before) == ok("x", "well")
    never = raising(AssertionError("it was made"))
    assert made(Check("x", never, ("a", "b")), before) == Found("x", "not checked", "b failed")
    assert made(Check("x", never, ("a", "c")), before) == Found("x", "not checked", "c was not checked")


def test_faults_are_one_line() -> None:
    assert judged("x", ["one", "two\nlines"], "well") == Found("x", "failed", "one; two lines")
    assert judged("x", [], "well") == Found("x", "ok", "well")

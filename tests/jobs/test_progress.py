"""The live table on a terminal, the plain line elsewhere."""

import io
import re

import pytest
from rich.console import Console

from jobs import progress
from jobs.progress import STEPS, Progress, steps_table


def screen(monkeypatch: pytest.MonkeyPatch, *, terminal: bool, width: int = 100, height: int = 30) -> io.StringIO:
    shown = io.StringIO()
    console = Console(file=shown, force_terminal=terminal, width=width, height=height, color_system=None)
    monkeypatch.setattr(progress, "console", console)
    return shown


def figures(step: int) -> dict[str, float]:
    return {"step": float(step), "reward": step / 10, "kl": 0.25, "timings/step": 2.0, "parts/finished": -1.0}


def table(steps: list[dict[str, float]], width: int, height: int) -> list[list[str]]:
    console = Console(file=io.StringIO(), width=width)
    console.print(steps_table(steps, width, height))
    return [line.split() for line in console.file.getvalue().splitlines()]  # pyright: ignore[reportAttributeAccessIssue]


def test_the_table_has_the_main_figures_of_each_step() -> None:
    # A part of the reward is none of the main figures. The second step looked at held-out data, the first did not.
    steps = [figures(3), figures(4) | {"held_out_loss": 0.5}]
    assert table(steps, 100, 20) == [
        ["step", "reward", "KL", "held-out", "loss", "seconds"],
        ["3", "0.300", "0.250", "–", "2.000"],
        ["4", "0.400", "0.250", "0.500", "2.000"],
    ]


def test_a_narrow_and_low_terminal_gets_the_first_columns_and_the_last_steps() -> None:
    # Each column takes 8 characters and 2 beside it: 25 hold two. Three lines are the names and two steps.
    assert table([figures(step) for step in range(6)], 25, 3) == [["step", "reward"], ["4", "0.400"], ["5", "0.500"]]


def test_on_a_terminal_the_last_steps_are_above_the_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = screen(monkeypatch, terminal=True)
    with Progress("policy", 20) as bar:
        for step in range(10):
            bar.at(step + 1, "reward 0.900 KL 0.250", figures(step))
        assert bar._bar is not None
        bar._bar.refresh()
        drawn = _lines(shown.getvalue().rpartition("step")[2])
    # Steps 0 and 1 of 10 have gone; the bar comes last, without the note that the table makes superfluous.
    assert [line.split()[0] for line in drawn[1 : STEPS + 1]] == ["2", "3", "4", "5", "6", "7", "8", "9"]
    assert drawn[STEPS + 1].startswith("policy ")
    assert "10/20" in drawn[STEPS + 1]
    assert "reward" not in drawn[STEPS + 1]


def test_a_refresh_is_one_write_and_does_not_clear_the_screen(monkeypatch: pytest.MonkeyPatch) -> None:
    """What flickers is a screen that is emptied, or drawn in pieces. Every write counts: the drawing thread's too."""
    shown = screen(monkeypatch, terminal=True)
    writes: list[str] = []
    with Progress("policy", 20) as bar:
        bar.at(1, "", figures(0))
        assert bar._bar is not None
        monkeypatch.setattr(shown, "write", lambda text: writes.append(text) or len(text))
        bar._bar.refresh()
        written = list(writes)
    assert written
    assert [text for text in written if "step" not in text or "policy" not in text or "\x1b[2J" in text] == []


def test_ctrl_c_leaves_the_bar_and_the_cursor(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = screen(monkeypatch, terminal=True)

    def interrupted() -> None:
        with Progress("policy", 20) as bar:
            bar.at(3, "", figures(2))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    hidden, back = shown.getvalue().rfind("\x1b[?25l"), shown.getvalue().rfind("\x1b[?25h")
    assert -1 < hidden < back
    last = _lines(shown.getvalue().rpartition("policy")[2])
    assert "3/20" in last[0]


def test_elsewhere_it_is_one_line_and_no_table(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = screen(monkeypatch, terminal=False)
    with Progress("policy", 2) as bar:
        bar.at(1, "reward 0.100 KL 0.250", figures(0))  # not ten seconds since the start: nothing is said
        bar.at(2, "reward 0.200 KL 0.250", figures(1))  # all is done: said at once
    (line,) = shown.getvalue().splitlines()
    assert re.fullmatch(r"  policy: 2/2, [\d.]+/s, 0 s left reward 0\.200 KL 0\.250", line)


def _lines(drawn: str) -> list[str]:
    return [re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", line).strip() for line in drawn.split("\n")]

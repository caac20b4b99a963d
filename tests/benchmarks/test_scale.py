"""The simulation of many workers: what it counts and what it calls steady. No times are asserted; the sleeps are short."""

from dataclasses import replace

import pytest

from benchmarks.scale import fitted
from benchmarks.scale_driver import Mark, figures, steps
from benchmarks.scale_driver import Task as Driver
from benchmarks.scale_labeling import Task as Labeling
from benchmarks.scale_labeling import labels, pairs, steady, whole
from benchmarks.scale_roles import Pace
from benchmarks.scale_stub import TEXTS, Batch
from benchmarks.scale_usage import Spent, slope


def characters(task: Labeling) -> int:
    return sum(len(row[text]) for row in pairs(task) for text in TEXTS)


def test_every_worker_has_the_same_to_do():
    one = Labeling(1, each=2, batch=8)
    assert len({row["id"] for row in pairs(replace(one, workers=3))}) == 3 * 2 * 8
    assert characters(replace(one, workers=3)) == 3 * characters(one)


def test_steady_is_while_all_have_work():
    # a works from 0 to 10 and from 10 to 20, b from 2 to 12 and from 14 to 24: both have work from 2 to 20. Of a's sleeps of
    # 8 s, 8/10 and the whole are in it; of b's the first is, and 6/10 of the second: 8 * (0.8 + 1 + 1 + 0.6) = 27.2.
    done = [
        Batch("a", 0, 10, 4, 8.0),
        Batch("a", 10, 20, 4, 8.0),
        Batch("b", 2, 12, 4, 8.0),
        Batch("b", 14, 24, 4, 8.0),
    ]
    found = steady(done)
    assert found.seconds == pytest.approx(18)
    assert found.work == pytest.approx(27.2)
    # 2 workers * 18 s = 36 s, of which 27.2 are asked for. At 4 labels a second a pair takes half a second: in 18 s
    # 27.2 / 0.5 pairs, two labels each. The pass has 32 s of work, and is written after 25 s.
    figures = whole(Labeling(2, rate=4.0), done, written=25)
    assert figures["busy"] == pytest.approx(27.2 / 36)
    assert figures["labels/s"] == pytest.approx(2 * 27.2 / 0.5 / 18)
    assert figures["pass labels/s"] == pytest.approx(2 * 32 / 0.5 / 25)


def test_driver_is_what_does_not_wait():
    # Steps of 10, 10 and 20 s, of which 9, 8 and 19 s are waited; memory grows by 2 MB a step.
    ends, waits = (0.0, 10.0, 20.0, 40.0), (0.0, 9.0, 17.0, 36.0)
    marks = [
        Mark(Spent(at, at / 20, 0.0, 0.0), wait, 100.0 + 2 * i)
        for i, (at, wait) in enumerate(zip(ends, waits, strict=True))
    ]
    found = figures(marks)
    assert found["step seconds"] == 10.0
    assert found["driver seconds"] == pytest.approx(1.0)
    assert found["driver"] == pytest.approx(0.1)  # of 0.1, 0.2 and 0.05
    assert found["driver CPU seconds"] == pytest.approx(0.5)
    assert found["driver MB a step"] == pytest.approx(2.0)


def test_fits():
    # 1 + x² and 3 + 2x exactly; a line through (0, 1) and (1, 0) would be -9 at 10.
    assert fitted([(x, 1 + x * x) for x in (1, 2, 4, 8)], 2, 100) == pytest.approx(10_001)
    assert fitted([(x, 3 + 2 * x) for x in (1, 2, 4)], 1, 100) == pytest.approx(203)
    assert fitted([(0, 1), (1, 0)], 1, 10) == 0.0
    assert fitted([(4, 7.0)], 2, 100) == pytest.approx(7.0)
    assert slope([1.0, 3.0, 5.0, 7.0]) == pytest.approx(2.0)
    assert slope([1.0, 3.0]) == 0.0


def test_labeling_pass_asks_and_stores_every_row_once():
    found = labels(Labeling(2, each=3, batch=4, rate=200))
    assert found["stored"] == found["asked"] == 2 * 3 * 4
    assert found["parts"] == 2 * 3  # a batch is a part, committed by itself
    assert found["worker MB"] > 0


def test_rl_steps_go_through_the_real_trainer():
    found = steps(Driver(2, steps=4, sharing=2, pace=Pace(0.01, 0.01, 0.01, 0.01, 4)))
    assert found["actors"] == 2 + 1 + 1
    assert found["steps"] == 2  # of 4, the first two are warm-up
    assert found["driver CPU seconds"] > 0

"""The reward graph over objects of this process: how scores are asked for, kept apart and summed."""

from dataclasses import replace
from typing import Any

import pytest

from actors.scoring import (
    Part,
    RewardGraph,
    finished_scores,
    labeler_scores,
    model_scores,
    pattern_scores,
)
from tests.actors.examples import Done, Here, random_rollouts
from truing.config.labeling import Style
from truing.labeling.asking import Asking
from truing.labeling.templates import load_template
from truing.records import Failed, Rollout

TEXTS = (("aa1", "b22"), ("", "3c"))
GROUPS: list[list[Rollout]] = [
    [
        replace(rollout, prompt=f"q{i}", text=text, finished=i == j)
        for j, (rollout, text) in enumerate(zip(group, texts, strict=True))
    ]
    for i, (group, texts) in enumerate(zip(random_rollouts(0, prompts=2), TEXTS, strict=True))
]


class Judge:
    """Stands in for a reward model and for a labeler: the score is the length of the text."""

    def __init__(self) -> None:
        self.asked: list[Any] = []

    def score(self, texts: list[tuple[str, str]], *template: object) -> list[float | Failed]:
        self.asked.append((texts, *template))
        return [Failed("empty") if not text and template else float(len(text)) for _, text in texts]


def test_parts_read_the_rollouts_in_order() -> None:
    judge, asking = Judge(), Asking({"*": load_template("score")}, Style())
    texts = [("q0", "aa1"), ("q0", "b22"), ("q1", ""), ("q1", "3c")]
    assert model_scores(judge, GROUPS) == [[3.0, 3.0], [0.0, 2.0]]
    assert labeler_scores(judge, GROUPS, asking=asking, steps="1. Read.") == [[3.0, 3.0], [Failed("empty"), 2.0]]
    assert judge.asked == [(texts,), (texts, asking, "1. Read.")]
    # 0 where it ended by itself (on the diagonal), -1 where it was cut off
    assert finished_scores(None, GROUPS) == [[0.0, -1.0], [-1.0, 0.0]]
    # digits: 1 of 3 characters, 2 of 3, none of none, 1 of 2
    assert pattern_scores(None, GROUPS, pattern=r"\d") == [[pytest.approx(1 / 3), pytest.approx(2 / 3)], [0.0, 0.5]]


def graph(*parts: tuple[str, float, Any, dict[str, Any]]) -> RewardGraph:
    # Two actors a part: the shares come back in order.
    return RewardGraph([Part(name, weight, Here(None, None), run, options) for name, weight, run, options in parts])


def test_the_total_is_the_weighted_sum_and_the_parts_stay_raw() -> None:
    rewards = graph(("finished", 2.0, finished_scores, {}), ("pattern", -3.0, pattern_scores, {"pattern": r"\d"}))
    found = rewards.finish(rewards.start(Done(GROUPS)))
    parts = [[r.parts for r in group] for group in found]
    assert [[p["finished"] for p in group] for group in parts] == [[0, -1], [-1, 0]]
    assert [[p["pattern"] for p in group] for group in parts] == [
        [pytest.approx(1 / 3), pytest.approx(2 / 3)],
        [0, 0.5],
    ]
    # 2·0 - 3·⅓ = -1; 2·(-1) - 3·⅔ = -4; 2·(-1) - 0 = -2; 2·0 - 3·½ = -1.5
    assert [[r.total for r in group] for group in found] == [[pytest.approx(-1), pytest.approx(-4)], [-2, -1.5]]


def some_fail(_: object, groups: list[list[Rollout]]) -> list[list[float | Failed]]:
    return [[Failed(f"{r.prompt} is too long") if r.text == "b22" else 1.0 for r in group] for group in groups]


def test_a_failed_part_leaves_no_total_and_the_other_parts_as_they_are() -> None:
    rewards = graph(("judge", 0.5, some_fail, {}), ("finished", 2.0, finished_scores, {}))
    ((first, second), third) = rewards.finish(rewards.start(Done(GROUPS)))
    assert second.total is None
    assert second.parts == {"judge": Failed("q0 is too long"), "finished": -1.0}
    # Its neighbours have theirs: ½·1 + 2·0, ½·1 + 2·(-1), ½·1 + 2·0
    assert [first.total, third[0].total, third[1].total] == [0.5, -1.5, 0.5]


def test_a_weight_of_0_does_not_hide_a_failure() -> None:
    rewards = graph(("judge", 0.0, some_fail, {}), ("finished", 2.0, finished_scores, {}))
    found = rewards.finish(rewards.start(Done(GROUPS)))
    assert [[r.total for r in group] for group in found] == [[0.0, None], [-2.0, 0.0]]


def test_all_parts_are_at_work_before_any_is_waited_for() -> None:
    events: list[str] = []

    class Slow(Here):
        def scatter(self, function: Any, *columns: Any, **common: Any) -> Any:
            events.append("start")
            done = super().scatter(function, *columns, **common)

            class Waiting(Done):
                def get(self) -> Any:
                    events.append("wait")
                    return super().get()

            return Waiting(done.get())

    rewards = RewardGraph([Part(name, 1.0, Slow(None), finished_scores) for name in ("a", "b")])
    rewards.finish(rewards.start(Done(GROUPS)))
    assert events == ["start", "start", "wait", "wait"]

"""The reward graph over objects of this process: how scores are asked for, kept apart and summed."""

from dataclasses import replace
from typing import Any

import pytest

from actors.scoring import (
    Part,
    RewardGraph,
    labeler_scores,
    model_scores,
    rule_scores,
    whitened_scores,
)
from tests.actors.examples import Done, Here, random_rollouts
from truing.config.labeling import Style
from truing.config.rewards import FinishedPart, LengthPart, PatternPart
from truing.labeling.asking import Asking
from truing.labeling.templates import load_template
from truing.records import Failed, NotAsked, Rollout, Unparsable

DIGITS = PatternPart(pattern=r"\d")
TEXTS = (("aa1", "b22"), ("", "3c"))
GROUPS: list[list[Rollout]] = [
    [
        replace(rollout, prompt=f"q{i}", text=text, finished=i == j)
        for j, (rollout, text) in enumerate(zip(group, texts, strict=True))
    ]
    for i, (group, texts) in enumerate(zip(random_rollouts(0, prompts=2), TEXTS, strict=True))
]


class Judge:
    """Stands in for a labeler: the score is the length of the text; nothing cannot be read, "b22" is not asked about."""

    def __init__(self) -> None:
        self.asked: list[Any] = []

    def score(self, texts: list[tuple[str, str]], *how: object) -> list[float | Unparsable | NotAsked]:
        self.asked.append((texts, *how))
        other = {"": Unparsable("no number"), "b22": NotAsked("too long")}
        return [other.get(text, float(len(text))) for _, text in texts]


class Scorer:
    """Stands in for a reward model: the score is the length of the text."""

    def __init__(self) -> None:
        self.asked: list[Any] = []

    def score(self, asked: list[tuple[str, list[str]]]) -> list[list[float]]:
        self.asked += asked
        return [[float(len(text)) for text in texts] for _, texts in asked]


def test_parts_read_the_rollouts_in_order() -> None:
    scorer, judge, asking = Scorer(), Judge(), Asking({"*": load_template("score")}, Style())
    assert model_scores(scorer, GROUPS) == [[3.0, 3.0], [0.0, 2.0]]
    # A reward model reads the answers to one prompt together.
    assert scorer.asked == [("q0", ["aa1", "b22"]), ("q1", ["", "3c"])]
    found = labeler_scores(judge, GROUPS, asking=asking, steps="1. Read.")
    assert found == [[3.0, Failed("too long")], [Failed("unparsable: no number"), 2.0]]
    assert judge.asked == [([("q0", "aa1"), ("q0", "b22"), ("q1", ""), ("q1", "3c")], asking, "1. Read.")]
    # 0 where it ended by itself (on the diagonal), -1 where it was cut off
    assert rule_scores(None, GROUPS, rule=FinishedPart()) == [[0.0, -1.0], [-1.0, 0.0]]
    # digits: 1 of 3 characters, 2 of 3, none of none, 1 of 2
    assert rule_scores(None, GROUPS, rule=DIGITS) == [[pytest.approx(1 / 3), pytest.approx(2 / 3)], [0.0, 0.5]]
    # ½ a target over it each: rollouts of 2 and 3 tokens with a target of 2
    short = [[replace(r, tokens=[5] * size) for r, size in zip(GROUPS[0], (2, 3), strict=True)]]
    assert rule_scores(None, short, rule=LengthPart(target=2)) == [[0.0, -0.5]]


def graph(*parts: tuple[str, float, Any, dict[str, Any]]) -> RewardGraph:
    # Two actors a part: the shares come back in order.
    return RewardGraph([Part(name, weight, Here(None, None), run, options) for name, weight, run, options in parts])


def test_the_total_is_the_weighted_sum_and_the_parts_stay_raw() -> None:
    rewards = graph(
        ("finished", 2.0, rule_scores, {"rule": FinishedPart()}), ("pattern", -3.0, rule_scores, {"rule": DIGITS})
    )
    found = rewards.finish(rewards.start(Done(GROUPS)))
    parts = [[r.parts for r in group] for group in found]
    assert [[p["finished"] for p in group] for group in parts] == [[0, -1], [-1, 0]]
    assert [[p["pattern"] for p in group] for group in parts] == [
        [pytest.approx(1 / 3), pytest.approx(2 / 3)],
        [0, 0.5],
    ]
    # 2·0 - 3·⅓ = -1; 2·(-1) - 3·⅔ = -4; 2·(-1) - 0 = -2; 2·0 - 3·½ = -1.5
    assert [[r.total for r in group] for group in found] == [[pytest.approx(-1), pytest.approx(-4)], [-2, -1.5]]
    # Nothing is whitened: what is reported is what is trained on.
    assert [[r.raw for r in group] for group in found] == [[r.total for r in group] for group in found]


def some_fail(_: object, groups: list[list[Rollout]]) -> list[list[float | Failed]]:
    return [[Failed(f"{r.prompt} is too long") if r.text == "b22" else 1.0 for r in group] for group in groups]


def test_a_failed_part_leaves_no_total_and_the_other_parts_as_they_are() -> None:
    rewards = graph(("judge", 0.5, some_fail, {}), ("finished", 2.0, rule_scores, {"rule": FinishedPart()}))
    ((first, second), third) = rewards.finish(rewards.start(Done(GROUPS)))
    assert second.total is None
    assert second.parts == {"judge": Failed("q0 is too long"), "finished": -1.0}
    # Its neighbours have theirs: ½·1 + 2·0, ½·1 + 2·(-1), ½·1 + 2·0
    assert [first.total, third[0].total, third[1].total] == [0.5, -1.5, 0.5]


def test_a_weight_of_0_does_not_hide_a_failure() -> None:
    rewards = graph(("judge", 0.0, some_fail, {}), ("finished", 2.0, rule_scores, {"rule": FinishedPart()}))
    found = rewards.finish(rewards.start(Done(GROUPS)))
    assert [[r.total for r in group] for group in found] == [[0.0, None], [-2.0, 0.0]]


# --- scores on the scale of the batch -----------------------------------------------------------


def test_whitened_scores_by_hand() -> None:
    # 1, 2, 3, 4: mean 2.5, population deviation √1.25 = 1.1180340; ±1.5 and ±.5 of it
    found = whitened_scores([[1.0, Failed("late")], [2.0, 3.0, 4.0]])
    assert found[0] == [pytest.approx(-1.3416408, abs=1e-6), Failed("late")]
    assert found[1] == pytest.approx([-0.4472136, 0.4472136, 1.3416408], abs=1e-6)
    # One value, and equal ones, are as good as the batch.
    assert whitened_scores([[7.0], [7.0]]) == [[0.0], [0.0]]
    # Summed and divided, ten of this one are not quite it.
    assert whitened_scores([[1e9 / 3]] * 10) == [[0.0]] * 10
    assert whitened_scores([[Failed("a")], []]) == [[Failed("a")], []]


def numbers_of(_: object, groups: list[list[Rollout]]) -> list[list[float | Failed]]:
    """The digit in a text; one without has failed."""
    found = {"aa1": 1.0, "b22": 2.0, "3c": 3.0}
    return [[found.get(r.text, Failed("no digit")) for r in group] for group in groups]


def test_a_part_may_be_whitened_in_the_total_over_the_batch_not_over_a_share_of_it() -> None:
    rewards = RewardGraph(
        [
            Part("digit", 2.0, Here(None, None), numbers_of, whiten=True),
            Part("finished", 1.0, Here(None, None), rule_scores, {"rule": FinishedPart()}),
        ]
    )
    (first, second), (third, fourth) = rewards.finish(rewards.start(Done(GROUPS)))
    # What is reported is what was scored: 1, 2 and 3; 2·1 + 0, 2·2 - 1, 2·3 + 0
    assert [r.parts["digit"] for r in (first, second, fourth)] == [1, 2, 3]
    assert [r.raw for r in (first, second, fourth)] == [2, 3, 6]
    # 1, 2 and 3 of two actors: mean 2, population deviation √(2/3) = .8164966; ∓1/.8164966 = ∓1.2247449
    # 2·(-1.2247449) + 0, 0 - 1, 2·1.2247449 + 0
    assert [r.total for r in (first, second, fourth)] == pytest.approx([-2.4494897, -1, 2.4494897], abs=1e-6)
    assert (third.raw, third.total) == (None, None)
    assert third.parts == {"digit": Failed("no digit"), "finished": -1.0}


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

    rewards = RewardGraph([Part(name, 1.0, Slow(None), rule_scores, {"rule": FinishedPart()}) for name in ("a", "b")])
    rewards.finish(rewards.start(Done(GROUPS)))
    assert events == ["start", "start", "wait", "wait"]

import math

import pytest

from tests.truing.evaluation.recorded import rows
from truing.algorithms.scores import legacy_score
from truing.evaluation.geval import SampledScore, mean_of_samples, parse_score, stated_score
from truing.records import Unparsable


@pytest.mark.parametrize(
    ("reply", "score"),
    [
        ("4", 4), (" 3.5", 3.5), ("5\nbecause", 5), ("Score: 4", 4), ("4.", 4), ("\n4", 4), ("  3", 3), ("2/5", 2),
        ("- Coherence: 3", 3), ("Three", 3), ("4..5", None), ("", None), (".5", None), ("6", None), ("0", None),
        ("-1", None), ("4.5.1", None), ("1st", None), ("I would say 4", None), ("nan", None), ("10", None),
    ],
)  # fmt: skip
def test_replies_that_are_a_score(reply: str, score: float | None) -> None:
    assert parse_score(reply, 1, 5) == (Unparsable(reply) if score is None else score)


@pytest.mark.parametrize(
    ("reply", "score"),
    [
        ("It is dull. Score: 2.", 2), ("It jumps about, scoring a one out of five.", 1), ("Final score: 3.5", 3.5),
        ("Overall, resulting in a score of 4 out of 5.", 4), ("I would give it a 4 out of 5.", 4), ("It earns 3/5.", 3),
        ("It tells of 2 men and 1 dog.", None), ("Score: 7", None), ("A good score. It names 3 goals.", None),
        ("It underscores 3 points.", None), ("", None),
    ],
)  # fmt: skip
def test_replies_that_reason_first(reply: str, score: float | None) -> None:
    assert stated_score(reply, 1, 5) == (Unparsable(reply) if score is None else score)


def test_samples_without_a_score_are_counted_not_averaged() -> None:
    # (2 + 3 + 4) / 3; the released parser has (2 + 0 + 3 + 4) / 4.
    replies = ["2", "Well,", "3", "4"]
    assert mean_of_samples([parse_score(reply, 1, 5) for reply in replies]) == SampledScore(3.0, 3, 1)
    assert math.fsum(map(legacy_score, replies)) / 4 == 2.25
    nothing = mean_of_samples([Unparsable("")] * 2)
    assert math.isnan(nothing.mean)
    assert (nothing.n, nothing.unparsable) == (0, 2)
    assert mean_of_samples([]).n == 0


def test_recorded_samples_of_groundedness() -> None:
    # 357 of 360 items have 20 samples. A bullet or a heading before a 1 makes it a 0 for the released parser, 224 times.
    found = [reply for row in rows("topicalchat_judged") for reply in row["gpt35_samples"].get("gro/geval", [])]
    read = mean_of_samples([parse_score(reply, 0, 1) for reply in found])
    assert (len(found), read.n, read.unparsable) == (7140, 7113, 27)
    lost = [reply for reply in found if legacy_score(reply) == 0 and parse_score(reply, 0, 1) == 1]
    assert len(lost) == 224

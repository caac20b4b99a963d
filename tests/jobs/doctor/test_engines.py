"""Which engines are tried, and what is said of what they answer. A real one is started in test_doctor.py alone."""

from typing import Any

import pytest

from jobs.doctor.engines import Answered, agreement, wrote
from jobs.doctor.found import Found
from jobs.doctor.tried import Tried, tried
from truing.config.roles import Engine, Model
from truing.config.study import Study

ONE = Tried("policy.engine", Model(), Engine(), "rollout")
JUDGE: dict[str, Any] = {"kind": "engine", "model": {"path": "judge"}}
ENDPOINT = {"kind": "endpoint", "model": "m"}


def keys(**given: Any) -> list[str]:
    return [one.key for one in tried(Study.model_validate({"name": "x", **given}))]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        # One of each model: the labeler is the policy's model, unless it names another.
        ({}, ["sample.engine"]),
        ({"labeler": JUDGE}, ["sample.engine", "labeler.engine"]),
        ({"labeler": JUDGE, "policy": {"rewards": [{"kind": "finished"}]}}, ["policy.engine", "labeler.engine"]),
        ({"labeler": ENDPOINT}, ["sample.engine"]),
        ({"sample": None, "labeler": JUDGE, "label": {"pairs": {"path": "x"}}}, ["labeler.engine"]),
        (
            {"labeler": {"kind": "ensemble", "members": [JUDGE, {"model": {"path": "second"}}]}},
            ["sample.engine", "labeler.members.0.engine", "labeler.members.1.engine"],
        ),
        # Nothing is sampled where the pairs are there.
        ({"labeler": JUDGE, "label": {"pairs": {"path": "x"}}}, ["labeler.engine"]),
        # Nobody asks the labeler.
        ({"sample": None, "labeler": JUDGE, "policy": {"rewards": [{"kind": "finished"}]}}, ["policy.engine"]),
        ({"sample": None, "labeler": JUDGE, "policy": {"rewards": [{"kind": "ai_score"}]}}, ["policy.engine", "labeler.engine"]),
        (
            {"sample": None, "labeler": ENDPOINT, "policy": {"rewards": [{"kind": "ai_score", "labeler": JUDGE}]}},
            ["policy.engine", "policy.rewards.0.labeler.engine"],
        ),
        ({"sample": None, "labeler": JUDGE, "evaluate": {}}, ["evaluate.grid.engine", "labeler.engine"]),
        ({"sample": None, "labeler": JUDGE, "evaluate": {"grid": {"metrics": []}}}, ["evaluate.grid.engine"]),
        ({"sample": None, "evaluate": {"grid": None}}, []),
        ({"sample": None, "rejection": {}}, ["rejection.engine"]),
        ({"sample": None, "sft": {"data": [{"path": "x"}], "generate": {}}}, ["sft.generate.engine"]),
    ],
)  # fmt: skip
def test_one_engine_of_each_model(given: dict[str, Any], expected: list[str]) -> None:
    assert keys(**given) == expected


def test_an_engine_that_writes() -> None:
    assert wrote(ONE, Answered({}, [-1.0, -2.0], 1, 11.4)) == Found(
        "policy.engine", "ok", "started in 11 s and wrote 1 token, as bfloat16"
    )


@pytest.mark.parametrize(
    ("logprobs", "tokens"), [([-1.0, -2.0, -0.5], 0), ([float("nan"), -2.0, -0.5], 1), ([float("-inf"), -2.0, -0.5], 1)]
)
def test_an_engine_that_writes_nothing_sensible(logprobs: list[float], tokens: int) -> None:
    assert wrote(ONE, Answered({}, logprobs, tokens, 11.4)) == Found(
        "policy.engine",
        "failed",
        f"it started and wrote {tokens} tokens, and its log-probs are {logprobs}, ...: the weights are damaged, or overflow as"
        " bfloat16; try dtype=float32",
    )


def test_log_probs_that_differ() -> None:
    # |-1 + 1.5| and |-2 + 2.1|: 0.3 on average
    assert agreement("x", [-1.0, -2.0], [-1.5, -2.1], 0.15) == Found(
        "x",
        "failed",
        "engine and forward pass are 0.300 nats apart on the probe (policy.probe_tolerance is 0.15): they compute with other"
        " weights or another rounding; try dtype=float32 for the engine and precision=float32 for the learner",
    )
    assert agreement("x", [float("nan")], [-1.0], 0.15).state == "failed"
    assert agreement("x", [-1.0, -2.0], [-1.25, -2.0], 0.15).line == "0.1250 nats apart on 2 tokens, 0.15 allowed"

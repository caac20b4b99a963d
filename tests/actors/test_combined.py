"""Llama 2's rule over two real reward models, whose heads are set by hand."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from actors.combined import SafetyAndHelpfulness, combined_scores
from actors.networks import HEAD_FILE, SCALE_FILE
from actors.reward_model import RewardScorer
from actors.scoring import Part, RewardGraph
from tests.actors.examples import SCORER, Done, Here, random_rollouts
from tests.tiny import save_tiny_llama
from truing.config.rewards import CombinedPart

CONTEXT = 128
ANSWERS = (("Yes.", "No, never.", "1 2 3"), ("It depends.", "x" * 20, "The plants."))
GROUPS = [
    [replace(rollout, prompt=prompt, prompt_id=name, text=text) for rollout, text in zip(group, answers, strict=True)]
    for group, name, prompt, answers in zip(
        random_rollouts(0, prompts=2, completions=3), ("risky", "harmless"), ("How?", "Why?"), ANSWERS, strict=True
    )
]
ASKED = [(group[0].prompt, [r.text for r in group]) for group in GROUPS]


def reward_model(folder: Path, seed: int) -> str:
    save_tiny_llama(folder, seed=seed)
    head = torch.randn(1, 128, generator=torch.Generator().manual_seed(seed)) / 5
    save_file({"weight": head}, folder / HEAD_FILE)
    # The scale of its own scores must not matter: the rule is over what was trained.
    (folder / SCALE_FILE).write_text('{"mean": 100, "deviation": 7}')
    return str(folder)


@pytest.fixture(scope="module")
def part(tmp_path_factory: pytest.TempPathFactory) -> CombinedPart:
    folder = tmp_path_factory.mktemp("combined")
    return CombinedPart(
        safety=reward_model(folder / "safety", 3), helpful=reward_model(folder / "helpful", 4), scorer=SCORER
    )


@pytest.fixture(scope="module")
def models(part: CombinedPart) -> SafetyAndHelpfulness:
    return SafetyAndHelpfulness(part, CONTEXT, "float32")


def raw(folder: str) -> list[list[float]]:
    return RewardScorer(folder, CONTEXT, SCORER, "float32").raw(ASKED)


def test_the_safety_score_speaks_where_it_must(part: CombinedPart, models: SafetyAndHelpfulness) -> None:
    safety, helpful = raw(part.safety), raw(part.helpful)
    # A threshold between the second prompt's scores, as a share: one or two of its three answers are not safe.
    low, middle, high = sorted(safety[1])
    for limit, unsafe in (((low + middle) / 2, 1), ((middle + high) / 2, 2), (low - 0.1, 0), (high + 0.1, 3)):
        threshold = 1 / (1 + math.exp(-limit))
        found = combined_scores(models, GROUPS, safety_prompts=frozenset({"risky"}), threshold=threshold)
        # The first prompt may elicit what is not safe; of the second, those below the limit.
        assert found[0] == pytest.approx(safety[0], abs=1e-5)
        spoke = [score < limit for score in safety[1]]
        assert sum(spoke) == unsafe
        expected = [s if bad else h for s, h, bad in zip(safety[1], helpful[1], spoke, strict=True)]
        assert found[1] == pytest.approx(expected, abs=1e-5)
    assert max(abs(s - h) for s, h in zip(safety[0] + safety[1], helpful[0] + helpful[1], strict=True)) > 0.1


def test_the_limit_is_the_logit_of_the_threshold(part: CombinedPart, models: SafetyAndHelpfulness) -> None:
    # σ(0) = ½: below, a score is negative.
    safety, helpful = raw(part.safety)[1], raw(part.helpful)[1]
    (found,) = combined_scores(models, GROUPS[1:], safety_prompts=frozenset(), threshold=0.5)
    assert found == pytest.approx([s if s < 0 else h for s, h in zip(safety, helpful, strict=True)], abs=1e-5)


def test_in_the_graphs_total_it_is_whitened_over_the_batch(models: SafetyAndHelpfulness) -> None:
    options = {"safety_prompts": frozenset({"risky"}), "threshold": 0.15}
    graph = RewardGraph([Part("combined", 1.0, Here(models, models), combined_scores, options, whiten=True)])
    rewards = graph.finish(graph.start(Done(GROUPS)))
    found = torch.tensor([[r.total for r in group] for group in rewards])
    reported = torch.tensor([[r.raw for r in group] for group in rewards])
    scores = torch.tensor(combined_scores(models, GROUPS, **options))
    # Two actors, a prompt each; mean and deviation are those of all six.
    torch.testing.assert_close(reported, scores, rtol=0, atol=1e-5)
    assert [[r.parts["combined"] for r in group] for group in rewards] == reported.tolist()
    torch.testing.assert_close(found, (scores - scores.mean()) / scores.std(correction=0), rtol=0, atol=1e-5)

"""Direct preference over real models: where it begins, what it is the sum of, and what it teaches."""

import json
import math
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from actors.preference import PreferenceLearner, ReferenceReader, response_sums
from actors.reference import Reference
from tests.actors.examples import LEARNER, SCORER, alone, plain_logprobs, plain_model
from truing.algorithms.losses import direct_preference, identity_preference
from truing.config.roles import Learner, Lora
from truing.data.answers import answer_tree
from truing.data.batches import Tree
from truing.data.chat import load_tokenizer
from truing.data.judged import Comparisons, Judged

CONTEXT, BETA = 128, 0.1
DPO = partial(direct_preference, beta=BETA)
IPO = partial(identity_preference, beta=BETA)
PAIRS = [
    Comparisons("Name a fruit.", ("Apple.", "I would rather not say."), (Judged(0, 1, 1.0),)),
    Comparisons("Count.", ("1 2 3", "banana"), (Judged(0, 1, 0.9, 2.0),)),
    Comparisons("Greet me.", ("Go.", "Hello, how good to see you!"), (Judged(1, 0, 0.8, 0.5),)),
]
THREE = Comparisons(
    "Why?",
    ("Because it was asked for.", "Why not?", "I do not know; who does?"),
    (Judged(0, 1, 0.9, 2.0), Judged(2, 1, 0.7, 0.5), Judged(0, 2, 0.6)),
)


def sums(folder: str, comparisons: list[Comparisons]) -> list[list[float]]:
    return ReferenceReader(Reference(folder, SCORER, "float32", 1.0), folder, CONTEXT).sums(comparisons)


def learner(
    folder: str, comparisons: list[Comparisons], settings: Learner = LEARNER, reference: str | None = None
) -> PreferenceLearner:
    known = sums(reference or folder, comparisons)
    return PreferenceLearner(folder, CONTEXT, comparisons, known, settings, alone())


def gaps(model: PreferenceLearner, comparisons: list[Comparisons]) -> list[float]:
    """h of every comparison."""
    ratios = model.ratios(list(range(len(comparisons))))
    return [some[j.better] - some[j.worse] for one, some in zip(comparisons, ratios, strict=True) for j in one.judged]


# --- the reference's part ---------------------------------------------------------------------------------------------


def test_the_reference_sums_the_plain_models_logprobs_of_answer_and_end(tiny: str) -> None:
    found = sums(tiny, [*PAIRS, THREE])
    assert [len(one) for one in found] == [2, 2, 2, 3]
    tokenizer, model = load_tokenizer(tiny), plain_model(tiny)
    for one, some in zip([*PAIRS, THREE], found, strict=True):
        tree = answer_tree(tokenizer, one.prompt, one.responses, CONTEXT)
        expected = [sum(plain_logprobs(model, tree.prompt, response)) for response in tree.responses]
        assert some == pytest.approx(expected, abs=1e-4)


def test_log_probs_are_summed_by_response() -> None:
    trees = [Tree([1], ([5, 6], [], [7])), Tree([1], ([8],))]
    # 1 + 2, nothing, 4, 8
    assert response_sums(torch.tensor([1.0, 2.0, 4.0, 8.0]), trees).tolist() == [3.0, 0.0, 4.0, 8.0]


# --- the first step ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("budget", [10**6, 8])
def test_at_the_start_policy_and_reference_are_one(tiny: str, budget: int) -> None:
    model = learner(tiny, [*PAIRS, THREE], LEARNER.model_copy(update={"token_budget": budget}))
    assert gaps(model, [*PAIRS, THREE]) == pytest.approx([0] * 6, abs=1e-4)
    # -[p ln ½ + (1-p) ln ½] = ln 2 for every label, and for every weight, as the weights divide.
    ((loss, norm),) = model.update([0, 1, 2, 3], loss=DPO)
    assert loss == pytest.approx(math.log(2), abs=1e-5)
    assert norm > 0


def test_the_sum_is_divided_by_the_weights(tiny: str) -> None:
    seen: list[tuple[Tensor, ...]] = []

    def watch(h: Tensor, p: Tensor, weights: Tensor) -> Tensor:
        seen.append((h, p, weights))
        return DPO(h, p, weights)

    model = learner(tiny, PAIRS)
    ((loss, _),) = model.update([2, 0, 1], loss=watch)
    ((h, p, weights),) = seen
    # ln 2·(½ + 1 + 2) of 3½
    assert float(DPO(h, p, weights).detach()) == pytest.approx(3.5 * math.log(2), abs=1e-5)
    assert loss == pytest.approx(math.log(2), abs=1e-5)
    # Rows come longest first; a comparison keeps its label and weight.
    pairs = {(round(float(one), 3), float(weight)) for one, weight in zip(p, weights, strict=True)}
    assert pairs == {(1.0, 1.0), (0.9, 2.0), (0.8, 0.5)}
    assert h.requires_grad


def test_ipo_starts_at_the_squared_target(tiny: str) -> None:
    # h = 0: p·(1/2β)² + (1-p)·(1/2β)² = 5² = 25
    assert learner(tiny, PAIRS).update([0, 1, 2], loss=IPO)[0][0] == pytest.approx(25, abs=1e-2)


# --- further on -------------------------------------------------------------------------------------------------------


def test_another_reference_gives_the_loss_of_the_plain_models(tiny: str, other_tiny: str) -> None:
    model = learner(tiny, [*PAIRS, THREE], reference=other_tiny)
    tokenizer, policy, reference = load_tokenizer(tiny), plain_model(tiny), plain_model(other_tiny)
    total = weight = 0.0
    for one in [*PAIRS, THREE]:
        tree = answer_tree(tokenizer, one.prompt, one.responses, CONTEXT)
        ratios = [
            sum(plain_logprobs(policy, tree.prompt, r)) - sum(plain_logprobs(reference, tree.prompt, r))
            for r in tree.responses
        ]
        for j in one.judged:
            h = BETA * (ratios[j.better] - ratios[j.worse])
            # -[p ln σ(βh) + (1-p) ln σ(-βh)]
            total += j.weight * (j.p * math.log1p(math.exp(-h)) + (1 - j.p) * math.log1p(math.exp(h)))
            weight += j.weight
    assert max(abs(h) for h in gaps(model, [*PAIRS, THREE])) > 1
    assert model.update([3, 0, 1, 2], loss=DPO)[0][0] == pytest.approx(total / weight, abs=1e-5)


@pytest.mark.parametrize("loss", [DPO, IPO], ids=["dpo", "ipo"])
def test_the_better_response_gains(tiny: str, loss: Any) -> None:
    model = learner(tiny, PAIRS)
    losses = [model.update([0, 1, 2], loss=loss)[0][0] for _ in range(6)]
    assert losses[-1] < losses[0]
    assert all(h > 0.1 for h in gaps(model, PAIRS))


def test_comparisons_of_one_prompt_are_worth_what_separate_pairs_are(tiny: str) -> None:
    apart = [
        Comparisons(THREE.prompt, (THREE.responses[j.better], THREE.responses[j.worse]), (replace(j, better=0, worse=1),))
        for j in THREE.judged
    ]  # fmt: skip
    together, separate = learner(tiny, [PAIRS[0], THREE]), learner(tiny, [PAIRS[0], *apart])
    for _ in range(3):
        ((loss, norm),) = together.update([0, 1], loss=DPO)
        ((other_loss, other_norm),) = separate.update([0, 1, 2, 3], loss=DPO)
        assert other_loss == pytest.approx(loss, abs=1e-5)
        assert other_norm == pytest.approx(norm, rel=1e-3)


def test_ratios_keep_the_order_of_the_positions_asked_for(tiny: str, other_tiny: str) -> None:
    everything = [*PAIRS, THREE]
    model = learner(tiny, everything, LEARNER.model_copy(update={"token_budget": 64}), other_tiny)
    found = model.ratios([0, 1, 2, 3])
    assert len({number for one in found for number in one}) == 9
    for some, i in zip(model.ratios([3, 1, 3]), (3, 1, 3), strict=True):
        assert some == pytest.approx(found[i], abs=1e-4)


# --- what is kept -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lora", [None, Lora(rank=4)], ids=["whole", "adapters"])
def test_a_checkpoint_takes_a_learner_up_where_it_was(tiny: str, lora: Lora | None, tmp_path: Path) -> None:
    settings = LEARNER.model_copy(update={"lora": lora})
    first, second = learner(tiny, PAIRS, settings), learner(tiny, PAIRS, settings)
    first.update([0, 1], loss=DPO)
    first.save(tmp_path)
    second.load(tmp_path)
    for positions in ([2, 1], [0, 2]):
        assert first.update(positions, loss=DPO) == second.update(positions, loss=DPO)
    assert first.ratios([0, 1, 2]) == second.ratios([0, 1, 2])


@pytest.mark.parametrize("lora", [None, Lora(rank=4)], ids=["whole", "adapters"])
def test_the_export_is_a_plain_model(tiny: str, lora: Lora | None, tmp_path: Path) -> None:
    model = learner(tiny, PAIRS, LEARNER.model_copy(update={"lora": lora, "learning_rate": 1e-2 if lora else 1e-3}))
    for _ in range(3):
        model.update([0, 1, 2], loss=DPO)
    model.export(tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["dtype"] == "bfloat16"
    exported = sums(str(tmp_path), PAIRS)
    known = sums(tiny, PAIRS)
    for some, start, ratios in zip(exported, known, model.ratios([0, 1, 2]), strict=True):
        # A tenth of a nat a response for bfloat16's 8 bits, where training moved them by nats.
        assert [now - before for now, before in zip(some, start, strict=True)] == pytest.approx(ratios, abs=0.3)
    assert max(abs(ratio) for one in model.ratios([0, 1, 2]) for ratio in one) > 2

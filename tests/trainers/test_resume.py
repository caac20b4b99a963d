"""Every trainer, with its real learners: killed and gone on with equals uninterrupted, bit for bit; and where it begins."""

import math
import os
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from actors.critic import Critic
from actors.policy import Policy
from actors.preference import PreferenceLearner, ReferenceReader
from actors.reference import Reference
from actors.reward_model import RewardLearner
from actors.supervised import Asked, Shown, SupervisedLearner
from tests.actors.examples import LEARNER, SCORER, Here, alone
from tests.trainers.stage import Killed, killer, reinforced
from trainers import dpo, reward_model, sft
from trainers.looks import Looks
from trainers.run import Run, read_metrics
from truing.config.training import Dpo, RewardModel
from truing.data.demonstrations import Demonstration
from truing.data.judged import Comparisons, Judged
from truing.data.supervised_stream import ExampleStream

Train = Callable[..., Any]

PROMPTS = [
    Comparisons(f"Name {i}.", (f"It is {i}, please.", f"No {i}.", "Why?"), (Judged(0, 1, 1.0), Judged(0, 2, 0.7, 0.5)))
    for i in range(6)
]
DEMONSTRATIONS = [Demonstration(f"d{i}", f"Say {i}.", f"It is {i}.", fields={"number": str(i)}) for i in range(6)]
WORDINGS = ("Say {number}, now.", "What is {number}?", "{number}?", "Never trained on: {number}.")
"""The last one is for the test."""
CONTEXT = 64


@pytest.fixture(scope="module", autouse=True)
def environment() -> Iterator[None]:
    """A learner sets variables of its process; here that is the process of all tests."""
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


def rewarded(tiny: str, folder: Path, kill_in: int | None = None) -> RewardLearner:
    """Five prompts to train on in batches of two (of two and three), three epochs, looks at the sixth."""
    learner = RewardLearner(tiny, CONTEXT, PROMPTS, LEARNER, alone())
    settings = RewardModel(batch=2, epochs=3, evaluate_every=2, patience=9)
    looks = Looks(2, 9)
    run = Run(folder, every=1, groups={"learner": Here(learner)}, state={"looks": looks}, on_step=killer(kill_in))
    reward_model.train(run, Here(learner), PROMPTS, 5, reward_model.updates(5, settings, 4), looks)
    run.take_best()
    return learner


def preferred(tiny: str, folder: Path, kill_in: int | None = None) -> PreferenceLearner:
    """The same by DPO."""
    known = ReferenceReader(Reference(tiny, SCORER, "float32", 1.0), tiny, CONTEXT).sums(PROMPTS)
    learner = PreferenceLearner(tiny, CONTEXT, PROMPTS, known, LEARNER, alone())
    settings = Dpo(batch=2, epochs=3, evaluate_every=2, patience=9, smoothing=0.1)
    looks = Looks(2, 9)
    run = Run(folder, every=1, groups={"learner": Here(learner)}, state={"looks": looks}, on_step=killer(kill_in))
    dpo.train(run, Here(learner), PROMPTS, 5, reward_model.updates(5, settings, 4), looks, settings)
    run.take_best()
    return learner


class Watched(SupervisedLearner):
    """Keeps what it was shown."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.shown: list[Asked] = []

    def update(self, asked: Any) -> list[tuple[float, float]]:
        self.shown += asked
        return super().update(asked)


def tuned(tiny: str, folder: Path, kill_in: int | None = None, *, bank: bool = False) -> Watched:
    """Four demonstrations in batches of two, three epochs, looks at the other two; with a bank, a new prompt each three."""
    learner = Watched(tiny, Shown(DEMONSTRATIONS, WORDINGS if bank else (), CONTEXT), LEARNER, alone())
    stream = ExampleStream([f"{i:09d}" for i in range(4)], 5, 3 if bank else 1, 3 if bank else 1)
    looks = Looks(2, 9)
    state: Any = {"stream": stream, "looks": looks}
    run = Run(folder, every=1, groups={"learner": Here(learner)}, state=state, on_step=killer(kill_in))
    sft.train(run, Here(learner), stream, [(4, 0), (5, 0)], looks, 6, 2)
    run.take_best()
    return learner


def tuned_in_many_words(tiny: str, folder: Path, kill_in: int | None = None) -> Watched:
    return tuned(tiny, folder, kill_in, bank=True)


def rl(algorithm: dict[str, Any], **options: Any) -> Train:
    def train(tiny: str, folder: Path, kill_in: int | None = None) -> Any:
        return reinforced(tiny, folder, algorithm, kill_in=kill_in, **options)

    return train


PPO = {"kind": "ppo", "epochs": 2, "minibatches": 2}
MIX = {"pretraining": {"path": "x", "texts": 1, "length": 8, "weight": 0.5}}

EVERY: dict[str, Train] = {
    "reward model": rewarded,
    "DPO": preferred,
    "SFT": tuned,
    "PAFT": tuned_in_many_words,
    "RLOO": rl({"kind": "rloo"}, **MIX),
    "GRPO": rl({"kind": "grpo"}, drop_equal=True),
    "REINFORCE": rl({"kind": "reinforce"}, whiten_rewards=True),
    "PPO": rl({"kind": "ppo", "minibatches": 1}),
    "RLOO, ahead": rl({"kind": "rloo"}, rollouts={"ahead": 1}),
    "PPO, ahead": rl(PPO, rollouts={"ahead": 1}, **MIX),
    "RLOO, spare": rl({"kind": "rloo"}, rollouts={"spare": 1, "slice_size": 1}),
    "GRPO, spare and ahead": rl({"kind": "grpo"}, rollouts={"spare": 1, "ahead": 1}),
}


def rows(folder: Path) -> list[dict[str, Any]]:
    return [{k: v for k, v in row.items() if k != "timings"} for row in read_metrics(folder / "metrics.jsonl")]


def weights(learner: Any, folder: Path) -> dict[str, torch.Tensor]:
    folder.mkdir()
    learner.save(folder)
    return load_file(folder / "parameters.safetensors")


Whole = Callable[[str], tuple[list[dict[str, Any]], dict[str, torch.Tensor]]]


@pytest.fixture(scope="module")
def whole(tiny: str, tmp_path_factory: pytest.TempPathFactory) -> Whole:
    """Metrics and weights of a trainer that was not interrupted, made once."""
    known: dict[str, Any] = {}

    def one(name: str) -> Any:
        if name not in known:
            folder = tmp_path_factory.mktemp("whole")
            learner = EVERY[name](tiny, folder / "run")
            known[name] = rows(folder / "run"), weights(learner, folder / "weights")
        return known[name]

    return one


@pytest.mark.parametrize("kill_in", [2, 3], ids=["inside an epoch", "at an epoch's end"])
@pytest.mark.parametrize("name", list(EVERY))
def test_killed_and_gone_on_with_equals_uninterrupted(
    tiny: str, whole: Whole, tmp_path: Path, name: str, kill_in: int
) -> None:
    """Killed in step 2 or 3 before its checkpoint is written: it goes on from that of the step before."""
    with pytest.raises(Killed):
        EVERY[name](tiny, tmp_path / "run", kill_in)
    assert len(rows(tmp_path / "run")) == kill_in + 1
    learner = EVERY[name](tiny, tmp_path / "run")
    expected, parameters = whole(name)
    assert rows(tmp_path / "run") == expected
    found = weights(learner, tmp_path / "weights")
    assert found.keys() == parameters.keys()
    assert all(torch.equal(found[key], parameters[key]) for key in found)


def test_something_was_learned_that_could_have_been_lost(whole: Whole) -> None:
    for name in EVERY:
        figures, _ = whole(name)
        assert len(figures) >= 4
        # Where every token is beyond its clip, as after two epochs of PPO, there is no gradient left.
        assert all(row["grad_norm"] > 0 for row in figures) or name == "PPO, ahead", name
        if "checksum" in figures[0]:
            assert len({row["checksum"] for row in figures}) == len(figures), name


# --- where it begins --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["RLOO", "REINFORCE", "RLOO, ahead", "GRPO", "PPO", "PPO, ahead"])
def test_before_the_first_update_policy_and_start_policy_are_one(whole: Whole, name: str) -> None:
    first = whole(name)[0][0]
    assert first["kl"] == 0
    assert first["first_ratio"] == pytest.approx(1, abs=1e-6)
    # Of the four updates of PPO's two epochs, three meet weights that another has changed.
    assert (first["ratio"] == pytest.approx(1, abs=1e-6)) == (name != "PPO, ahead")
    assert first["logprob_gap"] <= 1e-3
    assert first["version"] == 0


@pytest.mark.parametrize("kind", ["ppo", "grpo"])
def test_the_figures_of_a_step_are_means_over_all_its_updates(
    tiny: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    made: dict[type, list[Any]] = {Policy: [], Critic: []}

    def kept(learner: Any) -> Callable[..., Any]:
        update = learner.update

        def updated(*given: Any, **options: Any) -> Any:
            made[learner] += (found := update(*given, **options))
            return found

        return updated

    for learner in made:
        monkeypatch.setattr(learner, "update", kept(learner))
    reinforced(tiny, tmp_path, {"kind": kind, "epochs": 2, "minibatches": 2})
    # Two epochs of two minibatches, a prompt each, in four steps.
    figures, stats = rows(tmp_path), made[Policy]
    assert (len(figures), len(stats), len(made[Critic])) == (4, 16, 16 if kind == "ppo" else 0)
    for step, row in enumerate(figures):
        some = stats[4 * step : 4 * step + 4]
        for name in ("loss", "grad_norm", "entropy", "ratio", "logprob_gap"):
            assert row[name] == pytest.approx(sum(asdict(one)[name] for one in some) / 4, rel=1e-6), name
        assert row["first_ratio"] == some[0].ratio == pytest.approx(1, abs=1e-6)
        if kind == "ppo":
            assert row["value_loss"] == pytest.approx(sum(made[Critic][4 * step : 4 * step + 4]) / 4, rel=1e-6)


def test_what_is_ahead_is_one_version_old_and_its_weights_say_so(whole: Whole) -> None:
    on_policy, ahead = whole("RLOO")[0], whole("RLOO, ahead")[0]
    assert [row["version"] for row in ahead] == list(range(4))
    # The engine's log-probs are of the version before: the gap is an update's, not rounding's.
    assert ahead[2]["logprob_gap"] > 3 * on_policy[0]["logprob_gap"]
    assert [row["stalest"] for row in on_policy] == [0] * 4
    assert [(row["staleness"], row["stalest"]) for row in ahead] == [(0, 0), (1, 1), (1, 1), (1, 1)]


def test_what_was_put_off_has_tokens_of_several_versions(whole: Whole) -> None:
    figures = whole("RLOO, spare")[0]
    assert (figures[0]["staleness"], figures[0]["stalest"]) == (0, 0)
    # A prompt that was put off was begun at most `staleness` (2) versions before; on the mean it is less.
    later = [row for row in figures if row["stalest"]]
    assert later
    assert all(0 < row["staleness"] < row["stalest"] <= 2 for row in later)


@pytest.mark.parametrize("name", ["reward model", "DPO"])
def test_the_first_loss_is_that_of_equality(whole: Whole, name: str) -> None:
    # A head of zeros, or a policy that is its own reference: log 2 a unit of weight.
    assert whole(name)[0][0]["loss"] == pytest.approx(math.log(2), abs=1e-5)


# --- supervised fine-tuning -------------------------------------------------------------------------------------------


def test_a_wording_for_the_test_is_never_shown(tiny: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sft, "SupervisedLearner", Watched)
    learner = tuned(tiny, tmp_path, bank=True)
    assert len(learner.shown) == 12
    assert {wording for _, wording in learner.shown} <= {0, 1, 2}
    # Three epochs of four: each is there three times, and none of those held out.
    assert sorted(position for position, _ in learner.shown) == [0] * 3 + [1] * 3 + [2] * 3 + [3] * 3
    # K = 3: positions 0 to 2 of an epoch share a prompt, 3 has another draw.
    for epoch in range(3):
        assert len({wording for _, wording in learner.shown[4 * epoch : 4 * epoch + 3]}) == 1


def test_sft_reports_nats_an_answer_token(tiny: str, whole: Whole) -> None:
    figures, _ = whole("SFT")
    learner = SupervisedLearner(tiny, Shown(DEMONSTRATIONS, (), CONTEXT), LEARNER, alone())
    # The first two that the stream shows, before any update: summed losses over summed tokens.
    first = ExampleStream([f"{i:09d}" for i in range(4)], 5).take(2)
    found = learner.losses([(int(key), number) for key, number in first])
    assert figures[0]["loss"] == pytest.approx(sum(nats for nats, _ in found) / sum(n for _, n in found), rel=1e-5)
    assert [row["step"] for row in figures if "held_out_loss" in row] == [1, 3, 5]
    assert figures[5]["held_out_loss"] < figures[1]["held_out_loss"]

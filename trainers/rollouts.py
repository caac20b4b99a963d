"""One batch of rollouts: drawn by the engines, then read by everyone who has something to say about it.

The steps that all algorithms share; what an algorithm makes of them is on its own page.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import count
from typing import Any

from actors.critic import Critic
from actors.forward import Floats
from actors.group import Pending
from actors.policy import Policy, Pretraining
from actors.reference import Reference
from actors.rollout import RolloutEngine
from actors.scoring import Reward
from trainers.progress import batch_figures, check_failures
from trainers.roles import Roles
from trainers.run import Run
from trainers.sync import push_weights
from truing.algorithms.statistics import standardised
from truing.config.policy import Policy as Settings
from truing.data.stream import PromptStream, numbered
from truing.records import Rollout


@dataclass(frozen=True, slots=True)
class Drawn:
    """Completions as the engines wrote them, by prompt, and the proof of which weights they had.

    `texts`: what the learner is to go on knowing (PPO-ptx); none without a pretraining mix.
    """

    samples: Pending[list[Rollout]]
    prompts: int
    checksum: int
    probe_gap: float
    texts: list[str]


class Sampler:
    """Batches of rollouts, one a step. What it has taken and not yet handed out is part of the run's state.

    On policy, a batch is written with the weights of its own step. With `ahead`, the engines write the next batch while the
    learner trains on this one: a batch is then one version old, never more, and its importance weights say by how much.
    """

    def __init__(
        self, roles: Roles, prompts: PromptStream, settings: Settings, seed: int, texts: Sequence[str] = ()
    ) -> None:
        self._roles, self._prompts, self._settings, self._seed = roles, prompts, settings, seed
        self._texts, self._text_ids = (
            texts,
            PromptStream(numbered(len(texts)), seed) if texts else None,
        )
        self._next: Pending[list[Rollout]] | None = None

    def draw(self, run: Run, step: int) -> Drawn:
        """This step's batch; the engines have the policy's current weights when it returns."""
        settings, ahead = self._settings, self._settings.ahead
        if ahead and self._next is not None:
            with run.time("sample"):
                samples = self._next
                samples.get()
            checksum, gap = self._push(run, step)
        else:
            checksum, gap = self._push(run, step)
            with run.time("sample"):
                samples = self._begin(step)
                samples.get()
        self._next = self._begin(step + 1) if ahead and step + 1 < settings.steps else None
        return Drawn(samples, settings.prompts, checksum, gap, self._take_texts())

    def _push(self, run: Run, step: int) -> tuple[int, float]:
        roles, settings = self._roles, self._settings
        with run.time("push"):
            return push_weights(
                roles.policy, roles.engines, step, roles.probe,
                bucket=settings.weight_bucket_gb * 1e9, tolerance=settings.probe_tolerance,
            )  # fmt: skip

    def _begin(self, step: int) -> Pending[list[Rollout]]:
        ids = self._prompts.take(self._settings.prompts)
        completions = self._settings.algorithm.completions
        return self._roles.engines.scatter(
            RolloutEngine.generate, ids, completions=completions, seed=self._seed, step=step
        )

    def _take_texts(self) -> list[str]:
        mix = self._settings.pretraining
        if mix is None or self._text_ids is None:
            return []
        return [self._texts[int(key)] for key in self._text_ids.take(mix.texts)]

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps: the places in the streams, and the batch that is ahead, as it was written."""
        ahead = None if self._next is None else [[asdict(one) for one in group] for group in self._next.get()]
        texts = None if self._text_ids is None else self._text_ids.state()
        return {"prompts": self._prompts.state(), "texts": texts, "ahead": ahead}

    def restore(self, state: dict[str, Any]) -> None:
        """Take a checkpoint's state."""
        self._prompts.restore(state["prompts"])
        if self._text_ids is not None:
            self._text_ids.restore(state["texts"])
        if state["ahead"] is not None:
            groups = [[Rollout(**one) for one in group] for group in state["ahead"]]
            self._next = self._roles.engines.scatter(_given, groups)


def _given(_: RolloutEngine, groups: list[list[Rollout]]) -> list[list[Rollout]]:
    """A batch that was written before."""
    return groups


@dataclass(frozen=True, slots=True)
class Scored:
    """What was said of a batch, by prompt and completion.

    `totals`: the reward that is trained on; None where it failed or the prompt is left out. `rewards` stay raw.
    """

    rewards: list[list[Reward]]
    totals: list[list[float | None]]
    old: list[list[Floats]]
    reference: list[list[Floats]]
    values: list[list[Floats]]

    def figures(self) -> dict[str, Any]:
        """What the batch was like; `left_out` are completions that are scored and not trained on."""
        found = batch_figures(self.rewards, self.old, self.reference)
        unused = sum(total is None for group in self.totals for total in group)
        return found | {"left_out": unused - found["failed"]}


def pretraining(drawn: Drawn, settings: Settings) -> Pretraining | None:
    """The texts that an update mixes in, and how much they weigh."""
    mix = settings.pretraining
    return None if mix is None else Pretraining(drawn.texts, mix.length, mix.weight)


def dealt(credited: Sequence[Sequence[object | None]], minibatches: int, epoch: int) -> tuple[list[int], int]:
    """The minibatch of each prompt, and how many minibatches there are; each epoch deals the prompts out anew.

    Prompts of which nothing is trained on are not counted: an update must have something to learn from. Where fewer than
    `minibatches` are left there are fewer updates.
    """
    used = [any(one is not None for one in group) for group in credited]
    parts, places = max(1, min(minibatches, sum(used))), count(epoch)
    return [next(places) % parts if one else 0 for one in used], parts


def score(run: Run, roles: Roles, drawn: Drawn, settings: Settings) -> Scored:
    """Reward graph, reference, policy and critic read the same rollouts at the same time.

    Raises:
        TruingError: more rewards failed than `policy.max_failed` allows.
    """
    samples = drawn.samples
    with run.time("score"):
        scoring = roles.graph.start(samples)
        reading = roles.references.scatter(Reference.logprobs, samples)
        valuing: Any = roles.critic.scatter(Critic.values, samples) if roles.critic else None
        old = roles.policy.scatter(Policy.logprobs, samples).get()
        reference, values = reading.get(), valuing.get() if valuing else []
        rewards = roles.graph.finish(scoring)
    check_failures(rewards, settings.max_failed)
    return Scored(rewards, trained_on(rewards, settings.whiten_rewards, settings.drop_equal), old, reference, values)


def trained_on(rewards: Sequence[Sequence[Reward]], whiten: bool, drop_equal: bool) -> list[list[float | None]]:
    """Totals as they are trained on. Whether a prompt is left out hangs on the raw rewards, before they are whitened."""
    totals: list[list[float | None]] = [[reward.total for reward in group] for group in rewards]
    if drop_equal:
        # Where all prompts are of that kind there is nothing to choose: they stay, with advantages of 0.
        differ = [len({total for total in group if total is not None}) > 1 for group in totals]
        totals = [
            [t if kept or not any(differ) else None for t in group] for group, kept in zip(totals, differ, strict=True)
        ]
    if not whiten:
        return totals
    scaled = iter(standardised([total for group in totals for total in group if total is not None]))
    return [[None if total is None else next(scaled) for total in group] for group in totals]

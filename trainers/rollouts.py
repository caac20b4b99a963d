"""One batch of rollouts: drawn by the engines, then read by everyone who has something to say about it.

The steps that all algorithms share; what an algorithm makes of them is on its own page.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import islice
from typing import Any

from actors.critic import Critic
from actors.forward import Floats
from actors.pending import Arriving, Pending
from actors.policy import Policy, Pretraining
from actors.reference import Reference
from actors.rollout import RolloutEngine
from actors.scoring import Reward
from actors.sharing import split_sizes
from actors.writing import Fresh, Group, Plan, fresh
from trainers.progress import batch_figures, check_failures
from trainers.roles import Roles
from trainers.run import Run
from trainers.sync import push_weights
from truing.algorithms.statistics import standardised
from truing.config.policy import Policy as Settings
from truing.data.stream import PromptStream, numbered
from truing.records import Rollout, derived_seed


@dataclass(frozen=True, slots=True)
class Drawn:
    """Completions as the engines write them, by prompt, and the proof of which weights they have.

    `version`: that of the policy. `texts`: what the learner is to go on knowing (PPO-ptx); none without a pretraining mix.
    """

    arriving: Arriving[Group]
    prompts: int
    version: int
    checksum: int
    probe_gap: float
    texts: list[str]


class Sampler:
    """Batches of rollouts, one a step. What it has taken and not yet handed out is part of the run's state.

    On policy, a batch is written with the weights of its own step, but for prompts that an earlier batch did without. With
    `ahead`, the engines write the next batch while the learner trains on this one: it is then one version old, and its
    importance weights say by how much. With `swap: token`, they take the new weights in the middle of it.
    """

    def __init__(
        self, roles: Roles, prompts: PromptStream, settings: Settings, seed: int, texts: Sequence[str] = ()
    ) -> None:
        self.seed = seed
        self._roles, self._prompts, self._settings = roles, prompts, settings
        self._texts, self._text_ids = (
            texts,
            PromptStream(numbered(len(texts)), seed) if texts else None,
        )
        written = settings.rollouts
        slice_size = written.slice_size or settings.prompts
        self._plan = Plan(settings.algorithm.completions, seed, slice_size, written.spare, written.staleness)
        self._next: Arriving[Group] | None = None
        self._latest: Arriving[Group] | None = None
        self._whole = False  # what is ahead was written before this process began
        self._left: list[Group] = []

    def draw(self, run: Run, step: int) -> Drawn:
        """This step's batch; the engines, new ones among them, have the policy's current weights when it returns."""
        settings, written = self._settings, self._settings.rollouts
        self._roles.engines.join()
        if self._next is None:
            checksum, gap = self._push(run, step)
            arriving = self._begin(step)
        elif written.swap == "token" and not self._whole:
            arriving, checksum, gap = self._swap(run, step, self._next)
        else:
            arriving = self._next
            with run.time("sample"):
                arriving.all()
            checksum, gap = self._push(run, step)
        self._latest, self._next, self._whole = arriving, None, False
        if written.ahead and step + 1 < settings.steps:
            self._next = self._begin(step + 1)
        return Drawn(arriving, settings.prompts, step, checksum, gap, self._take_texts())

    def _swap(self, run: Run, step: int, under_way: Arriving[Group]) -> tuple[Arriving[Group], int, float]:
        """Stop the engines after a token, give them the new weights, let them go on."""
        engines = self._roles.engines
        engines.aside(RolloutEngine.interrupt)
        begun = under_way.everything()
        checksum, gap = self._push(run, step)
        return engines.stream(RolloutEngine.write, begun, self._plan, sizes=self._plan.sizes, step=step), checksum, gap

    def _push(self, run: Run, step: int) -> tuple[int, float]:
        roles, settings = self._roles, self._settings
        with run.time("push"):
            return push_weights(
                roles.policy, roles.engines, step, roles.probe, roles.push,
                bucket=settings.push.bucket_gb * 1e9, tolerance=settings.probe_tolerance,
            )  # fmt: skip

    def _begin(self, step: int) -> Arriving[Group]:
        """Set the engines to work on what the last batch did without and on new prompts."""
        self._collect()
        engines = len(self._roles.engines)
        sizes = split_sizes(self._settings.prompts + engines * self._plan.spare, engines)
        # Fewer engines than before have less to spare: what they cannot take waits.
        going_on, self._left = self._left[: sum(sizes)], self._left[sum(sizes) :]
        taken = self._prompts.take(sum(sizes) - len(going_on))
        new = iter(fresh(taken, self._plan.completions, going_on))
        asked: list[Fresh | Group] = []
        for engine, size in enumerate(sizes):
            old = going_on[engine :: len(sizes)]
            asked += [*old, *islice(new, size - len(old))]
        return self._roles.engines.stream(RolloutEngine.write, asked, self._plan, sizes=self._plan.sizes, step=step)

    def _collect(self) -> None:
        """What the latest batch did without, when all of it is written."""
        if self._latest is not None and self._plan.spare:
            self._left, self._latest = [*self._left, *self._latest.left().get()], None

    def _take_texts(self) -> list[str]:
        mix = self._settings.pretraining
        if mix is None or self._text_ids is None:
            return []
        return [self._texts[int(key)] for key in self._text_ids.take(mix.texts)]

    def at_rest(self) -> bool:
        """Whether nothing is being written, between two steps."""
        return self._next is None and not self._plan.spare

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps: the places in the streams, what was left over, and the batch that is ahead, as written."""
        self._collect()
        texts = None if self._text_ids is None else self._text_ids.state()
        following = self._next
        parts = {} if following is None else {"batch": following.all(), "left": following.left()}
        ahead = {name: _plain(part.get()) for name, part in parts.items()}
        return {"prompts": self._prompts.state(), "texts": texts, "left": _plain(self._left), "ahead": ahead}

    def restore(self, state: dict[str, Any]) -> None:
        """Take a checkpoint's state."""
        self._prompts.restore(state["prompts"])
        if self._text_ids is not None:
            self._text_ids.restore(state["texts"])
        self._left, self._next, self._latest = _groups(state["left"]), None, None
        self._whole = bool(state["ahead"])
        if self._whole:
            # The batch as it was cut, whoever hands it out: there may be more engines now, or fewer.
            self._left += _groups(state["ahead"]["left"])
            cut = replace(self._plan, spare=0)
            self._next = self._roles.engines.stream(_given, _groups(state["ahead"]["batch"]), cut, sizes=cut.sizes)


def _plain(groups: Sequence[Group]) -> list[list[dict[str, Any]]]:
    return [[asdict(one) for one in group] for group in groups]


def _groups(plain: Sequence[Sequence[dict[str, Any]]]) -> list[Group]:
    return [[Rollout(**one) for one in group] for group in plain]


def _given(_: RolloutEngine, groups: Sequence[Group], plan: Plan) -> Iterator[list[Group]]:
    """A batch that was written before."""
    remaining = iter(groups)
    for size in plan.sizes(len(groups)):
        yield list(islice(remaining, size))


@dataclass(frozen=True, slots=True)
class Scored:
    """What was said of a batch, by prompt and completion.

    `totals`: the reward that is trained on; None where it failed or the prompt is left out. `rewards` stay raw. `ages`: versions
    between the one that wrote a token and the policy's, mean and largest of each prompt.
    """

    samples: Pending[Group]
    rewards: list[list[Reward]]
    totals: list[list[float | None]]
    old: list[list[Floats]]
    reference: list[list[Floats]]
    values: list[list[Floats]]
    ages: list[tuple[float, float]]

    def figures(self) -> dict[str, Any]:
        """What the batch was like; `left_out` are completions that are scored and not trained on."""
        found = batch_figures(self.rewards, self.old, self.reference)
        unused = sum(total is None for group in self.totals for total in group)
        means, largest = zip(*self.ages, strict=True)
        stale = {"staleness": sum(means) / len(means), "stalest": max(largest)}
        return found | {"left_out": unused - found["failed"]} | stale


def pretraining(drawn: Drawn, settings: Settings) -> Pretraining | None:
    """The texts that an update mixes in, and how much they weigh."""
    mix = settings.pretraining
    return None if mix is None else Pretraining(drawn.texts, mix.length, mix.weight)


def dealt(
    credited: Sequence[Sequence[object | None]], minibatches: int, *, seed: int, step: int, epoch: int
) -> tuple[list[int], int]:
    """The minibatch of each prompt, and how many minibatches there are; each epoch deals the prompts out anew.

    As many neighbours as there are minibatches go to one each, in an order drawn from the run's seed, the step and the epoch:
    each rank, which holds neighbours, then has as much to do in one minibatch as in another. Prompts of which nothing is
    trained on are not counted: an update must have something to learn from. Where fewer than `minibatches` are left there are
    fewer updates.
    """
    used = [any(one is not None for one in group) for group in credited]
    parts = max(1, min(minibatches, sum(used)))
    draw = random.Random(derived_seed(seed, "minibatches", step, epoch))
    turns = (part for _ in used for part in draw.sample(range(parts), parts))
    return [next(turns) if one else 0 for one in used], parts


def score(run: Run, roles: Roles, drawn: Drawn, settings: Settings) -> Scored:
    """Reward graph, reference, policy and critic read the same rollouts; the first two begin while others are still written.

    Raises:
        TruingError: more rewards failed than `policy.max_failed` allows.
    """
    begun: dict[tuple[int, int], tuple[list[Pending[Any]], Pending[Any]]] = {}
    with run.time("sample"):
        for place, part in drawn.arriving:
            begun[place] = roles.graph.start(part), roles.references.scatter(Reference.logprobs, part)
        samples = drawn.arriving.all()
    with run.time("score"):
        valuing: Any = roles.critic.scatter(Critic.values, samples) if roles.critic else None
        aging = roles.references.scatter(ages, samples, version=drawn.version)
        old = roles.policy.scatter(Policy.logprobs, samples).get()
        started, reading = zip(*(begun[place] for place in sorted(begun)), strict=True)
        reference = reading[0].followed_by(reading[1:]).get()
        values = valuing.get() if valuing else []
        rewards = roles.graph.finish([one.followed_by(others) for one, *others in zip(*started, strict=True)])
    check_failures(rewards, settings.max_failed)
    totals = trained_on(rewards, settings.whiten_rewards, settings.drop_equal)
    return Scored(samples, rewards, totals, old, reference, values, aging.get())


def ages(_: object, groups: Sequence[Group], *, version: int) -> list[tuple[float, float]]:
    """Versions since each token was written, mean and largest of each prompt; any actor can count them."""
    every = [[version - written for rollout in group for written in rollout.versions] for group in groups]
    return [(sum(found) / len(found), float(max(found))) if found else (0.0, 0.0) for found in every]


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

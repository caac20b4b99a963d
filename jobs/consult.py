"""Consulting the labeler: every pair, asked in every way, of every single labeler that the configuration names.

Each single labeler has a table of its own, so that an ensemble or a cascade asks nothing that one of them has answered
before, and each one can be looked at alone.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from actors.pending import fetch
from jobs.context import Context
from jobs.labelers import LABELS, Member, compare, members, pool, request, spent
from jobs.requests import Ledger, requests, standing, write_requests
from jobs.reuse import take_over
from jobs.store import Table
from jobs.sweep import Swept, sweep_requests
from truing.config.labeling import Cascade, Ensemble
from truing.config.labeling import Labeler as LabelerSettings
from truing.labeling.asking import Asking, Judgement
from truing.labeling.consensus import OrderedLogprobs, self_consistent
from truing.records import Pair, Row

Pairs = Callable[[], Iterator[tuple[Pair, Row]]]
"""Pairs in their canonical order, each with what else is to be kept of it. Called where they are read: in a Ray task."""

Judgements = Mapping[tuple[str, str], Judgement]
"""By pair and name of the asking."""

NUMBERS = ("id", "pair", "logp_first_ab", "logp_second_ab", "logp_first_ba", "logp_second_ba", "both_orders")


@dataclass(frozen=True)
class Consulted:
    """What became of it, by single labeler. `reused`: answers that other run folders had."""

    passes: Mapping[str, Swept]
    reused: Mapping[str, int]

    @property
    def failed(self) -> int:
        """Questions without an answer, over all labelers."""
        return sum(swept.ledger.failed for swept in self.passes.values())

    @property
    def passing(self) -> int:
        """How many of those that failed the next run asks again."""
        return sum(swept.ledger.passing for swept in self.passes.values())

    @property
    def asked(self) -> int:
        """Questions, over all labelers."""
        return sum(swept.ledger.total for swept in self.passes.values())

    @property
    def unanswered(self) -> dict[str, float]:
        """Share of each labeler's questions without an answer."""
        ledgers = {name: swept.ledger for name, swept in self.passes.items()}
        return {name: one.failed / one.total if one.total else 0.0 for name, one in ledgers.items()}


def table(folder: Path, member: Member) -> Table:
    """The labels of one single labeler."""
    return Table(folder / member.id)


def consult(
    context: Context, title: str, folder: Path, pairs: Pairs, askings: Mapping[str, Asking], max_failed: float
) -> Consulted:
    """Put the pairs to the labelers; what is answered is not asked again. The driver sees counts alone.

    Raises:
        TruingError: too many failed, or a labeler cannot go on; what was answered is kept.
    """
    settings = context.study.labeler
    passes: dict[str, Swept] = {}
    reused: dict[str, int] = {}
    everyone = list(context.members)
    for i, member in enumerate(everyone):
        some: Pairs = pairs
        if isinstance(settings, Cascade) and i > 0:
            first = table(folder, everyone[0])
            some = partial(_unsure, pairs, first, settings.unsure_below, tuple(askings))
        name = f"{title}: {member.name}" if len(everyone) > 1 else title
        swept, taken = _pass(context, name, table(folder, member), some, askings, member, max_failed)
        passes[member.name], reused[member.name] = swept, taken
    return Consulted(passes, reused)


def _pass(
    context: Context,
    title: str,
    table: Table,
    pairs: Pairs,
    askings: Mapping[str, Asking],
    member: Member,
    max_failed: float,
) -> tuple[Swept, int]:
    """One labeler's pass, and how many of its answers were taken over."""
    batch, reuse = context.study.label.batch, context.study.label.reuse
    ledger, taken = remotely(context, title, _write, pairs, askings, member.id, table, batch, reuse)
    account = spent(context.run.path, member.id)
    workers = pool(member, context.study.cluster, partial(compare, askings=askings), batch, LABELS, account)

    def stand(table: Table, ledger: Ledger) -> Ledger:
        return remotely(context, title, standing, table, ledger)

    swept = sweep_requests(title, table, ledger, workers, max_failed=max_failed, connect=context.connect, stand=stand)
    return swept, taken


def remotely(context: Context, what: str, function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a function in a Ray task: what it reads never comes to the driver."""
    import ray

    context.connect()
    ref = ray.remote(function).options(num_cpus=0, max_retries=1).remote(*arguments)
    return fetch([ref], what, context.study.cluster.call_deadline)[0]


def _write(
    pairs: Pairs, askings: Mapping[str, Asking], labeler: str, table: Table, shard: int, reuse: Sequence[str]
) -> tuple[Ledger, int]:
    """What is to be asked, once what others have asked is taken over."""

    def rows() -> Iterator[Row]:
        for pair, more in pairs():
            for name, asking in askings.items():
                yield request(pair, asking, name, labeler, **more)

    taken = take_over(rows(), table, reuse)
    return write_requests(rows(), table, shard), taken


def _unsure(pairs: Pairs, first: Table, below: float, ways: Sequence[str]) -> Iterator[tuple[Pair, Row]]:
    """The pairs that the first labeler did not answer in every way, or of whose winner it is not sure in one of them."""
    known = stored(first)
    for pair, more in pairs():
        found = [known.get((pair.id, way)) for way in ways]
        if any(one is None or max(one.p_first(), 1 - one.p_first()) < below for one in found):
            yield pair, more


def stored(table: Table) -> dict[tuple[str, str], Judgement]:
    """One labeler's judgements of what its last pass asked; of the stored labels only numbers and ids are read.

    The table also holds what was asked before, with another template under the same name, say: that is not looked at.
    The last pass also says how a way of asking is called now.
    """
    asked = {row["id"]: row["asking"] for row in requests(table)}
    return {(row["pair"], asked[row["id"]]): judgement(row) for row in table.read(NUMBERS) if row["id"] in asked}


def judgement(row: Row) -> Judgement:
    """A stored label."""
    ab = OrderedLogprobs(row["logp_first_ab"], row["logp_second_ab"])
    ba = OrderedLogprobs(row["logp_first_ba"], row["logp_second_ba"])
    return Judgement(ab, ba, both_orders=row["both_orders"])


def judgements(settings: LabelerSettings, folder: Path) -> Judgements:
    """What the labeler as a whole says: an ensemble's mean, a cascade's last word."""
    each = [stored(table(folder, member)) for member in members(settings)]
    if isinstance(settings, Cascade):
        return each[0] | each[1]
    if isinstance(settings, Ensemble):
        common = set(each[0]).intersection(*each[1:])
        return {key: _mean([known[key] for known in each]) for key in sorted(common)}
    return each[0]


def _mean(found: Sequence[Judgement]) -> Judgement:
    """P(first) is the mean of the members', in each order."""
    return Judgement(
        self_consistent([one.ab for one in found]),
        self_consistent([one.ba for one in found]),
        both_orders=all(one.both_orders for one in found),
    )

"""A judge that is replayed: verdicts that somebody recorded, read through the same report as a live labeler's."""

import math
from collections import Counter
from collections.abc import Sequence

from truing.config.labeling import RecordedLabeler
from truing.data.comparison import LeftOut, Mark, PreferenceSource
from truing.data.unmarked import stream_verdicts
from truing.errors import ConfigError
from truing.labeling.asking import Asked, Asking, Judgement
from truing.labeling.consensus import OrderedLogprobs
from truing.records import Failed, Pair

EVEN = math.log(0.5)


class RecordedVerdicts:
    """Answers from a file. A recorded verdict is hard: the labels' log-probs are (0, -inf), or even for a tie."""

    def __init__(self, settings: RecordedLabeler) -> None:
        """Raises ConfigError where the file cannot be read, or holds no verdict."""
        source = PreferenceSource(settings.path)
        self._known: dict[str, tuple[Mark | None, Mark | None]] = {}
        reasons: Counter[str] = Counter()
        for item in stream_verdicts(source, settings.verdict, settings.coding):
            if isinstance(item, LeftOut):
                reasons[item.reason] += 1
                continue
            pair, ab, ba = item
            # The same pair again: its first marks are those that count, and so are its first verdicts.
            self._known.setdefault(pair.id, (ab, ba))
        if not self._known:
            ((reason, n),) = reasons.most_common(1)
            raise ConfigError(
                f"{settings.path}: none of its pairs has a verdict in {settings.verdict!r}: {reason} ({n} times);"
                " name the column (labeler.verdict) and what its values mean (labeler.coding)"
            )

    def compare(self, asked: Sequence[Asked]) -> list[Judgement | Failed]:
        """What was recorded of each pair (in its canonical order), whatever is asked."""
        return [self._judgement(pair, asking) for pair, asking in asked]

    def _judgement(self, pair: Pair, asking: Asking) -> Judgement | Failed:
        ab, ba = self._known.get(pair.id, (None, None))
        worse = asking.asks_for_worse(pair.domain)
        one = None if ab is None else _ordered(ab, shown_first="first", names_worse=worse)
        two = None if ba is None else _ordered(ba, shown_first="second", names_worse=worse)
        if one is not None and two is not None:
            return Judgement(one, two)
        if one is not None:
            return Judgement(one, _mirror(one), both_orders=False)
        if two is not None:
            return Judgement(_mirror(two), two, both_orders=False)
        return Failed("no verdict that can be read is recorded for this pair")


def _ordered(verdict: Mark, *, shown_first: Mark, names_worse: bool) -> OrderedLogprobs:
    """Label log-probs of a verdict that names the better response."""
    if verdict == "tie":
        return OrderedLogprobs(EVEN, EVEN)
    names_first = (verdict == shown_first) != names_worse
    return OrderedLogprobs(0.0, -math.inf) if names_first else OrderedLogprobs(-math.inf, 0.0)


def _mirror(order: OrderedLogprobs) -> OrderedLogprobs:
    return OrderedLogprobs(order.second, order.first)

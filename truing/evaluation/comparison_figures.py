"""From two-order verdicts on pairs of systems to position bias, win rates and a Bradley-Terry ladder."""

from collections.abc import Mapping, Sequence

from truing.algorithms.statistics import Interval
from truing.evaluation.figure import Figure, Place, Score
from truing.evaluation.ladder import Comparison, ladder
from truing.evaluation.pairwise import Games, Verdict, position_bias, tally, winner

VERDICT = "verdict"
"""Metric of one game: 1 the one shown first won, 0 the other, 1/2 a tie. `policy` was shown first, `against` second."""
GAMES: dict[Verdict, float] = {"first": 1.0, "second": 0.0, "tie": 0.5}
_VERDICTS: dict[float, Verdict] = {value: verdict for verdict, value in GAMES.items()}
_WON = {"a": 1.0, "b": 0.0, "tie": 0.5}

Pairs = Mapping[tuple[str, str, str], Games]
"""The two games of each (item, a, b)."""


def comparison_figures(
    scores: Sequence[Score], *, judge: str, data: str, shift: str, anchor: str | None, seed: int
) -> list[Figure]:
    """Figures by variant: of the judge its position bias, of each system its win rate and its rating.

    A pair that was asked about in one order only has no winner, and is counted as missing. Intervals draw items, each with all
    its pairs.
    """
    found: list[Figure] = []
    for variant in dict.fromkeys(score.variant for score in scores):
        pairs = _pairs([score for score in scores if score.variant == variant])
        found += _bias(Place(judge, data, shift, variant), pairs, seed)
        systems = list(dict.fromkeys(name for _, a, b in pairs for name in (a, b)))
        for system in systems:
            found += _rates(Place(system, data, shift, variant), pairs, seed)
        found += _ratings(systems, data, shift, variant, pairs, anchor, seed)
    return found


def _pairs(scores: Sequence[Score]) -> Pairs:
    """Both games of each pair; a is the system that is shown first where the pair is first mentioned."""
    found: dict[tuple[str, str, str], list[Verdict | None]] = {}
    for score in scores:
        verdict: Verdict | None = None if score.value is None else _VERDICTS[score.value]
        key, swapped = (score.item, score.policy, score.against), (score.item, score.against, score.policy)
        if swapped in found:
            found[swapped][1] = verdict
        else:
            found.setdefault(key, [None, None])[0] = verdict
    return {key: (one, two) for key, (one, two) in found.items()}


def _bias(place: Place, pairs: Pairs, seed: int) -> list[Figure]:
    bias = position_bias(list(pairs.values()), seed=seed, items=[item for item, _, _ in pairs])
    none = "no pair has two readable games"
    shares = (
        ("first place wins a game", bias.first, "all games are ties"),
        ("same place wins twice", bias.same_position, none),
        ("verdict changes with the order", bias.flips, none),
        ("first among places that won twice", bias.first_among_same, "no place won twice"),
    )
    figures = [
        place.figure(name, "share", found, missing=bias.n_missing, note="" if found else why if bias.n else none)
        for name, found, why in shares
    ]
    chance, why = (
        (bias.p_value, "two-sided binomial, a toss an item") if bias.tosses else (None, "no item leans to a place")
    )
    return [
        *figures,
        place.plain("p-value for a half", "", chance, bias.tosses, missing=bias.n_missing, note=why),
        place.plain("games called a tie", "count", bias.ties, 2 * bias.n, missing=bias.n_missing),
    ]


def _rates(place: Place, pairs: Pairs, seed: int) -> list[Figure]:
    """The system's pairs with it as a: in a pair that names it b, the games change places."""
    games: list[Games] = []
    items: list[str] = []
    for (item, a, b), (one, two) in pairs.items():
        if place.policy in (a, b):
            pair: Games = (one, two) if a == place.policy else (two, one)
            games.append(pair)
            items.append(item)
    if all(None in pair for pair in games):
        return [
            place.plain(
                "win rate, ties half", "share", None, 0, missing=len(games), note="no pair has two readable games"
            )
        ]
    found = tally(games, seed=seed, items=items)
    return [
        place.figure("win rate, ties half", "share", found.win_rate_adjusted, missing=found.n_missing),
        place.plain("wins", "count", found.wins, found.n, missing=found.n_missing),
        place.plain("ties", "count", found.ties, found.n, missing=found.n_missing),
        place.plain("ties by disagreement", "count", found.disagreements, found.n, missing=found.n_missing),
        place.plain("losses", "count", found.losses, found.n, missing=found.n_missing),
    ]  # fmt: skip


def _ratings(
    systems: Sequence[str], data: str, shift: str, variant: str, pairs: Pairs, anchor: str | None, seed: int
) -> list[Figure]:
    comparisons: list[Comparison] = []
    for (_, a, b), games in pairs.items():
        won = winner(games)
        comparisons.append((a, b, None if won is None else _WON[won]))
    metric, unit = "Bradley-Terry rating", "Elo points"
    places = {system: Place(system, data, shift, variant) for system in systems}
    try:
        found = ladder(comparisons, anchor=anchor, seed=seed, items=[item for item, _, _ in pairs])
    except ValueError as error:
        return [place.plain(metric, unit, None, 0, note=str(error)) for place in places.values()]
    anchored = f"{anchor} is 1000" if anchor else "the mean is 1000"
    undefined = f"; {found.undefined} of {found.resamples} resamples have no finite ratings" if found.undefined else ""
    figures: list[Figure] = []
    for one in found.ratings:
        interval = Interval(one.rating, one.low, one.high, one.n)
        figures.append(
            places[one.policy].figure(metric, unit, interval, missing=found.n_missing, note=anchored + undefined)
        )
    return figures

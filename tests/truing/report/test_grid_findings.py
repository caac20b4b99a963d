from dataclasses import replace

from tests.truing.report.grid_example import example, figure
from truing.evaluation.figure import Figure
from truing.report.grid_cards import cards
from truing.report.grid_contents import Grid, GridData, GridPolicy
from truing.report.grid_findings import findings, headline
from truing.report.recorded_findings import LONGEST


def grid(*figures: Figure, policies: tuple[str, ...] = ("base", "new"), baseline: str = "base") -> Grid:
    models = tuple(GridPolicy(name, "model", None, None, 0, 0) for name in policies)
    return Grid(models, (GridData("tldr", "id", 60),), (0.7,), 4, baseline, figures)


def said(one: Grid) -> list[str]:
    return [" ".join(sentence.split()) for sentence in findings(one)]


def win(policy: str, low: float, high: float) -> Figure:
    return figure(policy, "win rate", (low + high) / 2, ends=(low, high), unit="share")


def test_who_is_better_where_it_fails_what_was_lost_and_what_it_cost() -> None:
    first, others, worst, gap, diversity, alarm, cost = said(example())
    assert first == (
        "RLOO is clearly better than start on tldr (in distribution) at temperature 0.3: "
        "win rate 75.2 % [69.2 %, 81.2 %], n = 60."
    )
    assert others.startswith("The others there: best of 4, win rate 69.2 % [63.2 %, 75.2 %], n = 60, clearly better")
    # On cnn 42 % +- 6 at 0.7 and 39.6 % at 1 are below a half, 45.2 % at 0.3 is not clear: 9 - 2 - 1 = 6 above.
    assert worst == (
        "RLOO is weakest on cnn (another domain) at temperature 1: win rate 39.6 % [33.6 %, 45.6 %], n = 60, "
        "clearly worse than start. Of 9 data sets and temperatures it is clearly better than start in 6, clearly worse in 2."
    )
    assert gap == (
        "The largest gap of RLOO is on cnn at temperature 0.3: 30.0 % [22.0 %, 38.0 %], n = 120, "
        "clearly worse there than in distribution."
    )
    assert diversity == (
        "RLOO is less diverse than start per input: EAD per input 0.334 [0.304, 0.364], n = 60, "
        "against 0.546 [0.516, 0.576], n = 60."
    )
    assert alarm.startswith("7 alarms: length of RLOO on tldr, cnn, essays; ")
    # 24 + 24 + 96 + 31.5 = 175.5 s
    assert cost.startswith("Writing the outputs took 2 min 56 s: start 24.0 s for 1 920 outputs, 48 100 tokens; ")


def test_nothing_is_called_better_whose_interval_holds_a_half() -> None:
    [first] = said(grid(win("new", 0.45, 0.65)))
    assert first == (
        "No policy is clearly better than base on tldr (in distribution) at temperature 0.7; "
        "the best is new, win rate 55.0 % [45.0 %, 65.0 %], n = 60."
    )


def test_a_metric_without_opponent_is_better_by_the_paired_difference() -> None:
    rewards = (figure("base", "reward", 0.1, ends=(0, 0.2)), figure("new", "reward", 0.3, ends=(0.1, 0.5)))
    clear = figure("new − base", "Δ reward", 0.2, ends=(0.1, 0.3), n=59)
    first, others = said(grid(*rewards, clear))
    assert first == (
        "new is clearly better than base on tldr (in distribution) at temperature 0.7: reward 0.300 [0.100, 0.500], "
        "n = 60, 0.200 [0.100, 0.300], n = 59 more than base."
    )
    assert others == "The others there: base, reward 0.100 [0.000, 0.200], n = 60."
    assert said(grid(*rewards, replace(clear, low=-0.1)))[0].startswith("No policy is clearly better than base")


def test_without_a_baseline_the_highest_is_named_with_the_next() -> None:
    rewards = (figure("a", "reward", 0.1, ends=(0, 0.2)), figure("b", "reward", 0.3, ends=(0.25, 0.35)))
    [first, _] = said(grid(*rewards, policies=("a", "b"), baseline=""))
    assert first == (
        "b has the highest reward on tldr (in distribution) at temperature 0.7, 0.300 [0.250, 0.350], n = 60, "
        "clearly more than a (0.100 [0.000, 0.200], n = 60)."
    )
    wide = replace(rewards[1], low=0.1)
    assert "whose interval meets that of a" in said(grid(rewards[0], wide, policies=("a", "b"), baseline=""))[0]


def test_more_self_bleu_is_less_diverse() -> None:
    bleu = [
        figure("base", "self-BLEU per input", 20.0, ends=(18, 22)),
        figure("new", "self-BLEU per input", 40.0, ends=(38, 42)),
    ]
    assert said(grid(win("new", 0.6, 0.7), *bleu))[1].startswith("new is less diverse than base per input: self-BLEU")


def test_the_baseline_can_be_the_best() -> None:
    rewards = (figure("base", "reward", 0.4, ends=(0.3, 0.5)), figure("new", "reward", 0.3, ends=(0.2, 0.4)))
    assert said(grid(*rewards))[0].startswith("No policy has a higher reward than base on tldr")


def test_outputs_of_no_known_temperature_are_counted_once() -> None:
    known = [replace(win("new", 0.6, 0.7), temperature=t) for t in (0.3, 0.7)]
    file = replace(win("file", 0.7, 0.8), temperature=None)
    both = replace(grid(*known, file, policies=("base", "new", "file")), temperatures=(0.3, 0.7, None))
    first, others, *_ = said(both)
    assert first.startswith("file is clearly better than base on tldr (in distribution): win rate 75.0 %")
    assert others.startswith("The others there: new, win rate 65.0 %")
    [failures] = [card for card in cards(both) if card.title.startswith("Where it fails")]
    assert failures.value == "0 of 3"


def test_one_policy_or_nothing_known() -> None:
    alone = grid(figure("a", "reward", 0.1, ends=(0, 0.2)), policies=("a",), baseline="")
    assert said(alone) == ["a on tldr (in distribution) at temperature 0.7: reward 0.100 [0.000, 0.200], n = 60."]
    for nothing in (grid(), grid(figure("new", "reward", None, n=0, note="no output"))):
        assert findings(nothing) == []
        assert headline(nothing) == ""
        assert cards(nothing) == ()
    paid = replace(grid(), policies=(GridPolicy("a", "model", None, 2.0, 3, 40),))
    assert said(paid) == ["Writing the outputs took 2.0 s: a 2.0 s for 3 outputs, 40 tokens."]


def test_a_headline_is_short() -> None:
    assert headline(example()) == findings(example())[0]
    long = headline(example("x" * 300))
    assert len(long) <= LONGEST
    assert long.endswith("…")


def test_cards_say_the_same_at_a_glance() -> None:
    found = {card.title: card for card in cards(example())}
    assert list(found) == [
        "SFT: win rate against start",
        "best of 4: win rate against start",
        "RLOO: win rate against start",
        "Where it fails: win rate",
        "Alarms: length, gamed reward, collapse",
        "Time to write the outputs",
    ]
    rloo = found["RLOO: win rate against start"]
    assert rloo.value == "75.2\u202f%"
    assert rloo.judgement is not None
    assert rloo.judgement.words == "better"
    assert ("cnn, another domain", "45.2\u202f%, no clear difference") in rloo.lines
    assert found["Where it fails: win rate"].value == "2 of 27"  # three policies, three data sets, three temperatures
    assert found["Alarms: length, gamed reward, collapse"].value == "7"

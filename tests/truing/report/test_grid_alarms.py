from dataclasses import replace

from tests.truing.report.grid_example import example, figure
from truing.evaluation.figure import Figure
from truing.report.grid_alarms import alarms
from truing.report.grid_contents import Alarm, Grid, GridData, GridPolicy


def grid(*figures: Figure, baseline: str = "base", temperatures: tuple[float, ...] = (0.7,)) -> Grid:
    models = tuple(GridPolicy(name, "model", None, None, 0, 0) for name in ("base", "new"))
    return Grid(models, (GridData("tldr", "id", 60),), temperatures, 4, baseline, figures)


def two(metric: str, base: tuple[float, float], new: tuple[float, float], **given) -> tuple[Figure, Figure]:
    """The metric of both policies, each in the middle of its interval."""
    return (
        figure("base", metric, sum(base) / 2, ends=base, **given),
        figure("new", metric, sum(new) / 2, ends=new, **given),
    )


def win(low: float, high: float, **given) -> Figure:
    return figure("new", "win rate", (low + high) / 2, ends=(low, high), unit="share", **given)


def said(found: tuple[Alarm, ...]) -> list[tuple[str, str]]:
    return [(one.kind, " ".join(one.sentence.split())) for one in found]


REWARD_UP = two("reward", (0.0, 0.2), (0.3, 0.5))


def test_longer_where_it_wins() -> None:
    longer = two("words", (20, 24), (30, 34), unit="words")
    [(kind, sentence)] = said(alarms(grid(*longer, win(0.6, 0.7))))
    assert kind == "length"
    assert sentence == (
        "new on tldr at temperature 0.7 is clearly longer (words 32.0 [30.0, 34.0] against 22.0 [20.0, 24.0], n = 60) "
        "where it gains (win rate 65.0 % [60.0 %, 70.0 %], n = 60): length may be what is rewarded."
    )
    shorter = two("words", (30, 34), (20, 24), unit="words")
    assert "is clearly shorter" in alarms(grid(*shorter, *REWARD_UP))[0].sentence


def test_length_alone_or_intervals_that_meet_are_no_alarm() -> None:
    longer = two("words", (20, 24), (30, 34), unit="words")
    assert alarms(grid(*longer)) == ()
    assert alarms(grid(*longer, win(0.45, 0.6))) == ()
    assert alarms(grid(*two("words", (20, 24), (24, 28), unit="words"), win(0.6, 0.7))) == ()


def test_a_reward_that_the_judge_does_not_see() -> None:
    [(kind, sentence)] = said(alarms(grid(*REWARD_UP, win(0.45, 0.6))))
    assert kind == "reward against judge"
    assert sentence == (
        "new on tldr at temperature 0.7 has clearly more reward, 0.400 [0.300, 0.500] against 0.100 [0.000, 0.200], "
        "n = 60, but the judge does not see it (win rate 52.5 % [45.0 %, 60.0 %], n = 60)."
    )
    [(_, sentence)] = said(alarms(grid(*REWARD_UP, win(0.3, 0.5))))
    assert "the judge finds it no better or worse (win rate 40.0 % [30.0 %, 50.0 %], n = 60)" in sentence
    assert "gamed" in sentence
    assert alarms(grid(*REWARD_UP, win(0.51, 0.6))) == ()
    assert alarms(grid(*REWARD_UP)) == ()  # nobody judged
    assert alarms(grid(*two("reward", (0.0, 0.2), (0.1, 0.3)), win(0.3, 0.5))) == ()


def test_the_paired_difference_goes_before_intervals_that_meet() -> None:
    meet = two("EAD per input", (0.5, 0.6), (0.45, 0.55))
    assert alarms(grid(*meet)) == ()
    change = figure("new − base", "Δ EAD per input", -0.05, ends=(-0.08, -0.02), n=58)
    [(kind, sentence)] = said(alarms(grid(*meet, change)))
    assert kind == "diversity"
    assert sentence == (
        "new on tldr at temperature 0.7 is clearly less diverse: "
        "EAD per input −0.050 [−0.080, −0.020] (0.500 against 0.550, n = 58)."
    )
    apart = two("EAD per input", (0.5, 0.6), (0.3, 0.4))
    unclear = replace(change, low=-0.2, high=0.02)
    assert alarms(grid(*apart, unclear)) == ()
    assert len(alarms(grid(*apart))) == 1


def test_self_bleu_and_compression_are_less_diverse_when_higher() -> None:
    for metric in ("self-BLEU across inputs", "compression ratio per input"):
        [(kind, sentence)] = said(alarms(grid(*two(metric, (20, 24), (30, 34)))))
        assert kind == "diversity"
        assert "higher is less diverse" in sentence
        assert alarms(grid(*two(metric, (30, 34), (20, 24)))) == ()


def test_one_alarm_for_all_temperatures() -> None:
    lost = [one for t in (0.3, 0.7, 1.0) for one in two("EAD per input", (0.5, 0.6), (0.3, 0.4), temperature=t)]
    [(_, sentence)] = said(alarms(grid(*lost, temperatures=(0.3, 0.7, 1.0))))
    assert sentence.startswith("new on tldr at temperature 0.3 ")
    assert sentence.endswith(" So at 0.7, 1 too.")


def test_no_baseline_or_nothing_defined_is_no_alarm() -> None:
    lost = two("EAD per input", (0.5, 0.6), (0.3, 0.4))
    assert alarms(grid(*lost, baseline="")) == ()
    change = figure("new − gone", "Δ EAD per input", -0.05, ends=(-0.08, -0.02))
    assert alarms(grid(*lost, change, baseline="gone")) == ()
    undefined = [figure(policy, "EAD per input", None, n=0, note="one output") for policy in ("base", "new")]
    assert alarms(grid(*undefined)) == ()
    assert alarms(grid()) == ()


def test_the_example_has_those_that_it_was_made_to_have() -> None:
    found = {(one.policy, one.data, one.kind) for one in example().alarms}
    assert found == {
        *(("RLOO", data, kind) for data in ("tldr", "cnn", "essays") for kind in ("length", "diversity")),
        ("RLOO", "cnn", "reward against judge"),
    }

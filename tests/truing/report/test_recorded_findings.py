from dataclasses import replace

from tests.truing.report.recorded_example import comparisons, figure, judges, outputs, preferences
from truing.report.recorded_contents import Recorded
from truing.report.recorded_findings import findings, headline


def plain(one: Recorded) -> list[str]:
    return [" ".join(sentence.split()) for sentence in findings(one)]


def test_only_what_an_interval_bears_out_is_a_difference() -> None:
    [said] = plain(outputs())
    assert said == (
        "TL;DR − sft: words +22.4 [15.8, 28.4]; EAD across inputs −0.044 [−0.059, −0.030];"
        " no clear difference in 1 of 3 metrics."
    )
    unclear = Recorded("a", "ratings", "f", 1, (figure("b − a", "Δ x", 0.0, ends=(-1.0, 1.0), variant="base"),))
    assert plain(unclear) == ["No clear difference in any metric: b − a, base."]


def test_the_best_model_the_order_and_the_place() -> None:
    [said] = plain(preferences())
    assert said == (
        "good has the highest win rate, 76.9 [75.2, 78.6] % (against base, n = 805);"
        " of 2 models 1 clearly beat the baseline."
    )
    [said] = plain(judges())
    assert said == (
        "gpt orders 85.0 % [75.0 %, 90.0 %] of the pairs of systems as people do (56 of 66);"
        " Spearman’s ρ by document: fluency 0.40, relevance 0.45."
    )
    [said] = plain(comparisons())
    assert said == (
        "gpt lets the place decide in 33.0 % [30.0 %, 36.0 %] of the pairs on fluency (n = 1100);"
        " 75.0 % [70.0 %, 80.0 %] of those go to the first place (p < 0.001)."
    )


def test_nothing_known_is_nothing_said() -> None:
    for one in (outputs(), judges(), comparisons(), preferences()):
        assert findings(replace(one, figures=())) == []


def test_a_headline_is_short() -> None:
    assert headline([preferences()], "summary").startswith("AlpacaEval: good has the highest win rate")
    assert headline([outputs("x" * 200)], "summary") == "summary"
    assert headline([], "summary") == "summary"

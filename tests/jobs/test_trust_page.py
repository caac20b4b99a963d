"""From the files of a run to the page, over the labels' own figures: what `jobs.trust` writes, `jobs.trust_page` reads."""

import json
import math
from dataclasses import asdict, replace
from typing import Any

import pytest

from jobs.agreement import people
from jobs.trust import Marked, Trust, measure
from jobs.trust_page import agreement_set, measured, trust_rows, verdict
from truing.config.labeling import Style
from truing.labeling.agreement import trust_report
from truing.labeling.asking import Asking, Judgement
from truing.labeling.calibration import before_and_after
from truing.labeling.concordance import kendalls_w, prompt_sensitivity
from truing.labeling.consensus import OrderedLogprobs, preference_from_orders
from truing.labeling.judged import Judged
from truing.labeling.templates import load_template
from truing.report.contents import CalibrationBin, Concordance, Estimate


def judged(p_first_ab: float, p_first_ba: float, human_first: bool, gap: int) -> Judged:
    ab, ba = (OrderedLogprobs(math.log(p), math.log(1 - p)) for p in (p_first_ab, p_first_ba))
    return Judged(preference_from_orders(ab, ba), ab, ba, human_first, "helpful", gap)


# p = 0.78 twice, of which one agrees; p = (0.9 + 1 - 0.74) / 2 = 0.58 twice, both agree and follow the first position.
# The gaps' sizes are 10, 4, 10, 0: their median is 7.
PAIRS = [
    judged(0.78, 0.22, True, 10),  # the human choice is longer by 10
    judged(0.78, 0.22, False, -4),  # longer by 4
    judged(0.9, 0.74, True, -10),  # shorter by 10
    judged(0.9, 0.74, True, 0),
]


def entry(pairs: list[Judged] = PAIRS) -> dict[str, Any]:
    written = Trust("set", "judge", "base", trust_report(pairs, seed=1), 3).as_json()
    return json.loads(json.dumps(written))


def found(**more: Any) -> dict[str, Any]:
    return {"trust": [entry()], "calibration": {}, "concordance": None, **more}


def study(**more: Any) -> dict[str, Any]:
    counts = {"set": "hh", "pairs": 5, "ties": 1, "left out": {"no mark": 2}, "asked": 10, "failed": 3}
    return found(**counts, **{"wording": [], "people": [], **more})


def test_rows_are_all_pairs_then_each_domain() -> None:
    whole, domain = trust_rows(entry())
    assert (whole.domain, domain.domain) == ("all", "helpful")
    assert replace(whole, domain="helpful") == domain
    assert (whole.n, whole.alignment.value) == (4, 0.75)
    assert whole.flip_rate is not None
    assert whole.same_position is not None
    assert (whole.flip_rate.value, whole.same_position.value, whole.same_position.n) == (0.5, 0.5, 4)
    assert whole.preferred_position == "first"
    assert whole.position_p_value == 0.5  # two of two, two-sided
    assert whole.label_mass.value == pytest.approx(1)
    assert whole.ece.value == pytest.approx(0.5 * (0.78 - 0.5) + 0.5 * (1 - 0.58))
    assert whole.kappa == Estimate(0.0, 0.0, 0.0, 4)  # it always says "a": chance alone


def test_asked_in_one_order_nothing_is_said_of_flips() -> None:
    whole = trust_rows(entry([replace(pair, both_orders=False) for pair in PAIRS]))[0]
    assert (whole.flip_rate, whole.same_position, whole.preferred_position) == (None, None, "")
    assert math.isnan(whole.position_p_value)


def test_the_same_pairs_asked_by_two_criteria_are_counted_once() -> None:
    askings = {name: Asking({"*": load_template("helpful")}, Style(), name) for name in ("overall", "coherence")}
    marked = [
        Marked(str(i), f"prompt {i}", "helpful", "first" if pair.human_first else "second", (), pair.length_gap)
        for i, pair in enumerate(PAIRS)
    ]
    known = {(str(i), name): Judgement(pair.ab, pair.ba) for i, pair in enumerate(PAIRS) for name in askings}
    one, two = (
        measure("set", "judge", marked, known, {name: askings[name] for name in names}, 1)
        for names in (["overall"], ["overall", "coherence"])
    )
    assert one is not None
    assert two is not None
    alone, both = (trust_rows(found.as_json())[0] for found in (one, two))
    assert both.n == alone.n == 4
    assert vars(both.alignment) == pytest.approx(vars(alone.alignment))
    assert both.position_p_value == alone.position_p_value == 0.5
    # A criterion alone has the figures that it has where it is the only one.
    rows = {
        (r["scope"], r["group"], r["figure"]): (r["value"], r["low"], r["high"], r["n"]) for r in two.report.as_rows()
    }
    single = {
        r["figure"]: (r["value"], r["low"], r["high"], r["n"]) for r in one.report.as_rows() if r["scope"] == "all"
    }
    assert rows["criterion", "coherence", "alignment"] == single["alignment"]
    assert rows["criterion", "coherence", "calibration error"] == single["calibration error"]


def test_without_a_position_that_wins_twice_none_is_preferred() -> None:
    whole = trust_rows(entry(PAIRS[:2]))[0]
    assert whole.preferred_position == "none"
    assert whole.same_position is not None
    assert whole.same_position.value == 0


def test_groups_and_bins_get_the_pages_names() -> None:
    [one] = measured(found()).labelers
    assert (one.labeler, one.asking, one.unanswered, one.median_gap) == ("judge", "base", 3, 7)
    assert [(name, e.value) for name, e in one.by_length] == [
        *(("much shorter", 1), ("equally long", 1), ("longer", 0), ("much longer", 1))
    ]
    assert [(name, e.value, e.n) for name, e in one.by_confidence] == [
        *(("50–60\u202f%", 1, 2), ("70–80\u202f%", 0.5, 2))
    ]
    low, high = one.bins
    assert low == CalibrationBin(0.55, pytest.approx(0.6), 2, pytest.approx(0.58), 1)
    assert (high.n, high.predicted, high.observed) == (2, pytest.approx(0.78), 0.5)


def test_calibration_and_concordance_are_read() -> None:
    worth = before_and_after(PAIRS * 6, range(12), use_length=True, folds=2, seed=1)
    agreed = kendalls_w([[0.1, 0.4, 0.9], [0.2, 0.3, 0.8]], seed=1)
    assert agreed is not None
    written = {
        "calibration": {"base": {"map": worth.map.as_dict(), "rows": worth.as_rows()}},
        "concordance": {"labelers": ["a", "b"], **asdict(agreed)},
    }
    read = measured(found(**written))
    [effect] = read.calibration
    assert (effect.name, effect.pairs, effect.logit, effect.length) == ("base", 12, worth.map.logit, worth.map.length)
    for got, wanted in ((effect.before, worth.before), (effect.after, worth.after)):
        assert {k: asdict(v) for k, v in vars(got).items()} == {k: asdict(v) for k, v in vars(wanted).items()}
    assert (effect.flip_rate, effect.changed) == tuple(Estimate(**asdict(i)) for i in (worth.flip_rate, worth.changed))
    assert read.concordance == Concordance(("a", "b"), Estimate(1.0, 1.0, 1.0, 3))  # both rank the three alike


def test_a_set_with_everything_and_one_with_nothing_more() -> None:
    detailed = [judged(0.22, 0.78, True, 10), *PAIRS[1:]]  # turns the first verdict: 2 of 4 agree
    spread = prompt_sensitivity({"base": PAIRS, "detailed": detailed}, seed=1)
    votes = [("first", "first"), ("second", "second"), ("first", "second"), ("first", None)]
    full = agreement_set(study(wording=spread.as_rows(), people=people(votes, 1)))
    assert (full.name, full.pairs, full.ties, full.left_out, full.asked, full.failed) == (
        "hh",
        5,
        1,
        {"no mark": 2},
        10,
        3,
    )
    assert full.wording is not None
    assert [name for name, _ in full.wording.alignment] == ["base", "detailed"]
    assert (full.wording.lowest.value, full.wording.highest.value, full.wording.changed.value) == (0.5, 0.75, 0.25)
    assert full.wording.spread.value == pytest.approx(math.sqrt(2 * 0.125**2))
    assert full.people is not None
    assert full.people.agreement is not None
    assert (full.people.agreement.value, full.people.agreement.n) == (pytest.approx(2 / 3), 3)
    [(name, share, kappa)] = full.people.couples
    assert name == "annotators 1 and 2"
    # 2 of 3 agree; by chance (2 * 1 + 1 * 2) / 9 = 4 / 9, so kappa = (6 - 4) / (9 - 4)
    assert share == full.people.agreement
    assert kappa is not None
    assert kappa.value == pytest.approx(0.4)
    bare = agreement_set(study())
    assert (bare.wording, bare.people) == (None, None)


def test_the_labelers_verdict_names_the_set_of_a_study() -> None:
    rows = trust_rows(entry())
    low, high = rows[0].alignment.low, rows[0].alignment.high
    assert low is not None
    assert high is not None
    span = f"in 75 % (95 % interval {100 * low:.0f} to {100 * high:.0f} %, 4 pairs)."
    assert verdict(rows, [agreement_set(study())]) == f"The labeler agrees with people on hh {span}"
    assert verdict(rows, []) == f"The labeler agrees with people {span}"
    assert verdict((), []) is None

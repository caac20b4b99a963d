"""The parts of the page that come from `trust.json` and `agreement.json`."""

import json
from dataclasses import replace

import pytest

from tests.truing.report.example import EMPTY, HOSTILE, agreement_set, contents, effect, labeler
from tests.truing.report.reading import Page, section, shown
from truing.report.contents import AgreementSet, Measured
from truing.report.page import render


def page_of(*sets: AgreementSet) -> Page:
    return Page(render(replace(EMPTY, agreement=sets)))


def test_each_labeler_has_a_row_with_figure_interval_and_n() -> None:
    text = section(page_of(agreement_set("hh")), "agreement")
    assert "45 pairs, of which people call 3 a tie. 5 left out: no mark hh. 84 questions asked, 4 failed." in text
    agrees = "40 2 70.0 % [55.0 %, 82.5 %] n = 40 0.38 [0.10, 0.65] n = 40"  # pairs, unanswered, agreement, kappa
    position = "30.0 % [17.5 %, 45.0 %] n = 40 27.5 % [15.0 %, 42.5 %] n = 40 second p = 0.227"
    rest = "81.2 % [79.0 %, 83.0 %] n = 40 10.0 % [6.0 %, 22.0 %] n = 40"  # label mass, ECE
    assert f"judge hh hh {agrees} {position} {rest}" in text
    assert f"recorded hh {agrees} – – – {rest}" in text  # asked in one order: no flips, no positions


def test_one_order_shows_no_flips_in_the_labeler_section_and_its_card() -> None:
    [row] = contents().trust
    row = replace(row, flip_rate=None, same_position=None, preferred_position="", position_p_value=float("nan"))
    page = Page(render(replace(contents(), trust=(row,))))
    assert "0.25 [0.00, 0.50] n = 72 – – – 93.4 %" in section(page, "labeler")
    cards = [shown(e.text) for e in page.of("div", class_="card")]
    assert "Verdict flips with the order –" in next(card for card in cards if card.startswith("Labeler agrees"))
    assert "nan" not in section(page, "labeler").lower()


def test_the_plots_figures_stand_in_a_table_too() -> None:
    text = section(page_of(agreement_set("hh")), "agreement")
    assert (
        "Pairs judge hh recorded People prefer a response that is … much shorter 50.0 % [20.0 %, 80.0 %] n = 10" in text
    )
    assert "longer 68.8 % [45.0 %, 90.0 %] n = 16" in text  # 11 of 16
    assert "much longer 85.7 % [64.0 %, 100.0 %] n = 14" in text  # 12 of 14
    assert "confidence is … 50–60 % 50.0 % [30.0 %, 70.0 %] n = 24" in text
    assert "Median difference in length, characters 51.5 51.5" in text


def test_calibration_is_shown_before_and_after() -> None:
    text = section(Page(render(contents())), "labeler")
    for line in (
        "Calibration, on pairs that the map never saw Figure Before After base",
        "Agreement 68.2 % [50.0 %, 86.0 %] n = 22 77.3 % [59.0 %, 95.0 %] n = 22",  # 15 and 17 of 22
        "ECE 14.0 % [8.0 %, 30.0 %] n = 22 6.0 % [4.0 %, 20.0 %] n = 22",
        "Log loss, nats a pair 0.654 [0.550, 0.760] n = 22 0.543 [0.440, 0.650] n = 22",
        "Brier score 0.234 [0.190, 0.280] n = 22 0.188 [0.140, 0.230] n = 22",
        "Verdict flips with the order 27.3 % [9.0 %, 45.0 %] n = 22 –",  # 6 of 22
        "Verdict changed by the map – 9.1 % [0.0 %, 23.0 %] n = 22",  # 2 of 22
        "Fitted on 18 other pairs. It multiplies the labeler’s log-odds by 0.500: it was surer than it was right, ",
        "right, and adds 0.00400 nats for each character that a response is longer.",
    ):
        assert line in text


@pytest.mark.parametrize(
    ("logit", "length", "words"),
    [
        (-0.25, 0.0, "log-odds by −0.250, which turns its verdicts round: it was worse than chance."),
        (1.25, 0.0, "log-odds by 1.25."),
    ],
)
def test_the_map_is_put_into_words(logit: float, length: float, words: str) -> None:
    one = Measured((labeler("judge", "base"),), (replace(effect("base"), logit=logit, length=length),), None)
    assert words in section(Page(render(replace(EMPTY, measured=one))), "labeler")


def test_wording_people_and_concordance_are_shown() -> None:
    text = section(page_of(agreement_set("hh")), "agreement")
    assert "Asked Agreement base hh 70.0 % [55.0 %, 82.5 %] n = 40 detailed 60.0 % [45.0 %, 75.0 %] n = 40" in text
    assert "Lowest 60.0 % [45.0 %, 73.0 %] n = 40 Highest 70.0 % [57.0 %, 83.0 %] n = 40" in text
    assert "Standard deviation 7.1 % [1.0 %, 14.0 %] n = 40 Verdict changes with the way 25.0 %" in text
    assert "Who Agreement Kappa Alpha All 65.0 % [52.0 %, 77.0 %] n = 42 0.31 [0.10, 0.50] n = 42 –" in text
    assert "annotators 1 and 2 hh 64.0 % [50.0 %, 78.0 %] n = 42 0.28 [0.02, 0.55] n = 42 –" in text
    assert "Kendall’s W of judge hh, recorded: 0.88 [0.75, 0.95], n = 40 questions" in text


PARTS = ("Calibration", "Wording", "People among themselves", "Kendall", "in figures", "Labeler, and how it was asked")


def test_what_has_no_data_does_not_appear() -> None:
    nothing = replace(agreement_set("hh"), measured=Measured((), (), None), wording=None, people=None)
    page = page_of(nothing)
    text = section(page, "agreement")
    assert not [part for part in PARTS if part in text]
    assert not page.of("div", class_="plot")
    assert not page.of("div", class_="card")
    for part in PARTS:
        assert part in section(page_of(agreement_set("hh")), "agreement")
    bare = replace(labeler("judge", "base"), bins=(), by_length=(), by_confidence=(), median_gap=None)
    assert not page_of(replace(nothing, measured=Measured((bare,), (), None))).of("div", class_="plot")


def test_without_a_study_there_is_no_section_and_no_link() -> None:
    without, studied = Page(render(replace(contents(), agreement=()))), Page(render(contents()))
    assert [len(page.of("section", id="agreement")) for page in (without, studied)] == [0, 1]
    assert [len(page.of("a", href="#agreement")) for page in (without, studied)] == [0, 1]
    assert "Agreement with people" not in without.html
    alone = section(Page(render(replace(contents(), measured=None))), "labeler")
    assert not [part for part in PARTS if part in alone]


def test_the_labelers_of_an_ensemble_stand_below_the_domains() -> None:
    several = Measured((labeler("labeler", "base"), labeler("one", "base"), labeler("other", "base")), (), None)
    text = section(Page(render(replace(contents(), measured=several))), "labeler")
    assert text.index("Domain Pairs") < text.index("one base 40") < text.index("other base 40")
    assert "Labeler, and how" not in section(Page(render(contents())), "labeler")  # a single one is the table above


def test_hostile_names_stay_text() -> None:
    page, plain = page_of(agreement_set(HOSTILE)), page_of(agreement_set("plain"))
    assert [e.tag for e in page.elements] == [e.tag for e in plain.elements]
    assert HOSTILE in page.of("section", id="agreement")[0].text
    assert not page.of("img")
    [script] = page.of("script", type="application/json")
    assert not set(script.text) & set("<>&")
    drawn = json.loads(script.text)
    for figure in drawn.values():
        for trace in figure["data"]:
            assert "<" not in trace["name"].replace("<br>", "")  # plotly.js reads markup in names
    assert drawn["plot-agreement-0-length-0"]["data"][0]["name"].startswith("judge<br>&lt;/script&gt;")


def test_every_set_has_its_own_plots() -> None:
    page = page_of(agreement_set("a"), agreement_set("b"))
    ids = [e.attributes["id"] for e in page.of("div", class_="plot")]
    kinds = ("reliability", "length", "confidence")
    assert [(i or "").rsplit("-", 1)[0] for i in ids] == [
        f"plot-agreement-{n}-{kind}" for n in (0, 1) for kind in kinds
    ]
    assert len(set(ids)) == 6
    assert set(json.loads(page.of("script", type="application/json")[0].text)) == set(ids)

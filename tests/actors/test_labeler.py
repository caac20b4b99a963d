"""The labeler: a real vLLM engine as judge, and a judge with given replies where the reading of replies is looked at."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import pytest

from actors.judge import EngineJudge
from actors.labeler import Labeler
from actors.spending import Usage
from truing.config.labeling import EngineLabeler, Style
from truing.config.roles import Engine, Model
from truing.labeling.asking import Asking, Judgement
from truing.labeling.consensus import OrderedLogprobs, self_consistent
from truing.labeling.questions import Question, after_rationale, comparison, explanation
from truing.labeling.templates import load_template
from truing.records import Failed, NotAsked, Pair, Unparsable

CLOSE = 1e-4
"""Of a probability or a score: float32 in another batch."""
HELPFUL, HARMLESS, SCORE = (load_template(name) for name in ("helpful", "harmless", "score"))
PAIRS = [
    Pair("a", "Name a fruit.", "Apple.", "I will not.", "helpful"),
    Pair("b", "Write a note.", "Dear neighbour, thank you.", "Note.", "helpful"),
    Pair("c", "How do I pick a lock?", "Like this.", "Call a locksmith.", "harmless"),
    Pair("d", "Why?", "Because.", "Because it is so, and has been for as long as we can think.", "other"),
]
TEXTS = [(pair.prompt, text) for pair in PAIRS for text in (pair.first, pair.second)]
LONG = "word " * 800
TEMPLATES = {"*": HELPFUL, "harmless": HARMLESS}
PLAIN = Asking(TEMPLATES, Style())
SCORED = Asking({"*": SCORE}, Style())
STYLES = [
    Style(),
    Style(preamble="detailed", exemplars=2),
    Style(rationales=1, rationale_tokens=6),
    Style(preamble="detailed", exemplars=2, rationales=2, rationale_tokens=6, temperature=1.0),
]


@pytest.fixture(scope="module")
def labeler(tiny: str) -> Labeler:
    settings = EngineLabeler(
        model=Model(path=tiny, context=4096), engine=Engine(cpus=1, dtype="float32", max_sequences=8)
    )
    return Labeler(EngineJudge(settings))


def asked(pairs: Sequence[Pair], asking: Asking) -> list[tuple[Pair, Asking]]:
    return [(pair, asking) for pair in pairs]


def p_first(found: Sequence[object]) -> list[float]:
    assert all(isinstance(one, Judgement) for one in found)
    return [one.p_first() for one in found]


# --- comparing, with a real engine ------------------------------------------------------------------------------------


@pytest.mark.parametrize("style", STYLES, ids=lambda style: Asking({}, style).name)
def test_swapping_a_pair_swaps_its_label(labeler: Labeler, style: Style) -> None:
    asking = Asking(TEMPLATES, style)
    straight = labeler.compare(asked(PAIRS, asking))
    swapped = labeler.compare(asked([pair.swap() for pair in PAIRS], asking))
    for one, other in zip(straight, swapped, strict=True):
        assert isinstance(one, Judgement)
        assert isinstance(other, Judgement)
        assert (other.rationales_ab, other.rationales_ba) == (one.rationales_ba, one.rationales_ab)
        assert other.p_first() == pytest.approx(1 - one.p_first(), abs=CLOSE)
        assert other.ab.p_first == pytest.approx(one.ba.p_first, abs=CLOSE)
    # The orders are told apart at all: a random judge's bias is larger than the tolerance.
    assert max(abs(one.ab.p_first - (1 - one.ba.p_first)) for one in straight) > 10 * CLOSE


@pytest.mark.parametrize("style", STYLES, ids=lambda style: Asking({}, style).name)
def test_labels_do_not_depend_on_the_order_or_the_size_of_the_batch(labeler: Labeler, style: Style) -> None:
    asking = Asking(TEMPLATES, style)
    together = p_first(labeler.compare(asked(PAIRS, asking)))
    order = [2, 0, 3, 1]
    permuted = p_first(labeler.compare(asked([PAIRS[i] for i in order], asking)))
    assert permuted == pytest.approx([together[i] for i in order], abs=CLOSE)
    for pair, expected in zip(PAIRS, together, strict=True):
        assert p_first(labeler.compare(asked([pair], asking))) == [pytest.approx(expected, abs=CLOSE)]


def test_labels_do_not_depend_on_how_else_the_batch_is_asked(labeler: Labeler) -> None:
    ways = [Asking(TEMPLATES, style) for style in STYLES]
    # Rationales of another length, and the same pair asked twice in one way.
    ways += [Asking(TEMPLATES, Style(rationales=1, rationale_tokens=3)), ways[0]]
    mixed = [(pair, way) for pair in PAIRS for way in ways]
    together = labeler.compare(mixed)
    apart = {
        (pair.id, id(way)): one
        for way in ways
        for pair, one in zip(PAIRS, labeler.compare(asked(PAIRS, way)), strict=True)
    }
    for (pair, way), other in zip(mixed, together, strict=True):
        one = apart[pair.id, id(way)]
        assert isinstance(one, Judgement)
        assert isinstance(other, Judgement)
        assert (one.rationales_ab, one.rationales_ba) == (other.rationales_ab, other.rationales_ba)
        assert one.p_first() == pytest.approx(other.p_first(), abs=CLOSE)


def test_each_order_is_the_question_that_its_template_asks(labeler: Labeler) -> None:
    for pair, found in zip(PAIRS, labeler.compare(asked(PAIRS, PLAIN)), strict=True):
        template = HARMLESS if pair.domain == "harmless" else HELPFUL
        for order, read in ((pair, found.ab), (pair.swap(), found.ba)):
            (logp,) = labeler.judge.likelihoods([comparison(template, order, Style())])
            assert (read.first, read.second) == pytest.approx((logp["1"], logp["2"]), abs=1e-3)


def test_a_rationale_is_decoded_and_the_label_read_behind_it(labeler: Labeler) -> None:
    style = Style(rationales=2, rationale_tokens=6, temperature=1.0)
    (found,) = labeler.compare(asked(PAIRS[:1], Asking(TEMPLATES, style)))
    assert isinstance(found, Judgement)
    assert len(found.rationales_ab) == len(found.rationales_ba) == 2
    assert found.rationales_ab[0] != found.rationales_ab[1]
    why = explanation(HELPFUL, PAIRS[0], style)
    read = labeler.judge.likelihoods([after_rationale(why, text, HELPFUL) for text in found.rationales_ab])
    mean = self_consistent([OrderedLogprobs(logp["1"], logp["2"]) for logp in read])
    assert found.ab.p_first == pytest.approx(mean.p_first, abs=CLOSE)
    assert found.ab.mass == pytest.approx(mean.mass, rel=1e-2)


def test_a_pair_that_does_not_fit_fails_alone(labeler: Labeler) -> None:
    long = replace(PAIRS[1], first=LONG * 4)
    found = labeler.compare(asked([PAIRS[0], long, PAIRS[2]], PLAIN))
    assert isinstance(found[1], Failed)
    assert found[1].reason.endswith("tokens; 4095 fit the context")
    alone = p_first(labeler.compare(asked([PAIRS[0], PAIRS[2]], PLAIN)))
    assert p_first([found[0], found[2]]) == pytest.approx(alone, abs=CLOSE)
    assert labeler.compare(asked([], PLAIN)) == []


# --- scoring, with a real engine ----------------------------------------------------------------------------------------


def test_scores_lie_in_range_and_do_not_depend_on_the_batch(labeler: Labeler) -> None:
    together = labeler.score(TEXTS, SCORED)
    assert all(isinstance(score, float) and -1 <= score <= 1 for score in together)
    assert len(set(together)) == len(TEXTS)
    assert labeler.score(TEXTS[::-1], SCORED)[::-1] == pytest.approx(together, abs=CLOSE)
    assert labeler.score(TEXTS[3:4], SCORED) == pytest.approx(together[3:4], abs=CLOSE)
    assert labeler.score([], SCORED) == []


def test_evaluation_steps_are_written_and_shown(labeler: Labeler) -> None:
    geval = load_template("geval")
    steps = labeler.steps(geval)
    assert isinstance(steps, str)
    asking = Asking({"*": geval}, Style())
    with_steps, with_others = (labeler.score(TEXTS[:2], asking, text) for text in ("1. Read.", "1. Weigh each claim."))
    assert with_steps != with_others
    coherence = Asking({"*": geval}, Style(), "coherence")
    assert labeler.score(TEXTS[:2], coherence, "1. Read.") != with_steps


def test_was_the_feedback_used(labeler: Labeler) -> None:
    template = load_template("incorporated")
    rows = [("Write a line.", "A line.", "Make it rhyme.", "A line so fine."), ("Why?", "So.", "Say more.", LONG * 4)]
    yes, failed = labeler.incorporated(rows, template)
    assert isinstance(yes, float)
    assert 0 < yes < 1
    assert isinstance(failed, Failed)


# --- reading, with given replies ---------------------------------------------------------------------------------------


@dataclass
class Given:
    """A judge that gives the replies and likelihoods that it was given, one after another."""

    texts: list[str | Failed | NotAsked] = field(default_factory=list)
    numbers: list[dict[str, float] | Unparsable | Failed | NotAsked] = field(default_factory=list)
    usage: Usage = field(default_factory=Usage)

    def halted(self, _: float, /) -> None:
        return None

    def begin(self) -> None:
        return None

    def replies(self, questions: Sequence[Question], *_: object) -> list[str | Failed | NotAsked]:
        return [self.texts.pop(0) for _ in questions]

    def likelihoods(self, questions: Sequence[Question]) -> list[dict[str, float] | Unparsable | Failed | NotAsked]:
        return [self.numbers.pop(0) for _ in questions]


VERDICT = Asking({"*": load_template("verdict")}, Style())
RATING = Asking({"*": load_template("rating")}, Style())
FIRST, SECOND = {"1": -0.1, "2": -2.5}, {"1": -2.5, "2": -0.1}
REASONED = Asking(TEMPLATES, Style(rationales=2))


@pytest.mark.parametrize(
    ("ab", "ba", "p"),
    # Second order shows b first: [[B]] names a there. Both name a: 1; a tie in one: (1 + ½)/2; one each: ½.
    [("[[A]]", "[[B]]", 1.0), ("[[A]]", "[[C]]", 0.75), ("[[A]]", "[[A]]", 0.5), ("[[B]]", "[[A]]", 0.0)],
)
def test_verdicts_in_replies(ab: str, ba: str, p: float) -> None:
    (found,) = Labeler(Given([f"Well. {ab}", f"Then {ba}."])).compare(asked(PAIRS[:1], VERDICT))
    assert isinstance(found, Judgement)
    assert found.p_first() == p


def test_a_reply_without_a_verdict_is_unparsable() -> None:
    assert Labeler(Given(["[[A]]", "Both are nice."])).compare(asked(PAIRS[:1], VERDICT)) == [
        Unparsable("Both are nice.")
    ]


def test_ratings_in_replies() -> None:
    # (7 - 1)/9·2 - 1 = 1/3; two different ratings are none
    found = Labeler(Given(["Good. [[7]]", "[[3]] or [[4]]", Failed("no reply")])).score(TEXTS[:3], RATING)
    assert found == [pytest.approx(1 / 3), Unparsable("[[3]] or [[4]]"), Failed("no reply")]


@pytest.mark.parametrize(
    ("label", "expected"),
    # 1 -> -1; 10 -> 1; 7 -> (7 - 1)/9·2 - 1 = 1/3
    [("1", -1), ("10", 1), ("7", 1 / 3)],
)
def test_the_ends_of_the_scale(label: str, expected: float) -> None:
    sure = {str(i): 0.0 if str(i) == label else -math.inf for i in range(1, 11)}
    assert Labeler(Given(numbers=[sure])).score(TEXTS[:1], SCORED) == [pytest.approx(expected, abs=1e-12)]


def test_labels_that_are_ruled_out_are_unparsable() -> None:
    none = dict.fromkeys("12", -math.inf)
    (found,) = Labeler(Given(numbers=[FIRST, none])).compare(asked(PAIRS[:1], PLAIN))
    assert isinstance(found, Unparsable)
    nothing = {str(i): -math.inf for i in range(1, 11)}
    (score,) = Labeler(Given(numbers=[nothing])).score(TEXTS[:1], SCORED)
    assert isinstance(score, Unparsable)


def test_a_rationale_that_fails_is_left_out_of_the_mean() -> None:
    judge = Given(["a", Failed("lost"), "b", "c"], [FIRST, SECOND, SECOND])
    (found,) = Labeler(judge).compare(asked(PAIRS[:1], REASONED))
    assert isinstance(found, Judgement)
    assert (found.rationales_ab, found.rationales_ba) == (("a",), ("b", "c"))
    # σ(2.4) in both orders, the second one flipped back.
    assert found.p_first() == pytest.approx(1 / (1 + math.exp(-2.4)))


def test_an_order_whose_rationales_all_fail_fails() -> None:
    judge = Given(["a", "b", Failed("lost"), Failed("also")], [FIRST, FIRST])
    assert Labeler(judge).compare(asked(PAIRS[:1], REASONED)) == [Failed("lost")]


def test_a_labeler_that_has_stopped_answers_neither_a_part_nor_a_failure() -> None:
    judge = Given(numbers=[FIRST, NotAsked("budget"), Failed("too long"), NotAsked("budget")])
    assert Labeler(judge).compare(asked(PAIRS[:2], PLAIN)) == [NotAsked("budget")] * 2
    mixed = Given(["a", NotAsked("budget"), "b", "c"], [FIRST, SECOND, SECOND])
    assert Labeler(mixed).compare(asked(PAIRS[:1], REASONED)) == [NotAsked("budget")]

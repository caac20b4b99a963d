import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from truing.config.labeling import Style
from truing.errors import ConfigError
from truing.labeling.asking import Asking, Judgement
from truing.labeling.consensus import OrderedLogprobs
from truing.labeling.templates import load_template
from truing.records import Pair

HELPFUL, HARMLESS = load_template("helpful"), load_template("harmless")
PAIR = Pair("i", "Why?", "A", "B", "poems")
PLAIN = Asking({"*": HELPFUL}, Style())
REASONED = Asking({"*": HELPFUL}, Style(rationales=1))


# --- templates -------------------------------------------------------------------------------------------------------


def test_a_domain_has_its_template_or_the_stars() -> None:
    asking = Asking({"safety": HARMLESS, "*": HELPFUL}, Style())
    assert [asking.template(domain) for domain in ("safety", "poems", "*")] == [HARMLESS, HELPFUL, HELPFUL]
    with pytest.raises(ConfigError) as error:
        Asking({"safety": HARMLESS}, Style()).template("poems")
    assert str(error.value) == "label.templates: has no template for domain 'poems' and no '*'; add one of them"


@pytest.mark.parametrize(
    ("style", "criterion", "name"),
    [
        (Style(), "overall", "base, no exemplars, no rationale"),
        (
            Style(preamble="detailed", exemplars=2, rationales=1),
            "overall",
            "detailed, 2 exemplars, 1 rationale",
        ),
        (Style(rationales=3), "coverage", "base, no exemplars, 3 rationales, coverage"),
    ],
)
def test_its_name_in_tables(style: Style, criterion: str, name: str) -> None:
    assert Asking({}, style, criterion).name == name


# --- the identity of a label -----------------------------------------------------------------------------------------


def test_ids_are_what_they_were() -> None:
    # 8 bytes of BLAKE2b over ["label","Why?","A","B","h",{"exemplars":0,"preamble":"base"},"overall","me"], as
    # `b2sum -l 64` gives: a label on disk must be found again.
    assert Asking({"*": replace(HELPFUL, hash="h")}, Style()).id(PAIR, "me") == "3df5f4bf903663ed"


@pytest.mark.parametrize(
    ("pair", "asking", "labeler"),
    [
        (replace(PAIR, prompt="Why not?"), PLAIN, "me"),
        (replace(PAIR, first="AA"), PLAIN, "me"),
        (replace(PAIR, second="BB"), PLAIN, "me"),
        (PAIR.swap(), PLAIN, "me"),
        (PAIR, Asking({"*": HARMLESS}, Style()), "me"),
        (PAIR, Asking({"*": HELPFUL, "poems": HARMLESS}, Style()), "me"),
        (PAIR, Asking({"*": HELPFUL}, Style(preamble="detailed")), "me"),
        (PAIR, Asking({"*": HELPFUL}, Style(exemplars=1)), "me"),
        (PAIR, Asking({"*": HELPFUL}, Style(exemplars=2)), "me"),
        (PAIR, REASONED, "me"),
        (PAIR, Asking({"*": HELPFUL}, Style(), "coverage"), "me"),
        (PAIR, PLAIN, "you"),
    ],
)
def test_what_an_answer_depends_on_changes_its_id(pair: Pair, asking: Asking, labeler: str) -> None:
    assert asking.id(pair, labeler) != PLAIN.id(PAIR, "me")


@pytest.mark.parametrize(
    ("pair", "asking"),
    [
        (replace(PAIR, id="j"), PLAIN),
        # The domain chooses a template and is not shown: the same template, the same question.
        (replace(PAIR, domain="news"), PLAIN),
        (PAIR, Asking({"*": HARMLESS, "poems": HELPFUL}, Style())),
        # A template is its content, whatever its file is called.
        (PAIR, Asking({"*": replace(HELPFUL, name="copy")}, Style())),
        # How rationales are decoded, where there are none
        (PAIR, Asking({"*": HELPFUL}, Style(rationale_tokens=7, temperature=0.7))),
    ],
)
def test_what_an_answer_does_not_depend_on_leaves_its_id(pair: Pair, asking: Asking) -> None:
    assert asking.id(pair, "me") == PLAIN.id(PAIR, "me")


@pytest.mark.parametrize(
    "style", [Style(rationales=2), Style(rationales=1, rationale_tokens=7), Style(rationales=1, temperature=0.7)]
)
def test_with_rationales_it_depends_on_how_they_are_decoded(style: Style) -> None:
    assert Asking({"*": HELPFUL}, style).id(PAIR, "me") != REASONED.id(PAIR, "me")


# --- judgements ------------------------------------------------------------------------------------------------------

logprobs = st.floats(-30, 0) | st.just(-math.inf)
orders = st.tuples(logprobs, logprobs).filter(lambda two: max(two) > -math.inf).map(lambda two: OrderedLogprobs(*two))
judgements = st.builds(
    Judgement, orders, orders, st.tuples(st.text(max_size=3)), st.tuples(st.text(max_size=3)), st.booleans()
)


@given(judgements, st.booleans())
def test_swapping_flips_p_to_the_last_bit(found: Judgement, worse: bool) -> None:
    p = found.p_first(asks_for_worse=worse)
    assert found.swap().p_first(asks_for_worse=worse) == 1 - p
    assert found.p_first(asks_for_worse=not worse) == 1 - p
    assert 0 <= p <= 1


@given(judgements)
def test_swapping_exchanges_the_orders_and_their_rationales(found: Judgement) -> None:
    there = found.swap()
    assert (there.ab, there.ba) == (found.ba, found.ab)
    assert (there.rationales_ab, there.rationales_ba) == (found.rationales_ba, found.rationales_ab)
    assert there.both_orders == found.both_orders
    assert there.swap() == found


def test_p_first_by_hand() -> None:
    # P(first | a, b) = .9 and P(second | b, a) = .6: (.9 + .6) / 2 that a is named, .25 that a is the better one.
    ab, ba = (OrderedLogprobs(math.log(p), math.log(1 - p)) for p in (0.9, 0.4))
    assert Judgement(ab, ba).p_first() == pytest.approx(0.75)
    assert Judgement(ab, ba).p_first(asks_for_worse=True) == pytest.approx(0.25)

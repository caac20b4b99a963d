import pytest

from truing.evaluation.comparison_figures import VERDICT, comparison_figures
from truing.evaluation.figure import Figure, Score


def game(item: str, first: str, second: str, value: float | None, variant: str = "") -> Score:
    return Score(first, "d", variant, item, second, VERDICT, value, "" if value is not None else "unreadable")


# a against b on five documents, each in both orders: a twice, b twice, first place twice, a tie, one unread.
GAMES = [
    game("1", "a", "b", 1), game("1", "b", "a", 0), game("2", "a", "b", 0), game("2", "b", "a", 1), game("3", "a", "b", 1),
    game("3", "b", "a", 1), game("4", "b", "a", 0.5), game("4", "a", "b", 0.5), game("5", "a", "b", None), game("5", "b", "a", 1),
]  # fmt: skip


def figures(some: list[Score], anchor: str | None = None) -> dict[tuple[str, str, str], Figure]:
    found = comparison_figures(some, judge="gpt", data="d", shift="id", anchor=anchor, seed=0)
    return {(figure.policy, figure.variant, figure.metric): figure for figure in found}


def test_the_place_of_the_judge() -> None:
    found = figures(GAMES)
    same = found["gpt", "", "same place wins twice"]
    assert (same.value, same.n, same.missing) == (0.25, 4, 1)
    # Document 3 alone: the first place, once of once.
    assert found["gpt", "", "first among places that won twice"].value == 1
    assert (found["gpt", "", "p-value for a half"].value, found["gpt", "", "p-value for a half"].n) == (1, 1)
    # Of six decided games the first place wins 1, 1, 2.
    assert found["gpt", "", "first place wins a game"].value == pytest.approx(4 / 6)
    assert (found["gpt", "", "games called a tie"].value, found["gpt", "", "games called a tie"].n) == (2, 8)


def test_win_rates_of_both_sides_mirror_each_other() -> None:
    found = figures(GAMES)
    for system, wins, losses in (("a", 1, 1), ("b", 1, 1)):
        counts = [found[system, "", name].value for name in ("wins", "ties", "ties by disagreement", "losses")]
        assert counts == [wins, 2, 1, losses]
    # Without document 2, which b won, a is ahead: one win, two ties.
    ahead = figures([one for one in GAMES if one.item != "2"])
    one, two = (ahead[system, "", "win rate, ties half"].value for system in ("a", "b"))
    assert (one, two) == (pytest.approx(2 / 3), pytest.approx(1 / 3))


def test_the_ladder_and_its_anchor() -> None:
    found = figures(GAMES)
    assert found["a", "", "Bradley-Terry rating"].value == pytest.approx(1000)
    anchored = figures([one for one in GAMES if one.item != "2"], "b")
    # a wins with odds 2 : 1: 400 log10(2) above b.
    assert anchored["b", "", "Bradley-Terry rating"].value == pytest.approx(1000)
    assert anchored["a", "", "Bradley-Terry rating"].value == pytest.approx(1000 + 120.412, abs=1e-2)
    assert anchored["a", "", "Bradley-Terry rating"].note.startswith("b is 1000")


def test_one_that_never_lost_has_no_rating_and_says_why() -> None:
    found = figures([game("1", "a", "b", 1), game("1", "b", "a", 0)])
    rating = found["a", "", "Bradley-Terry rating"]
    assert rating.value is None
    assert "never lost to" in rating.note
    assert found["gpt", "", "first among places that won twice"].value is None


def test_a_pair_in_one_order_is_missing() -> None:
    found = figures([*GAMES[:2], game("9", "a", "b", 1)])
    assert (found["a", "", "wins"].value, found["a", "", "wins"].n, found["a", "", "wins"].missing) == (1, 1, 1)
    nothing = figures([game("9", "a", "b", 1)])
    assert nothing["a", "", "win rate, ties half"].value is None
    assert nothing["gpt", "", "same place wins twice"].note == "no pair has two readable games"


def test_variants_stand_apart() -> None:
    found = figures([*GAMES, game("1", "a", "b", 0, "fluency"), game("1", "b", "a", 1, "fluency")])
    assert found["b", "fluency", "wins"].value == 1
    assert found["b", "", "wins"].value == 1

import pytest

from truing.evaluation.figure import Figure, Score
from truing.evaluation.judge_figures import HUMAN, MEAN, judge_figures

# Two documents, three systems. The judge agrees on "x" throughout, and calls two systems even on "y".
PEOPLE = {"x": [[1.0, 2, 3], [1, 3, 2]], "y": [[1.0, 2, 3], [1, 2, 3]]}
JUDGE: dict[str, list[list[float | None]]] = {"x": [[2, 4, 6], [2, 6, 4]], "y": [[1, 2, 2], [1, 2, 2]]}


def scores(who: str, tables: dict[str, list[list[float | None]]]) -> list[Score]:
    return [
        Score(f"s{j}", "d", criterion, f"d{i}", "", who, value, "" if value is not None else "unreadable")
        for criterion, table in tables.items()
        for i, row in enumerate(table)
        for j, value in enumerate(row)
    ]


def figures(some: list[Score], challenge: tuple[tuple[str, str], ...] = ()) -> dict[tuple[str, str, str], Figure]:
    found = judge_figures(some, data="d", shift="id", challenge=challenge, seed=0)
    return {(figure.policy, figure.variant, figure.metric): figure for figure in found}


BOTH = [*scores("gpt", JUDGE), *scores(HUMAN, {key: [[*row] for row in table] for key, table in PEOPLE.items()})]


def test_coefficients_at_three_levels() -> None:
    found = figures(BOTH)
    assert found["gpt", "x", "Spearman, summary level"].value == pytest.approx(1)
    # y: ranks 1, 2.5, 2.5 against 1, 2, 3: Pearson of ranks = 1.5 / sqrt(1.5 * 2).
    assert found["gpt", "y", "Spearman, summary level"].value == pytest.approx(1.5 / 3**0.5)
    sizes = [found["gpt", "x", f"Pearson, {level} level"].n for level in ("summary", "sample", "system")]
    assert sizes == [2, 6, 3]


def test_orderings_of_each_criterion_and_of_all() -> None:
    found = figures(BOTH, (("s0", "s2"),))
    # x: s0 < s1, s0 < s2, and s1 against s2 even in both: 3 of 3. y: the judge calls s1, s2 even, people do not: 2 of 3.
    x, y = found["gpt", "x", "system ordering"], found["gpt", "y", "system ordering"]
    assert (x.value, x.n, y.value, y.n) == (1, 3, pytest.approx(2 / 3), 3)
    overall = found["gpt", MEAN, "system ordering"]
    assert (overall.value, overall.n) == (pytest.approx(5 / 6), 6)
    assert overall.note == "2.5 of 3 pairs, the mean of 2 criteria"
    assert found["gpt", MEAN, "system ordering, challenge pairs"].n == 2


def test_what_is_skipped_and_unreadable_is_counted() -> None:
    judge: dict[str, list[list[float | None]]] = {"x": [[5, 5, 5], [1, None, 2]]}
    found = figures([*scores("gpt", judge), *[one for one in BOTH if one.metric == HUMAN and one.variant == "x"]])
    summary, sample = found["gpt", "x", "Kendall, summary level"], found["gpt", "x", "Kendall, sample level"]
    # The first document is constant; the second has two cells left.
    assert (summary.n, summary.missing, sample.n, sample.missing) == (1, 1, 5, 1)
    assert "constant" in summary.note
    assert ("gpt", MEAN, "system ordering") not in found
    constant: dict[str, list[list[float | None]]] = {"x": [[5, 5, 5], [5, 5, 5]]}
    flat = figures([*scores("gpt", constant), *[one for one in BOTH if one.metric == HUMAN and one.variant == "x"]])
    assert flat["gpt", "x", "Pearson, system level"].value is None
    assert flat["gpt", "x", "Pearson, system level"].note == "a table is constant"


def test_refusals() -> None:
    with pytest.raises(ValueError, match="challenge: 's9' is none of the systems s0, s1, s2"):
        figures(BOTH, (("s0", "s9"),))
    with pytest.raises(ValueError, match="'s0' is scored twice on 'd0'"):
        figures([*BOTH, BOTH[0]])

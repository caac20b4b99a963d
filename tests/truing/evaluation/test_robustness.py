import pytest

from truing.evaluation.robustness import spread


def items(hits: int, of: int = 4) -> list[float]:
    return [1.0] * hits + [0.0] * (of - hits)


def test_a_spread_by_hand() -> None:
    # Accuracies ¼, ½, ½, ¾: mean ½, squares of the differences 1/16 + 0 + 0 + 1/16, deviation √(1/32) = 0.1767767
    found = spread({"a": items(2), "b": items(1), "c": items(3), "d": items(2)}, threshold=0.5)
    assert (found.prompts, found.mean, found.worst, found.best) == (4, 0.5, 0.25, 0.75)
    assert found.deviation == pytest.approx(0.1767767)
    # A tenth of four is one prompt at least: the worst. Three of four reach ½.
    assert (found.worst_tenth, found.top, found.threshold) == (0.25, 0.75, 0.5)


def test_the_worst_tenth_of_twenty_is_two_prompts() -> None:
    # Accuracies 0, 1/20, 2/20, …, 19/20: (0 + 0.05)/2
    found = spread({str(i): items(i, 20) for i in range(20)}, threshold=0.9)
    assert found.worst_tenth == pytest.approx(0.025)
    # 18/20 and 19/20
    assert found.top == pytest.approx(0.1)


def test_one_prompt_has_no_spread() -> None:
    found = spread({"only": items(3)}, threshold=0.75)
    assert (found.mean, found.deviation, found.worst, found.best, found.worst_tenth, found.top) == (
        0.75, 0.0, 0.75, 0.75, 0.75, 1.0,
    )  # fmt: skip


def test_prompts_weigh_the_same_however_many_items_each_has() -> None:
    # 1 of 1 and 0 of 4: the mean over prompts is ½, over items 1/5.
    assert spread({"a": [1.0], "b": items(0)}, threshold=1.0).mean == 0.5


@pytest.mark.parametrize("accuracy", [{}, {"a": [1.0], "b": []}])
def test_no_prompt_or_one_without_items_is_refused(accuracy: dict[str, list[float]]) -> None:
    with pytest.raises(ValueError, match="at least one prompt, and items for each"):
        spread(accuracy, threshold=0.5)

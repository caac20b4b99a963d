import pytest

from jobs.compared import Compared
from truing.data.judged import Comparisons, Judged
from truing.records import Row

THREE = (Judged(0, 1, 1.0), Judged(0, 2, 1.0), Judged(1, 2, 1.0))


def test_what_was_seen_is_what_the_updates_held() -> None:
    prompts = [
        Comparisons(f"p{i}", ("a", "b", "c"), judged) for i, judged in enumerate((THREE, THREE[:1], THREE[:2], THREE))
    ]
    data = Compared(prompts, 3, ([], []))
    # Twice the first prompt with its three pairs, once the second with its one: the third and what is held out, never.
    assert data.seen([[0, 1], [0]]) == {"training_prompts": 2, "training_pairs": 4}
    assert data.seen([]) == {"training_prompts": 0, "training_pairs": 0}


ROW = {
    "id": "x", "prompt": "p", "chosen": "a", "rejected": "b", "p_chosen": 1.0, "weight": 1.0, "strength": None,
    "source": "marked", "domain": "helpful", "labeler": "people", "template": None, "chosen_first": True,
}  # fmt: skip


@pytest.mark.parametrize(
    "change",
    [{"chosen": "b", "rejected": "a"}, {"p_chosen": 0.8}, {"weight": 2.0}, {"strength": 3.0}, {"source": "ai"}],
)
def test_another_label_of_the_same_pair_is_other_content(change: Row) -> None:
    # The id is the pair's, which stays: by it alone a reward model of the old labels counted as trained on the new.
    def content(row: Row) -> list[list[object]]:
        return Compared([], 0, ([row], [])).content

    assert content(ROW) == content(dict(ROW))
    assert content(ROW | change) != content(ROW)

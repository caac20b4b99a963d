from jobs.compared import Compared
from truing.data.judged import Comparisons, Judged

THREE = (Judged(0, 1, 1.0), Judged(0, 2, 1.0), Judged(1, 2, 1.0))


def test_what_was_seen_is_what_the_updates_held() -> None:
    prompts = [
        Comparisons(f"p{i}", ("a", "b", "c"), judged) for i, judged in enumerate((THREE, THREE[:1], THREE[:2], THREE))
    ]
    data = Compared(prompts, 3, ([], []))
    # Twice the first prompt with its three pairs, once the second with its one: the third and what is held out, never.
    assert data.seen([[0, 1], [0]]) == {"training_prompts": 2, "training_pairs": 4}
    assert data.seen([]) == {"training_prompts": 0, "training_pairs": 0}

from truing.evaluation.figure import Score
from truing.evaluation.policy_figures import SHARE, at_least, is_of_set, policy_figures


def score(policy: str, item: str, value: float | None, variant: str = "", metric: str = "toxicity") -> Score:
    return Score(policy, "d", variant, item, "", metric, value, "" if value is not None else "without a rating")


SCORES = [
    score("sft", "1", 0.5, "basic"), score("sft", "2", 0.25, "basic"), score("ppo", "1", 0.75, "basic"),
    score("ppo", "2", None, "basic"), score("sft", "1", 0.5, "biased"), score("ppo", "1", 1.0, "biased"),
]  # fmt: skip


def test_figures_by_variant_and_policy_then_differences() -> None:
    found = policy_figures(SCORES, {"toxicity": ""}, data="d", shift="far", against={"ppo": "sft"}, seed=0)
    said = [(f.policy, f.variant, f.metric, f.value, f.n, f.missing) for f in found]
    assert said == [
        ("sft", "basic", "toxicity", 0.375, 2, 0),
        ("ppo", "basic", "toxicity", 0.75, 1, 1),
        ("sft", "biased", "toxicity", 0.5, 1, 0),
        ("ppo", "biased", "toxicity", 1.0, 1, 0),
        ("ppo − sft", "basic", "Δ toxicity", 0.25, 1, 1),
        ("ppo − sft", "biased", "Δ toxicity", 0.5, 1, 0),
    ]
    assert {f.shift for f in found} == {"far"}
    assert found[1].note == "1 without a rating"


def test_a_policy_without_any_value_is_undefined_and_says_why() -> None:
    [found] = policy_figures([score("a", "1", None)], {"toxicity": ""}, data="d", shift="id", against={}, seed=0)
    assert (found.value, found.n, found.missing, found.note) == (None, 0, 1, "1 without a rating")


def test_shares_have_the_interval_of_shares() -> None:
    never = [score("a", str(i), 0.0) for i in range(20)]
    [found] = policy_figures(never, {"toxicity": SHARE}, data="d", shift="id", against={}, seed=0)
    assert found.value == 0
    assert found.high is not None
    assert found.high > 0.1  # a bootstrap would say 0


def test_a_figure_of_the_set_is_one_score_without_an_item() -> None:
    assert is_of_set([score("a", "", 1.0)])
    assert not is_of_set([score("a", "1", 1.0)])
    assert at_least("toxicity", 0.5) == "toxicity ≥ 0.5"


def test_a_set_that_is_undefined_for_one_has_no_difference() -> None:
    scores = [score("a", "", 1.0, metric="EAD across inputs"), score("b", "", None, metric="EAD across inputs")]
    *_, found = policy_figures(scores, {"EAD across inputs": ""}, data="d", shift="id", against={"b": "a"}, seed=0)
    assert (found.policy, found.value, found.note) == ("b − a", None, "undefined for one of the two")

import numpy as np
import pytest

from actors.forward import rollout_tree
from actors.reference import Reference
from tests.actors.examples import SCORER, flat, plain_groups, plain_model, random_rollouts
from truing.data.batches import Tree
from truing.errors import ConfigError

GROUPS = random_rollouts(5, prompts=3, completions=3)


@pytest.mark.parametrize("budget", [10**6, 100, 8])
@pytest.mark.parametrize("temperature", [1.0, 0.6])
def test_logprobs_are_those_of_the_plain_model_in_the_rollouts_order(
    tiny: str, budget: int, temperature: float
) -> None:
    settings = SCORER.model_copy(update={"token_budget": budget})
    found = Reference(tiny, settings, "float32", temperature).logprobs(GROUPS)
    assert [[len(tokens) for tokens in group] for group in found] == [[len(r.tokens) for r in g] for g in GROUPS]
    np.testing.assert_allclose(flat(found), flat(plain_groups(plain_model(tiny), GROUPS, temperature)), atol=1e-5)


def test_trees_and_rollouts_are_read_alike(tiny: str) -> None:
    reference = Reference(tiny, SCORER, "float32", 0.9)
    trees = [rollout_tree(group) for group in GROUPS]
    np.testing.assert_array_equal(flat(reference.read(trees)), flat(reference.logprobs(GROUPS)))
    # Without responses, and with one of nothing.
    found = reference.read([Tree([5, 6], ()), Tree([5, 6], ([], [7]))])
    assert [[len(tokens) for tokens in tree] for tree in found] == [[], [0, 1]]


def test_bfloat16_is_near_float32_and_not_it(tiny: str) -> None:
    exact, rounded = (flat(Reference(tiny, SCORER, p, 1.0).logprobs(GROUPS)) for p in ("float32", "bfloat16"))
    assert 0 < np.abs(exact - rounded).max() < 0.1


def test_no_rollouts_give_no_logprobs(tiny: str) -> None:
    assert Reference(tiny, SCORER, "float32", 1.0).logprobs([]) == []


def test_a_folder_that_is_no_model_is_refused(tmp_path) -> None:
    message = rf"model {tmp_path}: is not a causal language model that can be loaded \(.+\)$"
    with pytest.raises(ConfigError, match=message):
        Reference(str(tmp_path), SCORER, "float32", 1.0)
    (tmp_path / "config.json").write_text('{"model_type": "no-such-model"}')
    with pytest.raises(ConfigError, match=message):
        Reference(str(tmp_path), SCORER, "float32", 1.0)

from typing import Any

import pytest
from pydantic import ValidationError

from truing.config.supervised import Examples, FewShot, Mixture, PromptBank, Template

NLI, PARAPHRASE, QA, STORY, BOTH, MATHS = (
    "entailment", "paraphrase", "reading_comprehension", "common_sense", "read_comp_and_common_sense", "math",
)  # fmt: skip


def sources(*clusters: str) -> tuple[Examples, ...]:
    return tuple(Examples(path="x.jsonl", task=f"{cluster}-{n}", cluster=cluster) for n, cluster in enumerate(clusters))


def refusal(section: type[Any], **given: Any) -> str:
    with pytest.raises(ValidationError) as error:
        section.model_validate(given)
    (first,) = error.value.errors()
    return first["msg"].removeprefix("Value error, ")


# FLAN, §2.2, note 2: NLI and paraphrase keep each other out; reading comprehension with common sense keeps out both of
# its halves and each half keeps it out, but the halves do not keep out each other.
@pytest.mark.parametrize(
    ("held_out", "excluded"),
    [
        ((), set()),
        ((NLI,), {NLI, PARAPHRASE}),
        ((PARAPHRASE,), {NLI, PARAPHRASE}),
        ((BOTH,), {BOTH, QA, STORY}),
        ((QA,), {QA, BOTH}),
        ((STORY,), {STORY, BOTH}),
        ((NLI, QA), {NLI, PARAPHRASE, QA, BOTH}),
    ],
)
def test_flans_forbidden_neighbours(held_out: tuple[str, ...], excluded: set[str]) -> None:
    every = sources(NLI, PARAPHRASE, QA, STORY, BOTH, MATHS)
    assert Mixture(sources=every, held_out=held_out).excluded == excluded


def test_neighbours_of_ones_own_hold_both_ways() -> None:
    near = {QA: (STORY,)}
    for held_out in (QA, STORY):
        settings = Mixture(sources=sources(QA, STORY, NLI, PARAPHRASE), held_out=(held_out,), neighbours=near)
        assert settings.excluded == {QA, STORY}
    assert Mixture(sources=sources(QA, STORY, NLI, PARAPHRASE), held_out=(NLI,), neighbours=near).excluded == {NLI}


def test_the_papers_numbers_are_the_defaults() -> None:
    assert Mixture(sources=sources(QA)).cap == 3000  # FLAN §2.4
    bank = PromptBank(path="x.yaml")
    assert (bank.test_one_in, bank.every, bank.epochs) == (9, 4, 3)  # PAFT: 8:1, K = 4, T = 3


def test_a_plain_text_is_a_template() -> None:
    given: Any = {"path": "x", "templates": ["{a}?", {"prompt": "{b}?", "answer": "{a}"}]}
    assert Examples.model_validate(given).templates == (
        Template(prompt="{a}?", answer=""),
        Template(prompt="{b}?", answer="{a}"),
    )


def test_at_most_ten_templates_and_sixteen_exemplars() -> None:
    wordings = [f"{n} {{a}}" for n in range(11)]
    assert len(Examples.model_validate({"path": "x", "templates": wordings[:10]}).templates) == 10
    assert "at most 10" in refusal(Examples, path="x", templates=wordings)
    assert FewShot(exemplars=16).exemplars == 16
    assert "less than or equal to 16" in refusal(FewShot, exemplars=17)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"choices": ["yes"]}, "choices has a single entry: give two or more"),
        ({"labels": ["0", "1"]}, "labels is given without choices: give choices too"),
        ({"choices": ["a", "b"], "labels": ["0", "1", "2"]}, "labels has 3 entries for 2 choices: give one for each"),
        ({"choices": ["a", "b"], "labels": ["0", "0"]}, "labels has an entry twice"),
        ({"weight": 0}, "greater than 0"),
        ({"promt": "question"}, "Extra inputs are not permitted"),
    ],
)
def test_refused_examples(given: dict[str, Any], message: str) -> None:
    assert message in refusal(Examples, path="x.jsonl", **given)


def test_refused_mixtures() -> None:
    twice = (Examples(path="a", task="rte"), Examples(path="b", task="rte"))
    assert refusal(Mixture, sources=twice) == "sources names task 'rte' twice: give each source its own task"
    two = sources(QA, MATHS)
    known = "use one of math, reading_comprehension"
    assert refusal(Mixture, sources=two, held_out=["nli"]) == f"held_out: no source is in cluster 'nli'; {known}"
    # A slip in a neighbour would let a near cluster into the training unseen.
    assert refusal(Mixture, sources=two, neighbours={QA: ["maths"]}) == (
        f"neighbours: no source is in cluster 'maths'; {known}"
    )
    assert refusal(Mixture, sources=sources(NLI, PARAPHRASE), held_out=[NLI]) == (
        "held_out and its neighbours are all the clusters there are: add a source to train on"
    )
    assert "at least 1" in refusal(Mixture, sources=[])


def test_every_field_is_documented() -> None:
    for section in (Template, Examples, FewShot, Mixture, PromptBank):
        assert all(field.description for field in section.model_fields.values()), section

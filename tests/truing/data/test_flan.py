import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.shared import shared_data
from truing.config.supervised import Examples, FewShot, Mixture, Template
from truing.data.demonstrations import Demonstration, load_demonstrations
from truing.data.flan import (
    Mixed,
    Task,
    asked,
    instruct,
    load_mixture,
    load_templates,
    mixing_rates,
    mixture,
    quotas,
    with_exemplars,
)
from truing.data.wordings import fields_of
from truing.errors import ConfigError

PROMPTS = Path(__file__).resolve().parents[3] / "configs/prompts/flan.yaml"
NLI = ("yes", "it is not possible to tell", "no")
counts_and_weights = st.lists(st.tuples(st.integers(1, 10**6), st.floats(0.01, 100)), min_size=1, max_size=9)


def example(n: int, task: str = "t", choices: tuple[str, ...] = ()) -> Demonstration:
    fields: dict[str, Any] = {"q": f"{task}{n}?", "options": "OPTIONS:\n- no\n- yes", "A": "no", "B": "yes"}
    return Demonstration(f"{task}{n}", f"{task}{n}?", ("no", "yes")[n % 2], task, "c", choices, fields=fields)


def task(count: int, *templates: str | Template, name: str = "t", weight: float = 1.0) -> Task:
    wordings = [one if isinstance(one, Template) else Template(prompt=one) for one in templates or ("{q}",)]
    return Task([example(n, name) for n in range(count)], tuple(wordings), weight)


def asked_of(found: Sequence[Demonstration]) -> list[str]:
    """The question of each, without its exemplars."""
    return [one.prompt.split("\n")[-1] for one in found]


# --- rates and quotas (§2.4) ---------------------------------------------------------------------


def test_mixing_rates_by_hand() -> None:
    # min(n, 3000) = 1000, 3000, 2000: of 6000 these are 1/6, 1/2, 1/3.
    assert mixing_rates([1000, 5000, 2000], [1, 1, 1], cap=3000) == pytest.approx([1 / 6, 1 / 2, 1 / 3])
    # With weights 1, 1, 2 they are 1000, 3000, 4000 of 8000.
    assert mixing_rates([1000, 5000, 2000], [1, 1, 2], cap=3000) == [0.125, 0.375, 0.5]


@given(counts_and_weights, st.integers(1, 10**5))
def test_rates_sum_to_one_and_a_cap_of_one_gives_the_weights(sources: list[tuple[int, float]], cap: int) -> None:
    counts, weights = [n for n, _ in sources], [w for _, w in sources]
    rates = mixing_rates(counts, weights, cap)
    assert sum(rates) == pytest.approx(1)
    assert all(rate > 0 for rate in rates)
    assert mixing_rates(counts, weights, 1) == pytest.approx([w / sum(weights) for w in weights])


def test_quotas_by_hand() -> None:
    # 7 · (0.5, 0.3, 0.2) = 3.5, 2.1, 1.4: the whole parts are 3, 2, 1, and the one that is left goes to the rest of 0.5.
    assert quotas([0.5, 0.3, 0.2], 7) == [4, 2, 1]


@given(counts_and_weights, st.integers(0, 10**5))
def test_quotas_sum_to_the_size(sources: list[tuple[int, float]], size: int) -> None:
    rates = mixing_rates([n for n, _ in sources], [w for _, w in sources], 3000)
    found = quotas(rates, size)
    assert sum(found) == size
    assert all(abs(quota - rate * size) < 1 for quota, rate in zip(found, rates, strict=True))


@given(st.lists(st.integers(1, 5000), min_size=1, max_size=30))
def test_without_a_size_each_task_gives_what_the_cap_leaves(counts: list[int]) -> None:
    capped = [min(n, 3000) for n in counts]
    assert quotas(mixing_rates(counts, [1] * len(counts), 3000), sum(capped)) == capped


# --- wordings (§2.1, §2.3) -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("template", "prompt"),
    [
        ("Say: {q}", "Say: t1?\n\nOPTIONS:\n- no\n- yes"),
        ("{options}\nSay: {q}", "OPTIONS:\n- no\n- yes\nSay: t1?"),
        ("{q} {A} or {B}?", "t1? no or yes?"),
    ],
)
def test_the_options_follow_unless_they_are_shown(template: str, prompt: str) -> None:
    assert instruct(example(1, choices=("no", "yes")), Template(prompt=template)) == prompt


def test_an_open_task_has_no_options() -> None:
    assert instruct(example(1), Template(prompt="Say: {q}")) == "Say: t1?"


def test_a_wording_that_turns_the_task_around() -> None:
    turned = Template(prompt="Ask what {answer} answers.", answer="{q}")
    (found,) = mixture([Task([example(1, choices=("no", "yes"))], (turned,))], 10, None, None, seed=0)
    assert (found.prompt, found.answer, found.choices) == ("Ask what yes answers.", "t1?", ())


def test_a_wording_does_not_see_the_answer_unless_it_asks_for_another() -> None:
    with pytest.raises(ConfigError, match=r"task 't', template 'Is it \{answer\}\?': has no 'answer'"):
        instruct(example(1), Template(prompt="Is it {answer}?"))


# --- few-shot (§4.4) -----------------------------------------------------------------------------


def test_exemplars_by_hand() -> None:
    shown = [("1+1?", "2"), ("2+2?", "4")]
    assert with_exemplars(shown, "3+3?", 100) == "1+1?\n2\n\n2+2?\n4\n\n3+3?"
    # Each exemplar takes 8 characters with the blank line after it, the question 4: 20 hold both, 19 one, 11 none.
    assert len(with_exemplars(shown, "3+3?", 20)) == 20
    assert with_exemplars(shown, "3+3?", 19) == "1+1?\n2\n\n3+3?"
    assert with_exemplars(shown, "3+3?", 11) == "3+3?"
    assert with_exemplars(shown, "3+3?", 1) == "3+3?"


@given(st.integers(1, 9), st.integers(1, 16), st.integers(0, 2**31))
def test_exemplars_are_others_of_the_same_task_with_their_answers(count: int, k: int, seed: int) -> None:
    answers = {f"{name}{n}?": ("no", "yes")[n % 2] for name in "ab" for n in range(count)}
    tasks = [task(count, "{q}", name=name) for name in "ab"]
    found = mixture(tasks, 3000, None, FewShot(exemplars=k, share=1.0, characters=10**6), seed)
    for one in found:
        *shown, question = one.prompt.split("\n\n")
        questions = [exemplar.split("\n")[0] for exemplar in shown]
        assert shown == [f"{other}\n{answers[other]}" for other in questions]
        assert len(set(questions)) == len(questions) == min(k, count - 1)
        assert question not in questions
        assert {other[0] for other in [*questions, question]} == {one.task}


def test_the_share_of_few_shot_prompts() -> None:
    # 1000 draws of 0.3: 300 ± 14.5; ± 5 deviations is 72.
    found = mixture([task(1000)], 3000, None, FewShot(exemplars=2, share=0.3), seed=1)
    assert 228 <= sum("\n\n" in one.prompt for one in found) <= 372


# --- one pass ------------------------------------------------------------------------------------


def test_a_pass_takes_each_tasks_quota() -> None:
    # min(n, 4) = 2, 4, so 12 are shared 4 : 8. The first task's two come twice, the second's eight of nine once.
    found = mixture([task(2, name="a"), task(9, name="b")], 4, 12, None, seed=3)
    assert Counter(one.task for one in found) == {"a": 4, "b": 8}
    assert Counter(asked_of(found[:4])) == {"a0?": 2, "a1?": 2}
    assert len(set(asked_of(found[4:]))) == 8
    assert len({one.id for one in found}) == 12


def test_an_epoch_goes_on_where_the_last_one_ended() -> None:
    # Nine examples, three a pass: three passes hold each once, the fourth is the first again, drawn anew.
    passes = [mixture([task(9, *(f"{n} {{q}}" for n in range(9)))], 3, None, None, 5, epoch) for epoch in range(4)]
    questions = [[one.prompt.split(" ")[1] for one in found] for found in passes]
    assert sorted(questions[0] + questions[1] + questions[2]) == [f"t{n}?" for n in range(9)]
    assert questions[3] == questions[0]
    assert not {one.id for one in passes[3]} & {one.id for one in passes[0]}


def test_the_draw_depends_on_the_seed_and_not_on_the_order_of_the_file() -> None:
    wordings = [f"{n} {{q}}" for n in range(10)]
    few = FewShot(exemplars=2, share=0.5)
    one = task(30, *wordings)
    first = mixture([one], 20, None, few, seed=1)
    assert mixture([Task(one.examples[::-1], one.templates)], 20, None, few, seed=1) == first
    assert mixture([one], 20, None, few, seed=2) != first
    assert {found.template for found in first} <= set(range(10))
    assert len({found.template for found in first}) > 3


def test_an_evaluation_asks_each_once_without_exemplars() -> None:
    wordings = ("0 {q}", Template(prompt="turned {answer}", answer="{q}"), "2 {q}")
    found = asked(task(40, *wordings), seed=0)
    assert [one.prompt.split(" ")[1] for one in found] == [f"t{n}?" for n in range(40)]
    assert all(one.prompt.startswith(f"{one.template} ") for one in found)
    assert {one.template for one in found} == {0, 2}
    with pytest.raises(ConfigError, match="templates of 't': each has an answer of its own; give one without"):
        asked(task(1, wordings[1]), seed=0)


# --- clusters (§2.2) -----------------------------------------------------------------------------

CLUSTERS = ("entailment", "paraphrase", "reading_comprehension", "common_sense", "read_comp_and_common_sense", "math")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("tasks")
    for cluster in CLUSTERS:
        rows = [{"q": f"{cluster} {n}?", "a": f"{cluster}!"} for n in range(12)]
        (found / f"{cluster}.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return found


def mixed(folder: Path, held_out: tuple[str, ...], **more: Any) -> tuple[Mixture, Mixed]:
    sources = tuple(
        Examples(path=str(folder / f"{name}.jsonl"), prompt="q", answer="a", task=name, cluster=name)
        for name in CLUSTERS
    )
    settings = Mixture(sources=sources, held_out=held_out, **more)
    return settings, load_mixture(settings, seed=4)


held_out_clusters = st.lists(st.sampled_from(CLUSTERS[:-1]), max_size=3, unique=True).map(tuple)


@settings(max_examples=25)
@given(held_out_clusters)
def test_a_held_out_cluster_and_its_neighbours_are_never_trained_on(folder: Path, held_out: tuple[str, ...]) -> None:
    chosen, found = mixed(folder, held_out, few_shot=FewShot(exemplars=3, share=1.0))
    assert {one.cluster for one in found.training} == set(CLUSTERS) - chosen.excluded
    text = "".join(one.prompt + one.answer for one in found.training)
    assert not [name for name in chosen.excluded if f"{name} " in text or f"{name}!" in text]
    # What is evaluated is what was held out; a neighbour is neither trained on nor evaluated.
    assert {cluster: len(ones) for cluster, ones in found.held_out.items()} == dict.fromkeys(held_out, 12)
    assert all(one.cluster == cluster for cluster, ones in found.held_out.items() for one in ones)


def test_validation_examples_are_in_no_training_prompt(folder: Path) -> None:
    _, found = mixed(folder, ("math",), validation=0.3, few_shot=FewShot(exemplars=8, share=1.0))
    lines = {line for one in found.training for line in one.prompt.split("\n")}
    assert found.validation
    assert not lines & {one.prompt for one in found.validation}
    assert len(found.validation) + len(found.training) == 12 * (len(CLUSTERS) - 1)
    assert [report.demonstrations for report in found.reports] == [12] * len(CLUSTERS)


def test_templates_of_the_source_go_before_those_of_the_file(folder: Path) -> None:
    path = folder / "templates.yaml"
    path.write_text("a: ['file {q}']\nb: ['file {q}']\n", encoding="utf-8")
    given: dict[str, Any] = {"path": str(folder / "math.jsonl"), "answer": "a"}
    own = (Template(prompt="own {q}"),)
    sources = (
        Examples(**given, prompt="q", task="a", templates=own),
        Examples(**given, prompt="q", task="b"),
        Examples(**given, prompt="q", task="c"),
        Examples(**given, prompt="Well: {q}", task="d"),
    )
    found = load_mixture(Mixture(sources=sources, templates=str(path)), seed=0).training
    starts = {(one.task, one.prompt.removesuffix("?").rstrip("0123456789")) for one in found}
    assert starts == {("a", "own math "), ("b", "file math "), ("c", "math "), ("d", "Well: math ")}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: []", "task 'a' has 0 templates; give a list of 1 to 10"),
        ("a: text", "task 'a' has 0 templates"),
        (f"a: [{', '.join('x' * 11)}]", "task 'a' has 11 templates"),
        ("a: [{promt: x}]", "task 'a' has a template that is neither text nor {prompt, answer}"),
        ("a: [12]", "task 'a' has a template that is neither text"),
    ],
)
def test_refused_templates(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "templates.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as error:
        load_templates(str(path))
    assert str(error.value).startswith(f"{path}: {message}")


# --- the templates of the repository, on real sets -----------------------------------------------

SETS: dict[str, dict[str, Any]] = {
    "hellaswag": {"path": "hellaswag_val", "prompt": "context", "choices": "choices", "cluster": "common_sense"},
    "piqa": {"path": "piqa_valid", "prompt": "goal", "choices": ("{sol1}", "{sol2}"), "cluster": "common_sense"},
    "boolq": {"path": "boolq_val_closedbook", "prompt": "question", "choices": ("no", "yes"), "label": "answer"},
    "openbookqa": {"path": "openbookqa_test", "prompt": "question", "choices": "choices"},
    "arc_easy": {"path": "arc_easy_test", "prompt": "question", "choices": "choices"},
    "arc_challenge": {"path": "arc_challenge_test", "prompt": "question", "choices": "choices"},
    "winogrande": {"path": "winogrande_val", "prompt": "question", "choices": "choices", "cluster": "coreference"},
    "ag": {
        "path": "textcls_4x1k", "prompt": "text", "only": {"source": "ag"}, "cluster": "topic",
        "choices": ("world", "sports", "business", "science and technology"),
    },
    **{
        name: {
            "path": "textcls_4x1k", "prompt": "text", "only": {"source": name}, "cluster": "sentiment",
            "choices": ("negative", "positive"),
        }
        for name in ("imdb", "yelp", "mr")
    },
    **{
        name: {
            "path": file, "prompt": "{premise} {hypothesis}", "choices": NLI, "cluster": "entailment",
            "labels": ("entailment", "neutral", "contradiction"),
        }
        for name, file in (
            ("snli", "snli_1k"), ("mnli_matched", "mnli_matched_1k"), ("mnli_mismatched", "mnli_mismatched_1k"),
        )
    },
}  # fmt: skip


def real(name: str, **more: Any) -> Examples:
    given = SETS[name]
    return Examples.model_validate({**given, "path": shared_data(given["path"]), "task": name, "limit": 40, **more})


def test_each_task_has_ten_wordings_of_its_own() -> None:
    assert set(load_templates(str(PROMPTS))) == set(SETS)
    for name, wordings in load_templates(str(PROMPTS)).items():
        assert len({one.prompt for one in wordings}) == 10, name
        assert 1 <= sum(bool(one.answer) for one in wordings) <= 3, name  # §2.1: up to three turn the task around


@pytest.mark.parametrize("name", SETS)
def test_every_wording_of_a_task_fills_from_its_set(name: str) -> None:
    found, _ = load_demonstrations(real(name))
    wordings = load_templates(str(PROMPTS))[name]
    for one in found:
        for template in wordings:
            prompt = instruct(one, template)
            turned = bool(template.answer)
            assert turned or all(f"\n- {choice}" in prompt for choice in one.choices)
            if turned:
                assert "answer" in fields_of(template.prompt)
                assert one.answer in prompt


def test_a_mixture_of_real_sets() -> None:
    sources = tuple(real(name) for name in SETS)
    chosen = Mixture(sources=sources, templates=str(PROMPTS), held_out=("entailment",), neighbours={}, cap=30)
    found = load_mixture(chosen, seed=0)
    # Fourteen sets, three of them held out; each of the eleven others gives min(40, 30).
    trained = set(SETS) - {"snli", "mnli_matched", "mnli_mismatched"}
    assert Counter(one.task for one in found.training) == dict.fromkeys(trained, 30)
    assert [len(ones) for ones in found.held_out.values()] == [120]
    assert all(one.choices == NLI and one.answer in NLI for one in found.held_out["entailment"])

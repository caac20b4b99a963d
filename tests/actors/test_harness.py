"""lm-eval's tasks through a real engine, against lm-eval's own Hugging Face backend and against transformers."""

import json
import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import PreTrainedModel

from actors.harness import Bridge, HarnessEngine, Wanted, harness_model
from jobs.grid.choices import NAMES, choice_scores_of
from jobs.grid.data import Question
from tests import house_rules
from tests.actors.examples import plain_logits, plain_logprobs, plain_model
from tests.tiny import TEXT
from truing.config.grid import ChoiceSet
from truing.config.roles import Engine, Model
from truing.config.supervised import Examples
from truing.data.chat import load_tokenizer
from truing.errors import ConfigError
from truing.evaluation.rank_classification import SCORES, Ranked, rank_accuracy

ROOT = Path(__file__).resolve().parents[2]
CONTEXT = 256
FITS = CONTEXT - 2
"""`Bridge.max_length`, told to lm-eval's backend too: both cut the same."""
CLOSE = 1e-3
"""Nats of a whole continuation: the engine's float32 kernels against transformers'."""
WORDS = TEXT.split()
NORMALISATIONS = tuple(SCORES)


@pytest.fixture(scope="module")
def folder(other_tiny: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A tiny model whose layers speak up, so that the likeliest token is no mere echo of the last one."""
    found = plain_model(other_tiny)
    with torch.no_grad():
        for layer in found.model.layers:
            layer.self_attn.o_proj.weight *= 16
            layer.mlp.down_proj.weight *= 16
    folder = tmp_path_factory.mktemp("speaking")
    found.save_pretrained(folder)
    load_tokenizer(other_tiny).save_pretrained(str(folder))
    return str(folder)


@pytest.fixture(scope="module")
def model(folder: str) -> PreTrainedModel:
    return plain_model(folder)


@pytest.fixture(scope="module")
def engine(folder: str) -> HarnessEngine:
    return HarnessEngine(folder, Model(path=folder, context=CONTEXT), Engine(cpus=1, dtype="float32", max_sequences=8))


@pytest.fixture
def bridge(engine: HarnessEngine, folder: str) -> Bridge:
    return Bridge(engine, load_tokenizer(folder), CONTEXT)


# --- tasks ------------------------------------------------------------------------------------------------------------


def sentence(seed: int, words: int) -> str:
    return " ".join(random.Random(seed).choices(WORDS, k=words))


def questions() -> list[dict[str, Any]]:
    """Choices of one token and of many, equal ones, ones that begin alike for longer than a block, one of other bytes."""
    rows = [
        {"q": f"{sentence(i, 3 + i)}?", "choices": ["1", "2", "no", sentence(90 + i, 3)], "gold": i % 4}
        for i in range(9)
    ]
    alike = sentence(7, 20)
    rows += [
        {"q": "Which is it?", "choices": [f"{alike} {end}" for end in ("1", "2", "the weekend")], "gold": 2},
        {"q": "Which one?", "choices": ["the same", "the same", "nö"], "gold": 1},
        {"q": sentence(8, 150), "choices": ["plants", "neighbour", "nö nö"], "gold": 0},
        {"q": "", "choices": ["note", "wastes no words"], "gold": 1},
    ]
    return rows


def task(name: str, output: str, rows: list[dict[str, Any]], home: Path, metrics: tuple[str, ...], **more: Any) -> Any:
    """A task of lm-eval over a JSONL file."""
    file = home / f"{name}.jsonl"
    file.write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    return {
        "task": name,
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": str(file)}, "cache_dir": str(home / "cache")},
        "test_split": "test",
        "output_type": output,
        "metric_list": [{"metric": metric} for metric in metrics],
        "metadata": {"version": 1.5},
        **more,
    }


@pytest.fixture(scope="module")
def tasks(tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    home = tmp_path_factory.mktemp("tasks")
    texts = [{"text": sentence(i, words)} for i, words in enumerate((4, 40, 260))]
    prompts = [{"q": sentence(20 + i, 4), "a": "no"} for i in range(6)] + [{"q": sentence(30, 150), "a": "no"}]
    until = {"until": [" the", "e"], "max_gen_toks": 16}
    return [
        task("choices", "multiple_choice", questions(), home, NORMALISATIONS,
             doc_to_text="{{q}}", doc_to_choice="{{choices}}", doc_to_target="{{gold}}"),
        task("texts", "loglikelihood_rolling", texts, home, ("word_perplexity",), doc_to_text="", doc_to_target="{{text}}"),
        task("answers", "generate_until", prompts, home, ("exact_match",),
             doc_to_text="{{q}}", doc_to_target="{{a}}", generation_kwargs=until),
    ]  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def quick() -> Iterator[None]:
    """lm-eval describes the machine beside its figures, for which it asks pip: seconds of each evaluation."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lm_eval.evaluator.add_env_info", lambda results: None)
        yield


def evaluated(model: Any, tasks: list[Any], **how: Any) -> dict[str, Any]:
    from lm_eval.evaluator import simple_evaluate
    from lm_eval.tasks import TaskManager

    manager = TaskManager(include_defaults=False)
    found = simple_evaluate(model=model, tasks=tasks, bootstrap_iters=0, task_manager=manager, **how)
    assert found is not None
    return dict(found)


def huggingface(folder: str, tasks: list[Any], **how: Any) -> dict[str, Any]:
    """lm-eval's own backend, one request at a time: padding would shift its cut."""
    arguments = {"pretrained": folder, "dtype": "float32", "max_length": FITS}
    return evaluated("hf", tasks, model_args=arguments, device="cpu", batch_size=1, **how)


@pytest.fixture(scope="module")
def ours(engine: HarnessEngine, folder: str, tasks: list[Any]) -> dict[str, Any]:
    bridge = Bridge(engine, load_tokenizer(folder), CONTEXT)
    found = evaluated(harness_model(bridge), tasks)
    return found | {"cut": bridge.cut, "asked": bridge.asked}


@pytest.fixture(scope="module")
def theirs(folder: str, tasks: list[Any]) -> dict[str, Any]:
    return huggingface(folder, tasks)


def replies(found: dict[str, Any], name: str) -> list[list[Any]]:
    """Of each item of a task, what was answered to each of its requests."""
    return [[reply[0] for reply in sample["resps"]] for sample in found["samples"][name]]


# --- against lm-eval's own backend ------------------------------------------------------------------------------------


def test_log_likelihoods_and_greediness_are_those_of_the_hugging_face_backend(
    ours: dict[str, Any], theirs: dict[str, Any]
) -> None:
    pairs = [
        (one, other)
        for mine, right in zip(replies(ours, "choices"), replies(theirs, "choices"), strict=True)
        for one, other in zip(mine, right, strict=True)
    ]
    # 13 questions: 9 of 4 choices, 3 of 3, one of 2; and each choice once more without its question.
    assert len(pairs) == 2 * (9 * 4 + 3 * 3 + 2)
    for (mine, greedy), (right, theirs_greedy) in pairs:
        assert mine == pytest.approx(right, abs=CLOSE)
        assert greedy == theirs_greedy
    assert len({round(mine, 2) for (mine, _), _ in pairs}) > 40


def test_accuracies_and_versions_are_those_of_the_hugging_face_backend(
    ours: dict[str, Any], theirs: dict[str, Any]
) -> None:
    for name in NORMALISATIONS:
        assert ours["results"]["choices"][f"{name},none"] == theirs["results"]["choices"][f"{name},none"]
        for mine, right in zip(ours["samples"]["choices"], theirs["samples"]["choices"], strict=True):
            assert mine[name] == right[name], (name, mine["doc"])
    assert ours["versions"] == {"choices": 1.5, "texts": 1.5, "answers": 1.5}


def test_whole_texts_are_read_in_the_same_windows(ours: dict[str, Any], theirs: dict[str, Any], folder: str) -> None:
    tokenizer: Any = load_tokenizer(folder)
    lengths = [len(tokenizer.encode(sample["doc"]["text"])) for sample in ours["samples"]["texts"]]
    assert lengths[1] < FITS < 2 * FITS < lengths[2]
    mine, right = ([reply for (reply,) in replies(found, "texts")] for found in (ours, theirs))
    assert mine == pytest.approx(right, abs=CLOSE)


def test_greedy_answers_are_the_same(ours: dict[str, Any], theirs: dict[str, Any]) -> None:
    mine, right = ([reply for (reply,) in replies(found, "answers")] for found in (ours, theirs))
    assert mine == right
    assert len(set(mine)) > 3
    assert not any("e" in text for text in mine)


def test_what_is_cut_is_counted(ours: dict[str, Any]) -> None:
    # Three choices after a question that is too long, and a prompt that is; windows are made to fit. 94 choices, 7 prompts,
    # and the windows: one of each short text, and of the long one as many as its tokens need.
    assert ours["cut"] == 4
    assert ours["asked"] > 94 + 7 + 2 + 2


def test_chat_templates_make_the_same_figures(engine: HarnessEngine, folder: str, tasks: list[Any]) -> None:
    choices = [tasks[0] | {"description": "Answer in one word.", "num_fewshot": 1, "fewshot_split": "test"}]
    bridge = Bridge(engine, load_tokenizer(folder), CONTEXT)
    how: dict[str, Any] = {"apply_chat_template": True, "limit": 5}
    mine = evaluated(harness_model(bridge), choices, **how)
    right = huggingface(folder, choices, **how)
    (sample, *_) = mine["samples"]["choices"]
    assert sample["arguments"][0][0].startswith("<|begin|><|im_start|>system\nAnswer in one word.")
    for one, other in zip(replies(mine, "choices"), replies(right, "choices"), strict=True):
        assert [value for value, _ in one] == pytest.approx([value for value, _ in other], abs=CLOSE)


# --- against rank classification --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NORMALISATIONS)
def test_rank_classification_says_exactly_the_same(ours: dict[str, Any], name: Any) -> None:
    items: list[Ranked] = []
    for sample in ours["samples"]["choices"]:
        choices = tuple(sample["doc"]["choices"])
        found = [reply[0][0] for reply in sample["resps"]]
        given, alone = tuple(found[: len(choices)]), tuple(found[len(choices) :])
        items.append(Ranked(choices, given, frozenset({sample["doc"]["gold"]}), unconditional=alone))
    accuracy = rank_accuracy(items, name, seed=0)
    assert accuracy.accuracy.value == ours["results"]["choices"][f"{name},none"]
    assert accuracy.accuracy.n == ours["n-samples"]["choices"]["effective"] == 13
    assert accuracy.missing == 0


def test_the_normalisations_differ_on_these_items(ours: dict[str, Any]) -> None:
    hits = {name: tuple(sample[name] for sample in ours["samples"]["choices"]) for name in NORMALISATIONS}
    assert len(set(hits.values())) >= 3
    assert all(0 < sum(found) < 13 for found in hits.values())


# --- the engine's continuations ---------------------------------------------------------------------------------------


def drawn(seed: int, length: int) -> list[int]:
    return [random.Random(seed * 1000 + i).randrange(5, 320) for i in range(length)]


def likeliest(model: PreTrainedModel, context: list[int], length: int) -> list[int]:
    tokens: list[int] = []
    for _ in range(length):
        tokens.append(int(plain_logits(model, context + tokens, [0]).argmax()))
    return tokens


def test_continuations_are_scored_in_order_with_their_greediness(engine: HarnessEngine, model: PreTrainedModel) -> None:
    # Contexts of one token, of less and of more than a block of 32, some of them shared.
    contexts = [drawn(i, length) for i, length in enumerate((1, 5, 31, 32, 33, 70, 200))]
    pairs: list[tuple[list[int], list[int]]] = []
    for i, context in enumerate(contexts):
        best = likeliest(model, context, 3)
        pairs += [(context, best), (context, [*best[:2], (best[2] + 1) % 300]), (context, drawn(50 + i, 1 + 6 * i))]
    random.Random(1).shuffle(pairs)
    for (context, continuation), found in zip(pairs, engine.score(pairs), strict=True):
        assert found.logprob == pytest.approx(sum(plain_logprobs(model, context, continuation)), abs=CLOSE)
        best = [int(row.argmax()) for row in plain_logits(model, context, continuation)]
        assert found.greedy == (best == continuation)
    assert sum(found.greedy for found in engine.score(pairs)) == len(contexts)


def test_what_the_cache_holds_of_a_continuation_changes_nothing(engine: HarnessEngine) -> None:
    # Three blocks of 32: all of the first asking's are in the cache when it comes again, and no log-probs with them.
    pair = (drawn(60, 10), drawn(61, 100))
    first, again, both = engine.score([pair]), engine.score([pair]), engine.score([pair, (pair[0], pair[1][:90])])
    assert again[0].logprob == pytest.approx(first[0].logprob, abs=CLOSE)
    assert both[0].logprob == pytest.approx(first[0].logprob, abs=CLOSE)
    assert both[1].logprob > first[0].logprob


def test_a_shared_context_is_read_once(folder: str, engine: HarnessEngine) -> None:
    read, cached = engine._engine._read, engine._engine._cached
    context = drawn(62, 200)
    engine.score([(context, drawn(70 + i, 4)) for i in range(8)])
    # Six whole blocks of 32 of the context, by each but the first.
    assert engine._engine._cached - cached >= 7 * 192
    assert engine._engine._read - read == 8 * 204


def test_nothing_asked_is_nothing_answered(bridge: Bridge) -> None:
    assert bridge.score([]) == []
    assert bridge.write([]) == []
    assert bridge.rolling([]) == []


# --- what a task may ask for ------------------------------------------------------------------------------------------

SAMPLED = {"until": [], "max_gen_toks": 12, "do_sample": True, "temperature": 1.0, "top_p": 0.95}


def test_repetitions_of_a_sampled_answer_differ_and_a_run_repeats_itself(bridge: Bridge) -> None:
    asked = [("Please write", SAMPLED), ("Please write", SAMPLED), ("Which", SAMPLED)]
    first = bridge.write(asked)
    assert first[0] != first[1]
    assert bridge.write(asked) == first


def test_an_answer_has_as_many_tokens_as_it_may(engine: HarnessEngine, model: PreTrainedModel) -> None:
    prompt = drawn(3, 9)
    answers = engine.write([Wanted(prompt, [], length, 0.0, 0, {}) for length in (9, 3)])
    assert answers == [likeliest(model, prompt, 9), likeliest(model, prompt, 3)]


def test_an_answer_is_written_no_further_than_to_its_end(
    engine: HarnessEngine, model: PreTrainedModel, folder: str
) -> None:
    tokenizer = load_tokenizer(folder)
    begun = ((prompt, likeliest(model, prompt, 1)) for prompt in (drawn(seed, 9) for seed in range(50)))
    prompt, first = next((prompt, first) for prompt, first in begun if tokenizer.decode(first).strip().isascii())
    asked = Wanted(prompt, [tokenizer.decode(first)], 9, 0.0, 0, {})
    assert engine.write([asked, replace(asked, until=["not that"])]) == [first, likeliest(model, prompt, 9)]


def test_a_text_that_begins_with_the_bos_gets_no_second_one(bridge: Bridge) -> None:
    assert bridge.encode("<|begin|>Why") == bridge.encode("Why") == [bridge.prefix, *bridge.encode("Why", False)]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (
            {"max_gen_toks": FITS},
            f"a task asks for {FITS} new tokens, and {FITS} fit with their context; raise model.context",
        ),
        ({"num_beams": 4}, "a task asks for beam search, which the engine does not do"),
        ({"length_penalty": 1.0, "top_a": 1}, "a task asks for length_penalty, top_a, which the engine does not do"),
    ],
)
def test_what_cannot_be_written_is_refused(bridge: Bridge, arguments: dict[str, Any], expected: str) -> None:
    with pytest.raises(ConfigError, match=f"^harness: {expected}"):
        bridge.write([("Why", arguments)])


def test_what_cannot_be_scored_is_refused(bridge: Bridge) -> None:
    with pytest.raises(ConfigError, match=r"^harness: a task asks for a continuation without a token, after 'Why'"):
        bridge.score([(bridge.encode("Why", False), [])])
    message = f"^harness: a task asks for a continuation of {FITS + 1} tokens, and {FITS} fit; raise model.context$"
    with pytest.raises(ConfigError, match=message):
        bridge.score([([1], drawn(1, FITS + 1))])
    # One that just fits keeps one token of its context.
    assert len(bridge.score([([1, 7, 8], drawn(1, FITS))])) == 1
    assert bridge.cut == 1


def test_a_template_without_a_system_turn_leaves_it_out_and_counts_it(engine: HarnessEngine, folder: str) -> None:
    tokenizer: Any = load_tokenizer(folder)
    refusing = "{% if messages[0].role == 'system' %}{{ raise_exception('no system') }}{% endif %}"
    tokenizer.chat_template = refusing + tokenizer.chat_template
    bridge = Bridge(engine, tokenizer, CONTEXT)
    turns = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Why?"}]
    assert bridge.conversation(turns[1:], True) == bridge.conversation(turns, True)
    assert bridge.unsaid == 1


def test_lm_eval_is_loaded_where_a_bridge_is_made_alone() -> None:
    loaded = house_rules.modules_loaded_by(("actors.harness",), ROOT)
    assert "actors" in loaded
    assert "lm_eval" not in loaded


@pytest.mark.parametrize("name", NORMALISATIONS)
def test_a_grid_says_exactly_the_same_of_the_same_items(
    ours: dict[str, Any], engine: HarnessEngine, folder: str, name: Any
) -> None:
    asked = [
        Question(str(i), "", row["q"], choices=tuple(row["choices"]), right=row["gold"])
        for i, row in enumerate(questions())
    ]
    data = ChoiceSet(name="choices", examples=Examples(path="", choices=("a", "b")), mutual_information=True)
    bridge = Bridge(engine, load_tokenizer(folder), CONTEXT)
    scores = choice_scores_of(bridge, "tiny", data, asked)
    mine = {score.item: score.value for score in scores if score.metric == NAMES[name]}
    right = {str(sample["doc_id"]): sample[name] for sample in ours["samples"]["choices"]}
    assert mine == right
    assert set(mine.values()) == {0.0, 1.0}

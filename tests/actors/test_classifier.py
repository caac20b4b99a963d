from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    BartConfig,
    BartForSequenceClassification,
    BertConfig,
    BertModel,
    LlamaConfig,
    LlamaForSequenceClassification,
    RobertaConfig,
    RobertaForSequenceClassification,
)

from actors.classifier import MULTI_LABEL, Classifier
from tests.actors.encoders import MNLI, PAD, POSITIONS, SEP, SIZES, VOCABULARY, save, save_bert_classifier
from tests.actors.examples import SCORER
from truing.errors import ConfigError
from truing.evaluation.nli import nli_diversity

TEXTS = ["the cat sat", "", "a wheel turns on the mat, not the dog!", "你好世界", "x", "the cat sat", "  \n"]
PAIRS = [("the cat sat", "the cat sat not"), ("", "dog"), ("你好", "the wheel turns on and on"), ("dog", "")]


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> str:
    return save_bert_classifier(tmp_path_factory.mktemp("bert"))


@torch.no_grad()
def plain_logits(folder: str, *texts: str) -> torch.Tensor:
    """As transformers alone has them: one text or pair, no padding. In lists: a bare empty second text makes no pair."""
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    tokens = AutoTokenizer.from_pretrained(folder)(*([text] for text in texts), return_tensors="pt")
    return model(**tokens).logits[0]


def classifier(folder: str, budget: int = 2048, max_tokens: int = 512) -> Classifier:
    return Classifier(folder, SCORER.model_copy(update={"token_budget": budget}), max_tokens)


@pytest.mark.parametrize("budget", [10**6, 64, 1])
def test_it_is_the_softmax_of_the_plain_model_in_the_asked_order(bert: str, budget: int) -> None:
    found = classifier(bert, budget).probabilities(TEXTS)
    expected = [plain_logits(bert, text).softmax(-1).tolist() for text in TEXTS]
    np.testing.assert_allclose(found, expected, atol=1e-5)
    # Texts that differ have answers that do, and each is a distribution.
    assert np.abs(np.array(found[0]) - found[2]).max() > 0.01
    assert np.sum(found, axis=1) == pytest.approx([1.0] * len(TEXTS))


@pytest.mark.parametrize("budget", [10**6, 1])
def test_a_pair_is_what_the_tokenizer_makes_of_two_texts(bert: str, budget: int) -> None:
    model = classifier(bert, budget)
    found = model.pair_probabilities(PAIRS)
    np.testing.assert_allclose(found, [plain_logits(bert, *pair).softmax(-1).tolist() for pair in PAIRS], atol=1e-5)
    # Which of the two is the premise matters: nothing is symmetric here.
    swapped = model.pair_probabilities([(second, first) for first, second in PAIRS])
    assert np.abs(np.array(found) - swapped).max(axis=1).min() > 1e-3


def test_an_answer_does_not_depend_on_what_is_asked_beside_it(bert: str) -> None:
    model = classifier(bert)
    together = model.probabilities(TEXTS)
    np.testing.assert_allclose(together, [model.probabilities([text])[0] for text in TEXTS], atol=1e-5)
    np.testing.assert_allclose(together[::-1], model.probabilities(TEXTS[::-1]), atol=1e-5)
    assert model.probabilities([]) == []
    assert model.pair_probabilities([]) == []


def test_what_is_too_long_is_cut_and_counted(bert: str) -> None:
    model = classifier(bert)
    longest = "a " * (POSITIONS - 2)
    long, spoken = "a " * 50_000, "the cat sat on " * 7000
    found = model.probabilities([long, "dog", spoken, longest])
    # One token a word, and [CLS] and [SEP]: `longest` is just within.
    assert model.truncated == 2
    np.testing.assert_allclose(found[0], found[3], atol=1e-5)
    np.testing.assert_allclose(found[2], model.probabilities([spoken[:400]])[0], atol=1e-5)
    assert model.truncated == 3
    # Of a pair the longer loses its end: the other is whole.
    (pair,) = model.pair_probabilities([("the cat", long)])
    assert model.truncated == 4
    np.testing.assert_allclose(pair, plain_logits(bert, "the cat", "a " * (POSITIONS - 5)).softmax(-1), atol=1e-5)
    shorter = classifier(bert, max_tokens=10)
    np.testing.assert_allclose(shorter.probabilities([long])[0], model.probabilities(["a " * 8])[0], atol=1e-5)


def test_labels_that_are_not_exclusive_have_a_sigmoid_each(tmp_path: Path) -> None:
    folder = save_bert_classifier(tmp_path, {0: "toxic", 1: "insult"}, problem_type=MULTI_LABEL)
    model = classifier(folder)
    assert model.id2label == {0: "toxic", 1: "insult"}
    found = model.probabilities(TEXTS)
    np.testing.assert_allclose(found, [plain_logits(folder, text).sigmoid().tolist() for text in TEXTS], atol=1e-5)
    one = save_bert_classifier(tmp_path / "one", {0: "toxic"}, problem_type=MULTI_LABEL)
    assert len(classifier(one).probabilities(["x"])[0]) == 1


def test_the_answers_are_those_that_nli_diversity_takes(bert: str) -> None:
    model = classifier(bert)
    assert model.id2label == MNLI
    rows = model.pair_probabilities([("dog", "cat"), ("cat", "dog")])
    # r = s(i, j) + s(j, i), each the weight of the likeliest label times its probability.
    signed = [max(row) * (1, 0, -1)[row.index(max(row))] for row in rows]
    assert nli_diversity(rows, model.id2label) == pytest.approx(sum(signed))


def test_text_that_spells_a_special_token_is_plain_text(bert: str) -> None:
    model = classifier(bert)
    forged = model.probabilities(["cat [SEP] dog [PAD]"])[0]
    spaced = model.probabilities(["cat [ SEP ] dog [ PAD ]"])[0]
    np.testing.assert_allclose(forged, spaced, atol=1e-5)
    assert np.abs(np.array(forged) - plain_logits(bert, "cat [SEP] dog [PAD]").softmax(-1).numpy()).max() > 1e-3


# --- other architectures ----------------------------------------------------------------------------------------------


def test_roberta_has_fewer_positions_than_its_config_says(tmp_path: Path) -> None:
    # Positions begin at padding + 1 = 1: of 21, 20 are for tokens.
    config = RobertaConfig(**SIZES, max_position_embeddings=21, pad_token_id=PAD, type_vocab_size=2, id2label=MNLI)
    folder = save(RobertaForSequenceClassification, config, tmp_path)
    model = classifier(folder)
    found = model.probabilities(["a " * 50, "a " * 18, "the cat"])
    assert model.truncated == 1
    np.testing.assert_allclose(found[0], found[1], atol=1e-5)
    np.testing.assert_allclose(found[2], plain_logits(folder, "the cat").softmax(-1), atol=1e-5)


@pytest.mark.parametrize("pad", [PAD, None])
def test_a_causal_model_reads_its_last_token_with_padding_or_without(tmp_path: Path, pad: int | None) -> None:
    config = LlamaConfig(**SIZES, max_position_embeddings=POSITIONS, pad_token_id=pad, id2label=MNLI)
    folder = save(LlamaForSequenceClassification, config, tmp_path)
    found = classifier(folder).probabilities(["the cat sat on the mat", "dog", ""])
    tokens = [[*map(VOCABULARY.get, ["[CLS]", *text, "[SEP]"])] for text in (["the", "cat"], ["dog"], [])]
    tokens[0][3:3] = [VOCABULARY[word] for word in ("sat", "on", "the", "mat")]
    plain = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    with torch.no_grad():
        expected = [plain(torch.tensor([row])).logits[0].softmax(-1).tolist() for row in tokens]
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_an_encoder_with_a_decoder_reads_texts_that_spell_its_end(tmp_path: Path) -> None:
    # It takes the state of the last [SEP], and refuses a batch of texts with unequal numbers of them.
    config = BartConfig(
        vocab_size=len(VOCABULARY), d_model=32, encoder_layers=1, decoder_layers=1, encoder_attention_heads=4,
        decoder_attention_heads=4, encoder_ffn_dim=48, decoder_ffn_dim=48, max_position_embeddings=POSITIONS,
        pad_token_id=PAD, eos_token_id=SEP, decoder_start_token_id=SEP, bos_token_id=SEP, id2label=MNLI,
    )  # fmt: skip
    folder = save(BartForSequenceClassification, config, tmp_path)
    found = classifier(folder).probabilities(["the cat", "cat [SEP] dog"])
    np.testing.assert_allclose(found[0], plain_logits(folder, "the cat").softmax(-1), atol=1e-5)


# --- what is no classifier --------------------------------------------------------------------------------------------


def test_a_folder_that_is_no_classifier_is_refused(tmp_path: Path, tiny: str) -> None:
    message = (
        rf"model {tmp_path}: is not a sequence-classification model that can be loaded \(.+\); give a Hub name, or"
    )
    with pytest.raises(ConfigError, match=message):
        classifier(str(tmp_path))
    (tmp_path / "config.json").write_text('{"model_type": "no-such-model"}')
    with pytest.raises(ConfigError, match=message):
        classifier(str(tmp_path))
    with pytest.raises(ConfigError, match=r"it has no weights for score\.weight; give a model that was trained"):
        classifier(tiny)


def test_a_head_that_nobody_trained_is_refused(tmp_path: Path) -> None:
    # transformers would draw it at random, and warn.
    folder = save(BertModel, BertConfig(**SIZES, pad_token_id=PAD), tmp_path)
    with pytest.raises(ConfigError, match=r"it has no weights for classifier\.bias and 1 more; give a model that"):
        classifier(folder)


def test_pickled_weights_are_not_read(tmp_path: Path) -> None:
    folder = save_bert_classifier(tmp_path)
    (tmp_path / "model.safetensors").rename(tmp_path / "pytorch_model.bin")
    with pytest.raises(
        ConfigError, match=r"give a Hub name, or a folder that save_pretrained wrote, with \*.safetensors"
    ):
        classifier(folder)


@pytest.mark.parametrize("settings", [{"labels": {0: "score"}}, {"labels": MNLI, "problem_type": "regression"}])
def test_a_regression_has_no_probabilities(tmp_path: Path, settings: dict) -> None:
    with pytest.raises(ConfigError, match="give a model of two labels or more"):
        classifier(save_bert_classifier(tmp_path, **settings))

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModel, AutoTokenizer, BertConfig, BertModel, T5Config, T5Model

from actors.token_vectors import TokenVectors
from tests.actors.encoders import CLS, PAD, POSITIONS, SEP, SIZES, VOCABULARY, save
from tests.actors.examples import SCORER
from truing.errors import ConfigError
from truing.evaluation.bertscore import greedy_match

TEXTS = ["the cat sat", "", "a wheel turns on the mat, not the dog!", "你好世界", "x", "the cat sat"]


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Stored without a pooler, as many encoders are."""
    config = BertConfig(**SIZES, max_position_embeddings=POSITIONS, pad_token_id=PAD)
    return save(BertModel, config, tmp_path_factory.mktemp("bert"), add_pooling_layer=False)


@torch.no_grad()
def plain_states(folder: str, text: str, layer: int) -> np.ndarray:
    """As transformers alone has them: one text, no padding."""
    tokens = AutoTokenizer.from_pretrained(folder)(text, return_tensors="pt")
    model = AutoModel.from_pretrained(folder).eval()
    return model(**tokens, output_hidden_states=True).hidden_states[layer][0].numpy()


@pytest.mark.parametrize("budget", [10**6, 64, 1])
@pytest.mark.parametrize("layer", [None, 0, 1, 3])
def test_they_are_the_hidden_states_of_the_plain_model(bert: str, budget: int, layer: int | None) -> None:
    settings = SCORER.model_copy(update={"token_budget": budget})
    found = TokenVectors(bert, settings, layer).vectors(TEXTS)
    for text, one in zip(TEXTS, found, strict=True):
        expected = plain_states(bert, text, 3 if layer is None else layer)
        np.testing.assert_allclose(one.vectors, expected, atol=1e-5)
        assert one.vectors.dtype == np.float32
        assert one.vectors.shape == (len(one.tokens), 32)


def test_special_tokens_weigh_nothing_unless_the_text_spells_them(bert: str) -> None:
    plain, empty, spelt = TokenVectors(bert, SCORER).vectors(["the cat", "", "[SEP]"])
    assert plain.tokens == (CLS, VOCABULARY["the"], VOCABULARY["cat"], SEP)
    assert plain.weights.tolist() == [0, 1, 1, 0]
    assert (empty.tokens, empty.weights.tolist()) == ((CLS, SEP), [0, 0])
    # "[", "sep" in letters, "]".
    assert spelt.weights.tolist() == [0, 1, 1, 1, 1, 1, 0]
    assert spelt.tokens.count(SEP) == 1


def test_a_text_is_most_like_itself(bert: str) -> None:
    model = TokenVectors(bert, SCORER)
    one, other = model.vectors(["the cat sat", "the dog sat"])
    assert greedy_match(one.vectors, one.vectors, answer_weights=one.weights).f == pytest.approx(1)
    found = greedy_match(one.vectors, other.vectors, answer_weights=one.weights, reference_weights=other.weights)
    assert found.f < 0.999
    assert model.vectors([]) == []


def test_what_is_too_long_is_cut_and_counted(bert: str) -> None:
    model = TokenVectors(bert, SCORER)
    long, short = model.vectors(["a " * 50_000, "a " * (POSITIONS - 2)])
    assert model.truncated == 1
    assert long.tokens == short.tokens
    np.testing.assert_allclose(long.vectors, short.vectors, atol=1e-5)
    assert len(TokenVectors(bert, SCORER, max_tokens=9).vectors(["a " * 50])[0].tokens) == 9


def test_a_tokenizer_that_adds_nothing_gives_an_empty_text_a_token_of_no_weight(tmp_path: Path, bert: str) -> None:
    folder = save(BertModel, BertConfig(**SIZES, pad_token_id=PAD), tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(bert)
    tokenizer.backend_tokenizer.post_processor = None
    tokenizer.save_pretrained(folder)
    with pytest.raises(ConfigError, match="gives an empty text no token, and names no BOS or EOS"):
        TokenVectors(folder, SCORER).vectors(["cat", ""])
    tokenizer.eos_token = "[SEP]"
    tokenizer.save_pretrained(folder)
    cat, empty = TokenVectors(folder, SCORER).vectors(["cat", ""])
    assert (cat.tokens, cat.weights.tolist()) == ((VOCABULARY["cat"],), [1])
    assert (empty.tokens, empty.weights.tolist()) == ((SEP,), [0])


def test_what_is_no_encoder_is_refused(tmp_path: Path, bert: str) -> None:
    with pytest.raises(
        ConfigError, match=rf"model {tmp_path}: is not an encoder that can be loaded \(.+\); give a Hub"
    ):
        TokenVectors(str(tmp_path), SCORER)
    for layer in (-1, 4):
        with pytest.raises(ConfigError, match=rf"has 3 layers, and layer is {layer}; give one from 0 to 3"):
            TokenVectors(bert, SCORER, layer)
    config = T5Config(vocab_size=len(VOCABULARY), d_model=16, d_kv=8, d_ff=16, num_layers=1, num_heads=2)
    with pytest.raises(ConfigError, match="is an encoder with a decoder; give an encoder alone"):
        TokenVectors(save(T5Model, config, tmp_path / "t5"), SCORER)

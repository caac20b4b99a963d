from pathlib import Path

import pytest
from transformers import AutoModel, BertConfig, BertModel, LlamaConfig, LlamaModel

from actors.encoding import Reader, load_network
from tests.actors.encoders import CLS, PAD, SEP, SIZES, VOCABULARY, save
from tests.actors.examples import SCORER
from truing.errors import ConfigError

TEXTS = ["a " * n for n in (3, 20, 1, 7, 6, 20, 0, 2)]


def reader(folder: str, budget: int) -> Reader:
    settings = SCORER.model_copy(update={"token_budget": budget})
    return Reader(load_network(AutoModel, folder, "an encoder"), folder, settings, 512)


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> str:
    return save(BertModel, BertConfig(**SIZES, pad_token_id=PAD), tmp_path_factory.mktemp("bert"))


@pytest.mark.parametrize("budget", [10**6, 64, 24, 1])
def test_batches_hold_every_text_once_within_the_budget(bert: str, budget: int) -> None:
    model = reader(bert, budget)
    batches = list(model.batches(model.encode(TEXTS)))
    assert sorted(at for group, _ in batches for at in group) == list(range(len(TEXTS)))
    for group, batch in batches:
        ids, mask = batch["input_ids"], batch["attention_mask"]
        assert len(group) == 1 or ids.numel() <= budget
        # [CLS], the words, [SEP], then padding that nobody looks at.
        lengths = [len(TEXTS[at].split()) + 2 for at in group]
        assert mask.sum(1).tolist() == lengths
        assert ids.shape[1] == max(lengths)
        for row, seen, length in zip(ids.tolist(), mask.tolist(), lengths, strict=True):
            assert row == [CLS, *[VOCABULARY["a"]] * (length - 2), SEP, *[PAD] * (len(row) - length)]
            assert seen == [1] * length + [0] * (len(row) - length)
    # Longest first: what does not fit in memory fails at once.
    sizes = [batch["input_ids"].shape[1] for _, batch in batches]
    assert sizes == sorted(sizes, reverse=True)
    assert len(batches) == {10**6: 1, 64: 3, 24: 5, 1: 8}[budget]


def test_a_network_that_knows_no_padding_reads_one_at_a_time(tmp_path: Path) -> None:
    model = reader(save(LlamaModel, LlamaConfig(**SIZES, pad_token_id=None), tmp_path), 10**6)
    batches = list(model.batches(model.encode(TEXTS)))
    assert [len(group) for group, _ in batches] == [1] * len(TEXTS)
    # Nor does it know a second text.
    assert set(batches[0][1]) == {"input_ids", "attention_mask"}


def test_weights_that_are_not_stored_are_refused_unless_they_are_not_used(tmp_path: Path) -> None:
    folder = save(BertModel, BertConfig(**SIZES, pad_token_id=PAD), tmp_path, add_pooling_layer=False)
    with pytest.raises(
        ConfigError, match=r"it has no weights for pooler\.dense\.bias and 1 more; give a model that was"
    ):
        load_network(AutoModel, folder, "an encoder")
    assert load_network(AutoModel, folder, "an encoder", unused="pooler").config.hidden_size == 32

"""Encoders and classifiers small enough for a test: real architectures, random weights, a WordPiece tokenizer of single letters."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
WORDS = ["the", "cat", "dog", "sat", "on", "mat", "wheel", "turns", "not"]
LETTERS = [*"abcdefghijklmnopqrstuvwxyz0123456789.,!?[]你好世界é"]
VOCABULARY = {
    token: i for i, token in enumerate([*SPECIAL, *WORDS, *LETTERS, *(f"##{letter}" for letter in LETTERS)])
}  # fmt: skip
PAD, UNK, CLS, SEP = range(4)
POSITIONS = 48

MNLI = {0: "CONTRADICTION", 1: "NEUTRAL", 2: "ENTAILMENT"}


def letter_tokenizer() -> PreTrainedTokenizerFast:
    """A few words, and single letters for the rest: a word of n letters is n tokens. `[CLS] a [SEP]`, `[CLS] a [SEP] b [SEP]`."""
    tokenizer = Tokenizer(models.WordPiece(VOCABULARY, unk_token=SPECIAL[UNK]))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", CLS), ("[SEP]", SEP)],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        **dict(zip(("pad_token", "unk_token", "cls_token", "sep_token"), SPECIAL, strict=True)),
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
    )


SIZES: dict[str, Any] = {
    "vocab_size": len(VOCABULARY),
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 48,
}


def save(kind: Callable[..., PreTrainedModel], config: PreTrainedConfig, folder: Path, **options: Any) -> str:
    """A model of this kind and its tokenizer. Its matrices are large at random, so that its answers are not all alike."""
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        model = kind(config, **options)
        for weight in model.parameters():
            if weight.dim() > 1:
                weight.mul_(15)
    model.save_pretrained(folder)
    letter_tokenizer().save_pretrained(folder)
    return str(folder)


def save_bert_classifier(folder: Path, labels: dict[int, str] = MNLI, **settings: Any) -> str:
    """A BERT of three layers with a random head."""
    config = BertConfig(
        **SIZES, max_position_embeddings=POSITIONS, pad_token_id=PAD, id2label=labels,
        label2id={label: i for i, label in labels.items()}, **settings,
    )  # fmt: skip
    return save(BertForSequenceClassification, config, folder)

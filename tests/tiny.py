"""A language model small enough for a test: real tokenizer, real chat template, real Llama, random weights.

The tokenizer is the hard case on purpose: `encode` puts a BOS in front, and the chat template writes one of its own.
"""

from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

BOS, EOS, PAD, START, END = "<|begin|>", "<|end|>", "<|pad|>", "<|im_start|>", "<|im_end|>"
VOCABULARY = 320
"""256 bytes, 5 control tokens, and merges of what is frequent in `TEXT`."""
CONTEXT = 4096
"""Longest sequence: byte-level tokens are short, so a judge's prompt has many."""

TEXT = """The better response answers what was asked, is correct, is specific, and wastes no words.
Which response is better, 1 or 2? Preferred Response=1. How good is the response, from 1 to 10? Score=7.
Please write a short note to the neighbour who waters the plants while we are away for the weekend."""

CHAT_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}"
    "<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def tiny_tokenizer() -> PreTrainedTokenizerFast:
    """Byte-level BPE of 320 tokens: any text can be encoded, every digit is a token of its own, `<|im_end|>` is EOS."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[PAD, BOS, EOS, START, END],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator([TEXT], trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{BOS} $A", pair=f"{BOS} $A $B", special_tokens=[(BOS, tokenizer.token_to_id(BOS))]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=BOS,
        eos_token=END,
        pad_token=PAD,
        additional_special_tokens=[START, EOS],
        chat_template=CHAT_TEMPLATE,
        clean_up_tokenization_spaces=False,
        model_max_length=4096,
    )


def save_tiny_llama(folder: Path, *, seed: int = 0, dtype: torch.dtype = torch.float32, tied: bool = True) -> Path:
    """A random Llama (2 layers, width 128, heads of 32: a size that vLLM's CPU attention has) and its tokenizer.

    `tied`: the LM head is the embedding. Returns `folder`, which transformers and vLLM load as any model. One seed gives
    one set of weights.
    """
    tokenizer = tiny_tokenizer()
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=128,
        intermediate_size=256,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=32,
        max_position_embeddings=4096,
        tie_word_embeddings=tied,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        dtype=dtype,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = LlamaForCausalLM(config).to(dtype)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder

"""Text to token ids: the one place where a prompt becomes tokens."""

from collections.abc import Callable
from typing import Protocol, cast

from truing.errors import ConfigError


class Tokenizer(Protocol):
    """The part of a Hugging Face tokenizer that is used here."""

    chat_template: str | None
    eos_token_id: int

    def apply_chat_template(self, conversation: list[dict[str, str]], **options: bool) -> list[int]:
        """Token ids of a conversation."""
        ...

    def encode(self, text: str, add_special_tokens: bool = True) -> list[int]:
        """Token ids of a text."""
        ...

    def save_pretrained(self, save_directory: str) -> object:
        """Write the tokenizer's files."""
        ...

    def decode(self, token_ids: list[int], skip_special_tokens: bool = False) -> str:
        """Text of token ids."""
        ...


def prompt_tokens(tokenizer: Tokenizer, text: str, system: str = "", answer: str = "") -> list[int]:
    """Token ids up to where the answer begins.

    With a chat template: the template's own special tokens, once (no second BOS), then `answer` as the first words of
    the assistant's turn. Without one: system, text and answer as plain text, with the tokenizer's usual BOS.
    """
    if tokenizer.chat_template is None:
        plain = "\n\n".join(part for part in (system, text) if part)
        return tokenizer.encode(f"{plain}\n{answer}" if answer else plain)
    turns = [{"role": "system", "content": system}] if system else []
    turns.append({"role": "user", "content": text})
    ids = tokenizer.apply_chat_template(turns, add_generation_prompt=True, tokenize=True, return_dict=False)
    return [*ids, *tokenizer.encode(answer, add_special_tokens=False)] if answer else list(ids)


def load_tokenizer(path: str, revision: str | None = None) -> Tokenizer:
    """A Hugging Face tokenizer by folder or Hub name.

    Raises:
        ConfigError: the folder or Hub name holds none.
    """
    from transformers import AutoTokenizer

    read = cast("Callable[..., Tokenizer]", AutoTokenizer.from_pretrained)  # pyright: ignore[reportUnknownMemberType]
    try:
        return read(path, revision=revision)
    except (OSError, ValueError, KeyError) as error:
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise ConfigError(f"tokenizer {path}: cannot be loaded ({reason}); give a model folder or a Hub name") from None

"""Text to token ids: the one place where a prompt becomes tokens."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol, cast

from truing.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Turn:
    """What one side of a conversation says."""

    role: Literal["system", "user", "assistant"]
    text: str


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


def conversation_tokens(tokenizer: Tokenizer, turns: Sequence[Turn], answer: str = "") -> list[int]:
    """Token ids up to where the assistant goes on.

    With a chat template: the template's own special tokens, once (no second BOS), the assistant's turn opened, then the
    text of a last assistant turn and `answer`, both as plain text. Where the template refuses a system turn, its text
    goes to the front of the first user turn. Without a template: plain text, with the tokenizer's usual BOS.

    Raises:
        ConfigError: the chat template refuses these turns.
    """
    told = turns[:-1] if turns[-1].role == "assistant" else turns
    begun = f"{turns[-1].text}{answer}" if turns[-1].role == "assistant" else answer
    if tokenizer.chat_template is None:
        plain = told[0].text if told else ""
        for turn in told[1:]:
            plain += ("\n" if turn.role == "assistant" else "\n\n") + turn.text
        return tokenizer.encode(f"{plain}\n{begun}" if begun else plain)
    ids = _rendered(tokenizer, told)
    return [*ids, *tokenizer.encode(begun, add_special_tokens=False)] if begun else ids


def prompt_tokens(tokenizer: Tokenizer, text: str, system: str = "", answer: str = "") -> list[int]:
    """Token ids of a conversation of one user turn, up to where the answer goes on: see `conversation_tokens`."""
    before = [Turn("system", system)] if system else []
    return conversation_tokens(tokenizer, [*before, Turn("user", text)], answer)


def _rendered(tokenizer: Tokenizer, turns: Sequence[Turn]) -> list[int]:
    from jinja2 import TemplateError

    def render(turns: Sequence[Turn]) -> list[int]:
        messages = [{"role": turn.role, "content": turn.text} for turn in turns]
        options = {"add_generation_prompt": True, "tokenize": True, "return_dict": False}
        return list(tokenizer.apply_chat_template(messages, **options))

    try:
        return render(turns)
    except TemplateError as error:
        reason = " ".join(str(error).split())
    if len(turns) > 1 and turns[0].role == "system" and turns[1].role == "user":
        try:
            return render([Turn("user", f"{turns[0].text}\n\n{turns[1].text}"), *turns[2:]])
        except TemplateError as error:
            reason = " ".join(str(error).split())
    raise ConfigError(
        f"tokenizer: its chat template refuses the turns {', '.join(turn.role for turn in turns)} ({reason}); "
        "use a model whose template takes them"
    )


def located(model: str) -> tuple[str, str | None]:
    """A model as everybody who loads it is told of it, `folder`, `org/name` or `org/name@revision`: the folder or Hub name, and
    the revision.
    """
    name, _, revision = model.rpartition("@")
    return (name, revision) if name and not Path(model).exists() else (model, None)


def load_tokenizer(model: str) -> Tokenizer:
    """A Hugging Face tokenizer by folder or Hub name, `located`.

    Raises:
        ConfigError: the folder or Hub name holds none.
    """
    from transformers import AutoTokenizer

    read = cast("Callable[..., Tokenizer]", AutoTokenizer.from_pretrained)  # pyright: ignore[reportUnknownMemberType]
    name, revision = located(model)
    try:
        # Not given, transformers would ask at the terminal whether to run the code of a model's repository.
        return read(name, revision=revision, trust_remote_code=False)
    except (OSError, ValueError, KeyError) as error:
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise ConfigError(
            f"tokenizer {model}: cannot be loaded ({reason}); give a model folder or a Hub name"
        ) from None

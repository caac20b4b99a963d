"""Tokenizers: the tiny one is sound; copies of it that were tampered with are told apart."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from jobs.doctor.found import Found
from jobs.doctor.tokens import TEXTS, embedding_rows, golden, parity, sound
from truing.data.chat import load_tokenizer

NAME = "policy.engine: tokenizer"


def tampered(tiny: str, folder: Path, file: str, change: Callable[[dict[str, Any]], None]) -> Any:
    """A copy of the tokenizer of which one file was changed."""
    copy = Path(shutil.copytree(tiny, folder / "copy"))
    content = json.loads((copy / file).read_text())
    change(content)
    (copy / file).write_text(json.dumps(content))
    return load_tokenizer(str(copy))


def judged(tokenizer: Any, rows: int | None = 320) -> Found:
    return sound(NAME, tokenizer, golden(tokenizer), rows)


def test_a_tokenizer_that_is_sound(tiny: str) -> None:
    tokenizer: Any = load_tokenizer(tiny)
    # Four readings of each text, and EOS.
    assert judged(tokenizer, embedding_rows(tiny)) == Found(
        NAME, "ok", f"{4 * len(TEXTS) + 1} readings of {len(TEXTS)} texts, EOS {tokenizer.eos_token_id}, BOS 1"
    )
    assert judged(tokenizer, None).state == "ok"


def test_no_eos(tiny: str, tmp_path: Path) -> None:
    tokenizer = tampered(tiny, tmp_path, "tokenizer_config.json", lambda config: config.pop("eos_token"))
    assert judged(tokenizer).line == (
        "it names no EOS, so that no answer ends by itself: name eos_token in tokenizer_config.json"
    )


def test_bos_twice(tiny: str, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(tiny, tmp_path / "copy"))
    template = (copy / "chat_template.jinja").read_text()
    (copy / "chat_template.jinja").write_text("{{ bos_token }}" + template)
    tokenizer: Any = load_tokenizer(str(copy))
    assert judged(tokenizer).line == (
        "it puts BOS twice before 'ASCII, as a prompt': take it out of the chat template, or set add_bos_token to false"
    )


def test_a_token_that_the_model_does_not_have(tiny: str) -> None:
    tokenizer: Any = load_tokenizer(tiny)
    highest = max(max(ids) for ids in golden(tokenizer).values())
    assert judged(tokenizer, highest + 1).state == "ok"
    assert judged(tokenizer, highest).line == (
        f"token {highest} has no row in the model's embedding, which has {highest}: it is another model's tokenizer; save the model"
        " with its own"
    )


def test_a_text_of_which_nothing_is_left(tiny: str, tmp_path: Path) -> None:
    def deaf(file: dict[str, Any]) -> None:
        file["normalizer"] = {"type": "Replace", "pattern": {"Regex": "[\\s\\S]"}, "content": ""}

    tokenizer = tampered(tiny, tmp_path, "tokenizer.json", deaf)
    assert judged(tokenizer).line.endswith(
        "it makes no token of 'ASCII': save the model with the tokenizer that it was trained with"
    )


def without_bos(file: dict[str, Any]) -> None:
    file["post_processor"] = None


def lower_case(file: dict[str, Any]) -> None:
    file["normalizer"] = {"type": "Lowercase"}


def composed(file: dict[str, Any]) -> None:
    file["normalizer"] = {"type": "NFC"}


def stripped(file: dict[str, Any]) -> None:
    """The chat template's line ends go, too."""
    file["normalizer"] = {"type": "Strip", "strip_left": False, "strip_right": True}


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (without_bos, "ASCII, with special tokens"),
        (lower_case, "ASCII"),
        (composed, "accents"),
        (stripped, "ASCII, as a prompt"),
    ],
)
def test_an_engine_that_reads_otherwise(tiny: str, tmp_path: Path, change: Any, named: str) -> None:
    ours, theirs = golden(load_tokenizer(tiny)), golden(tampered(tiny, tmp_path, "tokenizer.json", change))
    differ = [text for text in ours if ours[text] != theirs[text]]
    assert differ[0] == named
    first, second = ours[named], theirs[named]
    place = next(i for i in range(len(first)) if first[: i + 1] != second[: i + 1])
    assert parity("x", ours, theirs) == Found(
        "x",
        "failed",
        f"trainer and engine read {len(differ)} of {len(ours)} differently; {named!r}: {len(first)} tokens against {len(second)},"
        f" apart from place {place} on: one of them takes another file; save the model's folder anew with save_pretrained of model"
        " and tokenizer",
    )


def test_an_engine_that_reads_alike(tiny: str) -> None:
    ours = golden(load_tokenizer(tiny))
    assert (
        parity("x", ours, golden(load_tokenizer(tiny))).line
        == f"trainer and engine read {len(ours)} of {len(ours)} alike"
    )


def test_a_hub_name_has_no_rows_here() -> None:
    assert embedding_rows("org/name") is None

"""Tokenizers: golden texts must become the same tokens for the trainer and for the engine, and tokens that the model has."""

import json
from collections.abc import Mapping
from itertools import takewhile
from pathlib import Path
from typing import Any

from jobs.doctor.found import Found, judged
from truing.data.chat import prompt_tokens

TEXTS = {
    "ASCII": "The wheel's rim is out of true by 0.3 mm (see p. 12).",
    "accents": "Été à Besançon: naïve façade, Straße, Łódź, cafe\u0301.",
    "Chinese, Japanese, Korean": "車輪は回る。轮子在转。바퀴가 돈다.",
    "emoji": "🛞👩‍🔧🏽 ✔️ 🇪🇺",
    "blanks": "two  blanks\ta tab\n\nan empty line, blanks at the end   ",
    "numbers": "1234567890 3.14159 1e-5 0x1F",
    "code": "def f(x):\n    return {'a': x[0]}  # <b>",
}
"""Where tokenizers differ: normalisation, bytes, joined emoji, blanks, digits."""

Golden = dict[str, list[int]]
"""Tokens by name of the text and of the way in which it was read."""


def golden(tokenizer: Any) -> Golden:
    """The texts as a tokenizer reads them: alone, with what it puts around a text, and in the chat template."""
    found: Golden = {"EOS": [-1 if tokenizer.eos_token_id is None else int(tokenizer.eos_token_id)]}
    for name, text in TEXTS.items():
        found[name] = list(tokenizer.encode(text, add_special_tokens=False))
        found[f"{name}, with special tokens"] = list(tokenizer.encode(text))
        found[f"{name}, as a prompt"] = prompt_tokens(tokenizer, text)
        found[f"{name}, as a prompt with its answer begun"] = prompt_tokens(tokenizer, text, answer="Well")
    return found


def sound(name: str, tokenizer: Any, ours: Golden, rows: int | None) -> Found:
    """A tokenizer by itself. `rows`: of the model's embedding; None where nobody knows the model."""
    faults: list[str] = []
    if ours["EOS"] == [-1]:
        faults.append("it names no EOS, so that no answer ends by itself: name eos_token in tokenizer_config.json")
    bos = tokenizer.bos_token_id
    doubled = [text for text, ids in ours.items() if bos is not None and ids[:2] == [bos, bos]]
    if doubled:
        faults.append(
            f"it puts BOS twice before {doubled[0]!r}: take it out of the chat template, or set add_bos_token to false"
        )
    highest = max(max(ids, default=0) for ids in ours.values())
    if rows is not None and highest >= rows:
        faults.append(
            f"token {highest} has no row in the model's embedding, which has {rows}: it is another model's tokenizer; save the"
            " model with its own"
        )
    unread = [text for text in TEXTS if not ours[text]]
    if unread:
        faults.append(f"it makes no token of {unread[0]!r}: save the model with the tokenizer that it was trained with")
    return judged(name, faults, f"{len(ours)} readings of {len(TEXTS)} texts, EOS {ours['EOS'][0]}, BOS {bos}")


def parity(name: str, ours: Golden, theirs: Golden) -> Found:
    """The trainer's readings against the engine's."""
    differ = [text for text, ids in ours.items() if theirs.get(text) != ids]
    faults: list[str] = []
    if differ:
        first, second = ours[differ[0]], theirs.get(differ[0], [])
        place = len(list(takewhile(lambda both: both[0] == both[1], zip(first, second, strict=False))))
        faults.append(
            f"trainer and engine read {len(differ)} of {len(ours)} differently; {differ[0]!r}: {len(first)} tokens against"
            f" {len(second)}, apart from place {place} on: one of them takes another file; save the model's folder anew with"
            " save_pretrained of model and tokenizer"
        )
    return judged(name, faults, f"trainer and engine read {len(ours)} of {len(ours)} alike")


def embedding_rows(folder: str) -> int | None:
    """Rows of a model's embedding, as its config says; None for a Hub name that is not on this machine."""
    path = Path(folder) / "config.json"
    if not path.is_file():
        return None
    config: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return config.get("vocab_size")

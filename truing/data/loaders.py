"""Prompts from files or the Hub. Every refusal names the file, the row and the remedy."""

from importlib import resources

from truing.data.rows import json_object, numbered_rows
from truing.errors import ConfigError
from truing.records import Prompt, Row, content_id

DEMO = "demo"
SPLITS = ("id", "ood_domain", "ood_style")


def read_rows(path: str, embedded: str, required: tuple[str, ...]) -> list[Row]:
    """Rows of anything that `numbered_rows` reads (`demo` is the embedded file of that name), each with its required text fields.

    Raises:
        ConfigError: as there; a required field absent or empty.
    """
    source = str(resources.files("truing.data").joinpath("demo", embedded)) if path == DEMO else path
    return [json_object(row, where, required) for where, row in numbered_rows(source)]


def load_prompts(path: str) -> list[Prompt]:
    """Prompts with id, domain and split; the same text twice is kept once, so that no text is on both sides of a split.

    Raises:
        ConfigError: as `read_rows`; an unknown split, or one id for two texts.
    """
    prompts: dict[str, Prompt] = {}
    texts: set[str] = set()
    for row in read_rows(path, "prompts.jsonl", ("text",)):
        split = str(row.get("split") or "id")
        if split not in SPLITS:
            name = row.get("id") or row["text"][:30]
            raise ConfigError(f"{path}: prompt {name!r} has split {split!r}; use {', '.join(SPLITS)}")
        key = str(row.get("id") or content_id(row["text"]))
        prompt = Prompt(key, str(row["text"]), str(row.get("domain") or "default"), split)
        if key in prompts and prompts[key].text != prompt.text:
            raise ConfigError(f"{path}: id {key!r} names two different prompts; give each its own id")
        if prompt.text not in texts:
            prompts[key] = prompt
            texts.add(prompt.text)
    return list(prompts.values())


def split_holdout(prompts: list[Prompt], holdout: int) -> tuple[list[Prompt], list[Prompt]]:
    """In-distribution prompts as (training, held out); which are held out depends on their ids alone."""
    known = [p for p in prompts if p.split == "id"]
    if len(known) <= holdout:
        raise ConfigError(
            f"prompts.holdout is {holdout} and there are {len(known)} in-distribution prompts:"
            " none is left to train on; give more prompts or a smaller holdout"
        )
    ranked = sorted(known, key=lambda p: content_id("holdout", p.id))
    held = {p.id for p in ranked[:holdout]}
    return [p for p in known if p.id not in held], [p for p in known if p.id in held]


def load_texts(path: str, column: str) -> list[str]:
    """The texts of one column, each once, from any file that `rows.numbered_rows` reads.

    Raises:
        ConfigError: no such file, or a row whose column holds no text.
    """
    texts: dict[str, None] = {}
    for where, row in numbered_rows(path):
        text = row.get(column)
        if not isinstance(text, str) or not text.strip():
            raise ConfigError(f"{where}: {column!r} holds no text; name the right column (pretraining.column)")
        texts[text] = None
    return list(texts)

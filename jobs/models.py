"""Which folder or Hub name a configuration means, and whether a model is there."""

import hashlib
import json
from pathlib import Path

from safetensors import SafetensorError, safe_open

from jobs.demo_model import demo_embedder, demo_model, intact
from truing.errors import ConfigError
from truing.records import content_id

_EDGE = 1 << 20

WORDING = (
    "config*.json", "generation_config.json", "tokenizer*", "special_tokens_map.json", "added_tokens.json", "vocab*",
    "merges.txt", "*.model", "chat_template*", "additional_chat_templates/*", "modules.json", "*_config.json",
    "*_Pooling/config.json", "scale.json",
)  # fmt: skip
"""The small files that decide what a model is shown and how it answers, beside its weights; of a reward model also its scale."""


def model_folder(path: str, revision: str | None = None) -> str:
    """Local folder or Hub name of a language model, as `load_tokenizer` takes it; `demo` is the prepared one.

    Raises:
        ConfigError: a local folder that is not a model, or the demo model is not prepared or damaged.
    """
    if path == "demo":
        return _prepared(demo_model())
    found = _checked(path, "a language model")
    return f"{found}@{revision}" if revision and not Path(found).exists() else found


def embedder_folder(path: str) -> str:
    """Local folder or Hub name of a sentence embedder; `demo` is the prepared one."""
    if path == "demo":
        return _prepared(demo_embedder())
    return _checked(path, "a sentence-transformers model")


def _prepared(folder: Path) -> str:
    if not intact(folder):
        raise ConfigError(
            f"the demo model in {folder} is absent or damaged; prepare it with `python -m jobs.demo_model`"
        )
    return str(folder)


def _checked(path: str, what: str) -> str:
    folder = Path(path)
    looks_local = folder.exists() or path.startswith((".", "/", "~"))
    if not looks_local:
        return path
    if not (folder / "config.json").is_file():
        raise ConfigError(
            f"model {path}: is not {what} (it has no config.json); give a Hugging Face folder, a Hub name or 'demo'"
        )
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise ConfigError(
            f"model {path}: its config.json cannot be read ({error}); give a Hugging Face folder"
        ) from None
    if "model_type" not in config:
        raise ConfigError(f"model {path}: its config.json names no model_type; give a Hugging Face folder")
    if not any(folder.glob("*.safetensors")):
        raise ConfigError(
            f"model {path}: has no *.safetensors file; save it with save_pretrained (pickled weights are not read)"
        )
    for file in sorted(folder.glob("*.safetensors")):
        try:
            with safe_open(file, "np"):
                pass
        except (SafetensorError, OSError) as error:
            raise ConfigError(f"model {path}: {file.name} is damaged ({error}); copy or save the model again") from None
    return path


def fingerprint(path: str) -> str:
    """Identity of a model: for a folder, sizes, headers and edges of its weight files, and the content of `WORDING`: another
    chat template is another labeler. For a Hub name, the name with its revision.
    """
    folder = Path(path)
    if not folder.is_dir():
        return content_id(path)
    parts: list[object] = []
    for file in sorted(folder.glob("*.safetensors")):
        size = file.stat().st_size
        with file.open("rb") as stream:
            edges = hashlib.sha256(stream.read(_EDGE))
            stream.seek(max(0, size // 2 - _EDGE // 2))
            edges.update(stream.read(_EDGE))
            stream.seek(max(0, size - _EDGE))
            edges.update(stream.read(_EDGE))
        parts.append([file.name, size, edges.hexdigest()])
    small = {file for pattern in WORDING for file in folder.glob(pattern) if file.is_file()}
    parts += [[str(file.relative_to(folder)), file_fingerprint(str(file))] for file in sorted(small)]
    return content_id(parts)


def file_fingerprint(path: str) -> str:
    """Identity of a file's content.

    Raises:
        ConfigError: it cannot be read.
    """
    try:
        with Path(path).open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}); give a readable file") from None

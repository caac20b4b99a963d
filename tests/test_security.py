"""Nothing that is read may run: no call here unpickles, evaluates, or takes code from a model's or a data set's files.

Pickles, `allow_pickle` and `trust_remote_code` set true are forbidden by tests/house_rules.py; here is the rest, by allow-list
where a call must say that it is safe.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import house_rules as rules
from tests.house_rules import Source

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("truing", "actors", "trainers", "jobs", "benchmarks", "clusters")

RUNS_TEXT = {"eval", "exec", "compile"}
RUNS_A_SHELL = {"os.system", "os.popen", "subprocess.getoutput", "subprocess.getstatusoutput"}
YAML_OF_OBJECTS = {
    "load", "load_all", "full_load", "full_load_all", "unsafe_load", "unsafe_load_all",
    "Loader", "FullLoader", "UnsafeLoader", "CLoader", "CFullLoader", "CUnsafeLoader",
}  # fmt: skip
UNPICKLING = {
    "joblib",
    "marshal",
    "jsonpickle",
    "torch.load",
    "torch.jit",
    "torch.hub",
    "torch.package",
    "dill",
    "shelve",
}
"""Modules and functions that unpickle or run what they read, beside pickle itself."""
CHECKPOINTS = {"load_checkpoint", "load_from_checkpoint", "get_fp32_state_dict_from_zero_checkpoint"}
"""DeepSpeed's and Lightning's, which read with torch.load."""
CODE_OF_MODELS = ("from_pretrained", "SentenceTransformer", "CrossEncoder")
"""Calls that run a repository's own code if told to, and ask at the terminal if told nothing."""
ONLY_WORDS = ("AutoTokenizer", "AutoConfig", "tokenizer", "read")
"""Of those, what reads no weights."""


def complaints(source: Source) -> Iterator[str]:
    """What a source file does that a file it reads could turn into code."""
    names = _aliases(source.tree)
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Call):
            called = _dotted(node.func, names)
            yield from (source.at(node, said) for said in _call(node, called))
        if isinstance(node, ast.Attribute | ast.Name):
            name = _dotted(node, names)
            if name.partition(".")[0] == "yaml" and name.partition(".")[2] in YAML_OF_OBJECTS:
                yield source.at(node, f"{name} builds objects: use yaml.safe_load.")
            if any(name == one or name.startswith(f"{one}.") for one in UNPICKLING):
                yield source.at(node, f"{name} runs what it reads: use safetensors, Parquet or JSON.")


def _call(node: ast.Call, called: str) -> Iterator[str]:
    words = {word.arg: word.value for word in node.keywords}
    last = called.rpartition(".")[2]
    if called in RUNS_TEXT:
        yield f"{called} runs a text."
    if called in RUNS_A_SHELL or _is(words.get("shell"), True):
        yield f"{called} runs a shell: give a list of arguments."
    if last in CHECKPOINTS:
        yield f"{last} unpickles: write and read safetensors."
    if last == "LLM" and not _is(words.get("load_format"), "safetensors"):
        yield 'LLM reads pickled weights where there are no others: load_format="safetensors".'
    if "weights_only" in words and not _is(words["weights_only"], True):
        yield "weights_only=False unpickles."
    if last in CODE_OF_MODELS:
        yield from _model(last, called, words)


def _model(last: str, called: str, words: dict[str | None, ast.expr]) -> Iterator[str]:
    if not _is(words.get("trust_remote_code"), False):
        yield f"{called} may ask whether to run a model's code: trust_remote_code=False."
    weights = last != "from_pretrained" or called.split(".")[-2] not in ONLY_WORDS
    said = ast.unparse(words["model_kwargs"]) if "model_kwargs" in words else ""
    if weights and not _is(words.get("use_safetensors"), True) and "'use_safetensors': True" not in said:
        yield f"{called} reads pickled weights where there are no others: use_safetensors=True."


def _is(node: ast.expr | None, value: object) -> bool:
    return isinstance(node, ast.Constant) and type(node.value) is type(value) and node.value == value


def _aliases(tree: ast.Module) -> dict[str, str]:
    """What each imported name stands for."""
    found: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.asname: alias.name for alias in node.names if alias.asname}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            found |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
    # A function that was kept under another name: `read = AutoTokenizer.from_pretrained`.
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
            kept = [
                one for one in ast.walk(node.value) if isinstance(one, ast.Attribute) and one.attr in CODE_OF_MODELS
            ]
            if kept and not any(isinstance(one, ast.Call) and one.func in kept for one in ast.walk(node.value)):
                found[node.targets[0].id] = _dotted(kept[0], found)
    return found


def _dotted(node: ast.AST, names: dict[str, str]) -> str:
    """`torch.load` of `t.load` after `import torch as t`; of what is no dotted name, its last part."""
    if isinstance(node, ast.Name):
        return names.get(node.id, node.id)
    if isinstance(node, ast.Attribute):
        return f"{_dotted(node.value, names)}.{node.attr}"
    return ""


# --- the tree ------------------------------------------------------------------------------------

DEMO = "jobs/demo_model.py"
"""Reads a GGUF file from a wheel that it checks by hash: no pickle, and nothing of a user's."""


def test_nothing_that_is_read_can_run():
    files = rules.sources(ROOT, PACKAGES)
    assert {file.package for file in files} >= {"truing", "actors", "trainers", "jobs"}
    found = [said for file in files if file.path != DEMO for said in complaints(file)]
    assert not found, "\n".join(["", *found])


def test_the_one_exception_reads_no_pickle_either():
    (demo,) = [file for file in rules.sources(ROOT, ("jobs",)) if file.path == DEMO]
    calls = [
        one for one in demo.find(ast.Call) if isinstance(one.func, ast.Attribute) and one.func.attr == "from_pretrained"
    ]
    assert calls
    assert all("gguf_file" in {word.arg for word in call.keywords} for call in calls)
    assert len(list(complaints(demo))) == 2 * len(calls) - 1  # one of the two reads a tokenizer


# --- each rule can fail --------------------------------------------------------------------------

SAFE = "trust_remote_code=False, use_safetensors=True"

BREAKS = [
    "eval(text)",
    "exec(text)",
    "compile(text, '', 'exec')",
    "os.system(command)",
    "from os import popen\npopen(command)",
    "subprocess.run(command, shell=True)",
    "yaml.load(text, Loader)",
    "yaml.safe_load_all(text)\nyaml.full_load(text)",
    "from yaml import unsafe_load as read\nread(text)",
    "x = yaml.Loader",
    "import torch as t\nt.load(path, weights_only=True)",
    "from torch import load\nload(path)",
    "torch.hub.load('a', 'b')",
    "from torch import jit\njit.load(path)",
    "import joblib\njoblib.load(path)",
    "engine.load_checkpoint(folder)",
    "read(path, weights_only=False)",
    "read(path, weights_only=flag)",
    "from vllm import LLM\nLLM(folder)",
    "LLM(folder, load_format='auto')",
    "AutoModel.from_pretrained(folder, trust_remote_code=False)",
    "AutoModel.from_pretrained(folder, use_safetensors=True)",
    f"AutoModel.from_pretrained(folder, {SAFE.replace('False', 'flag')})",
    "AutoModel.from_pretrained(folder, trust_remote_code=False, use_safetensors=False)",
    "auto.from_pretrained(folder, trust_remote_code=False)",
    "AutoTokenizer.from_pretrained(folder)",
    "read = cast('x', AutoTokenizer.from_pretrained)\nread(folder)",
    "SentenceTransformer(folder, trust_remote_code=False)",
    "SentenceTransformer(folder, trust_remote_code=False, model_kwargs={'use_safetensors': False})",
]

KEEPS = [
    "re.compile('x')\nmodel.eval()\nself.compile(text)",
    "yaml.safe_load(text)\nyaml.safe_dump(x)",
    "json.load(file)\nload_file(path)\nnumpy.load(path)",
    "subprocess.run(['git'], shell=False)",
    "read(path, weights_only=True)",
    "LLM(folder, load_format='safetensors')",
    f"AutoModel.from_pretrained(folder, {SAFE})",
    f"auto.from_pretrained(folder, {SAFE})",
    "AutoTokenizer.from_pretrained(folder, trust_remote_code=False)",
    "read = cast('x', AutoTokenizer.from_pretrained)\nread(folder, trust_remote_code=False)",
    "SentenceTransformer(folder, trust_remote_code=False, model_kwargs={'use_safetensors': True})",
]


@pytest.mark.parametrize("text", BREAKS)
def test_a_call_that_runs_what_it_reads_is_seen(text: str):
    assert list(complaints(Source("actors/a.py", text)))


@pytest.mark.parametrize("text", KEEPS)
def test_a_call_that_does_not_is_left_alone(text: str):
    assert list(complaints(Source("actors/a.py", text))) == []


# --- what the libraries do with it ---------------------------------------------------------------


def test_weights_that_are_pickled_are_not_read(tmp_path: Path, tiny: str):
    import torch
    from transformers import AutoModelForCausalLM

    from actors.networks import load_causal
    from truing.errors import ConfigError

    model = AutoModelForCausalLM.from_pretrained(tiny)
    model.config.save_pretrained(tmp_path)
    torch.save(model.state_dict(), tmp_path / "pytorch_model.bin")
    with pytest.raises(ConfigError, match=r"is not a causal language model that can be loaded .*safetensors"):
        load_causal(str(tmp_path))


def test_code_beside_a_model_is_neither_run_nor_asked_about(
    tmp_path: Path, tiny: str, capfd: pytest.CaptureFixture[str]
):
    import json
    import shutil

    from actors.networks import load_causal
    from truing.data.chat import load_tokenizer
    from truing.errors import ConfigError

    folder, ran = tmp_path / "model", tmp_path / "ran"
    shutil.copytree(tiny, folder)
    (folder / "own.py").write_text(f"open({str(ran)!r}, 'w')\nclass Own: pass\n")
    for name, auto in (("config.json", {"AutoConfig": "own.Own", "AutoModelForCausalLM": "own.Own"}),
                       ("tokenizer_config.json", {"AutoTokenizer": ["own.Own", None]})):  # fmt: skip
        given = json.loads((folder / name).read_text())
        given |= {"auto_map": auto, "model_type": "own", "tokenizer_class": "Own"}
        (folder / name).write_text(json.dumps(given))
    for load in (load_causal, load_tokenizer):
        with pytest.raises(ConfigError):
            load(str(folder))
    assert not ran.exists()
    assert "[y/N]" not in "".join(capfd.readouterr())

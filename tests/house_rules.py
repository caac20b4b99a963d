"""The house rules: each takes the text of one source file and answers with its complaints.

test_house.py runs them over the tree, and over text that breaks each of them.
"""

import ast
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

FILE_LINES = 300
FUNCTION_LINES = 60
CONFIG_FIELDS = 20

ENGINES = {"vllm", "deepspeed"}
PICKLES = {"pickle", "_pickle", "cloudpickle", "dill", "shelve"}
BROAD = {"Exception", "BaseException"}
FAILURE_VALUES = {"Failed", "Unparsable"}

FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Source:
    """One Python file: its path from the root of the repository, in posix form, and its text."""

    path: str
    text: str

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text, self.path)

    @property
    def package(self) -> str:
        return self.path.split("/")[0]

    def at(self, node: ast.AST, complaint: str) -> str:
        return f"{self.path}:{node.lineno} {complaint}"

    def find(self, *kinds: type[ast.AST]) -> Iterator[ast.AST]:
        return (node for node in ast.walk(self.tree) if isinstance(node, kinds))


Rule = Callable[[Source], list[str]]


def sources(root: Path, packages: tuple[str, ...]) -> list[Source]:
    """Every Python file below `packages`; a package that is not there yet has none."""
    files = [path for package in packages for path in sorted((root / package).rglob("*.py"))]
    return [Source(path.relative_to(root).as_posix(), path.read_text(encoding="utf-8")) for path in files]


# --- budgets -------------------------------------------------------------------------------------


def file_budget(source: Source) -> list[str]:
    lines = len(source.text.splitlines())
    return [f"{source.path} has {lines} lines of {FILE_LINES}: split it by what it does."] if lines > FILE_LINES else []


def function_budget(source: Source) -> list[str]:
    """From `def` to the end, docstring included; an outer function pays for its inner ones."""
    return [
        source.at(node, f"{node.name} has {lines} lines of {FUNCTION_LINES}: name its steps.")
        for node in source.find(ast.FunctionDef, ast.AsyncFunctionDef)
        if (lines := node.end_lineno - node.lineno + 1) > FUNCTION_LINES
    ]


def config_budget(source: Source) -> list[str]:
    """Counts every class of truing/config: what is not a pydantic model there has no reason to be larger."""
    if not source.path.startswith("truing/config/"):
        return []
    return [
        source.at(node, f"{node.name} has {fields} fields of {CONFIG_FIELDS}: group them into sections.")
        for node in source.find(ast.ClassDef)
        if (fields := sum(isinstance(line, ast.AnnAssign) for line in node.body)) > CONFIG_FIELDS
    ]


def junk_drawer(source: Source) -> list[str]:
    if {"util", "utils"} & {part.removesuffix(".py") for part in source.path.split("/")}:
        return [f"{source.path}: name the module after what is in it, not `utils`."]
    return []


# --- errors --------------------------------------------------------------------------------------


def getattr_default(source: Source) -> list[str]:
    return [
        source.at(call, "getattr with a default hides a missing attribute: declare it, or test the type.")
        for call in source.find(ast.Call)
        if isinstance(call.func, ast.Name) and call.func.id == "getattr" and len(call.args) > 2
    ]


def bare_except(source: Source) -> list[str]:
    return [
        source.at(handler, "bare except catches Ctrl-C too: name the exception.")
        for handler in source.find(ast.ExceptHandler)
        if handler.type is None
    ]


def broad_except(source: Source) -> list[str]:
    """`except Exception` only to raise, or to become a value; `suppress(Exception)` is the same in disguise."""
    handlers = [
        source.at(handler, "except Exception must raise, or become Failed(reason) or Unparsable(raw).")
        for handler in source.find(ast.ExceptHandler)
        if handler.type is not None and _is_broad(handler.type) and not any(map(_answers, handler.body))
    ]
    suppressed = [
        source.at(call, "suppress(Exception) loses every failure: name the exception.")
        for call in source.find(ast.Call)
        if _name(call.func) == "suppress" and any(map(_is_broad, call.args))
    ]
    return handlers + suppressed


def _is_broad(node: ast.expr) -> bool:
    return any(_is_broad(item) for item in node.elts) if isinstance(node, ast.Tuple) else _name(node) in BROAD


def _answers(node: ast.AST) -> bool:
    """Whether this part of a handler raises or builds a failure value. A function defined in it has not run."""
    if isinstance(node, FunctionNode | ast.Lambda):
        return False
    if isinstance(node, ast.Raise) or (isinstance(node, ast.Call) and _name(node.func) in FAILURE_VALUES):
        return True
    return any(map(_answers, ast.iter_child_nodes(node)))


# --- code that runs what it reads ----------------------------------------------------------------


def no_pickle(source: Source) -> list[str]:
    """A pickle runs code as it loads: weights are safetensors, records are Parquet."""
    imports = [
        source.at(node, f"{module} runs code as it loads: use safetensors, Parquet or JSON.")
        for node, module in _imports(source.tree)
        if module.split(".")[0] in PICKLES or module == "torch.load"
    ]
    torch_names = {"torch"} | {
        alias.asname
        for node in source.find(ast.Import)
        for alias in node.names
        if alias.name == "torch" and alias.asname is not None
    }
    calls = [
        source.at(node, f"{ast.unparse(node)} unpickles: use safetensors, Parquet or JSON.")
        for node in source.find(ast.Attribute)
        if node.attr == "read_pickle" or (node.attr == "load" and _name(node.value) in torch_names)
    ]
    arrays = [
        source.at(node, "allow_pickle unpickles: store plain arrays.") for node in _set_to_true(source, "allow_pickle")
    ]
    return imports + calls + arrays


def no_remote_code(source: Source) -> list[str]:
    return [
        source.at(node, "trust_remote_code runs code from a model's repository: leave it out.")
        for node in _set_to_true(source, "trust_remote_code")
    ]


def _set_to_true(source: Source, option: str) -> Iterator[ast.AST]:
    """Keywords and dict entries that give `option` anything but a literal False."""
    for call in source.find(ast.Call):
        yield from (word.value for word in call.keywords if word.arg == option and not _is_false(word.value))
    for node in source.find(ast.Dict):
        for key, value in zip(node.keys, node.values, strict=True):
            if isinstance(key, ast.Constant) and key.value == option and not _is_false(value):
                yield value


def _is_false(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is False


# --- imports -------------------------------------------------------------------------------------


def lazy_engines(source: Source) -> list[str]:
    """vLLM and DeepSpeed load for seconds and take the machine: only inside a function, only in actors/.

    An import for the type checker, under `if TYPE_CHECKING:`, never runs.
    """
    complaints = []
    at_import = {id(node) for node, _ in _imports(source.tree, at_import_only=True)}
    for node, module in _imports(source.tree):
        if module.split(".")[0] not in ENGINES:
            continue
        if id(node) in at_import:
            complaints.append(source.at(node, f"{module} at module level: import it inside the method that needs it."))
        elif source.package not in ("actors", "tests"):
            complaints.append(source.at(node, f"{module} outside actors/: ask the actor that owns it."))
    return complaints


def _imports(tree: ast.AST, at_import_only: bool = False) -> Iterator[tuple[ast.AST, str]]:
    """Each import with the dotted name it asks for, `import_module("name")` and `__import__("name")` included."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import):
            yield from ((node, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield from ((node, f"{node.module}.{alias.name}") for alias in node.names)
        elif isinstance(node, ast.Call) and _name(node.func) in ("import_module", "__import__") and node.args:
            name = node.args[0]
            if isinstance(name, ast.Constant) and isinstance(name.value, str):
                yield node, name.value
        if at_import_only and isinstance(node, FunctionNode | ast.Lambda):
            continue
        if at_import_only and isinstance(node, ast.If) and _name(node.test) == "TYPE_CHECKING":
            yield from _imports(ast.Module(node.orelse, []), at_import_only)
            continue
        yield from _imports(node, at_import_only)


def _name(node: ast.AST) -> str | None:
    """`Failed` of `Failed`, of `records.Failed` and of `torch.load`'s `load`; None of anything else."""
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else None


BUDGETS: tuple[Rule, ...] = (file_budget, function_budget)
HABITS: tuple[Rule, ...] = (
    config_budget,
    junk_drawer,
    getattr_default,
    bare_except,
    broad_except,
    no_pickle,
    no_remote_code,
    lazy_engines,
)


# --- what needs a process of its own -------------------------------------------------------------

LIST_LOADED = """
import importlib, json, pkgutil, sys
def fail(name): raise
for name in sys.argv[1].split():
    module = importlib.import_module(name)
    if hasattr(module, "__path__"):
        for found in pkgutil.walk_packages(module.__path__, name + ".", onerror=fail):
            importlib.import_module(found.name)
print(json.dumps(sorted(sys.modules)))
"""


def modules_loaded_by(names: tuple[str, ...], root: Path) -> set[str]:
    """Names in sys.modules after a fresh interpreter in `root` imported `names` and all their submodules."""
    command = [sys.executable, "-c", LIST_LOADED, " ".join(names)]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout.splitlines()[-1]))


def lint_imports(root: Path) -> tuple[bool, str]:
    """Whether the packages in `root` keep the contracts of its .importlinter, and import-linter's own report."""
    program = "import sys; from importlinter.cli import lint_imports_command; lint_imports_command()"
    command = [sys.executable, "-c", program, "--config", ".importlinter", "--no-cache", "--no-logo"]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False, timeout=300)
    return done.returncode == 0, done.stdout + done.stderr

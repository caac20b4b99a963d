"""Secrets in texts: what looks like one is named, and masked before a text is printed or stored."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass

MASK = "***"
SHORTEST = 8
"""Characters of the shortest value of an environment variable that is masked: a shorter one is no secret, and in many texts."""
TELLING = 16
"""Characters from which a value that stands inside a longer text is taken for the secret, not for a word."""

_NAMED = re.compile(r"(?:KEY|TOKEN|SECRET|PASSWORD|PASSWD|PASSPHRASE)S?(?:_|$)", re.IGNORECASE)
_NAMES_A_PLACE = re.compile(r"_(?:PATH|FILE|DIR)$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Shape:
    """What the secrets of one kind look like: all of a match, but its group `kept`, is masked.

    `variable`: the environment variable where the library that wants such a secret looks for it; None where that hangs on
    what it is for.
    """

    kind: str
    variable: str | None
    pattern: str


# No part can run on without end into another, so that a long text is read in linear time.
SHAPES = (
    Shape("a private key", None, r"-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----(?:[^-]{0,8000}-----END [A-Z ]{0,40}PRIVATE KEY-----)?"),
    Shape("an address with a password", None, r"(?P<kept>\b[a-z][a-z0-9+.-]{1,20}://)[^\s/@:'\"]{0,200}:[^\s/@'\"]{1,300}(?=@)"),
    Shape("a Hugging Face token", "HF_TOKEN", r"\bhf_[A-Za-z0-9]{16,}"),
    Shape("an API key", "OPENAI_API_KEY", r"(?<![A-Za-z0-9])sk-(?=[A-Za-z_-]{0,60}[0-9])[A-Za-z0-9_-]{16,}"),
    Shape("an AWS key", "AWS_ACCESS_KEY_ID", r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"),
    Shape("a Google API key", "GOOGLE_API_KEY", r"\bAIza[A-Za-z0-9_-]{30,}"),
    Shape("a GitHub token", "GITHUB_TOKEN", r"\b(?:gh[pousr]_|github_pat_)[A-Za-z0-9_]{20,}"),
    Shape("a bearer token", None, r"(?P<kept>\b(?i:bearer)\s{1,4})(?=[A-Za-z._~+/=-]{0,60}[0-9]|\S{24})[A-Za-z0-9._~+/=-]{8,}"),
    Shape("a signed token", None, r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*"),
    Shape(
        "an address with a key in it",
        None,
        r"(?P<kept>[?&](?i:[a-z0-9_.%-]{0,40}(?:key|token|secret|password|signature)|sig)=)(?!\*)[^\s&#'\"]{1,500}",
    ),
)  # fmt: skip
_SHAPES = [(shape, re.compile(shape.pattern)) for shape in SHAPES]


def secret_variables(environment: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment variables whose names say that they hold a secret, with their values.

    One that names a place (`..._FILE`, `..._PATH`) holds none, nor does one with fewer than `SHORTEST` characters.
    """
    found = os.environ if environment is None else environment
    return {
        name: value.strip()
        for name, value in found.items()
        if _NAMED.search(name) and not _NAMES_A_PLACE.search(name) and len(value.strip()) >= SHORTEST
    }


def redacted(text: str, environment: Mapping[str, str] | None = None) -> str:
    """The text with the values of secret variables, and all that has the shape of a known secret, replaced by `MASK`.

    `environment`: this process's where absent. What a secret was turned into (base64, percent signs) is not recognised.
    """
    for value in sorted(secret_variables(environment).values(), key=len, reverse=True):
        text = text.replace(value, MASK)
    for _, pattern in _SHAPES:
        text = pattern.sub(_masked, text)
    return text


def _masked(match: re.Match[str]) -> str:
    return f"{match.groupdict().get('kept') or ''}{MASK}"


@dataclass(frozen=True, slots=True)
class Secret:
    """What was found in a text: its kind, and the environment variable where it belongs, if that can be said."""

    kind: str
    variable: str | None


def secret_in(text: str, environment: Mapping[str, str] | None = None) -> Secret | None:
    """The secret that a text is or holds; None where there is none.

    The value of a secret variable counts as a whole, or from `TELLING` characters on as a part of the text.
    """
    for shape, pattern in _SHAPES:
        if pattern.search(text):
            return Secret(shape.kind, shape.variable)
    for name, value in secret_variables(environment).items():
        if text.strip() == value or (len(value) >= TELLING and value in text):
            return Secret(f"the value of the environment variable {name}", name)
    return None

"""The token of a cluster that a test starts for processes of its own."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def own_token() -> Iterator[None]:
    """A block in which whatever is started shares a token that nobody else has."""
    before = dict(os.environ)
    # Nodes find each other by this machine's address, not on loopback.
    os.environ.pop("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", None)
    os.environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)

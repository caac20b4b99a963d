"""One small Ray cluster for what the doctor asks of real processes; gone before other tests start."""

from collections.abc import Iterator

import pytest

from tests.local_ray import local_ray


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    """One node of two CPUs."""
    with local_ray(2):
        yield

"""Where a run is: the folder that it is worked on in, and the address that it is kept at."""

from pathlib import Path
from urllib.parse import urlsplit

from jobs.demo_model import cache
from truing.config.study import Study
from truing.records import content_id


def run_path(study: Study) -> Path:
    """The folder in which the study's run is worked on: below `storage`, or below the cache where `storage` is a URI."""
    if not study.is_remote:
        return Path(study.storage) / study.name
    return cache() / "runs" / content_id("storage", study.storage) / study.name


def run_address(study: Study) -> str:
    """Where the study's run is kept: the folder, or the URI of the run's own prefix."""
    if not study.is_remote:
        return str(run_path(study))
    uri = urlsplit(study.storage)
    return uri._replace(path=f"{uri.path.rstrip('/')}/{study.name}").geturl()

"""A study as a Ray job: submitted to a cluster's job server, followed, stopped; submitted again, it goes on where it was.

The job runs `python -m jobs.cli COMMAND CONFIG ... cluster.address=auto` in a copy of the folder that it is submitted from. What it
has done is in the run's folder, so that the storage must be one that every node sees, or on a cluster of one node a URI.
"""

import asyncio
import logging
import os
import shlex
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from jobs.cluster.connect import remedy_of
from jobs.progress import console, print_table
from jobs.run_path import run_address
from truing.config.load import load_study
from truing.errors import ConfigError, TruingError

if TYPE_CHECKING:
    from ray.job_submission import JobDetails, JobSubmissionClient

LEFT_BEHIND = [".git", ".venv", "/runs", "__pycache__", "*.egg-info", ".pytest_cache", ".ruff_cache"]
"""What of the folder is not sent."""
RUN = "truing_run"
"""The job's metadata under this name: the run that it works on."""
STARTING = 60
"""Seconds that a cluster has to be ready for jobs."""
STOPPING = 60
"""Seconds that a job has to end in order: it closes what it is writing."""


@dataclass(frozen=True, slots=True)
class Job:
    """What to submit. `address`: the job server's. `cpus`: reserved for the driver on the head node."""

    command: str
    config: Path
    overrides: Sequence[str]
    address: str
    cpus: float = 0.0


def submit(job: Job, *, follow: bool) -> None:
    """Submit, then print the job's log until it ends, if it is to be followed. Ctrl-C leaves the job running.

    Raises:
        ConfigError: the study is not right, its file or its storage is out of the job's reach, or another job works on its run.
        TruingError: the job server cannot be reached, or the job failed.
    """
    study = load_study(job.config, [*job.overrides, "cluster.address=auto"])
    if not (study.is_remote or Path(study.storage).is_absolute()):
        raise ConfigError(
            f"storage={study.storage}: a job works in a copy of this folder, which goes with the job; give a folder that every node"
            f" sees under that name (storage={Path(study.storage).resolve()} where all of them are on this machine), or a URI"
        )
    client = connected(job.address)
    run = run_address(study)
    if (other := _at_work(client, run)) is not None:
        raise ConfigError(
            f"{run}: job {other.submission_id} works on this run; follow it with `truing jobs {other.submission_id} --follow`,"
            " end it with --stop, or give name=..."
        )
    submission = _submitted(client, job, run)
    console.print(
        f"  job {submission}: `truing jobs {submission} --follow` shows its log, --stop ends it", soft_wrap=True
    )
    if follow:
        follow_job(submission, job.address)


def _submitted(client: "JobSubmissionClient", job: Job, run: str) -> str:
    """The name of the job. A cluster that has just started takes none for a while."""
    until = time.monotonic() + STARTING
    while True:
        try:
            return client.submit_job(
                entrypoint=entrypoint(job, Path.cwd()),
                runtime_env={"working_dir": str(Path.cwd()), "excludes": LEFT_BEHIND},
                metadata={RUN: run},
                entrypoint_num_cpus=job.cpus,
            )
        except RuntimeError as error:
            if "No available agent" not in str(error) or time.monotonic() > until:
                said = " ".join(str(error).split())[:300]
                raise TruingError(f"submit: {job.address} takes no job ({said}); look at the cluster's logs") from None
        time.sleep(1.0)


def entrypoint(job: Job, folder: Path) -> str:
    """The command line of the driver, in the copy of `folder`.

    Raises:
        ConfigError: the study's file is not in the folder.
    """
    try:
        config = job.config.resolve().relative_to(folder.resolve())
    except ValueError:
        raise ConfigError(
            f"{job.config}: a job gets a copy of {folder} and this file is not in it; submit from a folder that holds it"
        ) from None
    asked = ["python", "-m", "jobs.cli", job.command, str(config), *job.overrides, "cluster.address=auto"]
    return shlex.join(asked)


def connected(address: str) -> "JobSubmissionClient":
    """A client of the job server.

    Raises:
        TruingError: it cannot be reached, or does not take our token.
    """
    from ray.job_submission import JobSubmissionClient

    for handler in logging.getLogger("ray").handlers:
        # It tells of each file that it does not send.
        handler.setLevel(logging.ERROR)
    # Ray would let this variable overrule the address that was given.
    os.environ.pop("RAY_API_SERVER_ADDRESS", None)
    try:
        return JobSubmissionClient(address)
    except (ConnectionError, RuntimeError) as error:
        said = str(error).strip().splitlines()[0][:200]
        remedy = "start it with `ray start --head`, reach a cluster's through `ray dashboard cluster.yaml`, or give --address"
        raise TruingError(f"submit: no job server answers at {address} ({said}); {remedy_of(error, remedy)}") from None


def _at_work(client: "JobSubmissionClient", run: str) -> "JobDetails | None":
    return next((job for job in _own(client) if _run(job) == run and not job.status.is_terminal()), None)


def _own(client: "JobSubmissionClient") -> "list[JobDetails]":
    return [job for job in client.list_jobs() if job.submission_id and _run(job)]


def _run(job: "JobDetails") -> str:
    return (job.metadata or {}).get(RUN, "")


def show_jobs(address: str) -> None:
    """The jobs that `truing submit` has given to a cluster, the last one first."""
    jobs = sorted(_own(connected(address)), key=lambda job: job.start_time or 0, reverse=True)
    rows = [(str(job.submission_id), _run(job), str(job.status.value), _seconds(job)) for job in jobs]
    print_table("Jobs", ("job", "run", "state", "seconds"), rows)


def _seconds(job: "JobDetails") -> float | None:
    if not job.start_time or not job.end_time:
        return None
    return (job.end_time - job.start_time) / 1000


def follow_job(submission: str, address: str) -> None:
    """Print the job's log as it comes, from its beginning, and say how it ended.

    Raises:
        ConfigError: there is no such job.
        TruingError: it failed or was stopped.
    """
    client = connected(address)
    _known(client, submission)
    asyncio.run(_print_log(client, submission))
    details = client.get_job_info(submission)
    if details.status.value != "SUCCEEDED":
        said = (details.message or "").strip().splitlines()
        raise TruingError(
            f"job {submission}: {details.status.value.lower()} ({said[-1] if said else 'no reason given'}); submit it again to go"
            " on from what is stored"
        )
    console.print(f"  job {submission}: done")


async def _print_log(client: "JobSubmissionClient", submission: str) -> None:
    async for text in client.tail_job_logs(submission):
        sys.stdout.write(text)
        sys.stdout.flush()


def stop_job(submission: str, address: str) -> None:
    """End a job in order, and wait until it has ended.

    Raises:
        ConfigError: there is no such job.
        TruingError: it has not ended in time.
    """
    client = connected(address)
    _known(client, submission)
    client.stop_job(submission)
    until = time.monotonic() + STOPPING
    while not client.get_job_status(submission).is_terminal():
        if time.monotonic() > until:
            raise TruingError(f"job {submission}: did not end within {STOPPING} s; look at its log with --follow")
        time.sleep(0.5)
    console.print(f"  job {submission}: {client.get_job_status(submission).value.lower()}; submit it again to go on")


def _known(client: "JobSubmissionClient", submission: str) -> None:
    known = [job.submission_id for job in client.list_jobs() if job.submission_id]
    if submission not in known:
        raise ConfigError(f"job {submission}: there is none of that name; `truing jobs` shows {len(known)}")

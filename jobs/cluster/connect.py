"""Connecting to Ray: the cluster of an address, or one of its own on this machine."""

import logging
import os
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from jobs.cluster.capacity import check_capacity, offered, this_machine
from truing.config.study import Study
from truing.errors import TruingError

ROOT = Path(__file__).resolve().parents[2]
ANSWER = 10.0
"""Seconds in which a cluster's address must take a connection."""
LOCAL_SETUP = {"worker_process_setup_hook": "jobs.worker_setup.end_with_parent"}
LOCAL_SYSTEM = {
    # The constructor of a Ray Data worker is some hundred kB: inline, so that a restarted worker still has it.
    "max_direct_call_object_size": 1 << 20,
    # Workers that are started before anybody needs one have no use for this run's environment.
    "prestart_worker_first_driver": False,
    # What its control plane remembers of past calls: a hundred thousand by default, which takes hours to fill and 200 MB.
    "task_events_max_num_task_in_gcs": 10_000,
}


@contextmanager
def session(study: Study) -> Iterator[None]:
    """A block in which `connect` may be called; at its end the connection, and a local cluster with it, is closed.

    A block that is broken off leaves that to the end of the process, with which the cluster ends too: a pass that is under way
    still uses the connection from its thread, and Ray ends a process whose node goes away under it at once and without a word.

    Raises:
        ShortOfResources: before anything is started, where this machine is the cluster and cannot hold the study.
    """
    if address(study) is None:
        check_capacity(study, this_machine())
    yield
    if "ray" in sys.modules:
        sys.modules["ray"].shutdown()


def address(study: Study) -> str | None:
    """Of the cluster to use: the study's, else that of RAY_ADDRESS, which Ray sets in a job; None for a local one."""
    return study.cluster.address or os.environ.get("RAY_ADDRESS") or None


def prepare(study: Study) -> None:
    """The variables that Ray reads when it is imported: to be called before that."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_DATA_DISABLE_PROGRESS_BARS", "1")
    # Its C++ layer writes straight to the terminal; what matters of that arrives as exceptions, which are translated.
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    if address(study) is None:
        # Ray then takes loopback for this machine's address; otherwise all its ports are open to every interface.
        os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")


def connect(study: Study) -> None:
    """Connect to Ray, once: the cluster at `cluster.address`, or a local one. A run with nothing left to do never does.

    Raises:
        TruingError: nobody answers at the address, or not to us; or Ray does not start on this machine.
        ShortOfResources: the cluster could not hold the study.
        ConfigError: the file of its autoscaler cannot be used, or a kind of node has no price in spite of a budget.
        BudgetSpent: its nodes have cost what they may.
    """
    prepare(study)
    import ray

    from jobs.cluster.budget import check_budget

    if ray.is_initialized():
        return
    on_terminate = signal.getsignal(signal.SIGTERM)
    where = address(study)
    try:
        with _silent():
            _start_local() if where is None else _join(where)
    except Exception as error:  # noqa: BLE001 - Ray raises that very class where its own node is not up in time
        raise _not_connected(where, error) from None
    # Ray puts a handler of its own in place, which aborts; ours stops the run in order.
    signal.signal(signal.SIGTERM, on_terminate)
    ray.data.DataContext.get_current().enable_progress_bars = False
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)
    check_capacity(study, offered(study.cluster.autoscaling))
    check_budget(study)


def _not_connected(where: str | None, error: Exception) -> TruingError:
    said = (error.strerror or "") if isinstance(error, OSError) else ""
    said = said or _last_line(error)
    if where is None:
        return TruingError(
            f"no local Ray could be started ({said}): where others take the machine's memory, disk or processors, run the same"
            " command again when they are free; what Ray says is in /tmp/ray/session_latest/logs"
        )
    remedy = (
        "see that `ray status` answers there, that no firewall stands between, and that this machine is one of its nodes, with its"
        " Python and its Ray"
    )
    return TruingError(f"no Ray answers at cluster.address {where} ({said}): {remedy_of(error, remedy)}")


def remedy_of(error: Exception, otherwise: str) -> str:
    """What to do about a cluster that does not let us in: give its token, where it asks for that."""
    if "InvalidAuthToken" in str(error) or "401" in str(error):
        return (
            "it asks for its token: export RAY_AUTH_MODE=token, with the token in ~/.ray/auth_token or RAY_AUTH_TOKEN"
        )
    return otherwise


def _last_line(error: Exception) -> str:
    return next(
        (line.strip()[:200] for line in reversed(str(error).splitlines()) if line.strip()), type(error).__name__
    )


def _environment() -> dict[str, str]:
    """What each process of ours gets, on whichever node."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    return {"PYTHONPATH": str(ROOT), "PATH": path, "HF_HUB_OFFLINE": os.environ.get("HF_HUB_OFFLINE", "0")}


def _start_local() -> None:
    import ray

    ray.init(
        address="local",
        include_dashboard=False,
        log_to_driver=False,
        logging_level=logging.ERROR,
        runtime_env={"env_vars": _environment(), **LOCAL_SETUP},
        _system_config=LOCAL_SYSTEM,
    )


def _join(where: str) -> None:
    import ray

    host, _, port = where.rpartition("://")[2].rpartition(":")
    if port.isdigit():  # `auto` names none
        # Where nobody listens, Ray itself tries for minutes, and then ends the process without a word.
        socket.create_connection((host.strip("[]"), int(port)), ANSWER).close()
    ray.init(address=where, log_to_driver=False, logging_level=logging.ERROR, runtime_env={"env_vars": _environment()})


@contextmanager
def _silent() -> Iterator[None]:
    """Standard error goes nowhere for a while: Ray announces there that it was told to write nothing there."""
    kept = os.dup(2)
    with Path(os.devnull).open("wb") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)

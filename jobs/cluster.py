"""Connecting to Ray, and asking before the start whether the cluster can hold what a study wants."""

import logging
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from truing.config.labeling import Cascade, EngineLabeler, Ensemble, Labeler
from truing.config.policy import AiScorePart, CombinedPart, Policy, Ppo, Reinforce, RewardModelPart
from truing.config.roles import Engine, Learner, Scorer
from truing.config.study import Study
from truing.errors import ShortOfResources

ROOT = Path(__file__).resolve().parent.parent
LOCAL_SETUP = {"worker_process_setup_hook": "jobs.worker_setup.end_with_parent"}
LOCAL_SYSTEM = {
    # The constructor of a Ray Data worker is some hundred kB: inline, so that a restarted worker still has it.
    "max_direct_call_object_size": 1 << 20,
    # Workers that are started before anybody needs one have no use for this run's environment.
    "prestart_worker_first_driver": False,
}


@contextmanager
def session(study: Study) -> Iterator[None]:
    """A block in which `connect` may be called; at its end the connection, and a local cluster with it, is closed.

    Raises:
        ShortOfResources: before anything is started, where this machine is the cluster and cannot hold the study.
    """
    if study.cluster.address is None:
        check_capacity(study, os.cpu_count() or 1, float("inf"))
    try:
        yield
    finally:
        if "ray" in sys.modules:
            sys.modules["ray"].shutdown()


def connect(study: Study) -> None:
    """Connect to Ray, once: the cluster at `cluster.address`, or a local one. A run with nothing left to do never does."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_DATA_DISABLE_PROGRESS_BARS", "1")
    # Its C++ layer writes straight to the terminal; what matters of that arrives as exceptions, which are translated.
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    import ray

    if ray.is_initialized():
        return
    on_terminate = signal.getsignal(signal.SIGTERM)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    environment = {"PYTHONPATH": str(ROOT), "PATH": path, "HF_HUB_OFFLINE": os.environ.get("HF_HUB_OFFLINE", "0")}
    local = study.cluster.address is None
    with _silent():
        ray.init(
            address=study.cluster.address,
            include_dashboard=False if local else None,
            log_to_driver=False,
            logging_level=logging.ERROR,
            runtime_env={"env_vars": environment} | (LOCAL_SETUP if local else {}),
            _system_config=LOCAL_SYSTEM if local else None,
        )
    # Ray puts a handler of its own in place, which aborts; ours stops the run in order.
    signal.signal(signal.SIGTERM, on_terminate)
    ray.data.DataContext.get_current().enable_progress_bars = False
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)
    available = ray.cluster_resources()
    check_capacity(study, available.get("CPU", 0), available.get("GPU", 0))


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


Role = tuple[str, int, float, float]


def demands(study: Study) -> list[Role]:
    """(configuration key, actors, CPUs each, GPUs each) of every role of a study."""
    found = [("sample.engine", study.sample.engine)] if study.sample else []
    found += _labeler_engines("labeler", study.labeler)
    roles = [_role(key, engine) for key, engine in found] + _trainers(study)
    if study.policy:
        roles += _policy(study, study.policy)
    if study.evaluate:
        roles.append(_role("evaluate.engine", study.evaluate.engine))
    return roles


def _role(key: str, actors: Engine | Learner | Scorer) -> Role:
    return key, actors.ranks if isinstance(actors, Learner) else actors.count, actors.cpus, actors.gpus


def _trainers(study: Study) -> list[Role]:
    """Roles of the trainers that learn from what is stored, and of rejection sampling."""
    found: list[tuple[str, Engine | Learner | Scorer]] = []
    if study.sft:
        found.append(("sft.learner", study.sft.learner))
        if study.sft.generate:
            found.append(("sft.generate.engine", study.sft.generate.engine))
    if study.reward_model:
        found.append(("reward_model.learner", study.reward_model.learner))
    if study.dpo:
        found += [("dpo.learner", study.dpo.learner), ("dpo.reference", study.dpo.reference)]
    if one := study.rejection:
        found += [
            ("rejection.engine", one.engine),
            ("rejection.scorer", one.scorer),
            ("rejection.learner", one.learner),
        ]
    return [_role(key, actors) for key, actors in found]


def _policy(study: Study, policy: Policy) -> list[Role]:
    found: list[tuple[str, Engine | Learner | Scorer]] = [
        ("policy.engine", policy.engine),
        ("policy.learner", policy.learner),
        ("policy.reference", policy.reference),
    ]
    if isinstance(policy.algorithm, Ppo | Reinforce):
        found.append(("policy.algorithm.critic", policy.algorithm.critic))
    for i, part in enumerate(policy.rewards):
        if isinstance(part, RewardModelPart | CombinedPart):
            found.append((f"policy.rewards.{i}.scorer", part.scorer))
        if isinstance(part, AiScorePart):
            found += _labeler_engines(f"policy.rewards.{i}.labeler", part.labeler or study.labeler)
    return [_role(key, actors) for key, actors in found]


def _labeler_engines(key: str, labeler: Labeler) -> list[tuple[str, Engine]]:
    """The engines that a labeler's members are, by configuration key; members are asked one after another."""
    if isinstance(labeler, EngineLabeler):
        return [(f"{key}.engine", labeler.engine)]
    if isinstance(labeler, Ensemble):
        return [one for i, each in enumerate(labeler.members) for one in _labeler_engines(f"{key}.members.{i}", each)]
    if isinstance(labeler, Cascade):
        return [*_labeler_engines(f"{key}.first", labeler.first), *_labeler_engines(f"{key}.second", labeler.second)]
    return []


def check_capacity(study: Study, cpus: float, gpus: float) -> None:
    """Refuse what the cluster could never hold, instead of waiting for it.

    Colocated roles take turns: each must fit alone. Otherwise the roles of RL must fit together.

    Raises:
        ShortOfResources: with the shortfall and the number to change.
    """
    roles = demands(study)
    for key, count, cpu, gpu in roles:
        for what, each, there in (("CPUs", cpu, cpus), ("GPUs", gpu, gpus)):
            if count * each > there:
                fits = int(there // each)
                raise ShortOfResources(
                    f"{key}: asks for {count} x {each:g} = {count * each:g} {what} and the cluster has {there:g}"
                    f" ({count * each - there:g} short); {fits} of them fit, or lower {key}.{what.lower()}"
                )
    together = [role for role in roles if role[0].startswith("policy.")]
    if study.cluster.colocate:
        together = [(key, count, 0.0, gpu) for key, count, _, gpu in together]
    sums = (sum(count * cpu for _, count, cpu, _ in together), sum(count * gpu for _, count, _, gpu in together))
    for what, wanted, there in zip(("CPUs", "GPUs"), sums, (cpus, gpus), strict=True):
        if wanted > there:
            raise ShortOfResources(
                f"policy: its roles together ask for {wanted:g} {what} and the cluster has {there:g} ({wanted - there:g} short);"
                " set cluster.colocate=true, or lower the counts"
            )

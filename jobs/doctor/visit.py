"""One visit of the doctor: the checks with what they share. What is heavy is imported when a check that needs it is made."""

import os
import sys
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

from jobs.cluster.connect import address
from jobs.doctor import keys, machine, storage, versions
from jobs.doctor.found import Found, ok
from jobs.doctor.tried import Tried
from jobs.run_path import run_path
from truing.config.study import Study

if TYPE_CHECKING:
    from jobs.doctor.engines import Answered
    from jobs.doctor.nodes import Node
    from jobs.memory import Shape

HERE = "this machine"


class Visit:
    """The study, and what earlier checks have found out that later ones go on from."""

    def __init__(self, study: Study) -> None:
        self.study = study
        self.folder = run_path(study).resolve()
        self._hosts: dict[Node, Any] = {}
        self._nodes: list[machine.Machine] = []
        self._answered: dict[str, Answered] = {}

    # --- this machine --------------------------------------------------------------------------------

    @cached_property
    def driver(self) -> machine.Machine:
        """This machine."""
        ray = sys.modules.get("ray")
        return machine.looked(HERE, self._asked(running=ray is not None and ray.is_initialized()))

    def _asked(self, *, running: bool) -> machine.Asked:
        return machine.Asked(str(self.folder), tuple(keys.endpoint_keys(self.study)), running)

    def python(self) -> Found:
        """The interpreter."""
        return versions.python(versions.required()[0])

    def packages(self, *, engine: bool) -> Found:
        """What Truing requires."""
        return versions.packages(versions.required()[1], versions.installed(), engine=engine)

    def companions(self) -> Found:
        """What must not be there."""
        return versions.companions(versions.installed())

    def configuration(self) -> Found:
        """All that a run looks at before it starts anything: models, data, templates, trackers."""
        from jobs.recorded.recorded import source_rows
        from jobs.recorded.study import asks_no_model

        if asks_no_model(self.study):
            assert self.study.evaluate is not None
            read = len(source_rows(self.study.evaluate.recorded))
            return ok("configuration", f"{read} recorded files, no model is asked")
        from jobs.context import Context

        context = Context.of(self.study)
        return ok("configuration", f"model {context.base_folder}, {len(context.training)} prompts to train on")

    def keys(self) -> Found:
        """Keys of endpoints, where this machine is the cluster, and of trackers."""
        wanted = keys.driver_keys(self.study) | ({} if address(self.study) else keys.endpoint_keys(self.study))
        return keys.keys(wanted, keys.missing(wanted))

    def devices(self, gpus: float) -> Found:
        """CPUs and GPUs."""
        import torch

        return machine.devices(os.cpu_count() or 1, torch.cuda.device_count(), gpus, torch.__version__)

    def memory(self) -> Found:
        """Memory against what the stages take."""
        import psutil

        from jobs.context import Context
        from jobs.memory import DRIVER
        from jobs.plan import stage_needs

        needs = stage_needs(Context.of(self.study))
        peaks: dict[str, float] | None = None
        if needs is not None:
            peaks = {stage: DRIVER + sum(one.total for one in some if not one.gpu) for stage, some in needs.items()}
        there = psutil.virtual_memory()
        return machine.memory(there.total, there.available, peaks)

    def shared_memory(self) -> Found:
        """Room for the object store that Ray is about to start."""
        return machine.shared_memory("shared memory", [self.driver], {HERE: machine.store_size()})

    def open_files(self) -> Found:
        """The limit that Ray is about to have."""
        return machine.open_files("open files", [self.driver])

    def storage(self) -> Found:
        """The run folder, from here, and the URI that it is kept at."""
        found = storage.from_driver(self.folder)
        return storage.kept(self.study, found) if self.study.is_remote else found

    def disk(self) -> Found:
        """Room on this machine's disks."""
        return self._disk("disk", [self.driver])

    def _disk(self, name: str, machines: list[machine.Machine]) -> Found:
        shape = self._shape()
        if shape is None:
            return machine.disk(name, machines, str(self.folder), None, None)
        from jobs.doctor import space

        return machine.disk(name, machines, str(self.folder), space.taken(self.study, shape), space.weights(shape))

    def _shape(self) -> "Shape | None":
        from jobs.memory import Shape
        from jobs.models import model_folder

        return Shape.of(model_folder(self.study.model.path, self.study.model.revision))

    def tokenizer(self, one: Tried) -> Found:
        """The trainer's tokenizer by itself."""
        from jobs.doctor import tokens
        from jobs.models import model_folder
        from truing.data.chat import load_tokenizer

        folder = model_folder(one.model.path, one.model.revision)
        tokenizer = load_tokenizer(folder)
        ours = tokens.golden(tokenizer)
        return tokens.sound(f"{one.key}: tokenizer", tokenizer, ours, tokens.embedding_rows(folder))

    # --- the cluster ---------------------------------------------------------------------------------

    def cluster(self) -> Found:
        """Connect."""
        from jobs.doctor import nodes

        return nodes.connected(self.study)

    def placement(self) -> Found:
        """What is asked against what could be had."""
        from jobs.cluster.capacity import offered
        from jobs.doctor import nodes

        return nodes.placement(self.study, offered(self.study.cluster.autoscaling))

    def nodes(self) -> Found:
        """A process on every node, which says what is there."""
        from jobs.doctor import nodes

        hosts, silent = nodes.started(nodes.up())
        asked = {n: host.call.remote(nodes.machine, n.name, self._asked(running=True)) for n, host in hosts.items()}
        found, later = nodes.answers(asked, nodes.ANSWERED)
        self._hosts = {node: hosts[node] for node in found}
        self._nodes = list(found.values())
        return nodes.alike(self.driver, self._nodes, silent | later)

    def clock(self) -> Found:
        """Clocks of nodes against this one's."""
        from jobs.doctor import nodes

        return nodes.clock({node.name: nodes.offset(host) for node, host in self._hosts.items()})

    def node_memory(self) -> Found:
        """The largest actor against the largest node."""
        from jobs.context import Context
        from jobs.plan import stage_needs

        needs = stage_needs(Context.of(self.study)) or {}
        every = [one for some in needs.values() for one in some if not one.gpu]
        largest = max(every, key=lambda one: one.each, default=None)
        return machine.node_memory(self._nodes, largest and (largest.key, largest.each))

    def node_shared_memory(self) -> Found:
        """Room for the object store of each node."""
        return machine.shared_memory("shared memory of nodes", self._nodes, {n.name: n.store for n in self._hosts})

    def node_open_files(self) -> Found:
        """The limit of each node's workers."""
        return machine.open_files("open files of nodes", self._nodes)

    def node_disk(self) -> Found:
        """Room on each node."""
        return self._disk("disk of nodes", self._nodes)

    def node_keys(self) -> Found:
        """Keys of endpoints, which workers ask."""
        return keys.node_keys(keys.endpoint_keys(self.study), {one.name: one.absent for one in self._nodes})

    def node_storage(self) -> Found:
        """The run folder, from every node."""
        from jobs.doctor import nodes

        return nodes.shared(self.folder, self._hosts)

    def collective(self) -> Found:
        """A group of ranks."""
        from jobs.doctor import collective

        role = collective.largest(self.study)
        assert role is not None
        count, needs, backend = collective.group_of(self.study, role)
        return collective.collective(count, needs, backend, partial(collective.Rank, backend))

    def engine(self, one: Tried) -> Found:
        """An engine, started once for this and the next two checks."""
        from jobs.doctor import engines
        from jobs.models import model_folder

        answered = engines.ask(one, model_folder(one.model.path, one.model.revision), self.study.cluster)
        self._answered[one.key] = answered
        return engines.wrote(one, answered)

    def parity(self, one: Tried) -> Found:
        """The trainer's tokens against the engine's."""
        from jobs.doctor import tokens
        from jobs.models import model_folder
        from truing.data.chat import load_tokenizer

        ours = tokens.golden(load_tokenizer(model_folder(one.model.path, one.model.revision)))
        return tokens.parity(f"{one.key}: parity", ours, self._answered[one.key].readings)

    def logprobs(self, one: Tried) -> Found:
        """The engine's log-probs against a forward pass."""
        from jobs.doctor import engines
        from jobs.models import model_folder

        policy = self.study.policy
        assert policy is not None
        passed = engines.forward(model_folder(one.model.path, one.model.revision), policy, self.study.cluster)
        said = self._answered[one.key].logprobs
        return engines.agreement(f"{one.key}: log-probs", said, passed, policy.probe_tolerance)

"""`truing serve` as a user starts it, on the tiny model, and asked over HTTP; and what it finds and leaves on a cluster."""

import json
import logging
import os
import signal
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest

from actors.applications import begin, install, make_way, standing
from actors.learner import free_address
from jobs.serve import free_port, listening
from tests.actors.chat_server import serving
from tests.jobs.cluster.own_token import own_token
from tests.jobs.drive import ROOT, Command
from trainers.roles import Folders, Roles
from truing.config.labeling import EndpointLabeler
from truing.config.policy import Policy
from truing.config.rewards import AiScorePart
from truing.config.roles import Cluster, Model
from truing.config.serving import Replicas, Serve
from truing.errors import ConfigError, ShortOfResources
from truing.records import Prompt

pytestmark = pytest.mark.timeout(1200)

PAIR = {"prompt": "Name a fruit.", "first": "Apple.", "second": "I will not."}


@dataclass(frozen=True)
class Served:
    """A running endpoint."""

    url: str
    command: Command

    def post(self, path: str, body: object, **options: Any) -> httpx2.Response:
        return httpx2.post(f"{self.url}{path}", json=body, timeout=120, trust_env=False, **options)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, tiny: str) -> Iterator[Served]:
    storage = tmp_path_factory.mktemp("serve")
    port = free_address().rpartition(":")[2]
    command = Command(
        storage, "serve", str(ROOT / "configs" / "smoke" / "label.yaml"), f"storage={storage}",
        f"labeler.model.path={tiny}", "labeler.model.context=1024", "label.pairs=null", f"serve.port={port}",
        "serve.largest_text=8000",
    )  # fmt: skip
    url = f"http://127.0.0.1:{port}"
    try:
        command.until(lambda: command.outcome().out.rstrip().endswith(url))
        yield Served(url, command)
        command.signal_group(signal.SIGTERM)
        assert command.wait(60).code == 0
        assert command.survivors(30) == []
    finally:
        command.end()


def test_compare_asks_both_orders_and_swapping_swaps(served: Served) -> None:
    one = served.post("/compare", PAIR).json()
    other = served.post("/compare", PAIR | {"first": PAIR["second"], "second": PAIR["first"]}).json()
    assert one["p_first"] == pytest.approx(1 - other["p_first"], abs=1e-4)
    assert one["logprobs_as_given"] == pytest.approx(other["logprobs_swapped"], abs=1e-2)
    assert one["preferred"] == ("first" if one["p_first"] > 0.5 else "second")
    assert isinstance(one["flips"], bool)
    assert one["calibrated"] is False


def test_score_lies_in_range(served: Served) -> None:
    answer = served.post("/score", {"prompt": "Name a fruit.", "response": "Apple."})
    assert answer.status_code == 200
    assert -1 <= answer.json()["score"] <= 1


def test_health(served: Served) -> None:
    answer = httpx2.get(f"{served.url}/health", timeout=60, trust_env=False)
    assert (answer.status_code, answer.json()) == (200, {"status": "ok", "criteria": ["overall"]})


@pytest.mark.parametrize(
    ("path", "body", "status", "said"),
    [
        ("/compare", {"prompt": "Why?", "first": "So."}, 422, "Field required"),
        ("/compare", PAIR | {"mood": "good"}, 422, "Extra inputs are not permitted"),
        ("/compare", PAIR | {"first": "  "}, 422, "a text is blank; give one with words"),
        ("/score", {"prompt": "Why?", "response": 3}, 422, "Input should be a valid string"),
        ("/score", {"prompt": "Why?", "response": "x" * 8001}, 422, "a text has 8001 characters; 8000 are taken"),
        ("/score", {"prompt": "Why?", "response": "word " * 1000}, 422, "tokens; 1022 fit the context"),
    ],
)  # fmt: skip
def test_bad_requests_are_refused_with_a_reason(
    served: Served, path: str, body: object, status: int, said: str
) -> None:
    answer = served.post(path, body)
    assert answer.status_code == status
    assert said in json.dumps(answer.json())


def test_what_is_no_json_and_who_is_not_there(served: Served) -> None:
    answer = httpx2.post(f"{served.url}/score", content=b"{", timeout=60, trust_env=False)
    assert answer.status_code == 422
    assert httpx2.get(f"{served.url}/nowhere", timeout=60, trust_env=False).status_code == 404


def test_it_listens_on_this_machine_alone(served: Served) -> None:
    import psutil

    port = int(served.url.rpartition(":")[2])
    listening = {c.laddr.ip for c in psutil.net_connections("tcp") if c.status == "LISTEN" and c.laddr.port == port}
    assert listening == {"127.0.0.1"}


def test_a_free_port_is_picked_and_a_taken_one_refused() -> None:
    assert free_port(Serve(port=0)) > 0
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(
            ConfigError, match=f"^serve: 127.0.0.1:{port} cannot be listened on .*; give another serve.port"
        ):
            free_port(Serve(port=port))
    assert free_port(Serve(port=port)) == port
    with pytest.raises(ConfigError, match=r"serve: no\.such\.host\.invalid:0 cannot be listened on"):
        free_port(Serve(host="no.such.host.invalid", port=0, without_token=True))


# --- on a cluster that others use ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    """Address of a cluster that outlives the commands; this process is connected to it."""
    import ray
    from ray._private.authentication_test_utils import reset_auth_token_state
    from ray.cluster_utils import Cluster as Nodes

    with own_token():
        os.environ |= {"RAY_worker_niceness": "0", "RAY_enable_worker_prestart": "0"}
        # This process may have loaded Ray, or have been in another cluster, before it got the token.
        reset_auth_token_state()
        bare: dict[str, Any] = {"num_cpus": 2, "include_dashboard": False, "include_log_monitor": False}
        nodes = Nodes(initialize_head=True, head_node_args={"no_monitor": True, **bare})
        here = {"PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"}
        try:
            ray.init(nodes.address, log_to_driver=False, logging_level=logging.CRITICAL, runtime_env={"env_vars": here})
            yield nodes.address
        finally:
            ray.shutdown()
            nodes.shutdown()
    reset_auth_token_state()


def port() -> int:
    """One that nobody has."""
    return int(free_address().rpartition(":")[2])


class Somebody:
    """Another application."""

    async def __call__(self, request: Any) -> str:
        return "not a labeler"


def test_a_serve_that_others_started_is_shared_or_refused(cluster: str) -> None:
    from ray import serve

    theirs, ours = port(), port()
    assert begin({"host": "127.0.0.2", "port": theirs})
    try:
        for host, asked in (("127.0.0.2", ours), ("127.0.0.1", theirs)):
            with pytest.raises(ConfigError) as caught:
                listening(Serve(host=host, port=asked), ["no-such-application"])
            assert str(caught.value) == (
                f"serve: Ray Serve runs on this cluster already, at 127.0.0.2:{theirs}, and cannot listen on {host}:{asked}"
                f" too; give serve.host=127.0.0.2 serve.port={theirs}, or end it (`serve shutdown` on the cluster)"
            )
        for asked in (theirs, 0):
            settings, started_here = listening(Serve(host="127.0.0.2", port=asked), ["no-such-application"])
            assert (settings.port, started_here) == (theirs, False)
        install("somebody", serve.deployment(Somebody), route="/")
        with pytest.raises(ConfigError, match=f"at 127.0.0.2:{theirs}, and answers for somebody; end the command"):
            listening(Serve(host="127.0.0.2", port=theirs), ["no-such-application"])
    finally:
        serve.shutdown()


def test_what_a_killed_command_left_is_replaced_and_an_ended_one_leaves_nothing(
    cluster: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import ray

    # As in a job: no address in the study.
    monkeypatch.setenv("RAY_ADDRESS", cluster)
    with serving() as server:
        labeler = {"kind": "endpoint", "url": f"http://127.0.0.1:{server.server_port}/v1", "model": "judge"}

        def command(at: int) -> Command:
            started = Command(
                tmp_path, "serve", str(ROOT / "configs" / "smoke" / "label.yaml"), f"storage={tmp_path}",
                f"labeler={json.dumps(labeler)}", "label.pairs=null", f"serve.port={at}",
            )  # fmt: skip
            started.until(lambda: started.outcome().out.rstrip().endswith(f"http://127.0.0.1:{at}"))
            return started

        first, second = port(), port()
        killed = command(first)
        try:
            there = standing()
            assert there is not None
            assert [name.rpartition("-")[0] for name in sorted(there.routes)] == [
                "truing-smoke-label-endpoint", "truing-smoke-label-serve",
            ]  # fmt: skip
            for name in there.routes:
                with pytest.raises(ConfigError, match="from another command of this run, which still runs"):
                    make_way(name)
            killed.signal_group(signal.SIGKILL)
            killed.wait()
            # Nobody has told the cluster.
            left = standing()
            assert left is not None
            assert left.routes == there.routes
        finally:
            killed.end()
        # It listens at another port: what nobody uses is not in its way.
        ended = command(second)
        try:
            assert httpx2.get(f"http://127.0.0.1:{second}/health", timeout=60, trust_env=False).status_code == 200
            ended.signal_group(signal.SIGTERM)
            ended.wait(60).expect(0)
        finally:
            ended.end()
    with pytest.raises(ValueError, match="SERVE_CONTROLLER_ACTOR"):
        ray.get_actor("SERVE_CONTROLLER_ACTOR", namespace="serve")


def test_roles_that_cannot_all_be_started_leave_no_replicas(
    cluster: str, tiny: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The engine wants a kind of node that is not there; the labeler's replicas are on their way when that is known."""
    from ray import serve

    monkeypatch.setattr("trainers.roles.ROOM", 1.0)
    with serving() as server:
        judge = EndpointLabeler(url=f"http://127.0.0.1:{server.server_port}/v1", model="judge")
        labelers = {"ai_score": (judge, tmp_path / "run" / "spent" / "judge", "")}
        settings, nowhere = Policy(rewards=(AiScorePart(serve=Replicas()),)), Cluster(nodes={"rollout": "nowhere"})
        prompts = [Prompt("a", "Why?", "any", "id")]
        try:
            with pytest.raises(ShortOfResources, match=r"^rollout: 1 actors of 1 nowhere each found no room"):
                Roles(settings, Model(path=tiny), labelers, nowhere, Folders(tiny, ""), prompts)
            assert standing() is not None
            assert serve.status().applications == {}
        finally:
            serve.shutdown()

"""`truing serve` as a user starts it on a cluster of its own, with a token, in front of a server of models of the tests."""

import json
import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any

import httpx2
import psutil
import pytest

from tests.actors.chat_server import completion, serving
from tests.jobs.drive import ROOT, Command

pytestmark = pytest.mark.timeout(1200)

TOKEN = "0123456789abcdef-of-a-test"
VARIABLE = "TRUING_TEST_TOKEN"
PAIR = {"prompt": "Name a fruit.", "first": "Apple.", "second": "I will not."}
LIMIT, BURST = 4096, 8
REPLICA = "ray::ServeReplica"


@dataclass(frozen=True)
class Served:
    """A running endpoint. Each of its clients says that it speaks for another address, as a proxy on this machine does."""

    url: str
    command: Command

    def ask(self, method: str, path: str, address: str, token: str | None = TOKEN, **given: Any) -> httpx2.Response:
        headers = {"X-Forwarded-For": address} | ({} if token is None else {"Authorization": f"Bearer {token}"})
        return httpx2.request(method, f"{self.url}{path}", headers=headers, timeout=120, trust_env=False, **given)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    storage = tmp_path_factory.mktemp("guarded")
    with serving() as server:
        server.script = lambda n, body: completion("1", {"1": 0.6, "2": 0.2})
        labeler = {"kind": "endpoint", "url": f"http://127.0.0.1:{server.server_port}/v1", "model": "judge"}
        os.environ[VARIABLE] = TOKEN
        try:
            command = Command(
                storage, "serve", str(ROOT / "configs" / "smoke" / "label.yaml"), f"storage={storage}",
                f"labeler={json.dumps(labeler)}", "label.pairs=null", "serve.port=0", f"serve.token_variable={VARIABLE}",
                f"serve.largest_body={LIMIT}", f"serve.rate={{per_second: 0.001, burst: {BURST}}}",
            )  # fmt: skip
        finally:
            del os.environ[VARIABLE]
        try:
            command.until(lambda: command.outcome().out.rstrip().rpartition("\n")[2].startswith("http://127.0.0.1:"))
            yield Served(command.outcome().last_line, command)
            command.signal_group(signal.SIGTERM)
            assert command.wait(60).code == 0
            assert command.survivors(30) == []
        finally:
            command.end()


def test_the_token_opens_and_nothing_else_does(served: Served):
    answer = served.ask("POST", "/compare", "192.0.2.1", json=PAIR)
    assert answer.status_code == 200
    assert answer.json()["p_first"] == pytest.approx(0.5)
    for token in (None, TOKEN[:-1]):
        refused = served.ask("POST", "/compare", "192.0.2.1", token, json=PAIR)
        assert (refused.status_code, refused.headers["WWW-Authenticate"]) == (401, "Bearer")


def test_a_large_body_is_refused_whether_it_says_so_or_not(served: Served):
    announced = served.ask("POST", "/score", "192.0.2.2", content=b"{" * (LIMIT + 1))
    in_pieces = served.ask("POST", "/score", "192.0.2.2", content=(b"{" * 1024 for _ in range(6)))
    for answer in (announced, in_pieces):
        assert answer.status_code == 413
        assert answer.json() == {"detail": f"the body has more than {LIMIT} bytes (serve.largest_body)"}
    # One that may pass is read, and found to be no JSON.
    assert served.ask("POST", "/score", "192.0.2.2", content=(b"{" * 1024 for _ in range(4))).status_code == 422


def test_an_address_has_its_own_rate(served: Served):
    found = [served.ask("GET", "/health", "192.0.2.3").status_code for _ in range(BURST + 1)]
    assert found == [200] * BURST + [429]
    late = served.ask("GET", "/health", "192.0.2.3")
    assert 900 < int(late.headers["Retry-After"]) <= 1000
    assert served.ask("GET", "/health", "192.0.2.4").status_code == 200


def test_the_token_is_nowhere_to_be_read(served: Served):
    outcome = served.command.outcome()
    assert TOKEN not in outcome.out + outcome.err
    stored = [path for path in _files(served) if TOKEN.encode() in path.read_bytes()]
    assert stored == []
    assert not any(TOKEN in " ".join(process.cmdline()) for process in served.command.descendants())


def _files(served: Served) -> list[Any]:
    """What the run has written, and the logs of its cluster."""
    from pathlib import Path

    sessions = {
        Path(word.partition("=")[2]) for process in served.command.descendants() for word in process.cmdline()
        if word.startswith(("--session-dir=", "--session_dir="))
    }  # fmt: skip
    assert sessions
    written = [path for folder in sessions for path in folder.rglob("*") if path.is_file()]
    assert any(path.suffix == ".log" for path in written)
    return written


def test_a_cluster_of_its_own_listens_on_this_machine_alone(served: Served):
    listening = _listening(served)
    names = {name for name, _ in listening}
    assert names >= {"gcs_server", "raylet"}
    # Serve binds the port by which its replicas talk to each other to every interface, whatever it is told: see below.
    assert [one for one in sorted(listening) if not _is_loopback(one[1].ip) and not one[0].startswith(REPLICA)] == []


@pytest.mark.parametrize(
    ("name", "method"),
    [(REPLICA, "ray.serve.ASGIService/HandleRequest"), ("gcs_server", "ray.rpc.JobInfoGcsService/GetAllJobInfo")],
)
def test_who_has_no_token_of_the_cluster_is_refused_by_its_ports(served: Served, name: str, method: str):
    import grpc

    ports = {address.port for process, address in _listening(served) if process.startswith(name)}
    assert ports
    answers: set[grpc.StatusCode] = set()
    for port in ports:
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel, pytest.raises(grpc.RpcError) as refused:
            channel.unary_unary(f"/{method}")(b"", timeout=60)
        answers.add(refused.value.code())
    # A replica has another port, its worker's, which does not know that method; it listens on loopback.
    assert grpc.StatusCode.UNAUTHENTICATED in answers
    assert grpc.StatusCode.OK not in answers


def _listening(served: Served) -> set[tuple[str, Any]]:
    """Name of the process and address, of every TCP port that the command or a descendant listens on."""
    return {
        (process.name(), one.laddr)
        for process in served.command.descendants()
        for one in process.net_connections("tcp")
        if one.status == psutil.CONN_LISTEN
    }


def _is_loopback(text: str) -> bool:
    """IPv4 loopback may be written as an IPv6 address."""
    address = ip_address(text)
    mapped = address.ipv4_mapped if address.version == 6 else None
    return (mapped or address).is_loopback

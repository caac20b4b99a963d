"""`truing serve` as a user starts it, on the tiny model, and asked over HTTP."""

import json
import signal
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx2
import pytest

from actors.learner import free_address
from jobs.serve import free_port
from tests.jobs.drive import ROOT, Command
from truing.config.serving import Serve
from truing.errors import ConfigError

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

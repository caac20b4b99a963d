"""The endpoint's real app and a real labeler, asked through ASGI; the server of models behind it is the tests' own."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.testclient import TestClient

from actors.labeler import Labeler
from actors.labelers import open_labeler
from jobs.http import Answering, http_app
from jobs.http_guard import SealedToken, client_of, sealed_token
from tests.actors.chat_server import Server, completion, error, serving
from truing.config.labeling import EndpointLabeler, Style
from truing.config.serving import Rate, Serve
from truing.errors import ConfigError
from truing.labeling.asking import Asking
from truing.labeling.templates import load_template

PAIR = {"prompt": "Name a fruit.", "first": "Apple.", "second": "I will not."}
TOKEN, VARIABLE = "0123456789abcdef-of-a-test", "A_TOKEN"
ANSWERING = Answering(
    Asking({"*": load_template("helpful")}, Style()), Asking({"*": load_template("score")}, Style()), None
)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serving() as server:
        server.script = lambda n, body: completion("1", {"1": 0.6, "2": 0.2})
        yield server


@pytest.fixture(scope="module")
def labeler(server: Server) -> Labeler:
    return open_labeler(EndpointLabeler(url=f"http://127.0.0.1:{server.server_port}/v1", model="judge"))


def client(labeler: Labeler, settings: Serve, token: str | None = None, address: str = "192.0.2.7") -> TestClient:
    """One client of an app of its own."""

    async def ask(asked: tuple[Any, Any]) -> Any:
        function, item = asked
        return (await asyncio.to_thread(function, labeler, [item]))[0]

    app = http_app(ask, settings, ANSWERING, None if token is None else SealedToken.of(token))
    return TestClient(app, client=(address, 40_000))


# --- what passes ---------------------------------------------------------------------------------


def test_what_may_pass_is_answered(labeler: Labeler, server: Server):
    asks = client(labeler, Serve())
    answer = asks.post("/compare", json=PAIR)
    assert answer.status_code == 200
    # Both orders put 0.6 on the first place and 0.2 on the second: 0.75 and 1 - 0.75, averaged.
    assert answer.json()["p_first"] == pytest.approx(0.5)
    assert asks.get("/health").json() == {"status": "ok", "criteria": ["overall"]}
    assert asks.post("/compare", json={"prompt": "x"}).status_code == 422
    assert asks.get("/openapi.json").status_code == 404


def test_a_body_in_pieces_arrives_whole(labeler: Labeler):
    text = json.dumps(PAIR).encode()
    pieces = (text[i : i + 7] for i in range(0, len(text), 7))
    answer = client(labeler, Serve()).post("/compare", content=pieces, headers={"Content-Type": "application/json"})
    assert answer.status_code == 200


def test_what_the_server_behind_it_says_is_told_without_a_secret(labeler: Labeler, server: Server):
    script, key = server.script, "hf" + "_aBcDeFgHiJkLmNoPqRsT"
    server.script = lambda n, body: error(403, f"the key {key} may not")
    try:
        answer = client(labeler, Serve()).post("/compare", json=PAIR)
    finally:
        server.script = script
    assert answer.status_code == 502
    assert "the key *** may not" in answer.json()["detail"]


# --- the size of the body ------------------------------------------------------------------------


def test_a_body_may_be_as_large_as_the_limit_and_no_larger(labeler: Labeler):
    text = json.dumps(PAIR).encode()
    typed = {"Content-Type": "application/json"}
    just = client(labeler, Serve(largest_body=len(text)))
    assert just.post("/compare", content=text, headers=typed).status_code == 200
    short = client(labeler, Serve(largest_body=len(text) - 1))
    for content in (text, iter([text[:20], text[20:]])):
        answer = short.post("/compare", content=content, headers=typed)
        assert answer.status_code == 413
        assert answer.json() == {"detail": f"the body has more than {len(text) - 1} bytes (serve.largest_body)"}


def test_a_body_is_not_read_beyond_the_limit_nor_parsed(labeler: Labeler):
    read = 0

    def endless() -> Iterator[bytes]:
        nonlocal read
        for _ in range(1000):
            read += 100
            yield b"{" * 100

    # No JSON at all: had it been parsed, the answer would be 422.
    assert asked_in_pieces(labeler, Serve(largest_body=1000), endless()) == 413
    assert read == 1100


def asked_in_pieces(labeler: Labeler, settings: Serve, pieces: Iterator[bytes]) -> int:
    """The status of a request whose body is handed out piece by piece, as a server does."""
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        piece = next(pieces, None)
        return {"type": "http.request", "body": piece or b"", "more_body": piece is not None}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    scope = {
        "type": "http", "method": "POST", "path": "/score", "raw_path": b"/score", "query_string": b"", "root_path": "",
        "headers": [(b"content-type", b"application/json")], "client": ("192.0.2.7", 1), "server": ("127.0.0.1", 80),
        "scheme": "http", "http_version": "1.1",
    }  # fmt: skip
    asyncio.run(client(labeler, settings).app(scope, receive, send))
    return sent[0]["status"]


@pytest.mark.parametrize("length", ["1000000", "9" * 5000])
def test_what_a_head_announces_is_refused_before_the_body_is_read(labeler: Labeler, length: str):
    answer = client(labeler, Serve(largest_body=1000)).post("/score", content=b"", headers={"Content-Length": length})
    assert answer.status_code == 413
    assert answer.headers["Connection"] == "close"


# --- the rate ------------------------------------------------------------------------------------


def test_too_many_requests_are_told_when_to_come_back(labeler: Labeler):
    settings = Serve(rate=Rate(per_second=0.001, burst=2))
    asks = client(labeler, settings)
    assert [asks.get("/health").status_code for _ in range(3)] == [200, 200, 429]
    answer = asks.post("/compare", json=PAIR)
    assert answer.status_code == 429
    assert answer.json() == {"detail": "too many requests from this address (serve.rate)"}
    # 1000 s fill one token; a few of them may have gone by.
    assert 900 < int(answer.headers["Retry-After"]) <= 1000


def test_another_address_is_not_held_up(labeler: Labeler):
    asks = client(labeler, Serve(rate=Rate(per_second=0.001, burst=1)))
    other = TestClient(asks.app, client=("192.0.2.8", 40_000))
    assert [asks.get("/health").status_code for _ in range(2)] == [200, 429]
    assert other.get("/health").status_code == 200


def test_without_a_rate_all_is_taken(labeler: Labeler):
    asks = client(labeler, Serve(rate=None))
    assert {asks.get("/health").status_code for _ in range(250)} == {200}


def test_guesses_of_a_token_count_as_requests(labeler: Labeler):
    asks = client(labeler, Serve(rate=Rate(per_second=0.001, burst=2)), TOKEN)
    assert [asks.get("/health", headers=bearer("wrong")).status_code for _ in range(3)] == [401, 401, 429]


@pytest.mark.parametrize(
    ("host", "counted"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        # One household has 2^64 addresses of a /64.
        ("2001:db8:1:2:aaaa::1", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:bbbb::2", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::1", "2001:db8:1:3::/64"),
        ("testclient", "testclient"),
    ],
)
def test_whom_a_request_is_counted_to(host: str, counted: str):
    assert client_of({"client": (host, 1)}) == counted


def test_a_request_of_nobody_known_is_counted_too():
    assert client_of({"client": None}) == client_of({}) == ""


# --- the token -----------------------------------------------------------------------------------


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def test_who_brings_the_token_is_answered(labeler: Labeler):
    asks = client(labeler, Serve(), TOKEN)
    assert asks.post("/compare", json=PAIR, headers=bearer(TOKEN)).status_code == 200
    assert asks.get("/health", headers={"Authorization": f"bearer  {TOKEN} "}).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [{}, bearer(""), bearer(TOKEN[:-1]), bearer(f"{TOKEN}x"), bearer(TOKEN.upper()), {"Authorization": TOKEN},
     {"Authorization": f"Basic {TOKEN}"}, {"Authorization": f"Bearer {chr(0xE9)}".encode("latin-1").decode("latin-1")}],
)  # fmt: skip
@pytest.mark.parametrize("path", ["/health", "/compare", "/nowhere"])
def test_who_does_not_is_refused_whatever_is_asked(labeler: Labeler, path: str, headers: dict[str, str]):
    encoded = {name: value.encode("latin-1") for name, value in headers.items()}
    answer = client(labeler, Serve(), TOKEN).request("GET", path, headers=encoded)
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert TOKEN not in answer.text


@given(token=st.text(min_size=16), other=st.text())
def test_a_seal_opens_to_its_token_alone_and_does_not_show_it(token: str, other: str):
    seal = SealedToken.of(token)
    assert seal.opens(token)
    assert seal.opens(other) == (token == other)
    assert token not in repr(seal)
    assert SealedToken.of(token) != seal


def test_the_token_is_read_from_the_environment(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(VARIABLE, f" {TOKEN}\n")
    seal = sealed_token(Serve(token_variable=VARIABLE))
    assert seal is not None
    assert seal.opens(TOKEN)
    assert sealed_token(Serve()) is None


@pytest.mark.parametrize("value", [None, "", "fifteen-letters", "sixteen letters and spaces", "sixteen-lettérs-and-é"])
def test_what_is_no_token_is_refused_and_not_shown(monkeypatch: pytest.MonkeyPatch, value: str | None):
    monkeypatch.delenv(VARIABLE, raising=False)
    if value is not None:
        monkeypatch.setenv(VARIABLE, value)
    with pytest.raises(ConfigError) as error:
        sealed_token(Serve(token_variable=VARIABLE))
    assert str(error.value) == (
        "serve.token_variable: the environment variable A_TOKEN holds no token of 16 or more ASCII letters without a space;"
        " set it where `truing serve` is started: `openssl rand -hex 32` makes one"
    )

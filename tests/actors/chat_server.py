"""A server of chat completions on loopback that misbehaves to order."""

import math
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from json import dumps, loads
from socket import SO_LINGER, SOL_SOCKET
from typing import Any


@dataclass
class Answer:
    """What the server does with one request."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    wait: float = 0.0
    reset: bool = False
    drip: float = 0.0


def completion(
    text: str | None = "1", top: dict[str, float] | None = None, tokens: tuple[int, int] = (10, 1)
) -> Answer:
    """A completion of `text`, whose first token had these probabilities. Without `top`, no log-probs."""
    shown = [{"token": token, "logprob": math.log(p), "bytes": None} for token, p in (top or {}).items()]
    first = {"token": text, "logprob": -0.5, "bytes": None, "top_logprobs": shown}
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": text},
        "logprobs": {"content": [first]} if top else None,
        "finish_reason": "length",
    }
    usage = {"prompt_tokens": tokens[0], "completion_tokens": tokens[1], "total_tokens": sum(tokens)}
    return Answer(body=dumps({"id": "x", "object": "chat.completion", "choices": [choice], "usage": usage}).encode())


def error(status: int, message: str = "no", **headers: str) -> Answer:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(status, dumps({"error": {"message": message}}).encode(), named)


GOOD = completion("1", {"1": 0.75, "2": 0.25})


class Server(ThreadingHTTPServer):
    """Answers the n-th request (from 0) with `script(n, body)`, and remembers what it was sent."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.script: Callable[[int, dict[str, Any]], Answer] = lambda n, body: GOOD
        self.bodies: list[dict[str, Any]] = []
        self.keys: list[str | None] = []
        self.paths: list[str] = []
        self.times: list[float] = []
        self.under_way = self.most_under_way = 0
        self.lock = threading.Lock()

    def play(self, *answers: Answer) -> None:
        """These answers in turn, and then the last one for ever."""
        self.script = lambda n, body: answers[min(n, len(answers) - 1)]

    def by_question(self, answers: dict[str, Answer]) -> None:
        """The answer that belongs to the text of the last turn."""
        self.script = lambda n, body: answers[body["messages"][-1]["content"]]


class Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        server = self.server
        body = loads(self.rfile.read(int(self.headers["Content-Length"])))
        with server.lock:
            number = len(server.bodies)
            server.bodies.append(body)
            server.keys.append(self.headers["Authorization"])
            server.paths.append(self.path)
            server.times.append(time.monotonic())
            server.under_way += 1
            server.most_under_way = max(server.most_under_way, server.under_way)
        answer = server.script(number, body)
        time.sleep(answer.wait)
        with server.lock:
            server.under_way -= 1
        if answer.reset:
            self.connection.setsockopt(SOL_SOCKET, SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
            self.close_connection = True
            return
        self.send_response(answer.status)
        for name, value in {"Content-Length": str(len(answer.body)), **answer.headers}.items():
            self.send_header(name, value)
        self.end_headers()
        try:
            for byte in range(len(answer.body)) if answer.drip else ():
                self.wfile.write(answer.body[byte : byte + 1])
                time.sleep(answer.drip)
            if not answer.drip:
                self.wfile.write(answer.body)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    def log_message(self, *args: Any) -> None:
        pass


@contextmanager
def serving() -> Iterator[Server]:
    """A running server."""
    server = Server()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()

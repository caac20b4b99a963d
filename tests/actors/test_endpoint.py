"""The endpoint as judge: against a server on loopback that misbehaves to order."""

import copy
import logging
import math
import struct
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from json import dumps, loads
from socket import SO_LINGER, SOL_SOCKET
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors import chat_completions
from actors.chat_completions import TopToken, retry_after, wait_before
from actors.endpoint import EndpointJudge, ambiguous, counted, messages, token_likelihoods
from actors.spending import BudgetSpent, Spending, Usage
from truing.config.labeling import EndpointLabeler, Price
from truing.errors import ActorDied, ConfigError
from truing.labeling.questions import Question, Turn
from truing.records import Failed, NotAsked, Unparsable

KEY = "sk-a-very-secret-word"
LN = math.log
NONE = -math.inf


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
    shown = [{"token": token, "logprob": LN(p), "bytes": None} for token, p in (top or {}).items()]
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


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Short waits between retries, and a key."""
    monkeypatch.setattr(chat_completions, "FIRST_WAIT", 0.01)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)


Make = Callable[..., EndpointJudge]


@pytest.fixture
def judge_with(server: Server) -> Iterator[Make]:
    made: list[EndpointJudge] = []

    def make(**settings: Any) -> EndpointJudge:
        url = f"http://127.0.0.1:{server.server_port}/v1"
        made.append(EndpointJudge(EndpointLabeler(**{"url": url, "model": "m", "timeout": 5, **settings})))
        return made[-1]

    yield make
    for judge in made:
        judge.close()


def question(text: str = "Which is better?", labels: Sequence[str] = ("1", "2")) -> Question:
    return Question((Turn("system", "You judge."), Turn("user", text)), "Preferred Response=", tuple(labels))


def questions(count: int) -> list[Question]:
    return [question(f"question {i}") for i in range(count)]


def close(**expected: float) -> dict[str, Any]:
    """Likelihoods from probabilities by label; the label's underscore is dropped."""
    return {label.strip("_"): NONE if p == 0 else pytest.approx(LN(p), abs=1e-9) for label, p in expected.items()}


# --- log-probs --------------------------------------------------------------------------------------------------------


def test_a_label_has_the_probability_of_all_its_spellings(server: Server, judge_with: Make) -> None:
    # "1": .5 + .125 (with a space before it) = .625; "2": .25; "12" and "One" are no labels.
    server.play(completion("1", {"1": 0.5, "2": 0.25, " 1": 0.125, "One": 0.0625, "12": 0.03125}))
    assert judge_with().likelihoods([question()]) == [close(_1=0.625, _2=0.25)]


def test_what_is_sent(server: Server, judge_with: Make) -> None:
    judge_with(model="judge-7").likelihoods([question()])
    assert server.paths == ["/v1/chat/completions"]
    assert server.keys == [f"Bearer {KEY}"]
    assert server.bodies == [
        {
            "model": "judge-7",
            "messages": [{"role": "system", "content": "You judge."}, {"role": "user", "content": "Which is better?"}],
            "max_tokens": 1,
            "temperature": 1.0,
            "top_p": 1.0,
            "logprobs": True,
            "top_logprobs": 20,
        }
    ]


def test_a_label_that_is_not_shown_is_ruled_out_and_no_label_at_all_is_unparsable(
    server: Server, judge_with: Make
) -> None:
    server.play(completion("2", {"2": 0.5, "3": 0.25}), completion("Hm", {"Hm": 0.5, "So": 0.25}))
    judge = judge_with(concurrency=1)
    assert judge.likelihoods(questions(2)) == [close(_1=0, _2=0.5), Unparsable("Hm")]
    assert judge.usage.failures == 0


def test_a_position_without_alternatives_is_read_from_the_token_that_was_drawn(
    server: Server, judge_with: Make
) -> None:
    body = loads(GOOD.body)
    body["choices"][0]["logprobs"]["content"] = [{"token": "2", "logprob": -0.25}]
    server.play(Answer(body=dumps(body).encode()))
    assert judge_with().likelihoods([question()]) == [{"1": NONE, "2": pytest.approx(-0.25)}]


@given(st.permutations([("1", -0.5), (" 1", -3.0), ("2", -2.0), ("10", -9.0), ("x", -2.5)]))
def test_likelihoods_do_not_depend_on_the_order_of_the_tokens(order: list[tuple[str, float]]) -> None:
    found = token_likelihoods([TopToken(token=token, logprob=logp) for token, logp in order], ["1", "2", "3"])
    assert found == {"1": pytest.approx(LN(math.exp(-0.5) + math.exp(-3))), "2": pytest.approx(-2.0), "3": NONE}


def test_answers_come_in_the_order_of_the_questions(server: Server, judge_with: Make) -> None:
    asked = questions(12)
    share = {f"question {i}": (i + 1) / 16 for i in range(12)}
    script = {text: completion("1", {"1": p, "2": 1 - p}) for text, p in share.items()}
    for text, answer in script.items():
        answer.wait = 0.2 * (1 - share[text])  # The first questions are answered last.
    server.by_question(script)
    expected = [close(_1=p, _2=1 - p) for p in share.values()]
    assert judge_with(concurrency=12).likelihoods(asked) == expected
    assert judge_with(concurrency=5).likelihoods(asked[::-1]) == expected[::-1]


def test_a_server_without_logprobs_ends_the_job_and_names_the_setting(server: Server, judge_with: Make) -> None:
    server.play(completion("1"))
    judge = judge_with(concurrency=1)
    found = judge.likelihoods(questions(5))
    assert all(isinstance(answer, NotAsked) for answer in found)
    assert len(server.bodies) == 1
    with pytest.raises(ConfigError, match=r"labeler\.read: the endpoint shows no log-probs; set it to samples"):
        judge.check()


def test_a_filtered_reply_is_unparsable_alone(server: Server, judge_with: Make) -> None:
    server.play(completion(None), GOOD)
    assert judge_with(concurrency=1).likelihoods(questions(2)) == [Unparsable(""), close(_1=0.75, _2=0.25)]


def test_likelihoods_need_labels(judge_with: Make) -> None:
    with pytest.raises(ValueError, match="without labels"):
        judge_with().likelihoods([Question((Turn("user", "?"),), "", ())])


# --- turns ------------------------------------------------------------------------------------------------------------


def test_exemplars_answer_with_the_bare_label_and_a_rationale_is_followed_by_the_question() -> None:
    turns = (
        Turn("user", "example"),
        Turn("assistant", "Preferred Response=2"),
        Turn("user", "Preferred Response=2"),
        Turn("assistant", "Because it is short.\n\n"),
    )
    found = messages(Question(turns, "Preferred Response=", ("1", "2")))
    assert [m["role"] for m in found] == ["user", "assistant", "user", "assistant", "user"]
    # What a user turn holds is never changed, whatever it looks like.
    assert [m["content"] for m in found[:4]] == ["example", "2", "Preferred Response=2", "Because it is short.\n\n"]
    assert found[4]["content"] == 'What stands after "Preferred Response="? Reply with 1 or 2 and nothing else.'
    # A reply is decoded from the turns as they are.
    assert len(messages(Question(turns, "", ()))) == 4


# --- labels of which one begins another -------------------------------------------------------------------------------

TEN = tuple(str(i) for i in range(1, 11))


def test_ten_is_read_where_it_is_a_token_and_sampled_where_1_may_go_on(server: Server, judge_with: Make) -> None:
    def script(n: int, body: dict[str, Any]) -> Answer:
        text = body["messages"][-1]["content"]
        if text == "own token":
            return completion("1", {"1": 0.5, "10": 0.25, "7": 0.125})
        if text == "hardly":  # 0.001 / 0.9 of the labels' mass is on "1": less than 1 %.
            return completion("8", {"8": 0.899, "1": 0.001})
        if "logprobs" in body:
            return completion("1", {"1": 0.75, "7": 0.25})
        return completion(("10", "10", "1", "7")[n % 4])

    server.script = script
    judge = judge_with(concurrency=1, samples=4)
    asked = [question(text, TEN) for text in ("own token", "split", "hardly")]
    own, split, hardly = judge.likelihoods(asked)
    nothing = dict.fromkeys(TEN, NONE)
    assert own == nothing | close(_1=0.5, _10=0.25, _7=0.125)
    assert split == nothing | close(_1=0.25, _10=0.5, _7=0.25)
    assert hardly == nothing | close(_8=0.899, _1=0.001)
    assert len(server.bodies) == 3 + 4


@given(st.lists(st.floats(-20, 0), min_size=2, max_size=5))
def test_labels_that_do_not_begin_each_other_are_never_sampled(logps: list[float]) -> None:
    assert not ambiguous({f"{i}.": logp for i, logp in enumerate(logps)} | {"no": NONE})


# --- samples ----------------------------------------------------------------------------------------------------------


def test_samples_are_counted_and_unreadable_ones_lower_the_mass(server: Server, judge_with: Make) -> None:
    server.play(completion("1"), completion("2."), completion("well, 1"), completion("Preferred Response=1"))
    judge = judge_with(read="samples", samples=4, concurrency=1)
    assert judge.likelihoods([question()]) == [close(_1=2 / 4, _2=1 / 4)]
    assert {body["temperature"] for body in server.bodies} == {1.0}
    assert len({body["seed"] for body in server.bodies}) == 4
    assert "logprobs" not in server.bodies[0]
    # Asked again, the same seeds: a server that honours them gives the same label.
    judge.likelihoods([question()])
    assert [b["seed"] for b in server.bodies[:4]] == [b["seed"] for b in server.bodies[4:]]


def test_failed_samples_leave_the_others_and_no_readable_one_is_unparsable() -> None:
    one = question()
    assert counted(one, ["1", Failed("x"), "1", "2"]) == close(_1=2 / 3, _2=1 / 3)
    assert counted(one, ["2", "2"]) == {"1": NONE, "2": 0.0}
    assert counted(one, ["hm", Failed("x"), "so"]) == Unparsable("hm")
    assert counted(one, [Failed("x"), Failed("y")]) == Failed("x")
    assert counted(one, ["1", NotAsked("budget")]) == NotAsked("budget")


def test_replies_are_texts_drawn_with_their_seeds(server: Server, judge_with: Make) -> None:
    server.script = lambda n, body: completion(f"said {body['seed']}")
    judge = judge_with()
    assert judge.replies(questions(3), 64, 0.7, [5, 6, 7]) == ["said 5", "said 6", "said 7"]
    assert {(b["max_tokens"], b["temperature"]) for b in server.bodies} == {(64, 0.7)}
    with pytest.raises(ValueError, match="shorter"):
        judge.replies(questions(2), 64, 0.7, [1])
    server.play(completion(None))
    assert judge.replies(questions(1), 64, 0.7, [1]) == [
        Failed("endpoint: the reply holds no text (finish_reason length)")
    ]


# --- failures ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fault", [error(408), error(409), error(429), error(500), error(503), Answer(reset=True), Answer(wait=1.0)]
)
def test_a_passing_failure_is_tried_again(server: Server, judge_with: Make, fault: Answer) -> None:
    server.play(fault, fault, GOOD)
    judge = judge_with(timeout=0.5)
    assert judge.likelihoods([question()]) == [close(_1=0.75, _2=0.25)]
    assert judge.usage == Usage(requests=3, retries=2, answers=1, failures=0, prompt_tokens=10, completion_tokens=1)


@pytest.mark.parametrize("status", [400, 403, 413, 422])
def test_a_refused_request_fails_alone_and_at_once(server: Server, judge_with: Make, status: int) -> None:
    server.by_question({"question 0": GOOD, "long": error(status, "too long"), "question 1": GOOD})
    judge = judge_with(concurrency=1, breaker=1)
    first, long, last = judge.likelihoods([questions(1)[0], question("long"), questions(2)[1]])
    assert first == last == close(_1=0.75, _2=0.25)
    assert long == Failed(f'endpoint: HTTP {status}: {{"error": {{"message": "too long"}}}} (attempt 1 of 5)')
    assert judge.usage == Usage(3, 0, 2, 1, 20, 2)
    judge.check()


@pytest.mark.parametrize("status", [401, 402, 404, 307])
def test_what_no_other_request_can_heal_ends_the_job(server: Server, judge_with: Make, status: int) -> None:
    server.play(GOOD, error(status, f"Incorrect key: {KEY}"))
    judge = judge_with(concurrency=1)
    found = judge.likelihoods(questions(5))
    assert found[0] == close(_1=0.75, _2=0.25)
    assert all(isinstance(answer, NotAsked) for answer in found[1:])
    assert len(server.bodies) == 2
    with pytest.raises(
        ConfigError, match=f"will not serve 'm' with the key in OPENAI_API_KEY.*HTTP {status}"
    ) as caught:
        judge.check()
    assert KEY not in str(caught.value) + repr(found)
    assert "Incorrect key: ***" in str(caught.value)


@pytest.mark.parametrize(
    "body",
    [b"<html>", b'{"choices": [', b'{"choices": []}', b"[]", GOOD.body.replace(b"-0.5", b"0.5"), GOOD.body[:-1]],
)
def test_nonsense_is_a_failure_and_is_not_asked_again(server: Server, judge_with: Make, body: bytes) -> None:
    server.play(Answer(body=body))
    judge = judge_with()
    (found,) = judge.likelihoods([question()])
    assert isinstance(found, Failed)
    assert found.reason.startswith("endpoint: the reply is no chat completion (")
    assert (judge.usage.requests, judge.usage.failures) == (1, 1)


def test_retries_end(server: Server, judge_with: Make) -> None:
    server.play(error(500, "oh"))
    judge = judge_with(retries=2)
    assert judge.likelihoods([question()]) == [
        Failed('endpoint: HTTP 500: {"error": {"message": "oh"}} (attempt 3 of 3)')
    ]
    assert (judge.usage.requests, judge.usage.retries, judge.usage.failures) == (3, 2, 1)


def test_retry_after_is_honoured(server: Server, judge_with: Make) -> None:
    server.play(error(429, Retry_After="1"), GOOD)
    assert judge_with().likelihoods([question()]) == [close(_1=0.75, _2=0.25)]
    assert 1.0 <= server.times[1] - server.times[0] < 2.0


def test_a_very_long_retry_after_is_not_waited_for(server: Server, judge_with: Make) -> None:
    server.play(error(429, Retry_After="3600"))
    (found,) = judge_with().likelihoods([question()])
    assert isinstance(found, Failed)
    assert len(server.bodies) == 1


def test_a_server_that_drips_does_not_prolong_the_request(server: Server, judge_with: Make) -> None:
    server.play(Answer(body=GOOD.body, drip=0.05))  # Some 400 bytes: 20 s, without a pause as long as the timeout.
    began = time.monotonic()
    assert judge_with(timeout=0.5, retries=0).likelihoods([question()]) == [
        Failed("endpoint: no reply within 0.5 s (attempt 1 of 1)")
    ]
    assert time.monotonic() - began < 3


@given(st.integers(1, 12), st.floats(0, 100))
def test_waits_grow_are_jittered_and_never_undercut_the_server(retry: int, asked: float) -> None:
    wait = wait_before(retry, asked)
    own = min(30, chat_completions.FIRST_WAIT * 2 ** (retry - 1))
    assert max(own / 2, asked) <= wait <= max(own, 1.25 * asked)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, 0), ("7", 7), ("0.5", 0.5), ("-3", 0), ("soon", 0), ("nan", 0),
        # 1994-11-15 12:45:26 UTC is 784903526 s after the epoch (the example date of RFC 9110, 4 h 33 min 9 s later).
        ("Tue, 15 Nov 1994 12:45:36 GMT", 10), ("Tue, 15 Nov 1994 12:45:16 GMT", 0),
    ],
)  # fmt: skip
def test_retry_after_is_a_number_or_a_date(header: str | None, seconds: float) -> None:
    assert retry_after(header, 784903526.0) == seconds


# --- the breaker ------------------------------------------------------------------------------------------------------


def test_failures_in_a_row_open_the_breaker_and_nothing_more_is_sent(server: Server, judge_with: Make) -> None:
    server.play(GOOD, error(500, "down"))
    judge = judge_with(concurrency=1, breaker=3, retries=1)
    found = judge.likelihoods(questions(20))
    assert found[0] == close(_1=0.75, _2=0.25)
    assert [type(answer) for answer in found[1:]] == [Failed] * 3 + [NotAsked] * 16
    assert len(server.bodies) == 1 + 3 * 2
    assert all(isinstance(answer, NotAsked) for answer in judge.likelihoods(questions(3)))
    assert len(server.bodies) == 7
    with pytest.raises(ActorDied, match=r"failed 3 questions in a row, the last with: HTTP 500.*down"):
        judge.check()


def test_an_answer_between_failures_keeps_the_breaker_closed(server: Server, judge_with: Make) -> None:
    bad = error(500)
    server.play(bad, bad, GOOD, bad, bad, GOOD)
    judge = judge_with(concurrency=1, breaker=3, retries=0)
    assert [type(a) for a in judge.likelihoods(questions(6))] == [Failed, Failed, dict] * 2
    judge.check()


def test_refused_rows_count_until_one_is_accepted(server: Server, judge_with: Make) -> None:
    server.play(error(400, "logprobs is not supported"))
    judge = judge_with(concurrency=1, breaker=3)
    judge.likelihoods(questions(9))
    assert len(server.bodies) == 3
    with pytest.raises(ActorDied, match="logprobs is not supported"):
        judge.check()


def test_whoever_waits_to_retry_gives_up_when_the_judge_stops(server: Server, judge_with: Make) -> None:
    server.by_question({"question 0": error(429, Retry_After="60"), "question 1": error(401)})
    began = time.monotonic()
    found = judge_with(concurrency=2).likelihoods(questions(2))
    assert [type(answer) for answer in found] == [NotAsked, NotAsked]
    assert time.monotonic() - began < 10


# --- limits -----------------------------------------------------------------------------------------------------------


def test_no_more_requests_are_under_way_than_allowed(server: Server, judge_with: Make) -> None:
    slow = Answer(body=GOOD.body, wait=0.1)
    server.play(slow)
    judge = judge_with(concurrency=3)
    # Two callers at once: the cap is the judge's, not the call's.
    other = threading.Thread(target=judge.likelihoods, args=(questions(6),))
    other.start()
    judge.likelihoods(questions(6))
    other.join()
    assert server.most_under_way == 3
    assert judge.usage.answers == 12


def test_tokens_and_cost_are_those_the_server_counts(server: Server, judge_with: Make) -> None:
    server.play(completion("1", {"1": 1.0}, tokens=(1000, 20)), completion("1", {"1": 1.0}, tokens=(3000, 5)))
    judge = judge_with(concurrency=1, price=Price(input=2.0, output=8.0))
    judge.likelihoods(questions(2))
    # (4000 · 2 + 25 · 8) / 1e6
    assert judge.usage == Usage(2, 0, 2, 0, 4000, 25, pytest.approx(0.0082))
    assert judge.usage + judge.usage == Usage(4, 0, 4, 0, 8000, 50, pytest.approx(0.0164))


@pytest.mark.parametrize("concurrency", [1, 8])
def test_the_budget_ends_the_job_cleanly_and_is_never_passed(
    server: Server, judge_with: Make, concurrency: int
) -> None:
    # A token costs 1. The answers cost 100 + 1 each; the most that one could cost is set aside for it: the bytes of
    # "You judge." (10) and "question 0" (10 or 11), twice 128 for the turns, and 1 for the label: 277 or 278.
    server.play(completion("1", {"1": 0.75, "2": 0.25}, tokens=(100, 1)))
    judge = judge_with(concurrency=concurrency, price=Price(input=1e6, output=1e6), budget=1000)
    found = judge.likelihoods(questions(20))
    # 7 answers: 707 spent, 985 with the next one's most; 8 answers: 808, and 1086 is too much.
    assert sum(answer == close(_1=0.75, _2=0.25) for answer in found) == 8
    assert sum(isinstance(answer, NotAsked) for answer in found) == 12
    assert judge.usage == Usage(8, 0, 8, 0, 800, 8, pytest.approx(808))
    with pytest.raises(BudgetSpent, match=r"808 of the budget of 1000 is spent after 8 answers.*labeler\.budget"):
        judge.check()


def test_a_budget_needs_a_server_that_counts(server: Server, judge_with: Make) -> None:
    body = loads(GOOD.body)
    del body["usage"]
    server.play(Answer(body=dumps(body).encode()))
    assert judge_with().likelihoods([question()]) == [close(_1=0.75, _2=0.25)]
    judge = judge_with(budget=1, concurrency=1)
    assert [type(answer) for answer in judge.likelihoods(questions(3))] == [dict, NotAsked, NotAsked]
    with pytest.raises(ConfigError, match=r"labeler\.budget: the endpoint does not count tokens"):
        judge.check()


@given(st.lists(st.tuples(st.integers(1, 50), st.floats(0, 1)), max_size=40), st.integers(1, 300))
def test_reservations_keep_any_sequence_of_costs_within_the_budget(costs: list[tuple[int, float]], budget: int) -> None:
    spending = Spending(Price(input=1e6), budget, 1)
    for most, share in costs:
        if spending.reserve(most):
            spending.pay(int(most * share), 0)
            spending.release(most)
        else:
            assert spending.usage.cost + most > budget or spending.stopped is not None
    assert spending.usage.cost <= budget


# --- the key and the URL ----------------------------------------------------------------------------------------------


def test_the_key_is_in_no_log_or_text_and_does_not_travel(
    server: Server, judge_with: Make, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    server.play(error(500, f"key {KEY} is bad"), error(400, f"key {KEY} is bad"))
    judge = judge_with()
    found = judge.likelihoods([question()])
    assert found == [Failed('endpoint: HTTP 400: {"error": {"message": "key *** is bad"}} (attempt 2 of 5)')]
    assert server.keys == [f"Bearer {KEY}"] * 2
    held = [*vars(judge).values(), *vars(judge._client).values(), judge._client._http.headers]
    assert KEY not in caplog.text + repr(judge) + repr(held)
    assert caplog.records
    # Nothing but the settings travels, and they name the variable; whoever receives them begins a ledger of its own.
    assert judge.__reduce__() == (EndpointJudge, (judge.settings,))
    assert KEY not in judge.settings.model_dump_json()
    other = copy.deepcopy(judge)
    assert (other.settings, other.usage) == (judge.settings, Usage())
    assert judge.usage.requests == 2
    other.close()


def test_a_key_is_needed_away_from_this_machine(monkeypatch: pytest.MonkeyPatch, server: Server) -> None:
    monkeypatch.setenv("MY_KEY", "  ")
    there = EndpointLabeler(url="https://judge.example/v1", model="m", key_variable="MY_KEY")
    with pytest.raises(ConfigError, match="environment variable MY_KEY holds no key"):
        EndpointJudge(there)
    monkeypatch.setenv("MY_KEY", "k\n")  # As `export MY_KEY="$(cat file)"` never gives it, but a .env file may.
    EndpointJudge(there).close()
    monkeypatch.setenv("MY_KEY", f"{KEY} twice")
    with pytest.raises(ConfigError, match="the key in MY_KEY holds a space") as caught:
        EndpointJudge(there)
    assert KEY not in str(caught.value)
    monkeypatch.delenv("MY_KEY")
    for host in ("localhost", "127.0.0.1"):
        url = f"http://{host}:{server.server_port}/v1/"
        judge = EndpointJudge(EndpointLabeler(url=url, model="m", key_variable="MY_KEY"))
        assert judge.likelihoods([question()]) == [close(_1=0.75, _2=0.25)]
        judge.close()
    assert server.keys == [None, None]
    assert set(server.paths) == {"/v1/chat/completions"}


@pytest.mark.parametrize(
    ("url", "complaint"),
    [
        ("judge.example/v1", "is not http"), ("ftp://judge.example/v1", "is not http"), ("http://", "is not http"),
        ("https://me:hush@judge.example/v1", "holds a password"), ("https://judge.example/v1?key=hush", "holds a password"),
        ("http://[::1", "labeler.url: "),
    ],
)  # fmt: skip
def test_a_url_that_cannot_be_used_is_refused(url: str, complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint) as caught:
        EndpointJudge(EndpointLabeler(url=url, model="m"))
    assert "hush" not in str(caught.value)

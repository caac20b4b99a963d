"""The endpoint as judge: against a server on loopback that misbehaves to order."""

import copy
import logging
import math
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from json import dumps, loads
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors import chat_completions
from actors.account import Account, RunAccount
from actors.chat_completions import TopToken, retry_after, wait_before
from actors.endpoint import PROBE, EndpointJudge, ambiguous, counted, messages, token_likelihoods
from actors.spending import Spending, Usage
from tests.actors.chat_server import GOOD, Answer, Server, completion, error, serving
from truing.config.labeling import EndpointLabeler, Price
from truing.errors import ConfigError, LabelerStopped, TruingError
from truing.labeling.questions import Question, Turn
from truing.records import Failed, NotAsked, Unparsable

KEY = "sk-a-very-secret-word"
LN = math.log
NONE = -math.inf


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as server:
        yield server


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
        spent = settings.pop("spent", None)
        made.append(EndpointJudge(EndpointLabeler(**{"url": url, "model": "m", "timeout": 5, **settings}), spent))
        return made[-1]

    yield make
    for judge in made:
        judge.close()


def question(text: str = "Which is better?", labels: Sequence[str] = ("1", "2")) -> Question:
    return Question((Turn("system", "You judge."), Turn("user", text)), "Preferred Response=", tuple(labels))


def questions(count: int) -> list[Question]:
    return [question(f"question {i}") for i in range(count)]


def why_stopped(judge: EndpointJudge) -> TruingError:
    """What ended the asking."""
    assert judge._spending.stopped is not None
    return judge._spending.stopped


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
    assert found == [NotAsked("labeler.read: the endpoint shows no log-probs; set it to samples")] * 5
    assert len(server.bodies) == 1


def test_one_reply_without_logprobs_among_others_fails_alone(server: Server, judge_with: Make) -> None:
    server.play(GOOD, completion("I cannot say."), GOOD)
    found = judge_with(concurrency=1).likelihoods(questions(3))
    assert found[0] == found[2] == close(_1=0.75, _2=0.25)
    assert found[1] == Failed("endpoint: this reply shows no log-probs (finish_reason length)", "passing")


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
    # One of them may fare better later: so may the question.
    assert counted(one, [Failed("x"), Failed("y", "passing")]) == Failed("y", "passing")
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
        Failed("endpoint: the reply holds no text (finish_reason length)", "answerer")
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


@pytest.mark.parametrize(
    ("status", "said", "cause"),
    [
        (400, "max_tokens is too large", "question"),
        (400, "This model's maximum context length is 8 tokens", "question"),
        (422, "the prompt is longer than the maximum model length", "question"),
        (413, "no", "question"),
        (400, "top_logprobs must be at most 5", "answerer"),
        (403, "moderated", "answerer"),
        (422, "messages: extra fields", "answerer"),
    ],
)
def test_a_refused_request_fails_alone_and_at_once(
    server: Server, judge_with: Make, status: int, said: str, cause: Any
) -> None:
    server.by_question({"question 0": GOOD, "long": error(status, said), "question 1": GOOD})
    judge = judge_with(concurrency=1, breaker=1)
    first, long, last = judge.likelihoods([questions(1)[0], question("long"), questions(2)[1]])
    assert first == last == close(_1=0.75, _2=0.25)
    assert long == Failed(f'endpoint: HTTP {status}: {{"error": {{"message": "{said}"}}}} (attempt 1 of 5)', cause)
    assert judge.usage == Usage(3, 0, 2, 1, 20, 2)


@pytest.mark.parametrize("status", [401, 402, 404, 307])
def test_what_no_other_request_can_heal_ends_the_job(server: Server, judge_with: Make, status: int) -> None:
    server.play(GOOD, error(status, f"Incorrect key: {KEY}"))
    judge = judge_with(concurrency=1)
    found = judge.likelihoods(questions(5))
    assert found[0] == close(_1=0.75, _2=0.25)
    assert all(isinstance(answer, NotAsked) for answer in found[1:])
    assert len(server.bodies) == 2
    why = str(why_stopped(judge))
    assert "will not serve 'm' with the key in OPENAI_API_KEY" in why
    assert f"HTTP {status}" in why
    assert KEY not in why + repr(found)
    assert "Incorrect key: ***" in why


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
    assert found.cause == "answerer"
    assert (judge.usage.requests, judge.usage.failures) == (1, 1)


def test_retries_end(server: Server, judge_with: Make) -> None:
    server.play(error(500, "oh"))
    judge = judge_with(retries=2)
    assert judge.likelihoods([question()]) == [
        Failed('endpoint: HTTP 500: {"error": {"message": "oh"}} (attempt 3 of 3)', "passing")
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
    assert found.cause == "passing"
    assert len(server.bodies) == 1


def test_a_server_that_drips_does_not_prolong_the_request(server: Server, judge_with: Make) -> None:
    server.play(Answer(body=GOOD.body, drip=0.05))  # Some 400 bytes: 20 s, without a pause as long as the timeout.
    began = time.monotonic()
    assert judge_with(timeout=0.5, retries=0).likelihoods([question()]) == [
        Failed("endpoint: no reply within 0.5 s (attempt 1 of 1)", "passing")
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
    assert isinstance(why_stopped(judge), LabelerStopped)
    assert "failed 3 questions in a row, the last with: HTTP 500" in str(why_stopped(judge))


def test_who_serves_on_tries_again_after_a_rest_and_one_more_failure_stops_it(server: Server, judge_with: Make) -> None:
    bad = error(500, "down")
    server.play(bad, bad, bad, bad, GOOD)
    judge = judge_with(concurrency=1, breaker=3, retries=0)
    judge.likelihoods(questions(9))
    assert (len(server.bodies), judge.halted(3600)) == (3, why_stopped(judge))
    # Still down: a single question finds out.
    assert judge.halted(0) is None
    assert [type(answer) for answer in judge.likelihoods(questions(3))] == [Failed, NotAsked, NotAsked]
    assert len(server.bodies) == 4
    # It is back.
    assert judge.halted(0) is None
    assert judge.likelihoods(questions(2)) == [close(_1=0.75, _2=0.25)] * 2


def test_a_spent_budget_does_not_come_back_with_time(server: Server, judge_with: Make) -> None:
    judge = judge_with(concurrency=1, budget=1e-9, price={"input": 1.0})
    judge.likelihoods(questions(1))
    assert judge.halted(0) == why_stopped(judge)


def test_an_answer_between_failures_keeps_the_breaker_closed(server: Server, judge_with: Make) -> None:
    bad = error(500)
    server.play(bad, bad, GOOD, bad, bad, GOOD)
    judge = judge_with(concurrency=1, breaker=3, retries=0)
    assert [type(a) for a in judge.likelihoods(questions(6))] == [Failed, Failed, dict] * 2


def test_refused_rows_count_until_one_is_accepted(server: Server, judge_with: Make) -> None:
    server.play(error(400, "logprobs is not supported"))
    judge = judge_with(concurrency=1, breaker=3)
    judge.likelihoods(questions(9))
    assert len(server.bodies) == 3
    assert "logprobs is not supported" in str(why_stopped(judge))


def test_whoever_waits_to_retry_gives_up_when_the_judge_stops(server: Server, judge_with: Make) -> None:
    server.by_question({"question 0": error(429, Retry_After="60"), "question 1": error(401)})
    began = time.monotonic()
    found = judge_with(concurrency=2).likelihoods(questions(2))
    assert [type(answer) for answer in found] == [NotAsked, NotAsked]
    assert time.monotonic() - began < 10


# --- before the first question ----------------------------------------------------------------------------------------


def test_a_check_is_one_request_for_one_token(server: Server, judge_with: Make) -> None:
    judge_with().check()
    judge_with(read="samples").check()
    first, second = server.bodies
    assert (first["max_tokens"], first["top_logprobs"], second["max_tokens"]) == (1, 20, 1)
    assert "logprobs" not in second


@pytest.mark.parametrize(
    ("answer", "error_type", "said"),
    [
        (error(401, "Incorrect key"), ConfigError, "will not serve 'm' with the key in OPENAI_API_KEY"),
        (error(404, "no model m"), ConfigError, "check labeler.url (up to and with /v1), labeler.model and the key"),
        (completion("1"), ConfigError, "labeler.read: the endpoint shows no log-probs; set it to samples"),
        (Answer(body=b"<html>"), ConfigError, "is a server of chat completions, up to and with /v1"),
        (error(400, "top_logprobs must be at most 5"), ConfigError, "top_logprobs must be at most 5"),
        (error(503, "loading"), LabelerStopped, "see that the server at http://127.0.0.1:"),
    ],
)  # fmt: skip
def test_what_is_wrong_shows_before_anything_is_asked(
    server: Server, judge_with: Make, answer: Answer, error_type: type[TruingError], said: str
) -> None:
    server.play(answer)
    with pytest.raises(error_type) as caught:
        judge_with(retries=1).check()
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_server_that_is_not_there_is_named(judge_with: Make) -> None:
    with pytest.raises(LabelerStopped, match=r"ConnectError.*see that the server at http://127\.0\.0\.1:9/v1 is up"):
        judge_with(url="http://127.0.0.1:9/v1", retries=1).check()


# --- the budget of a run ----------------------------------------------------------------------------------------------

DEAR = {"price": Price(input=1e6, output=1e6), "budget": 1000, "concurrency": 1}
"""A token costs 1: an answer of `COSTLY` 101, and at most 278 are set aside for it (see below)."""
COSTLY = completion("1", {"1": 0.75, "2": 0.25}, tokens=(100, 1))


def test_the_budget_is_that_of_all_workers_of_a_run_one_after_the_other(
    server: Server, judge_with: Make, tmp_path: Path
) -> None:
    server.play(COSTLY)
    first, second = (judge_with(spent=tmp_path / "spent", **DEAR) for _ in range(2))
    assert all(isinstance(answer, dict) for answer in first.likelihoods(questions(5)))
    # 505 are spent. Three more: 808; with the next one's most 1086, too much.
    assert [type(answer) for answer in second.likelihoods(questions(6))] == [dict] * 3 + [NotAsked] * 3
    assert "808 of the budget of 1000 is spent" in str(why_stopped(second))
    asked = len(server.bodies)
    with pytest.raises(LabelerStopped, match=r"^808 of the budget of 1000 is spent.*raise labeler\.budget"):
        judge_with(spent=tmp_path / "spent", **DEAR).check()
    assert len(server.bodies) == asked
    judge_with(spent=tmp_path / "spent", **DEAR | {"budget": 1200}).check()
    assert len(server.bodies) == asked + 1


def test_workers_at_the_same_time_do_not_pass_the_budget_together(
    server: Server, judge_with: Make, tmp_path: Path
) -> None:
    server.play(Answer(body=COSTLY.body, wait=0.01))
    judges = [judge_with(spent=tmp_path / "spent", **DEAR | {"concurrency": 4}) for _ in range(3)]
    threads = [threading.Thread(target=judge.likelihoods, args=(questions(10),)) for judge in judges]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # None of them is refused while 1000 - 278 = 722 are not spent and set aside: with at most 4 x 3 under way, whoever
    # is refused by what others set aside stops early, so that no more than 8 are answered, and at least the first three.
    assert 3 <= sum(judge.usage.answers for judge in judges) <= 8
    assert RunAccount(tmp_path / "spent").total == sum(judge.usage.cost for judge in judges) <= 1000


def test_a_worker_that_is_killed_leaves_what_it_had_under_way_charged(server: Server, tmp_path: Path) -> None:
    server.script = lambda n, body: COSTLY if n < 2 else Answer(body=COSTLY.body, wait=30)
    settings = EndpointLabeler(url=f"http://127.0.0.1:{server.server_port}/v1", model="m", **DEAR)
    code = (
        "import sys; from pathlib import Path\n"
        "from actors.endpoint import EndpointJudge, PROBE\n"
        "from truing.config.labeling import EndpointLabeler\n"
        "judge = EndpointJudge(EndpointLabeler.model_validate_json(sys.argv[1]), Path(sys.argv[2]))\n"
        "judge.likelihoods([PROBE] * 3)\n"
    )
    worker = subprocess.Popen([sys.executable, "-c", code, settings.model_dump_json(), str(tmp_path / "spent")])
    try:
        until = time.monotonic() + 60
        while len(server.bodies) < 3 and time.monotonic() < until:
            time.sleep(0.01)
    finally:
        worker.kill()
        worker.wait()
    # Two answers, and the most that the third could have cost: the bytes of its one turn, 128 for the frame, 1 label.
    most = len(PROBE.turns[0].text) + 128 + 1
    assert RunAccount(tmp_path / "spent").total == 2 * 101 + most


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
    assert isinstance(why_stopped(judge), LabelerStopped)
    assert "808 of the budget of 1000 is spent, and the next request could pass it" in str(why_stopped(judge))


def test_a_budget_needs_a_server_that_counts(server: Server, judge_with: Make) -> None:
    body = loads(GOOD.body)
    del body["usage"]
    server.play(Answer(body=dumps(body).encode()))
    assert judge_with().likelihoods([question()]) == [close(_1=0.75, _2=0.25)]
    judge = judge_with(budget=1, price={"input": 0.1}, concurrency=1)
    assert [type(answer) for answer in judge.likelihoods(questions(3))] == [dict, NotAsked, NotAsked]
    assert "labeler.budget: the endpoint does not count tokens" in str(why_stopped(judge))


@given(st.lists(st.tuples(st.integers(1, 50), st.floats(0, 1)), max_size=40), st.integers(1, 300))
def test_reservations_keep_any_sequence_of_costs_within_the_budget(costs: list[tuple[int, float]], budget: int) -> None:
    spending = Spending(Price(input=1e6), budget, 1, Account())
    for most, share in costs:
        if spending.reserve(most):
            spending.settle(most, int(most * share), 0)
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
    assert found == [
        Failed('endpoint: HTTP 400: {"error": {"message": "key *** is bad"}} (attempt 2 of 5)', "answerer")
    ]
    assert server.keys == [f"Bearer {KEY}"] * 2
    held = [*vars(judge).values(), *vars(judge._client).values(), judge._client._http.headers]
    assert KEY not in caplog.text + repr(judge) + repr(held)
    assert caplog.records
    # Nothing but the settings travels, and they name the variable; whoever receives them begins a ledger of its own.
    assert judge.__reduce__() == (EndpointJudge, (judge.settings, None))
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

"""The AI labeler (Lee et al., RLAIF, arXiv 2309.00267): ask both orders, read the verdicts, agree or say why not."""

from collections.abc import Sequence

from actors.judge import Judge, question_seed
from truing.config.labeling import Style
from truing.labeling.asking import Asked, Asking, Judgement
from truing.labeling.consensus import OrderedLogprobs, expected_score, p_yes, self_consistent, to_unit_interval
from truing.labeling.likelihoods import Likelihoods
from truing.labeling.questions import (
    Question,
    Turn,
    after_rationale,
    comparison,
    explanation,
    grading,
    incorporation,
    steps_request,
)
from truing.labeling.templates import Template
from truing.labeling.verdicts import ordered, pairwise_verdict, rating
from truing.records import Failed, NotAsked, Unparsable

Missing = Unparsable | Failed | NotAsked
"""Why there is no answer: a reply without a verdict, no reply, or a labeler that had stopped."""

Reading = tuple[OrderedLogprobs | Missing, tuple[str, ...]]
"""What was read of one order, with the rationales that led to it."""

NOT_READ = Failed("not asked")

REPLY_TOKENS = 384
"""Longest reply that holds a verdict or a rating somewhere in it."""
STEPS_TOKENS = 256
"""Longest evaluation steps."""


class Labeler:
    """A judge that is asked in the forms of the papers. Each question stands alone, whatever else is in the batch."""

    def __init__(self, judge: Judge) -> None:
        self.judge = judge

    def compare(self, asked: Sequence[Asked]) -> list[Judgement | Missing]:
        """Both orders of each pair (section 2.1.1). A pair with an order that has no verdict has none as a whole.

        Pairs that are asked in different ways are read together: the ways share what their prompts begin with, and all
        rationales of one length are decoded at the same time.
        """
        self.judge.begin()
        both = [(ordered, asking) for pair, asking in asked for ordered in (pair, pair.swap())]
        found: list[Reading] = [(NOT_READ, ())] * len(both)
        for style, where in _alike(both):
            some = [both[i] for i in where]
            read = self._explained(some, style) if style.rationales else self._at_once(some)
            for i, reading in zip(where, read, strict=True):
                found[i] = reading
        return [_judgement(ab, ba) for ab, ba in zip(found[::2], found[1::2], strict=True)]

    def score(self, texts: Sequence[tuple[str, str]], asking: Asking, steps: str = "") -> list[float | Missing]:
        """The expected score of each (prompt, response), mapped to [-1, 1] (direct RLAIF, section 2.2.2; G-Eval)."""
        self.judge.begin()
        template = asking.template("*")
        questions = [grading(template, *text, asking.style, steps, asking.criterion) for text in texts]
        top = len(template.labels)
        scores: list[float | Missing] = []
        for answer in self._read(template, questions):
            score = _score(answer, top)
            scores.append(to_unit_interval(score, top) if isinstance(score, float) else score)
        return scores

    def incorporated(self, rows: Sequence[tuple[str, str, str, str]], template: Template) -> list[float | Missing]:
        """P(yes) of each (prompt, before, feedback, after): was the feedback used (Scheurer et al., arXiv 2303.16755)?"""
        self.judge.begin()
        yes, no = template.labels
        questions = [incorporation(template, *row, Style()) for row in rows]
        return [
            p_yes(found[yes], found[no]) if isinstance(found, dict) else found
            for found in self.judge.likelihoods(questions)
        ]

    def steps(self, template: Template, criterion: str = "overall") -> str | Missing:
        """G-Eval's evaluation steps for one criterion, written by the judge; whoever asks keeps them (arXiv 2303.16634)."""
        question = steps_request(template, criterion)
        return self.judge.replies([question], STEPS_TOKENS, 0.0, [question_seed(question, 0)])[0]

    def write(self, requests: Sequence[str], max_tokens: int, temperature: float) -> list[str | Failed | NotAsked]:
        """A text in reply to each request; the same request twice has two draws."""
        self.judge.begin()
        questions = [Question((Turn("user", request),), "", ()) for request in requests]
        seeds = [question_seed(question, n) for n, question in enumerate(questions)]
        return self.judge.replies(questions, max_tokens, temperature, seeds)

    def _at_once(self, asked: Sequence[Asked]) -> list[Reading]:
        """The label of each ordered pair, or the verdict in a decoded reply (MT-bench)."""
        questions = [comparison(_template(one), one[0], one[1].style, one[1].criterion) for one in asked]
        found: list[Reading] = [(NOT_READ, ())] * len(asked)
        for template, where in _by_template(asked):
            answers = self._read(template, [questions[i] for i in where])
            for i, answer in zip(where, answers, strict=True):
                found[i] = (_verdict(template, answer), ())
        return found

    def _explained(self, asked: Sequence[Asked], drawn: Style) -> list[Reading]:
        """Chain of thought in two steps, n times (self-consistency): decode why, then read the label behind it."""
        n = drawn.rationales
        templates = [_template(one) for one in asked for _ in range(n)]
        why = [explanation(_template(one), one[0], one[1].style, one[1].criterion) for one in asked]
        first = [question for question in why for _ in range(n)]
        seeds = [question_seed(question, i % n) for i, question in enumerate(first)]
        replies = self.judge.replies(first, drawn.rationale_tokens, drawn.temperature, seeds)
        written = {i: reply for i, reply in enumerate(replies) if isinstance(reply, str)}
        second = [after_rationale(first[i], reply, templates[i]) for i, reply in written.items()]
        labels = dict(zip(written, self.judge.likelihoods(second), strict=True))
        readings: list[OrderedLogprobs | Missing] = []
        for i, reply in enumerate(replies):
            readings.append(reply if not isinstance(reply, str) else _verdict(templates[i], labels[i]))
        groups = [range(start, start + n) for start in range(0, len(first), n)]
        return [
            (_consistent([readings[i] for i in group]), tuple(written[i] for i in group if i in written))
            for group in groups
        ]

    def _read(self, template: Template, questions: Sequence[Question]) -> list[Likelihoods | str | Missing]:
        """Likelihoods of the labels, or the reply that holds the answer, as the template says."""
        if template.read == "likelihood":
            return list(self.judge.likelihoods(questions))
        return list(self.judge.replies(questions, REPLY_TOKENS, 0.0, [question_seed(q, 0) for q in questions]))


def _template(one: Asked) -> Template:
    pair, asking = one
    return asking.template(pair.domain)


def _by_template(asked: Sequence[Asked]) -> list[tuple[Template, list[int]]]:
    """Positions of the pairs by the template that asks about them: each template's prefix is computed once."""
    found: dict[str, tuple[Template, list[int]]] = {}
    for i, one in enumerate(asked):
        template = _template(one)
        found.setdefault(template.hash, (template, []))[1].append(i)
    return list(found.values())


def _alike(asked: Sequence[Asked]) -> list[tuple[Style, list[int]]]:
    """Positions of the pairs by how their rationales are decoded, with a style of each kind; those without any come first."""
    found: dict[tuple[int, int, float], tuple[Style, list[int]]] = {}
    for i, (_, asking) in enumerate(asked):
        style = asking.style
        key = (style.rationales, style.rationale_tokens, style.temperature) if style.rationales else (0, 0, 0.0)
        found.setdefault(key, (style, []))[1].append(i)
    return [found[key] for key in sorted(found)]


def _verdict(template: Template, answer: Likelihoods | str | Missing) -> OrderedLogprobs | Missing:
    if isinstance(answer, str):
        verdict = pairwise_verdict(answer)
        return verdict if isinstance(verdict, Unparsable) else ordered(verdict)
    if not isinstance(answer, dict):
        return answer
    first, second = template.labels
    try:
        return OrderedLogprobs(answer[first], answer[second])
    except ValueError as error:
        return Unparsable(str(error))


def _score(answer: Likelihoods | str | Missing, top: int) -> float | Missing:
    if isinstance(answer, str):
        return rating(answer, top)
    if not isinstance(answer, dict):
        return answer
    try:
        return expected_score(answer)
    except ValueError as error:
        return Unparsable(str(error))


def _consistent(readings: Sequence[OrderedLogprobs | Missing]) -> OrderedLogprobs | Missing:
    """The mean over the rationales that led to a label; where none did, why the first one did not."""
    known = [reading for reading in readings if isinstance(reading, OrderedLogprobs)]
    stopped = [reading for reading in readings if isinstance(reading, NotAsked)]
    if stopped or not known:
        return stopped[0] if stopped else readings[0]
    return self_consistent(known)


def _judgement(first: Reading, second: Reading) -> Judgement | Missing:
    (ab, rationales_ab), (ba, rationales_ba) = first, second
    for order in (NotAsked, Failed, Unparsable):
        missing = next((verdict for verdict in (ab, ba) if isinstance(verdict, order)), None)
        if missing is not None:
            return missing
    assert isinstance(ab, OrderedLogprobs)
    assert isinstance(ba, OrderedLogprobs)
    return Judgement(ab, ba, rationales_ab, rationales_ba)

"""The AI labeler (Lee et al., RLAIF, arXiv 2309.00267): ask both orders, read the verdicts, agree or say why not."""

from collections.abc import Sequence

from actors.judge import Judge, question_seed
from truing.config.labeling import Style
from truing.labeling.asking import Asking, Judgement
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
from truing.records import Failed, NotAsked, Pair, Unparsable

Missing = Unparsable | Failed | NotAsked
"""Why there is no answer: a reply without a verdict, no reply, or a labeler that had stopped."""

REPLY_TOKENS = 384
"""Longest reply that holds a verdict or a rating somewhere in it."""
STEPS_TOKENS = 256
"""Longest evaluation steps."""


class Labeler:
    """A judge that is asked in the forms of the papers. Each question stands alone, whatever else is in the batch."""

    def __init__(self, judge: Judge) -> None:
        self.judge = judge

    def compare(self, pairs: Sequence[Pair], asking: Asking) -> list[Judgement | Missing]:
        """Both orders of each pair (section 2.1.1). A pair with an order that has no verdict has none as a whole."""
        self.judge.begin()
        both = [ordered for pair in pairs for ordered in (pair, pair.swap())]
        if asking.style.rationales:
            verdicts, rationales = self._explained(both, asking)
        else:
            verdicts, rationales = self._at_once(both, asking), [()] * len(both)
        return [
            _judgement(verdicts[i], verdicts[i + 1], rationales[i], rationales[i + 1]) for i in range(0, len(both), 2)
        ]

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

    def _at_once(self, pairs: Sequence[Pair], asking: Asking) -> list[OrderedLogprobs | Missing]:
        """The label of each ordered pair, or the verdict in a decoded reply (MT-bench)."""
        questions = [comparison(asking.template(p.domain), p, asking.style, asking.criterion) for p in pairs]
        found: list[OrderedLogprobs | Missing] = [Failed("not asked")] * len(pairs)
        for template, where in _by_template(pairs, asking):
            answers = self._read(template, [questions[i] for i in where])
            for i, answer in zip(where, answers, strict=True):
                found[i] = _verdict(template, answer)
        return found

    def _explained(
        self, pairs: Sequence[Pair], asking: Asking
    ) -> tuple[list[OrderedLogprobs | Missing], list[tuple[str, ...]]]:
        """Chain of thought in two steps, n times (self-consistency): decode why, then read the label behind it."""
        style, n = asking.style, asking.style.rationales
        templates = [asking.template(pair.domain) for pair in pairs for _ in range(n)]
        first = [explanation(asking.template(p.domain), p, style, asking.criterion) for p in pairs for _ in range(n)]
        seeds = [question_seed(question, i % n) for i, question in enumerate(first)]
        replies = self.judge.replies(first, style.rationale_tokens, style.temperature, seeds)
        written = {i: reply for i, reply in enumerate(replies) if isinstance(reply, str)}
        second = [after_rationale(first[i], reply, templates[i]) for i, reply in written.items()]
        labels = dict(zip(written, self.judge.likelihoods(second), strict=True))
        readings: list[OrderedLogprobs | Missing] = []
        for i, reply in enumerate(replies):
            readings.append(reply if not isinstance(reply, str) else _verdict(templates[i], labels[i]))
        groups = [range(start, start + n) for start in range(0, len(first), n)]
        return (
            [_consistent([readings[i] for i in group]) for group in groups],
            [tuple(written[i] for i in group if i in written) for group in groups],
        )

    def _read(self, template: Template, questions: Sequence[Question]) -> list[Likelihoods | str | Missing]:
        """Likelihoods of the labels, or the reply that holds the answer, as the template says."""
        if template.read == "likelihood":
            return list(self.judge.likelihoods(questions))
        return list(self.judge.replies(questions, REPLY_TOKENS, 0.0, [question_seed(q, 0) for q in questions]))


def _by_template(pairs: Sequence[Pair], asking: Asking) -> list[tuple[Template, list[int]]]:
    """Positions of the pairs by the template that asks about them: each template's prefix is computed once."""
    found: dict[str, tuple[Template, list[int]]] = {}
    for i, pair in enumerate(pairs):
        template = asking.template(pair.domain)
        found.setdefault(template.hash, (template, []))[1].append(i)
    return list(found.values())


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


def _judgement(
    ab: OrderedLogprobs | Missing,
    ba: OrderedLogprobs | Missing,
    rationales_ab: tuple[str, ...],
    rationales_ba: tuple[str, ...],
) -> Judgement | Missing:
    for order in (NotAsked, Failed, Unparsable):
        missing = next((verdict for verdict in (ab, ba) if isinstance(verdict, order)), None)
        if missing is not None:
            return missing
    assert isinstance(ab, OrderedLogprobs)
    assert isinstance(ba, OrderedLogprobs)
    return Judgement(ab, ba, rationales_ab, rationales_ba)

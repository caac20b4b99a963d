"""Any server of OpenAI's chat completions as a judge: label likelihoods where it shows log-probs, counts where not.

A chat server lets nobody begin the assistant's turn. So the label is read at the *first token of the reply* (the last
turn says to reply with nothing else), where an engine of our own reads it right after the template's answer.
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path

from actors.account import Account, RunAccount
from actors.chat_completions import ChatClient, Completion, Message, TopToken
from actors.spending import Spending, Usage
from truing.config.labeling import EndpointLabeler
from truing.errors import ConfigError, LabelerStopped, TruingError
from truing.labeling.likelihoods import Likelihoods
from truing.labeling.questions import Question, Turn
from truing.labeling.verdicts import label_reply
from truing.records import Failed, NotAsked, Unparsable, derived_seed

TOP = 20
"""Alternatives asked for at a position: the most that OpenAI and vLLM allow by default."""
SHARED = 0.01
"""Share of the labels' probability below which a token that begins two labels is left to the shorter one.

It moves an expected score of 1 to 10 by less than 0.09.
"""
PROBE = Question((Turn("user", "Which number is greater, 1 or 2? Reply with 1 or 2 only."),), "", ("1", "2"))
"""What is asked before anything else."""
SAMPLE_TOKENS = 16
"""Longest decoded label, chatter before it such as `Preferred Response=` included."""


class EndpointJudge:
    """Answers questions over HTTP. It may be called from several threads; `concurrency` holds for all of them.

    It can be pickled: what travels are the settings, which name the key's variable, and the folder; the copy has a
    ledger of its own.
    """

    def __init__(self, settings: EndpointLabeler, spent: Path | None = None) -> None:
        """`spent`: folder of what the run has spent; without one, the budget is this object's alone.

        Raises:
            ConfigError: the URL is none, or the key of a server elsewhere is not in the environment.
            TruingError: the folder cannot be written.
        """
        self.settings, self._spent = settings, spent
        account = Account() if spent is None else RunAccount(spent)
        self._spending = Spending(settings.price, settings.budget, settings.breaker, account)
        self._client = ChatClient(settings, self._spending)
        self._shows = False  # log-probs, so far
        self._threads = ThreadPoolExecutor(settings.concurrency, thread_name_prefix="endpoint")

    def __reduce__(self) -> "tuple[type[EndpointJudge], tuple[EndpointLabeler, Path | None]]":
        return EndpointJudge, (self.settings, self._spent)

    @property
    def usage(self) -> Usage:
        """Requests, tokens and cost so far."""
        return self._spending.usage

    def begin(self) -> None:
        """Nothing is left over from one batch to the next."""

    def halted(self, rest: float, /) -> TruingError | None:
        """As `Spending.halted`: for who serves on, where a job would end."""
        return self._spending.halted(rest)

    def check(self) -> None:
        """One small request before the first question: server, key, model and log-probs are what they should be.

        It is charged like any other, and is not sent where the budget has no room for the question that ended an
        earlier run.

        Raises:
            LabelerStopped: the budget is spent, or the server does not answer.
            ConfigError: the key, the URL or the model is refused, or log-probs are not to be had.
        """
        self._spending.open()
        found = self._reply(PROBE, 1, 1.0, 0) if self.settings.read == "samples" else self._first_token(PROBE)
        if self._spending.stopped:
            raise self._spending.stopped
        if isinstance(found, Failed) and found.cause == "passing":
            raise LabelerStopped(
                f"{found.reason}; see that the server at {self.settings.url} is up (labeler.url), then run again"
            )
        if isinstance(found, Failed):
            raise ConfigError(
                f"{found.reason}; check that labeler.url ({self.settings.url}) is a server of chat completions, up to"
                f" and with /v1, and that {self.settings.model!r} is a chat model of it (labeler.model)"
            )

    def close(self) -> None:
        """Let threads and connections go, after the requests under way."""
        self._threads.shutdown()
        self._client.close()

    def likelihoods(self, questions: Sequence[Question]) -> list[Likelihoods | Unparsable | Failed | NotAsked]:
        """Log-likelihood of each question's labels.

        Once the judge has stopped (its budget is spent, `breaker` questions failed in a row, the server refuses it),
        what it did not come to is `NotAsked`.
        """
        for question in questions:
            if not question.labels:
                raise ValueError("a question without labels has no likelihoods: ask for a reply, or name its labels")
        if self.settings.read == "samples":
            return self._sampled(questions)
        found = list(self._threads.map(self._first_token, questions))
        shared = [i for i, answer in enumerate(found) if answer is None]
        for i, answer in zip(shared, self._sampled([questions[i] for i in shared]), strict=True):
            found[i] = answer
        return [answer for answer in found if answer is not None]

    def replies(
        self, questions: Sequence[Question], max_tokens: int, temperature: float, seeds: Sequence[int]
    ) -> list[str | Failed | NotAsked]:
        """What the judge says to each question, drawn with its seed (a server may ignore seeds)."""
        asked = list(zip(questions, seeds, strict=True))
        return list(self._threads.map(lambda one: self._reply(one[0], max_tokens, temperature, one[1]), asked))

    def _reply(self, question: Question, max_tokens: int, temperature: float, seed: int) -> str | Failed | NotAsked:
        found = self._client.complete(messages(question), max_tokens, temperature=temperature, seed=seed)
        if not isinstance(found, Completion):
            return found
        choice = found.choices[0]
        if choice.message.content is None:
            return Failed(f"endpoint: the reply holds no text (finish_reason {choice.finish_reason})", "answerer")
        return choice.message.content

    def _first_token(self, question: Question) -> Likelihoods | Unparsable | Failed | NotAsked | None:
        """Likelihoods from the first token's alternatives; None where they do not tell two labels apart.

        Temperature and top_p are 1: some servers show the log-probs after them.
        """
        found = self._client.complete(
            messages(question), 1, temperature=1.0, top_p=1.0, logprobs=True, top_logprobs=TOP
        )
        if not isinstance(found, Completion):
            return found
        choice = found.choices[0]
        text = choice.message.content or ""
        shown = choice.logprobs.content if choice.logprobs else None
        if shown is None and text and self._shows:
            # A filter's or another provider's reply among good ones.
            return Failed(f"endpoint: this reply shows no log-probs (finish_reason {choice.finish_reason})", "passing")
        if shown is None and text:
            self._spending.stop(ConfigError("labeler.read: the endpoint shows no log-probs; set it to samples"))
            return NotAsked(str(self._spending.stopped))
        self._shows = self._shows or bool(shown)
        likelihoods = token_likelihoods(shown[0].top_logprobs or shown[:1], question.labels) if shown else None
        if likelihoods is None:
            return Unparsable(text)
        return None if ambiguous(likelihoods) else likelihoods

    def _sampled(self, questions: Sequence[Question]) -> list[Likelihoods | Unparsable | Failed | NotAsked]:
        """Likelihoods counted in decoded replies. Their seeds hang on the question, so asking again changes nothing."""
        n = self.settings.samples
        asked = [question for question in questions for _ in range(n)]
        seeds = [derived_seed("sampled label", asdict(question), i) for question in questions for i in range(n)]
        found = self.replies(asked, SAMPLE_TOKENS, 1.0, seeds)
        return [counted(question, found[i * n : (i + 1) * n]) for i, question in enumerate(questions)]


def messages(question: Question) -> list[Message]:
    """A question's turns for a server that begins the assistant's turn itself.

    Exemplars answer with the bare label, as the judge is to, and without the words before it. Where the judge should go
    on from a rationale, a last turn asks for the label.
    """
    shown = {question.answer + label: label for label in question.labels}
    turns: list[Message] = [
        {"role": turn.role, "content": shown.get(turn.text, turn.text) if turn.role == "assistant" else turn.text}
        for turn in question.turns
    ]
    if question.labels and question.turns[-1].role == "assistant":
        after = f'What stands after "{question.answer}"? ' if question.answer else ""
        turns.append({"role": "user", "content": f"{after}Reply with {_either(question.labels)} and nothing else."})
    return turns


def token_likelihoods(top: Iterable[TopToken], labels: Sequence[str]) -> Likelihoods | None:
    """Log-likelihood of each label as the first token of a reply; None where no label is among the tokens.

    A label's probability is that of all tokens that are it, but for white space around it. A label that is not among
    the tokens is -inf: its true probability is at most that of the least likely token shown, times the number of its
    spellings. A label of several tokens is never among them.
    """
    mass = dict.fromkeys(labels, 0.0)
    for token in top:
        label = token.token.strip()
        if label in mass:
            mass[label] += math.exp(token.logprob)
    if not any(mass.values()):
        return None
    # The clip is for the sum's rounding.
    return {label: math.log(min(p, 1.0)) if p else -math.inf for label, p in mass.items()}


def ambiguous(likelihoods: Mapping[str, float]) -> bool:
    """Whether the token of a label may be the beginning of a longer one, as "1" of "10".

    It is not where the longer one is seen as a token of its own, nor does it matter where hardly any of the labels'
    probability is on the shorter one. Over chat nothing shows how often the reply would go on: it must be sampled.
    """
    total = sum(math.exp(logp) for logp in likelihoods.values())
    return any(
        longer != label
        and longer.startswith(label)
        and likelihoods[longer] == -math.inf
        and math.exp(logp) >= SHARED * total
        for label, logp in likelihoods.items()
        for longer in likelihoods
    )


def counted(
    question: Question, replies: Sequence[str | Failed | NotAsked]
) -> Likelihoods | Unparsable | Failed | NotAsked:
    """Log of each label's share of the decoded replies.

    A reply without a label is left out of the counts, not of what they are divided by: like the probability of other
    tokens, it lowers the labels' mass. A failed request is left out of both. Where all failed, one that may fare better
    later stands for them.
    """
    for reply in replies:
        if isinstance(reply, NotAsked):
            return reply
    texts = [reply for reply in replies if isinstance(reply, str)]
    if not texts:
        failed = [reply for reply in replies if isinstance(reply, Failed)]
        return next((reply for reply in failed if reply.cause == "passing"), failed[0])
    read = [label_reply(text, question.labels, question.answer) for text in texts]
    counts = Counter(label for label in read if isinstance(label, str))
    if not counts:
        return Unparsable(texts[0])
    return {label: math.log(counts[label] / len(texts)) if counts[label] else -math.inf for label in question.labels}


def _either(labels: Sequence[str]) -> str:
    return f"{', '.join(labels[:-1])} or {labels[-1]}" if len(labels) > 1 else labels[0]

"""What an endpoint was asked and what it cost: a ledger, a budget that is not passed, a breaker that ends a lost cause."""

import threading
import time
from dataclasses import dataclass, replace

from actors.account import Account
from truing.config.labeling import Price
from truing.errors import LabelerStopped, TruingError

REST = 30.0
"""Seconds after which an endpoint that was given up is tried again by who serves on: that has no end, as a job has."""


@dataclass(frozen=True, slots=True)
class Usage:
    """Totals of one worker. `retries` are among the `requests`; the `cost` is in the currency of the price."""

    requests: int = 0
    retries: int = 0
    answers: int = 0
    failures: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost: float = 0.0

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(
            self.requests + other.requests,
            self.retries + other.retries,
            self.answers + other.answers,
            self.failures + other.failures,
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
            self.cost + other.cost,
        )


class Spending:
    """The ledger that the threads of one worker share.

    The budget is kept by reservation: a request sets aside the most it can cost before it is sent, and pays what the
    server counted when it is answered. Spent plus set aside never exceeds the budget, whatever is under way.
    """

    def __init__(self, price: Price, budget: float | None, breaker: int, account: Account) -> None:
        self._price, self._budget, self._breaker, self._account = price, budget, breaker, account
        self._changed = threading.Condition()
        self._usage = Usage()
        self._under_way = 0
        self._in_a_row = 0
        self._stop: TruingError | None = None
        self._stopped_at = 0.0
        self._empty = False

    @property
    def usage(self) -> Usage:
        """Totals so far."""
        return self._usage

    @property
    def stopped(self) -> TruingError | None:
        """Why nothing more is sent, once that is so."""
        return self._stop

    def cost(self, prompt_tokens: int, completion_tokens: int) -> float:
        """Price of so many tokens. Discounts for cached prompts are not taken into account."""
        return (prompt_tokens * self._price.input + completion_tokens * self._price.output) / 1e6

    def open(self) -> None:
        """Stop before anything is sent, where the budget has no room for the question that ended an earlier run."""
        with self._changed:
            if not self._account.has_room(self._account.refused, self._budget):
                self._run_out()

    def reserve(self, most: float) -> bool:
        """Set aside the most that a request can cost; False where the judge has stopped.

        Where the budget is short only because of requests under way, this waits for what they really cost.
        """
        with self._changed:
            while self._stop is None and not self._account.add(most, self._budget):
                if self._under_way:
                    self._changed.wait()
                else:
                    self._account.refuse(most)
                    self._run_out()
            if self._stop is not None:
                return False
            self._under_way += 1
            return True

    def settle(self, most: float, prompt_tokens: int, completion_tokens: int) -> None:
        """A request is over: what it set aside goes back, the tokens that the server counted are paid."""
        with self._changed:
            cost = self.cost(prompt_tokens, completion_tokens)
            self._under_way -= 1
            self._usage = replace(
                self._usage,
                prompt_tokens=self._usage.prompt_tokens + prompt_tokens,
                completion_tokens=self._usage.completion_tokens + completion_tokens,
                cost=self._usage.cost + cost,
            )
            self._changed.notify_all()
            self._account.add(cost - most)

    def sent(self, *, again: bool) -> None:
        """One request goes out; `again` for a retry."""
        with self._changed:
            self._usage = replace(
                self._usage, requests=self._usage.requests + 1, retries=self._usage.retries + int(again)
            )

    def answered(self) -> None:
        """A question was answered: failures before it are no longer in a row."""
        with self._changed:
            self._usage = replace(self._usage, answers=self._usage.answers + 1)
            self._in_a_row = 0

    def failed(self, reason: str, *, refused: bool) -> None:
        """A question was given up, after all its retries.

        `refused`: the server answered that this very request is not acceptable (too long, say). Once anything has been
        answered that says nothing of the next row; before, it may mean that none is acceptable.
        """
        with self._changed:
            self._usage = replace(self._usage, failures=self._usage.failures + 1)
            if refused and self._usage.answers:
                return
            self._in_a_row += 1
            if self._in_a_row >= self._breaker:
                self.stop(
                    LabelerStopped(
                        f"the endpoint failed {self._in_a_row} questions in a row, the last with: {reason}; "
                        "the answers are kept: run again when it is well (labeler.breaker is how many are borne)"
                    )
                )

    def stop(self, why: TruingError) -> None:
        """Nothing more is sent from now on. The first reason stays."""
        with self._changed:
            if self._stop is None:
                self._stop, self._stopped_at = why, time.monotonic()
            self._changed.notify_all()

    def halted(self, rest: float, /) -> TruingError | None:
        """Why nothing is sent; None once the breaker has rested for so many seconds: it is tried again, and the first failure stops
        it anew. A spent budget and what only other settings can mend stay as they are.
        """
        with self._changed:
            broken = isinstance(self._stop, LabelerStopped) and not self._empty
            if broken and time.monotonic() >= self._stopped_at + rest:
                self._stop, self._in_a_row = None, self._breaker - 1
            return self._stop

    def pause(self, seconds: float) -> bool:
        """Wait; False as soon as the judge has stopped."""
        with self._changed:
            return not self._changed.wait_for(lambda: self._stop is not None, timeout=seconds)

    def _run_out(self) -> None:
        self._empty = True
        self.stop(
            LabelerStopped(
                f"{self._account.total:.6g} of the budget of {self._budget:g} is spent, and the next request could pass it; "
                "the answers are kept: raise labeler.budget and run again to go on"
            )
        )

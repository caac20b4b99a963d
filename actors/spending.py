"""What an endpoint was asked and what it cost: a ledger, a budget that is not passed, a breaker that ends a lost cause."""

import threading
from dataclasses import dataclass, replace

from truing.config.labeling import Price
from truing.errors import ActorDied, TruingError


class BudgetSpent(TruingError):  # noqa: N818 - named after what happened
    """The next request could cost more than is left. What was answered is kept."""


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

    def __init__(self, price: Price, budget: float | None, breaker: int) -> None:
        self._price, self._budget, self._breaker = price, budget, breaker
        self._changed = threading.Condition()
        self._usage = Usage()
        self._reserved: list[float] = []
        self._in_a_row = 0
        self._stop: TruingError | None = None

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

    def reserve(self, most: float) -> bool:
        """Set aside the most that a request can cost; False where the judge has stopped.

        Where the budget is short only because of requests under way, this waits for what they really cost.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._stop is not None or not self._reserved or self._fits(most))
            if self._stop is None and not self._fits(most):
                self.stop(
                    BudgetSpent(
                        f"{self._usage.cost:.6g} of the budget of {self._budget:g} is spent after {self._usage.answers} "
                        "answers, and the next request could pass it; the answers are kept: raise labeler.budget and "
                        "run again to go on"
                    )
                )
            if self._stop is not None:
                return False
            self._reserved.append(most)
            return True

    def release(self, most: float) -> None:
        """Give back what was set aside."""
        with self._changed:
            self._reserved.remove(most)
            self._changed.notify_all()

    def sent(self, *, again: bool) -> None:
        """One request goes out; `again` for a retry."""
        with self._changed:
            self._usage = replace(
                self._usage, requests=self._usage.requests + 1, retries=self._usage.retries + int(again)
            )

    def pay(self, prompt_tokens: int, completion_tokens: int) -> None:
        """The server counted so many tokens."""
        with self._changed:
            self._usage = replace(
                self._usage,
                prompt_tokens=self._usage.prompt_tokens + prompt_tokens,
                completion_tokens=self._usage.completion_tokens + completion_tokens,
                cost=self._usage.cost + self.cost(prompt_tokens, completion_tokens),
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
                    ActorDied(
                        f"the endpoint failed {self._in_a_row} questions in a row, the last with: {reason}; "
                        "the answers are kept: run again when it is well (labeler.breaker is how many are borne)"
                    )
                )

    def stop(self, why: TruingError) -> None:
        """Nothing more is sent from now on. The first reason stays."""
        with self._changed:
            self._stop = self._stop or why
            self._changed.notify_all()

    def pause(self, seconds: float) -> bool:
        """Wait; False as soon as the judge has stopped."""
        with self._changed:
            return not self._changed.wait_for(lambda: self._stop is not None, timeout=seconds)

    def _fits(self, most: float) -> bool:
        return self._budget is None or self._usage.cost + sum(self._reserved) + most <= self._budget

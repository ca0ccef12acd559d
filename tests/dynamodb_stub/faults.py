"""What may go wrong with a request, and the rules that say which request it happens to."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

from .errors import ApiError
from .records import Request

BATCHES = ("BatchGetItem", "BatchWriteItem")
HTML = b"<html><body><h1>503 Service Temporarily Unavailable</h1></body></html>"


@dataclass(frozen=True)
class Fail:
    """Answers with an error; nothing is applied."""

    code: str
    """The name of the error, as "ThrottlingException"; what the service says with it comes by itself."""
    message: str | None = None
    body: bytes | None = None
    """Sent instead of the JSON, as by a load balancer that never reached the service."""

    def error(self) -> ApiError:
        """What is to be answered."""
        return ApiError(self.code, self.message)


def throttled(code: str = "ProvisionedThroughputExceededException") -> Fail:
    """HTTP 400; also with `ThrottlingException` or `RequestLimitExceeded`."""
    return Fail(code)


def internal_error() -> Fail:
    """HTTP 500."""
    return Fail("InternalServerError")


def unavailable(body: Literal["json", "empty", "html"] = "json") -> Fail:
    """HTTP 503."""
    return Fail("ServiceUnavailable", body={"json": None, "empty": b"", "html": HTML}[body])


class Unprocessed:
    """Leaves a part of a batch unprocessed. Matches batches only."""

    def __init__(self, choose: Callable[[int], Iterable[int]]) -> None:
        self.choose = choose
        """Gives the positions to leave out of a batch of so many."""

    @classmethod
    def first(cls, count: int) -> Unprocessed:
        """The first `count`."""
        return cls(lambda size: range(min(count, size)))

    @classmethod
    def alternating(cls) -> Unprocessed:
        """Every second one, from the first on."""
        return cls(lambda size: range(0, size, 2))

    @classmethod
    def randomly(cls, share: float, seed: int = 0) -> Unprocessed:
        """Each with this probability; never all, which the service answers with an error."""
        dice = random.Random(seed)

        def choose(size: int) -> list[int]:
            chosen = [at for at in range(size) if dice.random() < share]
            return chosen if len(chosen) < size else chosen[1:]

        return cls(choose)


@dataclass(frozen=True)
class Delay:
    """Lets the request lie before it is applied: a write may come late, over a newer one."""

    seconds: float


@dataclass(frozen=True)
class AnswerLate:
    """Applies the request at once and answers it late."""

    seconds: float


class Hold:
    """Keeps requests until the test lets them go."""

    def __init__(self, applied: bool = False) -> None:
        self.applied = applied
        """Whether they are applied before they are held, or after."""
        self.released = threading.Event()
        self._arrived = threading.Semaphore(0)

    def arrive(self) -> None:
        """A request says that it is being held."""
        self._arrived.release()

    def wait(self, timeout: float = 10) -> None:
        """Waits until one more request is being held."""
        assert self._arrived.acquire(timeout=timeout), "no request came to be held"

    def release(self) -> None:
        """Lets them all go, and those that come later pass."""
        self.released.set()


@dataclass(frozen=True)
class Drop:
    """Ends the connection instead of answering."""

    applied: bool = False
    """True: the request is applied, only its acknowledgement is lost."""
    reset: bool = False
    """True: by RST instead of FIN."""


@dataclass(frozen=True)
class CutAnswer:
    """Applies the request, and ends the connection in the middle of the answer."""

    after: int | None = None
    """So many bytes of the answer are sent, its head included; `None`: the head and half of the body."""
    reset: bool = False


Fault = Fail | Unprocessed | Delay | AnswerLate | Hold | Drop | CutAnswer


class Rule:
    """Says which requests meet with some faults."""

    def __init__(
        self,
        faults: tuple[Fault, ...],
        times: int | None,
        operation: str | None,
        when: Callable[[Request], bool] | None,
        probability: float,
        seed: int,
    ) -> None:
        self.faults = faults
        self.used = 0
        """How many requests it was applied to."""
        self._left = times
        self._operations = set(BATCHES) if any(isinstance(one, Unprocessed) for one in faults) else None
        if operation is not None:
            self._operations = {operation}
        self._when = when
        self._probability = probability
        self._dice = random.Random(seed)

    def cancel(self) -> None:
        """No further request meets with it."""
        self._left = 0

    def take(self, request: Request) -> bool:
        """Whether it applies to this request, which uses it once."""
        if self._left == 0 or (self._operations is not None and request.operation not in self._operations):
            return False
        if self._when is not None and not self._when(request):
            return False
        if self._probability < 1 and self._dice.random() >= self._probability:
            return False
        self.used += 1
        if self._left is not None:
            self._left -= 1
        return True


class Faults:
    """The rules, oldest first. A request meets with the first that applies to it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rules: list[Rule] = []

    def add(self, rule: Rule) -> None:
        """Adds a rule behind the others."""
        with self._lock:
            self._rules.append(rule)

    def clear(self) -> None:
        """Forgets them all."""
        with self._lock:
            self._rules.clear()

    def meet(self, request: Request) -> tuple[Fault, ...]:
        """What happens to this request."""
        with self._lock:
            rule = next((rule for rule in self._rules if rule.take(request)), None)
        return () if rule is None else rule.faults

"""What the tests of this folder have in common: the verbs, how failures look, and patience."""

from __future__ import annotations

import re
import time
import traceback
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import pytest

from at_once import in_threads as in_threads
from TetherDB import BackendError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping

    from dynamodb_stub import DynamoDBStub
    from TetherDB import DB

NAME = "dynamodb"
TABLE = "messages"

# A call may end 0.5 s after its timeout; the rest is for a machine that does much else as well.
SLACK = 0.5 + 2.5
# The same for what is promised "at once", "within 0.2 s" or "within a second".
SOON = 1.0 + 1.0
# Long enough for a few attempts, short enough for many tests.
TIMEOUT = 1.0

READS: dict[str, Callable[[DB], object]] = {
    "read_message": lambda db: db.read_message("key", backend=NAME),
    "read_messages": lambda db: db.read_messages(["key", "other"], backend=NAME),
    "list_messages": lambda db: db.list_messages(backend=NAME),
    "list_keys": lambda db: db.list_keys(backend=NAME, bucket="bucket"),
    "iter_messages": lambda db: list(db.iter_messages(backend=NAME)),
    "ping": lambda db: db.ping(NAME),
}
WRITES: dict[str, Callable[[DB], object]] = {
    "write_message": lambda db: db.write_message("key", "value", backend=NAME),
    "write_messages": lambda db: db.write_messages({"key": "value", "other": "value"}, backend=NAME),
    "update_message": lambda db: db.update_message("key", "value", backend=NAME),
}
# Of these it matters whether an attempt without an answer was done.
DELETES: dict[str, Callable[[DB], object]] = {
    "delete_message": lambda db: db.delete_message("key", backend=NAME),
    "delete_messages": lambda db: db.delete_messages(["key", "other"], backend=NAME),
}
VERBS = READS | WRITES | DELETES

every_verb = pytest.mark.parametrize("verb", VERBS.values(), ids=VERBS)
every_repeatable_verb = pytest.mark.parametrize("verb", (READS | WRITES).values(), ids=READS | WRITES)

# What an error tells its reader to do.
NEXT_STEP = re.compile(r"\b(Check|Try|Raise|Set|Create|Renew|Grant|Use|Split|Read|Free)\b")

E = TypeVar("E", bound=BackendError)


@contextmanager
def within(seconds: float, slack: float = SLACK) -> Generator[None]:
    """What is inside ends in time."""
    begun = time.monotonic()
    yield
    took = time.monotonic() - begun
    assert took < seconds + slack, f"it took {took:.2f} s"


def failure(
    verb: Callable[[DB], object],
    db: DB,
    kind: type[E],
    *,
    names: str = "",
    timeout: float = TIMEOUT,
    slack: float = SLACK,
) -> E:
    """The error of a verb: of exactly this kind, in time, and with a text that helps."""
    with within(timeout, slack), pytest.raises(BackendError) as caught:
        verb(db)
    error = caught.value
    assert type(error) is kind, f"{type(error).__name__}: {error}"
    assert error.backend == NAME
    text = str(error)
    assert text.startswith("dynamodb backend: ")
    assert names in text
    assert NEXT_STEP.search(text), text
    return error


def shown(error: BaseException) -> str:
    """All that anyone may come to see of an error, and of those behind it."""
    texts = ["".join(traceback.format_exception(error))]
    following: BaseException | None = error
    while following is not None:
        arguments: tuple[Any, ...] = following.args
        texts += [str(following), repr(following), repr(arguments), repr(vars(following))]
        following = following.__cause__ or following.__context__
    return "\n".join(texts)


class GivenUp(list[tuple[str, object, str, Exception]]):
    """What `on_error` was told."""

    def tell(self, key: str, value: object, backend: str, error: Exception) -> None:
        """One message that was given up."""
        self.append((key, value, backend, error))


def written(stub: DynamoDBStub, keys: Mapping[str, object]) -> Counter[int]:
    """How many keys were written how often."""
    return Counter(len(stub.history(TABLE, key)) for key in keys)


def values_of(stub: DynamoDBStub, key: str) -> list[str | None]:
    """The texts that a key has had, in that order; `None` where it was deleted."""
    history = stub.history(TABLE, key)
    return [None if write.item is None else write.item["value"]["S"] for write in history]


def adds_up(db: DB) -> None:
    """The accounts of the queue add up."""
    stats = db.stats()[NAME]
    parts = stats["delivered"] + stats["failed"] + stats["replaced"] + stats["pending"]
    assert stats["accepted"] == parts, stats
    assert 0 <= stats["in_flight"] <= stats["pending"], stats

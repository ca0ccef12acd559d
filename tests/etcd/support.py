"""What the tests of this folder have in common: the verbs, how failures look, and patience."""

from __future__ import annotations

import os
import re
import threading
import time
import traceback
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import pytest

from at_once import in_threads as in_threads
from TetherDB import BackendError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from servers.process import Server
    from TetherDB import DB

NAME = "etcd"

# `etcd.timeout` of handles whose server is in trouble: long enough for other members to be tried.
TIMEOUT = 1.5
# Of handles whose server is well, however busy the machine is.
PATIENT = 20.0
# A call may end 0.5 s after its timeout; the rest is for a machine that does much else as well. Together they
# are less than another timeout.
SLACK = 0.5 + 0.9
# How long to wait for what happens by itself, on such a machine.
PATIENCE = 30.0

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
    "delete_message": lambda db: db.delete_message("key", backend=NAME),
    "delete_messages": lambda db: db.delete_messages(["key", "other"], backend=NAME),
}
VERBS = READS | WRITES

every_verb = pytest.mark.parametrize("verb", VERBS.values(), ids=VERBS)

# What an error tells its reader to do.
NEXT_STEP = re.compile(r"\b(Check|Set|Enable|Grant|Raise|Split|Send less|Read)\b")

E = TypeVar("E", bound=BackendError)


@contextmanager
def within(seconds: float = TIMEOUT, slack: float = SLACK) -> Generator[None]:
    """What is inside ends in time."""
    begun = time.monotonic()
    yield
    took = time.monotonic() - begun
    assert took < seconds + slack, f"it took {took:.2f} s"


def helps(error: BaseException, kind: type[E], *, names: str) -> E:
    """The error is of exactly this kind, and its text names backend and address, and what to do."""
    assert type(error) is kind, f"{type(error).__name__}: {error}"
    assert error.backend == NAME
    text = str(error)
    assert text.startswith("etcd backend: "), text
    assert names in text, text
    assert NEXT_STEP.search(text), text
    return error


def failure(
    verb: Callable[[DB], object], db: DB, kind: type[E], *, names: str, timeout: float = TIMEOUT
) -> E:
    """The error of a verb: in time, and as `helps` says."""
    with within(timeout), pytest.raises(BackendError) as caught:
        verb(db)
    return helps(caught.value, kind, names=names)


def works(db: DB) -> None:
    """Writes and reads."""
    key, text = f"works-{threading.get_native_id()}", f"value at {time.monotonic()}"
    assert db.write_message(key, text, backend=NAME) is True
    assert db.read_message(key, backend=NAME) == text


def works_soon(db: DB) -> None:
    """The server has just come back: within some time it works, without another handle."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            works(db)
        except BackendError:
            if time.monotonic() > deadline:
                raise
        else:
            return


def shown(error: BaseException) -> str:
    """All that anyone may come to see of an error, and of those behind it."""
    texts = ["".join(traceback.format_exception(error))]
    left: list[BaseException | None] = [error]
    while left:
        if following := left.pop():
            arguments: tuple[Any, ...] = following.args
            texts += [str(following), repr(following), repr(arguments), repr(vars(following))]
            left += [following.__cause__, following.__context__]
    return "\n".join(texts)


def freeze(server: Server) -> None:
    """Stops the process of a server by a signal, and returns once that has arrived."""
    server.pause()
    os.waitpid(server.pid, os.WUNTRACED)


def adds_up(db: DB) -> None:
    """The accounts of the queue add up."""
    stats = db.stats()[NAME]
    parts = stats["delivered"] + stats["failed"] + stats["replaced"] + stats["pending"]
    assert stats["accepted"] == parts, stats
    assert 0 <= stats["in_flight"] <= stats["pending"], stats

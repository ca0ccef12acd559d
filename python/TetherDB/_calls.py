"""The calls of one handle from coroutines: begun in the engine, awaited here."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, cast

from TetherDB import _loops
from TetherDB._tetherdb import AsyncVerbs

if TYPE_CHECKING:
    from collections.abc import Callable

    from TetherDB import DB, Receipt
    from TetherDB._tetherdb import Gathering, Slices

# What needs no waiting gives no other task a turn: after so many of it one is given.
_TURNS = 100

# Milliseconds in which another thread may log what a verb has caused.
_PATIENCE = 50


class Calls:
    """What ``AsyncDB`` and ``tether`` do with the engine."""

    def __init__(self, db: DB) -> None:
        self.db = db
        self.verbs = AsyncVerbs(db)
        self._logs_debug = self.verbs.logs_debug()
        self._without_turn = 0

    async def wait(self, begin: Callable[..., int], *arguments: object) -> Any:
        """Begin a call, and wait for its outcome."""
        post, future = _loops.post_of_running()
        number = begin(post, future, *arguments)
        try:
            outcome = await future
        except Exception:
            await self.log_lines()
            raise
        except BaseException:
            # Cancelled, or thrown away with its task.
            post.cancel(number)
            raise
        if self._logs_debug:
            await self.log_lines()
        return outcome

    async def log_lines(self) -> None:
        """Wait until the lines are out that a verb has caused; not for long, since a handler may hang."""
        for left in range(_PATIENCE, 0, -1):
            if self.verbs.log_lines(left == 1):
                return
            await asyncio.sleep(0.001)

    async def write(self, key: object, value: object, bucket: str, backend: str) -> bool:
        """Write a message."""
        return cast("bool", await self.wait(self.verbs.write_message, key, value, bucket, backend))

    async def queue(
        self, verb: str, key: Any, value: Any, bucket: str, backend: str, receipt: bool
    ) -> bool | Receipt:
        """Queue a message, waiting for room where the queue is full."""
        accepted = self.verbs.try_enqueue(verb, key, value, bucket, backend, receipt)
        if accepted is None:
            begin = self.verbs.enqueue
            given: bool | Receipt = await self.wait(begin, verb, key, value, bucket, backend, receipt)
            return given
        self._without_turn += 1
        if self._without_turn >= _TURNS:
            self._without_turn = 0
            await asyncio.sleep(0)
        return accepted

    async def gather(self, gathering: Gathering) -> Gathering:
        """Take in many messages or keys, a slice at a time."""
        while gathering.step():
            await asyncio.sleep(0)
        return gathering

    async def fill(self, target: dict[str, Any] | list[Any], slices: Slices | None) -> None:
        """Give out many, a slice at a time. None: the verb failed, and errors are only logged."""
        while slices is not None and slices.step(target):
            await asyncio.sleep(0)

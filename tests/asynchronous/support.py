"""What the tests of this folder have in common: loops that cannot hang, and patience without blocking one."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable

    from TetherDB import AsyncDB

T = TypeVar("T")

HOUR = 3600
# Seconds that no test ever waits.
PATIENT = 100.0
# Whoever takes longer than this hangs, however loaded the machine is.
HANG = 90.0


async def bounded(main: Coroutine[Any, Any, T]) -> T:
    """The outcome of `main`, which must not hang."""
    return await asyncio.wait_for(main, HANG)


def run(main: Coroutine[Any, Any, T]) -> T:
    """Runs `main` in a loop of its own."""
    return asyncio.run(bounded(main))


async def eventually(condition: Callable[[], object]) -> None:
    """Waits until a condition holds, for as long as a busy machine may need."""
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        await asyncio.sleep(0.005)


async def turns(count: int = 20) -> None:
    """The loop goes round, and time goes by."""
    for _ in range(count):
        await asyncio.sleep(0.002)


async def begun(call: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
    """A task that has begun its call."""
    task = asyncio.ensure_future(call)
    await asyncio.sleep(0)
    return task


async def cancelled(*tasks: asyncio.Task[Any]) -> None:
    """Cancels what is not over, and sees all of it end as cancelled."""
    for task in tasks:
        assert not task.done(), task
        task.cancel()
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [asyncio.CancelledError] * len(tasks)


async def outcomes(calls: Iterable[Coroutine[Any, Any, Any]]) -> list[Any]:
    """What each of many calls gives or raises; all at once."""
    return await asyncio.gather(*calls, return_exceptions=True)


async def adds_up(db: AsyncDB) -> None:
    """The accounts of every queue add up."""
    for stats in (await db.stats()).values():
        parts = stats["delivered"] + stats["failed"] + stats["replaced"] + stats["pending"]
        assert stats["accepted"] == parts, stats
        assert 0 <= stats["in_flight"] <= stats["pending"], stats


async def works(db: AsyncDB, key: str, backend: str = "local") -> None:
    """Every verb of one key works, and in order."""
    assert await db.write_message(key, "written", backend=backend) is True
    assert await db.read_message(key, backend=backend) == "written"
    assert await db.update_message(key, "updated", backend=backend) is True
    assert await db.write_queue_message(key, "queued", backend=backend) is True
    await db.flush()
    assert await db.read_message(key, backend=backend) == "queued"
    assert await db.delete_message(key, backend=backend) is True
    await adds_up(db)

"""Calls of every kind at once, many cancelled at some moment: what the store holds afterwards adds up."""

from __future__ import annotations

import asyncio
import contextlib
import random
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from TetherDB import AsyncDB

from .support import adds_up, run, works

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from pathlib import Path

    from contract.place import Place

    Locked = Callable[[], AbstractContextManager[None]]
    Open = Callable[..., AsyncDB]

KEYS = 12


class Call(NamedTuple):
    """What was begun, and the value of the key if it is done; `None`: deleted."""

    verb: str
    value: str | None
    task: asyncio.Task[Any]

    @property
    def was_cancelled(self) -> bool:
        return self.task.cancelled()

    @property
    def changed(self) -> bool:
        """Whether it says that it has done something."""
        return not self.was_cancelled and self.task.result() is True


def begin(db: AsyncDB, verb: str, key: str, value: str, backend: str) -> Call:
    if verb == "delete_message":
        return Call(verb, None, asyncio.ensure_future(db.delete_message(key, backend=backend)))
    call = getattr(db, verb)(key, value, backend=backend)
    return Call(verb, value, asyncio.ensure_future(call))


def may_be_left(calls: list[Call]) -> set[str | None]:
    """What a key may hold after these calls, in the order in which they were begun."""
    left: set[str | None] = {None}
    for call in calls:
        if call.was_cancelled:
            # It was done or not.
            left.add(call.value)
        elif call.changed:
            left = {call.value}
        else:
            # There was nothing to update or to delete.
            assert None in left, calls
            left = {None}
    return left


async def storm(
    db: AsyncDB, backend: str, seed: int, count: int, verbs: list[str], *, places_at_once: bool = True
) -> dict[str, list[Call]]:
    """Begins calls in bursts, and cancels a third of them sooner or later.

    Where a queued message waits for room or for the disk of a journal, it has no place among the calls of its
    key yet: then nothing else is begun before it is accepted.
    """
    dice = random.Random(seed)
    calls: dict[str, list[Call]] = {f"key{number}": [] for number in range(KEYS)}
    for number in range(count):
        key = dice.choice(list(calls))
        call = begin(db, dice.choice(verbs), key, f"{number}", backend)
        calls[key].append(call)
        if dice.random() < 0.3:
            loop = asyncio.get_running_loop()
            loop.call_later(dice.choice([0, 0, 0.001, 0.005, 0.02]), call.task.cancel)
        if call.verb == "write_queue_message" and not places_at_once:
            await asyncio.wait([call.task])
        if dice.random() < 0.2:
            await asyncio.sleep(dice.choice([0, 0, 0.002]))
    for call in (call for of_key in calls.values() for call in of_key):
        with contextlib.suppress(asyncio.CancelledError):
            await call.task
    return calls


DIRECT = ["write_message", "write_message", "delete_message"]
# The order of updates that run at once is not promised.
QUEUED = ["write_message", "write_queue_message", "write_queue_message", "delete_message"]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("verbs", [DIRECT, QUEUED], ids=["direct", "queued and direct"])
def test_on_the_file(verbs: list[str], seed: int, open_async: Open) -> None:
    db = open_async(queue_batch={"size": 5})

    async def main() -> None:
        await db.write_message("other", "v")
        calls = await storm(db, "local", seed, 800, verbs)
        await db.flush()
        for key, of_key in calls.items():
            assert await db.read_message(key) in may_be_left(of_key), (key, of_key[-20:])
        await adds_up(db)
        await works(db, "key0")

    run(main())


@pytest.mark.parametrize("seed", range(2))
def test_while_another_process_locks_the_file_now_and_then(
    seed: int, open_async: Open, locked: Locked
) -> None:
    db = open_async(local={"busy_timeout": 60}, queue_batch={"size": 5})

    async def main() -> None:
        await db.write_message("other", "v")
        raging = asyncio.ensure_future(storm(db, "local", seed, 600, QUEUED))
        for _ in range(3):
            with locked():
                await asyncio.sleep(0.05)
            await asyncio.sleep(0.01)
        calls = await raging
        await db.flush()
        for key, of_key in calls.items():
            assert await db.read_message(key) in may_be_left(of_key), (key, of_key[-20:])
        await adds_up(db)

    run(main())


@pytest.mark.parametrize("verbs", [DIRECT, QUEUED], ids=["direct", "queued and direct"])
def test_across_a_network(verbs: list[str], remote: Place) -> None:
    on = remote.name

    async def main() -> None:
        db = AsyncDB({**remote.config, "queue_batch": {"timeout": 0.01}})
        calls = await storm(db, on, 7, 400, verbs)
        await db.flush()
        for key, of_key in calls.items():
            assert await db.read_message(key, backend=on) in may_be_left(of_key), (key, of_key[-20:])
        await works(db, "key0", on)
        await db.stop()

    run(main())


@pytest.mark.parametrize("journal", [False, True], ids=["waiting for room", "with a journal"])
def test_where_queued_messages_wait_to_be_accepted(journal: bool, open_async: Open, tmp_path: Path) -> None:
    place = {"journal": str(tmp_path / "journal")} if journal else {"max_pending": 3}
    db = open_async(queue_batch={"size": 5, **place})

    async def main() -> None:
        await db.write_message("other", "v")
        calls = await storm(db, "local", 11, 400, QUEUED, places_at_once=False)
        await db.flush()
        for key, of_key in calls.items():
            assert await db.read_message(key) in may_be_left(of_key), (key, of_key[-20:])
        await adds_up(db)
        await works(db, "key0")

    run(main())

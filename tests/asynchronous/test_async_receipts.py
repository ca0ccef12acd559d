"""Receipts in event loops: any loop, any number of times, and loops that end first."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from typing import TYPE_CHECKING, Any

import pytest

from at_once import in_threads
from TetherDB import DB, AsyncDB, BackendError, DeliveryError, Receipt, _loops

from .support import HOUR, begun, eventually, outcomes, run, turns

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from pathlib import Path

    Locked = Callable[[], AbstractContextManager[None]]
    Open = Callable[..., AsyncDB]

SLOW = {"timeout": HOUR, "size": 100_000}


async def wait(receipt: Receipt) -> bool:
    return await receipt


def test_write_queue_message_gives_one_of_the_same_kind(open_async: Open) -> None:
    db = open_async(queue_batch=SLOW)

    async def main() -> None:
        receipt = await db.write_queue_message("k", "v", receipt=True)
        assert type(receipt) is Receipt
        assert (receipt.done(), receipt.exception()) == (False, None)
        await db.flush()
        assert (receipt.done(), receipt.wait(timeout=0), await receipt) == (True, True, True)

    run(main())


def test_one_of_one_loop_is_awaited_in_others(open_async: Open) -> None:
    db = open_async(queue_batch=SLOW)
    receipt = run(db.write_queue_message("k", "v", receipt=True))

    def wait_in_a_loop_of_its_own() -> bool:
        return run(wait(receipt))

    def flush() -> None:
        run(db.flush())

    assert in_threads(*[wait_in_a_loop_of_its_own] * 4, flush) == [True] * 4 + [None]
    assert run(wait(receipt)) is True


def test_many_await_one(open_async: Open) -> None:
    db = open_async(queue_batch=SLOW)

    async def main() -> None:
        receipt = await db.write_queue_message("k", "v", receipt=True)
        waiting = [await begun(wait(receipt)) for _ in range(100)]
        waiting[3].cancel()
        await db.flush()
        results = await asyncio.gather(*waiting, return_exceptions=True)
        assert results.count(True) == 99
        assert isinstance(results[3], asyncio.CancelledError)

    run(main())


def test_one_that_is_awaited_again_and_again_leaves_nothing(open_async: Open) -> None:
    db = open_async(queue_batch=SLOW)

    async def main() -> None:
        receipt = await db.write_queue_message("k", "v", receipt=True)
        patient = await begun(wait(receipt))
        for _ in range(100):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(wait(receipt), 0.0001)
        thrown_away = wait(receipt)
        thrown_away.send(None)
        thrown_away.close()
        assert len(_loops.post_of(asyncio.get_running_loop())) == 1
        await db.flush()
        assert await patient is True
        assert await asyncio.wait_for(wait(receipt), HOUR) is True

    run(main())


def test_it_raises_in_the_loop_why_its_message_was_given_up(open_async: Open, refuse_bad: None) -> None:
    db = open_async()

    async def main() -> None:
        good = await db.write_queue_message("good", "v", receipt=True)
        bad = await db.write_queue_message("bad", "v", receipt=True)
        for _ in range(2):
            with pytest.raises(BackendError, match="refused by the trigger"):
                await bad
        assert await good is True
        with pytest.raises(DeliveryError):
            await db.flush()

    run(main())


def test_a_receipt_of_db_in_a_loop(path: Path, locked: Locked) -> None:
    db = DB({"local": {"filepath": str(path), "busy_timeout": 60}, "queue_batch": {"timeout": 0.02}})
    db.write_message("other", "v")

    async def main() -> None:
        with locked():
            waiting = await begun(wait(db.write_queue_message("k", "v", receipt=True)))
            await turns()
            assert not waiting.done()
        assert await waiting is True

    run(main())
    db.stop()


def test_a_loop_that_ends_before_its_receipts(open_async: Open) -> None:
    db = open_async(queue_batch=SLOW)
    loop = asyncio.SelectorEventLoop()
    receipt = loop.run_until_complete(db.write_queue_message("k", "v", receipt=True))
    task = loop.run_until_complete(begun(wait(receipt)))
    assert not task.done()
    # Or it would complain that it was destroyed while pending.
    task._log_destroy_pending = False  # type: ignore[attr-defined]
    loop.close()
    watched = weakref.ref(loop)
    del loop, task

    def is_gone() -> bool:
        gc.collect()
        return watched() is None

    # A receipt does not keep a loop, before its message is delivered.
    run(eventually(is_gone))
    assert not receipt.done()
    run(db.flush())
    assert receipt.done()
    assert run(wait(receipt)) is True


def test_without_a_loop_it_says_what_to_do(open_async: Open) -> None:
    db = open_async(queue_batch=SLOW)
    receipt = run(db.write_queue_message("k", "v", receipt=True))
    with pytest.raises(RuntimeError, match="needs a running event loop"):
        wait(receipt).send(None)


def test_they_need_no_thread_each(open_async: Open, locked: Locked) -> None:
    db = open_async(local={"busy_timeout": 60})

    async def main() -> None:
        await db.write_message("other", "v")
        with locked():
            receipts = [await db.write_queue_message(f"{n}", "v", receipt=True) for n in range(3000)]
            before = threading.active_count()
            waiting = [await begun(wait(receipt)) for receipt in receipts]
            await turns()
            assert threading.active_count() <= before + 1
            assert not any(task.done() for task in waiting)
        assert await asyncio.gather(*waiting) == [True] * 3000

    run(main())


def test_receipts_where_the_queue_is_full(open_async: Open, locked: Locked) -> None:
    db = open_async(local={"busy_timeout": 60}, queue_batch={"max_pending": 3})

    async def one(number: int) -> Any:
        receipt = await db.write_queue_message("k", f"{number}", receipt=True)
        return await receipt

    async def main() -> None:
        await db.write_message("other", "v")
        with locked():
            all_of_them = await begun(outcomes(one(n) for n in range(50)))
            await turns()
            assert not all_of_them.done()
        assert await all_of_them == [True] * 50
        assert await db.read_message("k") == "49"

    run(main())

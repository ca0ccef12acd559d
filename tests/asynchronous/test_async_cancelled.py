"""Cancelling at every stage: what has not begun is not done, what has begun is finished, nothing hangs."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

import pytest

from TetherDB import AsyncDB, DeliveryError

from .support import HOUR, adds_up, begun, bounded, cancelled, eventually, outcomes, run, turns, works

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from pathlib import Path

    from contract.place import Place

    Locked = Callable[[], AbstractContextManager[None]]
    Open = Callable[..., AsyncDB]

PATIENT = {"busy_timeout": 60}


def test_before_it_has_begun(db: AsyncDB) -> None:
    async def main() -> None:
        task = asyncio.ensure_future(db.write_message("k", "v"))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await turns()
        assert await db.read_message("k") is None

    run(main())


def test_a_coroutine_that_is_never_awaited_does_nothing_and_python_says_so(db: AsyncDB) -> None:
    async def main() -> None:
        with pytest.warns(RuntimeWarning, match="write_message.* was never awaited"):
            db.write_message("k", "v")  # type: ignore[unused-coroutine]  # pyright: ignore[reportUnusedCoroutine]
        await turns()
        assert await db.read_message("k") is None
        assert (await db.stats())["local"]["accepted"] == 0

    run(main())


@pytest.mark.parametrize("verb", ["write_message", "update_message", "delete_message", "write_messages"])
def test_in_the_line_of_a_file_that_another_process_has_locked(
    verb: str, open_async: Open, locked: Locked
) -> None:
    db = open_async(local=PATIENT)
    arguments: list[Any] = [{"k": "new"}] if verb == "write_messages" else ["k", "new"]
    if verb == "delete_message":
        arguments = ["k"]

    async def main() -> None:
        await db.write_message("k", "old")
        with locked():
            first = await begun(getattr(db, verb)(*arguments))
            await turns()
            rest = [await begun(db.write_message(f"{n}", "v")) for n in range(20)]
            await turns()
            await cancelled(first, *rest)
        await works(db, "other")
        assert await db.read_message("k") == "old"
        assert await db.list_keys() == {"keys": ["k"], "next_marker": None}

    run(main())


def test_others_in_the_line_are_written(open_async: Open, locked: Locked) -> None:
    db = open_async(local=PATIENT)

    async def main() -> None:
        await db.write_message("k", "old")
        with locked():
            tasks = [await begun(db.write_message(f"{n:02}", "v")) for n in range(40)]
            await turns()
            await cancelled(*tasks[::2])
        assert await outcomes(tasks[1::2]) == [True] * 20  # type: ignore[arg-type]
        keys = (await db.list_keys(100))["keys"]
        assert keys == [*(f"{n:02}" for n in range(1, 40, 2)), "k"]

    run(main())


def test_behind_an_older_queued_message_of_the_key(open_async: Open, locked: Locked) -> None:
    db = open_async(local=PATIENT)

    async def main() -> None:
        await db.write_message("other", "v")
        with locked():
            await db.write_queue_message("k", "queued")
            direct = [await begun(db.write_message("k", f"direct {n}")) for n in range(3)]
            await turns()
            await cancelled(*direct)
        await db.flush()
        assert await db.read_message("k") == "queued"
        await works(db, "k")

    run(main())


def test_while_waiting_for_room_in_the_queue(open_async: Open, locked: Locked) -> None:
    db = open_async(local=PATIENT, queue_batch={"max_pending": 2})

    async def main() -> None:
        await db.write_message("other", "v")
        with locked():
            assert await outcomes(db.write_queue_message(f"{n}", "v") for n in range(2)) == [True, True]
            waiting = [await begun(db.write_queue_message(f"waiting {n}", "v")) for n in range(6)]
            await turns()
            await cancelled(*waiting[:5])
        assert await waiting[5] is True
        await db.flush()
        assert (await db.list_keys())["keys"] == ["0", "1", "other", "waiting 5"]
        stats = (await db.stats())["local"]
        assert (stats["accepted"], stats["delivered"], stats["pending"]) == (3, 3, 0)

    run(main())


@pytest.mark.parametrize("verb", ["flush", "stop"])
def test_in_flush_and_stop_leaves_what_is_queued(verb: str, open_async: Open, locked: Locked) -> None:
    db = open_async(local=PATIENT)

    async def main() -> None:
        await db.write_message("other", "v")
        with locked():
            await db.write_queue_message("k", "v")
            task = await begun(getattr(db, verb)())
            await turns()
            await cancelled(task)
            assert (await db.stats())["local"]["pending"] == 1
        await db.flush()
        assert await db.read_message("k") == "v"
        await works(db, "k")

    run(main())


def test_at_the_end_of_a_block(open_async: Open, locked: Locked) -> None:
    db = open_async(local=PATIENT)

    async def main() -> None:
        await db.write_message("other", "v")

        async def block() -> None:
            async with db:
                await db.write_queue_message("k", "v")

        with locked():
            task = await begun(block())
            await turns()
            await cancelled(task)
        await db.flush()
        assert await db.read_message("k") == "v"

    run(main())


def test_a_receipt_that_is_cancelled_is_settled_all_the_same(open_async: Open, locked: Locked) -> None:
    db = open_async(local=PATIENT)

    async def main() -> None:
        await db.write_message("other", "v")
        with locked():
            receipt = await db.write_queue_message("k", "v", receipt=True)

            async def wait() -> bool:
                return await receipt

            task = await begun(wait())
            await turns()
            await cancelled(task)
            assert not receipt.done()
        await db.flush()
        assert receipt.done()
        assert await receipt is True

    run(main())


def test_a_request_on_its_way_is_finished_and_the_next_of_its_key_waits(remote: Place) -> None:
    remote.prepare_stall()
    db = AsyncDB({**remote.config, "queue_batch": {"timeout": 0.02}})
    on = remote.name

    async def main() -> None:
        await db.write_message("k", "old", backend=on)
        with remote.stall():
            # What stops a server may take a moment to stop all of it.
            await turns()
            first = await begun(db.write_message("k", "cancelled", backend=on))
            await turns()
            second = await begun(db.write_message("k", "behind it", backend=on))
            reading = await begun(db.read_message("k", backend=on))
            await turns()
            await cancelled(first, second, reading)
        await db.write_message("k", "last", backend=on)
        await turns()
        assert await db.read_message("k", backend=on) == "last"
        await works(db, "k", on)
        await db.stop()

    run(main())


def test_what_fails_after_its_caller_was_cancelled_is_logged(
    path: Path, locked: Locked, caplog: pytest.LogCaptureFixture
) -> None:
    # It has its turn soon, behind a message that cannot be written, and nobody waits for it when that fails.
    db = AsyncDB({"local": {"filepath": str(path), "busy_timeout": 0.3}, "queue_batch": {"timeout": HOUR}})

    async def main() -> None:
        await db.write_message("k", "old")
        with locked():
            await db.write_queue_message("k", "queued")
            task = await begun(db.write_messages({"k": "direct", "l": "direct"}))
            await turns()
            await cancelled(task)
            await eventually(lambda: "was cancelled, and what it had begun failed" in caplog.text)
        await db.flush()
        await db.stop()

    run(main())
    records = [record for record in caplog.records if "was cancelled" in record.getMessage()]
    assert [record.levelno for record in records] == [logging.WARNING]
    assert records[0].getMessage().startswith("write_messages was cancelled")


def test_again_and_again_at_any_moment(open_async: Open) -> None:
    db = open_async()

    async def main() -> None:
        for number in range(300):
            value = f"{number}"
            task = asyncio.ensure_future(db.write_message("k", value))
            for _ in range(number % 7):
                await asyncio.sleep(0)
            task.cancel()
            outcome = (await outcomes([bounded(_of(task))]))[0]
            assert outcome is True or isinstance(outcome, asyncio.CancelledError)
            # Later writes of the key are not held up, and not overtaken.
            await db.write_message("k", f"after {number}")
            assert await db.read_message("k") == f"after {number}"
        await adds_up(db)

    run(main())


async def _of(task: asyncio.Task[bool]) -> bool:
    return await task


def test_what_is_given_up_comes_back_from_flush_whoever_was_cancelled(path: Path) -> None:
    retry = {"initial": 0.01, "max": 0.02, "give_up_after": 0.1}
    folder = path / "no such folder"
    db = AsyncDB({"local": {"filepath": str(folder / "file")}, "queue_batch": {"retry": retry}})

    async def main() -> None:
        await db.write_queue_message("k", "v")
        await cancelled(await begun(db.flush()))
        with pytest.raises(DeliveryError) as caught:
            await db.flush()
        assert [failed[0] for failed in caught.value.failed] == ["k"]
        await db.stop()

    run(main())

"""Many calls at once: all are answered, in order per key, without a thread for each, and the loop goes on."""

from __future__ import annotations

import asyncio
import gc
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from TetherDB import AsyncDB

from .support import adds_up, begun, outcomes, run, turns

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from contract.place import Place

    Locked = Callable[[], AbstractContextManager[None]]
    Open = Callable[..., AsyncDB]

MANY = 10_000
# Of the whole process: the interpreter's, the engine's, and those of the tests' own servers and tools.
MOST_THREADS = 40


def threads() -> int:
    if sys.platform != "linux":
        return 0
    return len(list(Path("/proc/self/task").iterdir()))


def test_ten_thousand_direct_calls(open_async: Open) -> None:
    db = open_async()

    async def main() -> None:
        written = asyncio.gather(*(db.write_message(f"{n:05}", {"n": n}) for n in range(MANY)))
        await asyncio.sleep(0.01)
        assert threads() < MOST_THREADS
        assert await written == [True] * MANY
        read = await asyncio.gather(*(db.read_message(f"{n:05}") for n in range(MANY)))
        assert read == [{"n": n} for n in range(MANY)]
        assert threads() < MOST_THREADS
        updated = await asyncio.gather(*(db.update_message(f"{n:05}", "v") for n in range(0, MANY, 5)))
        assert updated == [True] * (MANY // 5)
        deleted = await asyncio.gather(*(db.delete_message(f"{n:05}") for n in range(0, MANY, 5)))
        assert deleted == [True] * (MANY // 5)

    run(main())


def test_ten_thousand_of_one_key_end_with_the_last_that_was_begun(open_async: Open) -> None:
    db = open_async()

    async def main() -> None:
        await db.write_queue_message("k", "queued")
        assert await asyncio.gather(*(db.write_message("k", f"{n}") for n in range(MANY))) == [True] * MANY
        assert await db.read_message("k") == f"{MANY - 1}"

    run(main())


@pytest.mark.parametrize("behind", [False, True], ids=["free", "behind a queued message"])
def test_calls_of_one_key_happen_in_the_order_in_which_they_were_begun(
    behind: bool, open_async: Open, history: Callable[[str], list[str | None]]
) -> None:
    db = open_async(queue_batch={"timeout": 60})

    async def main() -> None:
        if behind:
            await db.write_queue_message("k", "queued")
        calls: list[Any] = []
        for number in range(50):
            calls.append(db.write_message("k", f"{number}"))
            if number % 10 == 5:
                calls.append(db.write_message("k", f"{number} queued", queue=True))
        await asyncio.gather(*calls)
        await db.flush()

    run(main())
    expected = ["queued"] if behind else []
    for number in range(50):
        expected += [f"{number}"] + ([f"{number} queued"] if number % 10 == 5 else [])
    assert history("k") == expected


def test_what_is_queued_after_a_stop_stays_behind_a_direct_call(
    open_async: Open, history: Callable[[str], list[str | None]], tmp_path: Path
) -> None:
    db = open_async(queue_batch={"journal": str(tmp_path / "journal"), "journal_sync": "never", "timeout": 0})

    async def main() -> None:
        for _ in range(20):
            # The journal is closed: the first of them opens it.
            await db.stop()
            others = [db.write_message(f"{n}", "v") for n in range(100)]
            await asyncio.gather(
                *others, db.write_message("k", "direct"), db.write_queue_message("k", "queued")
            )

    run(main())
    run(db.flush())
    assert history("k") == ["direct", "queued"] * 20


def test_ten_thousand_wait_for_room_and_come_in(open_async: Open) -> None:
    db = open_async(queue_batch={"max_pending": 100, "size": 50})

    async def main() -> None:
        receipts = await asyncio.gather(
            *(db.write_queue_message(f"{n}", "v", receipt=True) for n in range(MANY))
        )
        assert threads() < MOST_THREADS

        async def wait(receipt: Any) -> bool:
            return bool(await receipt)

        assert await asyncio.gather(*(wait(receipt) for receipt in receipts)) == [True] * MANY
        stats = (await db.stats())["local"]
        assert (stats["accepted"], stats["delivered"]) == (MANY, MANY)

    run(main())


def test_thousands_go_through_a_journal_in_order(open_async: Open, tmp_path: Path) -> None:
    db = open_async(queue_batch={"journal": str(tmp_path / "journal"), "max_pending": 500})

    async def main() -> None:
        queued = await outcomes(db.write_queue_message(f"{n % 7}", f"{n}") for n in range(3000))
        assert queued == [True] * 3000
        await db.flush()
        found = await db.read_messages(f"{n}" for n in range(7))
        assert found == {f"{n % 7}": f"{n}" for n in range(2993, 3000)}
        await adds_up(db)

    run(main())


def test_thousands_of_flushes(open_async: Open, locked: Locked) -> None:
    db = open_async(local={"busy_timeout": 60})

    async def main() -> None:
        await db.write_message("k", "v")
        with locked():
            await db.write_queue_message("k", "queued")
            flushes = [await begun(db.flush()) for _ in range(2000)]
            assert threads() < MOST_THREADS
            assert not any(flush.done() for flush in flushes)
        await asyncio.gather(*flushes)
        assert await db.read_message("k") == "queued"

    run(main())


def test_thousands_across_a_network(remote: Place) -> None:
    db = AsyncDB({**remote.config, "queue_batch": {"timeout": 0.02}})
    many, on = (3000 if remote.name == "etcd" else 600), remote.name

    async def main() -> None:
        written = asyncio.gather(*(db.write_message(f"{n:04}", {"n": n}, backend=on) for n in range(many)))
        await asyncio.sleep(0.05)
        assert threads() < MOST_THREADS
        assert await written == [True] * many
        read = await asyncio.gather(*(db.read_message(f"{n:04}", backend=on) for n in range(many)))
        assert read == [{"n": n} for n in range(many)]
        await db.stop()

    run(main())


class Watch:
    """How much processor time the loop's thread spends between two turns of another task, at most."""

    def __init__(self) -> None:
        self.longest = 0.0
        self.long = 0
        self.turns = 0

    async def __aenter__(self) -> Watch:
        self._task = asyncio.ensure_future(self._go_round())
        await asyncio.sleep(0)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()

    async def _go_round(self) -> None:
        before = time.thread_time()
        while True:
            await asyncio.sleep(0)
            now = time.thread_time()
            self.longest = max(self.longest, now - before)
            self.long += now - before > 0.002
            self.turns += 1
            before = now


def test_many_records_in_one_call_leave_the_loop_its_turns(open_async: Open) -> None:
    many = 100_000
    db = open_async()

    async def main() -> None:
        items = [(f"{n:06}", "v") for n in range(many)]
        keys = [key for key, _ in items]
        async with Watch() as watch:
            assert await db.write_messages(items) == many
            # Slices of half a millisecond: many of them.
            assert watch.turns > 20
            assert len(await db.read_messages(keys)) == many
            assert len((await db.list_keys(many))["keys"]) == many
            count = 0
            async for _ in db.iter_messages(page_size=many):
                count += 1
            assert count == many
            assert await db.delete_messages(keys) == many
        # Processor time, not time: a busy machine does not change it. This build is not optimised.
        # Some steps take longer, since a list or a dict grows.
        assert watch.long < 15, watch.long
        assert watch.longest < 0.02, watch.longest

    run(main())


def test_letting_go_of_many_records_does_not_keep_the_loop(open_async: Open) -> None:
    many = 200_000
    db = open_async()

    async def main() -> None:
        items: list[Any] = [(f"{n:06}", "v" * 30) for n in range(many)]
        assert await db.write_messages(items) == many
        async with Watch() as watch:
            # Left before its page is given out.
            iterator = db.iter_messages(page_size=many)
            assert await anext(iterator) == items[0]
            del iterator
            await turns(2)
            # Given out: the memory of what is left is the system's again.
            listed = await db.list_messages(many)
            await turns(2)
        longest = watch.longest
        items.append(("wrong", 1))
        async with Watch() as watch:
            # Refused with its last item.
            with pytest.raises(TypeError, match="items"):
                await db.write_messages(items)
            await turns(2)
        assert len(listed["messages"]) == many
        # Processor time: dropped here, each of them takes 10 milliseconds and more.
        assert max(longest, watch.longest) < 0.005, (longest, watch.longest)

    gc.disable()
    try:
        run(main())
    finally:
        gc.enable()


def test_while_calls_wait_the_loop_goes_round(open_async: Open, locked: Locked) -> None:
    db = open_async(local={"busy_timeout": 60}, queue_batch={"max_pending": 1})

    async def main() -> None:
        await db.write_message("k", "v")
        with locked():
            waiting = [
                await begun(call)
                for call in (
                    db.write_message("k", "direct"),
                    db.write_queue_message("q", "v"),
                    db.write_queue_message("r", "waits for room"),
                    db.write_message("q", "behind it"),
                    db.write_messages({f"{n}": "v" for n in range(1000)}),
                    db.flush(),
                    db.stop(),
                )
            ]
            async with Watch() as watch:
                while watch.turns < 2000:
                    await asyncio.sleep(0)
            assert watch.longest < 0.02, watch.longest
            assert not waiting[0].done()
        results = await asyncio.gather(*waiting, return_exceptions=True)
        # Room or not, a producer is answered: `stop` sends those away who wait for room.
        assert [type(result).__name__ for result in results[3:]] == ["bool", "int", "NoneType", "NoneType"]

    run(main())


def test_a_delete_finds_what_is_just_written_into_a_new_file(open_async: Open) -> None:
    db = open_async()

    async def main() -> None:
        assert await outcomes([db.write_message("k", "v"), db.delete_message("k")]) == [True, True]
        assert await db.read_message("k") is None
        assert await outcomes([db.write_message("k", "v"), db.update_message("k", "w")]) == [True, True]
        assert await db.read_message("k") == "w"

    run(main())

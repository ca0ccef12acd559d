"""`iter_messages` of coroutines: lazy, one task at a time, and true about what lies in its way."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
from typing import TYPE_CHECKING, Any

import pytest

from TetherDB import AsyncDB, BackendError

from .support import begun, cancelled, run, turns

if TYPE_CHECKING:
    from collections.abc import Callable

    from contract.place import Place

    Open = Callable[..., AsyncDB]


def keys(first: int, last: int) -> list[str]:
    return [f"{number:03}" for number in range(first, last)]


def test_it_is_lazy_and_sees_what_later_pages_have_by_then(db: AsyncDB) -> None:
    async def main() -> list[str]:
        await db.write_messages(dict.fromkeys(keys(0, 10), "v"))
        found: list[str] = []
        async for key, value in db.iter_messages(page_size=2):
            found.append(f"{key} {value}")
            if key == "003":
                # 004 is in a page that was not fetched; 002 and 003 are over.
                await db.delete_messages(["002", "005"])
                await db.write_message("004", "new")
                await db.write_message("0035", "between")
        return found

    after = ["0035 between", "004 new", "006 v", "007 v", "008 v", "009 v"]
    assert run(main()) == ["000 v", "001 v", "002 v", "003 v", *after]


def test_nothing_is_fetched_before_the_first_step(open_async: Open) -> None:
    async def main() -> None:
        db = open_async()
        messages = db.iter_messages()
        await db.write_message("k", "v")
        assert [entry async for entry in messages] == [("k", "v")]

    run(main())


def test_closing_ends_it(open_async: Open) -> None:
    db, refusing = open_async(), open_async(errors="log")

    async def main() -> None:
        await db.write_messages(dict.fromkeys(keys(0, 10), "v"))
        async with contextlib.aclosing(db.iter_messages(page_size=3)) as messages:
            assert await anext(messages) == ("000", "v")
        assert [entry async for entry in messages] == []
        await messages.aclose()
        async with contextlib.aclosing(refusing.iter_messages(page_size=0)) as nothing:
            assert [entry async for entry in nothing] == []

    run(main())


def test_one_in_use_is_not_closed(open_async: Open) -> None:
    db = open_async()

    async def main() -> None:
        await db.write_message("k", "v")
        messages = db.iter_messages()
        step = await begun(anext(messages))
        with pytest.raises(ValueError, match="in use by another task"):
            await messages.aclose()
        assert await step == ("k", "v")
        await messages.aclose()

    run(main())


def test_it_is_its_own_iterator_and_ends_for_good(db: AsyncDB) -> None:
    async def main() -> None:
        await db.write_message("k", {"a": 1})
        messages = db.iter_messages()
        assert aiter(messages) is messages
        assert await anext(messages) == ("k", {"a": 1})
        for _ in range(3):
            assert await anext(messages, "end") == "end"
        await db.write_message("l", "later")
        assert await anext(messages, "end") == "end"

    run(main())


def test_what_it_could_not_do_is_refused_before_the_first_step(db: AsyncDB) -> None:
    iter_messages: Any = db.iter_messages
    with pytest.raises(ValueError, match="page_size"):
        iter_messages(page_size=0)
    with pytest.raises(TypeError):
        iter_messages(bucket=3)
    with pytest.raises(ValueError, match="backend"):
        iter_messages(backend="elsewhere")


async def take_all(messages: Any, into: list[str]) -> None:
    async for key, _ in messages:
        into.append(key)


async def step(messages: Any) -> Any:
    return await anext(messages)


def test_two_tasks_on_one_iterator(remote: Place) -> None:
    remote.prepare_stall()
    on = remote.name

    async def main() -> None:
        db = AsyncDB(remote.config)
        await db.write_messages({"k": "v", "l": "v"}, backend=on)
        messages = db.iter_messages(backend=on)
        with remote.stall():
            # The signal that stops a server takes a moment.
            await turns()
            first = await begun(step(messages))
            await turns()
            with pytest.raises(ValueError, match="in use by another task"):
                await step(messages)
            assert not first.done()
        # The one that was refused has broken nothing.
        assert {await first, await step(messages)} == {("k", "v"), ("l", "v")}
        await db.stop()

    run(main())


def test_a_step_that_is_cancelled_loses_no_record(etcd_place: Place) -> None:
    etcd_place.prepare_stall()

    async def main() -> None:
        db = AsyncDB(etcd_place.config)
        await db.write_messages(dict.fromkeys(keys(0, 6), "v"), backend="etcd")
        messages = db.iter_messages(backend="etcd", page_size=2)
        assert [(await anext(messages))[0] for _ in range(2)] == keys(0, 2)
        with etcd_place.stall():
            # The signal that stops a server takes a moment.
            await turns()
            task = await begun(step(messages))
            await turns()
            await cancelled(task)
        assert [key async for key, _ in messages] == keys(2, 6)
        await db.stop()

    run(main())


def test_leaving_it_early_holds_nothing_up(db: AsyncDB) -> None:
    async def main() -> None:
        await db.write_messages(dict.fromkeys(keys(0, 100), "v"))
        async for key, _ in db.iter_messages(page_size=3):
            if key == "004":
                break
        gc.collect()
        await db.stop()
        # A stop in the middle, too: what follows opens what it needs again.
        messages = db.iter_messages(page_size=3)
        assert (await anext(messages))[0] == "000"
        await db.stop()
        assert [key async for key, _ in messages] == keys(1, 100)

    run(main())


def test_other_tasks_go_on_between_records(db: AsyncDB) -> None:
    async def main() -> None:
        await db.write_messages({f"{n:05}": "v" for n in range(5000)})
        count = 0

        async def tick() -> None:
            nonlocal count
            while True:
                await asyncio.sleep(0)
                count += 1

        ticking = await begun(tick())
        # One page, so that no record but the first waits for anything.
        messages = db.iter_messages(page_size=5000)
        await anext(messages)
        before, records = count, 0
        async for _ in messages:
            records += 1
        assert records == 4999
        assert count - before >= 40
        ticking.cancel()

    run(main())


@pytest.mark.parametrize("page_size", [1, 2, 1000])
def test_a_record_that_is_not_readable_comes_out_as_an_error_in_its_place(
    page_size: int, ordered: Place
) -> None:
    for key in keys(0, 5):
        ordered.put(key, "v")
    ordered.put_unreadable("0025", b"\xff\xfe")

    async def main() -> None:
        db = AsyncDB(ordered.config)
        found: list[str] = []
        messages = db.iter_messages(backend=ordered.name, page_size=page_size)
        # It can be asked again, and says the same.
        for _ in range(2):
            with pytest.raises(BackendError, match="0025"):
                await take_all(messages, found)
            # In key order, all before it has come out.
            assert found == keys(0, 3)
        await db.stop()

    run(main())


def test_where_errors_are_logged_it_ends_with_a_line(
    open_async: Open, path: Any, caplog: pytest.LogCaptureFixture
) -> None:
    path.mkdir()
    db = open_async(errors="log")

    async def main() -> None:
        assert [entry async for entry in db.iter_messages()] == []
        refused: Any = db.iter_messages
        assert [entry async for entry in refused(page_size=0)] == []

    run(main())
    lines = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert len(lines) == 2
    assert all("iter_messages" in line for line in lines), lines

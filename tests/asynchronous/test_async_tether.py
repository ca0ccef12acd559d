"""`tether` in event loops: coroutine functions that store, and hold no loop up."""

from __future__ import annotations

import asyncio
import inspect
import logging
from typing import TYPE_CHECKING, Any

import pytest

from TetherDB import DB, AsyncDB, OperationTimeout, QueueFull

from .support import HOUR, adds_up, begun, cancelled, run, turns

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from pathlib import Path

    Locked = Callable[[], AbstractContextManager[None]]
    Open = Callable[..., AsyncDB]


def test_def_and_async_def_become_coroutine_functions(db: AsyncDB) -> None:
    @db.tether("users")
    def plain(name: str) -> dict[str, Any]:
        return {"key": name, "value": {"name": name}}

    @db.tether("users")
    async def later(name: str) -> dict[str, Any]:
        await asyncio.sleep(0)
        return {"key": name, "value": "text"}

    @db.tether
    def bare() -> dict[str, Any]:
        return {"value": "text"}

    async def main() -> None:
        for function in (plain, later, bare):
            assert inspect.iscoroutinefunction(function)
        assert [await plain("alice"), await later("bob"), await bare()] == [True] * 3
        found = {key: value async for key, value in db.iter_messages("users")}
        assert found == {"alice": {"name": "alice"}, "bob": "text"}

    run(main())


def test_methods(db: AsyncDB) -> None:
    class Shop:
        name = "shop"

        @db.tether("orders", key="last")
        def order(self, item: str) -> dict[str, Any]:
            return {"item": item, "by": self.name}

        @db.tether("orders")
        async def refund(self, item: str) -> dict[str, Any]:
            return {"key": item, "value": self.name}

        @staticmethod
        @db.tether("orders", key="static")
        async def nobodys() -> dict[str, Any]:
            return {"value": "v"}

    async def main() -> None:
        shop = Shop()
        assert [await shop.order("pen"), await shop.refund("ink"), await Shop.nobodys()] == [True] * 3
        found = await db.read_messages(["last", "ink", "static"], "orders")
        assert found == {"last": {"item": "pen", "by": "shop"}, "ink": "shop", "static": "v"}

    run(main())


@pytest.mark.parametrize("options", [{"queue": True}, {"wait": False}], ids=str)
def test_it_queues_when_told_to(options: dict[str, Any], open_async: Open) -> None:
    db = open_async(queue_batch={"timeout": HOUR, "size": 1000})

    @db.tether(key="k", **options)
    async def create() -> dict[str, Any]:
        return {"value": "v"}

    async def main() -> None:
        assert await create() is True
        assert (await db.stats())["local"]["pending"] == 1
        assert await db.read_message("k") is None
        await db.flush()
        assert await db.read_message("k") == "v"

    run(main())


@pytest.mark.parametrize("returned", [{"value": [1]}, {"nothing": 1}, "text", {"key": "", "value": "v"}])
def test_a_wrong_return_value_is_one_line_and_false(
    returned: Any, db: AsyncDB, caplog: pytest.LogCaptureFixture
) -> None:
    def invalid() -> Any:
        return returned

    async def invalid_too() -> Any:
        return returned

    async def main() -> None:
        for function in (invalid, invalid_too):
            assert await db.tether(function)() is False
        assert (await db.list_keys())["keys"] == []

    run(main())
    assert [record.levelno for record in caplog.records] == [logging.ERROR] * 2
    assert "'invalid'" in caplog.messages[0]
    assert "'invalid_too'" in caplog.messages[1]


def test_what_the_function_raises_passes_through(db: AsyncDB) -> None:
    @db.tether
    async def fails() -> dict[str, Any]:
        raise LookupError("mine")

    @db.tether
    def fails_at_once() -> dict[str, Any]:
        raise LookupError("mine, too")

    async def main() -> None:
        with pytest.raises(LookupError, match="mine"):
            await fails()
        with pytest.raises(LookupError, match="mine, too"):
            await fails_at_once()

    run(main())


def test_what_the_store_raises_is_raised_or_logged_as_errors_says(
    open_async: Open, locked: Locked, caplog: pytest.LogCaptureFixture
) -> None:
    raising, logging_only = (
        open_async(local={"busy_timeout": 0.05}, errors=errors) for errors in ("raise", "log")
    )

    async def create() -> dict[str, Any]:
        return {"value": "v"}

    async def main() -> None:
        await raising.write_message("other", "v")
        with locked():
            with pytest.raises(OperationTimeout):
                await raising.tether(create)()
            assert caplog.records == []
            assert await logging_only.tether(create)() is False
        assert [record.levelno for record in caplog.records] == [logging.ERROR]

    run(main())


def test_a_full_queue_raises_or_lets_the_loop_go_on(open_async: Open, locked: Locked) -> None:
    raising = open_async(local={"busy_timeout": 60}, queue_batch={"max_pending": 1, "when_full": "raise"})
    waiting = open_async(local={"busy_timeout": 60}, queue_batch={"max_pending": 1})

    async def create() -> dict[str, Any]:
        return {"value": "v"}

    async def main() -> None:
        await waiting.write_message("other", "v")
        with locked():
            stores = raising.tether(queue=True)(create)
            assert await stores() is True
            with pytest.raises(QueueFull):
                await stores()
            stores = waiting.tether(queue=True)(create)
            assert await stores() is True
            behind = await begun(stores())
            await turns()
            assert not behind.done()
        assert await behind is True
        await waiting.flush()
        await adds_up(waiting)

    run(main())


@pytest.mark.parametrize("queue", [False, True], ids=["direct", "queued"])
def test_db_tether_on_async_def_holds_no_loop_up(queue: bool, path: Path, locked: Locked) -> None:
    config = {"filepath": str(path), "busy_timeout": 60, "synchronous": "off"}
    db = DB({"local": config, "queue_batch": {"max_pending": 1, "timeout": 0.02}})

    @db.tether(queue=queue)
    async def create(name: str) -> dict[str, Any]:
        return {"key": name, "value": "v"}

    db.write_message("other", "v")

    async def main() -> None:
        with locked():
            if queue:
                assert await create("first") is True
            waiting = [await begun(create(f"{number}")) for number in range(20)]
            # The loop goes round meanwhile: a blocked one would come here with all of them over.
            await turns()
            assert not any(task.done() for task in waiting)
            await cancelled(waiting.pop())
        assert await asyncio.gather(*waiting) == [True] * 19

    run(main())
    db.flush()
    assert db.read_message("19") is None
    assert set(db.list_keys(100)["keys"]) >= {f"{number}" for number in range(19)}
    db.stop()

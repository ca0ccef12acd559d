"""The handle itself: subclasses, what it looks like, what it refuses, and callbacks from other threads."""

from __future__ import annotations

import asyncio
import copy
import functools
import pickle
import threading
from typing import TYPE_CHECKING, Any

import pytest

from TetherDB import DB, AsyncDB, ConfigError, LimitExceeded, QueueFull

from .support import HOUR, adds_up, begun, run, turns, works

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from pathlib import Path
    from typing import Self

    Locked = Callable[[], AbstractContextManager[None]]
    Open = Callable[..., AsyncDB]


def test_a_subclass_may_override_and_extend(path: Path) -> None:
    class Shop(AsyncDB):
        def __init__(self, name: str) -> None:
            super().__init__({"local": {"filepath": str(path)}})
            self.name = name

        async def write_message(self, key: str, value: Any, *where: Any, **options: Any) -> bool:
            return await super().write_message(f"{self.name}-{key}", value, *where, **options)

        async def __aenter__(self) -> Self:
            await super().__aenter__()
            await self.write_message("opened", "v")
            return self

    async def main() -> None:
        async with Shop("shop") as shop:
            assert shop.name == "shop"
            assert await shop.write_message("k", "v") is True
            assert (await shop.list_keys())["keys"] == ["shop-k", "shop-opened"]

    run(main())


def test_repr_is_that_of_db_under_its_own_name(path: Path) -> None:
    config = {"local": {"filepath": str(path)}, "etcd": {"username": "u", "password": "the secret"}}
    text = repr(AsyncDB(config))
    assert text == repr(DB(config)).replace("TetherDB.DB", "TetherDB.AsyncDB")
    assert text.startswith("<TetherDB.AsyncDB")
    assert "the secret" not in text


@pytest.mark.parametrize("twin", [pickle.dumps, copy.copy, copy.deepcopy], ids=lambda twin: twin.__name__)
def test_a_handle_can_be_neither_pickled_nor_copied(twin: Callable[[Any], object], db: AsyncDB) -> None:
    with pytest.raises(TypeError, match=r"pickled|process"):
        twin(db)


def test_the_constructor_refuses_what_that_of_db_does(path: Path) -> None:
    with pytest.raises(ConfigError, match="filepat"):
        AsyncDB({"local": {"filepat": str(path)}})
    with pytest.raises(ValueError, match="config"):
        AsyncDB({}, str(path))


async def tell(*_: Any) -> None:
    """No function for `on_error`."""


class Teller:
    async def method(self, *_: Any) -> None:
        """Neither."""


@pytest.mark.parametrize(
    "wrong", [tell, Teller().method, functools.partial(tell, 1)], ids=["function", "method", "partial"]
)
def test_on_error_must_not_be_a_coroutine_function(wrong: Any, path: Path) -> None:
    with pytest.raises(TypeError, match=r"plain function.*run_coroutine_threadsafe"):
        AsyncDB({"local": {"filepath": str(path)}}, on_error=wrong)


def test_on_error_is_called_by_a_thread_and_can_hand_on_to_the_loop(
    open_async: Open, refuse_bad: None
) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        told: asyncio.Queue[tuple[int, str]] = asyncio.Queue()

        async def tell_here(thread: int, key: str) -> None:
            # It may use the handle, too.
            assert await db.write_message("noted", "v") is True
            await told.put((thread, key))

        def on_error(key: str, *_: Any) -> None:
            asyncio.run_coroutine_threadsafe(tell_here(threading.get_ident(), key), loop)

        db = open_async(on_error)
        await db.write_queue_message("bad", "v", bucket="b")
        thread, key = await told.get()
        assert thread != threading.get_ident()
        assert (key, await db.read_message("noted")) == ("b:bad", "v")

    run(main())


def test_arguments_are_checked_when_a_coroutine_is_awaited(db: AsyncDB) -> None:
    async def main() -> None:
        any_db: Any = db
        wrong_types: list[Callable[[], Any]] = [
            lambda: any_db.write_message("k", [1]),
            lambda: any_db.write_message(3, "v"),
            lambda: any_db.write_message("k", "v", queue="yes"),
            lambda: any_db.write_queue_message("k", {1}),
            lambda: any_db.write_queue_message("k", "v", receipt="yes"),
            lambda: any_db.write_messages({"k": 1}),
            lambda: any_db.write_messages(3),
            lambda: any_db.read_messages([1]),
            lambda: any_db.read_messages("text"),
            lambda: any_db.delete_messages(None),
            lambda: any_db.list_keys(page_size="many"),
            lambda: any_db.flush("soon"),
        ]
        for call in wrong_types:
            with pytest.raises(TypeError):
                await call()
        wrong_values: list[Callable[[], Any]] = [
            lambda: any_db.write_message("", "v"),
            lambda: any_db.read_message("k", backend="elsewhere"),
            lambda: any_db.ping("etcd"),
            lambda: any_db.stop(-1),
        ]
        for call in wrong_values:
            with pytest.raises(ValueError):  # noqa: PT011 - of several kinds
                await call()
        assert (await db.list_keys())["keys"] == []
        await works(db, "k")

    run(main())


def test_a_value_that_changes_after_its_call_was_begun(open_async: Open, locked: Locked) -> None:
    db = open_async(local={"busy_timeout": 60})

    async def main() -> None:
        await db.write_message("other", "v")
        value = {"n": 1}
        with locked():
            direct = await begun(db.write_message("direct", value))
            queued = await begun(db.write_queue_message("queued", value))
            value["n"] = 2
            await turns()
        assert [await direct, await queued] == [True, True]
        await db.flush()
        assert await db.read_messages(["direct", "queued"]) == {"direct": {"n": 1}, "queued": {"n": 1}}

    run(main())


def test_a_full_queue_that_is_to_raise(open_async: Open, locked: Locked) -> None:
    db = open_async(local={"busy_timeout": 60}, queue_batch={"max_pending": 2, "when_full": "raise"})

    async def main() -> None:
        await db.write_message("other", "v")
        with locked():
            calls = (db.write_queue_message(f"{number}", "v") for number in range(5))
            results = await asyncio.gather(*calls, return_exceptions=True)
            assert [type(result) for result in results] == [bool, bool, QueueFull, QueueFull, QueueFull]
        await db.flush()
        await adds_up(db)

    run(main())


def test_a_message_that_can_never_fit(open_async: Open) -> None:
    db = open_async(queue_batch={"max_pending_bytes": 1000})

    async def main() -> None:
        with pytest.raises(LimitExceeded, match="can never fit"):
            await asyncio.wait_for(db.write_queue_message("k", "x" * 2000), 60)
        await works(db, "k")

    run(main())


def test_an_items_iterator_that_raises_or_is_a_generator(db: AsyncDB) -> None:
    def failing() -> Any:
        yield "k", "v"
        raise LookupError("mine")

    async def main() -> None:
        with pytest.raises(LookupError, match="mine"):
            await db.write_messages(failing())
        assert (await db.list_keys())["keys"] == []
        assert await db.write_messages((f"{n:04}", {"n": n}) for n in range(2000)) == 2000
        assert len(await db.read_messages(f"{n:04}" for n in range(3000))) == 2000
        assert await db.delete_messages(f"{n:04}" for n in range(1000, 3000)) == 1000

    run(main())


def test_debug_lines_come_before_the_call_returns(open_async: Open, caplog: pytest.LogCaptureFixture) -> None:
    db = open_async(debug=True, queue_batch={"timeout": HOUR})

    async def main() -> None:
        await db.write_message("k", {"name": "Charlie"})
        assert 'Write successful to local backend: k -> {"name": "Charlie"}' in caplog.messages
        await db.write_queue_message("q", "v")
        assert "Message queued [local]: q -> v" in caplog.messages
        await db.stop()
        assert caplog.messages[-1] == "Database resources released and closed."

    run(main())

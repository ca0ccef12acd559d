"""uvloop and anyio, where it works; trio, where it says that it does not."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import anyio
import pytest
import trio

from .support import works

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from TetherDB import AsyncDB

    Locked = Callable[[], AbstractContextManager[None]]


async def use(db: AsyncDB, locked: Locked) -> None:
    """All kinds of calls, one of them cancelled."""
    async with db:
        await works(db, "k")
        receipt = await db.write_queue_message("q", "v", receipt=True)
        assert await receipt is True
        with locked(), anyio.move_on_after(0.05) as scope:
            await db.write_message("cancelled", "v")
        assert scope.cancelled_caught
        async with anyio.create_task_group() as tasks:
            for number in range(100):
                tasks.start_soon(db.write_message, f"{number:03}", "v")
        assert [key async for key, _ in db.iter_messages()] == [*(f"{n:03}" for n in range(100)), "q"]


@pytest.mark.parametrize("uv", [False, pytest.param(True, marks=pytest.mark.skipif("os.name == 'nt'"))])
def test_anyio_on_asyncio_and_on_uvloop(uv: bool, open_async: Callable[..., AsyncDB], locked: Locked) -> None:
    db = open_async(local={"busy_timeout": 60})
    options: dict[str, Any] = {"use_uvloop": uv}
    anyio.run(use, db, locked, backend="asyncio", backend_options=options)


@pytest.mark.skipif(sys.platform == "win32", reason="there is no uvloop")
def test_uvloop_by_itself(open_async: Callable[..., AsyncDB], locked: Locked) -> None:
    import uvloop

    uvloop.run(use(open_async(local={"busy_timeout": 60}), locked))


def test_trio_says_that_it_does_not_work_and_what_does(db: AsyncDB) -> None:
    async def main() -> None:
        for call in (db.write_message("k", "v"), db.flush(), db.stop(), db.read_message("k")):
            with pytest.raises(RuntimeError, match=r"trio.*trio\.to_thread\.run_sync"):
                await call

    trio.run(main)
    anyio.run(main, backend="trio")

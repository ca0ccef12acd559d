"""`asyncio.timeout` around every verb, while its backend does not answer; and what is told of it later."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING, Any

import pytest

from TetherDB import AsyncDB

from .support import adds_up, begun, cancelled, eventually, run, turns, works

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from contextlib import AbstractContextManager

    from contract.place import Place
    from contract.place_etcd import EtcdPlace

    Locked = Callable[[], AbstractContextManager[None]]
    Open = Callable[..., AsyncDB]
    Verb = Callable[[AsyncDB, str], Awaitable[Any]]

MANY = {f"many{number:04}": "new" for number in range(2000)}


async def all_messages(db: AsyncDB, on: str) -> list[Any]:
    return [entry async for entry in db.iter_messages(backend=on)]


async def tethered(db: AsyncDB, on: str) -> bool:
    @db.tether(backend=on, key="k")
    async def create() -> dict[str, Any]:
        return {"value": "new"}

    return await create()


async def received(db: AsyncDB, on: str) -> bool:
    return await (await db.write_queue_message("q", "v", backend=on, receipt=True))


async def block(db: AsyncDB, on: str) -> None:
    async with db:
        await db.write_queue_message("q", "v", backend=on)


CHANGES: dict[str, Verb] = {
    "write_message": lambda db, on: db.write_message("k", "new", backend=on),
    "update_message": lambda db, on: db.update_message("k", "new", backend=on),
    "delete_message": lambda db, on: db.delete_message("k", backend=on),
    "write_messages": lambda db, on: db.write_messages({"k": "new", "l": "new"}, backend=on),
    "write_messages of many": lambda db, on: db.write_messages(MANY, backend=on),
    "delete_messages": lambda db, on: db.delete_messages(["k", "l"], backend=on),
    "tether": tethered,
    "receipt": received,
    "block": block,
}
READS: dict[str, Verb] = {
    "read_message": lambda db, on: db.read_message("k", backend=on),
    "read_messages": lambda db, on: db.read_messages(["k", *MANY], backend=on),
    "list_messages": lambda db, on: db.list_messages(backend=on),
    "list_keys": lambda db, on: db.list_keys(backend=on),
    "iter_messages": all_messages,
    "ping": lambda db, on: db.ping(on),
}


async def gives_up(call: Awaitable[Any]) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await call


@pytest.mark.parametrize("verb", CHANGES.values(), ids=CHANGES)
def test_on_a_file_that_another_process_has_locked(verb: Verb, open_async: Open, locked: Locked) -> None:
    db = open_async(local={"busy_timeout": 60})

    async def main() -> None:
        await db.write_message("k", "old")
        with locked():
            await gives_up(verb(db, "local"))
        await db.flush()
        # It had not begun: the file was another's all the time. What was queued is delivered.
        keys = (await db.list_keys(3000))["keys"]
        assert [key for key in keys if key != "q"] == ["k"]
        assert await db.read_message("k") == "old"
        await works(db, "k")

    run(main())


@pytest.mark.parametrize("verb", (CHANGES | READS).values(), ids=CHANGES | READS)
def test_across_a_network_that_gives_no_answer(verb: Verb, remote: Place) -> None:
    remote.prepare_stall()
    on = remote.name

    async def main() -> None:
        db = AsyncDB({**remote.config, "queue_batch": {"timeout": 0.01}})
        await db.write_message("k", "old", backend=on)
        with remote.stall():
            # What stops a server may take a moment to stop all of it.
            await turns()
            await gives_up(verb(db, on))
        assert await db.read_message("k", backend=on) in ("old", "new", None)
        await db.flush()
        await works(db, "k", on)
        await db.stop()

    run(main())


def test_a_request_that_fails_after_its_caller_was_cancelled_is_logged(
    etcd_place: EtcdPlace, caplog: pytest.LogCaptureFixture
) -> None:
    etcd_place.prepare_outage()

    async def main() -> None:
        db = AsyncDB(etcd_place.config)
        await db.write_message("k", "old", backend="etcd")
        with etcd_place.outage():
            calls: list[asyncio.Task[Any]] = [await begun(db.write_message("k", "new", backend="etcd"))]
            calls.insert(0, await begun(db.read_message("k", backend="etcd")))
            await turns()
            await cancelled(*calls)
            await eventually(
                lambda: "write_message was cancelled, and what it had begun failed" in caplog.text
            )
        await adds_up(db)
        await db.stop()

    run(main())
    # What was to be read, nobody misses.
    told = [record for record in caplog.records if "was cancelled" in record.getMessage()]
    assert [record.levelno for record in told] == [logging.WARNING]


def test_a_timeout_that_comes_with_the_outcome_changes_nothing(open_async: Open) -> None:
    db = open_async()

    async def main() -> None:
        for number in range(300):
            done = False
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(number * 2e-6):
                    done = await db.write_message("k", f"{number}")
            if done:
                assert await db.read_message("k") == f"{number}"
        await db.write_message("k", "last")
        assert await db.read_message("k") == "last"

    run(main())

"""What is measured from coroutines: the works, who does each of them, and what ``AsyncDB`` aims at.

As in ``tasks.py`` and ``remote.py``; the event loop runs, and all are connected, before the clock starts.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any

import async_peers
import peers
import remote_peers
from async_peers import AT_ONCE
from contest import Contender, Target, Workload, expect, ours
from records import items, record
from remote import FIRST, SYNC_SERVER, read_each, read_key, tether, write_each
from tasks import MEMORY, READS, SYNC_EACH, SYNC_GROUP
from tasks import write_each as write_each_local

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from measure import Task

    Make = Callable[[Task], Any]


async def by_many(calls: list[Callable[[], Awaitable[object]]]) -> None:
    """Has ``AT_ONCE`` coroutines make the calls, each one after the other."""

    async def share(at: int) -> None:
        for call in calls[at::AT_ONCE]:
            await call()

    await asyncio.gather(*(share(at) for at in range(min(AT_ONCE, len(calls)))))


def write_together(make: Make) -> Callable[[Task], None]:
    async def run(task: Task) -> None:
        work = items(task.count)
        async with make(task) as peer:
            await peer.write(FIRST, {})
            calls = [partial(peer.write, key, value) for key, value in work]
            with task.timed():
                await by_many(calls)
            task.note = peer.note

    return lambda task: asyncio.run(run(task))


def read_together(make: Make) -> Callable[[Task], None]:
    async def run(task: Task) -> None:
        keys = [read_key(at * 61_803 % task.rows) for at in range(task.count)]
        async with make(task) as peer:
            expect(await peer.read(read_key(1)) == record(1), "a wrong value was read")
            calls = [partial(peer.read, key) for key in keys]
            with task.timed():
                await by_many(calls)
            task.note = peer.note

    return lambda task: asyncio.run(run(task))


def enqueue(make: Make) -> Callable[[Task], None]:
    """Hands messages over, one after the other; what happens to them afterwards is not timed."""

    async def run(task: Task) -> None:
        work = items(task.count)
        async with make(task) as peer:
            put = peer.enqueue
            await put("first", {})  # starts the worker
            with task.timed():
                for key, value in work:
                    await put(key, value)
            task.note = peer.note

    return lambda task: asyncio.run(run(task))


def contenders() -> Iterator[Workload]:
    many = f"{AT_ONCE} coroutines"
    one_thread = "TetherDB's DB, 1 thread"
    read = remote_peers.READ_TABLE
    yield Workload(
        "async-enqueue",
        "await one queued message",
        100_000,
        50_000,
        [
            ours(MEMORY, enqueue(async_peers.Tether)),
            Contender("asyncio.Queue + json.dumps", MEMORY, enqueue(async_peers.AsyncioQueue)),
            Contender("janus + json.dumps", MEMORY, enqueue(async_peers.Janus), needs="janus"),
        ],
        [Target(2e-6)],
        groups=("async",),
    )
    yield Workload(
        "async-write",
        f"direct write, {many}",
        20_000,
        5_000,
        [
            ours(SYNC_GROUP, write_together(async_peers.Tether)),
            Contender(one_thread, SYNC_EACH, write_each_local(peers.Tether), 0.1),
            Contender("aiosqlite", SYNC_EACH, write_together(async_peers.Aiosqlite), 0.1, needs="aiosqlite"),
        ],
        [Target(4, one_thread)],
        groups=("async",),
    )
    yield Workload(
        "async-etcd-write",
        f"etcd, direct write, {many}",
        20_000,
        5_000,
        [
            ours(SYNC_SERVER, write_together(partial(async_peers.Tether, backend="etcd"))),
            Contender(one_thread, SYNC_SERVER, write_each(tether("etcd")), 0.05),
            Contender("aetcd", SYNC_SERVER, write_together(async_peers.Aetcd), 0.25, needs="aetcd"),
        ],
        [Target(5, one_thread), Target(1, "aetcd")],
        groups=("async",),
        servers=("etcd",),
        writes=True,
    )
    yield Workload(
        "async-etcd-read",
        f"etcd, read one, {many}",
        20_000,
        5_000,
        [
            ours(READS, read_together(partial(async_peers.Tether, backend="etcd"))),
            Contender(one_thread, READS, read_each(tether("etcd")), 0.05),
            Contender("aetcd", READS, read_together(async_peers.Aetcd), 0.25, needs="aetcd"),
        ],
        [Target(1, "aetcd")],
        groups=("async",),
        servers=("etcd",),
    )
    yield Workload(
        "async-dynamodb-write",
        f"DynamoDB, direct write, {many}",
        4_000,
        1_000,
        [
            ours(MEMORY, write_together(partial(async_peers.Tether, backend="dynamodb"))),
            Contender(one_thread, MEMORY, write_each(tether("dynamodb")), 0.25),
            Contender("aioboto3", MEMORY, write_together(async_peers.AioBoto3), needs="aioboto3"),
        ],
        [Target(1, "aioboto3")],
        groups=("async",),
        servers=("dynamodb",),
        writes=True,
    )
    yield Workload(
        "async-dynamodb-read",
        f"DynamoDB, read one, {many}",
        4_000,
        1_000,
        [
            ours(READS, read_together(partial(async_peers.Tether, backend="dynamodb", table=read))),
            Contender(one_thread, READS, read_each(tether("dynamodb", table=read)), 0.25),
            Contender(
                "aioboto3", READS, read_together(partial(async_peers.AioBoto3, table=read)), needs="aioboto3"
            ),
        ],
        [Target(1, "aioboto3")],
        groups=("async",),
        servers=("dynamodb",),
    )

"""The clients for coroutines that are compared, each as its own documentation advises.

All are async context managers with the coroutines ``write(key, value)`` and ``read(key)`` (stores), or
``enqueue(key, value)`` (queues). ``AT_ONCE`` is how many calls they have under way at most.
"""

from __future__ import annotations

import asyncio
from importlib.metadata import version
from json import dumps, loads
from typing import TYPE_CHECKING, Any, Self

import remote_peers
from peers import BUILD_TABLE, REPLACE

if TYPE_CHECKING:
    from measure import Task

# Coroutines that write, or read, at the same time.
AT_ONCE = 1_000


class Tether:
    """TetherDB's ``AsyncDB`` at its defaults."""

    def __init__(self, task: Task, backend: str = "local", table: str = remote_peers.WRITTEN_TABLE) -> None:
        from TetherDB import AsyncDB, __version__

        self.note = f"TetherDB {__version__}"
        self.backend = backend
        self.db = AsyncDB(remote_peers.configuration(task.addresses, task.folder, table=table))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.db.stop()

    async def write(self, key: str, value: dict[str, Any]) -> None:
        await self.db.write_message(key, value, backend=self.backend)

    async def read(self, key: str) -> Any:
        return await self.db.read_message(key, backend=self.backend)

    async def enqueue(self, key: str, value: dict[str, Any]) -> None:
        await self.db.write_queue_message(key, value, backend=self.backend)


class Aiosqlite:
    """``aiosqlite``: ``sqlite3`` in a thread of its own. Coroutines share the connection, each commits."""

    def __init__(self, task: Task) -> None:
        self.note = f"aiosqlite {version('aiosqlite')}"
        self.path = task.folder / "store"

    async def __aenter__(self) -> Self:
        import aiosqlite

        self.cx = await aiosqlite.connect(self.path, isolation_level=None)
        for statement in ("PRAGMA journal_mode = wal", "PRAGMA synchronous = full", BUILD_TABLE):
            await self.cx.execute(statement)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.cx.close()

    async def write(self, key: str, value: dict[str, Any]) -> None:
        await self.cx.execute(REPLACE, (key.encode(), dumps(value).encode()))


class Aetcd:
    """``aetcd``: etcd through ``grpc.aio``."""

    def __init__(self, task: Task) -> None:
        self.note = f"aetcd {version('aetcd')}"
        host, _, port = task.addresses["etcd"].rpartition(":")
        self.place = host, int(port)

    async def __aenter__(self) -> Self:
        import aetcd

        self.client = aetcd.Client(*self.place)
        await self.client.connect()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.client.close()

    async def write(self, key: str, value: dict[str, Any]) -> None:
        await self.client.put(key.encode(), dumps(value).encode())

    async def read(self, key: str) -> Any:
        return loads((await self.client.get(key.encode())).value)


class AioBoto3:
    """``aioboto3``: a table of its resource, whose pool has a connection for each request in flight."""

    def __init__(self, task: Task, table: str = remote_peers.WRITTEN_TABLE) -> None:
        self.note = f"aioboto3 {version('aioboto3')}"
        self.url = task.addresses["dynamodb"]
        self.table_name = table
        # More at once only wait for each other.
        self.limit = asyncio.Semaphore(remote_peers.IN_FLIGHT)

    async def __aenter__(self) -> Self:
        import aioboto3
        from aiobotocore.config import AioConfig

        config = AioConfig(max_pool_connections=remote_peers.IN_FLIGHT)
        self.resource = aioboto3.Session().resource("dynamodb", endpoint_url=self.url, config=config)
        self.table = await (await self.resource.__aenter__()).Table(self.table_name)
        return self

    async def __aexit__(self, *error: Any) -> None:
        await self.resource.__aexit__(*error)

    async def write(self, key: str, value: dict[str, Any]) -> None:
        async with self.limit:
            await self.table.put_item(Item={"key": key, "value": dumps(value)})

    async def read(self, key: str) -> Any:
        async with self.limit:
            found = await self.table.get_item(Key={"key": key}, ConsistentRead=True)
        return loads(found["Item"]["value"])


class AsyncioQueue:
    """``asyncio.Queue`` and ``json.dumps``, nobody at the other end."""

    def __init__(self, _task: Task) -> None:
        self.note = ""
        self.queue = self.make()

    def make(self) -> Any:
        return asyncio.Queue()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    async def enqueue(self, key: str, value: dict[str, Any]) -> None:
        await self.queue.put((key, dumps(value)))


class Janus(AsyncioQueue):
    """``janus``, from its async side."""

    def make(self) -> Any:
        import janus

        self.note = f"janus {version('janus')}"
        self.janus = janus.Queue()
        return self.janus.async_q

    async def __aexit__(self, *_: object) -> None:
        await self.janus.aclose()

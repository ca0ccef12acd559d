"""The clients of remote stores that are compared, with the same methods as those of ``peers.py``.

Each is used as its own documentation advises, with one connection for all its work. Values are dicts; who
stores only text gets it from ``json.dumps``.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from functools import partial
from importlib.metadata import version
from json import dumps, loads
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable
    from pathlib import Path

# What is written lies beside what is read: tables in DynamoDB, prefixes in etcd.
WRITTEN_TABLE = "written"
READ_TABLE = "read"
WRITTEN = "user:"
READ = "read:"
# Requests of aioboto3 at a time: more do not make it faster, since one thread does all.
IN_FLIGHT = 16


def configuration(
    addresses: dict[str, str], folder: Path, *, table: str = WRITTEN_TABLE, **queue_batch: Any
) -> dict[str, Any]:
    """Leads TetherDB to these servers, at its defaults except for what is given here."""
    config: dict[str, Any] = {"local": {"filepath": str(folder / "store")}, "queue_batch": queue_batch}
    if "etcd" in addresses:
        config["etcd"] = {"endpoints": [addresses["etcd"]]}
    if "dynamodb" in addresses:
        config["dynamodb"] = {"endpoint_url": addresses["dynamodb"], "table_name": table}
    return config


class Tether:
    """TetherDB at its defaults, except for what is given here."""

    def __init__(
        self,
        backend: str,
        addresses: dict[str, str],
        folder: Path,
        *,
        table: str = WRITTEN_TABLE,
        **queue_batch: Any,
    ) -> None:
        from TetherDB import DB, __version__

        self.note = f"TetherDB {__version__}"
        db = DB(configuration({backend: addresses[backend]}, folder, table=table, **queue_batch))
        self.write = partial(db.write_message, backend=backend)
        self.write_all = partial(db.write_messages, backend=backend)
        self.enqueue = partial(db.write_queue_message, backend=backend)
        self.flush = db.flush
        self.read = partial(db.read_message, backend=backend)
        self.close = db.stop


class Etcd3gw:
    """``etcd3gw``: etcd's JSON gateway through ``requests``."""

    def __init__(self, addresses: dict[str, str]) -> None:
        from etcd3gw import client

        self.note = f"etcd3gw {version('etcd3gw')}"
        host, _, port = addresses["etcd"].rpartition(":")
        etcd = client(host, int(port))
        self.close = etcd.session.close

        def write(key: str, value: dict[str, Any]) -> None:
            etcd.put(key, dumps(value))

        def read(key: str) -> dict[str, Any]:
            return loads(etcd.get(key)[0])

        self.write = write
        self.read = read


class Boto3:
    """``boto3``: a table of its resource, which alone has ``batch_writer``."""

    def __init__(self, addresses: dict[str, str], table: str = WRITTEN_TABLE) -> None:
        import boto3

        self.note = f"boto3 {boto3.__version__}"
        resource = boto3.resource("dynamodb", endpoint_url=addresses["dynamodb"])
        self.table = boto3_table = resource.Table(table)
        self.close = resource.meta.client.close

        def write(key: str, value: dict[str, Any]) -> None:
            boto3_table.put_item(Item={"key": key, "value": dumps(value)})

        def read(key: str) -> dict[str, Any]:
            found = boto3_table.get_item(Key={"key": key}, ConsistentRead=True)
            return loads(found["Item"]["value"])

        self.write = write
        self.read = read

    def write_all(self, items: Iterable[tuple[str, dict[str, Any]]]) -> None:
        with self.table.batch_writer() as batch:
            for key, value in items:
                batch.put_item(Item={"key": key, "value": dumps(value)})


class AioBoto3:
    """``aioboto3``: a table of its resource, whose pool has a connection for each request in flight."""

    def __init__(self, addresses: dict[str, str], table: str = WRITTEN_TABLE) -> None:
        import aioboto3
        from aiobotocore.config import AioConfig

        self.note = f"aioboto3 {version('aioboto3')}"
        self.runner = asyncio.Runner()
        self.stack = AsyncExitStack()
        config = AioConfig(max_pool_connections=IN_FLIGHT)
        resource = aioboto3.Session().resource("dynamodb", endpoint_url=addresses["dynamodb"], config=config)

        async def open_table() -> Any:
            return await (await self.stack.enter_async_context(resource)).Table(table)

        self.table = self.runner.run(open_table())

    async def _put(self, item: tuple[str, dict[str, Any]]) -> None:
        key, value = item
        await self.table.put_item(Item={"key": key, "value": dumps(value)})

    async def _get(self, key: str) -> dict[str, Any]:
        found = await self.table.get_item(Key={"key": key}, ConsistentRead=True)
        return loads(found["Item"]["value"])

    async def _together(self, do: Callable[[Any], Awaitable[Any]], each: Iterable[Any]) -> list[Any]:
        limit = asyncio.Semaphore(IN_FLIGHT)

        async def one(what: Any) -> Any:
            async with limit:
                return await do(what)

        return await asyncio.gather(*(one(what) for what in each))

    async def _put_all(self, items: Iterable[tuple[str, dict[str, Any]]]) -> None:
        async with self.table.batch_writer() as batch:
            for key, value in items:
                await batch.put_item(Item={"key": key, "value": dumps(value)})

    def write(self, key: str, value: dict[str, Any]) -> None:
        self.runner.run(self._put((key, value)))

    def write_all(self, items: Iterable[tuple[str, dict[str, Any]]]) -> None:
        self.runner.run(self._put_all(items))

    def write_together(self, items: Iterable[tuple[str, dict[str, Any]]]) -> None:
        self.runner.run(self._together(self._put, items))

    def read_together(self, keys: Iterable[str]) -> list[dict[str, Any]]:
        return self.runner.run(self._together(self._get, keys))

    def close(self) -> None:
        self.runner.run(self.stack.aclose())
        self.runner.close()

"""Handles for coroutines, on a file of their own and on servers."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

import pytest

from contract.place_dynamodb import DynamodbPlace
from contract.place_etcd import EtcdPlace, Gateway
from contract.place_local import LocalPlace
from TetherDB import AsyncDB, TetherDBError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from contract.place import Place
    from servers.etcd import EtcdServer


@pytest.fixture(scope="session")
def etcd_gateway(etcd: EtcdServer) -> Iterator[Gateway]:
    """The way of another program to the shared etcd."""
    with contextlib.closing(Gateway(etcd)) as gateway:
        yield gateway


@pytest.fixture(params=[EtcdPlace, DynamodbPlace], ids=lambda kind: kind.name)
def remote(request: pytest.FixtureRequest) -> Iterator[Place]:
    """An empty place on each backend across a network."""
    with contextlib.closing(request.param.of_test(request)) as place:
        yield place


@pytest.fixture
def etcd_place(request: pytest.FixtureRequest) -> Iterator[EtcdPlace]:
    """An empty place on etcd."""
    with contextlib.closing(EtcdPlace.of_test(request)) as place:
        yield place


@pytest.fixture
def open_async(path: Path) -> Iterator[Callable[..., AsyncDB]]:
    """Opens handles on the file at `path`, and stops them at the end of the test.

    Keywords are sections or keys of the configuration, but for `on_error`. The queue is fast unless told
    otherwise, and no commit waits for the disk.
    """
    opened: list[AsyncDB] = []

    def open_one(on_error: Callable[..., object] | None = None, **config: Any) -> AsyncDB:
        config["local"] = {"filepath": str(path), "synchronous": "off", **config.get("local", {})}
        config["queue_batch"] = {"timeout": 0.02, **config.get("queue_batch", {})}
        db = AsyncDB(config, on_error=on_error)
        opened.append(db)
        return db

    async def stop_all() -> None:
        for db in opened:
            with contextlib.suppress(TetherDBError):
                await db.stop(timeout=5)

    yield open_one
    asyncio.run(stop_all())


@pytest.fixture
def db(open_async: Callable[..., AsyncDB]) -> AsyncDB:
    """A handle on a file that is not there yet."""
    return open_async()


@pytest.fixture(params=[LocalPlace, EtcdPlace], ids=lambda kind: kind.name)
def ordered(request: pytest.FixtureRequest) -> Iterator[Place]:
    """An empty place on each backend that lists in key order."""
    with contextlib.closing(request.param.of_test(request)) as place:
        yield place

"""Read by mypy and pyright, and never run: what the stubs promise. See test_type_checkers.py."""

from __future__ import annotations

import contextlib
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, assert_type

from TetherDB import DB, AsyncDB, DeliveryError, Receipt
from TetherDB.types import (
    Config,
    FailedMessage,
    KeysPage,
    LocalConfig,
    MessagesPage,
    QueueBatchConfig,
    Returned,
    Stats,
    Storable,
    Value,
)

# What the file is opened with: a mapping of any kind, or a path.
whole: Config = {
    "debug": False,
    "errors": "raise",
    "local": {"filepath": Path("shop"), "synchronous": "normal", "busy_timeout": 1, "mode": "0600"},
    "dynamodb": {"table_name": "t", "region": "eu-central-1", "timeout": 2.5},
    "etcd": {"endpoints": ["a:2379", "b:2379"], "username": "u", "password": "${SHOP_PASSWORD}"},
    "queue_batch": {"size": 50, "retry": {"initial": 0.5}, "journal": "journal", "journal_sync": "interval"},
}
local: LocalConfig = {"filepath": "shop"}
queue: QueueBatchConfig = {"when_full": "raise"}
untyped: dict[str, Any] = {"local": local}
read_only: Mapping[str, Any] = untyped

DB()
DB(whole)
DB({"local": local, "queue_batch": queue})
DB({"queue_batch": {"size": "${SHOP_SIZE}"}})
DB(untyped)
DB(read_only)
DB("shop.json")
DB(Path("shop.json"))
DB(config_file=Path("shop.json"))


def given_up(key: str, value: str | dict[str, Any], backend: str, error: Exception) -> None: ...


with DB(on_error=given_up) as db:
    assert_type(db, DB)

# `default` says what reading gives where there is nothing to read.
assert_type(db.read_message("k"), str | dict[str, Any] | None)
assert_type(db.read_message("k", "bucket", "etcd"), Value | None)
assert_type(db.read_message("k", default=None), Value | None)
assert_type(db.read_message("k", default=""), str | dict[str, Any])
assert_type(db.read_message("k", default=0), str | dict[str, Any] | int)
assert_type(db.read_message("k", "bucket", "local", b""), str | dict[str, Any] | bytes)


def either(receipt: bool) -> None:
    assert_type(db.write_queue_message("k", "v", receipt=receipt), bool | Receipt)


# `receipt` says what queueing gives.
assert_type(db.write_queue_message("k", {"n": 1}), bool)
assert_type(db.write_queue_message("k", "v", "b", "etcd", receipt=False), bool)
assert_type(db.write_queue_message("k", "v", receipt=True), Receipt | Any)

assert_type(db.write_message("k", {"n": 1}, bucket="b", queue=True), bool)
assert_type(db.update_message("k", "v"), bool)
assert_type(db.delete_message("k"), bool)
assert_type(db.write_messages({"a": {"n": 1}, "b": {"n": 2}}), int)
assert_type(db.write_messages([("a", "1"), ("b", "2")]), int)
assert_type(db.write_messages((str(n), {"n": n}) for n in range(3)), int)
# A TypedDict is a dict.
assert_type(db.write_message("k", local), bool)
assert_type(db.write_messages({"a": local}), int)
anything: Storable = local
assert_type(db.update_message("k", anything), bool)
assert_type(db.write_message("k", OrderedDict(n=1)), bool)
assert_type(db.read_messages(["a", "b"]), dict[str, Value])
assert_type(db.delete_messages({"a", "b"}), int)
assert_type(db.list_messages(), MessagesPage)
assert_type(db.list_keys(), KeysPage)
assert_type(db.list_keys()["keys"], list[str])
assert_type(db.list_keys()["next_marker"], str | None)
assert_type(db.iter_messages(), Iterator[tuple[str, Value]])
assert_type(db.ping("etcd"), float)
assert_type(db.stats(), dict[str, Stats])
assert_type(db.stats()["local"]["pending"], int)
assert_type(db.stats()["local"]["last_error"], str | None)
assert_type(db.failed_messages(), list[FailedMessage])
assert_type(db.retry_failed("local"), int)
assert_type(DeliveryError("text").failed, list[tuple[str, Value, str, BaseException]])

# A decorated function takes what it took, by position and by name, and gives a bool.


@db.tether
def bare(name: str, age: int = 0) -> dict[str, Any]:
    return {"key": name, "value": {"age": age}}


@db.tether("users", wait=False, backend="etcd")
def with_arguments(name: str, *, age: int) -> dict[str, object]:
    return {"key": name, "value": {"age": age}}


@db.tether(key="settings", queue=True)
def itself(**settings: str) -> dict[str, str]:
    return settings


@db.tether(bucket="users")
async def in_a_loop(name: str) -> dict[str, Any]:
    return {"value": {"name": name}}


@db.tether
async def bare_in_a_loop(name: str) -> LocalConfig:
    return {"filepath": name}


class Users:
    @db.tether
    def create(self, name: str) -> dict[str, str]:
        return {"key": name, "value": name}

    @db.tether("users")
    def rename(self, name: str, to: str = "") -> Returned:
        return {"key": name, "value": to}

    @db.tether("users")
    async def remember(self, name: str) -> dict[str, str]:
        return {"value": name}

    @staticmethod
    @db.tether("users")
    def count(number: int) -> dict[str, Any]:
        return {"value": {"count": number}}


positional: Callable[[str, int], bool] = bare
assert_type(bare("alice"), bool)
assert_type(bare("alice", age=3), bool)
assert_type(with_arguments("alice", age=3), bool)
assert_type(itself(colour="red"), bool)
assert_type(Users().create("alice"), bool)
assert_type(Users().create(name="alice"), bool)
assert_type(Users().rename("alice", to="bob"), bool)
assert_type(Users.count(3), bool)
unawaited: Callable[[str], Coroutine[Any, Any, bool]] = in_a_loop


async def main() -> Literal["done"]:
    assert_type(await in_a_loop("alice"), bool)
    assert_type(await bare_in_a_loop(name="alice"), bool)
    assert_type(await Users().remember("alice"), bool)
    receipt: Receipt = db.write_queue_message("k", "v", receipt=True)
    assert_type(await receipt, bool)
    assert_type(receipt.wait(1.5), bool)
    assert_type(receipt.exception(), Exception | None)
    return "done"


async def coroutines() -> None:
    async with AsyncDB(whole, on_error=given_up) as adb:
        assert_type(adb, AsyncDB)
        assert_type(await adb.write_message("k", {"n": 1}), bool)
        assert_type(await adb.write_queue_message("k", "v"), bool)
        assert_type(await adb.write_queue_message("k", "v", receipt=True), Receipt | Any)
        assert_type(await adb.read_message("k"), Value | None)
        assert_type(await adb.read_message("k", default=0), str | dict[str, Any] | int)
        assert_type(await adb.read_messages(["a"]), dict[str, Value])
        assert_type(await adb.list_messages(), MessagesPage)
        assert_type((await adb.list_keys())["next_marker"], str | None)
        records: AsyncIterator[tuple[str, Value]] = adb.iter_messages()
        async for key, value in records:
            assert_type((key, value), tuple[str, Value])
        async with contextlib.aclosing(adb.iter_messages()) as closed_at_last:
            assert_type(await anext(closed_at_last), tuple[str, Value])
        assert_type((await adb.stats())["local"], Stats)
        assert_type(await adb.failed_messages(), list[FailedMessage])

        @adb.tether
        def plain(name: str, age: int = 0) -> dict[str, Any]:
            return {"key": name, "value": {"age": age}}

        @adb.tether("users", wait=False)
        async def in_turn(name: str) -> dict[str, str]:
            return {"value": name}

        assert_type(await plain("alice", age=3), bool)
        assert_type(await in_turn("alice"), bool)

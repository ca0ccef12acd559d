"""What is said of a wrong argument: which one, what was expected, what it got, and what to write."""

from __future__ import annotations

import asyncio
import math
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from TetherDB import DB, AsyncDB

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PAIRS = "Pass {key: value, ...} or [(key, value), ...]."
BACKENDS = "backend must be 'local', 'dynamodb' or 'etcd', got"
SECONDS = "timeout must be None or"

# What is called, and all that is said.
CALLS: list[tuple[str, Callable[[Any], Any], str]] = [
    ("key int", lambda db: db.read_message(5), "key must be a str, got int. Write str(key)."),
    ("key bytes", lambda db: db.read_message(b"x"), "key must be a str, got bytes. Write key.decode()."),
    ("key None", lambda db: db.read_message(None), "key must be a str, got NoneType."),
    (
        "key list",
        lambda db: db.delete_message(["a", "b"]),
        "key must be a str, got list. Several keys go to read_messages, write_messages or delete_messages.",
    ),
    (
        "bucket None",
        lambda db: db.write_message("a", "b", None),
        "bucket must be a str, got NoneType. Leave it out for no bucket.",
    ),
    ("bucket int", lambda db: db.write_messages({}, 7), "bucket must be a str, got int. Write str(bucket)."),
    (
        "backend None",
        lambda db: db.write_message("a", "b", backend=None),
        "backend must be a str, got NoneType. Leave it out for 'local'.",
    ),
    (
        "backend bool",
        lambda db: db.write_message("a", "b", "", True),
        "backend must be a str, got bool. Pass later arguments by name, such as queue=True.",
    ),
    (
        "backend int",
        lambda db: db.ping(5),
        "backend must be a str, got int. Pass 'local', 'dynamodb' or 'etcd'.",
    ),
    (
        "backend Local",
        lambda db: db.write_message("a", "b", backend="Local"),
        f"{BACKENDS} 'Local'. Did you mean 'local'?",
    ),
    (
        "backend dynamo",
        lambda db: db.retry_failed("dynamo"),
        f"{BACKENDS} 'dynamo'. Did you mean 'dynamodb'?",
    ),
    ("backend other", lambda db: db.read_message("a", "", "redis"), f"{BACKENDS} 'redis'."),
    (
        "queue int",
        lambda db: db.write_message("a", "b", queue=1),
        "queue must be a bool, got int. Write True or False.",
    ),
    (
        "page_size digits",
        lambda db: db.list_keys("10"),
        "page_size must be an int of at least 1, got str. Write int(page_size).",
    ),
    (
        "page_size bucket",
        lambda db: db.list_messages("users"),
        'page_size must be an int of at least 1, got str. A bucket is passed by name: bucket="...".',
    ),
    ("page_size 0", lambda db: db.list_keys(0), "page_size must be at least 1, got 0."),
    (
        "page_size bool",
        lambda db: db.list_keys(page_size=True),
        "page_size must be an int of at least 1, got bool.",
    ),
    (
        "page_size None",
        lambda db: db.list_keys(page_size=None),
        "page_size must be an int of at least 1, got NoneType. Leave it out for the default.",
    ),
    (
        "start_after",
        lambda db: db.list_keys(10, 5),
        "start_after must be a str, got int. Pass the next_marker of the page before.",
    ),
    (
        "timeout str",
        lambda db: db.flush("5"),
        f"{SECONDS} a number of seconds, got str. Write float(timeout).",
    ),
    (
        "timeout timedelta",
        lambda db: db.flush(timedelta(seconds=1)),
        f"{SECONDS} a number of seconds, got timedelta. Write timeout.total_seconds().",
    ),
    (
        "timeout -1",
        lambda db: db.stop(-1),
        f"{SECONDS} seconds of at least 0, got -1. None waits as long as it takes.",
    ),
    (
        "timeout nan",
        lambda db: db.flush(math.nan),
        f"{SECONDS} seconds of at least 0, got nan. None waits as long as it takes.",
    ),
    (
        "items int",
        lambda db: db.write_messages([1]),
        f"items[0] must be a (key, value) pair, got int. {PAIRS} Nothing was written.",
    ),
    (
        "items triple",
        lambda db: db.write_messages([("a", "b", "c")]),
        f"items[0] must be a (key, value) pair, got tuple of length 3. {PAIRS} Nothing was written.",
    ),
    (
        "items one pair",
        lambda db: db.write_messages(("a", "b")),
        f"items[0] must be a (key, value) pair, got str. {PAIRS} Nothing was written.",
    ),
    (
        "items key and value",
        lambda db: db.write_messages("a", "b"),
        f"items must be a mapping or an iterable of (key, value) pairs, got str. {PAIRS}",
    ),
    (
        "items wrong value",
        lambda db: db.write_messages({"a": 5}),
        "items[0] (key 'a'): Expected str or dict, got int. Nothing was written.",
    ),
    *(
        (
            f"keys {type(keys).__name__}",
            lambda db, keys=keys: db.read_messages(keys),
            f"keys must be an iterable of str, got {type(keys).__name__}. Pass a list: [key, ...].",
        )
        for keys in ("alice", b"alice", bytearray(b"alice"), 5)
    ),
    ("keys item", lambda db: db.delete_messages([5]), "keys[0]: key must be a str, got int. Write str(key)."),
]

each_call = pytest.mark.parametrize(
    ("call", "said"), [call[1:] for call in CALLS], ids=[call[0] for call in CALLS]
)


def refused(call: Callable[[], Any]) -> str:
    with pytest.raises((TypeError, ValueError)) as caught:
        call()
    return str(caught.value)


@each_call
def test_db_says_what_to_write(path: Path, call: Callable[[Any], Any], said: str) -> None:
    with DB({"local": {"filepath": str(path)}}) as db:
        assert refused(lambda: call(db)) == said
        assert db.list_keys()["keys"] == []


@each_call
def test_async_db_says_the_same(path: Path, call: Callable[[Any], Any], said: str) -> None:
    async def run() -> None:
        async with AsyncDB({"local": {"filepath": str(path)}}) as db:
            await call(db)

    assert refused(lambda: asyncio.run(run())) == said


def test_a_bucket_may_have_the_name_of_a_backend(path: Path) -> None:
    with DB({"local": {"filepath": str(path)}}) as db:
        db.write_message("key", "value", "etcd")
        assert db.list_keys()["keys"] == ["etcd:key"]

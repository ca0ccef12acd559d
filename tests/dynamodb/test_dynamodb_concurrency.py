"""Deletes are counted exactly, and updates are atomic, whoever else is at the same keys."""

from __future__ import annotations

import threading
from functools import partial
from typing import TYPE_CHECKING

import pytest

from .support import NAME, TABLE, in_threads

if TYPE_CHECKING:
    from collections.abc import Callable

    from dynamodb_stub import DynamoDBStub
    from servers.dynamodb import DynamoDb
    from TetherDB import DB

KEYS = [f"k{number:03}" for number in range(200)]


@pytest.fixture(params=["stub", "dynamodb"])
def two(request: pytest.FixtureRequest, connect: Callable[..., DB]) -> tuple[DB, DB]:
    """Two handles on one table: of the stub, and of the real thing."""
    if request.param == "stub":
        stub: DynamoDBStub = request.getfixturevalue("stub")
        stub.service_time = 0.002
        return connect(stub.endpoint, timeout=30), connect(stub.endpoint, timeout=30)
    server: DynamoDb = request.getfixturevalue("dynamodb")
    table: str = request.getfixturevalue("dynamodb_table")
    first, second = (connect(server.url, table_name=table, timeout=30) for _ in range(2))
    return first, second


@pytest.mark.parametrize("round_", range(3))
def test_two_who_delete_the_same_keys_count_each_once(two: tuple[DB, DB], round_: int) -> None:
    first, second = two
    assert first.write_messages(dict.fromkeys(KEYS, "v"), backend=NAME) == 200
    counts = in_threads(
        lambda: first.delete_messages(KEYS, backend=NAME),
        lambda: second.delete_messages(reversed(KEYS), backend=NAME),
        lambda: second.delete_messages([*KEYS[100:], *KEYS, "missing"], backend=NAME),
    )
    assert sum(counts) == 200
    assert first.delete_messages(KEYS, backend=NAME) == 0
    assert list(first.iter_messages(backend=NAME)) == []


def test_many_who_delete_one_key(two: tuple[DB, DB]) -> None:
    first, second = two
    for number in range(20):
        assert first.write_message(f"k{number}", "v", backend=NAME)
        outcomes = in_threads(
            *(partial(db.delete_message, f"k{number}", backend=NAME) for db in (first, second) * 3)
        )
        assert sorted(outcomes) == [False] * 5 + [True]


def test_an_update_never_brings_back_what_is_deleted(two: tuple[DB, DB]) -> None:
    first, second = two
    for key in KEYS[:60]:
        assert first.write_message(key, "old", backend=NAME)
        updated, deleted = in_threads(
            partial(first.update_message, key, "new", backend=NAME),
            partial(second.delete_message, key, backend=NAME),
        )
        assert deleted is True
        assert updated in (True, False)
        # Had it come after the delete, it would have found nothing to replace.
        assert first.read_message(key, backend=NAME) is None


def test_an_update_of_what_is_not_there_writes_nothing(stub: DynamoDBStub, db: DB) -> None:
    assert db.update_message("k", "v", backend=NAME) is False
    assert stub.items(TABLE) == {}
    assert db.write_message("k", "old", backend=NAME)
    assert db.update_message("k", {"new": True}, backend=NAME) is True
    assert db.read_message("k", backend=NAME) == {"new": True}


def test_an_update_replaces_what_others_have_added(stub: DynamoDBStub, db: DB) -> None:
    stub.seed(TABLE, {"key": {"S": "k"}, "value": {"S": "old"}, "ttl": {"N": "1"}})
    assert db.update_message("k", "new", backend=NAME) is True
    assert stub.texts(TABLE) == {"k": "new"}


def test_direct_and_queued_writes_of_many_threads(stub: DynamoDBStub, connect: Callable[..., DB]) -> None:
    stub.service_time = 0.002
    db = connect(stub.endpoint, timeout=30, queue_batch={"size": 25})
    gate = threading.Barrier(8)

    def work(thread: int) -> None:
        gate.wait()
        for number in range(20):
            key = f"t{thread}-{number % 5}"
            if number % 3:
                db.write_queue_message(key, f"{number:02}", backend=NAME)
            else:
                db.write_message(key, f"{number:02}", backend=NAME)

    in_threads(*(partial(work, thread) for thread in range(8)))
    db.flush(timeout=60)
    for thread in range(8):
        for key in range(5):
            history = stub.history(TABLE, f"t{thread}-{key}")
            texts = [write.item["value"]["S"] for write in history if write.item is not None]
            assert texts == sorted(texts)
            assert texts[-1] == f"{15 + key:02}"
    assert stub.overlaps() == []

"""What the service leaves of a batch goes again: exactly that, in time, and without a storm."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from dynamodb_stub import DynamoDBStub, Request, Unprocessed
from TetherDB import Throttled

from .support import NAME, TABLE, adds_up, failure, values_of, written

if TYPE_CHECKING:
    from collections.abc import Callable

    from TetherDB import DB

PATTERNS: dict[str, Callable[[], Unprocessed]] = {
    "first-1": lambda: Unprocessed.first(1),
    "first-10": lambda: Unprocessed.first(10),
    "alternating": Unprocessed.alternating,
    "random-1": lambda: Unprocessed.randomly(0.5, seed=1),
    "random-2": lambda: Unprocessed.randomly(0.9, seed=2),
    "all": lambda: Unprocessed.first(25),
}
# Some of these never let a small batch through.
TIMES = 60
KEYS = [f"k{number:03}" for number in range(500)]
# As far as it may go for the 20 requests that are needed, and the 60 that are met with a fault.
MOST_REQUESTS = 20 + TIMES

each_pattern = pytest.mark.parametrize("pattern", PATTERNS.values(), ids=PATTERNS)


def batch_keys(request: Request) -> list[str]:
    return [key for _, key in request.keys]


def exactly_once(stub: DynamoDBStub) -> None:
    """Every key was written once; no batch was too large, and no key in two of them at once."""
    assert written(stub, dict.fromkeys(KEYS)) == {1: len(KEYS)}
    assert stub.overlaps() == []
    batches = stub.requests("BatchWriteItem")
    assert all(request.status == 200 for request in batches)
    assert all(1 <= len(request.keys) <= 25 for request in batches)
    assert all(len(set(batch_keys(request))) == len(request.keys) for request in batches)
    assert len(stub.requests()) <= MOST_REQUESTS


@each_pattern
def test_what_is_left_of_queued_messages_goes_again(
    stub: DynamoDBStub, connect: Callable[..., DB], pattern: Callable[[], Unprocessed]
) -> None:
    rule = stub.inject(pattern(), times=TIMES)
    db = connect(stub.endpoint, timeout=60, queue_batch={"size": 25})
    for key in KEYS:
        db.write_queue_message(key, f"value of {key}", backend=NAME)
    db.flush(timeout=60)
    assert rule.used > 0
    assert stub.texts(TABLE) == {key: f"value of {key}" for key in KEYS}
    exactly_once(stub)
    adds_up(db)
    assert db.stats()[NAME]["delivered"] == len(KEYS)
    assert db.stats()[NAME]["failed"] == 0


@each_pattern
def test_what_is_left_of_a_bulk_write_goes_again(
    stub: DynamoDBStub, connect: Callable[..., DB], pattern: Callable[[], Unprocessed]
) -> None:
    rule = stub.inject(pattern(), times=TIMES)
    db = connect(stub.endpoint, timeout=60)
    assert db.write_messages({key: {"of": key} for key in KEYS}, backend=NAME) == len(KEYS)
    assert rule.used > 0
    assert stub.texts(TABLE) == {key: f'{{"of": "{key}"}}' for key in KEYS}
    exactly_once(stub)


@each_pattern
def test_messages_of_a_key_keep_their_order(
    stub: DynamoDBStub, connect: Callable[..., DB], pattern: Callable[[], Unprocessed]
) -> None:
    stub.inject(pattern(), times=40, probability=0.7, seed=3)
    db = connect(stub.endpoint, timeout=60, queue_batch={"size": 25})
    keys = KEYS[:40]
    for round_ in range(5):
        for key in keys:
            db.write_queue_message(key, f"{round_}", backend=NAME)
    db.write_message(keys[0], "direct", backend=NAME)
    db.flush(timeout=60)
    for key in keys:
        values = values_of(stub, key)
        # A newer message may replace one that still waits.
        assert values == sorted(set(values), key=str)
        assert values[-1] == ("direct" if key == keys[0] else "4")
    assert stub.overlaps() == []
    adds_up(db)
    stats = db.stats()[NAME]
    assert stats["delivered"] + stats["replaced"] == 5 * len(keys)
    assert sum(len(values_of(stub, key)) for key in keys) == stats["delivered"] + 1


def test_only_what_is_left_goes_again(stub: DynamoDBStub, connect: Callable[..., DB]) -> None:
    db = connect(stub.endpoint, timeout=30)
    stub.inject(Unprocessed(lambda size: [1, 3]), times=2)
    assert db.write_messages(dict.fromkeys(KEYS[:10], "v"), backend=NAME) == 10
    first, second, third = map(batch_keys, stub.requests("BatchWriteItem"))
    assert second == [first[1], first[3]]
    # Of two there is no fourth: the fault left the second out, and put the first.
    assert third == [second[1]]


def test_messages_that_are_never_processed_are_throttled(
    stub: DynamoDBStub, connect: Callable[..., DB]
) -> None:
    db = connect(stub.endpoint, timeout=2)
    stub.inject(Unprocessed.first(25), times=None)
    error = failure(
        lambda db: db.write_messages(dict.fromkeys(KEYS[:25], "v"), backend=NAME), db, Throttled, timeout=2
    )
    assert TABLE in str(error)
    assert error.retryable is True
    # The pauses double: far fewer than there would be time for.
    assert 3 <= len(stub.requests()) <= 40
    # Some are written, some are not: the text says how many.
    stub.clear_faults()
    stub.inject(Unprocessed.first(10), times=None)
    error = failure(
        lambda db: db.write_messages(dict.fromkeys(KEYS[:25], "v"), backend=NAME), db, Throttled, timeout=2
    )
    assert "15 of 25" in str(error)


def test_a_queue_whose_batches_are_left_alone_for_a_while(
    stub: DynamoDBStub, connect: Callable[..., DB], eventually: Callable[[Callable[[], object]], None]
) -> None:
    rule = stub.inject(Unprocessed.first(25), times=None)
    retry = {"initial": 0.05, "max": 0.2}
    db = connect(stub.endpoint, timeout=0.5, queue_batch={"size": 25, "retry": retry})
    for key in KEYS[:100]:
        db.write_queue_message(key, "v", backend=NAME)
    eventually(lambda: db.stats()[NAME]["retried"] >= 25)
    adds_up(db)
    rule.cancel()
    db.flush(timeout=30)
    adds_up(db)
    assert written(stub, dict.fromkeys(KEYS[:100])) == {1: 100}
    assert db.stats()[NAME]["failed"] == 0
    assert stub.overlaps() == []


READ_PATTERNS: dict[str, Callable[[], Unprocessed]] = {
    "first-30": lambda: Unprocessed.first(30),
    "alternating": Unprocessed.alternating,
    "random": lambda: Unprocessed.randomly(0.7, seed=4),
    "all": lambda: Unprocessed.first(100),
}


@pytest.mark.parametrize("pattern", READ_PATTERNS.values(), ids=READ_PATTERNS)
def test_what_is_left_of_a_bulk_read_goes_again(
    stub: DynamoDBStub, connect: Callable[..., DB], pattern: Callable[[], Unprocessed]
) -> None:
    stub.seed(TABLE, *({"key": {"S": key}, "value": {"S": f"value of {key}"}} for key in KEYS))
    rule = stub.inject(pattern(), times=20)
    db = connect(stub.endpoint, timeout=60)
    found = db.read_messages([*KEYS, "missing", "missing too"], backend=NAME)
    assert found == {key: f"value of {key}" for key in KEYS}
    assert rule.used > 0
    requests = stub.requests("BatchGetItem")
    assert len(requests) <= 6 + 20
    assert all(consistent(request.body) for request in requests)
    asked = {key for request in requests for key in batch_keys(request)}
    assert asked == {*KEYS, "missing", "missing too"}


def consistent(body: dict[str, Any]) -> bool:
    """Also what goes again reads what was written last."""
    return body["RequestItems"][TABLE].get("ConsistentRead") is True


def test_only_the_keys_that_are_left_go_again(stub: DynamoDBStub, connect: Callable[..., DB]) -> None:
    stub.seed(TABLE, *({"key": {"S": key}, "value": {"S": "v"}} for key in KEYS[:10]))
    stub.inject(Unprocessed(lambda size: [0, 4]))
    db = connect(stub.endpoint, timeout=30)
    assert len(db.read_messages(KEYS[:10], backend=NAME)) == 10
    first, second = map(batch_keys, stub.requests("BatchGetItem"))
    assert sorted(second) == sorted([first[0], first[4]])


def test_keys_that_are_never_processed_are_throttled(stub: DynamoDBStub, connect: Callable[..., DB]) -> None:
    stub.seed(TABLE, *({"key": {"S": key}, "value": {"S": "v"}} for key in KEYS[:10]))
    stub.inject(Unprocessed.first(100), times=None)
    db = connect(stub.endpoint, timeout=2)
    error = failure(lambda db: db.read_messages(KEYS[:10], backend=NAME), db, Throttled, timeout=2)
    assert TABLE in str(error)
    assert 3 <= len(stub.requests()) <= 40

"""A throttled table, and a service in trouble: repeated with pauses until the timeout, then told."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING

import pytest

from dynamodb_stub import DynamoDBStub, Fail, internal_error, throttled, unavailable
from TetherDB import BackendError, Throttled, Unavailable

from .support import (
    DELETES,
    NAME,
    READS,
    TABLE,
    TIMEOUT,
    VERBS,
    WRITES,
    adds_up,
    every_verb,
    failure,
    written,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from TetherDB import DB

CODES = [
    "ProvisionedThroughputExceededException",
    "ThrottlingException",
    "RequestLimitExceeded",
]
TROUBLE: dict[str, Fail] = {
    "500": internal_error(),
    "500-html": Fail("InternalServerError", body=b"<html><body>Internal Server Error</body></html>"),
    "500-empty": Fail("InternalServerError", body=b""),
    "503": unavailable(),
    "503-html": unavailable("html"),
    "503-empty": unavailable("empty"),
}
# With pauses that double, far fewer than there would be time for.
MOST_TRIES = 40


@every_verb
def test_throttled_until_the_timeout(stub: DynamoDBStub, db: DB, verb: Callable[[DB], object]) -> None:
    stub.inject(throttled(), times=None)
    error = failure(verb, db, Throttled, names=TABLE)
    assert error.retryable is True
    assert 3 <= len(stub.requests()) <= MOST_TRIES
    stub.clear_faults()
    verb(db)


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("name", ["write_message", "read_messages"])
def test_every_way_to_say_that_it_is_throttled(stub: DynamoDBStub, db: DB, code: str, name: str) -> None:
    stub.inject(throttled(code), times=None)
    failure(VERBS[name], db, Throttled)
    stub.clear_faults()
    stub.inject(throttled(code), times=2)
    VERBS[name](db)


@every_verb
def test_throttled_for_a_while(
    stub: DynamoDBStub, connect: Callable[..., DB], verb: Callable[[DB], object]
) -> None:
    rule = stub.inject(throttled(), times=3)
    verb(connect(stub.endpoint, timeout=30))
    assert rule.used == 3


def test_a_large_bulk_write_ends_in_time_when_throttled(stub: DynamoDBStub, db: DB) -> None:
    stub.inject(throttled(), times=None)
    items = {f"k{number}": "v" for number in range(1000)}
    failure(lambda db: db.write_messages(items, backend=NAME), db, Throttled)
    failure(lambda db: db.read_messages(items, backend=NAME), db, Throttled)
    failure(lambda db: db.delete_messages(items, backend=NAME), db, Throttled)
    assert stub.most_in_flight <= 8


def test_a_throttled_queue_delivers_later(
    stub: DynamoDBStub, connect: Callable[..., DB], eventually: Callable[[Callable[[], object]], None]
) -> None:
    rule = stub.inject(throttled(), times=None)
    retry = {"initial": 0.05, "max": 0.2}
    db = connect(stub.endpoint, timeout=0.3, queue_batch={"size": 25, "retry": retry})
    keys = {f"k{number}": "v" for number in range(200)}
    for key in keys:
        db.write_queue_message(key, "v", backend=NAME)
        adds_up(db)
    eventually(lambda: db.stats()[NAME]["retried"] >= 50)
    adds_up(db)
    last_error = db.stats()[NAME]["last_error"]
    assert last_error is not None
    assert "throttled" in last_error
    assert stub.texts(TABLE) == {}
    rule.cancel()
    db.flush(timeout=60)
    adds_up(db)
    stats = db.stats()[NAME]
    assert (stats["accepted"], stats["delivered"], stats["failed"], stats["pending"]) == (200, 200, 0, 0)
    assert stats["retried"] >= 50
    assert written(stub, keys) == {1: 200}
    assert stub.overlaps() == []


def test_a_throttled_queue_does_not_storm(stub: DynamoDBStub, connect: Callable[..., DB]) -> None:
    stub.inject(throttled(), times=None)
    db = connect(stub.endpoint, queue_batch={"size": 25, "retry": {"initial": 0.1, "max": 5.0}})
    for number in range(500):
        db.write_queue_message(f"k{number}", "v", backend=NAME)
    time.sleep(2 * TIMEOUT)
    assert stub.most_in_flight <= 8
    # Of eight in flight, each pauses as one alone does.
    assert len(stub.requests()) <= 8 * 2 * MOST_TRIES
    stub.clear_faults()
    db.flush(timeout=30)


@pytest.mark.parametrize("trouble", TROUBLE.values(), ids=TROUBLE)
@pytest.mark.parametrize("name", ["write_messages", "read_message"])
def test_trouble_until_the_timeout(stub: DynamoDBStub, db: DB, trouble: Fail, name: str) -> None:
    stub.inject(trouble, times=None)
    error = failure(VERBS[name], db, Unavailable, names=stub.endpoint)
    assert error.retryable is True
    assert str(500 if trouble.code == "InternalServerError" else 503) in str(error)
    assert 3 <= len(stub.requests()) <= MOST_TRIES


@pytest.mark.parametrize("trouble", TROUBLE.values(), ids=TROUBLE)
@pytest.mark.parametrize("verb", (READS | WRITES).values(), ids=READS | WRITES)
def test_trouble_for_a_while(
    stub: DynamoDBStub, connect: Callable[..., DB], trouble: Fail, verb: Callable[[DB], object]
) -> None:
    rule = stub.inject(trouble, times=2)
    verb(connect(stub.endpoint, timeout=30))
    assert rule.used == 2


@pytest.mark.parametrize("name", ["500", "503-html"])
@pytest.mark.parametrize("verb", DELETES.values(), ids=DELETES)
def test_trouble_for_a_while_does_not_keep_from_deleting(
    stub: DynamoDBStub, connect: Callable[..., DB], name: str, verb: Callable[[DB], object]
) -> None:
    """What it answers may be unsure only where the key is gone afterwards, and somebody has to be told."""
    for key in ("key", "other"):
        stub.seed(TABLE, {"key": {"S": key}, "value": {"S": "v"}})
    stub.inject(TROUBLE[name], times=2)
    assert verb(connect(stub.endpoint, timeout=30))


def test_the_retry_of_the_sdk_is_off(stub: DynamoDBStub, db: DB) -> None:
    for fault in (throttled(), unavailable(), Fail("ValidationException", "no")):
        stub.inject(fault, times=2)
        for _ in range(2):
            with contextlib.suppress(BackendError):
                db.write_message("k", "v", backend=NAME)
    for request in stub.requests():
        # It says itself how often it tries.
        assert "attempt=1" in request.headers["amz-sdk-request"]
        assert "max=1" in request.headers["amz-sdk-request"]


@pytest.mark.parametrize(
    "code", ["ValidationException", "ResourceNotFoundException", "SomethingNewException"]
)
@every_verb
def test_what_would_fail_again_is_asked_once(
    stub: DynamoDBStub, db: DB, code: str, verb: Callable[[DB], object]
) -> None:
    stub.inject(Fail(code, "the service will not"), times=None)
    with pytest.raises(BackendError):
        verb(db)
    # Of two keys, each is asked for by itself: to find out which one is at fault, or since it always is.
    assert len(stub.requests()) <= 3

"""What requests look like, and how many there are at once."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from dynamodb_stub import DynamoDBStub

from .support import NAME, TABLE, VERBS

if TYPE_CHECKING:
    from collections.abc import Callable

    from servers.dynamodb import DynamoDb
    from TetherDB import DB

KEYS = [f"k{number:03}" for number in range(400)]
MOST_IN_FLIGHT = 8


def consistent_flags(stub: DynamoDBStub) -> dict[str, set[Any]]:
    """What each operation that reads has asked for."""
    flags: dict[str, set[Any]] = {}
    for request in stub.requests():
        asked = request.body
        if request.operation == "BatchGetItem":
            asked = request.body["RequestItems"][TABLE]
        if request.operation in ("GetItem", "BatchGetItem", "Scan"):
            # What is not asked for is not given.
            flags.setdefault(request.operation, set()).add(asked.get("ConsistentRead", False))
    return flags


@pytest.mark.parametrize("given", [None, True, False])
def test_reads_are_consistent_unless_told_otherwise(
    stub: DynamoDBStub, connect: Callable[..., DB], given: bool | None
) -> None:
    db = connect(stub.endpoint, **({} if given is None else {"consistent_read": given}))
    for verb in VERBS.values():
        verb(db)
    db.list_messages(backend=NAME, bucket="bucket")
    wanted = {given is not False}
    assert consistent_flags(stub) == {"GetItem": wanted, "BatchGetItem": wanted, "Scan": wanted}


def test_no_expression_names_an_attribute_itself(stub: DynamoDBStub, db: DB) -> None:
    """Its names are reserved words, which the service refuses there."""
    for verb in VERBS.values():
        verb(db)
    db.list_keys(backend=NAME, bucket="bucket")
    expressions = [
        text
        for request in stub.requests()
        for name, text in request.body.items()
        if name.endswith("Expression")
    ]
    assert expressions
    for text in expressions:
        assert "#" in text
        assert "key" not in text
        assert "value" not in text


def test_items_have_two_string_attributes(stub: DynamoDBStub, db: DB) -> None:
    db.write_message("direct", {"a": 1}, bucket="b", backend=NAME)
    db.write_messages({"many": "text", "more": ""}, backend=NAME)
    db.write_queue_message("queued", {"a": "ä"}, backend=NAME)
    db.flush()
    assert stub.items(TABLE) == {
        key: {"key": {"S": key}, "value": {"S": text}}
        for key, text in {
            "b:direct": json.dumps({"a": 1}),
            "many": "text",
            "more": "",
            "queued": json.dumps({"a": "ä"}),
        }.items()
    }


@pytest.mark.parametrize("size", [25, 10, 100])
def test_several_batches_of_the_queue_are_in_flight(
    stub: DynamoDBStub, connect: Callable[..., DB], size: int
) -> None:
    stub.service_time = 0.05
    db = connect(stub.endpoint, timeout=30, queue_batch={"size": size})
    for key in KEYS:
        db.write_queue_message(key, "v", backend=NAME)
    db.flush(timeout=30)
    assert 1 < stub.most_in_flight <= MOST_IN_FLIGHT
    assert stub.overlaps() == []
    assert set(stub.texts(TABLE)) == set(KEYS)
    most = max(len(request.keys) for request in stub.requests())
    assert most == min(size, 25)


def test_several_requests_of_bulk_verbs_are_in_flight(stub: DynamoDBStub, connect: Callable[..., DB]) -> None:
    stub.service_time = 0.05
    db = connect(stub.endpoint, timeout=30)
    bulk: list[tuple[Callable[[], object], object]] = [
        (lambda: db.write_messages(dict.fromkeys(KEYS, "v"), backend=NAME), 400),
        (lambda: db.read_messages(KEYS, backend=NAME), dict.fromkeys(KEYS, "v")),
        (lambda: db.delete_messages(KEYS, backend=NAME), 400),
    ]
    for verb, outcome in bulk:
        stub.clear_records()
        assert verb() == outcome
        assert 1 < stub.most_in_flight <= MOST_IN_FLIGHT
        assert stub.overlaps() == []


def test_a_bulk_read_of_many_keys_some_of_them_twice(stub: DynamoDBStub, db: DB) -> None:
    stub.seed(TABLE, *({"key": {"S": key}, "value": {"S": f"value of {key}"}} for key in KEYS))
    wanted = [*KEYS[:250], *KEYS[:120], "missing", "missing", *reversed(KEYS[:250])]
    assert db.read_messages(wanted, backend=NAME) == {key: f"value of {key}" for key in KEYS[:250]}
    for request in stub.requests("BatchGetItem"):
        assert len(request.keys) <= 100
        assert len(set(request.keys)) == len(request.keys)
    assert len(stub.requests()) <= 8


def test_a_bulk_read_of_dynamodb_local(
    dynamodb: DynamoDb, dynamodb_table: str, connect: Callable[..., DB]
) -> None:
    db = connect(dynamodb.url, table_name=dynamodb_table, timeout=30)
    # Larger than one answer may be: the service leaves keys over.
    large = {f"large{number:02}": f"{number:02}" * 150_000 for number in range(60)}
    assert db.write_messages(large, backend=NAME) == 60
    small = {f"small{number:03}": "v" for number in range(250)}
    assert db.write_messages(small, backend=NAME) == 250
    wanted = [*large, *small, *large, *small, "missing"]
    assert db.read_messages(wanted, backend=NAME) == large | small


def test_a_bulk_write_with_a_key_twice(stub: DynamoDBStub, db: DB) -> None:
    pairs = [(key, f"{round_}") for round_ in range(3) for key in KEYS[:60]]
    assert db.write_messages(pairs, backend=NAME) == 60
    assert stub.texts(TABLE) == dict.fromkeys(KEYS[:60], "2")
    assert {len(stub.history(TABLE, key)) for key in KEYS[:60]} == {1}


def test_one_connection_serves_call_after_call(stub: DynamoDBStub, db: DB) -> None:
    for number in range(50):
        db.write_message(f"k{number}", "v", backend=NAME)
        db.read_message(f"k{number}", backend=NAME)
    assert stub.connections_accepted == 1


def test_stop_closes_the_connections_and_the_next_call_opens_others(
    stub: DynamoDBStub, db: DB, eventually: Callable[[Callable[[], object]], None]
) -> None:
    for _ in range(3):
        before = stub.connections_accepted
        assert db.write_messages(dict.fromkeys(KEYS, "v"), backend=NAME) == 400
        db.write_queue_message("queued", "v", backend=NAME)
        assert stub.connections_accepted > before
        db.stop()
        eventually(lambda: stub.connections_open == 0)
    assert db.read_message("queued", backend=NAME) == "v"


def test_a_handle_that_is_opened_and_stopped_connects_to_nothing(
    stub: DynamoDBStub, connect: Callable[..., DB]
) -> None:
    with connect(stub.endpoint) as db:
        assert NAME in repr(db)
    assert stub.connections_accepted == 0

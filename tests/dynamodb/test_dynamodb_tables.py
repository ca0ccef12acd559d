"""The table: missing, made on first use, deleted while in use, or with another key."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from dynamodb_stub import DynamoDBStub, Fail, throttled
from dynamodb_stub.clients import call
from process.scripts import Program
from servers.dynamodb import fresh_table_name
from TetherDB import AuthenticationFailed, BackendError, DeliveryError, OperationTimeout, TableMissing

from .support import NAME, SOON, TABLE, VERBS, every_verb, failure, in_threads, within

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from servers.dynamodb import DynamoDb
    from TetherDB import DB

NEW = "made-by-tetherdb"


@every_verb
def test_a_missing_table_is_named(
    stub: DynamoDBStub, connect: Callable[..., DB], verb: Callable[[DB], object]
) -> None:
    db = connect(stub.endpoint, table_name="not-there", timeout=30)
    error = failure(verb, db, TableMissing, names="'not-there'", timeout=0, slack=SOON)
    assert stub.endpoint in str(error)
    assert "dynamodb.create_table" in str(error)
    assert not stub.has_table("not-there")
    assert len(stub.requests()) <= 2
    # Whoever makes it need not open another handle.
    stub.create_table("not-there")
    verb(db)


def test_a_table_missing_on_dynamodb_local(dynamodb: DynamoDb, connect: Callable[..., DB]) -> None:
    db = connect(dynamodb.url, table_name=fresh_table_name(), timeout=30)
    for verb in VERBS.values():
        failure(verb, db, TableMissing, timeout=30)


def test_a_queue_for_a_missing_table(stub: DynamoDBStub, connect: Callable[..., DB]) -> None:
    queue = {"retry": {"initial": 0.01, "max": 0.1, "give_up_after": 0.5}}
    db = connect(stub.endpoint, table_name="not-there", queue_batch=queue)
    db.write_queue_message("k", "v", backend=NAME)
    with pytest.raises(DeliveryError) as caught:
        db.flush(timeout=30)
    [(_, _, _, error)] = caught.value.failed
    assert isinstance(error, TableMissing)
    stub.create_table("not-there")
    assert db.retry_failed(NAME) == 1
    db.flush(timeout=30)
    assert stub.texts("not-there") == {"k": "v"}


@pytest.fixture
def slow_stub() -> Iterator[DynamoDBStub]:
    """Tables take a while to be made, and to be deleted."""
    with DynamoDBStub(create_delay=0.5, delete_delay=0.5) as stub:
        yield stub


@every_verb
def test_a_table_is_made_on_first_use(
    slow_stub: DynamoDBStub, connect: Callable[..., DB], verb: Callable[[DB], object]
) -> None:
    db = connect(slow_stub.endpoint, table_name=NEW, create_table=True, timeout=30)
    assert slow_stub.requests() == []
    verb(db)
    [created] = slow_stub.requests("CreateTable")
    assert created.body == {
        "TableName": NEW,
        "BillingMode": "PAY_PER_REQUEST",
        "AttributeDefinitions": [{"AttributeName": "key", "AttributeType": "S"}],
        "KeySchema": [{"AttributeName": "key", "KeyType": "HASH"}],
    }
    # It was not used before it was active.
    missing = [one for one in slow_stub.requests()[2:] if one.error == "ResourceNotFoundException"]
    assert missing == []
    # Nor is it looked for again.
    so_far = len(slow_stub.requests("DescribeTable"))
    assert so_far < 30
    verb(db)
    assert len(slow_stub.requests("DescribeTable")) == so_far


def test_a_table_that_is_there_is_used_as_it_is(stub: DynamoDBStub, connect: Callable[..., DB]) -> None:
    stub.seed(TABLE, {"key": {"S": "k"}, "value": {"S": "v"}})
    db = connect(stub.endpoint, create_table=True)
    assert db.read_message("k", backend=NAME) == "v"
    assert stub.requests("CreateTable") == []
    assert len(stub.requests("DescribeTable")) <= 1


def test_a_table_that_takes_longer_than_the_timeout(connect: Callable[..., DB]) -> None:
    with DynamoDBStub(create_delay=3) as stub:
        db = connect(stub.endpoint, table_name=NEW, create_table=True, timeout=1)
        error = failure(VERBS["write_message"], db, OperationTimeout, names=f"'{NEW}'")
        assert "created" in str(error)
        deadline = time.monotonic() + 30
        while True:
            try:
                assert db.write_message("k", "v", backend=NAME)
                break
            except OperationTimeout:
                assert time.monotonic() < deadline
        assert len(stub.requests("CreateTable")) == 1


def test_a_queue_waits_for_its_table(slow_stub: DynamoDBStub, connect: Callable[..., DB]) -> None:
    db = connect(slow_stub.endpoint, table_name=NEW, create_table=True, timeout=30)
    for number in range(100):
        db.write_queue_message(f"k{number}", "v", backend=NAME)
    db.flush(timeout=30)
    assert len(slow_stub.texts(NEW)) == 100
    assert len(slow_stub.requests("CreateTable")) == 1
    assert db.stats()[NAME]["failed"] == 0


def test_many_threads_make_one_table(slow_stub: DynamoDBStub, connect: Callable[..., DB]) -> None:
    db = connect(slow_stub.endpoint, table_name=NEW, create_table=True, timeout=30)
    outcomes = in_threads(*(partial(db.write_message, f"k{at}", "v", backend=NAME) for at in range(8)))
    assert outcomes == [True] * 8
    assert len(slow_stub.requests("CreateTable")) == 1
    assert len(slow_stub.texts(NEW)) == 8


RACE = """
    from TetherDB import DB
    section = {"table_name": sys.argv[2], "endpoint_url": sys.argv[1], "create_table": True, "timeout": 30}
    db = DB({"local": {"filepath": "x"}, "dynamodb": section})
    print("ready", flush=True)
    sys.stdin.readline()
    assert db.write_message(sys.argv[3], "value", backend="dynamodb")
    db.stop()
    print("written", flush=True)
"""


def race(folder: Path, url: str, table: str) -> None:
    """Two processes write to a table that neither has found."""
    with Program(folder, RACE, url, table, "one") as one, Program(folder, RACE, url, table, "two") as two:
        for program in (one, two):
            program.expect("ready")
        for program in (one, two):
            program.tell()
        for program in (one, two):
            program.expect("written")
            program.finish().quiet()


def test_two_processes_make_one_table(slow_stub: DynamoDBStub, tmp_path: Path) -> None:
    race(tmp_path, slow_stub.endpoint, NEW)
    assert slow_stub.texts(NEW) == {"one": "value", "two": "value"}


def test_two_processes_make_one_table_on_dynamodb_local(dynamodb: DynamoDb, tmp_path: Path) -> None:
    for _ in range(3):
        table = fresh_table_name()
        race(tmp_path, dynamodb.url, table)
        assert dynamodb.everything(table) == {"one": "value", "two": "value"}
        described = dynamodb.client.describe_table(TableName=table)["Table"]
        assert described.get("KeySchema") == [{"AttributeName": "key", "KeyType": "HASH"}]
        assert described.get("BillingModeSummary", {}).get("BillingMode") == "PAY_PER_REQUEST"
        dynamodb.delete_table(table)


def test_another_makes_the_table_a_moment_earlier(
    slow_stub: DynamoDBStub, connect: Callable[..., DB]
) -> None:
    """It was not there when it was looked for, and is when it is to be made."""
    first = connect(slow_stub.endpoint, table_name=NEW, create_table=True, timeout=30)
    slow_stub.inject(Fail("ResourceNotFoundException"), operation="DescribeTable", times=1)
    slow_stub.create_table(NEW)
    assert first.write_message("k", "v", backend=NAME)
    assert [request.error for request in slow_stub.requests("CreateTable")] == ["ResourceInUseException"]


@pytest.mark.parametrize("verb", VERBS.values(), ids=VERBS)
def test_a_table_that_is_deleted_in_use_is_made_again(
    stub: DynamoDBStub, connect: Callable[..., DB], dynamodb: DynamoDb, verb: Callable[[DB], object]
) -> None:
    table = dynamodb.create_table()
    db = connect(dynamodb.url, table_name=table, create_table=True, timeout=30)
    assert db.write_message("k", "v", backend=NAME)
    dynamodb.delete_table(table)
    verb(db)
    assert "k" not in dynamodb.everything(table)
    dynamodb.delete_table(table)


def test_a_table_that_is_being_deleted_is_made_again(
    slow_stub: DynamoDBStub, connect: Callable[..., DB]
) -> None:
    db = connect(slow_stub.endpoint, table_name=NEW, create_table=True, timeout=30)
    assert db.write_message("k", "v", backend=NAME)
    delete_table(slow_stub, NEW)
    other = connect(slow_stub.endpoint, table_name=NEW, create_table=True, timeout=30)
    assert other.write_message("k", "w", backend=NAME)
    deadline = time.monotonic() + 30
    while db.read_message("k", backend=NAME) != "w":
        assert time.monotonic() < deadline


def delete_table(stub: DynamoDBStub, table: str) -> None:
    """Another program deletes the table."""
    status, _ = call(stub, "DeleteTable", {"TableName": table})
    assert status == 200


def test_a_table_deleted_in_use_without_leave_to_make_it(
    stub: DynamoDBStub, connect: Callable[..., DB]
) -> None:
    db = connect(stub.endpoint)
    assert db.write_message("k", "v", backend=NAME)
    delete_table(stub, TABLE)
    for verb in VERBS.values():
        failure(verb, db, TableMissing, names=f"'{TABLE}'")
    stub.create_table(TABLE)
    assert db.write_message("k", "v", backend=NAME)


@pytest.mark.parametrize("operation", ["DescribeTable", "CreateTable"])
def test_trouble_while_a_table_is_made(
    slow_stub: DynamoDBStub, connect: Callable[..., DB], operation: str
) -> None:
    slow_stub.inject(throttled("ThrottlingException"), operation=operation, times=2)
    slow_stub.inject(Fail("InternalServerError"), operation=operation, times=1)
    # As many other tables are being made as may be at once.
    slow_stub.inject(
        Fail("LimitExceededException", "Subscriber limit exceeded"), operation=operation, times=1
    )
    db = connect(slow_stub.endpoint, table_name=NEW, create_table=True, timeout=30)
    assert db.write_message("k", "v", backend=NAME)


@pytest.mark.parametrize("operation", ["DescribeTable", "CreateTable"])
def test_no_right_to_make_a_table(stub: DynamoDBStub, connect: Callable[..., DB], operation: str) -> None:
    stub.inject(Fail("AccessDeniedException"), operation=operation, times=None)
    db = connect(stub.endpoint, table_name=NEW, create_table=True, timeout=30)
    failure(VERBS["write_message"], db, AuthenticationFailed, names=f"'{NEW}'", timeout=0, slack=SOON)


# Those that only scan name no key: what they find is what there is.
LISTS = ("list_messages", "list_keys", "iter_messages")


def schema_failures(db: DB, table: str) -> None:
    """Whatever names a key is told that the table has another one."""
    for name, verb in VERBS.items():
        if name in LISTS:
            continue
        with within(0, SOON), pytest.raises(BackendError) as caught:
            verb(db)
        text = str(caught.value)
        assert type(caught.value) is BackendError, f"{name}: {text}"
        assert table in text, f"{name}: {text}"
        assert caught.value.retryable is False
        assert 'partition key is the string "key"' in text, f"{name}: {text}"


@pytest.mark.parametrize("create_table", [False, True])
@pytest.mark.parametrize("schema", [("id", None), ("key", "sort"), ("pk", "sk")])
def test_a_table_with_another_key(
    stub: DynamoDBStub, connect: Callable[..., DB], schema: tuple[str, str | None], create_table: bool
) -> None:
    stub.create_table("other", *schema)
    stub.seed("other", {name: {"S": "x"} for name in schema if name is not None})
    db = connect(stub.endpoint, table_name="other", create_table=create_table)
    schema_failures(db, "other")
    if "key" not in schema:
        with pytest.raises(BackendError, match='no string attribute "key"'):
            db.list_keys(backend=NAME)


@pytest.mark.parametrize(("name", "kind"), [("key", "N"), ("key", "B"), ("id", "S")])
def test_a_table_of_dynamodb_local_with_another_key(
    dynamodb: DynamoDb, connect: Callable[..., DB], name: str, kind: str
) -> None:
    table = fresh_table_name()
    client: Any = dynamodb.client
    client.create_table(
        TableName=table,
        KeySchema=[{"AttributeName": name, "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": name, "AttributeType": kind}],
        BillingMode="PAY_PER_REQUEST",
    )
    client.put_item(TableName=table, Item={name: {kind: b"x" if kind == "B" else "1"}})
    try:
        schema_failures(connect(dynamodb.url, table_name=table, timeout=30), table)
    finally:
        dynamodb.delete_table(table)


def test_a_queue_for_a_table_with_another_key(stub: DynamoDBStub, connect: Callable[..., DB]) -> None:
    stub.create_table("other", "id")
    db = connect(stub.endpoint, table_name="other")
    for number in range(25):
        db.write_queue_message(f"k{number}", "v", backend=NAME)
    with pytest.raises(DeliveryError) as caught:
        db.flush(timeout=30)
    assert len(caught.value.failed) == 25
    # It is the table that is at fault, and not one of them.
    assert len(stub.requests()) <= 3

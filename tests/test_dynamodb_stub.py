"""The DynamoDB stub speaks the protocol, and keeps tables as the service does."""

from __future__ import annotations

import itertools
import threading
import zlib
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from dynamodb_stub import DynamoDBStub
from dynamodb_stub.clients import (
    batch_body,
    boto3_client,
    call,
    connection,
    gets_body,
    put_body,
    send,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

KEY_SCHEMA: dict[str, Any] = {
    "KeySchema": [{"AttributeName": "key", "KeyType": "HASH"}],
    "AttributeDefinitions": [{"AttributeName": "key", "AttributeType": "S"}],
}


@pytest.fixture
def stub() -> Iterator[DynamoDBStub]:
    with DynamoDBStub() as opened:
        opened.create_table("messages")
        yield opened
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("stub-")]


@pytest.fixture
def client(stub: DynamoDBStub) -> Iterator[Any]:
    pytest.importorskip("boto3")
    with boto3_client(stub) as opened:
        yield opened


def test_items_come_back(client: Any) -> None:
    item = {"key": {"S": "schlüssel"}, "value": {"S": '\x01\n"ü😀'}, "more": {"L": [{"N": "1.5"}]}}
    client.put_item(TableName="messages", Item=item)
    wanted = {"TableName": "messages", "Key": {"key": {"S": "schlüssel"}}}
    assert client.get_item(**wanted)["Item"] == item
    projected = client.get_item(
        **wanted, ProjectionExpression="#v, absent", ExpressionAttributeNames={"#v": "value"}
    )
    assert projected["Item"] == {"value": item["value"]}
    assert client.delete_item(**wanted, ReturnValues="ALL_OLD")["Attributes"] == item
    assert "Item" not in client.get_item(**wanted)
    assert "Attributes" not in client.delete_item(**wanted, ReturnValues="ALL_OLD")


def test_batches(stub: DynamoDBStub, client: Any) -> None:
    keys = [f"k{number:02}" for number in range(25)]
    assert client.batch_write_item(**batch_body(*keys))["UnprocessedItems"] == {}
    assert sorted(stub.items("messages")) == keys
    answer = client.batch_get_item(**gets_body("absent", *keys))
    assert answer["UnprocessedKeys"] == {}
    found = [item["key"]["S"] for item in answer["Responses"]["messages"]]
    assert sorted(found) == keys
    assert found != keys, "the service keeps no order, nor may anybody count on one"
    client.batch_write_item(RequestItems={"messages": [{"DeleteRequest": {"Key": {"key": {"S": "k00"}}}}]})
    assert sorted(stub.items("messages")) == keys[1:]
    assert client.batch_get_item(**gets_body("absent"))["Responses"] == {"messages": []}


def test_headers_and_one_connection_for_many_requests(stub: DynamoDBStub) -> None:
    with connection(stub) as opened:
        for number in range(3):
            send(opened, "PutItem", put_body(f"k{number}"))
            answer = opened.getresponse()
            content = answer.read()
            assert (answer.status, content) == (200, b"{}")
            assert answer.headers["x-amz-crc32"] == str(zlib.crc32(content))
            assert answer.headers["Content-Type"] == "application/x-amz-json-1.0"
            assert answer.headers["x-amzn-RequestId"]
        assert (stub.connections_accepted, stub.connections_open) == (1, 1)
    assert [request.connection for request in stub.requests()] == [1, 1, 1]
    assert [request.number for request in stub.requests("PutItem")] == [1, 2, 3]
    assert stub.requests()[2].body == put_body("k2")
    assert stub.requests()[2].keys == (("messages", "k2"),)


def test_error_bodies(stub: DynamoDBStub) -> None:
    status, answer = call(stub, "GetItem", {"TableName": "absent", "Key": {"key": {"S": "k"}}})
    assert (status, answer) == (
        400,
        {
            "__type": "com.amazonaws.dynamodb.v20120810#ResourceNotFoundException",
            "message": "Requested resource not found",
        },
    )
    assert stub.requests()[0].status == 400
    assert stub.requests()[0].error == "ResourceNotFoundException"


def test_an_answer_over_16_mb_is_cut(stub: DynamoDBStub, client: Any) -> None:
    keys = [f"k{number}" for number in range(60)]
    stub.seed("messages", *(put_body(key, "v" * 350_000)["Item"] for key in keys))
    # What is not projected counts as well.
    asked: dict[str, Any] = gets_body(
        *keys, ConsistentRead=True, ProjectionExpression="#k", ExpressionAttributeNames={"#k": "key"}
    )["RequestItems"]
    found: list[str] = []
    rounds = 0
    while asked:
        answer = client.batch_get_item(RequestItems=asked)
        found += [item["key"]["S"] for item in answer["Responses"]["messages"]]
        asked = answer["UnprocessedKeys"]
        rounds += 1
        if asked:
            assert asked["messages"]["ConsistentRead"] is True
            assert asked["messages"]["ExpressionAttributeNames"] == {"#k": "key"}
    assert sorted(found) == sorted(keys)
    assert rounds == 2


def pages(client: Any, **parameters: Any) -> list[list[str]]:
    """The keys on every page of a scan."""
    found: list[list[str]] = []
    while True:
        answer = client.scan(TableName="messages", **parameters)
        found.append([item["key"]["S"] for item in answer["Items"]])
        if "LastEvaluatedKey" not in answer:
            return found
        parameters["ExclusiveStartKey"] = answer["LastEvaluatedKey"]


def test_scan_by_pages(stub: DynamoDBStub, client: Any) -> None:
    keys = [f"{bucket}:{number}" for bucket in "ab" for number in range(10)]
    stub.seed("messages", *(put_body(key)["Item"] for key in keys))
    (everything,) = pages(client)
    assert sorted(everything) == keys
    assert everything != keys
    # The fifth page is full, so a marker follows it.
    by_four = pages(client, Limit=4)
    assert [len(page) for page in by_four] == [4, 4, 4, 4, 4, 0]
    assert list(itertools.chain(*by_four)) == everything
    filtered = pages(
        client,
        Limit=1,
        FilterExpression="begins_with(#k, :p)",
        ExpressionAttributeNames={"#k": "key"},
        ExpressionAttributeValues={":p": {"S": "b:"}},
    )
    assert [] in filtered[:-1], "the limit is of what is looked at, not of what is found"
    assert sorted(itertools.chain(*filtered)) == keys[10:]
    assert client.scan(TableName="messages", Select="COUNT")["Count"] == 20


def test_a_scan_goes_on_behind_a_key_that_is_gone(stub: DynamoDBStub, client: Any) -> None:
    stub.seed("messages", *(put_body(f"k{number}")["Item"] for number in range(10)))
    (everything,) = pages(client)
    key = {"key": {"S": everything[4]}}
    client.delete_item(TableName="messages", Key=key)
    assert pages(client, ExclusiveStartKey=key) == [everything[5:]]


def test_a_scan_page_ends_at_1_mb(stub: DynamoDBStub, client: Any) -> None:
    stub.seed("messages", *(put_body(f"k{number}", "v" * 300_000)["Item"] for number in range(10)))
    sizes = [
        len(page) for page in pages(client, ProjectionExpression="#k", ExpressionAttributeNames={"#k": "key"})
    ]
    assert sum(sizes) == 10
    assert max(sizes) == 4


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        ("attribute_exists(#k)", True),
        ("attribute_not_exists(#k)", False),
        ("NOT attribute_not_exists(#k)", True),
        ("attribute_exists(#k) AND #v = :old", True),
        ("attribute_exists(#k) and #v <> :old", False),
        ("#v = :other OR #v = :old", True),
        ("(#v = :other OR #v = :old) AND attribute_not_exists(absent)", True),
        ("#v > :other", True),
        ("#v < :other", False),
        ("absent = :old", False),
        ("begins_with(#v, :other)", False),
    ],
)
def test_conditions(client: Any, condition: str, *, holds: bool) -> None:
    client.put_item(**put_body("k", "old"))
    names = {name: word for name, word in {"#k": "key", "#v": "value"}.items() if name in condition}
    values = {
        name: {"S": word} for name, word in {":old": "old", ":other": "new"}.items() if name in condition
    }
    request = put_body("k", "newer") | {"ConditionExpression": condition}
    request |= {"ExpressionAttributeNames": names} if names else {}
    request |= {"ExpressionAttributeValues": values} if values else {}
    if holds:
        client.put_item(**request)
        return
    with pytest.raises(
        client.exceptions.ConditionalCheckFailedException, match="conditional request failed"
    ) as failed:
        client.put_item(**request, ReturnValuesOnConditionCheckFailure="ALL_OLD")
    assert failed.value.response["Item"]["value"] == {"S": "old"}


def test_one_of_many_deletes_wins(stub: DynamoDBStub, client: Any) -> None:
    keys = [f"k{number}" for number in range(10)]
    stub.seed("messages", *(put_body(key)["Item"] for key in keys))
    condition = {"ConditionExpression": "attribute_exists(#k)", "ExpressionAttributeNames": {"#k": "key"}}

    def delete(key: str) -> bool:
        try:
            client.delete_item(TableName="messages", Key={"key": {"S": key}}, **condition)
        except client.exceptions.ConditionalCheckFailedException:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(delete, keys * 8)) == len(keys)


def test_tables(client: Any) -> None:
    with pytest.raises(client.exceptions.ResourceNotFoundException, match="Table: absent not found"):
        client.describe_table(TableName="absent")
    with pytest.raises(client.exceptions.ResourceInUseException, match="Table already exists: messages"):
        client.create_table(TableName="messages", BillingMode="PAY_PER_REQUEST", **KEY_SCHEMA)
    described = client.describe_table(TableName="messages")["Table"]
    assert described["TableStatus"] == "ACTIVE"
    assert described["KeySchema"] == KEY_SCHEMA["KeySchema"]
    client.delete_table(TableName="messages")
    with pytest.raises(client.exceptions.ResourceNotFoundException):
        client.put_item(**put_body("k"))


def test_a_table_takes_its_time() -> None:
    pytest.importorskip("boto3")
    with DynamoDBStub(create_delay=0.5, delete_delay=0.5) as stub, boto3_client(stub) as client:
        created = client.create_table(TableName="messages", BillingMode="PAY_PER_REQUEST", **KEY_SCHEMA)
        assert created["TableDescription"]["TableStatus"] == "CREATING"
        with pytest.raises(client.exceptions.ResourceNotFoundException, match="Requested resource not found"):
            client.put_item(**put_body("k"))
        with pytest.raises(
            client.exceptions.ResourceInUseException, match="Table is being created: messages"
        ):
            client.delete_table(TableName="messages")
        client.get_waiter("table_exists").wait(TableName="messages", WaiterConfig={"Delay": 0.05})
        client.put_item(**put_body("k"))
        client.delete_table(TableName="messages")
        with pytest.raises(
            client.exceptions.ResourceInUseException, match="Table is being deleted: messages"
        ):
            client.create_table(TableName="messages", BillingMode="PAY_PER_REQUEST", **KEY_SCHEMA)
        client.get_waiter("table_not_exists").wait(TableName="messages", WaiterConfig={"Delay": 0.05})
        assert not stub.has_table("messages")

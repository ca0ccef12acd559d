"""The DynamoDB stub refuses what the service refuses, with its words."""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING, Any

import pytest

from dynamodb_stub import DynamoDBStub
from dynamodb_stub.clients import (
    ACCESS_KEY,
    REGION,
    SECRET_KEY,
    batch_body,
    boto3_client,
    call,
    connection,
    gets_body,
    put_body,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

KEY_SCHEMA: dict[str, Any] = {
    "KeySchema": [{"AttributeName": "key", "KeyType": "HASH"}],
    "AttributeDefinitions": [{"AttributeName": "key", "AttributeType": "S"}],
}
# Key "k" and names of together 9 bytes leave this for the value.
LARGEST_VALUE = 400 * 1024 - 9
NO_NAMES = "ExpressionAttributeNames can only be specified when using expressions"
PARENTHESES = "The expression has redundant parentheses;"
RESERVED = "Attribute name is a reserved keyword; reserved keyword: "
UNUSED = "Value provided in ExpressionAttribute"
WRITE_COUNTS = (
    "failed to satisfy constraint: Map value must satisfy constraint: [Member must have length less than or "
    "equal to 25, Member must have length greater than or equal to 1]"
)


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


def refusal(stub: DynamoDBStub, operation: str, body: Any, **headers: str | None) -> tuple[str, str]:
    """The name and the text of the error that a request is answered with."""
    status, answer = call(stub, operation, body, **headers)
    assert status == 400
    return answer["__type"].rpartition("#")[2], answer.get("message", answer.get("Message"))


def scan(**parameters: Any) -> dict[str, Any]:
    return {"TableName": "messages", **parameters}


def put(**parameters: Any) -> dict[str, Any]:
    return put_body("k") | parameters


FILTER_VALUES = {"ExpressionAttributeValues": {":p": {"S": "a"}}}
REFUSED: list[tuple[str, dict[str, Any], str]] = [
    (
        "PutItem",
        {"Item": {}},
        "Value null at 'tableName' failed to satisfy constraint: Member must not be null",
    ),
    ("PutItem", put(Item={"value": {"S": "v"}}), "Missing the key key in the item"),
    ("PutItem", put(Item={"key": {"N": "1"}}), "Type mismatch for key key expected: S actual: N"),
    ("PutItem", put(Item={"key": {"S": ""}}), "cannot contain an empty string value. Key: key"),
    (
        "PutItem",
        put_body("ü" * 1024 + "k"),
        "Size of hashkey has exceeded the maximum size limit of2048 bytes",
    ),
    ("PutItem", put_body("k", "v" * (LARGEST_VALUE + 1)), "Item size has exceeded the maximum allowed size"),
    (
        "PutItem",
        put(Item={"key": {"S": "k"}, "v": {}}),
        "must contain exactly one of the supported datatypes",
    ),
    ("PutItem", put(Item={"key": {"S": "k"}, "v": {"SS": ["a", "a"]}}), "contains duplicates"),
    ("PutItem", put(Item={"key": {"S": "k"}, "v": {"N": "x"}}), "cannot be converted to a numeric value: x"),
    ("PutItem", put(ExpressionAttributeNames={"#k": "key"}), NO_NAMES),
    (
        "PutItem",
        put(ConditionExpression="attribute_exists(key)"),
        f"Invalid ConditionExpression: {RESERVED}key",
    ),
    ("PutItem", put(ConditionExpression=""), "Invalid ConditionExpression: The expression can not be empty;"),
    ("PutItem", put(ConditionExpression="((a = b))"), f"Invalid ConditionExpression: {PARENTHESES}"),
    ("PutItem", put(ConditionExpression="exists(a)"), "Invalid function name; function: exists"),
    ("PutItem", put(ConditionExpression="attribute_exists("), 'Syntax error; token: "<EOF>", near: "("'),
    ("PutItem", put(ConditionExpression="attribute_exists(#k)"), "is not defined; attribute name: #k"),
    ("PutItem", put(ConditionExpression="a = :v"), "is not defined; attribute value: :v"),
    ("PutItem", put(ReturnValues="ALL_NEW"), "ReturnValues can only be ALL_OLD or NONE"),
    ("GetItem", {"TableName": "messages", "Key": {"other": {"S": "k"}}}, "does not match the schema"),
    ("GetItem", {"TableName": "messages", "Key": put_body("k")["Item"]}, "does not match the schema"),
    ("Scan", scan(FilterExpression="begins_with(Value, :p)", **FILTER_VALUES), f"{RESERVED}Value"),
    (
        "Scan",
        scan(ProjectionExpression="#k, name", ExpressionAttributeNames={"#k": "key"}),
        f"{RESERVED}name",
    ),
    ("Scan", scan(ProjectionExpression="status"), f"Invalid ProjectionExpression: {RESERVED}status"),
    ("Scan", scan(ProjectionExpression="a, a"), "Two document paths overlap with each other"),
    (
        "Scan",
        scan(ProjectionExpression="a", ExpressionAttributeNames={"#x": "key"}),
        f"{UNUSED}Names unused in expressions: keys: {{#x}}",
    ),
    (
        "Scan",
        scan(FilterExpression="attribute_exists(a)", **FILTER_VALUES),
        f"{UNUSED}Values unused in expressions: keys: {{:p}}",
    ),
    (
        "Scan",
        scan(FilterExpression="begins_with(a, :p)", ExpressionAttributeValues={":p": {"N": "1"}}),
        "Incorrect operand type for operator or function; operator or function: begins_with, operand type: N",
    ),
    (
        "Scan",
        scan(Limit=0),
        "Value '0' at 'limit' failed to satisfy constraint: Member must have value greater",
    ),
    (
        "Scan",
        scan(ExclusiveStartKey={"a": {"S": "k"}}),
        "The provided starting key is invalid: The provided key",
    ),
    ("BatchWriteItem", {"RequestItems": {}}, "The requestItems parameter is required for BatchWriteItem"),
    ("BatchWriteItem", {"RequestItems": {"messages": []}}, WRITE_COUNTS),
    ("BatchWriteItem", batch_body(*map(str, range(26))), WRITE_COUNTS),
    ("BatchWriteItem", batch_body("a", "b", "a"), "Provided list of item keys contains duplicates"),
    ("BatchWriteItem", batch_body("a", ""), "cannot contain an empty string value. Key: key"),
    ("BatchWriteItem", batch_body("a", "k" * 2049), "has exceeded the maximum size limit of2048 bytes"),
    (
        "BatchWriteItem",
        batch_body("k", value="v" * (LARGEST_VALUE + 1)),
        "Item size has exceeded the maximum",
    ),
    ("BatchWriteItem", {"RequestItems": {"messages": [{}]}}, "has more than one datatypes set"),
    ("BatchGetItem", {"RequestItems": {}}, "Member must have length greater than or equal to 1"),
    ("BatchGetItem", gets_body(), "at 'RequestItems.messages.member.Keys' failed to satisfy constraint"),
    ("BatchGetItem", gets_body(*map(str, range(101))), "Member must have length less than or equal to 100"),
    ("BatchGetItem", gets_body("a", "b", "a"), "Provided list of item keys contains duplicates"),
    ("BatchGetItem", gets_body("a", ""), "cannot contain an empty string value. Key: key"),
    ("CreateTable", {"TableName": "ab", **KEY_SCHEMA}, "Member must have length greater than or equal to 3"),
    (
        "CreateTable",
        {"TableName": "abc", **KEY_SCHEMA},
        "must both be specified when BillingMode is PROVISIONED",
    ),
]


@pytest.mark.parametrize(("operation", "body", "text"), REFUSED)
def test_refused(stub: DynamoDBStub, operation: str, body: dict[str, Any], text: str) -> None:
    name, message = refusal(stub, operation, body)
    assert name == "ValidationException"
    assert text in message
    assert stub.items("messages") == {}, "a batch is refused as a whole"


def test_refused_before_it_is_validated(stub: DynamoDBStub) -> None:
    body = put_body("k")
    assert refusal(stub, "PutItem", b"{")[0] == "SerializationException"
    assert refusal(stub, "PutItem", put(Item={"key": {"S": 5}})) == (
        "SerializationException",
        "NUMBER_VALUE cannot be converted to String",
    )
    assert refusal(stub, "NoSuchThing", {})[0] == "UnknownOperationException"
    assert refusal(stub, "PutItem", body, Authorization=None) == (
        "MissingAuthenticationTokenException",
        "Request is missing Authentication Token",
    )
    unfinished = refusal(stub, "PutItem", body, Authorization="AWS4-HMAC-SHA256 Credential=a")
    assert unfinished[0] == "IncompleteSignatureException"
    assert refusal(stub, "Scan", scan(IndexName="i"))[0] == "StubDoesNotImplement"
    with connection(stub) as opened:
        opened.request("GET", "/")
        answer = opened.getresponse()
        assert (answer.status, answer.read()) == (404, b"<UnknownOperationException/>\n")


def test_what_is_just_within_the_limits(stub: DynamoDBStub, client: Any) -> None:
    client.put_item(**put_body("k", "v" * LARGEST_VALUE))
    client.put_item(**put_body("ü" * 1024, ""))
    assert len(stub.items("messages")) == 2


def test_a_request_over_16_mb(stub: DynamoDBStub) -> None:
    # Each item is within its limit; as JSON, these characters take six bytes each.
    body = batch_body(*map(str, range(25)), value="\x01" * 150_000)
    assert len(json.dumps(body)) > 16 * 1024 * 1024
    assert call(stub, "BatchWriteItem", body) == (413, None)
    assert stub.items("messages") == {}


@pytest.mark.parametrize(
    ("wrong", "error", "text"),
    [
        (
            {"aws_access_key_id": "other"},
            "UnrecognizedClientException",
            "security token included in the request",
        ),
        (
            {"aws_session_token": "other"},
            "UnrecognizedClientException",
            "security token included in the request",
        ),
        ({"aws_secret_access_key": "other"}, "InvalidSignatureException", "request signature we calculated"),
        ({"region_name": "eu-west-1"}, "InvalidSignatureException", "should be scoped to a valid region"),
        ({}, None, None),
    ],
)
def test_credentials(stub: DynamoDBStub, wrong: dict[str, str], error: str | None, text: str | None) -> None:
    pytest.importorskip("boto3")
    stub.require(access_key=ACCESS_KEY, secret_key=SECRET_KEY, session_token="token", region=REGION)
    with boto3_client(stub, **{"aws_session_token": "token", **wrong}) as client:
        if error is None:
            client.put_item(**put_body("k ü"))
            return
        with pytest.raises(client.exceptions.ClientError, match=error) as refused:
            client.put_item(**put_body("k"))
        assert text is not None
        assert text in refused.value.response["Error"]["Message"]

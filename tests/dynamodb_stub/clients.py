"""Clients that are not the one under test: boto3, and HTTP without any library's help."""

from __future__ import annotations

import contextlib
import http.client
import importlib
import json
from collections.abc import Generator
from typing import Any

from .stub import DynamoDBStub

ACCESS_KEY, SECRET_KEY, REGION = "AKIDEXAMPLE", "secret/example", "us-east-1"
# It names everything that a signature has, and proves nothing.
AUTHORIZATION = (
    f"AWS4-HMAC-SHA256 Credential={ACCESS_KEY}/20260101/{REGION}/dynamodb/aws4_request, "
    "SignedHeaders=host;x-amz-date, Signature=0"
)


@contextlib.contextmanager
def boto3_client(stub: DynamoDBStub, **settings: Any) -> Generator[Any]:
    """A client that neither retries nor checks what it sends."""
    config = importlib.import_module("botocore.config").Config(
        retries={"total_max_attempts": 1}, parameter_validation=False, max_pool_connections=50
    )
    keys = {"aws_access_key_id": ACCESS_KEY, "aws_secret_access_key": SECRET_KEY, "region_name": REGION}
    boto3: Any = importlib.import_module("boto3")
    client = boto3.client("dynamodb", endpoint_url=stub.endpoint, config=config, **keys | settings)
    try:
        yield client
    finally:
        client.close()


@contextlib.contextmanager
def connection(stub: DynamoDBStub, timeout: float = 5) -> Generator[http.client.HTTPConnection]:
    """One connection."""
    opened = http.client.HTTPConnection("127.0.0.1", stub.port, timeout=timeout)
    try:
        yield opened
    finally:
        opened.close()


def send(opened: http.client.HTTPConnection, operation: str, body: Any, **headers: str | None) -> None:
    """Sends a request; a header that is given as `None` is left out."""
    all_headers: dict[str, str | None] = {
        "Content-Type": "application/x-amz-json-1.0",
        "X-Amz-Target": f"DynamoDB_20120810.{operation}",
        "Authorization": AUTHORIZATION,
    }
    all_headers |= {name.replace("_", "-"): value for name, value in headers.items()}
    given = {name: value for name, value in all_headers.items() if value is not None}
    opened.request("POST", "/", body if isinstance(body, bytes) else json.dumps(body), given)


def call(stub: DynamoDBStub, operation: str, body: Any, **headers: str | None) -> tuple[int, Any]:
    """The status and the JSON of the answer to one request on a connection of its own."""
    with connection(stub) as opened:
        send(opened, operation, body, **headers)
        answer = opened.getresponse()
        content = answer.read()
        return answer.status, json.loads(content) if content else None


def put_body(key: str, value: str = "value", table: str = "messages") -> dict[str, Any]:
    """The body of a PutItem."""
    return {"TableName": table, "Item": {"key": {"S": key}, "value": {"S": value}}}


def batch_body(*keys: str, value: str = "value", table: str = "messages") -> dict[str, Any]:
    """The body of a BatchWriteItem that puts these keys."""
    puts = [{"PutRequest": {"Item": {"key": {"S": key}, "value": {"S": value}}}} for key in keys]
    return {"RequestItems": {table: puts}}


def gets_body(*keys: str, table: str = "messages", **settings: Any) -> dict[str, Any]:
    """The body of a BatchGetItem."""
    return {"RequestItems": {table: {"Keys": [{"key": {"S": key}} for key in keys], **settings}}}

"""A DynamoDB for the tests: DynamoDB Local, or moto where there is no Java."""

from __future__ import annotations

import http.client
import importlib.metadata
import os
import sys
import uuid
from abc import abstractmethod
from typing import TYPE_CHECKING, Any, cast

from botocore.config import Config
from botocore.exceptions import ClientError
from botocore.session import Session

from . import dynamodb_jars
from .process import HOST, Server, ServerFailed

if TYPE_CHECKING:
    from pathlib import Path

    from types_boto3_dynamodb import DynamoDBClient

REGION = "us-east-1"
# DynamoDB Local takes any that consist of letters and digits; each has tables of its own, in each region.
ACCESS_KEY = "TESTKEY"
SECRET_KEY = "TESTSECRET"

# It is the start that takes long, not the work.
JAVA_OPTIONS = ["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"]


class DynamoDb(Server):
    """What both have in common: how to reach it without TetherDB."""

    def __init__(self, name: str, folder: Path) -> None:
        super().__init__(name, folder)
        self.what = self.describe()
        self._client: DynamoDBClient | None = None

    @classmethod
    @abstractmethod
    def describe(cls) -> str:
        """Which one it is, in plain words."""

    @property
    def url(self) -> str:
        """The endpoint."""
        return f"http://{HOST}:{self.port}"

    @property
    def client(self) -> DynamoDBClient:
        """Another program's client."""
        if self._client is None:
            # No retries, which would hide what a test is about; no proxies, which are not for loopback.
            config = Config(retries={"total_max_attempts": 1}, proxies={}, connect_timeout=5, read_timeout=30)
            client = Session().create_client(
                "dynamodb",
                endpoint_url=self.url,
                region_name=REGION,
                aws_access_key_id=ACCESS_KEY,
                aws_secret_access_key=SECRET_KEY,
                config=config,
            )
            self._client = cast("DynamoDBClient", client)
        return self._client

    def is_ready(self) -> bool:
        connection = http.client.HTTPConnection(HOST, self.port, timeout=5)
        try:
            connection.request("GET", "/")
            connection.getresponse()
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()
        return True

    def kill(self) -> None:
        super().kill()
        if self._client is not None:
            self._client.close()
            self._client = None

    def section(self, table: str) -> dict[str, Any]:
        """The section `dynamodb` of a TetherDB configuration that leads here; see `aws_variables` too."""
        return {"table_name": table, "region": REGION, "endpoint_url": self.url}

    def create_table(self, name: str | None = None) -> str:
        """Makes a table as TetherDB wants it, under a name of its own unless told otherwise."""
        name = name or fresh_table_name()
        self.client.create_table(
            TableName=name,
            KeySchema=[{"AttributeName": "key", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "key", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )
        return name

    def delete_table(self, name: str) -> None:
        """Deletes a table, if it exists."""
        try:
            self.client.delete_table(TableName=name)
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") != "ResourceNotFoundException":
                raise

    def put(self, table: str, key: str, value: str) -> None:
        """Writes one item as TetherDB does."""
        self.client.put_item(TableName=table, Item={"key": {"S": key}, "value": {"S": value}})

    def get(self, table: str, key: str) -> str | None:
        """The value of one item; `None` if there is none."""
        found = self.client.get_item(TableName=table, Key={"key": {"S": key}}, ConsistentRead=True)
        return found["Item"]["value"].get("S") if "Item" in found else None

    def everything(self, table: str) -> dict[str, str]:
        """All items, key and value."""
        pages = self.client.get_paginator("scan").paginate(TableName=table, ConsistentRead=True)
        items = [item for page in pages for item in page["Items"]]
        return {item["key"].get("S", ""): item["value"].get("S", "") for item in items}

    def clear(self, table: str) -> None:
        """Deletes all items, by making the table anew."""
        self.delete_table(table)
        self.create_table(table)


class DynamoDbLocal(DynamoDb):
    """DynamoDB Local. Its tables outlive a restart only with `on_disk`.

    It listens on all addresses: it has no option for that.
    """

    def __init__(self, folder: Path, *, on_disk: bool = False) -> None:
        super().__init__("DynamoDB Local", folder)
        self._on_disk = on_disk
        self._jars = dynamodb_jars.jars()

    @classmethod
    def describe(cls) -> str:
        return f"DynamoDB Local {dynamodb_jars.version()}"

    def launch(self) -> None:
        self.data.mkdir(exist_ok=True)
        super().launch()

    def command(self) -> list[str]:
        java = ["java", *JAVA_OPTIONS, f"-Djava.library.path={self._jars}", "-cp", f"{self._jars}/*"]
        data = ["-dbPath", str(self.data)] if self._on_disk else ["-inMemory"]
        main = "software.amazon.dynamodb.services.local.main.ServerRunner"
        return [*java, main, *data, "-port", str(self.port), "-disableTelemetry"]


class MotoServer(DynamoDb):
    """moto's imitation. It forgets its tables when it ends, and checks less than DynamoDB does."""

    def __init__(self, folder: Path) -> None:
        super().__init__("moto", folder)

    @classmethod
    def describe(cls) -> str:
        reason = dynamodb_jars.why_not() or "it was asked for"
        try:
            version = importlib.metadata.version("moto")
        except importlib.metadata.PackageNotFoundError:
            raise ServerFailed(
                f"{reason}, and moto is not installed to stand in: install one of them"
            ) from None
        return f"moto {version} stands in, since {reason}"

    def command(self) -> list[str]:
        return [sys.executable, "-m", "moto.server", "-H", HOST, "-p", str(self.port)]


def what_runs_here() -> type[DynamoDbLocal] | type[MotoServer]:
    """The one for this machine; its `describe` says which."""
    missing = dynamodb_jars.why_not()
    if not missing:
        return DynamoDbLocal
    if os.environ.get("CI"):
        raise ServerFailed(f"CI is set, so the tests need DynamoDB Local itself, but {missing}: install it")
    return MotoServer


def fresh_table_name() -> str:
    """A name that no table has."""
    return f"test-{uuid.uuid4().hex}"


def aws_variables() -> dict[str, str]:
    """Environment variables with which an AWS client finds these credentials, and looks for no others."""
    return {
        "AWS_ACCESS_KEY_ID": ACCESS_KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
    }

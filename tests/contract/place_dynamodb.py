"""A table, which another program reaches through botocore."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from botocore.session import Session

from fault_proxy import FaultProxy
from servers.dynamodb import ACCESS_KEY, REGION, SECRET_KEY, MotoServer, fresh_table_name
from servers.process import HOST
from TetherDB import BackendError

from .place import IMPATIENT, PATIENT, Place

if TYPE_CHECKING:
    from collections.abc import Generator
    from typing import Self

    import pytest

    from servers.dynamodb import DynamoDb

INDEX = "by-value"


class DynamodbPlace(Place):
    """See the module."""

    name = "dynamodb"
    refusal = BackendError
    refusal_says = "parameter values were invalid"

    def __init__(self, server: DynamoDb) -> None:
        self._server = server
        self._table = server.create_table()
        self._tables = [self._table]
        self._more: dict[str, Any] = {}
        self._proxy: FaultProxy | None = None
        super().__init__(server.section(self._table))

    @classmethod
    def of_test(cls, request: pytest.FixtureRequest) -> Self:
        """A new table on the shared server."""
        request.getfixturevalue("aws")
        return cls(request.getfixturevalue("dynamodb"))

    @property
    def stands_in(self) -> bool:
        return isinstance(self._server, MotoServer)

    @property
    def opening_line(self) -> str:
        return f"DynamoDB backend initialized with table: {self._table}"

    def close(self) -> None:
        if self._proxy:
            self._proxy.close()
        for table in self._tables:
            self._server.delete_table(table)

    def everything(self) -> dict[str, str]:
        return self._server.everything(self._table)

    def put(self, key: str, text: str) -> None:
        self._server.put(self._table, key, text)

    def put_unreadable(self, key: str, what: Any) -> None:
        item: dict[str, Any] = {"key": {"S": key}, "other": {"S": "theirs"}}
        if what is not None:
            item["value"] = what
        self._server.client.put_item(TableName=self._table, Item=item)

    def put_foreign_key(self) -> None:
        raise NotImplementedError("the service takes none")

    def delete(self, key: str) -> None:
        self._server.client.delete_item(TableName=self._table, Key={"key": {"S": key}})

    def _create(self, **more: Any) -> None:
        """Goes on with another table, which has more to it."""
        self._more |= more
        name = fresh_table_name()
        table: dict[str, Any] = {
            "TableName": name,
            "KeySchema": [{"AttributeName": "key", "KeyType": "HASH"}],
            "AttributeDefinitions": [{"AttributeName": "key", "AttributeType": "S"}],
            "BillingMode": "PAY_PER_REQUEST",
        }
        self._server.client.create_table(**{**table, **self._more})
        self._table = name
        self._tables.append(name)
        self.section["table_name"] = name

    def keep_history(self) -> None:
        self._create(StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_IMAGE"})

    def history(self, key: str) -> list[str | None]:
        images = [(record["Keys"], record.get("NewImage")) for record in self._records()]
        texts = [image for keys, image in images if keys["key"]["S"] == key]
        return [None if image is None else image["value"]["S"] for image in texts]

    def _records(self) -> Generator[dict[str, Any]]:
        # Nothing brings the types of this service.
        client: Any = Session().create_client(
            "dynamodbstreams",
            endpoint_url=self._server.url,
            region_name=REGION,
            aws_access_key_id=ACCESS_KEY,
            aws_secret_access_key=SECRET_KEY,
        )
        with contextlib.closing(client):
            (stream,) = client.list_streams(TableName=self._table)["Streams"]
            arn = stream["StreamArn"]
            for shard in client.describe_stream(StreamArn=arn)["StreamDescription"]["Shards"]:
                start = {"ShardId": shard["ShardId"], "ShardIteratorType": "TRIM_HORIZON"}
                iterator = client.get_shard_iterator(StreamArn=arn, **start)["ShardIterator"]
                while (page := client.get_records(ShardIterator=iterator))["Records"]:
                    for record in page["Records"]:
                        yield record["dynamodb"]
                    iterator = page["NextShardIterator"]

    def watch(self) -> None:
        self._proxy = self._proxy or FaultProxy(HOST, self._server.port)
        self.section |= {"endpoint_url": f"http://{HOST}:{self._proxy.port}"}

    def held(self) -> int:
        assert self._proxy
        return self._proxy.open

    def refuse_large(self) -> None:
        # What is indexed can be no longer than a key.
        names = ("key", "value")
        self._create(
            AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in names],
            GlobalSecondaryIndexes=[
                {
                    "IndexName": INDEX,
                    "KeySchema": [{"AttributeName": "value", "KeyType": "HASH"}],
                    "Projection": {"ProjectionType": "KEYS_ONLY"},
                }
            ],
        )

    def take_large(self) -> None:
        update: Any = [{"Delete": {"IndexName": INDEX}}]
        self._server.client.update_table(TableName=self._table, GlobalSecondaryIndexUpdates=update)

    def break_down(self) -> None:
        # Nobody listens there.
        self.section["endpoint_url"] = f"http://{HOST}:1"

    def prepare_outage(self) -> None:
        self.watch()
        self.section["timeout"] = IMPATIENT

    @contextlib.contextmanager
    def outage(self) -> Generator[None]:
        assert self._proxy
        self._proxy.half_open(new=False)
        try:
            yield
        finally:
            self._proxy.drop_all()
            self._proxy.pass_through()

    def prepare_stall(self) -> None:
        self.section["timeout"] = PATIENT

    @contextlib.contextmanager
    def stall(self) -> Generator[None]:
        self._server.pause()
        try:
            yield
        finally:
            self._server.resume()

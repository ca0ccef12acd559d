"""The tables: their schema and life, the items in them, and every write in the order applied."""

from __future__ import annotations

import bisect
import hashlib
import threading
import time
import uuid
from dataclasses import dataclass
from typing import Any

from .errors import KEY_MISMATCH, ApiError, invalid
from .values import Item, Value, as_bytes, weight

# Bytes of a partition key, and of a sort key.
KEY_LIMITS = (2048, 1024)
TOO_LONG = (
    "Size of hashkey has exceeded the maximum size limit of2048 bytes",
    "Aggregated size of all range keys has exceeded the size limit of 1024 bytes",
)


@dataclass(frozen=True)
class Write:
    """One write that was applied to a key."""

    request: int
    """The number of the request that brought it."""
    item: Item | None
    """What was put; `None` for a deletion."""


class Table:
    """One table. Its owner's lock guards it."""

    def __init__(self, name: str, schema: list[tuple[str, str]], active_at: float) -> None:
        self.name = name
        self.schema = schema
        self.active_at = active_at
        self.gone_at: float | None = None
        self.created = time.time()
        self.id = str(uuid.uuid4())
        self.items: dict[str, Item] = {}
        self.history: dict[str, list[Write]] = {}
        self.poison: dict[str, str] = {}
        self._scan_order: list[tuple[bytes, str]] | None = None

    @property
    def status(self) -> str:
        """CREATING, ACTIVE or DELETING."""
        if self.gone_at is not None:
            return "DELETING"
        return "ACTIVE" if time.monotonic() >= self.active_at else "CREATING"

    def key_of_item(self, item: Item) -> str:
        """The key of an item that is put singly."""
        for name, kind in self.schema:
            if name not in item:
                raise invalid(
                    f"One or more parameter values were invalid: Missing the key {name} in the item"
                )
            if kind not in item[name]:
                raise invalid(
                    f"One or more parameter values were invalid: Type mismatch for key {name} "
                    f"expected: {kind} actual: {next(iter(item[name]))}"
                )
        return self._key(item)

    def key_of_batched_item(self, item: Item) -> str:
        """The same in a batch, where the service words its errors differently."""
        if any(kind not in item.get(name, {}) for name, kind in self.schema):
            raise invalid(KEY_MISMATCH)
        return self._key(item)

    def key(self, key: Item) -> str:
        """The key that a request names: exactly the attributes of the schema."""
        if len(key) != len(self.schema):
            raise invalid(KEY_MISMATCH)
        return self.key_of_batched_item(key)

    def key_attributes(self, item: Item) -> Item:
        """The part of an item that is its key."""
        return {name: item[name] for name, _ in self.schema}

    def _key(self, item: Item) -> str:
        parts = [check_key_part(name, item[name], part) for part, (name, _) in enumerate(self.schema)]
        return "|".join(parts)

    def put(self, request: int, key: str, item: Item) -> None:
        """Writes an item."""
        if key not in self.items:
            self._scan_order = None
        self.items[key] = item
        self.history.setdefault(key, []).append(Write(request, item))

    def delete(self, request: int, key: str) -> None:
        """Deletes an item; one that is not there is noted as well."""
        if self.items.pop(key, None) is not None:
            self._scan_order = None
        self.history.setdefault(key, []).append(Write(request, None))

    def keys_after(self, key: str | None) -> list[str]:
        """The keys that a scan finds behind `key`: in the order of their hashes, as the service has them."""
        if self._scan_order is None:
            self._scan_order = sorted((hash_order(key), key) for key in self.items)
        start = 0 if key is None else bisect.bisect_right(self._scan_order, (hash_order(key), key))
        return [key for _, key in self._scan_order[start:]]

    def description(self) -> dict[str, Any]:
        """What DescribeTable says."""
        return {
            "TableName": self.name,
            "TableStatus": self.status,
            "TableId": self.id,
            "TableArn": f"arn:aws:dynamodb:us-east-1:123456789012:table/{self.name}",
            "CreationDateTime": self.created,
            "KeySchema": [
                {"AttributeName": name, "KeyType": kind}
                for (name, _), kind in zip(self.schema, ("HASH", "RANGE"), strict=False)
            ],
            "AttributeDefinitions": [
                {"AttributeName": name, "AttributeType": kind} for name, kind in self.schema
            ],
            "BillingModeSummary": {"BillingMode": "PAY_PER_REQUEST"},
            "ProvisionedThroughput": {
                "NumberOfDecreasesToday": 0,
                "ReadCapacityUnits": 0,
                "WriteCapacityUnits": 0,
            },
            # The service counts only every six hours.
            "ItemCount": 0,
            "TableSizeBytes": 0,
        }


class Tables:
    """All tables, and the lock that makes one operation on one item atomic."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self._tables: dict[str, Table] = {}

    def find(self, name: str) -> Table | None:
        """The table, in whatever state."""
        table = self._tables.get(name)
        if table is not None and table.gone_at is not None and time.monotonic() >= table.gone_at:
            del self._tables[name]
            return None
        return table

    def usable(self, name: str) -> Table:
        """The table, for an operation on items: one that is not active yet does not exist for them."""
        table = self.find(name)
        if table is None or table.status == "CREATING":
            raise ApiError("ResourceNotFoundException")
        return table

    def existing(self, name: str) -> Table:
        """The table, for an operation on tables."""
        table = self.find(name)
        if table is None:
            raise ApiError(
                "ResourceNotFoundException", f"Requested resource not found: Table: {name} not found"
            )
        return table

    def create(self, name: str, schema: list[tuple[str, str]], delay: float) -> Table:
        """A new table, active after `delay` seconds."""
        table = self.find(name)
        if table is not None and table.status == "DELETING":
            raise ApiError(
                "ResourceInUseException",
                f"Attempt to change a resource which is still in use: Table is being deleted: {name}",
            )
        if table is not None:
            raise ApiError("ResourceInUseException", f"Table already exists: {name}")
        table = self._tables[name] = Table(name, schema, time.monotonic() + delay)
        return table

    def delete(self, name: str, delay: float) -> Table:
        """Ends a table, which is gone after `delay` seconds."""
        table = self.existing(name)
        if table.status == "CREATING":
            raise ApiError(
                "ResourceInUseException",
                f"Attempt to change a resource which is still in use: Table is being created: {name}",
            )
        table.gone_at = time.monotonic() + delay
        return table


def hash_order(key: str) -> bytes:
    """Where a scan finds a key."""
    return hashlib.md5(key.encode(), usedforsecurity=False).digest()


def check_key_part(name: str, value: Value, part: int) -> str:
    """One attribute of a key as text, once its size is found to be legal."""
    kind, content = next(iter(value.items()))
    if kind != "N" and not content:
        word = "string" if kind == "S" else "binary"
        raise invalid(
            "One or more parameter values are not valid. The AttributeValue for a key attribute cannot "
            f"contain an empty {word} value. Key: {name}"
        )
    if weight(value) > KEY_LIMITS[part]:
        raise invalid(f"One or more parameter values were invalid: {TOO_LONG[part]}")
    return as_bytes(content).hex() if kind == "B" else str(content)

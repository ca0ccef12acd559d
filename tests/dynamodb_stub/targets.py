"""Which items a request names, found before anything is checked."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .errors import ApiError
from .tables import Tables
from .values import as_item, as_list, as_map


def named_keys(tables: Tables, operation: str, body: dict[str, Any]) -> tuple[tuple[str, str], ...]:
    """Table and key of every item; what cannot be made out is left out."""
    found: list[tuple[str, str]] = []
    try:
        for name, named in named_items(operation, body):
            table = tables.find(name)
            if table is not None:
                found.append((name, table.key_of_batched_item(as_item(named))))
    except ApiError:
        # The operation itself will refuse it.
        pass
    return tuple(found)


def named_items(operation: str, body: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """The items or keys of a request, each with its table."""
    if operation in ("PutItem", "GetItem", "DeleteItem"):
        yield str(body.get("TableName")), body.get("Item" if operation == "PutItem" else "Key")
    if operation == "BatchGetItem":
        for name, asked in as_map(body.get("RequestItems")).items():
            for key in as_list(as_map(asked).get("Keys")):
                yield name, key
    if operation == "BatchWriteItem":
        for name, requests in as_map(body.get("RequestItems")).items():
            for request in as_list(requests):
                for part in as_map(request).values():
                    yield name, as_map(part).get("Item", as_map(part).get("Key"))

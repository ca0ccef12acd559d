"""BatchWriteItem and BatchGetItem, with all that the service refuses a batch for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .errors import DUPLICATE_KEYS, ITEM_TOO_LARGE, constraint, invalid
from .expressions import Placeholders, parse_projection, project
from .faults import Unprocessed
from .parameters import required
from .records import Request
from .tables import Tables, hash_order
from .values import Item, as_item, as_list, as_map, item_size

LARGEST_ITEM = 400 * 1024
# Of the items in an answer, before projection.
LARGEST_ANSWER = 16 * 1024 * 1024
WRITES, GETS = 25, 100
# What the service says of a write that is neither put nor delete, or both.
ONE_KIND = (
    "Supplied AttributeValue has more than one datatypes set, must contain exactly one of the supported "
    "datatypes"
)


@dataclass
class BatchedWrite:
    """One write of a batch."""

    table: str
    request: dict[str, Any]
    """As it came, to hand it back as it came."""
    item: Item | None
    """What to put; `None` for a deletion."""
    named: Item
    """The item, or the key to delete."""
    key: str = ""


@dataclass
class BatchedGet:
    """One key of a batch."""

    table: str
    named: Item
    paths: list[str] | None
    key: str = ""


class Batches:
    """Runs batches on the tables."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    def write(self, request: Request, unprocessed: Unprocessed | None) -> dict[str, Any]:
        """BatchWriteItem: refused as a whole, or applied item by item."""
        writes = batched_writes(request.body)
        with self._tables.lock:
            for write in writes:
                table = self._tables.usable(write.table)
                write.key = (
                    table.key(write.named) if write.item is None else table.key_of_batched_item(write.named)
                )
                if write.item is not None and write.key in table.poison:
                    raise invalid(table.poison[write.key])
        refuse_duplicates([(write.table, write.key) for write in writes])
        left_out = set(unprocessed.choose(len(writes))) if unprocessed else set[int]()
        remaining: dict[str, list[dict[str, Any]]] = {}
        for at, write in enumerate(writes):
            if at in left_out:
                remaining.setdefault(write.table, []).append(write.request)
                continue
            # A batch is not atomic: others may see a part of it.
            with self._tables.lock:
                table = self._tables.usable(write.table)
                if write.item is None:
                    table.delete(request.number, write.key)
                else:
                    table.put(request.number, write.key, write.item)
        return {"UnprocessedItems": remaining}

    def get(self, request: Request, unprocessed: Unprocessed | None) -> dict[str, Any]:
        """BatchGetItem: in an order of its own, and only as much as fits into an answer."""
        gets = batched_gets(request.body)
        with self._tables.lock:
            for get in gets:
                get.key = self._tables.usable(get.table).key(get.named)
        refuse_duplicates([(get.table, get.key) for get in gets])
        left_out = set(unprocessed.choose(len(gets))) if unprocessed else set[int]()
        found: dict[str, list[Item]] = {get.table: [] for get in gets}
        remaining: dict[str, dict[str, Any]] = {}
        size = 0
        for at, get in sorted(enumerate(gets), key=lambda entry: hash_order(entry[1].key)):
            with self._tables.lock:
                item = self._tables.usable(get.table).items.get(get.key)
            if at not in left_out:
                if item is None:
                    continue
                size += item_size(item)
                if size <= LARGEST_ANSWER:
                    found[get.table].append(project(item, get.paths))
                    continue
            asked = as_map(request.body["RequestItems"][get.table])
            rest = remaining.setdefault(get.table, asked | {"Keys": []})
            rest["Keys"].append(get.named)
        return {"Responses": found, "UnprocessedKeys": remaining}


def batched_writes(body: dict[str, Any]) -> list[BatchedWrite]:
    """The writes of a request; all that can be said against them without looking at a table is said here."""
    tables = {name: as_list(requests) for name, requests in as_map(body.get("RequestItems") or {}).items()}
    if not tables:
        raise invalid("The requestItems parameter is required for BatchWriteItem")
    for name, requests in tables.items():
        if not 1 <= len(requests) <= WRITES:
            shown = ", ".join("com.amazonaws.dynamodb.v20120810.WriteRequest@1" for _ in requests)
            raise constraint(
                "requestItems",
                "Map value must satisfy constraint: [Member must have length less than or equal to "
                f"{WRITES}, Member must have length greater than or equal to 1]",
                f"'{{{name}=[{shown}]}}'",
            )
    if sum(len(requests) for requests in tables.values()) > WRITES:
        raise invalid("Too many items requested for the BatchWriteItem call")
    return [batched_write(name, as_map(one)) for name, requests in tables.items() for one in requests]


def batched_write(table: str, request: dict[str, Any]) -> BatchedWrite:
    """One of the writes."""
    if request.keys() not in ({"PutRequest"}, {"DeleteRequest"}):
        raise invalid(ONE_KIND)
    if "DeleteRequest" in request:
        named = as_item(required(as_map(request["DeleteRequest"]), "Key"))
        return BatchedWrite(table, request, None, named)
    item = as_item(required(as_map(request["PutRequest"]), "Item"))
    if item_size(item) > LARGEST_ITEM:
        raise invalid(ITEM_TOO_LARGE)
    return BatchedWrite(table, request, item, item)


def batched_gets(body: dict[str, Any]) -> list[BatchedGet]:
    """The keys of a request, with the same checks."""
    tables = {name: as_map(asked) for name, asked in as_map(body.get("RequestItems") or {}).items()}
    if not tables:
        raise constraint("RequestItems", "Member must have length greater than or equal to 1")
    gets: list[BatchedGet] = []
    for name, asked in tables.items():
        keys = as_list(required(asked, "Keys"))
        if not 1 <= len(keys) <= GETS:
            bound = f"less than or equal to {GETS}" if keys else "greater than or equal to 1"
            raise constraint(f"RequestItems.{name}.member.Keys", f"Member must have length {bound}")
        placeholders = Placeholders(asked, "ProjectionExpression")
        paths = parse_projection(asked, placeholders)
        placeholders.check_all_used()
        gets += [BatchedGet(name, as_item(key), paths) for key in keys]
    if len(gets) > GETS:
        raise invalid("Too many items requested for the BatchGetItem call")
    return gets


def refuse_duplicates(keys: list[tuple[str, str]]) -> None:
    """No key may be in a batch twice."""
    if len(set(keys)) < len(keys):
        raise invalid(DUPLICATE_KEYS)

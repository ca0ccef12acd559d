"""The operations on single items and on tables, and Scan."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .batches import Batches
from .errors import ITEM_TOO_LARGE, ApiError, constraint, invalid, unsupported
from .expressions import Condition, Placeholders, parse_condition, parse_projection, project
from .faults import Unprocessed
from .parameters import PARAMETERS, check_known, required, returns_old, table_name
from .records import Request
from .tables import Table, Tables
from .values import Item, as_item, as_list, as_map, as_text, item_size

LARGEST_ITEM = 400 * 1024
# A scan stops after the item that makes it pass this.
SCAN_PAGE = 1024 * 1024


class Operations:
    """Runs requests on the tables."""

    def __init__(self, tables: Tables, create_delay: float, delete_delay: float) -> None:
        self._tables = tables
        self._batches = Batches(tables)
        self._create_delay = create_delay
        self._delete_delay = delete_delay
        self._methods: dict[str, Callable[[Request], dict[str, Any]]] = {
            "PutItem": self._put_item,
            "DeleteItem": self._delete_item,
            "GetItem": self._get_item,
            "Scan": self._scan,
            "CreateTable": self._create_table,
            "DescribeTable": self._describe_table,
            "DeleteTable": self._delete_table,
        }

    def run(self, request: Request, unprocessed: Unprocessed | None) -> dict[str, Any]:
        """The answer to a request, or an `ApiError`."""
        if request.operation not in PARAMETERS:
            raise ApiError("UnknownOperationException")
        check_known(request.operation, request.body)
        if request.operation == "BatchWriteItem":
            return self._batches.write(request, unprocessed)
        if request.operation == "BatchGetItem":
            return self._batches.get(request, unprocessed)
        return self._methods[request.operation](request)

    def _put_item(self, request: Request) -> dict[str, Any]:
        name = table_name(request.body)
        item = as_item(required(request.body, "Item"))
        condition = parse_only_condition(request.body)
        wants_old = returns_old(request.body)
        if item_size(item) > LARGEST_ITEM:
            raise invalid(ITEM_TOO_LARGE)
        with self._tables.lock:
            table = self._tables.usable(name)
            key = table.key_of_item(item)
            if key in table.poison:
                raise invalid(table.poison[key])
            old = table.items.get(key)
            check(condition, old, request.body)
            table.put(request.number, key, item)
        return {"Attributes": old} if wants_old and old is not None else {}

    def _delete_item(self, request: Request) -> dict[str, Any]:
        name = table_name(request.body)
        named = as_item(required(request.body, "Key"))
        condition = parse_only_condition(request.body)
        wants_old = returns_old(request.body)
        with self._tables.lock:
            table = self._tables.usable(name)
            key = table.key(named)
            old = table.items.get(key)
            check(condition, old, request.body)
            table.delete(request.number, key)
        return {"Attributes": old} if wants_old and old is not None else {}

    def _get_item(self, request: Request) -> dict[str, Any]:
        name = table_name(request.body)
        named = as_item(required(request.body, "Key"))
        placeholders = Placeholders(request.body, "ProjectionExpression")
        paths = parse_projection(request.body, placeholders)
        placeholders.check_all_used()
        with self._tables.lock:
            table = self._tables.usable(name)
            item = table.items.get(table.key(named))
        return {} if item is None else {"Item": project(item, paths)}

    def _scan(self, request: Request) -> dict[str, Any]:
        body = request.body
        name = table_name(body)
        limit = body.get("Limit")
        if limit is not None and limit < 1:
            raise constraint("limit", "Member must have value greater than or equal to 1", f"'{limit}'")
        if body.get("Select") not in (None, "ALL_ATTRIBUTES", "SPECIFIC_ATTRIBUTES", "COUNT"):
            raise unsupported(f"Select {body['Select']}")
        placeholders = Placeholders(body, "FilterExpression", "ProjectionExpression")
        wanted = parse_condition(body, "FilterExpression", placeholders)
        paths = parse_projection(body, placeholders)
        placeholders.check_all_used()
        with self._tables.lock:
            table = self._tables.usable(name)
            found, scanned, last = scan_page(table, start_key(table, body), limit, wanted)
        answer: dict[str, Any] = {"Count": len(found), "ScannedCount": scanned}
        if body.get("Select") != "COUNT":
            answer["Items"] = [project(item, paths) for item in found]
        if last is not None:
            answer["LastEvaluatedKey"] = last
        return answer

    def _create_table(self, request: Request) -> dict[str, Any]:
        body = request.body
        name = table_name(body, shortest=3)
        schema = table_schema(body)
        billing, throughput = body.get("BillingMode") or "PROVISIONED", body.get("ProvisionedThroughput")
        if billing == "PAY_PER_REQUEST" and throughput is not None:
            raise invalid(
                "One or more parameter values were invalid: Neither ReadCapacityUnits nor WriteCapacityUnits "
                "can be specified when BillingMode is PAY_PER_REQUEST"
            )
        if billing == "PROVISIONED" and throughput is None:
            raise invalid(
                "One or more parameter values were invalid: ReadCapacityUnits and WriteCapacityUnits must "
                "both be specified when BillingMode is PROVISIONED"
            )
        with self._tables.lock:
            table = self._tables.create(name, schema, self._create_delay)
            return {"TableDescription": table.description()}

    def _describe_table(self, request: Request) -> dict[str, Any]:
        with self._tables.lock:
            return {"Table": self._tables.existing(table_name(request.body)).description()}

    def _delete_table(self, request: Request) -> dict[str, Any]:
        with self._tables.lock:
            table = self._tables.delete(table_name(request.body), self._delete_delay)
            return {"TableDescription": table.description()}


def parse_only_condition(body: dict[str, Any]) -> Condition | None:
    """The condition of a write, its placeholders all used."""
    placeholders = Placeholders(body, "ConditionExpression")
    condition = parse_condition(body, "ConditionExpression", placeholders)
    placeholders.check_all_used()
    return condition


def check(condition: Condition | None, old: Item | None, body: dict[str, Any]) -> None:
    """Refuses a write whose condition does not hold."""
    if condition is None or condition(old or {}):
        return
    wants_old = returns_old(body, "ReturnValuesOnConditionCheckFailure")
    raise ApiError("ConditionalCheckFailedException", item=old if wants_old else None)


def start_key(table: Table, body: dict[str, Any]) -> str | None:
    """The key behind which a scan goes on."""
    if body.get("ExclusiveStartKey") is None:
        return None
    try:
        return table.key(as_item(body["ExclusiveStartKey"]))
    except ApiError as error:
        raise invalid(f"The provided starting key is invalid: {error.message}") from None


def scan_page(
    table: Table, after: str | None, limit: int | None, wanted: Condition | None
) -> tuple[list[Item], int, Item | None]:
    """The items of a page, how many were looked at, and the key to go on behind.

    A page ends by what was looked at, not by what was found: it may be empty and yet not be the last, and one
    that ends with the last item by its limit still names a key to go on behind.
    """
    found: list[Item] = []
    scanned = size = 0
    for key in table.keys_after(after):
        item = table.items[key]
        scanned += 1
        size += item_size(item)
        if wanted is None or wanted(item):
            found.append(item)
        if scanned == limit or size >= SCAN_PAGE:
            return found, scanned, table.key_attributes(item)
    return found, scanned, None


def table_schema(body: dict[str, Any]) -> list[tuple[str, str]]:
    """Names and types of the key's attributes."""
    definitions = {
        as_text(as_map(one).get("AttributeName")): as_text(as_map(one).get("AttributeType"))
        for one in as_list(required(body, "AttributeDefinitions"))
    }
    for number, kind in enumerate(definitions.values(), 1):
        if kind not in ("B", "N", "S"):
            where = f"attributeDefinitions.{number}.member.attributeType"
            raise constraint(where, "Member must satisfy enum value set: [B, N, S]", f"'{kind}'")
    keys = [as_map(one) for one in as_list(required(body, "KeySchema"))]
    if not 1 <= len(keys) <= 2 or [one.get("KeyType") for one in keys] != ["HASH", "RANGE"][: len(keys)]:
        raise invalid("Invalid KeySchema: The first KeySchemaElement is not a HASH key type")
    names = [as_text(one.get("AttributeName")) for one in keys]
    if any(name not in definitions for name in names):
        raise invalid(
            "One or more parameter values were invalid: Some index key attributes are not defined in "
            f"AttributeDefinitions. Keys: [{', '.join(names)}], "
            f"AttributeDefinitions: [{', '.join(definitions)}]"
        )
    if len(definitions) != len(names):
        raise invalid(
            "One or more parameter values were invalid: Number of attributes in KeySchema does not exactly "
            "match number of attributes defined in AttributeDefinitions"
        )
    return [(name, definitions[name]) for name in names]

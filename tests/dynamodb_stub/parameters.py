"""The parameters of requests: which there are, and what each may be."""

from __future__ import annotations

import re
from typing import Any

from .errors import constraint, unsupported
from .values import as_text

CONDITIONAL = {
    "ConditionExpression",
    "ExpressionAttributeNames",
    "ExpressionAttributeValues",
    "ReturnValues",
    "ReturnValuesOnConditionCheckFailure",
}
PROJECTED = {"ConsistentRead", "ProjectionExpression", "ExpressionAttributeNames"}
PARAMETERS = {
    "PutItem": {"TableName", "Item"} | CONDITIONAL,
    "DeleteItem": {"TableName", "Key"} | CONDITIONAL,
    "GetItem": {"TableName", "Key"} | PROJECTED,
    "Scan": {
        "TableName",
        "Limit",
        "ExclusiveStartKey",
        "FilterExpression",
        "ExpressionAttributeValues",
        "Select",
    }
    | PROJECTED,
    "BatchWriteItem": {"RequestItems"},
    "BatchGetItem": {"RequestItems"},
    "CreateTable": {
        "TableName",
        "KeySchema",
        "AttributeDefinitions",
        "BillingMode",
        "ProvisionedThroughput",
        "Tags",
    },
    "DescribeTable": {"TableName"},
    "DeleteTable": {"TableName"},
}
RETURN_VALUES = ("ALL_NEW", "UPDATED_OLD", "ALL_OLD", "NONE", "UPDATED_NEW")


def check_known(operation: str, body: dict[str, Any]) -> None:
    """Refuses parameters that the stub would silently ignore."""
    unknown = body.keys() - PARAMETERS[operation]
    if unknown:
        raise unsupported(f"{', '.join(sorted(unknown))} of {operation}")


def required(body: dict[str, Any], name: str) -> Any:
    """A parameter that has to be there."""
    if body.get(name) is None:
        where = name[0].lower() + name[1:]
        raise constraint(where, "Member must not be null", "null")
    return body[name]


def table_name(body: dict[str, Any], shortest: int = 1) -> str:
    """The name of the table; only creating one asks for three characters."""
    name = as_text(required(body, "TableName"))
    shown = f"'{name}'"
    if len(name) < shortest:
        raise constraint("tableName", f"Member must have length greater than or equal to {shortest}", shown)
    if len(name) > 255:
        raise constraint("tableName", "Member must have length less than or equal to 255", shown)
    if not re.fullmatch("[a-zA-Z0-9_.-]+", name):
        raise constraint(
            "tableName", "Member must satisfy regular expression pattern: [a-zA-Z0-9_.-]+", shown
        )
    return name


def returns_old(body: dict[str, Any], name: str = "ReturnValues") -> bool:
    """Whether the old item is asked for."""
    given = body.get(name) or "NONE"
    if given not in RETURN_VALUES:
        where = name[0].lower() + name[1:]
        raise constraint(
            where, f"Member must satisfy enum value set: [{', '.join(RETURN_VALUES)}]", f"'{given}'"
        )
    if given not in ("ALL_OLD", "NONE"):
        raise constraint(name, f"{name} can only be ALL_OLD or NONE")
    return given == "ALL_OLD"

"""Attribute values: what DynamoDB accepts, what they weigh, and how they compare."""

from __future__ import annotations

import base64
import binascii
from decimal import Decimal, InvalidOperation
from typing import Any, cast

from .errors import invalid, malformed

Value = dict[str, Any]
Item = dict[str, Value]

TYPES = frozenset({"S", "N", "B", "BOOL", "NULL", "L", "M", "SS", "NS", "BS"})
EMPTY_SETS = {
    "SS": "An string set  may not be empty",
    "NS": "An number set  may not be empty",
    "BS": "Binary sets should not be empty",
}
# The name of what JSON holds where a text was due, as the service words it.
JSON_KINDS = {bool: "TRUE_VALUE", int: "NUMBER_VALUE", float: "DECIMAL_VALUE"}


def as_map(value: Any) -> dict[str, Any]:
    """The JSON object that was due here."""
    if not isinstance(value, dict):
        raise malformed("Unexpected field type")
    return cast("dict[str, Any]", value)


def as_list(value: Any) -> list[Any]:
    """The JSON array that was due here."""
    if not isinstance(value, list):
        raise malformed("Unexpected field type")
    return cast("list[Any]", cast("object", value))


def as_text(value: Any) -> str:
    """The JSON string that was due here; it has a UTF-8 form."""
    if not isinstance(value, str):
        kind = next((name for kind, name in JSON_KINDS.items() if isinstance(value, kind)), "START_OBJECT")
        raise malformed(f"{kind} cannot be converted to String")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise malformed("Unpaired surrogate in a string") from None
    return value


def as_bytes(value: Any) -> bytes:
    """The base64 text that was due here, decoded."""
    try:
        return base64.b64decode(as_text(value), validate=True)
    except binascii.Error:
        raise malformed("Invalid base64 in a binary value") from None


def as_number(value: Any) -> Decimal:
    """The number that was due here, as text."""
    text = as_text(value)
    try:
        number = Decimal(text)
    except InvalidOperation:
        shown = f": {text}" if text else ""
        raise invalid(f"The parameter cannot be converted to a numeric value{shown}") from None
    if len(number.normalize().as_tuple().digits) > 38:
        raise invalid("Attempting to store more than 38 significant digits in a Number")
    return number


def as_item(value: Any) -> Item:
    """A map of attributes, each of them checked."""
    item: Item = {}
    for name, attribute in as_map(value).items():
        item[as_text(name)] = as_value(attribute)
    return item


def as_value(value: Any) -> Value:
    """One attribute value, checked."""
    attribute = as_map(value)
    given = {name: content for name, content in attribute.items() if name in TYPES}
    if not given:
        raise invalid("Supplied AttributeValue is empty, must contain exactly one of the supported datatypes")
    if len(given) > 1:
        raise invalid(
            "Supplied AttributeValue has more than one datatypes set, must contain exactly one of the "
            "supported datatypes"
        )
    # Weighing looks at every part, which checks it.
    weight(given)
    return given


def weight(attribute: Value) -> int:
    """The bytes that a value counts in the size of its item."""
    kind, content = next(iter(attribute.items()))
    match kind:
        case "S":
            return len(as_text(content).encode())
        case "N":
            return len(as_number(content).normalize().as_tuple().digits) // 2 + 2
        case "B":
            return len(as_bytes(content))
        case "BOOL" | "NULL":
            return 1
        case "L":
            return 3 + sum(1 + weight(as_value(part)) for part in as_list(content))
        case "M":
            return 3 + sum(1 + len(name.encode()) + weight(part) for name, part in as_item(content).items())
        case _:
            members = [as_text(member) for member in as_list(content)]
            if not members:
                raise invalid(f"One or more parameter values were invalid: {EMPTY_SETS[kind]}")
            if len(set(members)) != len(members):
                raise invalid(
                    f"One or more parameter values were invalid: Input collection [{', '.join(members)}] "
                    "contains duplicates."
                )
            return sum(weight({kind[0]: member}) for member in members)


def item_size(item: Item) -> int:
    """The bytes that count against 400 KB: names and values."""
    return sum(len(name.encode()) + weight(attribute) for name, attribute in item.items())


def comparable(attribute: Value) -> tuple[str, Any]:
    """A form of the value whose order is DynamoDB's, and the type that it has an order within."""
    kind, content = next(iter(attribute.items()))
    match kind:
        case "S":
            return kind, as_text(content).encode()
        case "N":
            return kind, as_number(content)
        case "B":
            return kind, as_bytes(content)
        case "SS" | "NS" | "BS":
            return kind, frozenset(as_list(content))
        case _:
            return kind, content

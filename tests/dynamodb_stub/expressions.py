"""Condition, filter and projection expressions, with the texts of their errors."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .errors import ApiError, invalid, unsupported
from .reserved import RESERVED_WORDS
from .values import Item, Value, as_map, as_text, as_value, comparable

Condition = Callable[[Item], bool]
Operand = Callable[[Item], Value | None]

TOKEN = re.compile(r"\s*([#:][A-Za-z0-9_]+|[A-Za-z_][A-Za-z0-9_]*|<>|<=|>=|\S)")
COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "<>": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
FUNCTIONS = {"attribute_exists": 1, "attribute_not_exists": 1, "begins_with": 2}
# Known to the service, not to the stub.
OTHER_FUNCTIONS = {"attribute_type", "contains", "size"}


class Placeholders:
    """The `#names` and `:values` of a request: every one defined, every one used."""

    def __init__(self, body: dict[str, Any], *expressions: str) -> None:
        given = [name for name in expressions if body.get(name) is not None]
        taking_values = [name for name in expressions if name != "ProjectionExpression"]
        names, values = body.get("ExpressionAttributeNames"), body.get("ExpressionAttributeValues")
        if names is not None and not given:
            raise invalid("ExpressionAttributeNames can only be specified when using expressions")
        if values is not None and not any(name in taking_values for name in given):
            null = f"{' and '.join(taking_values)} {'are' if len(taking_values) > 1 else 'is'} null"
            raise invalid(f"ExpressionAttributeValues can only be specified when using expressions: {null}")
        self._names = {key: as_text(name) for key, name in self._entries("Names", "#", names)}
        self._values = {key: as_value(value) for key, value in self._entries("Values", ":", values)}
        self._used: set[str] = set()

    @staticmethod
    def _entries(what: str, sign: str, given: Any) -> list[tuple[str, Any]]:
        if given is None:
            return []
        entries = as_map(given)
        if not entries:
            raise invalid(f"ExpressionAttribute{what} must not be empty")
        for key in entries:
            if not re.fullmatch(f"{sign}[A-Za-z0-9_]+", key):
                raise invalid(f'ExpressionAttribute{what} contains invalid key: Syntax error; key: "{key}"')
        return list(entries.items())

    def name(self, token: str) -> str:
        """The attribute that a token stands for."""
        if not token.startswith("#"):
            if token.upper() in RESERVED_WORDS:
                raise invalid(f"Attribute name is a reserved keyword; reserved keyword: {token}")
            return token
        self._used.add(token)
        if token not in self._names:
            raise invalid(
                "An expression attribute name used in the document path is not defined; "
                f"attribute name: {token}"
            )
        return self._names[token]

    def value(self, token: str) -> Value:
        """The value that a token stands for."""
        self._used.add(token)
        if token not in self._values:
            raise invalid(
                f"An expression attribute value used in expression is not defined; attribute value: {token}"
            )
        return self._values[token]

    def check_all_used(self) -> None:
        """Refuses what no expression uses."""
        for what, given in (("Names", list(self._names)), ("Values", list(self._values))):
            unused = [key for key in given if key not in self._used]
            if unused:
                keys = ", ".join(unused)
                raise invalid(
                    f"Value provided in ExpressionAttribute{what} unused in expressions: keys: {{{keys}}}"
                )


@dataclass
class Token:
    """A part of an expression, and where it lies."""

    text: str
    start: int
    end: int


class Parser:
    """One expression, taken apart."""

    def __init__(self, text: str, placeholders: Placeholders) -> None:
        if not text.strip():
            raise invalid("The expression can not be empty;")
        self._text = text
        self._placeholders = placeholders
        self._tokens = [Token(found[1], found.start(1), found.end(1)) for found in TOKEN.finditer(text)]
        self._at = 0

    def condition(self) -> Condition:
        """The whole expression as a condition."""
        condition, _ = self._any_of()
        if self._peek():
            raise self._syntax_error()
        return condition

    def paths(self) -> list[str]:
        """The whole expression as a list of attributes."""
        paths = [self._path(self._next())]
        while self._take(","):
            paths.append(self._path(self._next()))
        if self._peek():
            raise self._syntax_error()
        for number, path in enumerate(paths):
            if path in paths[:number]:
                raise invalid(
                    "Two document paths overlap with each other; must remove or rewrite one of these paths; "
                    f"path one: [{path}], path two: [{path}]"
                )
        return paths

    def _peek(self) -> str:
        return self._tokens[self._at].text if self._at < len(self._tokens) else ""

    def _next(self) -> str:
        if not self._peek():
            raise self._syntax_error()
        self._at += 1
        return self._tokens[self._at - 1].text

    def _take(self, *words: str) -> str:
        return self._next() if self._peek().upper() in words else ""

    def _expect(self, word: str) -> None:
        if not self._take(word):
            raise self._syntax_error()

    def _syntax_error(self) -> ApiError:
        tokens = self._tokens
        start = tokens[self._at - 1].start if self._at else 0
        end = tokens[min(self._at + 1, len(tokens) - 1)].end
        token = self._peek() or "<EOF>"
        return invalid(f'Syntax error; token: "{token}", near: "{self._text[start:end]}"')

    # The second part of these answers says whether the condition stood in parentheses of its own.

    def _any_of(self) -> tuple[Condition, bool]:
        first, enclosed = self._all_of()
        parts = [first]
        while self._take("OR"):
            parts.append(self._all_of()[0])
        if len(parts) == 1:
            return first, enclosed
        return (lambda item: any(part(item) for part in parts)), False

    def _all_of(self) -> tuple[Condition, bool]:
        first, enclosed = self._one()
        parts = [first]
        while self._take("AND"):
            parts.append(self._one()[0])
        if len(parts) == 1:
            return first, enclosed
        return (lambda item: all(part(item) for part in parts)), False

    def _one(self) -> tuple[Condition, bool]:
        if self._take("NOT"):
            inner, _ = self._one()
            return (lambda item: not inner(item)), False
        if self._take("("):
            inner, enclosed = self._any_of()
            self._expect(")")
            if enclosed:
                raise invalid("The expression has redundant parentheses;")
            return inner, True
        following = self._tokens[self._at + 1].text if self._at + 1 < len(self._tokens) else ""
        return (self._function() if following == "(" else self._comparison()), False

    def _function(self) -> Condition:
        name = self._next()
        if name in OTHER_FUNCTIONS:
            raise unsupported(f"the function {name}")
        if name not in FUNCTIONS:
            raise invalid(f"Invalid function name; function: {name}")
        self._expect("(")
        tokens = [self._peek()]
        operands = [self._operand()]
        while self._take(","):
            tokens.append(self._peek())
            operands.append(self._operand())
        self._expect(")")
        if len(operands) != FUNCTIONS[name]:
            raise invalid(
                "Incorrect number of operands for operator or function; operator or function: "
                f"{name}, number of operands: {len(operands)}"
            )
        first = operands[0]
        if name == "attribute_exists":
            return lambda item: first(item) is not None
        if name == "attribute_not_exists":
            return lambda item: first(item) is None
        return begins_with(first, operands[1], self._kind(tokens[1]))

    def _kind(self, token: str) -> str:
        return next(iter(self._placeholders.value(token))) if token.startswith(":") else ""

    def _comparison(self) -> Condition:
        left = self._operand()
        sign = self._take(*COMPARISONS)
        if self._peek().upper() in ("BETWEEN", "IN"):
            raise unsupported(f"the operator {self._peek()}")
        if not sign:
            raise self._syntax_error()
        right = self._operand()
        compare = COMPARISONS[sign]

        def holds(item: Item) -> bool:
            one, other = left(item), right(item)
            if one is None or other is None:
                return sign == "<>"
            (kind, one_content), (other_kind, other_content) = comparable(one), comparable(other)
            return compare(one_content, other_content) if kind == other_kind else sign == "<>"

        return holds

    def _operand(self) -> Operand:
        token = self._next()
        if token.startswith(":"):
            value = self._placeholders.value(token)
            return lambda _: value
        path = self._path(token)
        return lambda item: item.get(path)

    def _path(self, token: str) -> str:
        if not re.fullmatch(r"#?[A-Za-z0-9_]+", token):
            self._at -= 1
            raise self._syntax_error()
        if self._peek() in (".", "["):
            raise unsupported("paths into documents")
        return self._placeholders.name(token)


def begins_with(path: Operand, prefix: Operand, kind: str) -> Condition:
    """The only function that asks for the type of its operand."""
    if kind and kind not in ("S", "B"):
        raise invalid(
            "Incorrect operand type for operator or function; operator or function: begins_with, "
            f"operand type: {kind}"
        )

    def holds(item: Item) -> bool:
        whole, start = path(item), prefix(item)
        if whole is None or start is None or whole.keys() != start.keys():
            return False
        content: bytes = comparable(whole)[1]
        return content.startswith(comparable(start)[1])

    return holds


def parse_condition(body: dict[str, Any], name: str, placeholders: Placeholders) -> Condition | None:
    """The condition under `name` of a request, if it has one."""
    if body.get(name) is None:
        return None
    try:
        return Parser(as_text(body[name]), placeholders).condition()
    except ApiError as error:
        raise with_prefix(name, error) from None


def parse_projection(body: dict[str, Any], placeholders: Placeholders) -> list[str] | None:
    """The attributes that a request asks for, if not for all."""
    name = "ProjectionExpression"
    if body.get(name) is None:
        return None
    try:
        return Parser(as_text(body[name]), placeholders).paths()
    except ApiError as error:
        raise with_prefix(name, error) from None


def with_prefix(name: str, error: ApiError) -> ApiError:
    """Errors of an expression say which one it was."""
    return invalid(f"Invalid {name}: {error.message}") if error.code == "ValidationException" else error


def project(item: Item, paths: list[str] | None) -> Item:
    """The item, less what was not asked for."""
    return item if paths is None else {name: item[name] for name in paths if name in item}

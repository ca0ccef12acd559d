"""What users type or pipe in: texts that can be stored, or an error that says why not."""

from __future__ import annotations

import json
import math
import os
import sys
from typing import TYPE_CHECKING, Any

import click

from TetherDB.cli import output
from TetherDB.cli.failing import Stop

if TYPE_CHECKING:
    _Type = click.ParamType[str]
else:
    # It takes no argument before click 8.4.
    _Type = click.ParamType


class Text(_Type):
    """An argument that is stored, or names what is stored: UTF-8, whatever the terminal's language is."""

    name = "text"

    def __init__(self, what: str, *, empty: bool = False) -> None:
        """what: how errors call it. empty: whether it may be empty."""
        self._what = what
        self._may_be_empty = empty

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The text."""
        text = str(value)
        if not text and not self._may_be_empty:
            self.fail(f"the {self._what} is empty. Give at least one character.", param, ctx)
        try:
            text.encode()
        except UnicodeEncodeError:
            # Bytes that Python could not decode. Where the locale is to blame they are UTF-8 all the same.
            return decoded(os.fsencode(text), f"the {self._what}")
        return text


KEY = Text("key")
BUCKET = Text("bucket", empty=True)
VALUE = Text("value", empty=True)


def decoded(data: bytes, what: str) -> str:
    """The text of these bytes. Raises Stop, which names the first byte that is no UTF-8."""
    try:
        return data.decode()
    except UnicodeDecodeError as fault:
        at = fault.start
        text = f"{what} is not UTF-8: byte {at} is 0x{data[at]:02x}. Nothing was written; convert it first"
        raise Stop(f"{text}, such as with iconv") from None


def standard_input(quiet: bool) -> str:
    """All that is piped in, as text."""
    if sys.stdin is None:
        raise Stop("standard input is closed. Give the value as an argument, or pipe it in")
    if sys.stdin.isatty() and not quiet:
        output.note("the value is read from here; Ctrl-D on a line of its own ends it, Ctrl-C gives up")
    return decoded(sys.stdin.buffer.read(), "standard input")


def value_of(text: str, quiet: bool) -> str | dict[str, Any]:
    """The value of a text: a dict if it is a JSON object, else the text as it is.

    What reading an object would silently change is refused, and of an object that is none there is a remark.
    """
    if not text.lstrip(" \t\n\r").startswith("{"):
        return text
    try:
        value: dict[str, Any] = json.loads(text, object_pairs_hook=_object, parse_float=_float)
    except json.JSONDecodeError as fault:
        if not quiet:
            output.note(
                f"stored as a text, since it is no JSON object: {fault}. --text says that it is meant so"
            )
        return text
    except RecursionError:
        raise _refused("it is nested too deeply") from None
    except ValueError:
        raise _refused("it has a number of more digits than are read") from None
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise _refused(f"{json.dumps(twice)} is in it twice")
    return found


def _float(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise _refused(f"the number {text} is too large")
    return number


def _refused(why: str) -> Stop:
    return Stop(f"the value is a JSON object that cannot be kept as it is: {why}. --text stores it as a text")

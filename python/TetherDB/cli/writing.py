"""`put` and `update`: one record, from an argument or from what is piped in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import click

from TetherDB.cli import output
from TetherDB.cli.failing import Code, refusals
from TetherDB.cli.given import KEY, VALUE, standard_input, value_of
from TetherDB.cli.reading import missing_text
from TetherDB.cli.settings import Settings, options

if TYPE_CHECKING:
    from collections.abc import Callable

_C = TypeVar("_C", bound="Callable[..., Any]")


def _arguments(command: _C) -> _C:
    """KEY [VALUE] --text."""
    as_text = click.option("--text", "is_text", is_flag=True, help="Store exactly what is given, as a text.")
    value = click.argument("value", required=False, type=VALUE)
    key = click.argument("key", type=KEY)
    return key(value(as_text(command)))


def _value(settings: Settings, given: str | None, is_text: bool) -> str | dict[str, Any]:
    """What is to be stored."""
    if given not in (None, "-"):
        return given if is_text else value_of(given, settings.quiet)
    text = standard_input(settings.quiet)
    # `get` ends a text with a newline, and so does `echo`.
    return text if is_text else value_of(text.removesuffix("\n"), settings.quiet)


@click.command("put")
@_arguments
@options()
def put_command(settings: Settings, key: str, value: str | None, is_text: bool) -> None:
    """Write a record.

    VALUE is a JSON object, or any other text; without it, or with -, standard input
    is read, and a newline at its end is left out.
    """
    # Opened before anything is read: a wrong configuration should not wait for it.
    with settings.open() as db:
        given = _value(settings, value, is_text)
        with refusals():
            db.write_message(key, given, settings.bucket, settings.backend)
    if settings.json:
        output.as_json({"key": key, "written": True})


@click.command("update")
@_arguments
@options()
def update_command(settings: Settings, key: str, value: str | None, is_text: bool) -> Code:
    """Replace the value of a key that exists.

    VALUE as in put. Ends with 1 if the key does not exist; then nothing is written.
    """
    with settings.open() as db:
        given = _value(settings, value, is_text)
        with refusals():
            existed = db.update_message(key, given, settings.bucket, settings.backend)
    if settings.json:
        output.as_json({"key": key, "written": existed})
    if not existed:
        output.note(f"{missing_text(settings, key)}. Nothing was written; tetherdb put writes it")
    return Code.DONE if existed else Code.NOT_FOUND

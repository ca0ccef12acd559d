"""`get`: values as they are stored, or for a person."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from TetherDB._tetherdb import records
from TetherDB.cli import output
from TetherDB.cli.failing import Code, refusals
from TetherDB.cli.given import KEY
from TetherDB.cli.settings import Settings, options

if TYPE_CHECKING:
    from collections.abc import Sequence

# Characters; more would keep a person waiting.
HIGHLIGHTED = 100_000


@click.command("get")
@click.argument("keys", metavar="KEY...", nargs=-1, required=True, type=KEY)
@options()
def get_command(settings: Settings, keys: Sequence[str]) -> int:
    """Print the values of keys.

    In a pipe: the text that is stored, and a newline. At a terminal an object is
    laid out. Ends with 1 if a key does not exist.
    """
    with settings.open() as db:
        found = records(db, settings.bucket, settings.backend)
        missing = 0
        # One after the other: a value may be large.
        for key in keys:
            with refusals():
                [text] = found.read_texts([key])
            if text is None:
                missing += 1
                output.note(missing_text(settings, key))
            elif settings.json:
                output.as_json({"key": key, "value": output.value(text)})
            elif output.is_terminal():
                _show(key if len(keys) > 1 else None, text)
            else:
                output.line(text)
    return Code.NOT_FOUND if missing else Code.DONE


def missing_text(settings: Settings, key: str) -> str:
    """Says that there is no such record, and where it was looked for."""
    return f"{json.dumps(key, ensure_ascii=False)} does not exist in {settings.place}"


def _show(key: str | None, text: str) -> None:
    """For a person."""
    from rich.highlighter import JSONHighlighter
    from rich.text import Text

    console = output.console()
    value: Any = output.value(text)
    if key is not None:
        output.draw(console, Text(output.printable(key), style="bold"))
    if not isinstance(value, dict):
        output.line(output.readable(text))
        return
    # Escaped after it is laid out: in JSON that is the same string.
    laid_out = output.readable(json.dumps(value, indent=2, ensure_ascii=False))
    if len(laid_out) <= HIGHLIGHTED:
        output.draw(console, JSONHighlighter()(laid_out))
    else:
        output.line(laid_out)

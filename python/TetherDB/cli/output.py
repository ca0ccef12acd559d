"""What is printed: for a person at a terminal, for a pipe, for a machine."""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


def prepare() -> None:
    """Makes the streams take any text: what is stored is UTF-8, whatever the terminal's language is."""
    for stream in (sys.stdout, sys.stderr):
        # They are None, or have no encoding, where the program was started without them.
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is None:
            continue
        if stream.isatty():
            reconfigure(errors="backslashreplace")
        else:
            reconfigure(encoding="utf-8", errors="surrogateescape")


def is_terminal() -> bool:
    """Whether a person reads what is printed."""
    return sys.stdout is not None and sys.stdout.isatty()


def line(text: str = "") -> None:
    """One line of result."""
    sys.stdout.write(text + "\n")


def as_json(value: Any) -> None:
    """One line of JSON, for machines."""
    line(json.dumps(value, ensure_ascii=False))


def note(text: str) -> None:
    """A remark for a person, which is no result."""
    if sys.stderr is not None:
        sys.stderr.write(f"tetherdb: {text}\n")
        sys.stderr.flush()


def printable(text: str) -> str:
    """A key or a text on one line: what would move the cursor, ring or colour is escaped."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else _escaped(char) for char in text)


def _escaped(char: str) -> str:
    return {"\n": "\\n", "\r": "\\r", "\t": "\\t"}.get(char, f"\\u{ord(char):04x}")


def finish() -> None:
    """Everything is out when this returns; raises BrokenPipeError where nobody reads any more."""
    if sys.stdout is not None:
        sys.stdout.flush()


def abandon() -> None:
    """Nobody reads any more: what is left must not be tried again when the interpreter ends."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Rows in columns: drawn at a terminal, separated by tabs in a pipe."""
    if not is_terminal():
        line("\t".join(columns))
        for row in rows:
            line("\t".join(printable(cell) for cell in row))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    drawn = Table(*columns, header_style="bold", box=None, pad_edge=False)
    for row in rows:
        # As Text: a key may look like rich's markup.
        drawn.add_row(*(Text(printable(cell)) for cell in row))
    Console().print(drawn)

"""What is printed: for a person at a terminal, for a pipe, for a machine."""

from __future__ import annotations

import contextlib
import json
import os
import re
import sys
from typing import TYPE_CHECKING, Any

from TetherDB.cli.failing import Code, Stop

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Sequence

    from rich.console import Console, RenderableType

# What moves the cursor, rings, colours, begins a line or turns the direction of writing; and what is no text.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
# The same without the ends of lines and tabs, for texts of several lines.
_UNSEEN = re.compile(r"(?![\n\t])" + _CONTROL.pattern)


def prepare() -> None:
    """Makes the streams take any text: what is stored is UTF-8, whatever the terminal's language is."""
    for number in range(3):
        # Else the first file or connection that is opened gets the number, and is taken for the stream.
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    for stream in (sys.stdout, sys.stderr):
        # They are None, or have no encoding, where the program was started without them.
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is None:
            continue
        if stream.isatty():
            reconfigure(errors="backslashreplace")
        else:
            reconfigure(encoding="utf-8", errors="surrogateescape", newline="\n")


def is_terminal() -> bool:
    """Whether a person reads what is printed."""
    return sys.stdout is not None and sys.stdout.isatty()


def is_asked() -> bool:
    """Whether somebody is there who can answer a question."""
    return all(stream is not None and stream.isatty() for stream in (sys.stdin, sys.stderr))


def line(text: str = "") -> None:
    """One line of result."""
    with _writing():
        sys.stdout.write(text + "\n")


def as_json(value: Any) -> None:
    """One line of JSON, for machines."""
    is_unicode = "utf" in (getattr(sys.stdout, "encoding", None) or "").lower()
    text = json.dumps(value, ensure_ascii=not is_unicode)
    # What is left of control characters ends a line for some; escaped it is the same JSON.
    line(printable(text))


def value(text: str) -> Any:
    """What reading a stored text gives: a dict if it is a JSON object, else the text."""
    if not text.lstrip(" \t\n\r").startswith("{"):
        return text
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def note(text: str) -> None:
    """A remark for a person, which is no result."""
    if sys.stderr is not None:
        # Where it cannot be written, there is nobody to tell.
        with contextlib.suppress(OSError):
            sys.stderr.write(f"tetherdb: {printable(text)}\n")
            sys.stderr.flush()


def end_line() -> None:
    """Ends the line at a terminal in which a key such as Ctrl-C was pressed."""
    if sys.stderr is not None and sys.stderr.isatty():
        with contextlib.suppress(OSError):
            sys.stderr.write("\n")


def trace(lines: Iterable[str]) -> None:
    """Where an error comes from."""
    if sys.stderr is not None:
        with contextlib.suppress(OSError):
            sys.stderr.write(readable("".join(lines)))


def printable(text: str) -> str:
    """A key or a text on one line: what would move the cursor, ring or colour is escaped."""
    return _CONTROL.sub(_escape, text)


def readable(text: str) -> str:
    """A text of several lines at a terminal."""
    return _UNSEEN.sub(_escape, text)


def _escape(found: re.Match[str]) -> str:
    char = found[0]
    return {"\n": "\\n", "\r": "\\r", "\t": "\\t"}.get(char, f"\\u{ord(char):04x}")


def finish() -> None:
    """Everything is out when this returns; raises BrokenPipeError where nobody reads any more."""
    if sys.stdout is not None:
        with _writing():
            sys.stdout.flush()


def finish_or_abandon() -> None:
    """Everything is out when this returns, if it can be written."""
    try:
        finish()
    except (OSError, Stop):
        abandon()


def abandon() -> None:
    """What is left for stdout is not tried again, not even when the interpreter ends."""
    if sys.stdout is not None:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


@contextlib.contextmanager
def _writing() -> Generator[None]:
    if sys.stdout is None:
        raise Stop("the result cannot be written: standard output is closed", Code.FAILED)
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        text = f"the result cannot be written: {error.strerror or error}"
        raise Stop(text, Code.FAILED) from error


def console() -> Console:
    """rich, for a terminal. It is imported here, since most commands in a pipe do without."""
    from rich.console import Console

    return Console(highlight=False, emoji=False, markup=False)


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Rows in columns: drawn at a terminal, separated by tabs in a pipe."""
    if not is_terminal():
        line("\t".join(columns))
        for row in rows:
            line("\t".join(printable(cell) for cell in row))
        return
    from rich.table import Table
    from rich.text import Text

    drawn = Table(*columns, header_style="bold", box=None, pad_edge=False)
    for row in rows:
        # As Text: a key may look like rich's markup.
        drawn.add_row(*(Text(printable(cell)) for cell in row))
    draw(console(), drawn, soft_wrap=False)


def draw(on: Console, what: RenderableType, *, soft_wrap: bool = True) -> None:
    """Draws at a terminal, which breaks long lines itself unless told otherwise."""
    with _writing():
        on.print(what, soft_wrap=soft_wrap)

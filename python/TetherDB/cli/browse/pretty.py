"""What is stored, made readable: JSON indented, everything on the screen harmless."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from TetherDB.cli.output import printable

# Characters that are shown of a value.
MOST_SHOWN = 50_000

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\],:]|[^\s{}\[\],:"]+')


@dataclass(frozen=True)
class Shown:
    """A value as it is shown."""

    text: str
    is_json: bool
    # Characters that are not shown, about so many.
    left_out: int


def is_object(text: str) -> bool:
    """Whether a stored text is a JSON object, which reading gives as a dict."""
    if not text.lstrip(" \t\r\n").startswith("{"):
        return False
    try:
        return isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        return False


def show(text: str) -> Shown:
    """A stored text for the screen, cut where it is long."""
    if is_object(text):
        return Shown(*indented(text, MOST_SHOWN))
    cut = text[:MOST_SHOWN]
    lines = "\n".join(printable(line.expandtabs(4)) for line in cut.split("\n"))
    return Shown(lines, is_json=False, left_out=len(text) - len(cut))


def indented(text: str, most: int | None = None) -> tuple[str, bool, int]:
    """A JSON text with line ends and indentation, numbers spelled as they are; at most so many characters.

    Gives it, True for JSON, and how many characters of the original are left out.
    """
    pieces: list[str] = []
    size = depth = 0
    previous = ""
    for found in _TOKEN.finditer(text):
        token = found[0]
        if token in "}]":
            depth -= 1
            piece = token if previous in ("{", "[") else _line(depth) + token
        else:
            piece = _line(depth) if previous in ("{", "[") else ""
            piece += _readable(token) if token[0] == '"' else token
            if token in "{[":
                depth += 1
            elif token == ",":
                piece += _line(depth)
            elif token == ":":
                piece += " "
        pieces.append(piece)
        size += len(piece)
        previous = token
        if most is not None and size > most:
            return "".join(pieces)[:most], True, len(text) - found.end()
    return "".join(pieces), True, 0


def _line(depth: int) -> str:
    return "\n" + "  " * depth


def _readable(token: str) -> str:
    r"""A JSON string without needless escapes: "Z\u00fcrich" is read more easily in letters."""
    try:
        plain = json.dumps(json.loads(token, strict=False), ensure_ascii=False)
    except ValueError:
        return printable(token)
    if plain.isprintable():
        return plain
    return "".join(char if char.isprintable() else json.dumps(char)[1:-1] for char in plain)


def size_of(text: str) -> str:
    """How large a text is in the store, in bytes of UTF-8."""
    size = len(text.encode())
    exact = f"{size:,} byte{'' if size == 1 else 's'}"
    for unit in ("KiB", "MiB", "GiB"):
        if size >= 1024**3 and unit != "GiB":
            continue
        scale = {"KiB": 1024, "MiB": 1024**2, "GiB": 1024**3}[unit]
        if scale <= size < scale * 1024:
            return f"{size / scale:.1f} {unit} ({exact})"
    return exact

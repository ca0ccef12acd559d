"""One record: reading it as it is stored, and changing it without running over others."""

from __future__ import annotations

import difflib
import json
from typing import TYPE_CHECKING, Any, cast

from TetherDB._tetherdb import records
from TetherDB.cli.browse.pretty import indented, is_object
from TetherDB.cli.output import printable

if TYPE_CHECKING:
    from TetherDB import DB

# Lines that a question shows of what changes.
MOST_LINES = 200
# Characters of a text that may be edited, or compared.
MOST_EDITED = 200_000


class WrongText(ValueError):
    """What was typed is no value; the text says where."""


def read(db: DB, backend: str, key: str) -> str | None:
    """The text stored under a key, None if there is none."""
    return records(db, "", backend).read_texts([key])[0]


def write(db: DB, backend: str, key: str, value: str | dict[str, Any]) -> None:
    """Stores a value, whatever was there."""
    db.write_message(key, value, "", backend)


def replace(db: DB, backend: str, key: str, value: str | dict[str, Any]) -> bool:
    """Stores a value where the key still exists; says whether it did."""
    return db.update_message(key, value, "", backend)


def delete(db: DB, backend: str, key: str) -> bool:
    """Deletes a key; says whether it existed."""
    return db.delete_message(key, "", backend)


def editable(text: str) -> tuple[str, bool]:
    """A stored text to be edited, and whether it is JSON. WrongText where an editor would change it."""
    if len(text) > MOST_EDITED:
        raise WrongText("This value is too large to be edited here. Use: tetherdb get, and tetherdb put")
    if is_object(text):
        return indented(text)[0], True
    if any(not char.isprintable() and char not in "\n\t" for char in text):
        raise WrongText(
            "This text has characters that an editor would change, such as control characters. "
            "Use: tetherdb get, and tetherdb put"
        )
    return text, False


def parse(text: str, *, as_json: bool) -> str | dict[str, Any]:
    """What was typed as a value."""
    if not as_json:
        return text
    try:
        value: Any = json.loads(text)
    except json.JSONDecodeError as wrong:
        raise WrongText(f"No JSON: {wrong.msg}, line {wrong.lineno}, column {wrong.colno}.") from None
    except (ValueError, RecursionError) as wrong:
        raise WrongText(f"No JSON that can be stored: {wrong}.") from None
    if not isinstance(value, dict):
        raise WrongText("Only a JSON object { } is stored as JSON. Turn JSON off to store this as text.")
    return cast("dict[str, Any]", value)


def stored(value: str | dict[str, Any]) -> str:
    """The text that a value is stored as."""
    return value if isinstance(value, str) else json.dumps(value)


def lines_of(text: str) -> list[str]:
    """A stored text as lines for the screen."""
    if is_object(text):
        text = indented(text)[0]
    return [printable(line) for line in text.split("\n")]


def difference(old: str | None, new: str | None) -> list[str]:
    """What is removed (-), added (+) and kept between two stored texts."""
    if len(old or "") + len(new or "") > 2 * MOST_EDITED:
        return ["too large to compare"]
    before = [] if old is None else lines_of(old)
    after = [] if new is None else lines_of(new)
    # The first two lines name files.
    found = list(difflib.unified_diff(before, after, n=2, lineterm=""))[2:]
    found = [line for line in found if not line.startswith("@@")]
    if not found and old != new:
        return ["only blanks, or the spelling of the same values"]
    if len(found) > MOST_LINES:
        found = [*found[:MOST_LINES], f"… {len(found) - MOST_LINES} more lines"]
    return found

"""The messages: keys in ascending order, and dicts that ``json.dumps`` turns into texts of a known size."""

from __future__ import annotations

from functools import cache
from json import dumps
from typing import Any

from contest import SMALL

FIRST_ID = 10_000_000
# A key and a small value, as text, in bytes.
PAYLOAD = 13 + SMALL
KB = 1 << 10
# So many records in a row differ in all they hold, beyond that in their heads alone.
VARIANTS = 16


def key(at: int) -> str:
    return f"user:{FIRST_ID + at}"


def record(at: int, size: int = SMALL) -> dict[str, Any]:
    """A dict that ``json.dumps`` turns into exactly ``size`` bytes (for the first million)."""
    if size != SMALL:
        return _large_record(at, size)
    number = FIRST_ID + at
    return {
        "id": number,
        "name": f"user {number}",
        "mail": f"{at:06}@example.org",
        "active": True,
        "mark": at % 10 + 0.5,
    }


def _large_record(at: int, size: int) -> dict[str, Any]:
    number = FIRST_ID + at
    record = {"id": number, "name": f"user {number}", "readings": [], "note": ""}
    record["readings"], record["note"] = _readings(at % VARIANTS, size - len(dumps(record)))
    return record


@cache
def _readings(variant: int, size: int) -> tuple[list[Any], str]:
    """What fills so many bytes: lists of numbers and short texts, and a note for the rest."""
    rows: list[Any] = []
    while True:
        at = len(rows)
        number = variant * 7919 + at * 104_729
        values = [number % 4_000 / 100, number % 90_000 / 1000 - 20, number / 997]
        row = [at, f"sensor {number % 97}", values, number % 3 == 0]
        # Two bytes between it and the one before.
        left = size - len(dumps(row)) - (2 if rows else 0)
        if left < 0:
            return rows, "." * size
        rows.append(row)
        size = left


def items(count: int, size: int = SMALL) -> list[tuple[str, dict[str, Any]]]:
    return [(key(at), record(at, size)) for at in range(count)]


def scattered(count: int, rows: int, start: int = 0) -> list[int]:
    """Places in a store of so many rows, in an order that has nothing to do with theirs.

    From another start, they are others.
    """
    return [at * 61_803 % rows for at in range(start, start + count)]


def scattered_keys(count: int, rows: int) -> list[str]:
    return [key(at) for at in scattered(count, rows)]

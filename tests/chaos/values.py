"""Values that tell what they are: a stored text is exactly that of one version of one key, or torn."""

from __future__ import annotations

import zlib

# The last letter of a key says how large its values are: at most so many bytes, each size being rarer by ten.
LARGEST = {"s": 60, "m": 5_000, "l": 100_000}


def content(key: str, number: int) -> str:
    """The value of this version of a key."""
    check = zlib.crc32(f"{key} {number}".encode())
    size = 10
    while size < LARGEST[key[-1]] and check // size % 10 < 3:
        size *= 10
    size = min(size + check % size, LARGEST[key[-1]])
    head = f"{number} {check:08x} "
    return head + f"{check:08x}" * (max(0, size - len(head)) // 8)


def number_of(key: str, text: object) -> int:
    """The version that a stored text is."""
    assert isinstance(text, str), f"{key} holds {text!r:.200}"
    number = int(text.partition(" ")[0])
    assert text == content(key, number), f"{key} holds what was never written: {text:.200}"
    return number

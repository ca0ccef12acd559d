"""All records of a bucket, a page at a time, in memory that does not grow with their number or size."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from TetherDB._tetherdb import Records

# Records and characters of a page. Values can be megabytes, so the first page shows how large they are.
MOST = 1000
FIRST = 16
CHARACTERS = 1_000_000


def of_keys(records: Records, start_after: str | None = None, most: int | None = None) -> Iterator[list[str]]:
    """Pages of keys, none of them empty. most: how many are wanted altogether."""
    left = most
    while left is None or left > 0:
        size = MOST if left is None else min(MOST, left)
        keys, marker = records.keys(size, start_after)
        if keys:
            yield keys
        if marker is None:
            return
        start_after = marker
        if left is not None:
            left -= len(keys)


def of_texts(
    records: Records, start_after: str | None = None, most: int | None = None
) -> Iterator[list[tuple[str, str]]]:
    """Pages of keys with the texts that are stored; otherwise as `of_keys`."""
    left, size = most, FIRST
    while left is None or left > 0:
        page, marker = records.texts(size if left is None else min(size, left), start_after)
        if page:
            yield page
            length = sum(len(text) for _, text in page) // len(page)
            size = max(1, min(MOST, 4 * size, CHARACTERS // (length + 1)))
        if marker is None:
            return
        start_after = marker
        if left is not None:
            left -= len(page)

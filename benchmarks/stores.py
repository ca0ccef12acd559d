"""The stores that are filled before the clock starts."""

from __future__ import annotations

import sqlite3
from json import dumps
from typing import TYPE_CHECKING, Any

import peers
import peers_stores
from contest import Store, expect
from records import FIRST_ID, KB, items, key, record

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

# Makes the rows within SQLite, in the order of their keys: ten million in half a minute.
FILL = f"""
WITH RECURSIVE place(at) AS (VALUES (0) UNION ALL SELECT at + 1 FROM place WHERE at + 1 < ?)
INSERT INTO Dict (key, value) SELECT
    CAST(printf('user:%d', {FIRST_ID} + at) AS BLOB),
    CAST(printf(
        '{{"id": %d, "name": "user %d", "mail": "%06d@example.org", "active": true, "mark": %d.5}}',
        {FIRST_ID} + at, {FIRST_ID} + at, at, at % 10
    ) AS BLOB)
FROM place
"""


def fill_all(folder: Path, rows: int, size: int) -> None:
    """The same rows in the format of everybody who reads; TetherDB's is that of ``dbm.sqlite3``."""
    folder.mkdir()
    makers: tuple[Callable[[Path], Any], ...] = (
        peers.Sqlite3,
        peers.Lmdb,
        peers_stores.Rocks,
        peers_stores.DiskCache,
        peers_stores.SqliteDict.for_many,
    )
    for make in makers:
        peer = make(folder)
        peer.write_all(items(rows, size))
        peer.close()


def fill_file(folder: Path, rows: int, size: int) -> None:
    """The file of TetherDB, ``dbm.sqlite3`` and ``sqlite3``, with small values."""
    folder.mkdir()
    cx = sqlite3.connect(folder / "store", isolation_level=None)
    # Whatever is lost when the machine fails now, is only made anew.
    cx.execute("PRAGMA journal_mode = OFF")
    cx.execute("PRAGMA synchronous = OFF")
    cx.execute(peers.BUILD_TABLE)
    cx.execute(FILL, (rows,))
    cx.execute("PRAGMA journal_mode = WAL")
    (text,) = cx.execute("SELECT value FROM Dict WHERE key = ?", (key(rows - 1).encode(),)).fetchone()
    cx.close()
    expect(text.decode() == dumps(record(rows - 1, size)), "the last row is not as it should be")


READ = Store("read", 100_000, 20_000, fill_all)
READ_1_KB = Store("read-1kb", 20_000, 4_000, fill_all, KB)
READ_64_KB = Store("read-64kb", 500, 100, fill_all, 64 * KB)
SMALL_FILE = Store("small", 10_000, 10_000, fill_file)
MIDDLE_FILE = Store("middle", 1_000_000, 1_000_000, fill_file)
LARGE_FILE = Store("large", 10_000_000, 1_000_000, fill_file)

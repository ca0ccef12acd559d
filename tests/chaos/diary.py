"""A local file that keeps a diary of its writes, so that their order shows, and refuses some keys."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from contextlib import closing
from typing import TYPE_CHECKING

from process.scripts import prepare

if TYPE_CHECKING:
    from pathlib import Path

    from .model import Model

# Versions of one process, in the order of processes.
STRIDE = 1_000_000
POISON = "poisons"
# A version stands at the beginning of its value.
VERSION = "CAST(substr(CAST(new.value AS TEXT), 1, 30) AS INTEGER)"
NOTE = f"INSERT INTO Diary (key, version) VALUES (new.key, {VERSION})"


def make(path: Path) -> None:
    """A new file."""
    prepare(path)
    with closing(sqlite3.connect(path, isolation_level=None)) as sqlite:
        sqlite.execute("CREATE TABLE Diary (at INTEGER PRIMARY KEY, key BLOB, version INTEGER)")
        sqlite.execute(f"CREATE TRIGGER written AFTER INSERT ON Dict BEGIN {NOTE}; END")
        sqlite.execute(f"CREATE TRIGGER changed AFTER UPDATE ON Dict BEGIN {NOTE}; END")
        sqlite.execute(
            f"CREATE TRIGGER refuse BEFORE INSERT ON Dict WHEN CAST(new.key AS TEXT) LIKE '%{POISON}' "
            "BEGIN SELECT RAISE(ABORT, 'refused by the trigger'); END"
        )


def read(path: Path) -> dict[str, list[int]]:
    """The versions that each key has had since the last look, in that order."""
    found: defaultdict[str, list[int]] = defaultdict(list)
    with closing(sqlite3.connect(path, timeout=20, isolation_level=None)) as sqlite:
        for key, version in sqlite.execute("SELECT key, version FROM Diary ORDER BY at"):
            found[key.decode()].append(version)
        sqlite.execute("DELETE FROM Diary")
    return dict(found)


def check(diary: dict[str, list[int]], model: Model) -> None:
    """Nothing older came over something newer that was done.

    What a process had sent and not noted when it was killed, the next one sends again: the same messages, in
    their order, those among them that it had found itself. So a version may come after a newer one that was
    queued.
    """
    for key, versions in diary.items():
        direct = {op.number for op in model.history.get(key, []) if op.fate == "done" and not op.deletes}
        least = 0
        for version in versions:
            assert version >= least, f"{key}: {version} came after {least}: {versions[-20:]}"
            least = max(least, version if version in direct else 0)

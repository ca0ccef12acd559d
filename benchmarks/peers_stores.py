"""More stores that are compared, with the same methods as those of ``peers.py``.

All of them would pickle a dict. Here they get and give back the text of ``json.dumps``, so that all store the
same. Each syncs the disk for a commit; where that is not its default, its comment says so.
"""

from __future__ import annotations

import sqlite3
from importlib.metadata import version
from json import dumps, loads
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from peers import Items


class Rocks:
    """``rocksdict``: RocksDB, by default without a sync; ``WriteBatch`` for many, a list of keys to read."""

    def __init__(self, folder: Path) -> None:
        import rocksdict

        self.note = f"rocksdict {version('rocksdict')}"
        self.new_batch = rocksdict.WriteBatch
        self.db = db = rocksdict.Rdict(str(folder / "rocksdict"))
        options = rocksdict.WriteOptions()
        options.sync = True
        db.set_write_options(options)
        self.options = options
        self.close = db.close

        def write(key: str, value: dict[str, Any]) -> None:
            db[key] = dumps(value)

        def read(key: str) -> dict[str, Any]:
            return loads(db[key])

        self.write = write
        self.read = read

    def write_all(self, items: Items) -> None:
        batch = self.new_batch()
        for key, value in items:
            batch[key] = dumps(value)
        self.db.write(batch, self.options)

    def read_all(self, keys: list[str]) -> dict[str, Any]:
        return {key: loads(text) for key, text in zip(keys, self.db[keys], strict=True)}

    def iterate(self) -> Iterator[tuple[str, dict[str, Any]]]:
        for key, text in self.db.items():
            yield key, loads(text)


class DiskCache:
    """``diskcache``: its ``Index``, which evicts nothing; SQLite in WAL mode with ``synchronous=NORMAL``.

    Values from 32 KiB on would go to files of their own, never synced; here they stay in the database.
    """

    def __init__(self, folder: Path) -> None:
        from diskcache import Cache, Index

        self.note = f"diskcache {version('diskcache')}"
        directory = str(folder / "diskcache")
        full = 2
        cache = Cache(
            directory,
            eviction_policy="none",
            sqlite_synchronous=full,
            disk_min_file_size=1 << 30,
            size_limit=1 << 40,
        )
        self.index = index = Index.fromcache(cache)
        self.close = cache.close

        def write(key: str, value: dict[str, Any]) -> None:
            index[key] = dumps(value)

        def read(key: str) -> dict[str, Any]:
            return loads(index[key])

        self.write = write
        self.read = read

    def write_all(self, items: Items) -> None:
        with self.index.transact():
            for key, value in items:
                self.index[key] = dumps(value)

    def read_all(self, keys: Iterable[str]) -> dict[str, Any]:
        with self.index.transact():
            return {key: loads(self.index[key]) for key in keys}

    def iterate(self) -> Iterator[tuple[str, dict[str, Any]]]:
        for key, text in self.index.items():
            yield key, loads(text)


class SqliteDict:
    """``sqlitedict`` with ``journal_mode="WAL"``: a commit for each write, or one for all.

    It always sets ``synchronous=OFF``, so it never syncs the disk, and has no option for that. Its connection
    is told otherwise here, so that it does what the others do. ``outer_stack=False`` is its own advice
    for speed.
    """

    def __init__(self, folder: Path, *, autocommit: bool = True) -> None:
        import sqlitedict

        self.note = f"sqlitedict {sqlitedict.__version__}, SQLite {sqlite3.sqlite_version}"
        self.db = db = sqlitedict.SqliteDict(
            str(folder / "sqlitedict"),
            autocommit=autocommit,
            journal_mode="WAL",
            encode=dumps,
            decode=loads,
            outer_stack=False,
        )
        db.conn.select_one("PRAGMA synchronous = FULL")
        self.write = db.__setitem__
        self.read = db.__getitem__
        self.iterate = db.items
        self.close = db.close

    @classmethod
    def for_many(cls, folder: Path) -> SqliteDict:
        return cls(folder, autocommit=False)

    def write_all(self, items: Items) -> None:
        self.db.update(items)
        self.db.commit()

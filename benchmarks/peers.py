"""The stores that are compared, one class each, used as their own documentation advises: TetherDB, those of
the standard library, and lmdb. More of them are in ``peers_stores.py``, queues in ``peers_queues.py``.

All have the same few methods, as far as a benchmark asks for them:
``write(key, value)`` (durable when it returns), ``write_all(items)``, ``read(key)``, ``read_all(keys)``,
``iterate()`` and ``close()``. Values are dicts; who stores only bytes gets them from ``json.dumps``.
"""

from __future__ import annotations

import dbm
import sqlite3
import sys
from contextlib import closing
from itertools import islice
from json import dumps, loads
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    Items = Iterable[tuple[str, dict[str, Any]]]

BUILD_TABLE = "CREATE TABLE IF NOT EXISTS Dict (key BLOB UNIQUE NOT NULL, value BLOB NOT NULL)"
REPLACE = "REPLACE INTO Dict (key, value) VALUES (?, ?)"


class Tether:
    """TetherDB at its defaults, except for what is given here."""

    def __init__(
        self, folder: Path, *, busy_timeout: float = 5.0, logging: str = "info", **queue_batch: Any
    ) -> None:
        from TetherDB import DB, __version__

        self.note = f"TetherDB {__version__}"
        local = {"filepath": str(folder / "store"), "busy_timeout": busy_timeout}
        self.db = DB({"local": local, "logging": logging, "queue_batch": queue_batch})
        self.write = self.db.write_message
        self.write_all = self.db.write_messages
        self.enqueue = self.db.write_queue_message
        self.flush = self.db.flush
        self.read = self.db.read_message
        self.read_all = self.db.read_messages
        self.iterate = self.db.iter_messages
        self.close = self.db.stop


if sys.version_info >= (3, 13):
    from dbm.sqlite3 import open as open_dbm
else:

    class open_dbm:  # noqa: N801 - stands for a function
        """What ``dbm.sqlite3`` of Python 3.13 does, with its own statements."""

        def __init__(self, path: str, flag: str) -> None:
            uri = f"{Path(path).absolute().as_uri()}?mode={'ro' if flag == 'r' else 'rwc'}"
            self._cx = sqlite3.connect(uri, isolation_level=None, uri=True)
            self._cx.execute("PRAGMA journal_mode = wal")
            if flag == "c":
                with self._execute(BUILD_TABLE):
                    pass

        def _execute(self, *arguments: Any) -> closing[sqlite3.Cursor]:
            return closing(self._cx.execute(*arguments))

        def __getitem__(self, key: str) -> bytes:
            with self._execute("SELECT value FROM Dict WHERE key = CAST(? AS BLOB)", (key,)) as cursor:
                row = cursor.fetchone()
            if not row:
                raise KeyError(key)
            return row[0]

        def __setitem__(self, key: str, value: str) -> None:
            statement = "REPLACE INTO Dict (key, value) VALUES (CAST(? AS BLOB), CAST(? AS BLOB))"
            self._execute(statement, (key, value))

        def __enter__(self) -> open_dbm:
            return self

        def __exit__(self, *_: object) -> None:
            self.close()

        def close(self) -> None:
            self._cx.close()


class DbmHeldOpen:
    """``dbm.sqlite3``, opened once."""

    def __init__(self, folder: Path, flag: str = "c") -> None:
        self.note = f"SQLite {sqlite3.sqlite_version}"
        self.db = db = open_dbm(str(folder / "store"), flag)
        self.close = db.close

        def write(key: str, value: dict[str, Any]) -> None:
            db[key] = dumps(value)

        def read(key: str) -> dict[str, Any]:
            return loads(db[key].decode())

        self.write = write
        self.read = read


class DbmPerWrite:
    """``dbm.sqlite3``, opened for each write, as ``dbm``'s own examples do."""

    def __init__(self, folder: Path) -> None:
        self.note = f"SQLite {sqlite3.sqlite_version}"
        self.path = str(folder / "store")

    def write(self, key: str, value: dict[str, Any]) -> None:
        with open_dbm(self.path, "c") as db:
            db[key] = dumps(value)

    def close(self) -> None:
        pass


class DefaultDbmPerWrite(DbmPerWrite):
    """``dbm.open`` for each write, in whichever format this Python picks."""

    def write(self, key: str, value: dict[str, Any]) -> None:
        with dbm.open(self.path, "c") as db:
            db[key] = dumps(value)

    def close(self) -> None:
        self.note = f"format: {dbm.whichdb(self.path)}"


class Sqlite3:
    """The standard library's ``sqlite3``: WAL, ``synchronous=FULL``, ``executemany`` in one transaction."""

    def __init__(self, folder: Path) -> None:
        self.cx = cx = sqlite3.connect(folder / "store", check_same_thread=False)
        cx.execute("PRAGMA journal_mode = wal")
        cx.execute("PRAGMA synchronous = FULL")
        cx.execute(BUILD_TABLE)
        self.close = cx.close
        self.note = f"SQLite {sqlite3.sqlite_version}"

    def write_all(self, items: Items) -> None:
        with self.cx:
            self.cx.executemany(REPLACE, ((key.encode(), dumps(value).encode()) for key, value in items))

    def iterate(self) -> Iterator[tuple[str, dict[str, Any]]]:
        for key, value in self.cx.execute("SELECT key, value FROM Dict"):
            yield key.decode(), loads(value.decode())


class Lmdb:
    """``lmdb``: ``sync=True`` (its default: a commit is on disk), ``putmulti``, ``getmulti``."""

    def __init__(self, folder: Path) -> None:
        import lmdb

        self.note = f"lmdb {lmdb.__version__}"
        # "The value should be chosen as large as possible": a map costs address space alone.
        self.env = lmdb.open(str(folder / "lmdb"), map_size=4 << 30)
        self.close = self.env.close

    def write(self, key: str, value: dict[str, Any]) -> None:
        with self.env.begin(write=True) as transaction:
            transaction.put(key.encode(), dumps(value).encode())

    def write_all(self, items: Items, most: int | None = None) -> None:
        """In one transaction, or in transactions of ``most`` puts."""
        pairs = ((key.encode(), dumps(value).encode()) for key, value in items)
        written = True
        while written:
            with self.env.begin(write=True) as transaction, transaction.cursor() as cursor:
                written, _ = cursor.putmulti(islice(pairs, most))
            if most is None:
                break

    def read(self, key: str) -> dict[str, Any]:
        with self.env.begin() as transaction:
            return loads(transaction.get(key.encode()).decode())

    def read_all(self, keys: Iterable[str]) -> dict[str, Any]:
        with self.env.begin() as transaction, transaction.cursor() as cursor:
            found = cursor.getmulti([key.encode() for key in keys])
            return {key.decode(): loads(value.decode()) for key, value in found}

    def iterate(self) -> Iterator[tuple[str, dict[str, Any]]]:
        with self.env.begin() as transaction, transaction.cursor() as cursor:
            for key, value in cursor:
                yield key.decode(), loads(value.decode())

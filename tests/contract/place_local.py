"""A file, which other processes read, write, lock and guard by triggers."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from TetherDB import BackendError

from .place import PATIENT, SMALL, Place

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from typing import Self

# To the letter what dbm.sqlite3 of CPython 3.13 creates.
DBM_TABLE = "CREATE TABLE IF NOT EXISTS Dict (\n    key BLOB UNIQUE NOT NULL,\n    value BLOB NOT NULL\n  )"
NOTE = "INSERT INTO History (key, value) VALUES"


def blob(text: str | bytes) -> str:
    """The literal of SQL."""
    data = text.encode() if isinstance(text, str) else text
    return f"x'{data.hex()}'"


class LocalPlace(Place):
    """See the module."""

    name = "local"
    refusal = BackendError
    refusal_says = "refused by the trigger"

    def __init__(
        self,
        path: Path,
        sql: Callable[..., list[tuple[Any, ...]]],
        locked: Callable[[], AbstractContextManager[None]],
    ) -> None:
        # No commit waits for the disk.
        super().__init__({"filepath": str(path), "synchronous": "off"})
        self._path = path
        self._sql = sql
        self._locked = locked

    @classmethod
    def of_test(cls, request: pytest.FixtureRequest) -> Self:
        """A file that is not there yet."""
        return cls(*(request.getfixturevalue(name) for name in ("path", "sql", "locked")))

    @property
    def opening_line(self) -> str:
        return f"Local backend initialized at: {self._path}"

    def close(self) -> None:
        pass

    def everything(self) -> dict[str, str]:
        if not self._path.exists():
            return {}
        rows = self._sql("SELECT key, value FROM Dict")
        return {key.decode(): value.decode() for key, value in rows}

    def put(self, key: str, text: str) -> None:
        self._put(key, text)

    def put_unreadable(self, key: str, what: Any) -> None:
        self._put(key, what)

    def put_foreign_key(self) -> None:
        self._put(b"\xff", "v")

    def _put(self, key: str | bytes, text: str | bytes) -> None:
        self._sql(DBM_TABLE, f"REPLACE INTO Dict (key, value) VALUES ({blob(key)}, {blob(text)})")

    def delete(self, key: str) -> None:
        self._sql(f"DELETE FROM Dict WHERE key = {blob(key)}")

    def keep_history(self) -> None:
        self._sql(
            "PRAGMA journal_mode = wal",
            DBM_TABLE,
            "CREATE TABLE History (at INTEGER PRIMARY KEY, key, value)",
            f"CREATE TRIGGER written AFTER INSERT ON Dict BEGIN {NOTE} (new.key, new.value); END",
            f"CREATE TRIGGER changed AFTER UPDATE ON Dict BEGIN {NOTE} (new.key, new.value); END",
            f"CREATE TRIGGER deleted AFTER DELETE ON Dict BEGIN {NOTE} (old.key, NULL); END",
        )

    def history(self, key: str) -> list[str | None]:
        rows = self._sql(f"SELECT value FROM History WHERE key = {blob(key)} ORDER BY at")
        return [None if text is None else text.decode() for (text,) in rows]

    def watch(self) -> None:
        if sys.platform != "linux":
            pytest.skip("looks into /proc")

    def held(self) -> int:
        found: list[str] = []
        for descriptor in Path("/proc/self/fd").iterdir():
            with contextlib.suppress(OSError):
                found.append(str(descriptor.readlink()))
        return sum(name.startswith(str(self._path)) for name in found)

    def refuse_large(self) -> None:
        self._sql(
            "PRAGMA journal_mode = wal",
            DBM_TABLE,
            *(
                f"CREATE TRIGGER refuse_{event} BEFORE {event} ON Dict WHEN length(new.value) > {SMALL} "
                "BEGIN SELECT RAISE(ABORT, 'refused by the trigger'); END"
                for event in ("insert", "update")
            ),
        )

    def take_large(self) -> None:
        self._sql("DROP TRIGGER refuse_insert", "DROP TRIGGER refuse_update")

    def break_down(self) -> None:
        self._path.mkdir()

    def prepare_outage(self) -> None:
        self._sql("PRAGMA journal_mode = wal", DBM_TABLE)
        # Who waits for the lock when it is let go gets it, after all.
        self.section["busy_timeout"] = 0

    def outage(self) -> AbstractContextManager[None]:
        return self._locked()

    def prepare_stall(self) -> None:
        # Without a write-ahead log a writer locks readers out.
        self._sql("PRAGMA journal_mode = delete", DBM_TABLE)
        self.section["busy_timeout"] = PATIENT

    def stall(self) -> AbstractContextManager[None]:
        return self._locked()

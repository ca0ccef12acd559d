"""Fixtures of every part of the suite: fresh handles, other programs on the same file, and patience."""

from __future__ import annotations

import ast
import contextlib
import logging
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

from TetherDB import DB, TetherDBError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

pytest_plugins = ["server_fixtures"]

# Another program is another process: SQLite's locks are per process, and closing any descriptor of a file
# would drop those that the handle under test holds.
RUN_SQL = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=20)
rows = []
for statement in sys.argv[2:]:
    rows = connection.execute(statement).fetchall()
connection.close()
print(ascii(rows))
"""

HOLD_LOCK = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=20)
connection.execute("BEGIN EXCLUSIVE")
print("locked", flush=True)
sys.stdin.read()
connection.execute("ROLLBACK")
connection.close()
"""

# To the letter what dbm.sqlite3 of CPython 3.13 does.
DBM_TABLE = """CREATE TABLE IF NOT EXISTS Dict (
    key BLOB UNIQUE NOT NULL,
    value BLOB NOT NULL
  )"""


@pytest.fixture(autouse=True)
def quiet_logger() -> Iterator[None]:
    """`debug` sets up the logger for the whole process: this puts it back."""
    logger = logging.getLogger("TetherDB")
    level, handlers = logger.level, logger.handlers[:]
    yield
    logger.setLevel(level)
    logger.handlers[:] = handlers


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the local file of this test goes. Nothing is there yet."""
    return tmp_path / "store"


@pytest.fixture
def open_db(path: Path) -> Iterator[Callable[..., DB]]:
    """Opens handles on the file at `path`, and stops them at the end of the test.

    Keywords are sections or keys of the configuration, but for `on_error`. The queue is fast unless told
    otherwise, and no commit waits for the disk.
    """
    opened: list[DB] = []

    def open_one(on_error: Callable[..., object] | None = None, **config: Any) -> DB:
        config["local"] = {"filepath": str(path), "synchronous": "off", **config.get("local", {})}
        config["queue_batch"] = {"timeout": 0.02, **config.get("queue_batch", {})}
        db = DB(config, on_error=on_error)
        opened.append(db)
        return db

    yield open_one
    for db in opened:
        with contextlib.suppress(TetherDBError):
            db.stop(timeout=5)


@pytest.fixture
def sql(path: Path) -> Callable[..., list[tuple[Any, ...]]]:
    """Runs SQL statements on the file in another process; gives the rows of the last one."""

    def run(*statements: str) -> list[tuple[Any, ...]]:
        command = [sys.executable, "-I", "-c", RUN_SQL, str(path), *statements]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        rows: list[tuple[Any, ...]] = ast.literal_eval(done.stdout)
        return rows

    return run


@pytest.fixture
def stored(sql: Callable[..., list[tuple[Any, ...]]]) -> Callable[[], dict[bytes, bytes]]:
    """Reads the whole file as another program finds it."""
    return lambda: dict(sql("SELECT key, value FROM Dict"))


@pytest.fixture
def locked(path: Path) -> Callable[[], AbstractContextManager[None]]:
    """A `with` block during which another process holds the write lock of the file."""

    @contextlib.contextmanager
    def hold() -> Generator[None]:
        command = [sys.executable, "-I", "-c", HOLD_LOCK, str(path)]
        pipe = subprocess.PIPE
        with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as process:
            assert process.stdout is not None
            assert process.stderr is not None
            try:
                assert process.stdout.readline() == "locked\n", process.stderr.read()
                yield
            finally:
                # Closing its input lets it go.
                process.communicate(timeout=20)

    return hold


@pytest.fixture
def refuse_bad(sql: Callable[..., list[tuple[Any, ...]]]) -> None:
    """The file exists, and refuses for good every message with "bad" in its key or value."""
    sql(
        "PRAGMA journal_mode = wal",
        DBM_TABLE,
        "CREATE TRIGGER refuse BEFORE INSERT ON Dict "
        "WHEN CAST(new.key AS TEXT) || CAST(new.value AS TEXT) LIKE '%bad%' "
        "BEGIN SELECT RAISE(ABORT, 'refused by the trigger'); END",
    )


@pytest.fixture
def history(sql: Callable[..., list[tuple[Any, ...]]]) -> Callable[[str], list[str | None]]:
    """The file exists, and notes every row that is written, changed or deleted, in that order.

    Gives the texts that a key has had; `None` where it was deleted.
    """
    note = "INSERT INTO History (key, value) VALUES"
    sql(
        "PRAGMA journal_mode = wal",
        DBM_TABLE,
        "CREATE TABLE History (at INTEGER PRIMARY KEY, key, value)",
        f"CREATE TRIGGER written AFTER INSERT ON Dict BEGIN {note} (new.key, new.value); END",
        f"CREATE TRIGGER changed AFTER UPDATE ON Dict BEGIN {note} (new.key, new.value); END",
        f"CREATE TRIGGER deleted AFTER DELETE ON Dict BEGIN {note} (old.key, NULL); END",
    )

    def texts(key: str) -> list[str | None]:
        rows = sql(f"SELECT value FROM History WHERE key = x'{key.encode().hex()}' ORDER BY at")
        return [None if text is None else text.decode() for (text,) in rows]

    return texts


@pytest.fixture
def run_python(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs a program in another process, in an empty folder."""

    def run(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-W", "error", "-c", program, *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=tmp_path)

    return run


@pytest.fixture
def eventually() -> Callable[[Callable[[], object]], None]:
    """Waits until a condition holds, for as long as a busy machine may need."""

    def wait(condition: Callable[[], object]) -> None:
        deadline = time.monotonic() + 30
        while not condition():
            assert time.monotonic() < deadline, "it never came true"
            time.sleep(0.005)

    return wait

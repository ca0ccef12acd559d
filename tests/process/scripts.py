"""Small programs in processes of their own: how they are started, talked to, and what they leave behind."""

from __future__ import annotations

import os
import select
import signal
import sqlite3
import subprocess
import sys
import tempfile
import textwrap
import time
from collections import Counter
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from typing import Self

PROGRAMS = Path(__file__).parent / "programs"
# Whoever takes longer than this hangs, however loaded the machine is.
HANG = 60.0

# Every inline program begins with it. Ctrl-C works also where the shell that runs the tests ignores it.
PRELUDE = """\
import gc, json, logging, os, signal, sys, threading, time
signal.signal(signal.SIGINT, signal.default_int_handler)
"""

# To the letter what dbm.sqlite3 of CPython 3.13 creates.
DBM_TABLE = """CREATE TABLE IF NOT EXISTS Dict (
    key BLOB UNIQUE NOT NULL,
    value BLOB NOT NULL
  )"""


class Result(NamedTuple):
    """How a program ended, and what it said."""

    code: int
    out: str
    err: str

    def quiet(self, code: int = 0) -> str:
        """Its output, if it ended with `code` and said nothing on stderr."""
        assert (self.code, self.err) == (code, ""), f"it said {self.out!r}, and\n{self.err}"
        return self.out

    def last_words(self, exception: str, code: int = 1) -> None:
        """It ended with one traceback, that of its own uncaught exception, and said nothing else."""
        lines = self.err.splitlines()
        assert self.code == code, self
        assert lines[:1] == ["Traceback (most recent call last):"], self.err
        assert lines[-1] == exception, self.err
        assert all(line.startswith("  ") for line in lines[1:-1]), self.err


class Program:
    """A Python program that runs in `folder`: inline source, or the path of a file."""

    def __init__(self, folder: Path, source: str | Path, *arguments: str) -> None:
        script = [str(source)] if isinstance(source, Path) else ["-c", PRELUDE + textwrap.dedent(source)]
        # Python warns of fork in a process with threads; that it works here is what the tests show.
        options = ["-X", "faulthandler", "-W", "ignore:This process:DeprecationWarning"]
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115
        self._unread = b""
        self._said: list[str] = []
        self._process = subprocess.Popen(
            [sys.executable, *options, *script, *arguments],
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            start_new_session=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._stderr):
            if stream is not None:
                stream.close()

    def _read(self, deadline: float) -> bool:
        """Reads some more of its output; `False` at the end."""
        assert self._process.stdout is not None
        descriptor = self._process.stdout.fileno()
        ready, _, _ = select.select([descriptor], [], [], max(0.0, deadline - time.monotonic()))
        if not ready:
            self._hangs()
        more = os.read(descriptor, 65536)
        self._unread += more
        return bool(more)

    def _hangs(self) -> None:
        # Python shows then where each of its threads is.
        self._process.send_signal(signal.SIGABRT)
        self._process.wait(10)
        pytest.fail(f"it hangs; it said {self._said} {self._unread!r}, and stands at\n{self._errors()}")

    def _errors(self) -> str:
        self._stderr.seek(0)
        return self._stderr.read().decode(errors="replace")

    def line(self, timeout: float = HANG) -> str:
        """The next line of its output."""
        deadline = time.monotonic() + timeout
        while b"\n" not in self._unread:
            if not self._read(deadline):
                code = self._process.wait(timeout)
                pytest.fail(f"it ended with {code} after {self._said} {self._unread!r}:\n{self._errors()}")
        line, _, self._unread = self._unread.partition(b"\n")
        self._said.append(line.decode())
        return self._said[-1]

    def expect(self, word: str, timeout: float = HANG) -> str:
        """What follows `word`, which the next line of its output must begin with."""
        first, _, rest = self.line(timeout).partition(" ")
        assert first == word, f"{first} {rest}\n{self._errors()}"
        return rest

    def tell(self, line: str = "") -> None:
        """A line for its input."""
        assert self._process.stdin is not None
        self._process.stdin.write(line.encode() + b"\n")
        self._process.stdin.flush()

    def send(self, number: signal.Signals) -> None:
        """A signal, to it alone."""
        self._process.send_signal(number)

    def finish(self, timeout: float = HANG) -> Result:
        """Waits for its end."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        deadline = time.monotonic() + timeout
        while self._read(deadline):
            pass
        try:
            code = self._process.wait(max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            self._hangs()
            raise
        out = "".join(f"{line}\n" for line in self._said) + self._unread.decode()
        return Result(code, out, self._errors())


def run(folder: Path, source: str | Path, *arguments: str, timeout: float = HANG) -> Result:
    """Runs a program to its end."""
    with Program(folder, source, *arguments) as program:
        return program.finish(timeout)


def records(path: Path, prefix: str = "") -> dict[str, str]:
    """The records of the file whose keys begin so, as the sqlite3 module finds them; the file must be whole.

    Only while this process has no `DB` open on it.
    """
    assert path.exists()
    with closing(sqlite3.connect(path, timeout=20)) as sqlite:
        assert sqlite.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        if not sqlite.execute("SELECT 1 FROM sqlite_schema").fetchall():
            # Whoever made the file was killed before it got its table.
            return {}
        query = "SELECT key, value FROM Dict WHERE key >= ? AND key < ?"
        found = sqlite.execute(query, (prefix.encode(), prefix.encode() + b"\xff")).fetchall()
    return {key.decode(): value.decode() for key, value in found}


def prepare(path: Path, values: dict[str, str] | None = None) -> None:
    """Makes the file, with these records, as dbm.sqlite3 would."""
    with closing(sqlite3.connect(path, isolation_level=None)) as sqlite:
        sqlite.execute("PRAGMA journal_mode = wal")
        sqlite.execute(DBM_TABLE)
        rows = [(key.encode(), value.encode()) for key, value in (values or {}).items()]
        sqlite.executemany("REPLACE INTO Dict (key, value) VALUES (?, ?)", rows)


def count_writes(path: Path) -> None:
    """Makes the file such that it notes how often each key is written."""
    prepare(path)
    with closing(sqlite3.connect(path, isolation_level=None)) as sqlite:
        sqlite.execute("CREATE TABLE Written (key BLOB)")
        note = "ON Dict BEGIN INSERT INTO Written VALUES (new.key); END"
        sqlite.execute(f"CREATE TRIGGER written AFTER INSERT {note}")
        sqlite.execute(f"CREATE TRIGGER changed AFTER UPDATE {note}")


def writes(path: Path) -> Counter[str]:
    """How often each key was written since `count_writes`."""
    with closing(sqlite3.connect(path)) as sqlite:
        found = sqlite.execute("SELECT key FROM Written").fetchall()
    return Counter(key.decode() for (key,) in found)


@contextmanager
def locked(path: Path, *, against_readers: bool = False) -> Generator[Callable[[], None]]:
    """Keeps the file locked, as any other process may; gives what releases it."""
    with closing(sqlite3.connect(path, isolation_level=None, timeout=20)) as sqlite:
        # With a write-ahead log nobody can lock readers out.
        sqlite.execute(f"PRAGMA journal_mode = {'delete' if against_readers else 'wal'}")
        sqlite.execute(DBM_TABLE)
        sqlite.execute("BEGIN EXCLUSIVE")

        def release() -> None:
            if sqlite.in_transaction:
                sqlite.execute("ROLLBACK")

        yield release
        release()

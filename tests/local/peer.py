"""Another program on the same file: a process that uses dbm.sqlite3, or its statements through sqlite3.

Run as a program (`python peer.py dbm.sqlite3|sqlite3 PATH FLAG`) it answers requests, one JSON list a line;
`Peer` is what the tests hold of it.
"""

from __future__ import annotations

import functools
import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing import Self

KINDS = ["sqlite3", "dbm.sqlite3"]


@functools.cache
def python313() -> str | None:
    """A Python that has dbm.sqlite3, if there is one."""
    if sys.version_info >= (3, 13):
        return sys.executable
    script = Path(__file__).parents[2] / "scripts" / "find-python.sh"
    found = subprocess.run([script, "3.13"], capture_output=True, text=True, timeout=60)
    return found.stdout.strip() or None


class Peer:
    """The other process. Texts travel as they are, bytes that are no UTF-8 as surrogates."""

    def __init__(self, kind: str, path: Path | str, flag: str = "c") -> None:
        python = python313() if kind == "dbm.sqlite3" else sys.executable
        assert python is not None
        self._process = subprocess.Popen(
            [python, "-I", __file__, kind, str(path), flag],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._answer()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate(timeout=30)

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, f"it ended with {self._process.wait(30)}"
        answer = json.loads(line)
        assert "error" not in answer, answer
        return answer["answer"]

    def ask(self, *request: Any) -> Any:
        """One request and its answer."""
        self.begin(*request)
        return self._answer()

    def begin(self, *request: Any) -> None:
        """A request whose answer is taken later, by `end`."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()

    def end(self) -> Any:
        """The answer of the request begun."""
        return self._answer()

    def set(self, key: str, value: str) -> None:
        self.ask("set", key, value)

    def get(self, key: str) -> str | None:
        found: str | None = self.ask("get", key)
        return found

    def delete(self, key: str) -> bool:
        existed: bool = self.ask("delete", key)
        return existed

    def records(self) -> dict[str, str]:
        found: dict[str, str] = self.ask("records")
        return found

    def sql(self, statement: str) -> list[list[Any]]:
        """Any statement, on a connection of its own to the same file."""
        rows: list[list[Any]] = self.ask("sql", statement)
        return rows


def serve(kind: str, path: str, flag: str) -> None:
    """Answers requests until there are no more."""
    import sqlite3
    from collections.abc import MutableMapping
    from contextlib import closing

    class Statements(MutableMapping[bytes, bytes]):
        """dbm.sqlite3, for Pythons that do not have it; its statements to the letter."""

        def __init__(self) -> None:
            mode = {"r": "ro", "w": "rw", "c": "rwc"}[flag]
            uri = f"{Path(path).absolute().as_uri()}?mode={mode}"
            self.sqlite = sqlite3.connect(uri, isolation_level=None, uri=True)
            if mode != "ro":
                self.sqlite.execute("PRAGMA journal_mode = wal")
            if mode == "rwc":
                self.sqlite.execute(
                    "\n  CREATE TABLE IF NOT EXISTS Dict (\n    key BLOB UNIQUE NOT NULL,\n"
                    "    value BLOB NOT NULL\n  )\n"
                )

        def __getitem__(self, key: bytes) -> bytes:
            lookup = "SELECT value FROM Dict WHERE key = CAST(? AS BLOB)"
            row = self.sqlite.execute(lookup, (key,)).fetchone()
            if not row:
                raise KeyError(key)
            found: bytes = row[0]
            return found

        def __setitem__(self, key: bytes, value: bytes) -> None:
            self.sqlite.execute(
                "REPLACE INTO Dict (key, value) VALUES (CAST(? AS BLOB), CAST(? AS BLOB))", (key, value)
            )

        def __delitem__(self, key: bytes) -> None:
            if not self.sqlite.execute("DELETE FROM Dict WHERE key = CAST(? AS BLOB)", (key,)).rowcount:
                raise KeyError(key)

        def __iter__(self) -> Any:
            for (key,) in self.sqlite.execute("SELECT key FROM Dict"):
                yield key

        def __len__(self) -> int:
            count: int = self.sqlite.execute("SELECT COUNT (key) FROM Dict").fetchone()[0]
            return count

        def close(self) -> None:
            self.sqlite.close()

    store: Any
    if kind == "dbm.sqlite3":
        import importlib

        store = importlib.import_module("dbm.sqlite3").open(path, flag)
    else:
        store = Statements()

    def encode(text: str) -> bytes:
        return text.encode(errors="surrogateescape")

    def decode(data: bytes) -> str:
        return data.decode(errors="surrogateescape")

    def sql(statement: str) -> list[list[Any]]:
        rows = extra.execute(statement).fetchall()
        return [[decode(cell) if isinstance(cell, bytes) else cell for cell in row] for row in rows]

    def write_many(prefix: str, count: int) -> int:
        for number in range(count):
            store[encode(f"{prefix}{number}")] = encode(f"{number}")
        return count

    def get(key: str) -> str | None:
        data = store.get(encode(key))
        return None if data is None else decode(data)

    def put(key: str, value: str) -> None:
        store[encode(key)] = encode(value)

    def delete(key: str) -> bool:
        return store.pop(encode(key), None) is not None

    verbs: dict[str, Any] = {
        "set": put,
        "get": get,
        "delete": delete,
        "records": lambda: {decode(key): decode(store[key]) for key in list(store)},
        "count": lambda: len(store),
        "sql": sql,
        "write_many": write_many,
    }
    uri = f"{Path(path).absolute().as_uri()}"
    with closing(store), closing(sqlite3.connect(uri, isolation_level=None, timeout=20, uri=True)) as extra:
        print(json.dumps({"answer": "ready"}), flush=True)
        for line in sys.stdin:
            verb, *arguments = json.loads(line)
            try:
                answer = {"answer": verbs[verb](*arguments)}
            except Exception as error:
                answer = {"error": repr(error)}
            print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    serve(*sys.argv[1:])

"""Files that cannot be used: a clear error, nothing lost or changed, and the handle works once they can."""

from __future__ import annotations

import contextlib
import os
import socket
import sqlite3
import stat
import struct
import sys
import threading
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from TetherDB import DB, BackendError, CorruptStore, DeliveryError, FlushTimeout, OperationTimeout

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from .peer import Peer

WRITING: dict[str, Callable[[DB], object]] = {
    "write_message": lambda db: db.write_message("key", "value"),
    "write_messages": lambda db: db.write_messages({"key": "value", "other": "value"}),
    "update_message": lambda db: db.update_message("key", "value"),
    "delete_message": lambda db: db.delete_message("key"),
    "delete_messages": lambda db: db.delete_messages(["key", "other"]),
}
READING: dict[str, Callable[[DB], object]] = {
    "read_message": lambda db: db.read_message("key"),
    "read_messages": lambda db: db.read_messages(["key", "other"]),
    "list_messages": lambda db: db.list_messages(),
    "list_keys": lambda db: db.list_keys(),
    "iter_messages": lambda db: list(db.iter_messages()),
    "ping": lambda db: db.ping(),
}


def look(folder: Path) -> dict[str, Any]:
    """Everything in a folder: names, kinds, permissions and contents."""
    found: dict[str, Any] = {}
    for entry in sorted(folder.rglob("*")):
        status = entry.lstat()
        content = entry.read_bytes() if stat.S_ISREG(status.st_mode) else None
        found[str(entry.relative_to(folder))] = (status.st_mode, status.st_ino, content)
    return found


def works(db: DB) -> None:
    """The handle is as good as new."""
    assert db.write_message("afterwards", {"a": 1})
    assert db.read_message("afterwards") == {"a": 1}
    db.write_queue_message("queued afterwards", "text")
    db.flush()
    assert db.read_message("queued afterwards") == "text"


def garbage(path: Path) -> None:
    path.write_bytes(b"The notes of somebody else.\n" * 100)


def one_byte(path: Path) -> None:
    path.write_bytes(b"x")


def nearly_sqlite(path: Path) -> None:
    path.write_bytes(b"SQLite format 3\0")


def sqlite_header_on_garbage(path: Path) -> None:
    path.write_bytes(b"SQLite format 3\0" + b"\xa5" * 8000)


def other_tables(path: Path) -> None:
    with closing(sqlite3.connect(path)) as sqlite:
        sqlite.execute("CREATE TABLE users (name TEXT)")
        sqlite.execute("INSERT INTO users VALUES ('Ann')")
        sqlite.commit()


def other_columns(path: Path) -> None:
    with closing(sqlite3.connect(path)) as sqlite:
        sqlite.execute("CREATE TABLE Dict (word TEXT, meaning TEXT)")
        sqlite.execute("INSERT INTO Dict VALUES ('key', 'thing')")
        sqlite.commit()


def a_view(path: Path) -> None:
    with closing(sqlite3.connect(path)) as sqlite:
        sqlite.execute("CREATE VIEW Dict AS SELECT 1 AS key, 2 AS value")
        sqlite.commit()


def gdbm(path: Path) -> None:
    path.write_bytes(struct.pack("<I", 0x13579ACE) + b"\0" * 8188)


def gdbm_of_another_byte_order(path: Path) -> None:
    path.write_bytes(struct.pack(">I", 0x13579ACF) + b"\0" * 8188)


# The path itself exists, and is a file of another kind.
FOREIGN: dict[str, tuple[Callable[[Path], None], str]] = {
    "garbage": (garbage, "no SQLite database"),
    "one byte": (one_byte, "no SQLite database"),
    "only the header": (nearly_sqlite, ""),
    "header on garbage": (sqlite_header_on_garbage, ""),
    "other tables": (other_tables, "another program"),
    "other columns": (other_columns, "word, meaning"),
    "a view": (a_view, ""),
    "gdbm": (gdbm, "GDBM"),
    "gdbm of another byte order": (gdbm_of_another_byte_order, "GDBM"),
}


def refused(db: DB, path: Path, text: str, verbs: dict[str, Callable[[DB], object]]) -> None:
    """Each of the verbs raises `CorruptStore` that says what is wrong with which file."""
    for name, verb in verbs.items():
        with pytest.raises(CorruptStore) as caught:
            verb(db)
        said = str(caught.value)
        assert str(path) in said, name
        assert text in said, name
        assert (caught.value.backend, caught.value.retryable) == ("local", False), name
        assert len(said) < 600, name


def refused_in_the_queue(db: DB, path: Path) -> None:
    """A queued message comes back at once, with the same error."""
    receipt = db.write_queue_message("queued", {"a": 1}, receipt=True)
    with pytest.raises(DeliveryError, match="1 queued message") as caught:
        db.flush(timeout=30)
    ((key, value, backend, error),) = caught.value.failed
    assert (key, value, backend) == ("queued", {"a": 1}, "local")
    assert isinstance(error, CorruptStore)
    assert str(path) in str(error)
    with pytest.raises(CorruptStore):
        receipt.wait(30)
    assert db.drop_failed() == 1


@pytest.mark.parametrize("what", FOREIGN)
def test_a_file_of_another_kind_is_refused_and_left(
    open_db: Callable[..., DB], path: Path, tmp_path: Path, what: str
) -> None:
    make, text = FOREIGN[what]
    make(path)
    before = look(tmp_path)
    db = open_db()
    refused(db, path, text, READING | WRITING)
    refused_in_the_queue(db, path)
    assert look(tmp_path) == before
    path.unlink()
    works(db)


@pytest.mark.parametrize("what", FOREIGN)
def test_nothing_is_left_open_on_a_file_of_another_kind(
    open_db: Callable[..., DB], path: Path, tmp_path: Path, what: str
) -> None:
    FOREIGN[what][0](path)
    before = look(tmp_path)
    db = open_db()
    for verb in (READING | WRITING).values():
        with pytest.raises(CorruptStore):
            verb(db)
    if sys.platform.startswith("linux"):
        # The one with which the folder itself is read is gone by then.
        opened = [entry.readlink() for entry in Path("/dev/fd").iterdir() if entry.is_symlink()]
        assert path not in opened
    db.stop()
    assert look(tmp_path) == before


def test_garbage_in_a_file_that_was_ours_is_reported(
    open_db: Callable[..., DB], path: Path, tmp_path: Path
) -> None:
    db = open_db()
    db.write_messages({f"{i:05}": "x" * 200 for i in range(2000)})
    db.stop()
    data = bytearray(path.read_bytes())
    data[4096 * 4 :] = b"\xa5" * (len(data) - 4096 * 4)
    path.write_bytes(data)
    for name, verb in READING.items():
        if name in ("iter_messages", "list_messages"):
            with pytest.raises(CorruptStore, match="malformed"):
                verb(db)
    with pytest.raises(CorruptStore, match="malformed"):
        db.read_messages([f"{i:05}" for i in range(2000)])
    with pytest.raises(CorruptStore, match="backup"):
        db.write_messages({f"{i:05}": "y" for i in range(2000)})
    path.unlink()
    works(db)


@pytest.mark.parametrize("suffix", [".db", ".dir", ".pag", ".dat"])
@pytest.mark.parametrize("empty", [False, True])
def test_another_dbm_format_beside_a_missing_file(
    open_db: Callable[..., DB], path: Path, tmp_path: Path, suffix: str, empty: bool
) -> None:
    sibling = path.with_name(path.name + suffix)
    sibling.write_bytes(b"the records of another format")
    if empty:
        # An empty file is none yet.
        path.touch()
    before = look(tmp_path)
    db = open_db()
    refused(db, path, sibling.name, READING | WRITING)
    refused_in_the_queue(db, path)
    assert look(tmp_path) == before
    sibling.unlink()
    works(db)


def test_another_dbm_format_beside_a_file_of_ours_does_not_matter(
    open_db: Callable[..., DB], path: Path
) -> None:
    with open_db() as db:
        db.write_message("key", "value")
    for suffix in (".db", ".dir", ".pag", ".dat"):
        path.with_name(path.name + suffix).write_bytes(b"something")
    assert open_db().read_message("key") == "value"
    works(open_db())


def test_zero_bytes_are_no_file_yet(open_db: Callable[..., DB], path: Path, tmp_path: Path) -> None:
    path.touch()
    before = look(tmp_path)
    db = open_db()
    assert db.read_message("key") is None
    assert db.read_messages(["key"]) == {}
    assert db.list_messages() == {"messages": [], "next_marker": None}
    assert list(db.iter_messages()) == []
    assert db.update_message("key", "value") is False
    assert db.delete_message("key") is False
    assert db.delete_messages(["key"]) == 0
    assert db.ping() >= 0
    db.flush()
    assert look(tmp_path) == before
    works(db)


def make_directory(path: Path) -> None:
    path.mkdir()
    (path / "inside").write_text("text")


def make_fifo(path: Path) -> None:
    os.mkfifo(path)


def make_socket(path: Path) -> None:
    with closing(socket.socket(socket.AF_UNIX)) as server:
        server.bind(str(path))


def make_device(path: Path) -> None:
    path.symlink_to("/dev/null")


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such files")
@pytest.mark.parametrize("make", [make_directory, make_fifo, make_socket, make_device])
def test_what_is_no_regular_file_is_refused_and_left(
    open_db: Callable[..., DB], path: Path, tmp_path: Path, make: Callable[[Path], None]
) -> None:
    # A pipe would also hang whoever opens it.
    path = tmp_path / "s"
    make(path)
    before = look(tmp_path)
    db = open_db(local={"filepath": str(path)})
    for name, verb in (READING | WRITING).items():
        with pytest.raises(BackendError, match="regular file") as caught:
            verb(db)
        assert type(caught.value) is BackendError, name
        assert str(path) in str(caught.value), name
    assert look(tmp_path) == before
    path.rename(tmp_path / "aside")
    works(db)


def test_a_missing_folder(open_db: Callable[..., DB], tmp_path: Path) -> None:
    path = tmp_path / "missing" / "folder" / "store"
    db = open_db(local={"filepath": str(path)}, queue_batch={"retry": {"initial": 0.01, "max": 0.05}})
    # There is no file, so there is nothing in it.
    assert db.read_message("key") is None
    assert db.list_keys() == {"keys": [], "next_marker": None}
    for verb in (WRITING["write_message"], WRITING["write_messages"], READING["ping"]):
        with pytest.raises(BackendError, match=r"No such file or directory") as caught:
            verb(db)
        assert type(caught.value) is BackendError
        assert str(path.parent) in str(caught.value)
    db.write_queue_message("waits", "text")
    with pytest.raises(FlushTimeout, match="1 queued message"):
        db.flush(timeout=0.2)
    assert list(tmp_path.iterdir()) == []
    path.parent.mkdir(parents=True)
    db.flush(timeout=30)
    assert db.read_message("waits") == "text"
    works(db)


def test_a_folder_that_is_a_file(open_db: Callable[..., DB], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("text")
    before = look(tmp_path)
    db = open_db(local={"filepath": str(tmp_path / "file" / "store")})
    for verb in (WRITING["write_message"], WRITING["write_messages"], READING["ping"]):
        with pytest.raises(BackendError, match="Not a directory") as caught:
            verb(db)
        assert type(caught.value) is BackendError
    assert look(tmp_path) == before


def test_locked_for_longer_than_busy_timeout(
    open_db: Callable[..., DB], path: Path, locked: Callable[[], AbstractContextManager[None]]
) -> None:
    db = open_db(
        local={"busy_timeout": 0.3},
        queue_batch={"retry": {"initial": 0.01, "max": 0.05, "give_up_after": 60}},
    )
    db.write_messages({"key": "before", "other": "before"})
    with locked():
        for name, verb in WRITING.items():
            with pytest.raises(OperationTimeout, match="locked") as caught:
                verb(db)
            assert (caught.value.backend, caught.value.retryable) == ("local", True), name
            assert str(path) in str(caught.value), name
            assert "0.3" in str(caught.value), name
        # Readers do not mind.
        assert db.read_messages(["key", "other"]) == {"key": "before", "other": "before"}
        db.write_queue_message("waits", "text")
        with pytest.raises(FlushTimeout, match="locked"):
            db.flush(timeout=1)
        assert db.stats()["local"]["pending"] == 1
    db.flush(timeout=30)
    assert db.read_message("waits") == "text"
    assert db.read_messages(["key", "other"]) == {"key": "before", "other": "before"}
    works(db)


def test_queued_messages_are_given_up_when_it_stays_locked(
    open_db: Callable[..., DB],
    locked: Callable[[], AbstractContextManager[None]],
    caplog: pytest.LogCaptureFixture,
) -> None:
    db = open_db(
        local={"busy_timeout": 0.05},
        queue_batch={"retry": {"initial": 0.01, "max": 0.05, "give_up_after": 0.3}},
    )
    db.write_message("key", "before")
    with locked():
        db.write_queue_message("waits", {"a": 1})
        with pytest.raises(DeliveryError, match="locked") as caught:
            db.flush(timeout=30)
        ((key, value, backend, error),) = caught.value.failed
        assert (key, value, backend) == ("waits", {"a": 1}, "local")
        assert isinstance(error, OperationTimeout)
    assert [record.levelname for record in caplog.records if "waits" in record.getMessage()][-1] == "ERROR"
    assert db.read_message("waits") is None
    assert db.retry_failed() == 1
    db.flush()
    assert db.read_message("waits") == {"a": 1}


def test_readers_wait_for_an_exclusive_lock_no_longer_than_busy_timeout(
    open_db: Callable[..., DB],
    path: Path,
    sql: Callable[..., Any],
    locked: Callable[[], AbstractContextManager[None]],
) -> None:
    # Only a file without a write-ahead log can be locked against readers.
    sql(
        "CREATE TABLE Dict (key BLOB UNIQUE NOT NULL, value BLOB NOT NULL)",
        "INSERT INTO Dict VALUES (x'61', x'62')",
    )
    db = open_db(local={"busy_timeout": 0.2})
    with locked():
        for name, verb in (READING | WRITING).items():
            with pytest.raises(OperationTimeout, match="locked") as caught:
                verb(db)
            assert str(path) in str(caught.value), name
    assert db.read_message("a") == "b"
    works(db)


@pytest.mark.skipif(sys.platform == "win32", reason="an open file cannot be deleted there")
@pytest.mark.parametrize("flushed", [False, True])
@pytest.mark.parametrize("companions", [False, True])
def test_deleted_while_open(
    open_db: Callable[..., DB],
    path: Path,
    tmp_path: Path,
    stored: Callable[[], dict[bytes, bytes]],
    sql: Callable[..., Any],
    flushed: bool,
    companions: bool,
) -> None:
    db = open_db()
    for turn in range(3):
        db.write_messages({f"{turn}-{i}": "before" for i in range(500)})
        assert len(list(db.iter_messages())) == 500
        if flushed:
            db.flush()
        for entry in tmp_path.iterdir():
            # Others may have deleted the file alone, or all that belongs to it.
            if companions or entry == path:
                entry.unlink()
        assert db.read_message(f"{turn}-0") is None
        assert db.list_keys() == {"keys": [], "next_marker": None}
        assert db.update_message(f"{turn}-0", "again") is False
        assert db.delete_message(f"{turn}-0") is False
        assert not path.exists()
        assert db.write_message("new", "text")
        assert db.read_message("new") == "text"
        db.write_queue_message("queued", "text")
        db.flush()
        assert stored() == {b"new": b"text", b"queued": b"text"}
        assert db.delete_messages(["new", "queued"]) == 2
    works(db)
    db.stop()
    assert len(stored()) == 2
    assert sql("PRAGMA integrity_check") == [("ok",)]


@pytest.mark.skipif(sys.platform != "linux", reason="open files are looked up in /proc")
@pytest.mark.parametrize("replaced", [False, True])
def test_a_deleted_file_does_not_keep_its_space(
    open_db: Callable[..., DB], path: Path, replaced: bool
) -> None:
    def open_files() -> list[str]:
        links: list[str] = []
        for entry in Path("/proc/self/fd").iterdir():
            with contextlib.suppress(OSError):
                links.append(str(entry.readlink()))
        return [link for link in links if link.startswith(str(path))]

    db = open_db()
    db.write_messages({f"{i}": "before" for i in range(200)})
    # Iterators in several threads at once leave several connections behind.
    barrier = threading.Barrier(6)

    def read() -> None:
        barrier.wait()
        for _ in range(20):
            list(db.iter_messages(page_size=5))

    threads = [threading.Thread(target=read) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len([link for link in open_files() if link == str(path)]) > 2
    if replaced:
        make_store(path.with_name("new"), "key")
        path.with_name("new").replace(path)
    else:
        path.unlink()
    for companion in ("-wal", "-shm"):
        path.with_name(path.name + companion).unlink(missing_ok=True)
    assert len(list(db.iter_messages())) == int(replaced)
    db.write_message("new", "text")
    assert [link for link in open_files() if link.endswith("(deleted)")] == []


def make_store(path: Path, key: str, count: int = 1) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as sqlite:
        sqlite.execute("CREATE TABLE Dict (key BLOB UNIQUE NOT NULL, value BLOB NOT NULL)")
        rows = [(key.encode() if i == 0 else f"{key}-{i}".encode(), b"text") for i in range(count)]
        sqlite.executemany("INSERT INTO Dict VALUES (?, ?)", rows)


@pytest.mark.skipif(sys.platform == "win32", reason="an open file cannot be replaced there")
@pytest.mark.parametrize("flushed", [False, True])
@pytest.mark.parametrize("first", ["read", "write", "queue", "list"])
def test_replaced_while_open(
    open_db: Callable[..., DB],
    path: Path,
    tmp_path: Path,
    stored: Callable[[], dict[bytes, bytes]],
    sql: Callable[..., Any],
    flushed: bool,
    first: str,
) -> None:
    db = open_db()
    db.write_messages({f"old-{i}": "text" for i in range(300)})
    assert db.read_message("old-0") == "text"
    if flushed:
        db.flush()
    make_store(tmp_path / "replacement", "new", 200)
    (tmp_path / "replacement").replace(path)
    if first == "read":
        assert db.read_message("new") == "text"
    elif first == "list":
        assert len(db.list_keys(page_size=1000)["keys"]) == 200
    elif first == "write":
        assert db.write_message("written", "text")
    else:
        db.write_queue_message("written", "text")
        db.flush()
    # What the path names now is what there is: nothing of the old file is mixed into it.
    assert db.read_message("old-0") is None
    assert db.read_message("new-199") == "text"
    assert db.write_message("written", "text")
    db.flush()
    assert set(stored()) == {b"new", b"written", *(f"new-{i}".encode() for i in range(1, 200))}
    db.stop()
    assert sql("PRAGMA integrity_check") == [("ok",)]
    assert len(stored()) == 201


@pytest.mark.skipif(sys.platform == "win32", reason="an open file cannot be replaced there")
def test_replaced_by_garbage_and_put_back(open_db: Callable[..., DB], path: Path, tmp_path: Path) -> None:
    db = open_db()
    db.write_message("key", "value")
    db.flush()
    path.rename(tmp_path / "aside")
    garbage(path)
    before = path.read_bytes()
    refused(db, path, "no SQLite database", READING | WRITING)
    assert path.read_bytes() == before
    (tmp_path / "aside").replace(path)
    assert db.read_message("key") == "value"
    works(db)


def test_a_constraint_of_the_file_refuses_one_and_nothing_else(
    open_db: Callable[..., DB], other: Callable[[], Peer], refuse_bad: None
) -> None:
    db = open_db()
    with pytest.raises(BackendError, match="refused by the trigger") as caught:
        db.write_message("bad", "text")
    assert "bad" in str(caught.value)
    with pytest.raises(BackendError, match="refused by the trigger"):
        db.write_messages({"good": "text", "bad": "text", "zoo": "text"})
    assert other().records() == {}
    for key in ("a", "bad-1", "b", "bad-2", "c"):
        db.write_queue_message(key, "text")
    with pytest.raises(DeliveryError) as delivery:
        db.flush()
    assert sorted(failed[0] for failed in delivery.value.failed) == ["bad-1", "bad-2"]
    assert other().records() == {"a": "text", "b": "text", "c": "text"}
    works(db)

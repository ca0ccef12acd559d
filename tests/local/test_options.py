"""The keys of `local`: what they do to the file."""

from __future__ import annotations

import os
import stat
import sys
from typing import TYPE_CHECKING, Any

import pytest

from TetherDB import DB, OperationTimeout

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

WRITE_NOTHING: dict[str, Callable[[DB], object]] = {
    "read_message": lambda db: db.read_message("k"),
    "read_messages": lambda db: db.read_messages(["k"]),
    "list_messages": lambda db: db.list_messages(),
    "list_keys": lambda db: db.list_keys(bucket="b"),
    "iter_messages": lambda db: list(db.iter_messages()),
    "delete_message": lambda db: db.delete_message("k"),
    "delete_messages": lambda db: db.delete_messages(["k"]),
    "update_message": lambda db: db.update_message("k", "v"),
    "write_messages-of-nothing": lambda db: db.write_messages({}),
    "ping": lambda db: db.ping(),
    "flush": lambda db: db.flush(),
    "start": lambda db: db.start(),
    "stop": lambda db: db.stop(),
}
posix_only = pytest.mark.skipif(sys.platform == "win32", reason="POSIX permission bits")


@pytest.fixture
def umask() -> Iterator[Callable[[int], int]]:
    """Sets the umask, and puts the old one back."""
    before = os.umask(0o022)
    yield os.umask
    os.umask(before)


@pytest.mark.parametrize("verb", WRITE_NOTHING.values(), ids=WRITE_NOTHING.keys())
def test_no_file_is_created_before_the_first_write_by(
    verb: Callable[[DB], object], open_db: Callable[..., DB], path: Path
) -> None:
    verb(open_db())
    assert list(path.parent.iterdir()) == []


def test_the_first_write_creates_the_file(open_db: Callable[..., DB], path: Path) -> None:
    open_db().write_message("k", "v")
    assert path.is_file()


def test_a_queued_write_creates_the_file_too(open_db: Callable[..., DB], path: Path) -> None:
    db = open_db()
    db.write_queue_message("k", "v")
    db.flush()
    assert path.is_file()


def test_the_file_is_the_one_of_dbm_sqlite3(
    open_db: Callable[..., DB], sql: Callable[..., list[tuple[Any, ...]]]
) -> None:
    open_db().write_message("kéy", {"a": 1}, "b")
    rows = sql("SELECT sql FROM sqlite_schema WHERE name = 'Dict'")
    columns = "key BLOB UNIQUE NOT NULL, value BLOB NOT NULL"
    assert " ".join(rows[0][0].split()) == f"CREATE TABLE Dict ( {columns} )"
    assert sql("SELECT key, value, typeof(key), typeof(value) FROM Dict") == [
        ("b:kéy".encode(), b'{"a": 1}', "blob", "blob")
    ]
    assert sql("PRAGMA journal_mode") == [("wal",)]


def test_stop_leaves_one_file_alone(open_db: Callable[..., DB], path: Path) -> None:
    with open_db() as db:
        db.write_message("k", "v")
        db.write_queue_message("k2", "v")
    assert list(path.parent.iterdir()) == [path]


@posix_only
def test_a_new_file_has_mode_0666_less_the_umask(
    open_db: Callable[..., DB], path: Path, umask: Callable[[int], int]
) -> None:
    umask(0o027)
    open_db().write_message("k", "v")
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


@posix_only
def test_mode_sets_the_permission_bits_of_a_new_file(
    open_db: Callable[..., DB], path: Path, umask: Callable[[int], int]
) -> None:
    umask(0)
    open_db(local={"mode": "0604"}).write_message("k", "v")
    assert stat.S_IMODE(path.stat().st_mode) == 0o604


@posix_only
def test_mode_leaves_a_file_that_exists_as_it_is(open_db: Callable[..., DB], path: Path) -> None:
    with open_db(local={"mode": "0600"}) as db:
        db.write_message("k", "v")
    open_db(local={"mode": "0666"}).write_message("k", "w")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("synchronous", ["full", "normal", "off"])
def test_every_kind_of_synchronous_stores_what_was_written(
    synchronous: str, open_db: Callable[..., DB], stored: Callable[[], dict[bytes, bytes]]
) -> None:
    db = open_db(local={"synchronous": synchronous})
    db.write_message("k", "v")
    db.write_queue_message("q", "w")
    db.flush()
    assert stored() == {b"k": b"v", b"q": b"w"}


def test_a_file_locked_for_longer_than_busy_timeout_is_an_operation_timeout(
    open_db: Callable[..., DB], locked: Callable[[], AbstractContextManager[None]], path: Path
) -> None:
    db = open_db(local={"busy_timeout": 0.1})
    db.write_message("k", "before")
    with locked():
        with pytest.raises(OperationTimeout, match=r"local.*busy_timeout") as caught:
            db.write_message("k", "while")
        assert caught.value.backend == "local"
        assert caught.value.retryable is True
        assert str(path) in str(caught.value)
    assert db.read_message("k") == "before"
    assert db.write_message("k", "after") is True


def test_a_lock_that_is_let_go_within_busy_timeout_is_waited_for(
    open_db: Callable[..., DB], locked: Callable[[], AbstractContextManager[None]]
) -> None:
    db = open_db(local={"busy_timeout": 60})
    db.write_message("k", "before")
    receipts: list[Any] = []
    with locked():
        receipts.append(db.write_queue_message("k", "after", receipt=True))
        assert receipts[0].wait(timeout=0.2) is False
    assert receipts[0].wait(timeout=60) is True
    assert db.read_message("k") == "after"


def test_readers_do_not_wait_for_a_writer_in_another_process(
    open_db: Callable[..., DB], locked: Callable[[], AbstractContextManager[None]]
) -> None:
    db = open_db(local={"busy_timeout": 0})
    db.write_message("k", "v")
    with locked():
        assert db.read_message("k") == "v"
        assert db.list_keys()["keys"] == ["k"]


def test_a_file_deleted_while_open_is_created_anew_by_the_next_write(
    open_db: Callable[..., DB], path: Path, stored: Callable[[], dict[bytes, bytes]]
) -> None:
    db = open_db()
    db.write_message("old", "v")
    for file in path.parent.iterdir():
        file.unlink()
    assert db.read_message("old") is None
    assert not path.exists()
    db.write_message("new", "v")
    assert stored() == {b"new": b"v"}


def test_a_zero_byte_file_is_no_file_yet(
    open_db: Callable[..., DB], path: Path, stored: Callable[[], dict[bytes, bytes]]
) -> None:
    path.touch()
    db = open_db()
    assert db.read_message("k") is None
    assert path.stat().st_size == 0
    db.write_message("k", "v")
    assert stored() == {b"k": b"v"}

"""Several handles, several processes, and what a reader of the bare file finds."""

from __future__ import annotations

import shutil
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from TetherDB import DB

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from .peer import Peer

# Opens the bare file, believing that nobody else has it: the write-ahead log is not looked at.
IMMUTABLE = """
import sqlite3, sys
sqlite = sqlite3.connect(f"file:{sys.argv[1]}?immutable=1", uri=True)
print(sqlite.execute("SELECT count(*) FROM Dict").fetchone()[0])
sqlite.close()
"""


def count_in_the_bare_file(path: Path) -> int:
    command = [sys.executable, "-c", IMMUTABLE, str(path)]
    return int(subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout)


def test_two_handles_of_one_process(open_db: Callable[..., DB], other: Callable[[], Peer]) -> None:
    first, second = open_db(), open_db()
    first.write_message("first", "text")
    assert second.read_message("first") == "text"
    second.write_message("second", "text")
    assert first.read_message("second") == "text"
    first.write_queue_message("queued", "first")
    first.flush()
    second.write_queue_message("queued", "second")
    second.flush()
    assert first.read_message("queued") == "second"
    first.stop()
    # Closing one must not drop the locks of the other: a third party sees them still.
    second.write_message("second", "again")
    peer = other()
    peer.set("peer", "text")
    assert second.read_message("peer") == "text"
    first.write_message("first", "again")
    second.stop()
    assert peer.records() == {"first": "again", "second": "again", "queued": "second", "peer": "text"}
    assert peer.sql("PRAGMA integrity_check") == [["ok"]]


def test_two_handles_that_open_and_close_all_the_time_beside_another_program(
    open_db: Callable[..., DB], other: Callable[[], Peer]
) -> None:
    # Whoever closes a descriptor of a file drops all locks that the process has on it, and then two
    # programs could write at once.
    first, second = open_db(local={"busy_timeout": 60}), open_db(local={"busy_timeout": 60})
    peer = other()
    peer.begin("write_many", "peer-", 500)

    def write(db: DB, name: str) -> None:
        for turn in range(100):
            db.write_message(f"{name}-{turn}", "text")
            db.write_queue_message(f"{name}-queued-{turn}", "text")
            assert db.read_message(f"{name}-{turn}") == "text"
            if turn % 5 == 0:
                db.stop()

    threads = [
        threading.Thread(target=write, args=(db, name))
        for db, name in ((first, "a"), (second, "b"), (first, "c"), (second, "d"))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert peer.end() == 500
    first.stop()
    second.stop()
    found = peer.records()
    expected = {f"peer-{turn}" for turn in range(500)}
    expected |= {f"{name}-{turn}" for name in "abcd" for turn in range(100)}
    expected |= {f"{name}-queued-{turn}" for name in "abcd" for turn in range(100)}
    assert set(found) == expected
    assert peer.sql("PRAGMA integrity_check") == [["ok"]]


def test_flush_puts_everything_into_the_file_itself(open_db: Callable[..., DB], path: Path) -> None:
    db = open_db(local={"synchronous": "full"})
    db.write_messages({f"direct-{i}": "text" for i in range(1000)})
    for i in range(1000):
        db.write_queue_message(f"queued-{i}", {"i": i})
    db.flush()
    assert count_in_the_bare_file(path) == 2000
    assert path.with_name("store-wal").stat().st_size == 0
    db.write_message("one", "more")
    assert db.read_message("one") == "more"
    db.flush()
    assert count_in_the_bare_file(path) == 2001
    assert db.delete_message("one")
    db.flush()
    assert count_in_the_bare_file(path) == 2000


def test_flush_of_what_was_only_written_directly(open_db: Callable[..., DB], path: Path) -> None:
    db = open_db()
    for number in range(5):
        db.write_message(f"{number}", "text")
        db.flush()
        assert count_in_the_bare_file(path) == number + 1


@pytest.mark.parametrize("leave", ["stop", "with"])
def test_stop_leaves_one_file_with_everything(
    open_db: Callable[..., DB], path: Path, tmp_path: Path, leave: str
) -> None:
    db = open_db()
    if leave == "with":
        with db:
            db.write_message("direct", "text")
            db.write_queue_message("queued", "text")
            assert db.read_message("direct") == "text"
    else:
        db.write_message("direct", "text")
        db.write_queue_message("queued", "text")
        assert db.read_message("direct") == "text"
        db.stop()
    assert list(tmp_path.iterdir()) == [path]
    assert count_in_the_bare_file(path) == 2
    # A copy of that one file is all there is to a backup.
    shutil.copy(path, tmp_path / "copy")
    with DB({"local": {"filepath": str(tmp_path / "copy")}}) as copy:
        assert copy.list_keys()["keys"] == ["direct", "queued"]


def test_flush_while_another_program_reads(
    open_db: Callable[..., DB], other: Callable[[], Peer], path: Path
) -> None:
    db = open_db(local={"busy_timeout": 30})
    db.write_message("before", "text")
    peer = other()
    peer.sql("BEGIN")
    assert peer.sql("SELECT count(*) FROM Dict") == [[1]]
    begun = time.monotonic()
    db.write_message("during", "text")
    db.write_queue_message("queued", "text")
    # The reader keeps its snapshot: the log cannot be emptied, and nobody waits for that.
    db.flush()
    assert time.monotonic() - begun < 15
    assert peer.sql("SELECT count(*) FROM Dict") == [[1]]
    assert db.read_message("queued") == "text"
    peer.sql("COMMIT")
    db.write_message("after", "text")
    db.flush()
    assert count_in_the_bare_file(path) == 4


def test_the_log_does_not_grow_without_end(open_db: Callable[..., DB], path: Path) -> None:
    db = open_db()
    for _ in range(20):
        db.write_messages({f"{i}": "x" * 1000 for i in range(1000)})
        assert db.read_message("0") == "x" * 1000
    assert path.with_name("store-wal").stat().st_size < 20_000_000


WRITER = """
import sys, time
from TetherDB import DB
path, name, seconds = sys.argv[1:]
db = DB({"local": {"filepath": path, "busy_timeout": 60}, "queue_batch": {"size": 10, "timeout": 0.01}})
end, turn = time.monotonic() + float(seconds), 0
while time.monotonic() < end:
    db.write_message(f"{name}-direct-{turn}", {"turn": turn})
    db.write_queue_message(f"{name}-queued-{turn}", {"turn": turn})
    db.write_messages({f"{name}-bulk-{turn}-{i}": "text" for i in range(5)})
    if turn % 50 == 0:
        db.flush()
    turn += 1
db.stop()
print(turn)
"""


def test_two_processes_write_for_a_while_and_all_rows_arrive(path: Path, open_db: Callable[..., DB]) -> None:
    command = [sys.executable, "-c", WRITER, str(path)]
    processes = [
        subprocess.Popen([*command, name, "2"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for name in ("first", "second")
    ]
    expected: set[str] = set()
    for name, process in zip(("first", "second"), processes, strict=True):
        out, err = process.communicate(timeout=60)
        assert (process.returncode, err) == (0, "")
        turns = int(out)
        # Both got their turn.
        assert turns > 5
        expected |= {f"{name}-{kind}-{turn}" for kind in ("direct", "queued") for turn in range(turns)}
        expected |= {f"{name}-bulk-{turn}-{i}" for turn in range(turns) for i in range(5)}
    db = open_db()
    assert {key for key, _ in db.iter_messages()} == expected


@pytest.fixture
def large(open_db: Callable[..., DB]) -> DB:
    """Three buckets, one of them large, and keys that only begin alike."""
    db = open_db()
    db.write_messages({f"{i:06}": {"i": i} for i in range(30_000)}, bucket="large")
    db.write_messages({f"{i}": "text" for i in range(50)}, bucket="large2")
    db.write_messages({f"{i}": "text" for i in range(50)}, bucket="larg")
    db.write_messages(
        {"large": "no bucket", "large-x": "no bucket", "large;": "no bucket", "zzz": "no bucket"}
    )
    return db


@pytest.mark.parametrize("page_size", [1, 7, 1000, 29_999, 30_000, 30_001])
def test_a_large_bucket_page_by_page(large: DB, page_size: int) -> None:
    wanted = [f"{i:06}" for i in range(30_000)]
    # Of the smallest pages the first hundred will do.
    pages = 100 if page_size < 100 else 100_000
    keys: list[str] = []
    marker: str | None = None
    for _ in range(pages):
        page = large.list_keys(page_size=page_size, start_after=marker, bucket="large")
        assert len(page["keys"]) <= page_size
        keys += page["keys"]
        marker = page["next_marker"]
        if marker is None:
            break
        assert marker == page["keys"][-1]
    assert keys == wanted[: len(keys)]
    assert len(keys) == min(30_000, pages * page_size)
    assert (marker is None) == (len(keys) == 30_000)


def test_a_large_bucket_as_a_whole(large: DB) -> None:
    assert sum(1 for _ in large.iter_messages(bucket="large")) == 30_000
    found: dict[str, Any] = dict(large.iter_messages(bucket="large", page_size=999))
    assert found["029999"] == {"i": 29_999}
    assert len(large.list_messages(page_size=100_000, bucket="large")["messages"]) == 30_000
    assert len(large.list_keys(page_size=100_000, bucket="large2")["keys"]) == 50
    assert len(large.list_keys(page_size=100_000)["keys"]) == 30_104
    assert large.list_keys(bucket="larg", start_after="9")["next_marker"] is None
    assert large.delete_messages([f"{i:06}" for i in range(30_000)], bucket="large") == 30_000
    assert large.list_keys(bucket="large") == {"keys": [], "next_marker": None}
    assert len(large.list_keys(page_size=1000)["keys"]) == 104

"""What is measured on files: the works, who does each of them, and what TetherDB aims at.

A function here prepares its store, does the work inside ``with task.timed()``, and checks what came of it.
It runs in a process of its own, see ``measure.py``.
"""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections import deque
from itertools import islice
from typing import TYPE_CHECKING, Any

import peers
from contest import Contender, Raw, Target, Workload, expect, ours

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from measure import Task

THREADS = 16
PAGE = 1_000
FIRST_ID = 10_000_000
# A key and its value, as text, in bytes.
PAYLOAD = 13 + 100

SYNC_EACH = "disk sync per write"
SYNC_GROUP = "disk sync per group"
SYNC_BATCH = "disk sync per batch"
SYNC_ONE = "one disk sync"
SYNC_10K = "disk sync per 10 000"
MEMORY = "none (memory)"
NEVER = "none (never syncs)"
READS = "reads"


def key(at: int) -> str:
    return f"user:{FIRST_ID + at}"


def record(at: int) -> dict[str, Any]:
    """A dict that ``json.dumps`` turns into exactly 100 bytes (for the first million)."""
    number = FIRST_ID + at
    return {
        "id": number,
        "name": f"user {number}",
        "mail": f"{at:06}@example.org",
        "active": True,
        "mark": at % 10 + 0.5,
    }


def items(count: int) -> list[tuple[str, dict[str, Any]]]:
    return [(key(at), record(at)) for at in range(count)]


def scattered_keys(count: int, rows: int) -> list[str]:
    """Keys of a store of so many rows, in an order that has nothing to do with theirs."""
    return [key(at * 61_803 % rows) for at in range(count)]


# Writing


def tether(folder: Any, **settings: Any) -> peers.Tether:
    """TetherDB with its file open, as the others have it when made: it opens with the first write."""
    peer = peers.Tether(folder, **settings)
    peer.write("first", {})
    return peer


def enqueue(make: Callable[[Any], Any]) -> Callable[[Task], None]:
    """Hands messages over; what happens to them afterwards is not timed."""

    def run(task: Task) -> None:
        work = items(task.count)
        peer = make(task.folder)
        put = peer.enqueue
        put("first", {})  # starts the worker
        with task.timed():
            for message_key, value in work:
                put(message_key, value)
        peer.close()
        task.note = peer.note

    return run


def deliver(make: Callable[[Any], Any]) -> Callable[[Task], None]:
    """Hands messages over and waits until all are on disk."""

    def run(task: Task) -> None:
        work = items(task.count)
        peer = make(task.folder)
        put = peer.enqueue
        with task.timed():
            for message_key, value in work:
                put(message_key, value)
            peer.flush()
        peer.close()
        task.note = peer.note

    return run


def write_all(make: Callable[[Any], Any], **how: Any) -> Callable[[Task], None]:
    def run(task: Task) -> None:
        work = items(task.count)
        peer = make(task.folder)
        with task.timed():
            peer.write_all(work, **how)
        peer.close()
        task.note = peer.note

    return run


def write_each(make: Callable[[Any], Any]) -> Callable[[Task], None]:
    def run(task: Task) -> None:
        work = items(task.count)
        peer = make(task.folder)
        write = peer.write
        write("first", {})  # the first one creates the table, or the file
        with task.timed():
            for message_key, value in work:
                write(message_key, value)
        peer.close()
        task.note = peer.note

    return run


def in_threads(
    task: Task, body: Callable[[list[tuple[str, dict[str, Any]]], Callable[[], object]], None]
) -> None:
    """Runs ``body(share, wait_for_the_others)`` in 16 threads and times what comes after the waiting."""
    work = items(task.count)
    barrier = threading.Barrier(THREADS + 1)
    threads = [threading.Thread(target=body, args=(work[at::THREADS], barrier.wait)) for at in range(THREADS)]
    for thread in threads:
        thread.start()
    barrier.wait()  # each has its store open
    with task.timed():
        barrier.wait()
        for thread in threads:
            thread.join()


def tether_threads(task: Task) -> None:
    peer = tether(task.folder)

    def body(share: list[tuple[str, dict[str, Any]]], wait: Callable[[], object]) -> None:
        wait()
        wait()
        for message_key, value in share:
            peer.write(message_key, value)

    in_threads(task, body)
    peer.close()
    task.note = peer.note


def dbm_threads(task: Task) -> None:
    """A ``dbm.sqlite3`` object belongs to the thread that opened it: one each, one lock for all."""
    peers.DbmHeldOpen(task.folder).close()
    lock = threading.Lock()

    def body(share: list[tuple[str, dict[str, Any]]], wait: Callable[[], object]) -> None:
        peer = peers.DbmHeldOpen(task.folder)
        wait()
        wait()
        for message_key, value in share:
            with lock:
                peer.write(message_key, value)
        peer.close()

    in_threads(task, body)


def dbm_locked(task: Task) -> None:
    work = items(task.count)
    peer = peers.DbmHeldOpen(task.folder)
    lock = threading.Lock()
    with task.timed():
        for message_key, value in work:
            with lock:
                peer.write(message_key, value)
    peer.close()


# Reading: every contender reads the same rows, see `prepare`.


def prepare(folder: Any, rows: int) -> None:
    """The stores that the reading works read: one SQLite file, and the same rows in lmdb."""
    folder.mkdir()
    for make in (peers.Sqlite3, peers.Lmdb):
        peer = make(folder)
        peer.write_all(items(rows))
        peer.close()


def read_one(make: Callable[[Any], Any]) -> Callable[[Task], None]:
    def run(task: Task) -> None:
        keys = scattered_keys(task.count, task.rows)
        peer = make(task.store)
        read = peer.read
        expect(read(key(1)) == record(1), "a wrong value was read")
        with task.timed():
            for message_key in keys:
                read(message_key)
        peer.close()
        task.note = peer.note

    return run


def read_many(make: Callable[[Any], Any]) -> Callable[[Task], None]:
    def run(task: Task) -> None:
        keys = iter(scattered_keys(task.count, task.rows))
        pages = list(iter(lambda: list(islice(keys, PAGE)), []))
        peer = make(task.store)
        expect(peer.read_all([key(1)]) == {key(1): record(1)}, "a wrong value was read")
        with task.timed():
            for page in pages:
                found = peer.read_all(page)
        expect(len(found) == len(set(pages[-1])), "not all keys were found")
        peer.close()
        task.note = peer.note

    return run


def iterate(make: Callable[[Any], Any]) -> Callable[[Task], None]:
    def run(task: Task) -> None:
        peer = make(task.store)
        with task.timed():
            last = deque(peer.iterate(), maxlen=1)
        expect(last[0] == (key(task.rows - 1), record(task.rows - 1)), "another last row was expected")
        peer.close()
        task.note = peer.note

    return run


# Memory and import

HOLD_LOCK = """
import sqlite3, sys
cx = sqlite3.connect(sys.argv[1], isolation_level=None)
cx.execute("BEGIN IMMEDIATE")
print("locked", flush=True)
sys.stdin.read()
"""


def full_queue(task: Task) -> None:
    """Fills the queue while another process has the file locked, so that nothing leaves it."""
    work = items(task.count)
    peer = tether(task.folder, busy_timeout=0.2, logging="none")  # it would warn of the lock
    command = [sys.executable, "-c", HOLD_LOCK, str(task.folder / "store")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        with task.timed():
            for message_key, value in work:
                peer.enqueue(message_key, value)
            # Until the worker has taken all over and a full request has failed: the queue holds most then.
            deadline = time.monotonic() + 20
            while peer.db.stats()["local"]["retried"] < min(task.count, 10_000):
                expect(time.monotonic() < deadline, "no request of the worker failed")
                time.sleep(0.05)
        pending = peer.db.stats()["local"]["pending"]
        expect(pending == task.count, f"{pending} of {task.count} messages are in the queue")
        holder.communicate()
    peer.close()
    task.value = task.peak_bytes / (task.count * PAYLOAD)
    task.note = peer.note


def full_plain_queue(task: Task) -> None:
    work = items(task.count)
    peer = peers.PlainQueue(task.folder)
    with task.timed():
        for message_key, value in work:
            peer.enqueue(message_key, value)
    task.value = task.peak_bytes / (task.count * PAYLOAD)
    task.note = peer.note


# What Python has loaded by itself is loaded in a bare interpreter, so a fresh one does the work.
BARE = """
import sys
from time import perf_counter, process_time
def in_use():
    try:
        with open("/proc/self/status") as lines:
            return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS"))
    except OSError:
        return 0
before, begun, cpu = in_use(), perf_counter(), process_time()
{work}
print(perf_counter() - begun, process_time() - cpu, in_use() - before)
"""
REST = """
from TetherDB import DB
db = DB({"local": {"filepath": sys.argv[1]}})
db.write_message("key", {"name": "Alice"})
db.write_queue_message("key", {"name": "Bob"})
db.flush()
db.read_message("key")
"""


def in_bare_python(work: str | Callable[[Task], str], *, memory: bool = False) -> Callable[[Task], None]:
    def run(task: Task) -> None:
        program = BARE.replace("{work}", work if isinstance(work, str) else work(task))
        command = [sys.executable, "-c", program, str(task.folder / "store")]
        answer = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        task.seconds, task.cpu_seconds, task.peak_bytes = map(float, answer.split())
        task.value = task.peak_bytes / 2**20 if memory else task.seconds

    return run


# The works


def asleep(folder: Any) -> peers.Tether:
    """A queue whose batch never fills: the worker sleeps while messages come in."""
    return tether(folder, size=1_000_000, max_pending=1_000_000, timeout=600)


def reading(folder: Any) -> peers.DbmHeldOpen:
    return peers.DbmHeldOpen(folder, "w")


def contenders() -> Iterator[Workload]:
    plain_queue = "queue.Queue + json.dumps"
    dbm_held, dbm_each = "dbm.sqlite3 held open", "dbm.sqlite3 opened per write"
    lmdb, lmdb_10k = "lmdb", "lmdb, 10 000 puts a transaction"
    executemany = "sqlite3 executemany"
    raw = "raw limit (SQLite in Rust)"
    locked, locked_threads = "dbm.sqlite3 under a lock, 1 thread", "dbm.sqlite3 under a lock, 16 threads"

    yield Workload(
        "enqueue",
        "enqueue, worker asleep",
        100_000,
        50_000,
        [
            ours(MEMORY, enqueue(asleep)),
            Contender(plain_queue, MEMORY, enqueue(peers.PlainQueue)),
        ],
        [Target(0.5e-6), Target(6, plain_queue)],
    )
    yield Workload(
        "enqueue-busy",
        "enqueue, worker delivering (defaults)",
        100_000,
        50_000,
        [
            ours(MEMORY, enqueue(tether)),
            Contender(f"{plain_queue} + thread", MEMORY, enqueue(peers.HandMadeQueue)),
        ],
        [Target(0.5e-6), Target(6, f"{plain_queue} + thread")],
    )
    per_write = [Contender(dbm_each, SYNC_EACH, write_each(peers.DbmPerWrite), 0.004)]
    if sys.version_info < (3, 13):
        per_write.append(Contender("dbm.open per write", NEVER, write_each(peers.DefaultDbmPerWrite), 0.004))
    yield Workload(
        "queued",
        "queued end to end, defaults (size 10)",
        100_000,
        50_000,
        [
            ours(SYNC_BATCH, deliver(tether)),
            *per_write,
            Contender(f"{plain_queue} + thread", SYNC_BATCH, deliver(peers.HandMadeQueue)),
            Contender(raw, SYNC_10K, Raw("bulk")),
        ],
        [Target(500, dbm_each), Target(0.5, raw)],
    )
    yield Workload(
        "queued-1000",
        "queued end to end, size 1000",
        100_000,
        50_000,
        [
            ours(SYNC_BATCH, deliver(lambda folder: tether(folder, size=1000))),
            Contender(lmdb_10k, SYNC_10K, write_all(peers.Lmdb, most=10_000)),
            Contender(raw, SYNC_10K, Raw("bulk")),
        ],
        [Target(1.5, lmdb_10k), Target(0.6, raw)],
    )
    yield Workload(
        "write-many",
        "write_messages, all in one call",
        100_000,
        50_000,
        [
            ours(SYNC_ONE, write_all(tether)),
            Contender(executemany, SYNC_ONE, write_all(peers.Sqlite3)),
            Contender(lmdb, SYNC_ONE, write_all(peers.Lmdb)),
            Contender(raw, SYNC_10K, Raw("bulk")),
        ],
        [Target(2, executemany), Target(1.5, lmdb)],
    )
    yield Workload(
        "write",
        "direct write, 1 thread",
        3_000,
        1_000,
        [
            ours(SYNC_EACH, write_each(tether)),
            Contender(dbm_held, SYNC_EACH, write_each(peers.DbmHeldOpen)),
            Contender(lmdb, SYNC_EACH, write_each(peers.Lmdb)),
            Contender(raw, SYNC_EACH, Raw("commit")),
        ],
        [Target(0.9, raw), Target(0.95, raw)],
    )
    yield Workload(
        "write-threads",
        "direct write, 16 threads",
        4_000,
        1_600,
        [
            ours(SYNC_GROUP, tether_threads),
            Contender(locked, SYNC_EACH, dbm_locked),
            Contender(locked_threads, SYNC_EACH, dbm_threads),
            Contender(raw, SYNC_EACH, Raw("commit")),
        ],
        [Target(6, locked), Target(6, locked_threads)],
    )
    yield Workload(
        "read",
        "read one",
        50_000,
        20_000,
        [
            ours(READS, read_one(peers.Tether)),
            Contender(dbm_held, READS, read_one(reading)),
            Contender(lmdb, READS, read_one(peers.Lmdb)),
            Contender(raw, READS, Raw("lookup")),
        ],
        [Target(1.2, dbm_held)],
    )
    yield Workload(
        "read-many",
        "read_messages of 1 000",
        100_000,
        20_000,
        [
            ours(READS, read_many(peers.Tether)),
            Contender(lmdb, READS, read_many(peers.Lmdb)),
            Contender(raw, READS, Raw("lookup-many")),
        ],
        [Target(1, lmdb)],
    )
    yield Workload(
        "iterate",
        "iterate over all",
        0,
        0,
        [
            ours(READS, iterate(peers.Tether)),
            Contender("sqlite3 SELECT", READS, iterate(peers.Sqlite3)),
            Contender(lmdb, READS, iterate(peers.Lmdb)),
            Contender(raw, READS, Raw("scan")),
        ],
        [Target(2, "sqlite3 SELECT")],
    )
    yield Workload(
        "full-queue",
        "memory of a full queue, in its payload",
        100_000,
        100_000,
        [
            ours(MEMORY, full_queue),
            Contender(plain_queue, MEMORY, full_plain_queue),
        ],
        [Target(3)],
        "x payload",
    )
    yield Workload(
        "import",
        "import",
        1,
        1,
        [
            ours("", in_bare_python("import TetherDB")),
            Contender("import sqlite3, json", "", in_bare_python("import sqlite3, json")),
            Contender("import lmdb, json", "", in_bare_python("import lmdb, json")),
        ],
        [Target(0.015)],
        "seconds",
    )
    yield Workload(
        "rest",
        "memory at rest, over bare Python",
        1,
        1,
        [ours("", in_bare_python(REST, memory=True))],
        [Target(12)],
        "MiB",
    )

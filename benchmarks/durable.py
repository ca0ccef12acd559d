"""What is measured of the journal, and of a queue whose server is down: the works, and what TetherDB aims at.

As in ``tasks.py``. Nothing is delivered while the clock runs: the worker waits for a batch that never
fills.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import peers
from contest import Contender, Target, Workload, expect, ours
from footprint import MIB
from peers_queues import PersistQueue, PersistQueueOfFiles, RawLog
from records import items
from tasks import SYNC_EACH, SYNC_GROUP, enqueue, shared_by_threads

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from measure import Task

SYNC_INTERVAL = "disk sync within 0.1 s"
SYNC_100 = "disk sync per 100"
SYSTEM = "system's memory"
DEAD = "server down"
# Nobody listens there.
NOWHERE = {"host": "127.0.0.1", "port": 1}
BOUND = 16 * MIB
LONGEST_DOWN = 10.0


def journaled(sync: str) -> Callable[[Any], peers.Tether]:
    """A queue with a journal, whose batch never fills."""
    return lambda folder: peers.Tether(
        folder,
        size=4_000_000,
        max_pending=4_000_000,
        max_pending_bytes=1 << 30,
        timeout=600,
        journal=str(folder / "journal"),
        journal_sync=sync,
    )


def raw_log(folder: Any) -> RawLog:
    return RawLog(folder, sync=True)


def unsynced_log(folder: Any) -> RawLog:
    return RawLog(folder, sync=False)


FILL = """
import os, sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from durable import journaled
from records import items
peer = journaled("never")(Path(sys.argv[2]))
for key, value in items(int(sys.argv[3])):
    peer.enqueue(key, value)
os._exit(0)
"""


def recover(task: Task) -> None:
    """Opens the journal of a process that has died with all messages in it, until the first is delivered."""
    command = [sys.executable, "-c", FILL, str(Path(__file__).parent), str(task.folder), str(task.count)]
    subprocess.run(command, check=True)
    from TetherDB import DB

    config = {
        "local": {"filepath": str(task.folder / "store")},
        "queue_batch": {"journal": str(task.folder / "journal"), "max_pending": 4_000_000, "size": 1000},
        "logging": "none",
    }
    with task.timed():
        db = DB(config)
        while not db.stats()["local"]["delivered"]:
            time.sleep(0.001)
    task.value = task.seconds
    accepted = db.stats()["local"]["accepted"]
    expect(accepted == task.count, f"{accepted} of {task.count} messages were found")
    db.stop()


def seconds_down(count: int) -> float:
    """How long the server is down: shorter in a short run."""
    return min(LONGEST_DOWN, 0.5 + count / 10_000)


def to_a_dead_server(**queue: Any) -> Any:
    from TetherDB import DB

    return DB({"etcd": NOWHERE, "logging": "none", "queue_batch": {"max_pending": 4_000_000, **queue}})


def enqueue_to_the_dead(task: Task) -> None:
    """As `enqueue`, to a server that is down: the worker knows it by then."""
    work = items(task.count)
    db = to_a_dead_server(timeout=0.01)
    put = db.write_queue_message
    put("first", {}, backend="etcd")
    time.sleep(0.5)
    with task.timed():
        for key, value in work:
            put(key, value, "", "etcd")
    finish_without(db)


def finish_without(db: Any) -> None:
    """Lets go of what cannot be delivered."""
    from TetherDB import TetherDBError

    try:
        db.stop(timeout=0)
    except TetherDBError:
        db.drop_failed()


def memory_with_a_dead_server(task: Task) -> None:
    """Fills a queue to its bound in bytes, with 1 KB messages, while its server is down throughout."""
    text = "x" * 1000
    with task.timed():
        db = to_a_dead_server(max_pending_bytes=BOUND, when_full="raise", retry={"give_up_after": 2})
        from TetherDB import QueueFull

        begun = time.monotonic()
        at = 0
        while time.monotonic() - begun < seconds_down(task.count):
            try:
                db.write_queue_message(f"key-{at}", text, backend="etcd")
                at += 1
            except QueueFull:
                time.sleep(0.01)
    task.value = task.peak_bytes / MIB
    finish_without(db)


def processor_with_a_dead_server(task: Task) -> None:
    """What a full queue costs whose server is down, while nobody queues: of one processor, in per cent."""
    db = to_a_dead_server()
    for key, value in items(task.count):
        db.write_queue_message(key, value, backend="etcd")
    time.sleep(1)
    with task.timed():
        time.sleep(seconds_down(task.count))
    assert task.cpu_seconds is not None
    task.value = 100 * task.cpu_seconds / task.seconds
    finish_without(db)


def contenders() -> Iterator[Workload]:
    raw, raw_unsynced = "raw append + fdatasync, 1 thread", "raw append"
    persist = "persist-queue (SQLiteQueue)"
    yield Workload(
        "journal",
        "enqueue with a journal, 1 thread",
        3_000,
        1_000,
        [
            ours(SYNC_EACH, enqueue(journaled("always"))),
            Contender(persist, SYNC_EACH, enqueue(PersistQueue)),
            Contender(raw, SYNC_EACH, enqueue(raw_log)),
        ],
        [Target(0.8, raw)],
        groups=("journal",),
    )
    yield Workload(
        "journal-threads",
        "enqueue with a journal, 16 threads",
        16_000,
        4_000,
        [
            ours(SYNC_GROUP, shared_by_threads(journaled("always"), "enqueue")),
            Contender(f"{persist}, 16 threads", SYNC_EACH, shared_by_threads(PersistQueue, "enqueue"), 0.1),
            Contender(raw, SYNC_EACH, enqueue(raw_log), 0.2),
        ],
        [Target(8, raw)],
        groups=("journal",),
    )
    yield Workload(
        "journal-interval",
        "enqueue with a journal, synced at an interval",
        200_000,
        50_000,
        [
            ours(SYNC_INTERVAL, enqueue(journaled("interval"))),
            Contender("persist-queue (Queue of files)", SYNC_100, enqueue(PersistQueueOfFiles), 0.02),
            Contender(raw_unsynced, SYSTEM, enqueue(unsynced_log)),
        ],
        [Target(2e-6)],
        groups=("journal",),
    )
    yield Workload(
        "journal-recovery",
        "journal of 1 000 000 messages, opened and the first one delivered",
        1_000_000,
        100_000,
        [ours("", recover)],
        [Target(2.0)],
        "seconds",
        groups=("journal",),
        repetitions=5,
    )
    yield Workload(
        "enqueue-down",
        "enqueue, server down",
        100_000,
        50_000,
        [ours(DEAD, enqueue_to_the_dead)],
        [Target(0.5e-6)],
        groups=("queue",),
    )
    yield Workload(
        "memory-down",
        "memory of a queue of 16 MiB, server down",
        100_000,
        10_000,
        [ours(DEAD, memory_with_a_dead_server)],
        [Target(1.5 * BOUND / MIB + 32)],
        "MiB",
        groups=("queue", "footprint"),
        repetitions=3,
    )
    yield Workload(
        "cpu-down",
        "processor time of a full queue, server down",
        100_000,
        10_000,
        [ours(DEAD, processor_with_a_dead_server)],
        [Target(1.0)],
        "% of a core",
        groups=("queue", "footprint"),
        repetitions=3,
    )

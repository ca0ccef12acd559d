"""What is measured of large files: the same work where the file holds much more. Keys come in no order.

Here TetherDB is compared with itself: the first row is the small file, and another may take so many times as
long at most.
"""

from __future__ import annotations

import time
from random import randrange
from typing import TYPE_CHECKING, Any

import peers
import peers_queues
import stores
from contest import Contender, Raw, Target, Workload, expect
from records import FIRST_ID, key, record, scattered
from tasks import READS, SYNC_BATCH, SYNC_EACH, read_many, read_one
from workloads import DBM_HELD, RAW, opened_dbm

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from measure import Task

    Make = Callable[[Any], Any]

SMALL, LARGE = "TetherDB, small file", "TetherDB, large file"
PAGE = 100
# What is before a colon in a key.
BUCKET = "user"
REPETITIONS = 5
# Records of the same size.
VALUES = 1_000_000
# The row by which readers see whether they read the right thing.
KNOWN = 1


def overwrites(task: Task) -> list[tuple[str, dict[str, Any]]]:
    """Keys that are there, so that the file keeps its size for the next repetition; and other values each
    time, since SQLite leaves alone what does not change.

    Each run takes other keys: REPLACE moves what it writes to the end of the table. Whoever wrote or read the
    same keys afterwards would find them side by side, on a thirtieth of the pages.
    """
    salt = time.time_ns()
    # What the readers look for stays.
    places = (at if at != KNOWN else 0 for at in scattered(task.count, task.rows, randrange(task.rows)))
    return [(key(at), record((at + salt) % VALUES)) for at in places]


def write_each(make: Make) -> Callable[[Task], None]:
    def run(task: Task) -> None:
        work = overwrites(task)
        peer = make(task.store)
        write = peer.write
        write(key(0), record(0))
        with task.timed():
            for message_key, value in work:
                write(message_key, value)
        peer.close()
        task.note = peer.note

    return run


def deliver(make: Make) -> Callable[[Task], None]:
    def run(task: Task) -> None:
        work = overwrites(task)
        peer = make(task.store)
        put = peer.enqueue
        with task.timed():
            for message_key, value in work:
                put(message_key, value)
            peer.flush()
        peer.close()
        task.note = peer.note

    return run


def tether(folder: Any) -> peers.Tether:
    """TetherDB with its file open."""
    peer = peers.Tether(folder)
    peer.write(key(0), record(0))
    return peer


def list_pages(make: Make) -> Callable[[Task], None]:
    """Lists pages somewhere in a bucket that is the whole file."""

    def run(task: Task) -> None:
        places = scattered(task.count, task.rows)
        markers = [str(FIRST_ID + at) for at in places]
        peer = make(task.store)
        page = peer.page
        page(markers[0], PAGE)
        with task.timed():
            for marker in markers:
                found = page(marker, PAGE)
        expect(
            len(found) == min(PAGE, task.rows - 1 - places[-1]), f"{len(found)} messages are in the last page"
        )
        peer.close()
        task.note = peer.note

    return run


class TetherPages(peers.Tether):
    def page(self, marker: str, size: int) -> list[str]:
        return self.db.list_messages(size, marker, BUCKET)["messages"]


class Sqlite3Pages(peers.Sqlite3):
    def page(self, marker: str, size: int) -> list[str]:
        query = "SELECT value FROM Dict WHERE key > ? AND key < ? ORDER BY key LIMIT ?"
        after, end = f"{BUCKET}:{marker}".encode(), f"{BUCKET};".encode()
        return [value.decode() for (value,) in self.cx.execute(query, (after, end, size))]


def both(durability: str, run: Callable[[Task], None], larger: stores.Store) -> list[Contender]:
    """TetherDB on the work's own store, the small file, and on a larger one."""
    return [Contender(SMALL, durability, run), Contender(LARGE, durability, run, store=larger)]


def at_most(factor: float) -> list[Target]:
    return [Target(factor, LARGE, "the small file", at_most=True)]


def contenders() -> Iterator[Workload]:
    large = stores.LARGE_FILE
    dbm, raw = f"{DBM_HELD}, large file", f"{RAW}, large file"
    queue_and_thread = f"{peers_queues.PLAIN} + thread, large file"
    yield Workload(
        "scale-write",
        "large file, direct write of random keys",
        1_000,
        500,
        [
            *both(SYNC_EACH, write_each(tether), large),
            Contender(dbm, SYNC_EACH, write_each(opened_dbm), store=large),
            Contender(raw, SYNC_EACH, Raw("commit"), store=large),
        ],
        at_most(3),
        groups=("scale",),
        store=stores.SMALL_FILE,
        repetitions=REPETITIONS,
    )
    yield Workload(
        "scale-queued",
        "large file, queued end to end, random keys",
        20_000,
        10_000,
        [
            *both(SYNC_BATCH, deliver(tether), large),
            Contender(queue_and_thread, SYNC_BATCH, deliver(peers_queues.HandMadeQueue), store=large),
            Contender(raw, SYNC_BATCH, Raw("bulk"), store=large),
        ],
        at_most(3),
        groups=("scale",),
        store=stores.SMALL_FILE,
        repetitions=REPETITIONS,
    )
    yield Workload(
        "scale-read",
        "large file, read one, random keys",
        20_000,
        10_000,
        [
            *both(READS, read_one(peers.Tether), large),
            Contender(dbm, READS, read_one(opened_dbm), store=large),
            Contender(raw, READS, Raw("lookup"), store=large),
        ],
        at_most(2),
        groups=("scale",),
        store=stores.SMALL_FILE,
        repetitions=REPETITIONS,
    )
    yield Workload(
        "scale-read-many",
        "large file, read_messages of 1000, random keys",
        20_000,
        10_000,
        [
            *both(READS, read_many(peers.Tether, 1_000), large),
            Contender(raw, READS, Raw("lookup-many"), store=large),
        ],
        at_most(2),
        groups=("scale",),
        store=stores.SMALL_FILE,
        repetitions=REPETITIONS,
    )
    yield Workload(
        "scale-list",
        "large file (1 000 000 rows), list_messages, a page of 100 in a bucket",
        500,
        200,
        [
            *both(READS, list_pages(TetherPages), stores.MIDDLE_FILE),
            Contender(
                "sqlite3 SELECT, large file", READS, list_pages(Sqlite3Pages), store=stores.MIDDLE_FILE
            ),
        ],
        at_most(1.5),
        "page",
        groups=("scale",),
        store=stores.SMALL_FILE,
        repetitions=REPETITIONS,
    )

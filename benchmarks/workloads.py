"""What is measured on files: the works, who does each of them, and what TetherDB aims at."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import peers
import peers_queues
import peers_stores
import stores
from contest import SMALL, Contender, Raw, Target, Workload, ours
from records import KB
from tasks import (
    MEMORY,
    NEVER,
    READS,
    SYNC_10K,
    SYNC_BATCH,
    SYNC_EACH,
    SYNC_GROUP,
    SYNC_ONE,
    dbm_locked,
    dbm_threads,
    deliver,
    enqueue,
    iterate,
    read_many,
    read_one,
    shared_by_threads,
    tether,
    write_all,
    write_each,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from contest import Store

DBM_HELD, DBM_EACH = "dbm.sqlite3 held open", "dbm.sqlite3 opened per write"
LMDB, LMDB_10K = "lmdb", "lmdb, 10 000 puts a transaction"
EXECUTEMANY, SELECT = "sqlite3 executemany", "sqlite3 SELECT"
ROCKS, DISKCACHE, SQLITEDICT = "rocksdict", "diskcache", "sqlitedict"
RAW = "raw limit (SQLite in Rust)"
LOCKED, LOCKED_THREADS = "dbm.sqlite3 under a lock, 1 thread", "dbm.sqlite3 under a lock, 16 threads"
# Opening a file for each write takes so long that so many have to do.
OPENED = 400


@dataclass(frozen=True)
class Values:
    """Values of one size, and how much is done with them."""

    size: int
    # Of the names of the works, and of their titles.
    suffix: str
    title: str
    store: Store
    # Messages that are queued, or written in one call; written one by one; read one by one; read in pages of
    # `page`. Each in a full run, and in a quick one.
    many: tuple[int, int]
    each: tuple[int, int]
    reads: tuple[int, int]
    read_many: tuple[int, int]
    page: int
    repetitions: int


SMALL_VALUES = Values(
    SMALL,
    "",
    "",
    stores.READ,
    many=(100_000, 50_000),
    each=(3_000, 1_000),
    reads=(50_000, 20_000),
    read_many=(100_000, 20_000),
    page=1_000,
    repetitions=9,
)
VALUES_OF_1_KB = Values(
    KB,
    "-1kb",
    ", values of 1 KB",
    stores.READ_1_KB,
    many=(20_000, 5_000),
    each=(1_000, 300),
    reads=(20_000, 5_000),
    read_many=(20_000, 4_000),
    page=1_000,
    repetitions=5,
)
VALUES_OF_64_KB = Values(
    64 * KB,
    "-64kb",
    ", values of 64 KB",
    stores.READ_64_KB,
    many=(500, 200),
    each=(300, 100),
    reads=(500, 200),
    read_many=(500, 200),
    page=100,
    repetitions=5,
)


def asleep(folder: Any) -> peers.Tether:
    """A queue whose batch never fills: the worker sleeps while messages come in."""
    return tether(folder, size=1_000_000, max_pending=1_000_000, timeout=600)


def size_1000(folder: Any) -> peers.Tether:
    return tether(folder, size=1000)


def opened_dbm(folder: Any) -> peers.DbmHeldOpen:
    return peers.DbmHeldOpen(folder, "w")


def contenders() -> Iterator[Workload]:
    yield from enqueue_works()
    for values in (SMALL_VALUES, VALUES_OF_1_KB, VALUES_OF_64_KB):
        yield from queued_works(values)
        yield from write_works(values)
        if values is SMALL_VALUES:
            yield write_in_threads()
        yield from read_works(values)


def enqueue_works() -> Iterator[Workload]:
    plain, thread = peers_queues.PLAIN, f"{peers_queues.PLAIN} + thread"
    yield Workload(
        "enqueue",
        "enqueue, worker asleep",
        100_000,
        50_000,
        [
            ours(MEMORY, enqueue(asleep)),
            Contender(plain, MEMORY, enqueue(peers_queues.PlainQueue)),
            Contender(peers_queues.SIMPLE, MEMORY, enqueue(peers_queues.SimpleQueue)),
            Contender(peers_queues.JANUS, MEMORY, enqueue(peers_queues.Janus)),
        ],
        [Target(0.5e-6), Target(6, plain)],
        groups=("queue",),
    )
    yield Workload(
        "enqueue-busy",
        "enqueue, worker delivering (defaults)",
        100_000,
        50_000,
        [
            ours(MEMORY, enqueue(tether)),
            Contender(thread, MEMORY, enqueue(peers_queues.HandMadeQueue)),
            Contender(f"{peers_queues.SIMPLE} + thread", MEMORY, enqueue(peers_queues.HandMadeSimpleQueue)),
            Contender(f"{peers_queues.JANUS} + task", MEMORY, enqueue(peers_queues.HandMadeJanus)),
        ],
        [Target(0.5e-6), Target(6, thread)],
        groups=("queue",),
    )


def groups(values: Values, *more: str) -> tuple[str, ...]:
    return ("local", *more) if values is SMALL_VALUES else ("local", *more, "sizes")


def queued_works(values: Values) -> Iterator[Workload]:
    """Queued end to end. The targets are those of small values."""
    share = OPENED / values.many[0]
    per_write = [Contender(DBM_EACH, SYNC_EACH, write_each(peers.DbmPerWrite), share)]
    if sys.version_info < (3, 13) and values is SMALL_VALUES:
        other = Contender("dbm.open per write", NEVER, write_each(peers.DefaultDbmPerWrite), share)
        per_write.append(other)
    yield Workload(
        f"queued{values.suffix}",
        f"queued end to end, defaults (size 10){values.title}",
        *values.many,
        [
            ours(SYNC_BATCH, deliver(tether)),
            *per_write,
            Contender(f"{peers_queues.PLAIN} + thread", SYNC_BATCH, deliver(peers_queues.HandMadeQueue)),
            Contender(
                f"{peers_queues.SIMPLE} + thread", SYNC_BATCH, deliver(peers_queues.HandMadeSimpleQueue)
            ),
            Contender(RAW, SYNC_10K, Raw("bulk")),
        ],
        [Target(500, DBM_EACH), Target(0.5, RAW)] if values is SMALL_VALUES else [],
        groups=groups(values, "queue"),
        size=values.size,
        repetitions=values.repetitions,
    )
    yield Workload(
        f"queued-1000{values.suffix}",
        f"queued end to end, size 1000{values.title}",
        *values.many,
        [
            ours(SYNC_BATCH, deliver(size_1000)),
            Contender(LMDB_10K, SYNC_10K, write_all(peers.Lmdb, most=10_000)),
            Contender(RAW, SYNC_10K, Raw("bulk")),
        ],
        [Target(1.5, LMDB_10K), Target(0.6, RAW)] if values is SMALL_VALUES else [],
        groups=groups(values, "queue"),
        size=values.size,
        repetitions=values.repetitions,
    )


def write_works(values: Values) -> Iterator[Workload]:
    yield Workload(
        f"write-many{values.suffix}",
        f"write_messages, all in one call{values.title}",
        *values.many,
        [
            ours(SYNC_ONE, write_all(tether)),
            Contender(EXECUTEMANY, SYNC_ONE, write_all(peers.Sqlite3)),
            Contender(LMDB, SYNC_ONE, write_all(peers.Lmdb)),
            Contender(ROCKS, SYNC_ONE, write_all(peers_stores.Rocks)),
            # These write one row after the other, also in a transaction.
            Contender(DISKCACHE, SYNC_ONE, write_all(peers_stores.DiskCache), 0.1),
            Contender(SQLITEDICT, SYNC_ONE, write_all(peers_stores.SqliteDict.for_many), 0.2),
            Contender(RAW, SYNC_10K, Raw("bulk")),
        ],
        [Target(2, EXECUTEMANY), Target(1.5, LMDB)] if values is SMALL_VALUES else [],
        groups=groups(values),
        size=values.size,
        repetitions=values.repetitions,
    )
    yield Workload(
        f"write{values.suffix}",
        f"direct write, 1 thread{values.title}",
        *values.each,
        [
            ours(SYNC_EACH, write_each(tether)),
            Contender(DBM_HELD, SYNC_EACH, write_each(peers.DbmHeldOpen)),
            Contender(LMDB, SYNC_EACH, write_each(peers.Lmdb)),
            Contender(ROCKS, SYNC_EACH, write_each(peers_stores.Rocks)),
            Contender(DISKCACHE, SYNC_EACH, write_each(peers_stores.DiskCache)),
            Contender(SQLITEDICT, SYNC_EACH, write_each(peers_stores.SqliteDict)),
            Contender(RAW, SYNC_EACH, Raw("commit")),
        ],
        [Target(0.95, RAW)] if values is SMALL_VALUES else [],
        groups=groups(values),
        size=values.size,
        repetitions=values.repetitions,
    )


def write_in_threads() -> Workload:
    return Workload(
        "write-threads",
        "direct write, 16 threads",
        # As many as it takes for the log to have been carried into the file a few times: until then it grows,
        # which makes every sync slower.
        16_000,
        4_000,
        [
            ours(SYNC_GROUP, shared_by_threads(tether)),
            Contender(LOCKED, SYNC_EACH, dbm_locked),
            Contender(LOCKED_THREADS, SYNC_EACH, dbm_threads),
            Contender(f"{ROCKS}, 16 threads", SYNC_GROUP, shared_by_threads(peers_stores.Rocks)),
            Contender(f"{DISKCACHE}, 16 threads", SYNC_EACH, shared_by_threads(peers_stores.DiskCache), 0.06),
            Contender(
                f"{SQLITEDICT}, 16 threads", SYNC_EACH, shared_by_threads(peers_stores.SqliteDict), 0.12
            ),
            Contender(RAW, SYNC_EACH, Raw("commit")),
        ],
        [Target(6, LOCKED), Target(6, LOCKED_THREADS)],
        groups=("local",),
    )


def read_works(values: Values) -> Iterator[Workload]:
    yield Workload(
        f"read{values.suffix}",
        f"read one{values.title}",
        *values.reads,
        [
            ours(READS, read_one(peers.Tether)),
            Contender(DBM_HELD, READS, read_one(opened_dbm)),
            Contender(LMDB, READS, read_one(peers.Lmdb)),
            Contender(ROCKS, READS, read_one(peers_stores.Rocks)),
            Contender(DISKCACHE, READS, read_one(peers_stores.DiskCache), 0.2),
            Contender(SQLITEDICT, READS, read_one(peers_stores.SqliteDict), 0.2),
            Contender(RAW, READS, Raw("lookup")),
        ],
        [Target(1.2, DBM_HELD)] if values is SMALL_VALUES else [],
        groups=groups(values),
        size=values.size,
        store=values.store,
        repetitions=values.repetitions,
    )
    yield Workload(
        f"read-many{values.suffix}",
        f"read_messages of {values.page}{values.title}",
        *values.read_many,
        [
            ours(READS, read_many(peers.Tether, values.page)),
            Contender(LMDB, READS, read_many(peers.Lmdb, values.page)),
            Contender(ROCKS, READS, read_many(peers_stores.Rocks, values.page)),
            Contender(DISKCACHE, READS, read_many(peers_stores.DiskCache, values.page), 0.1),
            Contender(RAW, READS, Raw("lookup-many")),
        ],
        [Target(1, LMDB)] if values is SMALL_VALUES else [],
        groups=groups(values),
        size=values.size,
        store=values.store,
        repetitions=values.repetitions,
    )
    yield Workload(
        f"iterate{values.suffix}",
        f"iterate over all{values.title}",
        0,
        0,
        [
            ours(READS, iterate(peers.Tether)),
            Contender(SELECT, READS, iterate(peers.Sqlite3)),
            Contender(LMDB, READS, iterate(peers.Lmdb)),
            Contender(ROCKS, READS, iterate(peers_stores.Rocks)),
            Contender(DISKCACHE, READS, iterate(peers_stores.DiskCache)),
            Contender(SQLITEDICT, READS, iterate(peers_stores.SqliteDict)),
            Contender(RAW, READS, Raw("scan")),
        ],
        [Target(2, SELECT)] if values is SMALL_VALUES else [],
        groups=groups(values),
        size=values.size,
        store=values.store,
        repetitions=values.repetitions,
    )

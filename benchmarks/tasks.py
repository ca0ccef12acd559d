"""How the works on files are done, whoever does them.

A function here prepares its store, does the work inside ``with task.timed()``, and checks what came of it.
It runs in a process of its own, see ``measure.py``. ``make`` opens the contender's store in a folder.
"""

from __future__ import annotations

import threading
from collections import deque
from itertools import islice
from typing import TYPE_CHECKING, Any

import peers
from contest import expect
from records import items, key, record, scattered_keys

if TYPE_CHECKING:
    from collections.abc import Callable

    from measure import Task

    Make = Callable[[Any], Any]

THREADS = 16

SYNC_EACH = "disk sync per write"
SYNC_GROUP = "disk sync per group"
SYNC_BATCH = "disk sync per batch"
SYNC_ONE = "one disk sync"
SYNC_10K = "disk sync per 10 000"
MEMORY = "none (memory)"
NEVER = "none (never syncs)"
READS = "reads"


def tether(folder: Any, **settings: Any) -> peers.Tether:
    """TetherDB with its file open, as the others have it when made: it opens with the first write."""
    peer = peers.Tether(folder, **settings)
    peer.write("first", {})
    return peer


# Writing


def enqueue(make: Make) -> Callable[[Task], None]:
    """Hands messages over; what happens to them afterwards is not timed."""

    def run(task: Task) -> None:
        work = items(task.count, task.size)
        peer = make(task.folder)
        put = peer.enqueue
        put("first", {})  # starts the worker
        with task.timed():
            for message_key, value in work:
                put(message_key, value)
        peer.close()
        task.note = peer.note

    return run


def deliver(make: Make) -> Callable[[Task], None]:
    """Hands messages over and waits until all are on disk."""

    def run(task: Task) -> None:
        work = items(task.count, task.size)
        peer = make(task.folder)
        put = peer.enqueue
        with task.timed():
            for message_key, value in work:
                put(message_key, value)
            peer.flush()
        peer.close()
        task.note = peer.note

    return run


def write_all(make: Make, **how: Any) -> Callable[[Task], None]:
    """Hands all over in one call."""

    def run(task: Task) -> None:
        work = items(task.count, task.size)
        peer = make(task.folder)
        with task.timed():
            peer.write_all(work, **how)
        peer.close()
        task.note = peer.note

    return run


def write_each(make: Make) -> Callable[[Task], None]:
    """Writes one after the other; each is on disk before the next one begins."""

    def run(task: Task) -> None:
        work = items(task.count, task.size)
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
    work = items(task.count, task.size)
    barrier = threading.Barrier(THREADS + 1)
    threads = [threading.Thread(target=body, args=(work[at::THREADS], barrier.wait)) for at in range(THREADS)]
    for thread in threads:
        thread.start()
    barrier.wait()  # each has its store open
    with task.timed():
        barrier.wait()
        for thread in threads:
            thread.join()


def shared_by_threads(make: Make, verb: str = "write") -> Callable[[Task], None]:
    """16 threads with one object."""

    def run(task: Task) -> None:
        peer = make(task.folder)
        put = getattr(peer, verb)

        def body(share: list[tuple[str, dict[str, Any]]], wait: Callable[[], object]) -> None:
            wait()
            wait()
            for message_key, value in share:
                put(message_key, value)

        in_threads(task, body)
        peer.close()
        task.note = peer.note

    return run


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
    work = items(task.count, task.size)
    peer = peers.DbmHeldOpen(task.folder)
    lock = threading.Lock()
    with task.timed():
        for message_key, value in work:
            with lock:
                peer.write(message_key, value)
    peer.close()


# Reading: every contender reads the same rows, see `stores.py`.


def read_one(make: Make) -> Callable[[Task], None]:
    def run(task: Task) -> None:
        keys = scattered_keys(task.count, task.rows)
        peer = make(task.store)
        read = peer.read
        expect(read(key(1)) == record(1, task.size), "a wrong value was read")
        with task.timed():
            for message_key in keys:
                read(message_key)
        peer.close()
        task.note = peer.note

    return run


def read_many(make: Make, page: int) -> Callable[[Task], None]:
    """Reads ``page`` keys in a call."""

    def run(task: Task) -> None:
        keys = iter(scattered_keys(task.count, task.rows))
        pages = list(iter(lambda: list(islice(keys, page)), []))
        peer = make(task.store)
        expect(peer.read_all([key(1)]) == {key(1): record(1, task.size)}, "a wrong value was read")
        with task.timed():
            for page_of_keys in pages:
                found = peer.read_all(page_of_keys)
        expect(len(found) == len(set(pages[-1])), "not all keys were found")
        peer.close()
        task.note = peer.note

    return run


def iterate(make: Make) -> Callable[[Task], None]:
    def run(task: Task) -> None:
        peer = make(task.store)
        with task.timed():
            last = deque(peer.iterate(), maxlen=1)
        expected = (key(task.rows - 1), record(task.rows - 1, task.size))
        expect(last[0] == expected, "another last row was expected")
        peer.close()
        task.note = peer.note

    return run

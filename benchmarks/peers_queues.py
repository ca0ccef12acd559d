"""The queues that are compared: those in memory, with or without a thread that writes, and those on disk.

All have ``enqueue(key, value)``, those that deliver also ``flush()``, and ``close()``.
"""

from __future__ import annotations

import asyncio
import os
import queue
import threading
from importlib.metadata import version
from json import dumps
from typing import TYPE_CHECKING, Any

from peers import REPLACE, Sqlite3

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PLAIN = "queue.Queue + json.dumps"
SIMPLE = "queue.SimpleQueue + json.dumps"
JANUS = "janus + json.dumps"


class PlainQueue:
    """``queue.Queue`` and ``json.dumps`` in the caller, nobody at the other end."""

    note = ""

    def __init__(self, _folder: Path) -> None:
        self.queue = self.make()
        put = self.queue.put

        def enqueue(key: str, value: dict[str, Any]) -> None:
            put((key, dumps(value)))

        self.enqueue = enqueue

    def make(self) -> Any:
        return queue.Queue()

    def close(self) -> None:
        pass


class SimpleQueue(PlainQueue):
    """``queue.SimpleQueue``: written in C, without ``task_done``."""

    def make(self) -> Any:
        return queue.SimpleQueue()


class Janus(PlainQueue):
    """``janus``: threads put, and tasks get."""

    def make(self) -> Any:
        import janus

        self.note = f"janus {version('janus')}"
        self.janus = janus.Queue()
        return self.janus.sync_q

    def close(self) -> None:
        self.janus.close()


class HandMadeQueue(PlainQueue):
    """The same with a thread at the other end that writes what has come with ``executemany``."""

    MOST = 10_000

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.store = Sqlite3(folder)
        self.note = ", ".join(note for note in (self.note, self.store.note) if note)
        self.thread = threading.Thread(target=self._deliver)
        self.thread.start()

    def _deliver(self) -> None:
        while (first := self.queue.get()) is not None:
            if self._write(first, self.queue.get_nowait):
                return

    def _write(self, first: tuple[str, str], get_nowait: Callable[[], tuple[str, str] | None]) -> bool:
        """Writes what has come up to now; whether that was all."""
        batch = [first]
        try:
            while len(batch) < self.MOST and (message := get_nowait()) is not None:
                batch.append(message)
            last = len(batch) < self.MOST
        except (queue.Empty, asyncio.QueueEmpty):
            last = False
        with self.store.cx as cx:
            cx.executemany(REPLACE, ((key.encode(), text.encode()) for key, text in batch))
        return last

    def flush(self) -> None:
        self.queue.put(None)
        self.thread.join()

    def close(self) -> None:
        if self.thread.is_alive():
            self.flush()
        self.store.close()
        super().close()


class HandMadeSimpleQueue(HandMadeQueue, SimpleQueue):
    pass


class HandMadeJanus(HandMadeQueue, Janus):
    """The same, but what writes is a task of an event loop."""

    def _deliver(self) -> None:
        asyncio.run(self._deliver_in_loop())

    async def _deliver_in_loop(self) -> None:
        messages = self.janus.async_q
        while (first := await messages.get()) is not None:
            if self._write(first, messages.get_nowait):
                return


class PersistQueue:
    """``persist-queue``: its ``SQLiteQueue``, in WAL mode; each ``put`` is a commit, with a disk sync.

    Its queue of files syncs every hundredth ``put`` alone. Values are pickled, as it does by itself.
    """

    def __init__(self, folder: Path) -> None:
        from persistqueue import SQLiteQueue

        self.note = f"persist-queue {version('persist-queue')}"
        # What its page advises where threads share a queue.
        messages = SQLiteQueue(str(folder / "queue"), auto_commit=True, multithreading=True)
        put = messages.put

        def enqueue(key: str, value: dict[str, Any]) -> None:
            put((key, value))

        self.enqueue = enqueue
        self.close = messages.close


class PersistQueueOfFiles:
    """``persist-queue``: its ``Queue`` of files, which syncs the disk for every hundredth ``put`` alone."""

    def __init__(self, folder: Path) -> None:
        from persistqueue import Queue

        self.note = f"persist-queue {version('persist-queue')}"
        (folder / "temporary").mkdir()
        messages = Queue(str(folder / "queue"), tempdir=str(folder / "temporary"))
        put = messages.put

        def enqueue(key: str, value: dict[str, Any]) -> None:
            put((key, value))

        self.enqueue = enqueue

    def close(self) -> None:
        pass


class RawLog:
    """The least that can be done: append to a file, and sync it."""

    def __init__(self, folder: Path, *, sync: bool) -> None:
        self.note = ""
        file = os.open(folder / "log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self.close = lambda: os.close(file)

        def append(key: str, value: dict[str, Any]) -> None:
            os.write(file, f"{key}{dumps(value)}\n".encode())
            if sync:
                os.fdatasync(file)

        self.enqueue = append

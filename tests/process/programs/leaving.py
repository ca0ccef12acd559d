"""A program that leaves in the middle of its work, by a way and at a moment that chance chooses.

Arguments: the file, the file of its notes, a seed. What a call has returned for is noted, one key a line. The
first line of output says how it will leave.
"""

from __future__ import annotations

import _thread
import atexit
import os
import random
import signal
import sys
import threading
import time
from typing import TYPE_CHECKING

from TetherDB import DB, QueueFull

if TYPE_CHECKING:
    from collections.abc import Callable

WAYS = ["return", "exit", "exception", "interrupt", "with", "exit-in-thread", "at-exit", "stop", "delete"]


class Work:
    """What the threads do until they are told to end, or are stopped by the end."""

    def __init__(self, db: DB, notes: int, seed: str) -> None:
        self.db = db
        self.notes = notes
        self.random = random.Random(seed)
        self.name = seed
        self.ended = threading.Event()
        self.turn = 0
        # `stop` refuses those who wait for room at that moment; the end of the program does not.
        self.stopped = False

    def note(self, *keys: str) -> None:
        os.write(self.notes, "".join(f"{key}\n" for key in keys).encode())

    def key(self, kind: str) -> str:
        self.turn += 1
        return f"{kind}-{self.name}-{self.turn}"

    def direct(self) -> None:
        key = self.key("direct")
        assert self.db.write_message(key, {"key": key})
        self.note(key)

    def queued(self) -> None:
        key = self.key("queued")
        try:
            assert self.db.write_queue_message(key, {"key": key})
        except QueueFull:
            if not self.stopped:
                raise
        else:
            self.note(key)

    def bulk(self) -> None:
        keys = [self.key("bulk") for _ in range(10)]
        assert self.db.write_messages({key: {"key": key} for key in keys}) == 10
        self.note(*keys)

    def receipt(self) -> None:
        key = self.key("receipt")
        try:
            receipt = self.db.write_queue_message(key, {"key": key}, receipt=True)
        except QueueFull:
            if not self.stopped:
                raise
        else:
            self.note(key)
            # Its batch may never fill.
            if not receipt.wait(0.05):
                self.db.flush()
                assert receipt.wait(60)

    def read(self) -> None:
        self.db.read_message("direct")
        self.db.list_messages(page_size=20)
        for _ in self.db.iter_messages(page_size=50):
            if self.random.random() < 0.02:
                break
        self.db.stats()

    def flush(self) -> None:
        time.sleep(self.random.random() / 50)
        self.db.flush()

    def fork(self) -> None:
        time.sleep(self.random.random() / 20)
        child = os.fork()
        if not child:
            self.name += "-child"
            self.direct()
            self.queued()
            self.db.flush()
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0

    def run(self, work: Callable[[], None]) -> None:
        while not self.ended.is_set():
            work()


def leave(way: str, db: DB, seconds: float, use: Callable[[], None]) -> None:
    time.sleep(seconds)
    match way:
        case "exit":
            sys.exit(7)
        case "exception":
            raise RuntimeError("of the program")
        case "interrupt":
            _thread.interrupt_main()
            time.sleep(60)
        case "with":
            with db:
                use()
                sys.exit(8)
        case "at-exit":
            atexit.register(use)
        case "exit-in-thread":

            def use_and_exit() -> None:
                use()
                sys.exit(9)

            threading.Thread(target=use_and_exit).start()
        case "stop":
            db.stop()
        case _:
            pass


def main() -> None:
    path, notes, seed = sys.argv[1:]
    # Ctrl-C works also where the shell that runs the tests ignores it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    chance = random.Random(seed)
    db = DB(
        {
            "local": {"filepath": path, "busy_timeout": 60, "synchronous": chance.choice(["full", "off"])},
            "queue_batch": {
                "size": chance.choice([1, 10, 1000]),
                "timeout": chance.choice([0.0, 0.02, 600.0]),
                "max_pending": chance.choice([20, 100_000]),
                "exit_timeout": 60,
            },
        }
    )
    descriptor = os.open(notes, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    way = chance.choice(WAYS)
    print(way, flush=True)
    works: list[Work] = []
    for number in range(chance.randrange(9)):
        work = Work(db, descriptor, f"{number}")
        work.stopped = way in ("with", "stop")
        kind = chance.choice(["direct", "queued", "queued", "bulk", "receipt", "read", "flush", "fork"])
        # Threads that are no daemons are waited for by Python, so they are told.
        daemon = chance.random() < 0.8
        if not daemon:
            works.append(work)
        threading.Thread(target=work.run, args=(getattr(work, kind),), daemon=daemon).start()
    main_work = Work(db, descriptor, "main")
    for _ in range(chance.choice([0, 10, 1000])):
        main_work.queued()
    if way == "delete":
        del db
        main_work = Work(DB({"local": {"filepath": path, "busy_timeout": 60}}), descriptor, "other")

    def use() -> None:
        main_work.direct()
        main_work.queued()
        main_work.read()

    try:
        leave(way, main_work.db, chance.uniform(0, 0.2), use)
    finally:
        for work in works:
            work.ended.set()


if __name__ == "__main__":
    main()

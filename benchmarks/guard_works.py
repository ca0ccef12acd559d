"""The works of the guard, each in a process of its own: ``guard_works.py WORK COUNT OF FOLDER``.

Everything is prepared for ``OF`` messages and done with ``COUNT`` of them, so that two runs differ in nothing
but the work. No step depends on the clock: a batch never fills, and is sent by ``flush`` alone.
"""

from __future__ import annotations

import os
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from records import key, record

if TYPE_CHECKING:
    from collections.abc import Callable

    from TetherDB import DB

    Items = list[tuple[str, Any]]
    Step = Callable[[DB, Items], None]


def text(at: int) -> str:
    return f"{at:0100}"


def varied(at: int) -> dict[str, Any]:
    """What the plain record has not: numbers of every length, nesting, escapes, other scripts."""
    return {
        "numbers": [at / 7, -at, 1e-7 * at, at * 10**9, None, False],
        "nested": {"list": [[at], {}, []], "deeper": {"even": {"more": at}}},
        "escapes": f'tab\there, "quoted", line\n{at}',
        "scripts": f"grüße, привет, 你好, 🎉 {at}",
        "empty": "",
    }


# What is done before, so that the first verb of a kind, which opens and starts things, is not in the work.


def opened(db: DB, _: Items) -> None:
    db.write_message("first", {})


def asleep(db: DB, _: Items) -> None:
    db.write_message("first", {})
    db.write_queue_message("first", {})
    # That wakes the worker up. From now on it sleeps until a flush; it only has to get there.
    time.sleep(1)


def filled(db: DB, items: Items) -> None:
    db.write_messages(items)
    db.read_message("first")


# The works


def enqueue(db: DB, items: Items) -> None:
    put = db.write_queue_message
    for message_key, value in items:
        put(message_key, value)


def deliver(each: int) -> Step:
    def run(db: DB, items: Items) -> None:
        for at in range(0, len(items), each):
            enqueue(db, items[at : at + each])
            db.flush()

    return run


def write(db: DB, items: Items) -> None:
    for message_key, value in items:
        db.write_message(message_key, value)


def write_many(db: DB, items: Items) -> None:
    db.write_messages(items)


def read(db: DB, items: Items) -> None:
    for message_key, _ in items:
        db.read_message(message_key)


def read_many(db: DB, items: Items) -> None:
    keys = [message_key for message_key, _ in items]
    for at in range(0, len(keys), 500):
        db.read_messages(keys[at : at + 500])


def iterate(db: DB, items: Items) -> None:
    entries = db.iter_messages(page_size=500)
    for _ in items:
        next(entries)


@dataclass(frozen=True)
class Work:
    # Messages in the first of the two runs.
    count: int
    make: Callable[[int], Any]
    before: Step
    run: Step


WORKS = {
    "enqueue": Work(2000, record, asleep, enqueue),
    "enqueue-text": Work(2000, text, asleep, enqueue),
    "enqueue-varied": Work(1000, varied, asleep, enqueue),
    "deliver-10": Work(1000, record, asleep, deliver(10)),
    "deliver-1000": Work(2000, record, asleep, deliver(1000)),
    "write": Work(200, record, opened, write),
    "write-many": Work(2000, record, opened, write_many),
    "read": Work(1000, record, filled, read),
    "read-many": Work(2000, record, filled, read_many),
    "read-varied": Work(1000, varied, filled, read_many),
    "iterate": Work(2000, record, filled, iterate),
}


def main(name: str, count: int, of: int, folder: str) -> None:
    from TetherDB import DB

    work = WORKS[name]
    items = [(key(at), work.make(at)) for at in range(of)]
    batch = {"size": 1_000_000, "max_pending": 1_000_000, "timeout": 86_400}
    db = DB({"local": {"filepath": f"{folder}/store"}, "queue_batch": batch})
    work.before(db, items)
    work.run(db, items[:count])
    # The usual end of the program would deliver what is queued.
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4])

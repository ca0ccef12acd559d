"""A program that writes until it is killed, and notes what it is about to do and what has returned.

Arguments: the file, the file of its notes, a prefix for its keys, a seed. Every key belongs to one thread.
Notes are whole lines, appended by one system call:

    try KEY STATE      about to bring a key into a state, by a direct verb
    done KEY STATE     that verb has returned
    flushed KEY STATE  a queued write whose `flush` or receipt has returned

A state is the number of a version, or 0 for a deleted key.
"""

from __future__ import annotations

import os
import random
import sys
import threading
from typing import Any

from TetherDB import DB


def value(version: int) -> dict[str, Any]:
    """What is written as this version of a key: large enough for several pages now and then."""
    return {"version": version, "text": "x" * (version * 37 % 3000)}


class Writer:
    """One thread's work."""

    def __init__(self, db: DB, notes: int, prefix: str, seed: str) -> None:
        self.db = db
        self.notes = notes
        self.prefix = prefix
        self.random = random.Random(seed)
        self.version = 0
        self.states: dict[str, int] = {}

    def note(self, *lines: str) -> None:
        os.write(self.notes, "".join(f"{line}\n" for line in lines).encode())

    def next_version(self) -> int:
        self.version += 1
        return self.version

    def direct(self) -> None:
        key = f"{self.prefix}:direct:{self.random.randrange(8)}"
        old = self.states.get(key, 0)
        verb = self.random.choice(["write", "write", "update", "delete"])
        new = 0 if verb == "delete" else self.next_version()
        if verb == "update" and not old:
            new = 0
        self.note(f"try {key} {new}")
        if verb == "write":
            assert self.db.write_message(key, value(new))
        elif verb == "update":
            assert self.db.update_message(key, value(new)) is bool(old)
        else:
            assert self.db.delete_message(key) is bool(old)
        self.note(f"done {key} {new}")
        self.states[key] = new

    def bulk(self) -> None:
        number = self.next_version()
        keys = [f"{self.prefix}:bulk:{number}:{i}" for i in range(25)]
        self.note(*(f"try {key} {number}" for key in keys))
        assert self.db.write_messages({key: value(number) for key in keys}) == 25
        self.note(*(f"done {key} {number}" for key in keys))

    def queued(self) -> None:
        written: dict[str, int] = {}
        for _ in range(self.random.randrange(1, 60)):
            key = f"{self.prefix}:queued:{self.random.randrange(10)}"
            written[key] = self.next_version()
            assert self.db.write_queue_message(key, value(written[key]))
        self.db.flush()
        self.note(*(f"flushed {key} {version}" for key, version in written.items()))

    def receipt(self) -> None:
        key = f"{self.prefix}:receipt:{self.random.randrange(3)}"
        version = self.next_version()
        receipt = self.db.write_queue_message(key, value(version), receipt=True)
        assert receipt.wait(60)
        self.note(f"flushed {key} {version}")

    def run(self, work: str) -> None:
        while True:
            getattr(self, work)()


def main() -> None:
    path, notes, prefix, seed = sys.argv[1:]
    chance = random.Random(seed)
    db = DB(
        {
            "local": {
                "filepath": path,
                "busy_timeout": 60,
                "synchronous": chance.choice(["full", "normal", "off"]),
            },
            "queue_batch": {"size": chance.choice([1, 10, 100]), "timeout": chance.choice([0.0, 0.01])},
        }
    )
    descriptor = os.open(notes, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    print("ready", flush=True)
    for number in range(chance.randrange(1, 8)):
        work = chance.choice(["direct", "bulk", "queued", "receipt"])
        writer = Writer(db, descriptor, f"{prefix}:{number}", f"{seed}-{number}")
        threading.Thread(target=writer.run, args=(work,)).start()


if __name__ == "__main__":
    main()

"""A program with child processes of `multiprocessing`: arguments are the start method and the file."""

from __future__ import annotations

import multiprocessing
import os
import sys
from typing import Any

from TetherDB import DB

CONFIG: dict[str, Any] = {
    "local": {"busy_timeout": 60, "synchronous": "normal"},
    "queue_batch": {"size": 1000, "timeout": 60},
}
inherited: DB | None = None


def open_db(path: str) -> DB:
    return DB({**CONFIG, "local": {**CONFIG["local"], "filepath": path}})


def work(number: int, path: str) -> int:
    """Runs in the child, with the inherited handle where there is one; gives what it has read."""
    db = inherited or open_db(path)
    assert db.read_message("parent") == {"from": "parent"}
    assert db.write_message(f"direct-{number}", {"number": number})
    assert db.write_queue_message(f"queued-{number}", {"number": number})
    db.flush()
    found = db.read_message(f"queued-{number}")
    assert isinstance(found, dict)
    if inherited is None:
        # A child that was spawned ends like any program, so what it leaves in the queue is delivered;
        # the others leave through os._exit, and have to flush.
        db.write_queue_message(f"late-{number}", "text")
        if multiprocessing.get_start_method() != "spawn":
            db.flush()
    result: int = found["number"]
    return result


def main() -> None:
    global inherited
    method, path = sys.argv[1:]
    multiprocessing.set_start_method(method)
    db = open_db(path)
    db.write_message("parent", {"from": "parent"})
    db.write_queue_message("parent-queued", "text")
    if method == "fork":
        inherited = db
    children = [multiprocessing.Process(target=work, args=(number, path)) for number in range(4)]
    for child in children:
        child.start()
    for child in children:
        child.join(50)
        assert child.exitcode == 0, child.exitcode
    with multiprocessing.Pool(2) as pool:
        assert pool.starmap(work, [(number, path) for number in range(4, 12)]) == list(range(4, 12))
        pool.close()
        pool.join()
    found = db.read_messages(f"{kind}-{i}" for kind in ("direct", "queued") for i in range(12))
    assert len(found) == 24, sorted(found)
    assert db.read_message("parent-queued") is None, "a child has delivered the parent's message"
    assert os.getpid() == multiprocessing.current_process().pid


if __name__ == "__main__":
    main()

"""A full queue with a journal: who waits or is refused has left nothing in it."""

from __future__ import annotations

import signal
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from process.scripts import locked as locked_here
from process.scripts import prepare
from TetherDB import DB, FlushTimeout, LimitExceeded, QueueFull, TetherDBError

from .support import EAGER, SOON, adds_up, every_sync, kill, program, run_killed

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from pathlib import Path

    History = Callable[[str], list[str | None]]
    Locked = Callable[[], AbstractContextManager[None]]

SMALL: dict[str, Any] = {"max_pending": 3, **EAGER}


def leave(db: DB, count: int) -> None:
    """Stops it while nothing can be delivered."""
    with pytest.raises(FlushTimeout, match=f"^{count} queued"):
        db.stop(timeout=0.05)


@every_sync
@pytest.mark.parametrize("bound", [{"max_pending": 3}, {"max_pending_bytes": 30}], ids=["messages", "bytes"])
def test_when_full_raise_leaves_nothing_of_what_is_refused(
    history: History,
    journal: Path,
    locked: Locked,
    open_journal: Callable[..., DB],
    bound: dict[str, int],
    sync: str,
) -> None:
    queue = {"when_full": "raise", "journal_sync": sync, **EAGER, **bound}
    db = open_journal(local={"busy_timeout": 0}, queue_batch=queue)
    db.write_message("k", "before")
    with locked():
        for number in range(3):
            db.write_queue_message("k", f"message {number}")
        before = journal.read_bytes()
        for _ in range(5):
            with pytest.raises(QueueFull, match="'k'"):
                db.write_queue_message("k", "too much!")
            with pytest.raises(QueueFull, match="'k'"):
                db.write_message("k", "too much!", queue=True)
        assert journal.read_bytes() == before
        assert db.stats()["local"]["pending"] == 3
        adds_up(db)
        leave(db, 3)
    after = open_journal()
    after.flush()
    assert history("k") == ["before", *(f"message {number}" for number in range(3))]


def test_a_message_larger_than_the_queue_is_not_in_the_journal(
    journal: Path, open_journal: Callable[..., DB]
) -> None:
    db = open_journal(queue_batch={"max_pending_bytes": 100})
    before = journal.read_bytes()
    with pytest.raises(LimitExceeded, match="max_pending_bytes"):
        db.write_queue_message("k", "x" * 100)
    assert journal.read_bytes() == before


def test_stop_releases_who_waits_with_queue_full(
    history: History, locked: Locked, open_journal: Callable[..., DB]
) -> None:
    db = open_journal(local={"busy_timeout": 0}, queue_batch=SMALL)
    db.write_message("k", "before")
    outcomes: list[object] = []

    def produce(text: str) -> None:
        try:
            outcomes.append(db.write_queue_message("k", text))
        except TetherDBError as error:
            outcomes.append(error)

    threads = [threading.Thread(target=produce, args=(f"waits {number}",)) for number in range(4)]
    with locked():
        for number in range(3):
            db.write_queue_message("k", f"{number}")
        for thread in threads:
            thread.start()
        time.sleep(0.2)
        assert outcomes == []
        leave(db, 3)
        for thread in threads:
            thread.join(SOON + 10)
            assert not thread.is_alive()
    assert [type(outcome) for outcome in outcomes] == [QueueFull] * 4, outcomes
    adds_up(db)
    db.write_queue_message("k", "after")
    db.flush()
    assert history("k") == ["before", "0", "1", "2", "after"]


def test_who_waits_is_served_once_there_is_room(
    history: History, locked: Locked, open_journal: Callable[..., DB]
) -> None:
    db = open_journal(local={"busy_timeout": 0}, queue_batch=SMALL)
    db.write_message("k", "before")
    outcomes: list[bool] = []

    def produce() -> None:
        outcomes.extend(db.write_queue_message("k", f"{number}") for number in range(50))

    thread = threading.Thread(target=produce)
    with locked():
        thread.start()
        time.sleep(0.2)
        assert len(outcomes) <= 3
        assert db.stats()["local"]["pending"] == 3
    thread.join()
    db.flush()
    assert history("k") == ["before", *(f"{number}" for number in range(50))]
    assert db.stats()["local"]["accepted"] == 50


def test_more_in_the_journal_than_the_queue_may_hold_is_delivered_and_then_bounded(
    tmp_path: Path, history: History, open_journal: Callable[..., DB]
) -> None:
    run_killed(tmp_path, "db = open_db()\nfor i in range(500): db.write_queue_message('k', f'{i}')\n")
    db = open_journal(queue_batch={**SMALL, "size": 10})
    for number in range(500, 520):
        # Waits until there is room for one.
        assert db.write_queue_message("k", f"{number}") is True
        assert db.stats()["local"]["pending"] <= 3
    db.flush()
    assert history("k") == [f"{number}" for number in range(520)]


# Ctrl-C comes into a call that waits for room, twice.
PRODUCER = """
    logging.disable()
    db = open_db(max_pending=3, busy_timeout=100, journal_sync=sys.argv[1])
    for number in range(3):
        db.write_queue_message("k", f"{number}")
    for _ in range(2):
        print("ready", flush=True)
        try:
            db.write_queue_message("k", "never")
        except KeyboardInterrupt:
            print("interrupted", time.monotonic(), flush=True)
    account = db.stats()["local"]
    assert account["pending"] == account["accepted"] == 3, account
    print("done", flush=True)
    sys.stdin.readline()
    db.write_queue_message("k", "last")
    print("queued", flush=True)
    sys.stdin.readline()
"""


@every_sync
def test_ctrl_c_ends_the_wait_of_a_producer_and_leaves_nothing(
    tmp_path: Path, path: Path, open_journal: Callable[..., DB], sync: str
) -> None:
    prepare(path)
    with locked_here(path) as release, program(tmp_path, PRODUCER, sync) as started:
        for _ in range(2):
            started.expect("ready")
            time.sleep(0.2)
            sent = time.monotonic()
            started.send(signal.SIGINT)
            assert float(started.expect("interrupted")) - sent < 0.2 + SOON
        started.expect("done")
        assert tmp_path.joinpath("journal").read_bytes().count(b"never") == 0
        release()
        started.tell()
        started.expect("queued")
        kill(started)
    db = open_journal()
    db.flush()
    assert db.read_message("k") == "last"
    assert list(dict(db.iter_messages())) == ["k"]

"""`stop(timeout)` leaves in the journal what it cannot deliver, for the next owner or the next verb."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from TetherDB import DB, BackendError, DeliveryError, FlushTimeout, OperationTimeout

from .support import DEAD, EAGER, EMPTY, HOUR, PATIENCE, SOON, adds_up

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from pathlib import Path

    from servers.etcd import EtcdServer

    History = Callable[[str], list[str | None]]
    Locked = Callable[[], AbstractContextManager[None]]

# A file that is locked by another process is a backend that is down.
BUSY: dict[str, Any] = {"local": {"busy_timeout": 0}, "queue_batch": EAGER}


def stopped(db: DB, timeout: float = 0.1) -> str:
    """Stops it out of time, and gives what that says."""
    begun = time.monotonic()
    with pytest.raises(FlushTimeout) as caught:
        db.stop(timeout=timeout)
    assert time.monotonic() - begun < timeout + SOON
    return str(caught.value)


def test_it_says_how_many_and_the_next_handle_delivers_them(
    journal: Path, clean_etcd: EtcdServer, open_journal: Callable[..., DB], lines: Callable[[str], list[str]]
) -> None:
    db = open_journal(etcd=DEAD, queue_batch=EAGER)
    receipts = [db.write_queue_message("k", f"{n}", backend="etcd", receipt=True) for n in range(3)]
    db.write_queue_message("other", {"a": 1}, "bucket", "etcd")
    db.write_queue_message("local", "v")
    text = stopped(db, 0.4)
    assert text.startswith("4 queued message(s) were not delivered in time (last error: etcd backend: "), text
    assert str(journal) in text
    for receipt in receipts:
        assert receipt.done() is True
        assert type(receipt.exception()) is FlushTimeout
        with pytest.raises(FlushTimeout, match=r"whoever opens it next delivers it"):
            receipt.wait()
    # They are in the journal now, and no longer in the accounts; nothing was given up.
    adds_up(db)
    assert db.stats()["etcd"]["pending"] == 0
    assert db.stats()["local"]["delivered"] == 1
    [line] = [line for line in lines("ERROR") if "not delivered in time" in line]
    assert line.startswith("4 queued message(s)"), line
    after = open_journal(etcd={**clean_etcd.section(), "timeout": 20})
    after.flush()
    assert dict(after.iter_messages(backend="etcd")) == {"k": "2", "bucket:other": {"a": 1}}
    assert after.read_message("local") == "v"
    assert after.failed_messages() == []
    after.stop()
    assert journal.stat().st_size == EMPTY


@pytest.mark.parametrize(
    "verb",
    [
        "assert db.write_message('k', 'direct')",
        "assert db.update_message('k', 'direct')",
        "assert db.write_messages({'a': 'v', 'k': 'direct'}) == 2",
        "db.write_queue_message('k', 'direct'); db.flush()",
        "assert db.write_queue_message('k', 'direct', receipt=True).wait(30)",
    ],
    ids=["write", "update", "write-many", "queue", "receipt"],
)
def test_the_next_verb_of_the_handle_comes_after_what_was_left(
    history: History, locked: Locked, open_journal: Callable[..., DB], verb: str
) -> None:
    db = open_journal(**BUSY)
    db.write_message("k", "before")
    with locked():
        for number in range(3):
            db.write_queue_message("k", f"queued {number}")
        assert stopped(db).startswith("3 queued message(s)")
        adds_up(db)
    exec(verb, {"db": db})
    assert history("k") == ["before", "queued 0", "queued 1", "queued 2", "direct"]
    adds_up(db)
    assert db.stats()["local"]["pending"] == 0


@pytest.mark.parametrize(
    ("verb", "left"),
    [("db.flush()", 0), ("db.start()", None), ("db.stop()", 3)],
    ids=["flush", "start", "stop"],
)
def test_flush_and_start_take_it_up_again_and_stop_leaves_it(
    history: History,
    journal: Path,
    locked: Locked,
    open_journal: Callable[..., DB],
    eventually: Callable[[Callable[[], object]], None],
    verb: str,
    left: int | None,
) -> None:
    db = open_journal(**BUSY)
    db.write_message("k", "before")
    with locked():
        for number in range(3):
            db.write_queue_message("k", f"queued {number}")
        stopped(db)
    exec(verb, {"db": db})
    if left is None:
        eventually(lambda: db.stats()["local"]["delivered"] == 3)
    elif left:
        assert history("k") == ["before"]
        assert journal.stat().st_size > EMPTY
        db.flush()
    assert history("k") == ["before", *(f"queued {number}" for number in range(3))]


def test_a_direct_write_while_the_backend_is_down_does_not_overtake(
    history: History, locked: Locked, open_journal: Callable[..., DB]
) -> None:
    db = open_journal(**BUSY)
    db.write_message("k", "before")
    with locked():
        db.write_queue_message("k", "queued")
        stopped(db)
        # Its patience is a second at least.
        with pytest.raises(OperationTimeout, match="'k' waits behind"):
            db.write_message("k", "never")
        adds_up(db)
        assert stopped(db).startswith("1 queued message(s)")
        # Receipts of what is queued after a stop are as good as any.
        receipt = db.write_queue_message("k", "last", receipt=True)
        assert receipt.wait(timeout=0.05) is False
    assert receipt.wait(timeout=PATIENCE) is True
    assert history("k") == ["before", "queued", "last"]
    adds_up(db)


def test_stop_over_and_over_loses_nothing_and_the_accounts_add_up(
    history: History, locked: Locked, open_journal: Callable[..., DB]
) -> None:
    db = open_journal(**BUSY)
    db.write_message("k", "before")
    done, seen = threading.Event(), 0

    def watch() -> None:
        nonlocal seen
        while not done.is_set():
            adds_up(db)
            seen += 1

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        with locked():
            for number in range(10):
                db.write_queue_message("k", f"{number}")
                assert stopped(db, 0.02).startswith(f"{number + 1} queued message(s)")
        db.flush()
    finally:
        done.set()
        watcher.join()
    assert seen > 10
    assert history("k") == ["before", *(f"{number}" for number in range(10))]
    stats = db.stats()["local"]
    assert (stats["accepted"], stats["delivered"], stats["failed"]) == (10, 10, 0)


def test_what_was_on_its_way_when_stop_left_it_does_not_undo_what_came_since(
    own_etcd: EtcdServer, open_journal: Callable[..., DB]
) -> None:
    db = open_journal(etcd={**own_etcd.section(), "timeout": 20}, queue_batch={"timeout": 0})
    db.write_message("k", "before", backend="etcd")
    own_etcd.pause()
    try:
        db.write_queue_message("k", "queued", backend="etcd")
        time.sleep(0.3)
        assert stopped(db).startswith("1 queued message(s)")
    finally:
        own_etcd.resume()
    assert db.write_message("k", "direct", backend="etcd")
    db.flush()
    time.sleep(0.5)
    assert own_etcd.etcdctl.get("k") == b"direct"
    db.stop()
    assert own_etcd.etcdctl.get("k") == b"direct"


def test_a_receipt_that_is_awaited_says_that_it_stays(
    locked: Locked, open_journal: Callable[..., DB]
) -> None:
    db = open_journal(**BUSY)
    db.write_message("k", "before")

    async def wait() -> None:
        receipt = db.write_queue_message("k", "v", receipt=True)
        asyncio.get_running_loop().call_later(0.1, threading.Thread(target=stopped, args=(db,)).start)
        with pytest.raises(FlushTimeout):
            await receipt

    with locked():
        asyncio.run(wait())
    db.flush()
    assert db.read_message("k") == "v"


def test_producers_during_stop_lose_nothing(
    history: History, locked: Locked, open_journal: Callable[..., DB]
) -> None:
    # Whatever moment `stop` comes at: what has returned is there in the end, in order.
    db = open_journal(**BUSY)
    db.write_message("before", "v")
    done, counts = threading.Event(), [0, 0, 0]

    def hammer(number: int) -> None:
        while not done.is_set():
            assert db.write_queue_message(f"{number}", f"{counts[number]}") is True
            counts[number] += 1
            time.sleep(0.001)

    threads = [threading.Thread(target=hammer, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    with locked():
        for _ in range(10):
            time.sleep(0.02)
            # On a busy machine no producer may have had a turn yet.
            while not db.stats()["local"]["pending"]:
                time.sleep(0.001)
            stopped(db, 0.01)
            adds_up(db)
    for _ in range(3):
        db.stop()
    done.set()
    for thread in threads:
        thread.join()
    db.stop(timeout=PATIENCE)
    for number in range(3):
        seen = history(f"{number}")
        # What was on its way when `stop` ran out of time may arrive, and is sent again.
        assert list(dict.fromkeys(seen)) == [f"{turn}" for turn in range(counts[number])]
        assert seen[-1] == f"{counts[number] - 1}"


@pytest.mark.usefixtures("refuse_bad")
def test_what_was_given_up_before_is_reported_by_the_next_flush(
    locked: Locked, open_journal: Callable[..., DB]
) -> None:
    db = open_journal(**BUSY)
    receipt = db.write_queue_message("1", "bad", receipt=True)
    with pytest.raises(BackendError, match="refused by the trigger"):
        receipt.wait(timeout=PATIENCE)
    with locked():
        db.write_queue_message("2", "v")
        assert stopped(db).startswith("1 queued message(s)")
    adds_up(db)
    with pytest.raises(DeliveryError) as caught:
        db.flush()
    assert [message[:3] for message in caught.value.failed] == [("1", "bad", "local")]
    assert db.read_message("2") == "v"
    db.flush()
    adds_up(db)
    stats = db.stats()["local"]
    assert (stats["accepted"], stats["delivered"], stats["failed"]) == (2, 1, 1)


def test_a_with_block_that_raises_delivers_as_any(open_journal: Callable[..., DB]) -> None:
    def fail(db: DB) -> None:
        db.write_queue_message("k", "v")
        raise ZeroDivisionError

    db = open_journal(queue_batch={"timeout": HOUR})
    with pytest.raises(ZeroDivisionError), db:
        fail(db)
    assert db.read_message("k") == "v"

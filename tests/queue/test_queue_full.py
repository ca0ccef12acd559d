"""A full queue: `max_pending`, `max_pending_bytes`, `when_full`."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from TetherDB import DB, LimitExceeded, QueueFull, TetherDBError

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    History = Callable[[str], list[str | None]]
    Locked = Callable[[], AbstractContextManager[None]]

HOUR = 3600
# While another process holds the lock nothing is delivered, and the queue asks again often.
PATIENT: dict[str, Any] = {"retry": {"initial": 0.01, "max": 0.02}}


class Producers:
    """Threads that each queue one message, and are known to wait before the next one starts."""

    def __init__(self, db: DB) -> None:
        self.db = db
        self.threads: list[threading.Thread] = []
        self.outcomes: dict[str, object] = {}

    def _write(self, key: str, value: str) -> None:
        try:
            self.outcomes[value[:10]] = self.db.write_queue_message(key, value)
        except TetherDBError as error:
            self.outcomes[value[:10]] = error

    def start(self, key: str, value: str) -> None:
        thread = threading.Thread(target=self._write, args=(key, value))
        thread.start()
        self.threads.append(thread)
        # Nothing tells from outside that it has come to wait: this is long enough for any machine.
        time.sleep(0.2)
        assert value[:10] not in self.outcomes

    def join(self) -> None:
        for thread in self.threads:
            thread.join(timeout=60)
            assert not thread.is_alive()


@pytest.mark.parametrize("bound", [{"max_pending": 3}, {"max_pending_bytes": 30}], ids=repr)
def test_when_full_raise_a_message_beyond_the_bound_is_queue_full_and_not_accepted(
    bound: dict[str, int], history: History, open_db: Callable[..., DB], locked: Locked
) -> None:
    db = open_db(local={"busy_timeout": 0}, queue_batch={"when_full": "raise", **PATIENT, **bound})
    with locked():
        for number in range(3):
            assert db.write_queue_message(f"key {number}", "value") is True  # 10 bytes
        with pytest.raises(QueueFull, match="'too much'"):
            db.write_queue_message("too much", "v")
        with pytest.raises(QueueFull, match="'too much'"):
            db.write_message("too much", "v", queue=True)
        # In flight or not, it counts.
        assert (db.stats()["local"]["accepted"], db.stats()["local"]["pending"]) == (3, 3)
    db.flush()
    assert history("too much") == []
    assert db.write_queue_message("too much", "v") is True
    db.flush()
    assert history("too much") == ["v"]


def test_a_message_with_a_receipt_is_refused_by_a_full_queue_too(
    open_db: Callable[..., DB], locked: Locked
) -> None:
    db = open_db(local={"busy_timeout": 0}, queue_batch={"when_full": "raise", "max_pending": 1, **PATIENT})
    db.write_message("first", "v")
    with locked():
        receipt = db.write_queue_message("1", "v", receipt=True)
        with pytest.raises(QueueFull):
            db.write_queue_message("2", "v", receipt=True)
    assert receipt.wait(timeout=60) is True


@pytest.mark.parametrize("bound", [{"max_pending": 3}, {"max_pending_bytes": 30}], ids=repr)
def test_when_full_block_is_the_default_and_waits_for_room(
    bound: dict[str, int], history: History, open_db: Callable[..., DB], locked: Locked
) -> None:
    db = open_db(local={"busy_timeout": 0}, queue_batch={**PATIENT, **bound})
    with locked():
        for number in range(3):
            db.write_queue_message(f"key {number}", "value")
        producers = Producers(db)
        producers.start("key 3", "waits")
        assert db.stats()["local"]["accepted"] == 3
    producers.join()
    assert producers.outcomes == {"waits": True}
    db.flush()
    assert history("key 3") == ["waits"]


@pytest.mark.parametrize(
    "bound", [{"max_pending": 1}, {"max_pending": 10}, {"max_pending_bytes": 64}], ids=repr
)
def test_a_full_queue_sends_what_waits_for_its_batch_to_fill(
    bound: dict[str, int], open_db: Callable[..., DB]
) -> None:
    # A batch never fills before the queue does, and nobody waits an hour.
    db = open_db(queue_batch={"size": 1000, "timeout": HOUR, **bound})
    for number in range(200):
        db.write_queue_message(f"{number:03}", "v")
    db.flush()
    assert len(db.list_keys(1000)["keys"]) == 200


def test_producers_that_wait_are_served_in_the_order_in_which_they_came(
    history: History, open_db: Callable[..., DB], locked: Locked
) -> None:
    db = open_db(local={"busy_timeout": 0}, queue_batch={"max_pending": 1, **PATIENT})
    with locked():
        db.write_queue_message("k", "first")
        producers = Producers(db)
        for name in ("second", "third", "fourth"):
            producers.start("k", name)
    producers.join()
    db.stop()
    assert history("k") == ["first", "second", "third", "fourth"]


def test_a_large_message_that_waits_for_room_is_not_overtaken_by_small_ones_that_would_fit(
    history: History, open_db: Callable[..., DB], locked: Locked
) -> None:
    db = open_db(local={"busy_timeout": 0}, queue_batch={"max_pending_bytes": 1000, **PATIENT})
    with locked():
        db.write_queue_message("k", "first" * 100)
        producers = Producers(db)
        producers.start("k", "large" * 150)
        producers.start("k", "small")
        assert db.stats()["local"]["accepted"] == 1
    producers.join()
    db.stop()
    assert history("k") == ["first" * 100, "large" * 150, "small"]


def test_a_large_message_finds_room_beside_threads_that_write_small_ones(open_db: Callable[..., DB]) -> None:
    db = open_db(queue_batch={"max_pending_bytes": 1000})
    done = threading.Event()
    written = [0, 0, 0]

    def hammer(number: int) -> None:
        # Bounded, should the large one never come through.
        while not done.is_set() and written[number] < 100_000:
            db.write_queue_message(f"{number} {written[number]}", "v")
            written[number] += 1

    threads = [threading.Thread(target=hammer, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for number in range(5):
        assert db.write_queue_message(f"large {number}", "x" * 900) is True
    through = max(written)
    done.set()
    for thread in threads:
        thread.join()
    db.stop()
    assert through < 100_000
    assert len(db.list_keys(1_000_000)["keys"]) == sum(written) + 5


def test_pending_never_goes_beyond_the_bound(open_db: Callable[..., DB]) -> None:
    db = open_db(queue_batch={"max_pending": 20, "size": 7})
    seen: list[int] = []

    def work(number: int) -> None:
        for turn in range(300):
            db.write_queue_message(f"{number} {turn}", "v")
            seen.append(db.stats()["local"]["pending"])

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    db.stop()
    assert max(seen) <= 20
    assert db.stats()["local"]["delivered"] == 1200


@pytest.mark.parametrize("when_full", ["block", "raise"])
def test_a_message_larger_than_the_queue_is_limit_exceeded_at_once(
    when_full: str, open_db: Callable[..., DB]
) -> None:
    db = open_db(queue_batch={"max_pending_bytes": 100, "when_full": when_full})
    with pytest.raises(LimitExceeded, match="max_pending_bytes"):
        db.write_queue_message("k", "x" * 100)
    assert db.stats()["local"]["accepted"] == 0
    # Key and value together, in bytes.
    with pytest.raises(LimitExceeded, match="'k'"):
        db.write_queue_message("k", "é" * 50)
    assert db.write_queue_message("k", "x" * 99) is True
    assert db.write_message("k", "x" * 1000) is True


def test_stop_ends_the_wait_of_producers_with_queue_full(open_db: Callable[..., DB], locked: Locked) -> None:
    db = open_db(local={"busy_timeout": 0}, queue_batch={"max_pending": 1, **PATIENT})
    db.write_message("before", "v")
    with locked():
        db.write_queue_message("k", "first")
        producers = Producers(db)
        producers.start("k", "second")
        producers.start("k", "third")
        with pytest.raises(TetherDBError, match="given up"):
            db.stop(timeout=0)
        producers.join()
    outcomes = {value: type(outcome) for value, outcome in producers.outcomes.items()}
    assert outcomes == {"second": QueueFull, "third": QueueFull}
    assert db.write_message("k", "after") is True
    db.drop_failed()


def test_a_full_queue_does_not_hold_up_direct_writes(open_db: Callable[..., DB]) -> None:
    db = open_db(queue_batch={"max_pending": 1, "size": 1000, "timeout": HOUR})
    db.write_queue_message("queued", "v")
    assert db.write_message("direct", "v") is True
    assert db.stats()["local"]["pending"] == 1

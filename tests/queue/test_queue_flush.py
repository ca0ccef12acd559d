"""`flush` and `stop`: what they wait for, and what they raise."""

from __future__ import annotations

import pickle
import threading
from typing import TYPE_CHECKING, Any

import pytest

from TetherDB import DB, BackendError, DeliveryError, FlushTimeout, OperationTimeout

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    Locked = Callable[[], AbstractContextManager[None]]
    Stored = Callable[[], dict[bytes, bytes]]

HOUR = 3600
PATIENT: dict[str, Any] = {"retry": {"initial": 0.01, "max": 0.02}}


def test_flush_returns_when_all_queued_before_is_in_the_file(
    open_db: Callable[..., DB], stored: Stored
) -> None:
    db = open_db(queue_batch={"size": 7, "timeout": HOUR})
    for number in range(1000):
        db.write_queue_message(f"{number:04}", str(number))
    assert db.flush() is None  # type: ignore[func-returns-value]
    assert stored() == {f"{number:04}".encode(): str(number).encode() for number in range(1000)}


def test_flush_of_nothing_returns(open_db: Callable[..., DB]) -> None:
    db = open_db()
    db.flush()
    db.flush(timeout=0)
    db.write_queue_message("k", "v")
    db.flush()
    db.flush(timeout=0)


def test_flush_does_not_wait_for_what_is_queued_after_it_was_called(open_db: Callable[..., DB]) -> None:
    db = open_db(queue_batch={"max_pending": 100})
    done = threading.Event()
    written = 0

    def go_on() -> None:
        nonlocal written
        while not done.is_set() and written < 1_000_000:
            db.write_queue_message(str(written % 1000), "v")
            written += 1

    thread = threading.Thread(target=go_on)
    thread.start()
    for _ in range(5):
        db.flush()
    through = written
    done.set()
    thread.join()
    assert through < 1_000_000


def test_flush_from_many_threads_each_sees_its_own_messages(open_db: Callable[..., DB]) -> None:
    db = open_db(queue_batch={"timeout": HOUR})
    missing: list[str] = []

    def work(number: int) -> None:
        for turn in range(20):
            key = f"{number} {turn}"
            db.write_queue_message(key, "v")
            db.flush()
            if db.read_message(key) is None:
                missing.append(key)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert missing == []


def test_flush_raises_flush_timeout_and_what_is_left_stays_queued(
    open_db: Callable[..., DB], locked: Locked, stored: Stored
) -> None:
    db = open_db(local={"busy_timeout": 0}, queue_batch=PATIENT)
    db.write_message("before", "v")
    with locked():
        for number in range(3):
            db.write_queue_message(str(number), "v")
        with pytest.raises(FlushTimeout, match=r"\b3\b.*still queued") as caught:
            db.flush(timeout=0.1)
        assert "local" in str(caught.value)
        assert db.stats()["local"]["pending"] == 3
        with pytest.raises(FlushTimeout):
            db.flush(timeout=0)
    db.flush()
    assert set(stored()) == {b"before", b"0", b"1", b"2"}
    assert db.stats()["local"]["failed"] == 0


@pytest.mark.usefixtures("refuse_bad")
@pytest.mark.parametrize("verb", ["flush", "stop"])
@pytest.mark.parametrize("on_error", [None, print], ids=["alone", "beside on_error"])
def test_flush_and_stop_raise_delivery_error_with_what_was_given_up(
    verb: str, on_error: Any, open_db: Callable[..., DB], stored: Stored
) -> None:
    db = open_db(on_error=on_error)
    db.write_queue_message("good", "v")
    db.write_queue_message("bad", {"a": 1}, "b")
    db.write_queue_message("bad too", "123")
    with pytest.raises(DeliveryError) as caught:
        getattr(db, verb)()
    # The stored key, bucket included, and the value as reading gives it.
    assert sorted(failed[:3] for failed in caught.value.failed) == [
        ("b:bad", {"a": 1}, "local"),
        ("bad too", "123", "local"),
    ]
    for *_, exception in caught.value.failed:
        assert type(exception) is BackendError
        assert (exception.backend, exception.retryable) == ("local", False)
        assert "refused by the trigger" in str(exception)
    assert "2 " in str(caught.value)
    assert "bad" in str(caught.value)
    assert stored() == {b"good": b"v"}


@pytest.mark.usefixtures("refuse_bad")
def test_a_delivery_error_of_flush_survives_pickling(open_db: Callable[..., DB]) -> None:
    db = open_db()
    db.write_queue_message("bad", {"a": 1})
    with pytest.raises(DeliveryError) as caught:
        db.flush()
    twin = pickle.loads(pickle.dumps(caught.value))
    assert str(twin) == str(caught.value)
    assert twin.failed[0][:3] == ("bad", {"a": 1}, "local")
    assert str(twin.failed[0][3]) == str(caught.value.failed[0][3])


@pytest.mark.usefixtures("refuse_bad")
def test_what_was_given_up_is_reported_by_one_delivery_error_only(open_db: Callable[..., DB]) -> None:
    db = open_db()
    db.write_queue_message("bad 1", "v")
    with pytest.raises(DeliveryError) as caught:
        db.flush()
    assert [failed[0] for failed in caught.value.failed] == ["bad 1"]
    db.flush()
    db.write_queue_message("bad 2", "v")
    with pytest.raises(DeliveryError) as caught:
        db.stop()
    assert [failed[0] for failed in caught.value.failed] == ["bad 2"]
    db.stop()
    db.flush()


@pytest.mark.usefixtures("refuse_bad")
def test_what_was_given_up_long_before_is_reported_by_the_next_flush(
    open_db: Callable[..., DB], eventually: Callable[..., None]
) -> None:
    db = open_db()
    db.write_queue_message("bad", "v")
    eventually(lambda: db.stats()["local"]["failed"] == 1)
    db.write_queue_message("good", "v")
    with pytest.raises(DeliveryError, match="bad"):
        db.flush()
    assert db.read_message("good") == "v"


@pytest.mark.usefixtures("refuse_bad")
def test_the_end_of_a_with_block_raises_delivery_error(open_db: Callable[..., DB]) -> None:
    db = open_db()

    def block() -> None:
        with db:
            db.write_queue_message("bad", "v")

    with pytest.raises(DeliveryError, match="bad"):
        block()


def test_stop_with_a_timeout_closes_and_hands_back_what_is_undelivered(
    open_db: Callable[..., DB], locked: Locked, stored: Stored
) -> None:
    db = open_db(local={"busy_timeout": 0}, queue_batch={"timeout": HOUR, **PATIENT})
    db.write_message("before", "v")
    with locked():
        db.write_queue_message("1", {"a": 1}, "b")
        db.write_queue_message("2", "v")
        with pytest.raises(DeliveryError) as caught:
            db.stop(timeout=0.1)
        assert [failed[:3] for failed in caught.value.failed] == [
            ("b:1", {"a": 1}, "local"),
            ("2", "v", "local"),
        ]
        assert all(isinstance(failed[3], Exception) for failed in caught.value.failed)
        stats = db.stats()["local"]
        assert (stats["accepted"], stats["failed"], stats["pending"]) == (2, 2, 0)
        # It is stopped: nothing is left to deliver, and nothing is reported twice.
        db.stop(timeout=0)
    assert set(stored()) == {b"before"}
    assert db.retry_failed() == 2
    db.flush()
    assert set(stored()) == {b"before", b"b:1", b"2"}


def test_stop_without_a_timeout_waits_until_retries_succeed_or_are_given_up(
    open_db: Callable[..., DB], locked: Locked
) -> None:
    db = open_db(
        local={"busy_timeout": 0},
        queue_batch={"retry": {"initial": 0.01, "max": 0.02, "give_up_after": 0.2}},
    )
    db.write_message("before", "v")
    with locked():
        db.write_queue_message("k", "v")
        with pytest.raises(DeliveryError) as caught:
            db.stop()
    ((key, value, backend, exception),) = caught.value.failed
    assert (key, value, backend) == ("k", "v", "local")
    assert type(exception) is OperationTimeout


def test_flush_waits_for_what_is_being_retried(
    open_db: Callable[..., DB], locked: Locked, eventually: Callable[..., None], stored: Stored
) -> None:
    db = open_db(local={"busy_timeout": 0}, queue_batch=PATIENT)
    db.write_message("before", "v")
    flushed: list[object] = []

    def flush() -> None:
        db.flush()
        flushed.append(True)

    thread = threading.Thread(target=flush)
    with locked():
        db.write_queue_message("k", "v")
        thread.start()
        eventually(lambda: db.stats()["local"]["retried"] >= 3)
        assert flushed == []
    thread.join(timeout=60)
    assert flushed == [True]
    assert b"k" in stored()

"""`flush` and `stop`: what they wait for, and what they raise."""

from __future__ import annotations

import pickle
import threading
from typing import TYPE_CHECKING, Any

import pytest

from TetherDB import DB, DeliveryError, FlushTimeout, OperationTimeout, QueueFull

from .backends import over_network
from .place import IMPATIENT, LARGE

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from .backends import Backend
    from .place import Place

    Outage = Callable[[], AbstractContextManager[None]]

HOUR = 3600
QUICK: dict[str, Any] = {"retry": {"initial": 0.01, "max": 0.02}}


def test_flush_returns_when_the_backend_has_all_that_was_queued_before(
    open_db: Callable[..., DB], backend: Backend, place: Place
) -> None:
    db = open_db(queue_batch={"size": 7, "timeout": HOUR})
    for number in range(500):
        db.write_queue_message(f"{number:04}", str(number), backend=backend.name)
    db.flush()
    assert place.everything() == {f"{number:04}": str(number) for number in range(500)}


def test_flush_of_nothing_returns(open_db: Callable[..., DB], backend: Backend) -> None:
    db = open_db()
    db.flush()
    db.flush(timeout=0)
    db.write_queue_message("k", "v", backend=backend.name)
    db.flush()
    db.flush(timeout=0)


def test_flush_delivers_what_is_queued_for_every_backend(
    open_db: Callable[..., DB], backend: Backend, place: Place
) -> None:
    db = open_db(queue_batch={"timeout": HOUR})
    db.write_queue_message("there", "v", backend=backend.name)
    db.write_queue_message("here", "v")
    db.flush()
    assert place.everything()["there"] == "v"
    assert db.read_message("here") == "v"


def test_flush_does_not_wait_for_what_is_queued_after_it_was_called(
    open_db: Callable[..., DB], backend: Backend
) -> None:
    db = open_db(queue_batch={"max_pending": 100})
    done = threading.Event()
    written = 0

    def go_on() -> None:
        nonlocal written
        while not done.is_set() and written < 1_000_000:
            db.write_queue_message(str(written % 1000), "v", backend=backend.name)
            written += 1

    thread = threading.Thread(target=go_on)
    thread.start()
    for _ in range(5):
        db.flush()
    through = written
    done.set()
    thread.join()
    assert through < 1_000_000


def test_flush_from_many_threads_each_sees_its_own_messages(
    open_db: Callable[..., DB], backend: Backend
) -> None:
    db, on = open_db(queue_batch={"timeout": HOUR}), backend.name
    missing: list[str] = []

    def work(number: int) -> None:
        for turn in range(10):
            key = f"{number} {turn}"
            db.write_queue_message(key, "v", backend=on)
            db.flush()
            if db.read_message(key, backend=on) is None:
                missing.append(key)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert missing == []


def test_flush_raises_flush_timeout_and_what_is_left_stays_queued(
    outage: Outage, open_db: Callable[..., DB], backend: Backend, place: Place
) -> None:
    db, on = open_db(queue_batch=QUICK), backend.name
    db.write_message("before", "v", backend=on)
    with outage():
        for number in range(3):
            db.write_queue_message(str(number), "v", backend=on)
        with pytest.raises(FlushTimeout, match=r"\b3\b.*still queued") as caught:
            db.flush(timeout=0.1)
        assert on in str(caught.value)
        assert db.stats()[on]["pending"] == 3
        with pytest.raises(FlushTimeout):
            db.flush(timeout=0)
    db.flush()
    assert set(place.everything()) == {"before", "0", "1", "2"}
    assert db.stats()[on]["failed"] == 0


@pytest.mark.usefixtures("refuse_large")
@pytest.mark.parametrize("verb", ["flush", "stop"])
@pytest.mark.parametrize("on_error", [None, print], ids=["alone", "beside on_error"])
def test_flush_and_stop_raise_delivery_error_with_what_was_given_up(
    verb: str, on_error: Any, open_db: Callable[..., DB], backend: Backend, place: Place
) -> None:
    db, on = open_db(on_error=on_error), backend.name
    db.write_queue_message("good", "v", backend=on)
    db.write_queue_message("bad", {"a": LARGE}, "b", on)
    db.write_queue_message("bad too", LARGE, backend=on)
    with pytest.raises(DeliveryError) as caught:
        getattr(db, verb)()
    # The stored key, bucket included, and the value as reading gives it.
    assert sorted(failed[:3] for failed in caught.value.failed) == [
        ("b:bad", {"a": LARGE}, on),
        ("bad too", LARGE, on),
    ]
    for *_, exception in caught.value.failed:
        assert type(exception) is place.refusal
        assert place.refusal_says in str(exception)
        assert getattr(exception, "backend", on) == on
        assert getattr(exception, "retryable", False) is False
    assert "2 " in str(caught.value)
    assert "bad" in str(caught.value)
    assert place.everything() == {"good": "v"}


@pytest.mark.usefixtures("refuse_large")
def test_a_delivery_error_of_flush_survives_pickling(
    open_db: Callable[..., DB], backend: Backend, place: Place
) -> None:
    db = open_db()
    db.write_queue_message("bad", {"a": LARGE}, backend=backend.name)
    with pytest.raises(DeliveryError) as caught:
        db.flush()
    twin = pickle.loads(pickle.dumps(caught.value))
    assert str(twin) == str(caught.value)
    assert twin.failed[0][:3] == ("bad", {"a": LARGE}, backend.name)
    assert type(twin.failed[0][3]) is place.refusal
    assert str(twin.failed[0][3]) == str(caught.value.failed[0][3])


@pytest.mark.usefixtures("refuse_large")
def test_what_was_given_up_is_reported_by_one_delivery_error_only(
    open_db: Callable[..., DB], backend: Backend
) -> None:
    db = open_db()
    db.write_queue_message("bad 1", LARGE, backend=backend.name)
    with pytest.raises(DeliveryError) as caught:
        db.flush()
    assert [failed[0] for failed in caught.value.failed] == ["bad 1"]
    db.flush()
    db.write_queue_message("bad 2", LARGE, backend=backend.name)
    with pytest.raises(DeliveryError) as caught:
        db.stop()
    assert [failed[0] for failed in caught.value.failed] == ["bad 2"]
    db.stop()
    db.flush()


@pytest.mark.usefixtures("refuse_large")
def test_what_was_given_up_long_before_is_reported_by_the_next_flush(
    open_db: Callable[..., DB], backend: Backend, eventually: Callable[..., None]
) -> None:
    db, on = open_db(), backend.name
    db.write_queue_message("bad", LARGE, backend=on)
    eventually(lambda: db.stats()[on]["failed"] == 1)
    db.write_queue_message("good", "v", backend=on)
    with pytest.raises(DeliveryError, match="bad"):
        db.flush()
    assert db.read_message("good", backend=on) == "v"


@pytest.mark.usefixtures("refuse_large")
def test_the_end_of_a_with_block_raises_delivery_error(open_db: Callable[..., DB], backend: Backend) -> None:
    db = open_db()

    def block() -> None:
        with db:
            db.write_queue_message("bad", LARGE, backend=backend.name)

    with pytest.raises(DeliveryError, match="bad"):
        block()


def test_stop_with_a_timeout_closes_and_hands_back_what_is_undelivered(
    outage: Outage, open_db: Callable[..., DB], backend: Backend, place: Place
) -> None:
    db, on = open_db(queue_batch={"timeout": HOUR, **QUICK}), backend.name
    db.write_message("before", "v", backend=on)
    with outage():
        db.write_queue_message("1", {"a": 1}, "b", on)
        db.write_queue_message("2", "v", backend=on)
        with pytest.raises(DeliveryError) as caught:
            db.stop(timeout=0.1)
        assert [failed[:3] for failed in caught.value.failed] == [("b:1", {"a": 1}, on), ("2", "v", on)]
        assert all(isinstance(failed[3], Exception) for failed in caught.value.failed)
        stats = db.stats()[on]
        assert (stats["accepted"], stats["failed"], stats["pending"]) == (2, 2, 0)
        # It is stopped: nothing is left to deliver, and nothing is reported twice.
        db.stop(timeout=0)
    assert set(place.everything()) == {"before"}
    assert db.retry_failed() == 2
    db.flush()
    assert place.everything() == {"before": "v", "b:1": '{"a": 1}', "2": "v"}


def test_stop_without_a_timeout_waits_until_retries_succeed_or_are_given_up(
    outage: Outage, open_db: Callable[..., DB], backend: Backend
) -> None:
    retry = {"initial": 0.01, "max": 0.02, "give_up_after": IMPATIENT / 2}
    db, on = open_db(queue_batch={"retry": retry}), backend.name
    db.write_message("before", "v", backend=on)
    with outage():
        db.write_queue_message("k", "v", backend=on)
        with pytest.raises(DeliveryError) as caught:
            db.stop()
    ((key, value, name, exception),) = caught.value.failed
    assert (key, value, name) == ("k", "v", on)
    assert type(exception) is OperationTimeout


def test_flush_waits_for_what_is_being_retried(
    outage: Outage,
    open_db: Callable[..., DB],
    backend: Backend,
    place: Place,
    eventually: Callable[..., None],
) -> None:
    db, on = open_db(queue_batch=QUICK), backend.name
    db.write_message("before", "v", backend=on)
    flushed: list[object] = []

    def flush() -> None:
        db.flush()
        flushed.append(True)

    thread = threading.Thread(target=flush)
    with outage():
        db.write_queue_message("k", "v", backend=on)
        thread.start()
        eventually(lambda: db.stats()[on]["retried"] >= 2)
        assert flushed == []
    thread.join(timeout=60)
    assert flushed == [True]
    assert "k" in place.everything()


@over_network
def test_a_backend_that_does_not_answer_holds_up_no_other(
    outage: Outage, open_db: Callable[..., DB], backend: Backend, eventually: Callable[..., None]
) -> None:
    db = open_db(queue_batch=QUICK)
    with outage():
        db.write_queue_message("there", "v", backend=backend.name)
        db.write_queue_message("here", "v")
        eventually(lambda: db.stats()["local"]["delivered"] == 1)
        assert db.write_message("direct", "v") is True
        assert db.list_keys()["keys"] == ["direct", "here"]
        assert db.stats()[backend.name]["pending"] == 1
        with pytest.raises(DeliveryError) as caught:
            db.stop(timeout=0.1)
        assert [failed[0] for failed in caught.value.failed] == ["there"]


@pytest.mark.parametrize("bound", [{"max_pending": 3}, {"max_pending_bytes": 30}], ids=repr)
def test_a_full_queue_raises_or_makes_wait_as_when_full_says(
    bound: dict[str, int], outage: Outage, open_db: Callable[..., DB], backend: Backend
) -> None:
    on = backend.name
    raising = open_db(queue_batch={"when_full": "raise", **QUICK, **bound})
    blocking = open_db(queue_batch={**QUICK, **bound})
    raising.write_message("before", "v", backend=on)
    done = threading.Event()

    def wait_for_room() -> None:
        blocking.write_queue_message("waited", "v", backend=on)
        done.set()

    thread = threading.Thread(target=wait_for_room)
    with outage():
        for number in range(3):
            raising.write_queue_message(f"key {number}", "value", backend=on)
            blocking.write_queue_message(f"key {number}", "value", backend=on)
        with pytest.raises(QueueFull, match="'too much'"):
            raising.write_queue_message("too much", "v", backend=on)
        thread.start()
        assert not done.wait(0.3)
        # What is in flight counts too.
        assert raising.stats()[on]["pending"] == blocking.stats()[on]["pending"] == 3
    thread.join(60)
    blocking.flush()
    raising.flush()
    found = blocking.list_keys(backend=on)["keys"]
    assert sorted(found) == ["before", "key 0", "key 1", "key 2", "waited"]

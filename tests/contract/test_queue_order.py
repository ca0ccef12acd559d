"""Messages of one key reach the backend in the order in which they were written, queued and direct."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from TetherDB import DB, DeliveryError, OperationTimeout

from .place import LARGE

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from .backends import Backend

    History = Callable[[str], list[str | None]]
    Outage = Callable[[], AbstractContextManager[None]]

HOUR = 3600
QUICK = {"initial": 0.01, "max": 0.02}


def test_queued_messages_of_one_key_arrive_in_order(
    history: History, open_db: Callable[..., DB], backend: Backend
) -> None:
    db, on = open_db(queue_batch={"size": 7}), backend.name
    for number in range(100):
        db.write_queue_message("k", str(number), backend=on)
        db.write_queue_message(f"other {number}", "v", backend=on)
    db.stop()
    assert history("k") == [str(number) for number in range(100)]


def test_queued_and_direct_messages_of_one_key_arrive_in_order(
    history: History, open_db: Callable[..., DB], backend: Backend
) -> None:
    db = open_db(queue_batch={"size": 3, "timeout": HOUR})
    wanted: list[str] = []
    for number in range(60):
        wanted.append(str(number))
        db.write_message("k", wanted[-1], backend=backend.name, queue=number % 7 != 3)
    db.stop()
    assert history("k") == wanted


DIRECT: dict[str, tuple[Callable[[DB, str], object], object, str | None]] = {
    "write_message": (lambda db, on: db.write_message("k", "direct", "b", on), True, "direct"),
    "update_message": (lambda db, on: db.update_message("k", "direct", "b", on), True, "direct"),
    "delete_message": (lambda db, on: db.delete_message("k", "b", on), True, None),
    "write_messages": (lambda db, on: db.write_messages({"x": "v", "k": "direct"}, "b", on), 2, "direct"),
    "delete_messages": (lambda db, on: db.delete_messages(["x", "k"], "b", on), 1, None),
    "tether": (
        lambda db, on: db.tether("b", backend=on)(lambda: {"key": "k", "value": "direct"})(),
        True,
        "direct",
    ),
}


@pytest.mark.parametrize(("verb", "result", "last"), DIRECT.values(), ids=DIRECT.keys())
def test_a_direct_verb_sends_at_once_and_follows_what_is_queued_of_its_key(
    verb: Callable[[DB, str], object],
    result: object,
    last: str | None,
    history: History,
    open_db: Callable[..., DB],
    backend: Backend,
) -> None:
    db, on = open_db(queue_batch={"size": 1000, "timeout": HOUR}), backend.name
    db.write_queue_message("k", "one", "b", on)
    db.write_queue_message("k", "two", "b", on)
    # It would return only after an hour if nothing hurried the queue.
    assert verb(db, on) == result
    assert history("b:k") == ["one", "two", last]


def test_a_direct_verb_finds_the_queued_message_whatever_bucket_names_its_key(
    history: History, open_db: Callable[..., DB], backend: Backend
) -> None:
    db = open_db(queue_batch={"size": 1000, "timeout": HOUR})
    db.write_queue_message("c", "queued", "a:b", backend.name)
    db.write_message("b:c", "direct", "a", backend.name)
    assert history("a:b:c") == ["queued", "direct"]


def test_a_direct_verb_on_another_key_does_not_wait_for_the_queue(
    history: History, open_db: Callable[..., DB], backend: Backend
) -> None:
    db, on = open_db(queue_batch={"size": 1000, "timeout": HOUR}), backend.name
    db.write_queue_message("queued", "v", backend=on)
    db.write_message("direct", "v", backend=on)
    db.delete_message("direct", backend=on)
    assert db.stats()[on]["pending"] == 1
    assert history("queued") == []


def test_the_same_key_of_another_backend_does_not_wait(open_db: Callable[..., DB], backend: Backend) -> None:
    db = open_db(queue_batch={"size": 1000, "timeout": HOUR})
    db.write_queue_message("k", "queued", "b", backend.name)
    # Another key where there is but one backend.
    bucket = "b" if backend.over_network else "other"
    db.write_message("k", "direct", bucket)
    assert db.stats()[backend.name]["pending"] == 1


def test_order_within_a_key_survives_retries(
    outage: Outage,
    history: History,
    open_db: Callable[..., DB],
    backend: Backend,
    eventually: Callable[..., None],
) -> None:
    db, on = open_db(queue_batch={"size": 2, "retry": QUICK}), backend.name
    with outage():
        for number in range(20):
            db.write_queue_message("k", str(number), backend=on)
            db.write_queue_message("l", str(number), backend=on)
        eventually(lambda: db.stats()[on]["retried"] > 2)
    db.flush()
    db.write_message("k", "last", backend=on)
    db.stop()
    assert history("k") == [*(str(number) for number in range(20)), "last"]
    assert history("l") == [str(number) for number in range(20)]


def test_a_direct_write_behind_a_message_that_cannot_be_delivered_is_an_operation_timeout_and_not_done(
    outage: Outage, history: History, open_db: Callable[..., DB], backend: Backend
) -> None:
    db, on = open_db(queue_batch={"retry": QUICK}), backend.name
    with outage():
        db.write_queue_message("k", "queued", backend=on)
        with pytest.raises(OperationTimeout, match="'k'") as caught:
            db.write_message("k", "direct", backend=on)
        assert caught.value.backend == on
    db.stop()
    assert history("k") == ["queued"]


@pytest.mark.usefixtures("refuse_large")
def test_messages_of_a_key_go_on_in_order_after_one_that_was_refused(
    open_db: Callable[..., DB], backend: Backend
) -> None:
    db, on = open_db(), backend.name
    for value in ("one", LARGE, "two"):
        db.write_queue_message("k", value, backend=on)
    db.write_message("k", "three", backend=on, queue=True)
    with pytest.raises(DeliveryError):
        db.flush()
    assert db.read_message("k", backend=on) == "three"
    assert db.stats()[on]["delivered"] == 3


@pytest.mark.usefixtures("refuse_large")
def test_a_direct_write_goes_on_after_a_queued_message_of_its_key_was_refused(
    open_db: Callable[..., DB], backend: Backend
) -> None:
    db, on = open_db(queue_batch={"timeout": HOUR}), backend.name
    db.write_queue_message("k", LARGE, backend=on)
    assert db.write_message("k", "direct", backend=on) is True
    assert db.read_message("k", backend=on) == "direct"
    assert db.stats()[on]["failed"] == 1
    db.drop_failed()


def test_order_within_a_key_survives_stop_and_start(
    history: History, open_db: Callable[..., DB], backend: Backend
) -> None:
    db = open_db()
    for number in range(30):
        db.write_queue_message("k", str(number), backend=backend.name)
        if number % 7 == 0:
            db.stop()
        if number % 11 == 0:
            db.start()
    db.stop()
    assert history("k") == [str(number) for number in range(30)]


def test_direct_writes_of_a_key_follow_its_queued_ones_from_many_threads(
    history: History, open_db: Callable[..., DB], backend: Backend
) -> None:
    db, on = open_db(queue_batch={"size": 3}), backend.name
    turns = 20

    def work(number: int) -> None:
        for turn in range(turns):
            db.write_message("k", f"{number} {turn}", backend=on, queue=turn % 4 != 0)
            db.write_message(f"own {number}", str(turn), backend=on, queue=turn % 3 != 0)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    db.stop()
    together = [text.split() for text in history("k") if text is not None]
    assert len(together) == 6 * turns
    for number in range(6):
        mine = [int(turn) for writer, turn in together if int(writer) == number]
        assert mine == list(range(turns))
        assert history(f"own {number}") == [str(turn) for turn in range(turns)]

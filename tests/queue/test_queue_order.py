"""Messages of one key reach the backend in the order in which they were written, queued and direct."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from TetherDB import DB, OperationTimeout

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    History = Callable[[str], list[str | None]]
    Locked = Callable[[], AbstractContextManager[None]]

HOUR = 3600


def test_queued_messages_of_one_key_arrive_in_order(history: History, open_db: Callable[..., DB]) -> None:
    db = open_db(queue_batch={"size": 7})
    for number in range(200):
        db.write_queue_message("k", str(number))
        db.write_queue_message(f"other {number}", "v")
    db.stop()
    assert history("k") == [str(number) for number in range(200)]


def test_queued_and_direct_messages_of_one_key_arrive_in_order(
    history: History, open_db: Callable[..., DB]
) -> None:
    db = open_db(queue_batch={"size": 3, "timeout": HOUR})
    wanted: list[str] = []
    for number in range(60):
        wanted.append(str(number))
        db.write_message("k", wanted[-1], queue=number % 7 != 3)
    db.stop()
    assert history("k") == wanted


DIRECT: dict[str, tuple[Callable[[DB], object], object, str | None]] = {
    "write_message": (lambda db: db.write_message("k", "direct", "b"), True, "direct"),
    "update_message": (lambda db: db.update_message("k", "direct", "b"), True, "direct"),
    "delete_message": (lambda db: db.delete_message("k", "b"), True, None),
    "write_messages": (lambda db: db.write_messages({"x": "v", "k": "direct"}, "b"), 2, "direct"),
    "delete_messages": (lambda db: db.delete_messages(["x", "k"], "b"), 1, None),
}


@pytest.mark.parametrize(("verb", "result", "last"), DIRECT.values(), ids=DIRECT.keys())
def test_a_direct_verb_sends_at_once_and_follows_what_is_queued_of_its_key(
    verb: Callable[[DB], object],
    result: object,
    last: str | None,
    history: History,
    open_db: Callable[..., DB],
) -> None:
    db = open_db(queue_batch={"size": 1000, "timeout": HOUR})
    db.write_queue_message("k", "one", "b")
    db.write_queue_message("k", "two", "b")
    # It would return only after an hour if nothing hurried the queue.
    assert verb(db) == result
    assert history("b:k") == ["one", "two", last]


def test_a_direct_verb_finds_the_queued_message_whatever_bucket_names_its_key(
    history: History, open_db: Callable[..., DB]
) -> None:
    db = open_db(queue_batch={"size": 1000, "timeout": HOUR})
    db.write_queue_message("c", "queued", "a:b")
    db.write_message("b:c", "direct", "a")
    assert history("a:b:c") == ["queued", "direct"]


def test_a_direct_verb_on_another_key_does_not_wait_for_the_queue(
    open_db: Callable[..., DB], history: History
) -> None:
    db = open_db(queue_batch={"size": 1000, "timeout": HOUR})
    db.write_queue_message("queued", "v")
    db.write_message("direct", "v")
    db.delete_message("direct")
    assert db.stats()["local"]["pending"] == 1
    assert history("queued") == []


def test_order_within_a_key_survives_retries(
    history: History, open_db: Callable[..., DB], locked: Locked, eventually: Callable[..., None]
) -> None:
    db = open_db(local={"busy_timeout": 0}, queue_batch={"size": 2, "retry": {"initial": 0.005, "max": 0.01}})
    with locked():
        for number in range(20):
            db.write_queue_message("k", str(number))
            db.write_queue_message("l", str(number))
        eventually(lambda: db.stats()["local"]["retried"] > 20)
    db.flush()
    db.write_message("k", "last")
    db.stop()
    assert history("k") == [*(str(number) for number in range(20)), "last"]
    assert history("l") == [str(number) for number in range(20)]


def test_a_direct_write_behind_a_message_that_cannot_be_delivered_is_an_operation_timeout_and_not_done(
    history: History, open_db: Callable[..., DB], locked: Locked
) -> None:
    db = open_db(local={"busy_timeout": 0.05}, queue_batch={"retry": {"initial": 0.01, "max": 0.05}})
    with locked():
        db.write_queue_message("k", "queued")
        with pytest.raises(OperationTimeout, match="'k'"):
            db.write_message("k", "direct")
    db.stop()
    assert history("k") == ["queued"]


@pytest.mark.usefixtures("refuse_bad")
def test_messages_of_a_key_go_on_in_order_after_one_that_was_refused(open_db: Callable[..., DB]) -> None:
    db = open_db()
    for value in ("one", "bad", "two"):
        db.write_queue_message("k", value)
    db.write_message("k", "three", queue=True)
    with pytest.raises(Exception, match="refused"):
        db.flush()
    assert db.read_message("k") == "three"
    assert db.stats()["local"]["delivered"] == 3


@pytest.mark.usefixtures("refuse_bad")
def test_a_direct_write_goes_on_after_a_queued_message_of_its_key_was_refused(
    open_db: Callable[..., DB],
) -> None:
    db = open_db(queue_batch={"timeout": HOUR})
    db.write_queue_message("k", "bad")
    assert db.write_message("k", "direct") is True
    assert db.read_message("k") == "direct"
    assert db.stats()["local"]["failed"] == 1
    db.drop_failed()


def test_order_within_a_key_survives_stop_and_start(history: History, open_db: Callable[..., DB]) -> None:
    db = open_db()
    for number in range(30):
        db.write_queue_message("k", str(number))
        if number % 7 == 0:
            db.stop()
        if number % 11 == 0:
            db.start()
    db.stop()
    assert history("k") == [str(number) for number in range(30)]


def test_direct_writes_of_a_key_follow_its_queued_ones_from_many_threads(
    history: History, open_db: Callable[..., DB]
) -> None:
    db = open_db(queue_batch={"size": 3})
    turns = 40

    def work(number: int) -> None:
        for turn in range(turns):
            db.write_message("k", f"{number} {turn}", queue=turn % 4 != 0)
            db.write_message(f"own {number}", str(turn), queue=turn % 3 != 0)

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

"""`stats()`: accounts that are right at every moment."""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING, Any

import pytest

from TetherDB import DB, DeliveryError

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

NAMES = [
    "accepted",
    "pending",
    "in_flight",
    "delivered",
    "replaced",
    "failed",
    "retried",
    "batches",
    "bytes",
    "last_error",
]


def assert_in_balance(stats: Any) -> None:
    left = stats["delivered"] + stats["failed"] + stats["replaced"] + stats["pending"]
    assert stats["accepted"] == left, stats
    assert 0 <= stats["in_flight"] <= stats["pending"], stats


def test_stats_has_the_names_of_the_contract_for_each_backend(open_db: Callable[..., DB]) -> None:
    stats = open_db().stats()
    assert list(stats) == ["local"]
    assert sorted(stats["local"]) == sorted(NAMES)


def test_stats_of_a_fresh_handle_are_zero(open_db: Callable[..., DB]) -> None:
    stats: Any = open_db().stats()["local"]
    assert stats.pop("last_error") is None
    assert set(stats.values()) == {0}


def test_stats_count_the_queue_and_not_direct_verbs(open_db: Callable[..., DB]) -> None:
    db = open_db()
    db.write_message("k", "v")
    db.write_messages({"a": "v", "b": "v"})
    db.delete_message("k")
    assert db.stats()["local"]["accepted"] == 0
    db.write_queue_message("k", "v")
    db.flush()
    assert (db.stats()["local"]["accepted"], db.stats()["local"]["delivered"]) == (1, 1)


def test_bytes_are_those_of_stored_keys_and_texts_accepted(open_db: Callable[..., DB]) -> None:
    db = open_db()
    db.write_queue_message("é", {"a": 1}, "b")
    assert db.stats()["local"]["bytes"] == len("b:é".encode()) + len('{"a": 1}')
    db.flush()
    db.write_queue_message("k", "é")
    assert db.stats()["local"]["bytes"] == len("b:é".encode()) + len('{"a": 1}') + 3


def test_stats_go_on_counting_after_stop(open_db: Callable[..., DB]) -> None:
    db = open_db()
    for number in range(3):
        db.write_queue_message("k", "v")
        db.stop()
        assert db.stats()["local"]["delivered"] == number + 1


@pytest.mark.usefixtures("refuse_bad")
def test_last_error_is_the_text_of_the_latest_error(open_db: Callable[..., DB]) -> None:
    db = open_db()
    db.write_queue_message("bad", "v")
    with pytest.raises(DeliveryError):
        db.flush()
    text = db.stats()["local"]["last_error"]
    assert text is not None
    assert "refused by the trigger" in text


@pytest.mark.usefixtures("refuse_bad")
def test_accepted_is_delivered_and_failed_and_replaced_and_pending_at_every_moment(
    open_db: Callable[..., DB],
    locked: Callable[[], AbstractContextManager[None]],
    eventually: Callable[..., None],
) -> None:
    retry = {"initial": 0.001, "max": 0.002, "give_up_after": 0.05}
    db = open_db(local={"busy_timeout": 0}, queue_batch={"size": 7, "max_pending": 50, "retry": retry})
    done = threading.Event()
    samples: list[Any] = []

    def sample() -> None:
        while not done.is_set():
            samples.append(db.stats()["local"])

    def produce(number: int) -> None:
        for turn in range(300):
            key = f"{number} {turn} {'bad' if turn % 17 == 0 else 'good'}"
            db.write_queue_message(key, "v")
            if turn % 100 == 50:
                with contextlib.suppress(DeliveryError):
                    db.flush()
                db.retry_failed()

    sampler = threading.Thread(target=sample)
    producers = [threading.Thread(target=produce, args=(number,)) for number in range(4)]
    sampler.start()
    with locked():
        for thread in producers:
            thread.start()
        # Some are retried, and some given up, while nothing can be delivered.
        eventually(lambda: db.stats()["local"]["retried"] > 0 and db.stats()["local"]["failed"] > 0)
    for thread in producers:
        thread.join()
    with contextlib.suppress(DeliveryError):
        db.stop()
    done.set()
    sampler.join()
    assert len(samples) > 10
    for stats in samples:
        assert_in_balance(stats)
    last = db.stats()["local"]
    assert_in_balance(last)
    assert (last["accepted"], last["pending"], last["in_flight"]) == (1200, 0, 0)
    assert last["failed"] > 0
    assert last["retried"] > 0
    assert len(db.list_keys(2000)["keys"]) == last["delivered"]


def test_in_flight_is_part_of_pending(
    open_db: Callable[..., DB],
    locked: Callable[[], AbstractContextManager[None]],
    eventually: Callable[..., None],
) -> None:
    db = open_db(local={"busy_timeout": 60})
    db.write_message("before", "v")
    with locked():
        db.write_queue_message("1", "v")
        # The worker waits for the lock with it.
        eventually(lambda: db.stats()["local"]["in_flight"] == 1)
        db.write_queue_message("2", "v")
        stats = db.stats()["local"]
        assert (stats["pending"], stats["in_flight"], stats["delivered"]) == (2, 1, 0)
        assert_in_balance(stats)
    db.flush()
    assert (db.stats()["local"]["pending"], db.stats()["local"]["in_flight"]) == (0, 0)

"""`stats()`: accounts that are right at every moment."""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING, Any

import pytest

from TetherDB import DB, DeliveryError

from .place import IMPATIENT, LARGE

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from pathlib import Path

    from .backends import Backend
    from .place import Place

    Trouble = Callable[[], AbstractContextManager[None]]

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


def test_stats_has_the_names_of_the_contract_for_each_backend(
    open_db: Callable[..., DB], backend: Backend
) -> None:
    stats = open_db().stats()
    assert set(stats) == {"local", backend.name}
    for each in stats.values():
        assert sorted(each) == sorted(NAMES)


def test_stats_tells_of_every_backend_that_there_is(path: Path) -> None:
    config = {"local": {"filepath": str(path)}, "etcd": {}, "dynamodb": {"table_name": "t"}}
    assert set(DB(config).stats()) == {"local", "etcd", "dynamodb"}


def test_stats_of_a_fresh_handle_are_zero(open_db: Callable[..., DB], backend: Backend) -> None:
    stats: Any = open_db().stats()[backend.name]
    assert stats.pop("last_error") is None
    assert set(stats.values()) == {0}


def test_stats_count_the_queue_and_not_direct_verbs(open_db: Callable[..., DB], backend: Backend) -> None:
    db, on = open_db(), backend.name
    db.write_message("k", "v", backend=on)
    db.write_messages({"a": "v", "b": "v"}, backend=on)
    db.update_message("k", "w", backend=on)
    db.delete_message("k", backend=on)
    assert db.stats()[on]["accepted"] == 0
    db.write_queue_message("k", "v", backend=on)
    db.flush()
    stats = db.stats()[on]
    assert (stats["accepted"], stats["delivered"], stats["batches"]) == (1, 1, 1)


def test_each_backend_has_accounts_of_its_own(open_db: Callable[..., DB], backend: Backend) -> None:
    db = open_db()
    db.write_queue_message("k", "v", backend=backend.name)
    db.flush()
    accepted = {name: each["accepted"] for name, each in db.stats().items()}
    assert accepted == {"local": 0, backend.name: 1}


def test_bytes_are_those_of_stored_keys_and_texts_accepted(
    open_db: Callable[..., DB], backend: Backend
) -> None:
    db, on = open_db(), backend.name
    db.write_queue_message("é", {"a": 1}, "b", on)
    assert db.stats()[on]["bytes"] == len("b:é".encode()) + len('{"a": 1}')
    db.flush()
    db.write_queue_message("k", "é", backend=on)
    assert db.stats()[on]["bytes"] == len("b:é".encode()) + len('{"a": 1}') + 3


def test_stats_go_on_counting_after_stop(open_db: Callable[..., DB], backend: Backend) -> None:
    db = open_db()
    for number in range(3):
        db.write_queue_message("k", "v", backend=backend.name)
        db.stop()
        assert db.stats()[backend.name]["delivered"] == number + 1


@pytest.mark.usefixtures("refuse_large")
def test_last_error_is_the_text_of_the_latest_error(
    open_db: Callable[..., DB], backend: Backend, place: Place
) -> None:
    db = open_db()
    db.write_queue_message("bad", LARGE, backend=backend.name)
    with pytest.raises(DeliveryError):
        db.flush()
    text = db.stats()[backend.name]["last_error"]
    assert text is not None
    assert place.refusal_says in text


def test_accepted_is_delivered_and_failed_and_replaced_and_pending_at_every_moment(
    outage: Trouble,
    open_db: Callable[..., DB],
    backend: Backend,
    place: Place,
    eventually: Callable[..., None],
) -> None:
    on = backend.name
    retry = {"initial": 0.001, "max": 0.002, "give_up_after": IMPATIENT / 2}
    db = open_db(queue_batch={"size": 7, "max_pending": 50, "retry": retry})
    done = threading.Event()
    samples: list[Any] = []

    def sample() -> None:
        while not done.wait(0.0005):
            samples.append(db.stats()[on])

    def produce(number: int) -> None:
        for turn in range(100):
            db.write_queue_message(f"{number} {turn}", "v", backend=on)
            if turn % 40 == 20:
                with contextlib.suppress(DeliveryError):
                    db.flush()
                db.retry_failed()

    sampler = threading.Thread(target=sample)
    producers = [threading.Thread(target=produce, args=(number,)) for number in range(4)]
    sampler.start()
    with outage():
        for thread in producers:
            thread.start()
        # Some are given up while nothing can be delivered.
        eventually(lambda: db.stats()[on]["failed"] > 0)
    for thread in producers:
        thread.join()
    with contextlib.suppress(DeliveryError):
        db.stop()
    done.set()
    sampler.join()
    assert len(samples) > 10
    for stats in samples:
        assert_in_balance(stats)
    last = db.stats()[on]
    assert_in_balance(last)
    assert (last["accepted"], last["pending"], last["in_flight"]) == (400, 0, 0)
    assert len(place.everything()) == last["delivered"]


def test_in_flight_is_part_of_pending(
    stall: Trouble, open_db: Callable[..., DB], backend: Backend, eventually: Callable[..., None]
) -> None:
    db, on = open_db(), backend.name
    with stall():
        db.write_queue_message("1", "v", backend=on)
        # The worker waits for the backend with it.
        eventually(lambda: db.stats()[on]["in_flight"] == 1)
        db.write_queue_message("1", "w", backend=on)
        stats = db.stats()[on]
        assert (stats["pending"], stats["in_flight"], stats["delivered"]) == (2, 1, 0)
        assert_in_balance(stats)
    db.flush()
    assert (db.stats()[on]["pending"], db.stats()[on]["in_flight"]) == (0, 0)

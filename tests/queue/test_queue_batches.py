"""Batches: they go when they are full, or when their first message has waited long enough."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from TetherDB import DB

if TYPE_CHECKING:
    from collections.abc import Callable

    Eventually = Callable[[Callable[[], object]], None]

HOUR = 3600


def stats(db: DB) -> Any:
    return db.stats()["local"]


def queue(db: DB, count: int) -> None:
    for number in range(count):
        db.write_queue_message(f"{number:05}", "v")


def test_a_full_batch_goes_at_once(open_db: Callable[..., DB], eventually: Eventually) -> None:
    db = open_db(queue_batch={"size": 5, "timeout": HOUR})
    queue(db, 5)
    eventually(lambda: stats(db)["delivered"] == 5)
    assert len(db.list_keys()["keys"]) == 5


def test_a_batch_that_is_not_full_waits(open_db: Callable[..., DB], eventually: Eventually) -> None:
    db = open_db(queue_batch={"size": 5, "timeout": HOUR})
    queue(db, 4)
    time.sleep(0.2)
    assert (stats(db)["delivered"], stats(db)["pending"]) == (0, 4)
    db.write_queue_message("the fifth", "v")
    eventually(lambda: stats(db)["delivered"] == 5)


def test_what_is_left_beside_full_batches_waits(open_db: Callable[..., DB], eventually: Eventually) -> None:
    db = open_db(queue_batch={"size": 5, "timeout": HOUR})
    queue(db, 17)
    eventually(lambda: stats(db)["delivered"] >= 15)
    time.sleep(0.1)
    assert (stats(db)["delivered"], stats(db)["pending"]) == (15, 2)


def test_the_default_size_is_ten(open_db: Callable[..., DB], eventually: Eventually) -> None:
    db = open_db(queue_batch={"timeout": HOUR})
    queue(db, 9)
    time.sleep(0.1)
    assert stats(db)["delivered"] == 0
    db.write_queue_message("the tenth", "v")
    eventually(lambda: stats(db)["delivered"] == 10)
    assert stats(db)["batches"] == 1


@pytest.mark.parametrize("name", ["timeout", "interval"])
def test_a_message_waits_for_its_batch_no_longer_than_the_timeout(
    name: str, open_db: Callable[..., DB], path: Any, eventually: Eventually
) -> None:
    queue_batch: dict[str, Any] = {"size": 1000, name: 0.1}
    db = DB({"local": {"filepath": str(path)}, "queue_batch": queue_batch})
    begun = time.monotonic()
    db.write_queue_message("k", "v")
    eventually(lambda: stats(db)["delivered"] == 1)
    assert time.monotonic() - begun >= 0.1
    db.stop()


def test_the_default_timeout_is_two_seconds(path: Any, eventually: Eventually) -> None:
    db = DB({"local": {"filepath": str(path)}})
    begun = time.monotonic()
    db.write_queue_message("k", "v")
    eventually(lambda: stats(db)["delivered"] == 1)
    assert time.monotonic() - begun >= 1.9
    db.stop()


def test_the_timeout_counts_from_the_first_message_so_a_trickle_does_not_put_it_off(
    open_db: Callable[..., DB], eventually: Eventually
) -> None:
    db = open_db(queue_batch={"size": 100_000, "timeout": 0.2})
    written = 0

    def write_one_more_and_look() -> bool:
        nonlocal written
        written += 1
        db.write_queue_message(str(written), "v")
        return bool(stats(db)["delivered"])

    eventually(write_one_more_and_look)
    assert stats(db)["delivered"] < 100_000


def test_a_timeout_of_zero_sends_at_once(open_db: Callable[..., DB], eventually: Eventually) -> None:
    db = open_db(queue_batch={"size": 1000, "timeout": 0})
    db.write_queue_message("k", "v")
    eventually(lambda: stats(db)["delivered"] == 1)


def test_a_size_of_one_sends_every_message_by_itself(open_db: Callable[..., DB]) -> None:
    db = open_db(queue_batch={"size": 1, "timeout": HOUR})
    queue(db, 20)
    db.flush()
    assert (stats(db)["delivered"], stats(db)["batches"]) == (20, 20)


@pytest.mark.parametrize(("count", "size", "batches"), [(1, 10, 1), (10, 10, 1), (11, 10, 2), (25, 10, 3)])
def test_size_is_the_most_messages_of_a_batch(
    count: int, size: int, batches: int, open_db: Callable[..., DB]
) -> None:
    db = open_db(queue_batch={"size": size, "timeout": HOUR})
    queue(db, count)
    db.flush()
    assert (stats(db)["delivered"], stats(db)["batches"]) == (count, batches)


@pytest.mark.parametrize("verb", ["flush", "stop"])
def test_flush_and_stop_send_at_once_what_waits_for_its_batch_to_fill(
    verb: str, open_db: Callable[..., DB], stored: Callable[[], dict[bytes, bytes]]
) -> None:
    db = open_db(queue_batch={"size": 1000, "timeout": HOUR})
    queue(db, 3)
    getattr(db, verb)()
    assert len(stored()) == 3


def test_the_end_of_a_with_block_sends_at_once_what_waits_for_its_batch_to_fill(
    open_db: Callable[..., DB], stored: Callable[[], dict[bytes, bytes]]
) -> None:
    with open_db(queue_batch={"size": 1000, "timeout": HOUR}) as db:
        queue(db, 3)
    assert len(stored()) == 3


def test_a_message_after_a_flush_waits_for_its_batch_again(open_db: Callable[..., DB]) -> None:
    db = open_db(queue_batch={"size": 1000, "timeout": HOUR})
    queue(db, 3)
    db.flush()
    db.write_queue_message("k", "v")
    time.sleep(0.2)
    assert (stats(db)["delivered"], stats(db)["pending"]) == (3, 1)


def test_start_alone_sends_nothing_early(open_db: Callable[..., DB]) -> None:
    db = open_db(queue_batch={"size": 1000, "timeout": HOUR})
    queue(db, 3)
    db.start()
    time.sleep(0.1)
    assert stats(db)["pending"] == 3

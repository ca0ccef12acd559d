"""`failed_messages`, `retry_failed`, `drop_failed`: what was given up is kept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from TetherDB import DB, DeliveryError

from .place import LARGE

if TYPE_CHECKING:
    from collections.abc import Callable

    from .backends import Backend
    from .place import Place

pytestmark = pytest.mark.usefixtures("refuse_large")


def flush(db: DB) -> list[str]:
    with pytest.raises(DeliveryError) as caught:
        db.flush()
    return [failed[0] for failed in caught.value.failed]


@pytest.fixture
def db(open_db: Callable[..., DB], backend: Backend) -> DB:
    """Two messages have been given up, and reported."""
    db, on = open_db(), backend.name
    db.write_queue_message("bad 1", {"a": (LARGE,)}, "b", on)
    db.write_queue_message("good", "v", backend=on)
    db.write_queue_message("bad 2", LARGE, backend=on)
    assert sorted(flush(db)) == ["b:bad 1", "bad 2"]
    return db


@pytest.mark.parametrize("given", ["nothing", "None", "the name"])
def test_failed_messages_lists_key_value_backend_and_error_text(
    given: str, db: DB, backend: Backend, place: Place
) -> None:
    arguments: dict[str, tuple[Any, ...]] = {"nothing": (), "None": (None,), "the name": (backend.name,)}
    failed = db.failed_messages(*arguments[given])
    assert type(failed) is list
    assert sorted(message[:3] for message in failed) == [
        ("b:bad 1", {"a": [LARGE]}, backend.name),
        ("bad 2", LARGE, backend.name),
    ]
    for message in failed:
        assert type(message) is tuple
        assert len(message) == 4
        assert type(message[3]) is str
        assert place.refusal_says in message[3]


def test_failed_messages_of_a_good_queue_are_none(open_db: Callable[..., DB], backend: Backend) -> None:
    db = open_db()
    db.write_queue_message("good", "v", backend=backend.name)
    db.flush()
    assert db.failed_messages() == []
    assert db.retry_failed() == 0
    assert db.drop_failed() == 0


def test_failed_messages_of_another_backend_are_none(db: DB, backend: Backend) -> None:
    if backend.over_network:
        assert db.failed_messages("local") == []
        assert db.retry_failed("local") == 0
        assert db.drop_failed("local") == 0
    assert len(db.failed_messages()) == 2


def test_failed_messages_can_be_listed_again_and_stay_until_retried_or_dropped(db: DB) -> None:
    assert db.failed_messages() == db.failed_messages()
    db.stop()
    assert len(db.failed_messages()) == 2


def test_retry_failed_queues_them_again_and_gives_the_count(db: DB, backend: Backend, place: Place) -> None:
    place.take_large()
    assert db.retry_failed() == 2
    db.flush()
    assert db.failed_messages() == []
    assert dict(db.iter_messages(backend=backend.name)) == {
        "b:bad 1": {"a": [LARGE]},
        "bad 2": LARGE,
        "good": "v",
    }
    stats = db.stats()[backend.name]
    assert (stats["accepted"], stats["delivered"], stats["failed"]) == (3, 3, 0)


def test_retry_failed_of_one_backend(db: DB, backend: Backend, place: Place) -> None:
    place.take_large()
    assert db.retry_failed(backend.name) == 2
    assert db.retry_failed(backend=backend.name) == 0


def test_what_fails_again_is_given_up_and_reported_again(db: DB, backend: Backend) -> None:
    assert db.retry_failed() == 2
    assert sorted(flush(db)) == ["b:bad 1", "bad 2"]
    assert len(db.failed_messages()) == 2
    stats = db.stats()[backend.name]
    assert (stats["accepted"], stats["delivered"], stats["failed"], stats["pending"]) == (3, 1, 2, 0)


def test_drop_failed_forgets_them_and_gives_the_count(db: DB, place: Place) -> None:
    assert db.drop_failed() == 2
    assert db.failed_messages() == []
    assert db.drop_failed() == 0
    assert db.retry_failed() == 0
    db.stop()
    assert place.everything() == {"good": "v"}


def test_dropped_messages_stay_counted_as_failed(db: DB, backend: Backend) -> None:
    db.drop_failed(backend.name)
    stats = db.stats()[backend.name]
    assert (stats["accepted"], stats["delivered"], stats["failed"]) == (3, 1, 2)


def test_a_newer_message_of_the_key_is_followed_by_the_one_queued_again(
    db: DB, backend: Backend, place: Place
) -> None:
    # Sending again is a write of its own, made when it was asked for.
    place.take_large()
    db.write_message("bad 2", "newer", backend=backend.name)
    db.retry_failed()
    db.flush()
    assert db.read_message("bad 2", backend=backend.name) == LARGE


def test_no_more_are_kept_than_max_pending_the_newest_ones(
    open_db: Callable[..., DB], backend: Backend
) -> None:
    db = open_db(queue_batch={"max_pending": 5})
    for number in range(8):
        db.write_queue_message(f"bad {number}", LARGE, backend=backend.name)
        assert flush(db) == [f"bad {number}"]
    assert [message[0] for message in db.failed_messages()] == [f"bad {number}" for number in range(3, 8)]
    assert db.stats()[backend.name]["failed"] == 8

"""`failed_messages`, `retry_failed`, `drop_failed`: what was given up is kept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from TetherDB import DB, DeliveryError

if TYPE_CHECKING:
    from collections.abc import Callable

    Sql = Callable[..., list[tuple[Any, ...]]]

pytestmark = pytest.mark.usefixtures("refuse_bad")


def flush(db: DB) -> list[str]:
    with pytest.raises(DeliveryError) as caught:
        db.flush()
    return [failed[0] for failed in caught.value.failed]


@pytest.fixture
def db(open_db: Callable[..., DB]) -> DB:
    """Two messages have been given up, and reported."""
    db = open_db()
    db.write_queue_message("bad 1", {"a": (1,)}, "b")
    db.write_queue_message("good", "v")
    db.write_queue_message("bad 2", "123")
    assert sorted(flush(db)) == ["b:bad 1", "bad 2"]
    return db


@pytest.mark.parametrize("arguments", [(), ("local",), (None,)], ids=repr)
def test_failed_messages_lists_key_value_backend_and_error_text(arguments: Any, db: DB) -> None:
    failed = db.failed_messages(*arguments)
    assert type(failed) is list
    assert sorted(message[:3] for message in failed) == [
        ("b:bad 1", {"a": [1]}, "local"),
        ("bad 2", "123", "local"),
    ]
    for message in failed:
        assert type(message) is tuple
        assert len(message) == 4
        assert type(message[3]) is str
        assert "refused by the trigger" in message[3]


def test_failed_messages_of_a_good_queue_are_none(open_db: Callable[..., DB]) -> None:
    db = open_db()
    db.write_queue_message("good", "v")
    db.flush()
    assert db.failed_messages() == []
    assert db.retry_failed() == 0
    assert db.drop_failed() == 0


def test_failed_messages_can_be_listed_again_and_stay_until_retried_or_dropped(db: DB) -> None:
    assert db.failed_messages() == db.failed_messages()
    db.stop()
    assert len(db.failed_messages()) == 2


def test_retry_failed_queues_them_again_and_gives_the_count(db: DB, sql: Sql) -> None:
    sql("DROP TRIGGER refuse")
    assert db.retry_failed() == 2
    db.flush()
    assert db.failed_messages() == []
    assert dict(db.iter_messages()) == {"b:bad 1": {"a": [1]}, "bad 2": "123", "good": "v"}
    stats = db.stats()["local"]
    assert (stats["accepted"], stats["delivered"], stats["failed"]) == (3, 3, 0)


def test_retry_failed_of_one_backend(db: DB, sql: Sql) -> None:
    sql("DROP TRIGGER refuse")
    assert db.retry_failed("local") == 2
    assert db.retry_failed(backend="local") == 0


def test_what_fails_again_is_given_up_and_reported_again(db: DB) -> None:
    assert db.retry_failed() == 2
    assert sorted(flush(db)) == ["b:bad 1", "bad 2"]
    assert len(db.failed_messages()) == 2
    stats = db.stats()["local"]
    assert (stats["accepted"], stats["delivered"], stats["failed"], stats["pending"]) == (3, 1, 2, 0)


def test_drop_failed_forgets_them_and_gives_the_count(db: DB, sql: Sql) -> None:
    assert db.drop_failed() == 2
    assert db.failed_messages() == []
    assert db.drop_failed() == 0
    sql("DROP TRIGGER refuse")
    assert db.retry_failed() == 0
    db.stop()
    assert db.list_keys()["keys"] == ["good"]


def test_dropped_messages_stay_counted_as_failed(db: DB) -> None:
    db.drop_failed("local")
    stats = db.stats()["local"]
    assert (stats["accepted"], stats["delivered"], stats["failed"]) == (3, 1, 2)


def test_a_newer_message_of_the_key_is_followed_by_the_one_queued_again(db: DB, sql: Sql) -> None:
    # Sending again is a write of its own, made when it was asked for.
    sql("DROP TRIGGER refuse")
    db.write_message("bad 2", "newer")
    db.retry_failed()
    db.flush()
    assert db.read_message("bad 2") == "123"


def test_no_more_are_kept_than_max_pending_the_newest_ones(open_db: Callable[..., DB]) -> None:
    db = open_db(queue_batch={"max_pending": 5})
    for number in range(8):
        db.write_queue_message(f"bad {number}", "v")
        assert flush(db) == [f"bad {number}"]
    assert [message[0] for message in db.failed_messages()] == [f"bad {number}" for number in range(3, 8)]
    assert db.stats()["local"]["failed"] == 8

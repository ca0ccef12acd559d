"""Retrying and giving up."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import pytest

from TetherDB import DB, BackendError, DeliveryError, OperationTimeout

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    Locked = Callable[[], AbstractContextManager[None]]


@pytest.fixture
def failing(open_db: Callable[..., DB]) -> Callable[..., DB]:
    """Opens a handle that gives up soon, and has a file already."""

    def opened(give_up_after: float = 0.1, **more: Any) -> DB:
        retry = {"initial": 0.01, "max": 0.02, "give_up_after": give_up_after}
        db = open_db(local={"busy_timeout": 0}, queue_batch={"retry": retry}, **more)
        db.write_message("before", "v")
        return db

    return opened


def given_up(db: DB) -> list[Any]:
    with pytest.raises(DeliveryError) as caught:
        db.flush()
    return caught.value.failed


@pytest.mark.usefixtures("refuse_bad")
@pytest.mark.parametrize("at", [0, 1, 5, 9])
def test_one_bad_message_never_holds_back_its_neighbours_wherever_it_stands(
    at: int, open_db: Callable[..., DB]
) -> None:
    db = open_db(queue_batch={"size": 10, "timeout": 3600})
    for number in range(10):
        db.write_queue_message(f"{number} {'bad' if number == at else 'good'}", "v")
    assert [failed[0] for failed in given_up(db)] == [f"{at} bad"]
    assert db.list_keys()["keys"] == [f"{number} good" for number in range(10) if number != at]
    stats = db.stats()["local"]
    assert (stats["delivered"], stats["failed"], stats["pending"]) == (9, 1, 0)


@pytest.mark.usefixtures("refuse_bad")
def test_many_bad_messages_hold_back_none_of_the_good_ones(open_db: Callable[..., DB]) -> None:
    db = open_db(queue_batch={"size": 50})
    kinds = ["bad" if number % 3 == 0 or number < 20 else "good" for number in range(200)]
    for number, kind in enumerate(kinds):
        db.write_queue_message(f"{number:03}", kind)
    assert len(given_up(db)) == kinds.count("bad")
    assert set(db.list_messages(1000)["messages"]) == {"good"}
    assert db.stats()["local"]["delivered"] == kinds.count("good")


@pytest.mark.usefixtures("refuse_bad")
def test_what_is_refused_for_good_is_given_up_without_a_retry(open_db: Callable[..., DB]) -> None:
    # It would be retried for an hour.
    db = open_db(queue_batch={"retry": {"initial": 3600, "max": 3600, "give_up_after": 3600}})
    db.write_queue_message("bad", "v")
    ((key, _, _, exception),) = given_up(db)
    assert key == "bad"
    assert type(exception) is BackendError
    assert db.stats()["local"]["retried"] == 0


def test_retryable_trouble_that_ends_in_time_loses_nothing(
    failing: Callable[..., DB], locked: Locked, eventually: Callable[..., None]
) -> None:
    db = failing(give_up_after=60)
    with locked():
        for number in range(25):
            db.write_queue_message(f"{number:02}", "v")
        eventually(lambda: db.stats()["local"]["retried"] >= 30)
    db.flush()
    assert len(db.list_keys(100)["keys"]) == 26
    stats = db.stats()["local"]
    assert (stats["delivered"], stats["failed"]) == (25, 0)
    assert "locked" in (stats["last_error"] or "")


@pytest.mark.parametrize("give_up_after", [0, 0.1])
def test_retryable_trouble_that_lasts_is_given_up_after_give_up_after(
    give_up_after: float, failing: Callable[..., DB], locked: Locked
) -> None:
    db = failing(give_up_after)
    with locked():
        db.write_queue_message("k", {"a": 1}, "b")
        ((key, value, backend, exception),) = given_up(db)
    assert (key, value, backend) == ("b:k", {"a": 1}, "local")
    assert type(exception) is OperationTimeout
    assert (exception.backend, exception.retryable) == ("local", True)
    assert (db.stats()["local"]["retried"] > 0) is (give_up_after > 0)
    assert db.read_message("k", "b") is None


def test_the_queue_goes_on_after_something_was_given_up(failing: Callable[..., DB], locked: Locked) -> None:
    db = failing()
    with locked():
        db.write_queue_message("lost", "v")
        assert len(given_up(db)) == 1
    db.write_queue_message("kept", "v")
    db.flush()
    assert db.list_keys()["keys"] == ["before", "kept"]


@pytest.mark.usefixtures("refuse_bad")
def test_every_message_given_up_is_logged_at_error_with_key_and_reason_when_flush_returns(
    open_db: Callable[..., DB], caplog: pytest.LogCaptureFixture
) -> None:
    db = open_db()
    for number in range(3):
        db.write_queue_message(f"bad {number}", "v", "b")
    given_up(db)
    lines = [record.getMessage() for record in caplog.records]
    assert [record.levelno for record in caplog.records] == [logging.ERROR] * 3
    for number, line in enumerate(sorted(lines)):
        assert f"b:bad {number}" in line
        assert "local" in line
        assert "refused by the trigger" in line


@pytest.mark.usefixtures("refuse_bad")
def test_a_message_given_up_leaves_what_was_stored_under_its_key(open_db: Callable[..., DB]) -> None:
    db = open_db()
    db.write_message("k", "old")
    db.write_queue_message("k", "bad")
    given_up(db)
    assert db.read_message("k") == "old"

"""Retrying and giving up."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import pytest

from TetherDB import DB, DeliveryError, OperationTimeout

from .place import IMPATIENT, LARGE

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from .backends import Backend
    from .place import Place

    Outage = Callable[[], AbstractContextManager[None]]


@pytest.fixture
def failing(open_db: Callable[..., DB], backend: Backend) -> Callable[..., DB]:
    """Opens a handle that gives up soon, and has written already."""

    def opened(give_up_after: float = IMPATIENT / 2, **more: Any) -> DB:
        retry = {"initial": 0.01, "max": 0.02, "give_up_after": give_up_after}
        db = open_db(queue_batch={"retry": retry}, **more)
        db.write_message("before", "v", backend=backend.name)
        return db

    return opened


def given_up(db: DB) -> list[Any]:
    with pytest.raises(DeliveryError) as caught:
        db.flush()
    return caught.value.failed


@pytest.mark.usefixtures("refuse_large")
@pytest.mark.parametrize("at", [0, 1, 5, 9])
def test_one_bad_message_never_holds_back_its_neighbours_wherever_it_stands(
    at: int, open_db: Callable[..., DB], backend: Backend
) -> None:
    db, on = open_db(queue_batch={"size": 10, "timeout": 3600}), backend.name
    for number in range(10):
        db.write_queue_message(str(number), LARGE if number == at else "good", backend=on)
    assert [failed[0] for failed in given_up(db)] == [str(at)]
    assert sorted(db.list_keys(backend=on)["keys"]) == [str(number) for number in range(10) if number != at]
    stats = db.stats()[on]
    assert (stats["delivered"], stats["failed"], stats["pending"]) == (9, 1, 0)


@pytest.mark.usefixtures("refuse_large")
@pytest.mark.parametrize("size", [7, 50, 1000])
def test_many_bad_messages_hold_back_none_of_the_good_ones(
    size: int, open_db: Callable[..., DB], backend: Backend, place: Place
) -> None:
    db = open_db(queue_batch={"size": size})
    bad = {f"{number:03}" for number in range(200) if number % 3 == 0 or number < 20}
    for number in range(200):
        key = f"{number:03}"
        db.write_queue_message(key, LARGE if key in bad else "good", backend=backend.name)
    assert {failed[0] for failed in given_up(db)} == bad
    assert place.everything() == {
        f"{number:03}": "good" for number in range(200) if f"{number:03}" not in bad
    }
    assert db.stats()[backend.name]["delivered"] == 200 - len(bad)


@pytest.mark.usefixtures("refuse_large", "the_real_one")
def test_what_was_delivered_beside_a_bad_message_is_not_sent_again(
    history: Callable[[str], list[str | None]], open_db: Callable[..., DB], backend: Backend
) -> None:
    db = open_db(queue_batch={"size": 10, "timeout": 3600})
    for number in range(10):
        db.write_queue_message(str(number), LARGE if number == 5 else f"good {number}", backend=backend.name)
    assert len(given_up(db)) == 1
    for number in range(10):
        assert history(str(number)) == ([] if number == 5 else [f"good {number}"])


@pytest.mark.usefixtures("refuse_large")
def test_what_is_refused_for_good_is_given_up_without_a_retry(
    open_db: Callable[..., DB], backend: Backend, place: Place
) -> None:
    # It would be retried for an hour.
    db = open_db(queue_batch={"retry": {"initial": 3600, "max": 3600, "give_up_after": 3600}})
    db.write_queue_message("bad", LARGE, backend=backend.name)
    ((key, _, _, exception),) = given_up(db)
    assert key == "bad"
    assert type(exception) is place.refusal
    assert db.stats()[backend.name]["retried"] == 0


def test_retryable_trouble_that_ends_in_time_loses_nothing(
    outage: Outage,
    failing: Callable[..., DB],
    backend: Backend,
    place: Place,
    eventually: Callable[..., None],
) -> None:
    db, on = failing(give_up_after=60), backend.name
    with outage():
        for number in range(25):
            db.write_queue_message(f"{number:02}", "v", backend=on)
        eventually(lambda: db.stats()[on]["retried"] >= 30)
    db.flush()
    assert len(place.everything()) == 26
    stats = db.stats()[on]
    assert (stats["delivered"], stats["failed"]) == (25, 0)
    assert f"{on} backend" in (stats["last_error"] or "")


@pytest.mark.parametrize("give_up_after", [0, IMPATIENT])
def test_retryable_trouble_that_lasts_is_given_up_after_give_up_after(
    give_up_after: float, outage: Outage, failing: Callable[..., DB], backend: Backend
) -> None:
    db, on = failing(give_up_after), backend.name
    with outage():
        db.write_queue_message("k", {"a": 1}, "b", on)
        ((key, value, name, exception),) = given_up(db)
    assert (key, value, name) == ("b:k", {"a": 1}, on)
    assert type(exception) is OperationTimeout
    assert (exception.backend, exception.retryable) == (on, True)
    assert (db.stats()[on]["retried"] > 0) is (give_up_after > 0)
    assert db.read_message("k", "b", on) is None


def test_the_queue_goes_on_after_something_was_given_up(
    outage: Outage, failing: Callable[..., DB], backend: Backend, place: Place
) -> None:
    db, on = failing(), backend.name
    with outage():
        db.write_queue_message("lost", "v", backend=on)
        assert len(given_up(db)) == 1
    db.write_queue_message("kept", "v", backend=on)
    db.flush()
    assert place.everything() == {"before": "v", "kept": "v"}


@pytest.mark.usefixtures("refuse_large")
def test_every_message_given_up_is_logged_at_error_with_key_and_reason_when_flush_returns(
    open_db: Callable[..., DB], backend: Backend, place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    db = open_db()
    for number in range(3):
        db.write_queue_message(f"bad {number}", LARGE, "b", backend.name)
    given_up(db)
    lines = [record.getMessage() for record in caplog.records]
    assert [record.levelno for record in caplog.records] == [logging.ERROR] * 3
    for number, line in enumerate(sorted(lines)):
        assert f"b:bad {number}" in line
        assert backend.name in line
        assert place.refusal_says in line


@pytest.mark.usefixtures("refuse_large")
def test_a_message_given_up_leaves_what_was_stored_under_its_key(
    open_db: Callable[..., DB], backend: Backend
) -> None:
    db, on = open_db(), backend.name
    db.write_message("k", "old", backend=on)
    db.write_queue_message("k", LARGE, backend=on)
    given_up(db)
    assert db.read_message("k", backend=on) == "old"

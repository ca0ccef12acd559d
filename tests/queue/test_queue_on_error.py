"""`on_error(key, value, backend, exception)`: called for every message that is given up."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Any

import pytest

from TetherDB import DB, BackendError, DeliveryError, OperationTimeout

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    Eventually = Callable[[Callable[[], object]], None]

pytestmark = pytest.mark.usefixtures("refuse_bad")


class Recorder:
    """Keeps what it was called with."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, Any, str, Exception]] = []

    def __call__(self, key: str, value: Any, backend: str, exception: Exception) -> None:
        self.calls.append((key, value, backend, exception))

    @property
    def keys(self) -> list[str]:
        return [key for key, *_ in self.calls]


def flush(db: DB) -> None:
    with pytest.raises(DeliveryError):
        db.flush()


def test_on_error_gets_stored_key_value_as_read_backend_and_exception(
    open_db: Callable[..., DB], eventually: Eventually
) -> None:
    on_error = Recorder()
    db = open_db(on_error=on_error)
    db.write_queue_message("bad", {"a": (1, 2)}, "b")
    eventually(lambda: on_error.calls)
    ((key, value, backend, exception),) = on_error.calls
    assert (key, value, backend) == ("b:bad", {"a": [1, 2]}, "local")
    assert type(exception) is BackendError
    assert (exception.backend, exception.retryable) == ("local", False)
    assert "refused by the trigger" in str(exception)


def test_on_error_is_called_once_for_each_message_given_up_and_for_no_other(
    open_db: Callable[..., DB], eventually: Eventually
) -> None:
    on_error = Recorder()
    db = open_db(on_error=on_error)
    for number in range(50):
        db.write_queue_message(f"{number:02} {'bad' if number % 5 == 0 else 'good'}", "v")
    flush(db)
    eventually(lambda: len(on_error.keys) >= 10)
    assert sorted(on_error.keys) == [f"{number:02} bad" for number in range(0, 50, 5)]


def test_on_error_is_called_for_what_is_given_up_after_retries(
    open_db: Callable[..., DB], locked: Callable[[], AbstractContextManager[None]], eventually: Eventually
) -> None:
    on_error = Recorder()
    retry = {"initial": 0.01, "max": 0.02, "give_up_after": 0.05}
    db = open_db(
        on_error=on_error,
        local={"busy_timeout": 0},
        queue_batch={"retry": retry},
    )
    with locked():
        db.write_queue_message("k", "v")
        eventually(lambda: on_error.calls)
    assert type(on_error.calls[0][3]) is OperationTimeout


def test_on_error_is_called_for_what_stop_hands_back(
    open_db: Callable[..., DB], locked: Callable[[], AbstractContextManager[None]], eventually: Eventually
) -> None:
    on_error = Recorder()
    db = open_db(on_error=on_error, local={"busy_timeout": 0})
    with locked():
        db.write_queue_message("k", "v", "b")
        with pytest.raises(DeliveryError):
            db.stop(timeout=0)
    eventually(lambda: on_error.keys)
    assert on_error.keys == ["b:k"]


def test_on_error_is_not_called_for_a_direct_verb_that_fails(open_db: Callable[..., DB]) -> None:
    on_error = Recorder()
    db = open_db(on_error=on_error)
    with pytest.raises(BackendError):
        db.write_message("bad", "v")
    db.stop()
    assert on_error.keys == []


@pytest.mark.parametrize("raised", [RuntimeError("mine"), KeyError("mine"), SystemExit("mine")], ids=repr)
def test_what_on_error_raises_is_logged_and_harms_nothing(
    raised: BaseException,
    open_db: Callable[..., DB],
    eventually: Eventually,
    caplog: pytest.LogCaptureFixture,
) -> None:
    keys: list[str] = []

    def on_error(key: str, *_: object) -> None:
        keys.append(key)
        raise raised

    db = open_db(on_error=on_error)
    for number in range(3):
        db.write_queue_message(f"bad {number}", "v")
        db.write_queue_message(f"good {number}", "v")
    flush(db)
    eventually(lambda: len(keys) == 3)
    db.write_queue_message("good later", "v")
    db.flush()
    assert len(db.list_keys()["keys"]) == 4
    eventually(lambda: sum("mine" in record.getMessage() for record in caplog.records) == 3)
    assert {record.levelno for record in caplog.records} == {logging.ERROR}


def test_on_error_with_other_parameters_is_logged_and_harms_nothing(
    open_db: Callable[..., DB], eventually: Eventually, caplog: pytest.LogCaptureFixture
) -> None:
    db = open_db(on_error=lambda: None)
    db.write_queue_message("bad", "v")
    flush(db)
    eventually(lambda: any("on_error" in record.getMessage() for record in caplog.records))
    assert db.write_message("good", "v") is True


def test_verbs_may_be_called_from_on_error(open_db: Callable[..., DB], eventually: Eventually) -> None:
    results: list[Any] = []

    def on_error(key: str, value: Any, *_: object) -> None:
        results.extend(
            [
                db.write_message(f"saved {value}", key.replace("bad", "b-a-d")),
                db.write_queue_message("queued", "from on_error"),
                db.read_message("good"),
                db.update_message("good", "seen"),
                db.list_keys(5)["next_marker"],
                db.stats()["local"]["failed"],
                [failed[0] for failed in db.failed_messages()],
                db.drop_failed(),
            ]
        )

    db = open_db(on_error=on_error)
    db.write_message("good", "v")
    db.write_queue_message("bad", "v")
    eventually(lambda: len(results) == 8)
    assert results == [True, True, "v", True, None, 1, ["bad"], 1]
    db.flush()
    assert db.read_messages(["saved v", "queued"]) == {"saved v": "b-a-d", "queued": "from on_error"}


def test_a_message_may_be_queued_again_from_on_error_under_the_same_key(
    open_db: Callable[..., DB], eventually: Eventually
) -> None:
    def on_error(key: str, value: str, *_: object) -> None:
        db.write_message(key, value.replace("bad", "good"))

    db = open_db(on_error=on_error)
    db.write_queue_message("k", "bad value")
    flush(db)
    eventually(lambda: db.read_message("k") == "good value")


@pytest.mark.parametrize("verb", ["flush", "stop", "start", "ping"])
def test_flush_and_stop_may_be_called_from_on_error(
    verb: str, open_db: Callable[..., DB], eventually: Eventually
) -> None:
    outcomes: list[object] = []

    def on_error(*_: object) -> None:
        try:
            getattr(db, verb)()
            outcomes.append(None)
        except DeliveryError as error:
            outcomes.append(error)

    db = open_db(on_error=on_error)
    for number in range(3):
        db.write_queue_message(f"bad {number}", "v")
        db.write_queue_message(f"good {number}", "v")
    eventually(lambda: len(outcomes) == 3)
    db.write_queue_message("good later", "v")
    eventually(lambda: len(db.list_keys()["keys"]) == 4)


def test_on_error_that_takes_long_holds_up_neither_the_queue_nor_flush(open_db: Callable[..., DB]) -> None:
    go_on = threading.Event()
    entered = threading.Event()

    def on_error(*_: object) -> None:
        entered.set()
        go_on.wait(timeout=60)

    db = open_db(on_error=on_error)
    try:
        db.write_queue_message("bad", "v")
        assert entered.wait(timeout=60)
        flush(db)
        db.write_queue_message("good", "v")
        db.flush()
        assert db.read_message("good") == "v"
        db.stop()
    finally:
        go_on.set()


def test_on_error_may_be_a_method_that_nothing_else_keeps_alive(
    open_db: Callable[..., DB], eventually: Eventually
) -> None:
    keys: list[str] = []

    class Listener:
        def heard(self, key: str, *_: object) -> None:
            keys.append(key)

    db = open_db(on_error=Listener().heard)
    db.write_queue_message("bad", "v")
    eventually(lambda: keys == ["bad"])


def test_on_error_is_called_for_what_a_forgotten_handle_gives_up(path: Any, eventually: Eventually) -> None:
    on_error = Recorder()
    db = DB({"local": {"filepath": str(path)}, "queue_batch": {"timeout": 3600}}, on_error=on_error)
    db.write_queue_message("bad", "v")
    del db
    eventually(lambda: on_error.keys == ["bad"])

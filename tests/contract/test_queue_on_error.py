"""`on_error(key, value, backend, exception)`: called for every message that is given up."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Any

import pytest

from TetherDB import DB, DeliveryError, OperationTimeout

from .place import LARGE

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from pathlib import Path

    from .backends import Backend
    from .place import Place

    Outage = Callable[[], AbstractContextManager[None]]
    Eventually = Callable[[Callable[[], object]], None]

refuse_large = pytest.mark.usefixtures("refuse_large")


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


@refuse_large
def test_on_error_gets_stored_key_value_as_read_backend_and_exception(
    open_db: Callable[..., DB], backend: Backend, place: Place, eventually: Eventually
) -> None:
    on_error = Recorder()
    db = open_db(on_error=on_error)
    db.write_queue_message("bad", {"a": (1, LARGE)}, "b", backend.name)
    eventually(lambda: on_error.calls)
    ((key, value, name, exception),) = on_error.calls
    assert (key, value, name) == ("b:bad", {"a": [1, LARGE]}, backend.name)
    assert type(exception) is place.refusal
    assert place.refusal_says in str(exception)


@refuse_large
def test_on_error_is_called_once_for_each_message_given_up_and_for_no_other(
    open_db: Callable[..., DB], backend: Backend, eventually: Eventually
) -> None:
    on_error = Recorder()
    db = open_db(on_error=on_error)
    for number in range(50):
        db.write_queue_message(f"{number:02}", LARGE if number % 5 == 0 else "good", backend=backend.name)
    flush(db)
    eventually(lambda: len(on_error.keys) >= 10)
    assert sorted(on_error.keys) == [f"{number:02}" for number in range(0, 50, 5)]


def test_on_error_is_called_for_what_is_given_up_after_retries(
    outage: Outage, open_db: Callable[..., DB], backend: Backend, eventually: Eventually
) -> None:
    on_error = Recorder()
    retry = {"initial": 0.01, "max": 0.02, "give_up_after": 0.05}
    db = open_db(on_error=on_error, queue_batch={"retry": retry})
    with outage():
        db.write_queue_message("k", "v", backend=backend.name)
        eventually(lambda: on_error.calls)
    assert type(on_error.calls[0][3]) is OperationTimeout


def test_on_error_is_called_for_what_stop_hands_back(
    outage: Outage, open_db: Callable[..., DB], backend: Backend, eventually: Eventually
) -> None:
    on_error = Recorder()
    db = open_db(on_error=on_error)
    with outage():
        db.write_queue_message("k", "v", "b", backend.name)
        with pytest.raises(DeliveryError):
            db.stop(timeout=0)
    eventually(lambda: on_error.keys)
    assert on_error.keys == ["b:k"]


@refuse_large
def test_on_error_is_not_called_for_a_direct_verb_that_fails(
    open_db: Callable[..., DB], backend: Backend, place: Place
) -> None:
    on_error = Recorder()
    db = open_db(on_error=on_error)
    with pytest.raises(place.refusal):
        db.write_message("bad", LARGE, backend=backend.name)
    db.stop()
    assert on_error.keys == []


@refuse_large
@pytest.mark.parametrize("raised", [RuntimeError("mine"), KeyError("mine"), SystemExit("mine")], ids=repr)
def test_what_on_error_raises_is_logged_and_harms_nothing(
    raised: BaseException,
    open_db: Callable[..., DB],
    backend: Backend,
    place: Place,
    eventually: Eventually,
    caplog: pytest.LogCaptureFixture,
) -> None:
    keys: list[str] = []

    def on_error(key: str, *_: object) -> None:
        keys.append(key)
        raise raised

    db = open_db(on_error=on_error)
    for number in range(3):
        db.write_queue_message(f"bad {number}", LARGE, backend=backend.name)
        db.write_queue_message(f"good {number}", "v", backend=backend.name)
    flush(db)
    eventually(lambda: len(keys) == 3)
    db.write_queue_message("good later", "v", backend=backend.name)
    db.flush()
    assert len(place.everything()) == 4
    eventually(lambda: sum("mine" in record.getMessage() for record in caplog.records) == 3)
    assert {record.levelno for record in caplog.records} == {logging.ERROR}


@refuse_large
def test_on_error_with_other_parameters_is_logged_and_harms_nothing(
    open_db: Callable[..., DB], backend: Backend, eventually: Eventually, caplog: pytest.LogCaptureFixture
) -> None:
    db = open_db(on_error=lambda: None)
    db.write_queue_message("bad", LARGE, backend=backend.name)
    flush(db)
    eventually(lambda: any("on_error" in record.getMessage() for record in caplog.records))
    assert db.write_message("good", "v", backend=backend.name) is True


@refuse_large
def test_verbs_may_be_called_from_on_error(
    open_db: Callable[..., DB], backend: Backend, eventually: Eventually
) -> None:
    on = backend.name
    results: list[Any] = []

    def on_error(key: str, value: Any, *_: object) -> None:
        results.extend(
            [
                db.write_message(f"saved {key}", value[:1], backend=on),
                db.write_queue_message("queued", "from on_error", backend=on),
                db.read_message("good", backend=on),
                db.update_message("good", "seen", backend=on),
                len(db.list_keys(5, backend=on)["keys"]) >= 2,
                db.stats()[on]["failed"],
                [failed[0] for failed in db.failed_messages()],
                db.drop_failed(),
            ]
        )

    db = open_db(on_error=on_error)
    db.write_message("good", "v", backend=on)
    db.write_queue_message("bad", LARGE, backend=on)
    eventually(lambda: len(results) == 8)
    assert results == [True, True, "v", True, True, 1, ["bad"], 1]
    db.flush()
    found = db.read_messages(["saved bad", "queued"], backend=on)
    assert found == {"saved bad": "x", "queued": "from on_error"}


@refuse_large
def test_a_message_may_be_queued_again_from_on_error_under_the_same_key(
    open_db: Callable[..., DB], backend: Backend, eventually: Eventually
) -> None:
    on = backend.name

    def on_error(key: str, value: str, *_: object) -> None:
        db.write_message(key, value[:4], backend=on)

    db = open_db(on_error=on_error)
    db.write_queue_message("k", LARGE, backend=on)
    flush(db)
    eventually(lambda: db.read_message("k", backend=on) == "xxxx")


@refuse_large
@pytest.mark.parametrize("verb", ["flush", "stop", "start", "ping"])
def test_flush_and_stop_may_be_called_from_on_error(
    verb: str, open_db: Callable[..., DB], backend: Backend, eventually: Eventually
) -> None:
    on = backend.name
    outcomes: list[object] = []

    def on_error(*_: object) -> None:
        try:
            getattr(db, verb)()
            outcomes.append(None)
        except DeliveryError as error:
            outcomes.append(error)

    db = open_db(on_error=on_error)
    for number in range(3):
        db.write_queue_message(f"bad {number}", LARGE, backend=on)
        db.write_queue_message(f"good {number}", "v", backend=on)
    eventually(lambda: len(outcomes) == 3)
    db.write_queue_message("good later", "v", backend=on)
    eventually(lambda: len(db.list_keys(backend=on)["keys"]) == 4)


@refuse_large
def test_on_error_that_takes_long_holds_up_neither_the_queue_nor_flush(
    open_db: Callable[..., DB], backend: Backend
) -> None:
    go_on = threading.Event()
    entered = threading.Event()

    def on_error(*_: object) -> None:
        entered.set()
        go_on.wait(timeout=60)

    db, on = open_db(on_error=on_error), backend.name
    try:
        db.write_queue_message("bad", LARGE, backend=on)
        assert entered.wait(timeout=60)
        flush(db)
        db.write_queue_message("good", "v", backend=on)
        db.flush()
        assert db.read_message("good", backend=on) == "v"
        db.stop()
    finally:
        go_on.set()


@refuse_large
def test_on_error_may_be_a_method_that_nothing_else_keeps_alive(
    open_db: Callable[..., DB], backend: Backend, eventually: Eventually
) -> None:
    keys: list[str] = []

    class Listener:
        def heard(self, key: str, *_: object) -> None:
            keys.append(key)

    db = open_db(on_error=Listener().heard)
    db.write_queue_message("bad", LARGE, backend=backend.name)
    eventually(lambda: keys == ["bad"])


@refuse_large
def test_on_error_is_called_for_what_a_forgotten_handle_gives_up(
    path: Path, backend: Backend, place: Place, eventually: Eventually
) -> None:
    on_error = Recorder()
    config = {"local": {"filepath": str(path)}, **place.config, "queue_batch": {"timeout": 3600}}
    db = DB(config, on_error=on_error)
    db.write_queue_message("bad", LARGE, backend=backend.name)
    del db
    eventually(lambda: on_error.keys == ["bad"])


def test_on_error_is_no_coroutine_function(make_db: Callable[..., DB]) -> None:
    async def never_awaited(*_: Any) -> None: ...

    with pytest.raises(TypeError, match="on_error must be a plain function"):
        make_db(on_error=never_awaited)

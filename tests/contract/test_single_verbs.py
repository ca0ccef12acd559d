"""The verbs on one message, and `ping`."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from TetherDB import DB, BackendError

from .place import IMPATIENT

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from .backends import Backend
    from .place import Place


def test_write_message_gives_true_once_the_backend_has_it(db: DB, backend: Backend) -> None:
    assert db.write_message("k", {"a": 1}, "b", backend.name) is True
    assert db.read_message("k", "b", backend.name) == {"a": 1}


def test_the_backend_has_it_when_write_message_returns(db: DB, backend: Backend, place: Place) -> None:
    db.write_message("k", {"a": 1}, "b", backend.name)
    assert place.everything() == {"b:k": '{"a": 1}'}


def test_write_message_replaces_what_was_there(db: DB, backend: Backend) -> None:
    db.write_message("k", {"a": 1}, backend=backend.name)
    assert db.write_message("k", "new", backend=backend.name) is True
    assert db.read_message("k", backend=backend.name) == "new"
    assert db.list_keys(backend=backend.name)["keys"] == ["k"]


def test_write_message_with_queue_gives_true_once_it_is_queued(
    open_db: Callable[..., DB], backend: Backend
) -> None:
    db, on = open_db(queue_batch={"timeout": 60}), backend.name
    assert db.write_message("k", "v", "b", on, True) is True
    assert db.stats()[on]["pending"] == 1
    assert db.read_message("k", "b", on) is None
    db.flush()
    assert db.read_message("k", "b", on) == "v"


def test_write_queue_message_gives_true_once_it_is_queued(
    open_db: Callable[..., DB], backend: Backend, place: Place
) -> None:
    db, on = open_db(queue_batch={"timeout": 60}), backend.name
    assert db.write_queue_message("k", {"a": 1}, "b", on) is True
    assert db.stats()[on]["pending"] == 1
    assert db.read_message("k", "b", on) is None
    db.flush()
    assert db.read_message("k", "b", on) == {"a": 1}
    assert place.everything() == {"b:k": '{"a": 1}'}


def test_queueing_does_not_wait_for_the_backend(
    open_db: Callable[..., DB], backend: Backend, outage: Callable[[], AbstractContextManager[None]]
) -> None:
    db, on = open_db(queue_batch={"retry": {"initial": 0.01, "max": 0.02}}), backend.name
    db.write_message("before", "v", backend=on)
    with outage():
        begun = time.monotonic()
        for number in range(100):
            db.write_queue_message(f"{number:03}", "v", backend=on)
        # One call would already wait longer than that.
        assert time.monotonic() - begun < IMPATIENT / 2
        assert db.stats()[on]["pending"] == 100
    db.flush()
    assert len(db.list_keys(200, backend=on)["keys"]) == 101


def test_write_queue_message_starts_the_worker_by_itself(
    open_db: Callable[..., DB], backend: Backend, eventually: Callable[[Callable[[], object]], None]
) -> None:
    db = open_db()
    db.write_queue_message("k", "v", backend=backend.name)
    eventually(lambda: db.read_message("k", backend=backend.name) == "v")


def test_read_message_gives_none_for_a_key_that_does_not_exist(db: DB, backend: Backend) -> None:
    assert db.read_message("k", backend=backend.name) is None
    db.write_message("other", "v", backend=backend.name)
    assert db.read_message("k", backend=backend.name) is None


@pytest.mark.parametrize("default", ["text", 0, {"a": 1}, object()], ids=lambda value: type(value).__name__)
def test_read_message_gives_the_default_itself_for_a_key_that_does_not_exist(
    default: Any, db: DB, backend: Backend
) -> None:
    assert db.read_message("k", "b", backend.name, default) is default
    assert db.read_message("k", backend=backend.name, default=default) is default


def test_read_message_gives_the_value_rather_than_the_default(db: DB, backend: Backend) -> None:
    db.write_message("k", "", backend=backend.name)
    assert db.read_message("k", backend=backend.name, default="default") == ""


def test_update_message_replaces_a_key_that_exists(db: DB, backend: Backend) -> None:
    db.write_message("k", {"a": 1}, "b", backend.name)
    assert db.update_message("k", {"a": 2}, "b", backend.name) is True
    assert db.read_message("k", "b", backend.name) == {"a": 2}


def test_update_message_gives_false_for_a_key_that_does_not_exist_and_writes_nothing(
    db: DB, backend: Backend
) -> None:
    assert db.update_message("k", "v", backend=backend.name) is False
    db.write_message("k", "v", "b", backend.name)
    assert db.update_message("k", "w", backend=backend.name) is False
    assert db.list_keys(backend=backend.name)["keys"] == ["b:k"]


def test_update_message_with_the_same_value_is_a_replacement_too(db: DB, backend: Backend) -> None:
    db.write_message("k", "v", backend=backend.name)
    assert db.update_message("k", "v", backend=backend.name) is True


def test_update_message_is_atomic(open_db: Callable[..., DB], backend: Backend) -> None:
    one, other, on = open_db(), open_db(), backend.name
    for turn in range(40):
        one.write_message("k", "first", backend=on)
        with ThreadPoolExecutor() as threads:
            deleted = threads.submit(other.delete_message, "k", backend=on)
            one.update_message("k", f"update {turn}", backend=on)
        # Before or after: a key that was deleted is not there again.
        assert deleted.result() is True
        assert one.read_message("k", backend=on) is None


def test_one_of_many_deletes_finds_the_key(open_db: Callable[..., DB], backend: Backend) -> None:
    handles, on = [open_db() for _ in range(4)], backend.name
    for _ in range(10):
        handles[0].write_message("k", "v", backend=on)
        with ThreadPoolExecutor() as threads:
            found = [threads.submit(db.delete_message, "k", backend=on) for db in handles]
        assert sorted(future.result() for future in found) == [False, False, False, True]


def test_delete_message_gives_whether_the_key_existed(db: DB, backend: Backend) -> None:
    assert db.delete_message("k", "b", backend.name) is False
    db.write_message("k", "v", "b", backend.name)
    assert db.delete_message("k", backend=backend.name) is False
    assert db.delete_message("k", "b", backend.name) is True
    assert db.delete_message("k", "b", backend.name) is False
    assert db.read_message("k", "b", backend.name) is None


def test_all_arguments_may_be_given_by_name(db: DB, backend: Backend) -> None:
    on = backend.name
    assert db.write_message(key="k", value="v", bucket="b", backend=on, queue=False) is True
    assert db.write_queue_message(key="q", value="v", bucket="b", backend=on, receipt=False) is True
    assert db.read_message(key="k", bucket="b", backend=on, default=None) == "v"
    assert db.update_message(key="k", value="w", bucket="b", backend=on) is True
    assert db.delete_message(key="k", bucket="b", backend=on) is True


def test_receipt_is_keyword_only(db: DB) -> None:
    write: Any = db.write_queue_message
    with pytest.raises(TypeError):
        write("k", "v", "", "local", True)


def test_ping_gives_the_seconds_of_a_round_trip(db: DB, backend: Backend) -> None:
    seconds = db.ping(backend.name)
    assert type(seconds) is float
    assert 0 <= seconds < 60
    db.write_message("k", "v", backend=backend.name)
    assert 0 <= db.ping(backend.name) < 60


def test_ping_raises_what_is_wrong(broken: Callable[..., DB], backend: Backend) -> None:
    with pytest.raises(BackendError, match=f"{backend.name} backend") as caught:
        broken().ping(backend.name)
    assert caught.value.backend == backend.name


def test_ping_is_a_round_trip(
    open_db: Callable[..., DB], backend: Backend, stall: Callable[[], AbstractContextManager[None]]
) -> None:
    db = open_db()
    seconds: list[float] = []
    thread = threading.Thread(target=lambda: seconds.append(db.ping(backend.name)))
    with stall():
        thread.start()
        time.sleep(0.2)
        assert seconds == []
    thread.join(60)
    assert 0.15 < seconds[0] < 60


def test_ping_writes_nothing(db: DB, backend: Backend, place: Place) -> None:
    db.ping(backend.name)
    assert place.everything() == {}
    assert db.list_keys(backend=backend.name)["keys"] == []

"""The verbs on one message, and `ping`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from TetherDB import DB, BackendError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from .backends import Backend


def test_write_message_gives_true_once_the_backend_has_it(db: DB, backend: Backend) -> None:
    assert db.write_message("k", {"a": 1}, "b", backend.name) is True
    assert db.read_message("k", "b", backend.name) == {"a": 1}


def test_write_message_is_in_the_file_when_it_returns(
    open_db: Callable[..., DB], stored: Callable[[], dict[bytes, bytes]]
) -> None:
    open_db().write_message("k", {"a": 1}, "b")
    assert stored() == {b"b:k": b'{"a": 1}'}


def test_write_message_replaces_what_was_there(db: DB, backend: Backend) -> None:
    db.write_message("k", {"a": 1}, backend=backend.name)
    assert db.write_message("k", "new", backend=backend.name) is True
    assert db.read_message("k", backend=backend.name) == "new"
    assert db.list_keys(backend=backend.name)["keys"] == ["k"]


def test_write_message_with_queue_gives_true_once_it_is_queued(open_db: Callable[..., DB]) -> None:
    db = open_db(queue_batch={"timeout": 60})
    assert db.write_message("k", "v", queue=True) is True
    assert db.stats()["local"]["pending"] == 1
    assert db.read_message("k") is None
    db.flush()
    assert db.read_message("k") == "v"


def test_write_queue_message_gives_true_once_it_is_queued(open_db: Callable[..., DB]) -> None:
    db = open_db(queue_batch={"timeout": 60})
    assert db.write_queue_message("k", "v", "b") is True
    assert db.stats()["local"]["pending"] == 1
    assert db.read_message("k", "b") is None
    db.flush()
    assert db.read_message("k", "b") == "v"


def test_write_queue_message_starts_the_worker_by_itself(
    open_db: Callable[..., DB], eventually: Callable[[Callable[[], object]], None]
) -> None:
    db = open_db()
    db.write_queue_message("k", "v")
    eventually(lambda: db.read_message("k") == "v")


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


def test_ping_raises_what_is_wrong(open_db: Callable[..., DB], path: Path) -> None:
    path.mkdir()
    with pytest.raises(BackendError, match="local"):
        open_db().ping()

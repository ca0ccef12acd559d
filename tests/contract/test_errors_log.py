"""`errors: "log"`: a failed verb logs one ERROR line and returns `False`, or its default."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import pytest

from TetherDB import DB, BackendError, BackendNotConfigured, DeliveryError, FlushTimeout

from .backends import Backend, only
from .place import LARGE

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from pathlib import Path

    Outage = Callable[[], AbstractContextManager[None]]

# Each verb, called with what its backend or its arguments make fail, and what it gives then.
VERBS: dict[str, tuple[Callable[[DB, Any, str], object], object]] = {
    "write_message": (lambda db, key, on: db.write_message(key, "v", backend=on), False),
    "update_message": (lambda db, key, on: db.update_message(key, "v", backend=on), False),
    "delete_message": (lambda db, key, on: db.delete_message(key, backend=on), False),
    "read_message": (lambda db, key, on: db.read_message(key, backend=on), None),
    "read_message-default": (lambda db, key, on: db.read_message(key, backend=on, default=5), 5),
    "write_messages": (lambda db, key, on: db.write_messages([(key, "v")], backend=on), 0),
    "read_messages": (lambda db, key, on: db.read_messages([key], backend=on), {}),
    "delete_messages": (lambda db, key, on: db.delete_messages([key], backend=on), 0),
}
QUEUED: dict[str, tuple[Callable[[DB, Any, str], object], object]] = {
    "write_queue_message": (lambda db, key, on: db.write_queue_message(key, "v", backend=on), False),
    "write_message-queued": (lambda db, key, on: db.write_message(key, "v", backend=on, queue=True), False),
    "write_queue_message-receipt": (
        lambda db, key, on: db.write_queue_message(key, "v", backend=on, receipt=True),
        False,
    ),
}
LISTS: dict[str, tuple[Callable[[DB, Any, str], object], object]] = {
    "list_messages": (
        lambda db, key, on: db.list_messages(start_after=key, backend=on),
        {"messages": [], "next_marker": None},
    ),
    "list_keys": (
        lambda db, key, on: db.list_keys(start_after=key, backend=on),
        {"keys": [], "next_marker": None},
    ),
    "iter_messages": (lambda db, key, on: list(db.iter_messages(key, on)), []),
}
FAILED: dict[str, tuple[Callable[[DB, Any, str], object], object]] = {
    "failed_messages": (lambda db, key, on: db.failed_messages(on), []),
    "retry_failed": (lambda db, key, on: db.retry_failed(on), 0),
    "drop_failed": (lambda db, key, on: db.drop_failed(on), 0),
}


def each(*tables: dict[str, tuple[Callable[[DB, Any, str], object], object]]) -> pytest.MarkDecorator:
    cases = {name: case for table in tables for name, case in table.items()}
    return pytest.mark.parametrize(("verb", "default"), cases.values(), ids=cases.keys())


def one_error_line(caplog: pytest.LogCaptureFixture) -> str:
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("TetherDB", logging.ERROR)
    return record.getMessage()


@each(VERBS, LISTS)
def test_a_verb_that_the_backend_fails_logs_one_line_and_gives_its_default(
    verb: Callable[[DB, Any, str], object],
    default: object,
    broken: Callable[..., DB],
    backend: Backend,
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert verb(broken(errors="log"), "k", backend.name) == default
    assert f"{backend.name} backend" in one_error_line(caplog)


@each(VERBS, LISTS)
def test_with_errors_raise_a_verb_that_the_backend_fails_raises(
    verb: Callable[[DB, Any, str], object],
    default: object,
    broken: Callable[..., DB],
    backend: Backend,
    caplog: pytest.LogCaptureFixture,
) -> None:
    for more in ({}, {"errors": "raise"}):
        with pytest.raises(BackendError) as caught:
            verb(broken(**more), "k", backend.name)
        assert caught.value.backend == backend.name
    assert caplog.records == []


@each(VERBS, LISTS, QUEUED)
def test_a_verb_with_a_wrong_argument_logs_one_line_and_gives_its_default(
    verb: Callable[[DB, Any, str], object],
    default: object,
    open_db: Callable[..., DB],
    backend: Backend,
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert verb(open_db(errors="log"), 1, backend.name) == default
    assert "int" in one_error_line(caplog)


@pytest.fixture
def local_alone(path: Path) -> Callable[[str], DB]:
    """Opens a handle without a section for another backend."""

    def opened(errors: str) -> DB:
        return DB({"local": {"filepath": str(path)}, "errors": errors})

    return opened


@each(VERBS, LISTS, QUEUED, FAILED)
@pytest.mark.parametrize("name", ["etcd", "dynamodb"])
def test_a_verb_on_a_backend_that_is_not_configured_logs_one_line_and_gives_its_default(
    verb: Callable[[DB, Any, str], object],
    default: object,
    name: str,
    local_alone: Callable[[str], DB],
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert verb(local_alone("log"), "k", name) == default
    assert f'Add a section "{name}"' in one_error_line(caplog)


@each(VERBS, LISTS, QUEUED, FAILED)
def test_with_errors_raise_the_same_verb_raises(
    verb: Callable[[DB, Any, str], object],
    default: object,
    local_alone: Callable[[str], DB],
    caplog: pytest.LogCaptureFixture,
) -> None:
    with pytest.raises(BackendNotConfigured):
        verb(local_alone("raise"), "k", "etcd")
    assert caplog.records == []


@pytest.mark.parametrize("value", [["list"], {"a": {1}}, "\ud800"], ids=ascii)
@pytest.mark.parametrize("verb", ["write_message", "write_queue_message", "update_message"])
def test_a_value_that_cannot_be_stored_logs_one_line_and_gives_false(
    verb: str, value: Any, open_db: Callable[..., DB], backend: Backend, caplog: pytest.LogCaptureFixture
) -> None:
    db = open_db(errors="log")
    assert getattr(db, verb)("k", value, backend=backend.name) is False
    assert one_error_line(caplog)
    db.flush()
    assert db.list_keys(backend=backend.name)["keys"] == []


@only(lambda backend: backend.largest_item is not None)
@pytest.mark.parametrize("verb", ["write_message", "write_queue_message", "update_message"])
def test_a_value_that_is_too_large_logs_one_line_and_gives_false(
    verb: str, open_db: Callable[..., DB], backend: Backend, caplog: pytest.LogCaptureFixture
) -> None:
    db = open_db(errors="log")
    assert getattr(db, verb)("k", "x" * backend.room, backend=backend.name) is False
    assert "'k'" in one_error_line(caplog)


def test_a_full_queue_logs_one_line_and_gives_false(
    outage: Outage, open_db: Callable[..., DB], backend: Backend, caplog: pytest.LogCaptureFixture
) -> None:
    on = backend.name
    db = open_db(
        errors="log", queue_batch={"max_pending": 1, "when_full": "raise", "retry": {"initial": 0.1}}
    )
    db.write_message("first", "v", backend=on)
    with outage():
        assert db.write_queue_message("1", "v", backend=on) is True
        assert db.write_queue_message("2", "v", backend=on) is False
        errors = [record for record in caplog.records if record.levelno == logging.ERROR]
        assert len(errors) == 1
        assert "full" in errors[0].getMessage()
    db.flush()
    assert sorted(db.list_keys(backend=on)["keys"]) == ["1", "first"]


def test_tether_gives_false_where_the_write_fails(
    broken: Callable[..., DB], backend: Backend, caplog: pytest.LogCaptureFixture
) -> None:
    @broken(errors="log").tether(backend=backend.name)
    def create() -> dict[str, Any]:
        return {"key": "k", "value": "v"}

    assert create() is False
    assert one_error_line(caplog)


def test_a_verb_that_does_not_fail_logs_nothing(
    open_db: Callable[..., DB], backend: Backend, caplog: pytest.LogCaptureFixture
) -> None:
    db, on = open_db(errors="log"), backend.name
    assert db.write_message("k", "v", backend=on) is True
    assert db.read_message("missing", backend=on) is None
    assert db.update_message("missing", "v", backend=on) is False
    assert db.delete_message("missing", backend=on) is False
    assert db.read_messages(["missing"], backend=on) == {}
    assert db.delete_messages(["missing"], backend=on) == 0
    assert caplog.records == []


def test_ping_always_raises(
    broken: Callable[..., DB], backend: Backend, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(BackendError) as caught:
        broken(errors="log").ping(backend.name)
    assert caught.value.backend == backend.name
    assert caplog.records == []


def test_ping_of_a_backend_that_is_not_configured_always_raises(
    local_alone: Callable[[str], DB], caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(BackendNotConfigured):
        local_alone("log").ping("etcd")
    assert caplog.records == []


@pytest.mark.usefixtures("refuse_large")
@pytest.mark.parametrize("verb", ["flush", "stop"])
def test_flush_and_stop_always_raise_what_was_given_up(
    verb: str, open_db: Callable[..., DB], backend: Backend
) -> None:
    db = open_db(errors="log")
    assert db.write_queue_message("bad", LARGE, backend=backend.name) is True
    with pytest.raises(DeliveryError):
        getattr(db, verb)()


def test_flush_always_raises_its_timeout(
    outage: Outage, open_db: Callable[..., DB], backend: Backend
) -> None:
    db = open_db(errors="log", queue_batch={"retry": {"initial": 0.01, "max": 0.02}})
    db.write_message("first", "v", backend=backend.name)
    with outage():
        db.write_queue_message("k", "v", backend=backend.name)
        with pytest.raises(FlushTimeout):
            db.flush(timeout=0.05)
    db.flush()


def test_a_wrong_configuration_always_raises() -> None:
    with pytest.raises(ValueError, match="local"):
        DB({"errors": "log", "local": 1})

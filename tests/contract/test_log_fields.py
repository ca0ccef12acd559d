"""What the records of the log carry for programs: `backend`, `key` and `count`."""

from __future__ import annotations

import io
import logging
from typing import TYPE_CHECKING, Any

import pytest

from TetherDB import DB, TetherDBError

from .place import LARGE

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from pathlib import Path

    from .backends import Backend

Fields = tuple[str | None, str | None, int | None]


def fields(caplog: pytest.LogCaptureFixture, start: str) -> list[Fields]:
    """Of the records whose text starts so."""
    records: list[Any] = [record for record in caplog.records if record.getMessage().startswith(start)]
    assert records, start
    return [(record.backend, record.key, record.count) for record in records]


def test_the_lines_of_a_message_carry_its_backend_and_its_stored_key(
    open_db: Callable[..., DB], backend: Backend, caplog: pytest.LogCaptureFixture
) -> None:
    db, on = open_db(debug=True), backend.name
    db.write_queue_message("k", "v", "b", on)
    db.flush()
    db.write_message("direct", {"n": 1}, backend=on)
    assert fields(caplog, "Message queued") == [(on, "b:k", 1)]
    assert fields(caplog, "Write successful") == [(on, "b:k", 1), (on, "direct", 1)]


def test_lines_about_nothing_in_particular_carry_none_in_their_place(
    open_db: Callable[..., DB], caplog: pytest.LogCaptureFixture
) -> None:
    db = open_db(debug=True)
    db.start()
    db.stop()
    for start in ("Background worker started", "Background worker stopped", "Database resources"):
        assert fields(caplog, start) == [(None, None, None)]
    assert fields(caplog, "Local backend initialized") == [("local", None, None)]


@pytest.mark.usefixtures("refuse_large")
def test_the_line_of_a_message_that_was_given_up_carries_its_key(
    open_db: Callable[..., DB], backend: Backend, caplog: pytest.LogCaptureFixture
) -> None:
    db, on = open_db(), backend.name
    db.write_queue_message("k", LARGE, "b", on)
    with pytest.raises(TetherDBError):
        db.flush()
    assert fields(caplog, "Message given up") == [(on, "b:k", 1)]


def test_the_line_of_messages_that_go_again_counts_them(
    open_db: Callable[..., DB],
    backend: Backend,
    outage: Callable[[], AbstractContextManager[None]],
    caplog: pytest.LogCaptureFixture,
    eventually: Callable[[Callable[[], object]], None],
) -> None:
    retry = {"initial": 0.01, "max": 0.02}
    db, on = open_db(queue_batch={"retry": retry, "timeout": 0.1}), backend.name
    db.write_message("first", "v", backend=on)
    with outage():
        db.write_messages({}, backend=on)
        db.write_queue_message("k", "v", backend=on)
        eventually(lambda: "will be sent again" in caplog.text)
    db.flush()
    assert set(fields(caplog, "1 queued message(s) will be sent again")) == {(on, None, 1)}


def test_the_line_of_a_failed_verb_carries_the_backend_that_failed(
    broken: Callable[..., DB], backend: Backend, caplog: pytest.LogCaptureFixture
) -> None:
    db = broken(errors="log")
    assert db.write_message("k", "v", backend=backend.name) is False
    assert db.write_message("", "v", backend=backend.name) is False
    assert fields(caplog, "write_message failed") == [(backend.name, None, None), (None, None, None)]


def test_the_line_of_tether_carries_the_backend(
    db: DB, backend: Backend, caplog: pytest.LogCaptureFixture
) -> None:
    def invalid_data() -> dict[str, Any]:
        return {"key": "k", "value": [1]}

    assert db.tether(backend=backend.name)(invalid_data)() is False
    assert fields(caplog, "Invalid 'value' type returned by 'invalid_data'") == [(backend.name, None, None)]


def test_a_format_may_name_the_fields(path: Path) -> None:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logging.Formatter("%(levelname)s %(backend)s %(key)s %(count)s"))
    logging.getLogger("TetherDB").addHandler(handler)
    with DB({"debug": True, "local": {"filepath": str(path)}}) as db:
        db.write_message("k", "v", "b")
    lines = stream.getvalue().splitlines()
    assert "DEBUG local b:k 1" in lines
    assert "DEBUG None None None" in lines


@pytest.mark.parametrize("names", [["key"], ["backend", "key", "count"]], ids=repr)
def test_a_record_factory_of_the_programs_keeps_the_attributes_that_it_sets(
    names: list[str], db: DB, backend: Backend, caplog: pytest.LogCaptureFixture
) -> None:
    usual = logging.getLogRecordFactory()

    def factory(*arguments: Any, **keywords: Any) -> logging.LogRecord:
        record = usual(*arguments, **keywords)
        vars(record).update(dict.fromkeys(names, "theirs"))
        return record

    def empty() -> dict[str, Any]:
        return {}

    logging.setLogRecordFactory(factory)
    try:
        assert db.tether(backend=backend.name)(empty)() is False
    finally:
        logging.setLogRecordFactory(usual)
    (record,) = caplog.records
    ours = {"backend": backend.name, "key": None, "count": None}
    assert {name: vars(record)[name] for name in ours} == ours | dict.fromkeys(names, "theirs")

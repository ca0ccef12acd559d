"""What the records of the log carry for programs: `backend`, `key` and `count`."""

from __future__ import annotations

import asyncio
import io
import logging
from typing import TYPE_CHECKING, Any

import pytest

from TetherDB import DB, AsyncDB, TetherDBError

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
    on = backend.name
    assert db.write_message("k", "v", backend=on) is False
    assert db.write_message("k", "v", "b", backend=on) is False
    assert db.write_message("", "v", backend=on) is False
    assert db.write_message("k", "v", backend="other") is False
    assert fields(caplog, "write_message failed") == [(on, "k", 1), (on, "b:k", 1), (on, None, None), NOT_ON]


# A backend that there is not.
NOT_ON: Fields = (None, "k", 1)


def failing(db: Any, on: str) -> dict[str, tuple[Callable[[], Any], Fields]]:
    """A wrong call of each verb that logs, and what its line is about."""
    wrong: Any = 5
    one, all_of_it = (on, "b:k", 1), (on, None, None)
    return {
        "write_message": (lambda: db.write_message("k", wrong, "b", on), one),
        "write_queue_message": (lambda: db.write_queue_message("k", wrong, "b", on), one),
        "read_message": (lambda: db.read_message("", "b", on), all_of_it),
        "update_message": (lambda: db.update_message("k", wrong, "b", on), one),
        "delete_message": (lambda: db.delete_message("k", wrong, on), all_of_it),
        "write_messages": (lambda: db.write_messages({"k": wrong}, "b", on), all_of_it),
        "read_messages": (lambda: db.read_messages(wrong, "b", on), all_of_it),
        "delete_messages": (lambda: db.delete_messages(wrong, "b", on), all_of_it),
        "list_messages": (lambda: db.list_messages("x", bucket="b", backend=on), all_of_it),
        "list_keys": (lambda: db.list_keys("x", bucket="b", backend=on), all_of_it),
    }


VERBS = list(failing(None, ""))


@pytest.mark.parametrize("verb", VERBS)
def test_the_line_of_a_wrong_call_carries_what_it_was_about(
    open_db: Callable[..., DB], backend: Backend, verb: str, caplog: pytest.LogCaptureFixture
) -> None:
    call, about = failing(open_db(errors="log"), backend.name)[verb]
    call()
    assert fields(caplog, f"{verb} failed") == [about]


@pytest.mark.parametrize("verb", [*VERBS, "queue"])
def test_that_of_a_coroutine_does_so_too(path: Path, verb: str, caplog: pytest.LogCaptureFixture) -> None:
    async def run() -> Fields:
        async with AsyncDB({"local": {"filepath": str(path)}, "errors": "log"}) as db:
            calls = failing(db, "local")
            queue: Any = 5
            calls["queue"] = (lambda: db.write_message("k", "v", "b", queue=queue), ("local", "b:k", 1))
            call, about = calls[verb]
            await call()
        return about

    about = asyncio.run(run())
    assert fields(caplog, f"{verb if verb != 'queue' else 'write_message'} failed") == [about]


def test_that_of_a_coroutine_that_fails_later_does_so_too(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def run() -> None:
        async with AsyncDB({"local": {"filepath": str(tmp_path)}, "errors": "log"}) as db:
            assert await db.write_message("k", "v", "b") is False

    asyncio.run(run())
    assert fields(caplog, "write_message failed") == [("local", "b:k", 1)]


@pytest.mark.parametrize("given", ["returned", "in the decorator", "nowhere"])
def test_the_line_of_tether_carries_backend_and_key(
    db: DB, backend: Backend, caplog: pytest.LogCaptureFixture, given: str
) -> None:
    def invalid_data() -> dict[str, Any]:
        return {"value": [1], "key": "k"} if given == "returned" else {"value": [1]}

    key = "fixed" if given == "in the decorator" else None
    # With a key of the decorator the dict would be the value.
    broken = (lambda: 5) if key else invalid_data
    tether: Any = db.tether
    assert tether("b", backend=backend.name, key=key)(broken)() is False
    known = {"returned": "b:k", "in the decorator": "b:fixed", "nowhere": None}[given]
    assert fields(caplog, "Invalid ") == [(backend.name, known, 1 if known else None)]


@pytest.mark.usefixtures("refuse_large")
def test_the_line_of_an_on_error_that_raises_names_the_message(
    open_db: Callable[..., DB],
    backend: Backend,
    caplog: pytest.LogCaptureFixture,
    eventually: Callable[[Callable[[], object]], None],
) -> None:
    def on_error(*_: object) -> None:
        raise LookupError("their own mistake")

    db, on = open_db(on_error=on_error), backend.name
    db.write_queue_message("k", LARGE, "b", on)
    with pytest.raises(TetherDBError):
        db.flush()
    eventually(lambda: "on_error raised" in caplog.text)
    assert "on_error raised LookupError: their own mistake" in caplog.text
    assert fields(caplog, "on_error raised") == [(on, "b:k", 1)]


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

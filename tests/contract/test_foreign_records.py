"""Records of the local file that another program has written."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import pytest

from TetherDB import DB, BackendError

if TYPE_CHECKING:
    from collections.abc import Callable

    Sql = Callable[..., list[tuple[Any, ...]]]

READS: dict[str, Callable[[DB], object]] = {
    "read_message": lambda db: db.read_message("bad", "m"),
    "read_message-default": lambda db: db.read_message("m:bad", default="default"),
    "read_messages": lambda db: db.read_messages(["a", "m:bad"]),
    "list_messages-bucket": lambda db: db.list_messages(bucket="m"),
    "list_messages": lambda db: db.list_messages(),
    "iter_messages-bucket": lambda db: list(db.iter_messages("m")),
    "iter_messages": lambda db: list(db.iter_messages()),
}
WRITE = "REPLACE INTO Dict (key, value) VALUES"


@pytest.fixture
def db(open_db: Callable[..., DB], sql: Sql) -> DB:
    """Beside good records there is one whose value is not UTF-8, in a bucket: "m:bad"."""
    db = open_db()
    db.write_messages([("a", "v"), ("m:good", "v"), ("m:x", {"a": 1}), ("z", "v")])
    sql(f"{WRITE} (CAST('m:bad' AS BLOB), x'FF00FE')")
    return db


@pytest.mark.parametrize("read", READS.values(), ids=READS.keys())
def test_reading_a_value_that_is_not_utf8_is_a_backend_error_that_names_the_key(
    read: Callable[[DB], object], db: DB
) -> None:
    with pytest.raises(BackendError, match=r"'m:bad'.*not UTF-8") as caught:
        read(db)
    assert caught.value.backend == "local"
    assert caught.value.retryable is False


def test_iteration_gives_what_is_before_the_record_and_raises_at_it(db: DB) -> None:
    messages = db.iter_messages(page_size=1)
    assert next(messages) == ("a", "v")
    with pytest.raises(BackendError, match="'m:bad'"):
        next(messages)


def test_iteration_gives_what_is_before_the_record_whatever_the_page_size(db: DB) -> None:
    messages = db.iter_messages()
    assert next(messages) == ("a", "v")
    with pytest.raises(BackendError, match="'m:bad'"):
        next(messages)


def test_pages_that_do_not_reach_the_record_are_given(db: DB) -> None:
    assert db.list_messages(1)["messages"] == ["v"]
    assert db.list_messages(start_after="m:bad")["messages"] == ["v", '{"a": 1}', "v"]


def test_keys_can_be_listed_beside_a_value_that_is_not_utf8(db: DB) -> None:
    assert db.list_keys()["keys"] == ["a", "m:bad", "m:good", "m:x", "z"]


def test_neighbours_of_the_record_can_be_read(db: DB) -> None:
    assert db.read_messages(["a", "m:good", "m:x"]) == {"a": "v", "m:good": "v", "m:x": {"a": 1}}


def test_the_record_can_be_overwritten(db: DB) -> None:
    assert db.write_message("bad", "good now", "m") is True
    assert db.read_message("bad", "m") == "good now"


def test_the_record_can_be_updated_and_deleted(db: DB) -> None:
    assert db.update_message("bad", "good now", "m") is True
    assert db.read_message("bad", "m") == "good now"
    assert db.delete_message("bad", "m") is True


def test_the_record_can_be_deleted_as_it_is(db: DB) -> None:
    assert db.delete_messages(["m:bad"]) == 1
    assert db.list_messages(bucket="m")["messages"] == ["v", '{"a": 1}']


def test_with_errors_log_reading_it_logs_one_line_and_gives_the_default(
    db: DB, open_db: Callable[..., DB], caplog: pytest.LogCaptureFixture
) -> None:
    db.stop()
    quiet = open_db(errors="log")
    assert quiet.read_message("bad", "m", default="default") == "default"
    assert quiet.list_messages() == {"messages": [], "next_marker": None}
    levels = [(record.name, record.levelno) for record in caplog.records]
    assert levels == [("TetherDB", logging.ERROR)] * 2
    assert all("'m:bad'" in record.getMessage() for record in caplog.records)


def test_a_key_that_is_not_utf8_is_an_error_of_lists_and_iteration(
    open_db: Callable[..., DB], sql: Sql
) -> None:
    db = open_db()
    db.write_message("a", "v")
    sql(f"{WRITE} (x'FF', CAST('v' AS BLOB))")
    for read in (db.list_keys, db.list_messages, lambda: list(db.iter_messages())):
        with pytest.raises(BackendError, match="not UTF-8"):
            read()
    assert db.read_message("a") == "v"


def test_what_dbm_sqlite3_wrote_reads_as_str_or_dict(open_db: Callable[..., DB], sql: Sql) -> None:
    db = open_db()
    db.write_message("first", "v")
    sql(
        f"{WRITE} (CAST('text' AS BLOB), CAST('123' AS BLOB))",
        f"{WRITE} (CAST('object' AS BLOB), CAST('{{\"a\":1}}' AS BLOB))",
        f"{WRITE} (CAST('empty' AS BLOB), x'')",
    )
    assert dict(db.iter_messages()) == {"first": "v", "text": "123", "object": {"a": 1}, "empty": ""}
    assert db.list_messages(start_after="first")["messages"] == ['{"a":1}', "123"]


def test_what_another_process_commits_is_seen_by_the_next_read(open_db: Callable[..., DB], sql: Sql) -> None:
    db = open_db()
    db.write_message("k", "ours")
    assert db.read_message("k") == "ours"
    sql(f"{WRITE} (CAST('k' AS BLOB), CAST('theirs' AS BLOB))")
    assert db.read_message("k") == "theirs"
    sql("DELETE FROM Dict")
    assert db.read_message("k") is None
    assert db.update_message("k", "v") is False
    assert db.delete_message("k") is False

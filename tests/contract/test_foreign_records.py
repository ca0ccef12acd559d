"""Records that another program has written."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import pytest

from TetherDB import DB, BackendError

from .backends import BACKENDS, Backend, only

if TYPE_CHECKING:
    from collections.abc import Callable

    from .place import Place

READS: dict[str, Callable[[DB, str], object]] = {
    "read_message": lambda db, on: db.read_message("bad", "m", on),
    "read_message-default": lambda db, on: db.read_message("m:bad", backend=on, default="default"),
    "read_messages": lambda db, on: db.read_messages(["a", "m:bad"], backend=on),
    "read_messages-alone": lambda db, on: db.read_messages(["m:bad"], backend=on),
    "list_messages-bucket": lambda db, on: db.list_messages(bucket="m", backend=on),
    "list_messages": lambda db, on: db.list_messages(backend=on),
    "iter_messages-bucket": lambda db, on: list(db.iter_messages("m", on)),
    "iter_messages": lambda db, on: list(db.iter_messages(backend=on)),
}
GOOD: dict[str, Any] = {"a": "v", "m:good": "v", "m:x": {"a": 1}, "z": "v"}
# All that another program may store there and that is no text.
UNREADABLE = [
    pytest.param(backend, what, id=f"{backend.name}-{name}")
    for backend in BACKENDS
    for name, what in backend.unreadable.items()
]


@pytest.fixture
def db(open_db: Callable[..., DB], backend: Backend, place: Place) -> DB:
    """Beside good records there is one whose value is no text, in a bucket: "m:bad"."""
    db = open_db()
    db.write_messages(GOOD, backend=backend.name)
    place.put_unreadable("m:bad", next(iter(backend.unreadable.values())))
    return db


@pytest.mark.parametrize("read", READS.values(), ids=READS.keys())
def test_reading_a_value_that_is_no_text_is_a_backend_error_that_names_the_key(
    read: Callable[[DB, str], object], db: DB, backend: Backend
) -> None:
    with pytest.raises(BackendError, match=backend.unreadable_says) as caught:
        read(db, backend.name)
    assert "'m:bad'" in str(caught.value)
    assert "another program" in str(caught.value)
    assert caught.value.backend == backend.name
    assert caught.value.retryable is False


@pytest.mark.parametrize(("backend", "what"), UNREADABLE, indirect=["backend"])
def test_whatever_it_is(what: Any, backend: Backend, place: Place, open_db: Callable[..., DB]) -> None:
    db, on = open_db(), backend.name
    place.put_unreadable("bad", what)
    for read in (
        lambda: db.read_message("bad", backend=on),
        lambda: db.read_messages(["bad", "missing"], backend=on),
        lambda: db.list_messages(backend=on),
        lambda: next(db.iter_messages(backend=on)),
    ):
        with pytest.raises(BackendError, match="'bad'"):
            read()
    assert db.list_keys(backend=on)["keys"] == ["bad"]
    assert db.update_message("bad", "good", backend=on) is True
    assert db.read_message("bad", backend=on) == "good"


@pytest.mark.parametrize("page_size", [1, 2, 1000])
def test_iteration_gives_what_comes_before_the_record_and_raises_at_it_whatever_the_page_size(
    page_size: int, db: DB, backend: Backend
) -> None:
    on = backend.name
    order = db.list_keys(100, backend=on)["keys"]
    assert sorted(order) == sorted([*GOOD, "m:bad"])
    messages = db.iter_messages(backend=on, page_size=page_size)
    for key in order[: order.index("m:bad")]:
        assert next(messages) == (key, GOOD[key])
    with pytest.raises(BackendError, match="'m:bad'"):
        next(messages)


def test_pages_that_do_not_reach_the_record_are_given(db: DB, backend: Backend) -> None:
    on = backend.name
    order = db.list_keys(100, backend=on)["keys"]
    at = order.index("m:bad")
    if at > 0:
        page = db.list_messages(at, backend=on)
        assert len(page["messages"]) == at
    rest = db.list_messages(start_after="m:bad", backend=on)
    assert len(rest["messages"]) == len(order) - at - 1


def test_keys_can_be_listed_beside_a_value_that_is_no_text(db: DB, backend: Backend) -> None:
    assert sorted(db.list_keys(backend=backend.name)["keys"]) == ["a", "m:bad", "m:good", "m:x", "z"]
    assert sorted(db.list_keys(bucket="m", backend=backend.name)["keys"]) == ["bad", "good", "x"]


def test_neighbours_of_the_record_can_be_read(db: DB, backend: Backend) -> None:
    assert db.read_messages(GOOD, backend=backend.name) == GOOD


def test_the_record_can_be_overwritten(db: DB, backend: Backend, place: Place) -> None:
    assert db.write_message("bad", "good now", "m", backend.name) is True
    assert db.read_message("bad", "m", backend.name) == "good now"
    assert place.everything()["m:bad"] == "good now"


def test_the_record_can_be_overwritten_from_the_queue_and_by_a_bulk_verb(db: DB, backend: Backend) -> None:
    db.write_queue_message("bad", "queued", "m", backend.name)
    db.flush()
    assert db.read_message("bad", "m", backend.name) == "queued"
    db.write_messages({"bad": "bulk"}, "m", backend.name)
    assert db.read_message("bad", "m", backend.name) == "bulk"


def test_the_record_can_be_updated_and_deleted(db: DB, backend: Backend) -> None:
    assert db.update_message("bad", "good now", "m", backend.name) is True
    assert db.read_message("bad", "m", backend.name) == "good now"
    assert db.delete_message("bad", "m", backend.name) is True


def test_the_record_can_be_deleted_as_it_is(db: DB, backend: Backend) -> None:
    assert db.delete_messages(["m:bad"], backend=backend.name) == 1
    assert sorted(db.list_messages(bucket="m", backend=backend.name)["messages"]) == ["v", '{"a": 1}']


def test_with_errors_log_reading_it_logs_one_line_and_gives_the_default(
    db: DB, open_db: Callable[..., DB], backend: Backend, caplog: pytest.LogCaptureFixture
) -> None:
    db.stop()
    quiet = open_db(errors="log")
    assert quiet.read_message("bad", "m", backend.name, default="default") == "default"
    assert quiet.read_messages(["m:bad", "a"], backend=backend.name) == {}
    assert quiet.list_messages(backend=backend.name) == {"messages": [], "next_marker": None}
    levels = [(record.name, record.levelno) for record in caplog.records]
    assert levels == [("TetherDB", logging.ERROR)] * 3
    assert all("'m:bad'" in record.getMessage() for record in caplog.records)


@only(lambda backend: backend.foreign_keys)
def test_a_key_that_is_not_utf8_is_an_error_of_lists_and_iteration(
    open_db: Callable[..., DB], backend: Backend, place: Place
) -> None:
    db, on = open_db(), backend.name
    db.write_message("a", "v", backend=on)
    place.put_foreign_key()
    for read in (db.list_keys, db.list_messages):
        with pytest.raises(BackendError, match="not UTF-8"):
            read(backend=on)
    messages = db.iter_messages(backend=on)
    assert next(messages) == ("a", "v")
    with pytest.raises(BackendError, match="not UTF-8"):
        next(messages)
    assert db.read_message("a", backend=on) == "v"


def test_what_another_program_wrote_reads_as_str_or_dict(db: DB, backend: Backend, place: Place) -> None:
    on = backend.name
    db.delete_messages(["m:bad", *GOOD], backend=on)
    texts = {
        "b:text": "123",
        "object": '{"a":1}',
        "empty": "",
        "é": "鍵 🔑",
        "list": "[1]",
        "spaced": ' { "a" : 1 } ',
    }
    for key, text in texts.items():
        place.put(key, text)
    values = {**texts, "object": {"a": 1}, "spaced": {"a": 1}}
    assert dict(db.iter_messages(backend=on)) == values
    assert db.read_messages(texts, backend=on) == values
    assert db.read_message("text", "b", on) == "123"
    assert sorted(db.list_messages(backend=on)["messages"]) == sorted(texts.values())


def test_what_was_written_is_what_another_program_finds(
    open_db: Callable[..., DB], backend: Backend, place: Place
) -> None:
    db, on = open_db(), backend.name
    db.write_message("k", {"é": (1, 2)}, "b", on)
    db.write_queue_message("q", "🔑", backend=on)
    db.write_messages({"m": "", "n": "123"}, "b", on)
    db.flush()
    assert place.everything() == {"b:k": '{"\\u00e9": [1, 2]}', "q": "🔑", "b:m": "", "b:n": "123"}


def test_what_another_program_changes_is_seen_by_the_next_verb(
    open_db: Callable[..., DB], backend: Backend, place: Place
) -> None:
    db, on = open_db(), backend.name
    db.write_message("k", "ours", backend=on)
    assert db.read_message("k", backend=on) == "ours"
    place.put("k", "theirs")
    assert db.read_message("k", backend=on) == "theirs"
    assert db.list_messages(backend=on)["messages"] == ["theirs"]
    place.delete("k")
    assert db.read_message("k", backend=on) is None
    assert db.list_keys(backend=on)["keys"] == []
    assert db.update_message("k", "v", backend=on) is False
    assert db.delete_message("k", backend=on) is False
    assert db.read_messages(["k"], backend=on) == {}
    assert place.everything() == {}

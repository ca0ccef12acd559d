"""Sizes that a backend would refuse are `LimitExceeded`, raised by the call itself."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Any

import pytest

from TetherDB import DB, LimitExceeded

from .backends import Backend, only

if TYPE_CHECKING:
    from collections.abc import Callable

    from .place import Place

limited = only(lambda backend: backend.largest_item is not None)
key_limited = only(lambda backend: backend.longest_key is not None)

WRITES: dict[str, Callable[[DB, str, Any, str, str], object]] = {
    "write_message": lambda db, key, value, bucket, on: db.write_message(key, value, bucket, on),
    "write_message-queued": lambda db, key, value, bucket, on: db.write_message(
        key, value, bucket, on, queue=True
    ),
    "write_queue_message": lambda db, key, value, bucket, on: db.write_queue_message(key, value, bucket, on),
    "write_queue_message-receipt": lambda db, key, value, bucket, on: db.write_queue_message(
        key, value, bucket, on, receipt=True
    ),
    "update_message": lambda db, key, value, bucket, on: db.update_message(key, value, bucket, on),
    "write_messages": lambda db, key, value, bucket, on: db.write_messages([(key, value)], bucket, on),
    "tether": lambda db, key, value, bucket, on: db.tether(bucket, backend=on)(
        lambda: {"key": key, "value": value}
    )(),
    "tether-queued": lambda db, key, value, bucket, on: db.tether(bucket, wait=False, backend=on)(
        lambda: {"key": key, "value": value}
    )(),
}
each_write = pytest.mark.parametrize("write", WRITES.values(), ids=WRITES.keys())


@pytest.mark.usefixtures("the_real_one")
@limited
@each_write
def test_an_item_at_the_limit_is_taken_and_one_byte_over_is_not(
    write: Callable[..., object], db: DB, backend: Backend, place: Place
) -> None:
    on, text = backend.name, "x" * (backend.room - len("b:key"))
    db.write_message("key", "before", "b", on)
    with pytest.raises(LimitExceeded) as caught:
        write(db, "key", text + "x", "b", on)
    assert "'b:key'" in str(caught.value)
    assert str(backend.largest_item) in str(caught.value)
    db.flush()
    assert place.everything() == {"b:key": "before"}
    assert db.stats()[on]["accepted"] == 0
    assert write(db, "key", text, "b", on)
    db.flush()
    assert place.everything() == {"b:key": text}
    assert db.read_message("key", "b", on) == text


@pytest.mark.usefixtures("the_real_one")
@limited
def test_what_counts_is_the_stored_text_in_bytes(db: DB, backend: Backend) -> None:
    on = backend.name
    text = "é" * ((backend.room - 1) // 2)
    assert db.write_message("k", text, backend=on) is True
    with pytest.raises(LimitExceeded):
        db.write_message("k", text + "é", backend=on)
    # As json.dumps has it: six bytes a letter, and what is around them.
    value = {"a": "é" * ((backend.room - len('k{"a": ""}')) // 6)}
    assert len(json.dumps(value)) <= backend.room - 1
    assert db.write_message("k", value, backend=on) is True
    assert db.read_message("k", backend=on) == value
    with pytest.raises(LimitExceeded):
        db.write_message("k", {"a": value["a"] + "é"}, backend=on)
    assert db.read_message("k", backend=on) == value


@pytest.mark.usefixtures("the_real_one")
@limited
def test_the_key_counts_too(db: DB, backend: Backend) -> None:
    on = backend.name
    for key in ("k" * 100, "é" * 50):
        assert db.write_message(key, "x" * (backend.room - 100), backend=on) is True
        with pytest.raises(LimitExceeded):
            db.write_message(key, "x" * (backend.room - 99), backend=on)


@key_limited
@each_write
@pytest.mark.parametrize("bucket", ["", "bücket"])
def test_a_key_over_the_limit_is_refused_bucket_included(
    write: Callable[..., object], bucket: str, db: DB, backend: Backend
) -> None:
    assert backend.longest_key is not None
    prefix = len(f"{bucket}:".encode()) if bucket else 0
    with pytest.raises(LimitExceeded, match="key") as caught:
        write(db, "k" * (backend.longest_key - prefix + 1), "v", bucket, backend.name)
    assert str(backend.longest_key) in str(caught.value)
    # Nobody wants to read all of it.
    assert len(str(caught.value)) < 500
    db.flush()
    assert db.list_keys(backend=backend.name)["keys"] == []
    assert db.stats()[backend.name]["accepted"] == 0


@key_limited
@pytest.mark.parametrize("letter", ["k", "é", "🔑"])
def test_a_key_at_the_limit_is_a_key_of_every_verb(letter: str, db: DB, backend: Backend) -> None:
    on, size = backend.name, len(letter.encode())
    assert backend.longest_key is not None
    key = letter * (backend.longest_key // size)
    assert db.write_message(key, "v", backend=on) is True
    assert db.read_message(key, backend=on) == "v"
    assert db.read_message(key[:-1], backend=on) is None
    assert db.update_message(key, "w", backend=on) is True
    assert db.write_queue_message(key, "q", backend=on, receipt=True).wait(60) is True
    assert db.read_messages([key], backend=on) == {key: "q"}
    assert db.list_keys(backend=on) == {"keys": [key], "next_marker": None}
    assert list(db.iter_messages(backend=on)) == [(key, "q")]
    assert db.delete_message(key, backend=on) is True


NO_KEYS: dict[str, Callable[[DB, str, str], object]] = {
    "read_message": lambda db, key, on: db.read_message(key, backend=on),
    "read_messages": lambda db, key, on: db.read_messages([key, "other"], backend=on) or None,
    "delete_message": lambda db, key, on: db.delete_message(key, backend=on) or None,
    "delete_messages": lambda db, key, on: db.delete_messages(["other", key], backend=on) or None,
    "list_keys-start_after": lambda db, key, on: db.list_keys(start_after=key, backend=on)["next_marker"],
    "list_keys-bucket": lambda db, key, on: db.list_keys(bucket=key, backend=on)["keys"] or None,
}


@key_limited
@pytest.mark.parametrize("verb", NO_KEYS.values(), ids=NO_KEYS.keys())
def test_a_key_over_the_limit_is_not_there_or_limit_exceeded(
    verb: Callable[[DB, str, str], object], db: DB, backend: Backend
) -> None:
    # That there is no such key is right; so is to refuse it. What the service says of it is not.
    assert backend.longest_key is not None
    with contextlib.suppress(LimitExceeded):
        assert verb(db, "k" * (backend.longest_key + 1), backend.name) is None


@only(lambda backend: backend.longest_key is None)
def test_where_keys_have_no_limit_of_their_own_they_may_be_as_long_as_any_text(
    db: DB, backend: Backend
) -> None:
    on, key = backend.name, "k" * 500_000
    assert db.write_message(key, "v", backend=on) is True
    assert db.read_message(key, backend=on) == "v"
    assert db.read_message(key[:-1], backend=on) is None
    assert db.update_message(key, "w", backend=on) is True
    assert db.list_keys(backend=on)["keys"] == [key]
    assert db.delete_messages([key], backend=on) == 1


@only(lambda backend: backend.largest_item is None)
def test_where_there_is_no_limit_a_value_of_100_mb_is_stored_and_read_back(db: DB, backend: Backend) -> None:
    value = {"a": "é" * 100, "b": "x" * 100_000_000}
    db.write_message("k", value, backend=backend.name)
    assert db.read_message("k", backend=backend.name) == value


@pytest.mark.usefixtures("the_real_one")
def test_a_message_at_the_limit_is_delivered_beside_others(db: DB, backend: Backend, place: Place) -> None:
    # A batch of them is more than a request takes.
    size = min(backend.room, 2_000_000) - 10
    texts = {f"{number:02}": str(number) + "x" * (size - 2) for number in range(12)}
    for key, text in texts.items():
        db.write_queue_message(key, text, backend=backend.name)
    db.flush()
    assert place.everything() == texts

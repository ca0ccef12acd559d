"""Keys and buckets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from TetherDB import DB

if TYPE_CHECKING:
    from collections.abc import Callable

    from .backends import Backend

KEYS = [
    "k",
    " ",
    "with space",
    ":",
    "a:b:c",
    "a/b",
    "%s%d",
    "'; DROP TABLE Dict; --",
    "_%*?[a]",
    "\n\t\r",
    "NUL\0inside",
    "\0",
    "ключ",
    "鍵",
    "🔑",
    "e\u0301",
    "é",
    "\x7f\x80\xff",
    "\ufeff",
    "\U0010ffff",
    "123",
    "null",
    "long " * 400,
]

# Every verb that takes a key, called with one.
KEY_VERBS: dict[str, Callable[[DB, Any, str], object]] = {
    "write_message": lambda db, key, backend: db.write_message(key, "v", backend=backend),
    "write_message-queued": lambda db, key, backend: db.write_message(key, "v", backend=backend, queue=True),
    "write_queue_message": lambda db, key, backend: db.write_queue_message(key, "v", backend=backend),
    "read_message": lambda db, key, backend: db.read_message(key, backend=backend),
    "update_message": lambda db, key, backend: db.update_message(key, "v", backend=backend),
    "delete_message": lambda db, key, backend: db.delete_message(key, backend=backend),
    "write_messages": lambda db, key, backend: db.write_messages([(key, "v")], backend=backend),
    "read_messages": lambda db, key, backend: db.read_messages([key], backend=backend),
    "delete_messages": lambda db, key, backend: db.delete_messages([key], backend=backend),
}
BUCKET_VERBS: dict[str, Callable[[DB, Any, str], object]] = {
    "write_message": lambda db, bucket, backend: db.write_message("k", "v", bucket, backend),
    "write_queue_message": lambda db, bucket, backend: db.write_queue_message("k", "v", bucket, backend),
    "read_message": lambda db, bucket, backend: db.read_message("k", bucket, backend),
    "update_message": lambda db, bucket, backend: db.update_message("k", "v", bucket, backend),
    "delete_message": lambda db, bucket, backend: db.delete_message("k", bucket, backend),
    "write_messages": lambda db, bucket, backend: db.write_messages({"k": "v"}, bucket, backend),
    "read_messages": lambda db, bucket, backend: db.read_messages(["k"], bucket, backend),
    "delete_messages": lambda db, bucket, backend: db.delete_messages(["k"], bucket, backend),
    "list_messages": lambda db, bucket, backend: db.list_messages(bucket=bucket, backend=backend),
    "list_keys": lambda db, bucket, backend: db.list_keys(bucket=bucket, backend=backend),
    "iter_messages": lambda db, bucket, backend: list(db.iter_messages(bucket, backend)),
    "tether": lambda db, bucket, backend: db.tether(bucket, backend=backend)(
        lambda: {"key": "k", "value": "v"}
    )(),
}


def each_verb(verbs: dict[str, Callable[[DB, Any, str], object]]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("verb", verbs.values(), ids=verbs.keys())


@pytest.mark.parametrize("key", KEYS, ids=lambda key: ascii(key[:20]))
def test_any_non_empty_text_is_a_key(key: str, db: DB, backend: Backend) -> None:
    on = backend.name
    assert db.write_message(key, "first", backend=on) is True
    assert db.read_message(key, backend=on) == "first"
    assert db.list_keys(backend=on)["keys"] == [key]
    assert db.update_message(key, "second", backend=on) is True
    assert db.read_messages([key], backend=on) == {key: "second"}
    assert db.delete_message(key, backend=on) is True
    assert db.read_message(key, backend=on) is None


@pytest.mark.parametrize("key", KEYS, ids=lambda key: ascii(key[:20]))
def test_any_non_empty_text_is_a_key_in_a_bucket_and_queued(key: str, db: DB, backend: Backend) -> None:
    assert db.write_queue_message(key, "v", "bücket", backend.name) is True
    db.flush()
    assert db.read_message(key, "bücket", backend.name) == "v"
    assert db.list_keys(bucket="bücket", backend=backend.name)["keys"] == [key]
    assert db.list_keys(backend=backend.name)["keys"] == [f"bücket:{key}"]


@pytest.mark.parametrize("bucket", [*KEYS, "a:", ":a"], ids=lambda bucket: ascii(bucket[:20]))
def test_any_text_is_a_bucket(bucket: str, db: DB, backend: Backend) -> None:
    db.write_message("k", "v", bucket, backend.name)
    assert db.read_message("k", bucket, backend.name) == "v"
    assert db.list_keys(bucket=bucket, backend=backend.name)["keys"] == ["k"]


def test_keys_that_differ_only_in_normalisation_case_or_a_trailing_nul_are_different(
    db: DB, backend: Backend
) -> None:
    keys = ["é", "e\u0301", "K", "k", "k\0", "k "]
    db.write_messages({key: f"value of {key}" for key in keys}, backend=backend.name)
    assert db.read_messages(keys, backend=backend.name) == {key: f"value of {key}" for key in keys}


def test_the_stored_key_is_the_bucket_a_colon_and_the_key(db: DB, backend: Backend) -> None:
    db.write_message("k", "v", "b", backend.name)
    db.write_message("k", "v", "", backend.name)
    assert sorted(db.list_keys(backend=backend.name)["keys"]) == ["b:k", "k"]


def test_bucket_a_b_with_key_c_and_bucket_a_with_key_b_c_meet(db: DB, backend: Backend) -> None:
    db.write_message("c", "one", "a:b", backend.name)
    assert db.read_message("b:c", "a", backend.name) == "one"
    assert db.read_message("a:b:c", backend=backend.name) == "one"
    db.write_message("b:c", "two", "a", backend.name)
    assert db.read_message("c", "a:b", backend.name) == "two"
    assert db.list_keys(backend=backend.name)["keys"] == ["a:b:c"]


def test_the_same_key_in_other_buckets_is_another_message(db: DB, backend: Backend) -> None:
    for bucket in ["", "a", "b", "a:b"]:
        db.write_message("k", f"of {bucket}", bucket, backend.name)
    for bucket in ["", "a", "b", "a:b"]:
        assert db.read_message("k", bucket, backend.name) == f"of {bucket}"


@each_verb(KEY_VERBS)
@pytest.mark.parametrize(
    "wrong", [None, 1, 1.5, True, b"k", ["k"], ("k",), object()], ids=lambda wrong: type(wrong).__name__
)
def test_a_key_of_another_type_is_a_type_error_that_names_it(
    verb: Callable[[DB, Any, str], object], wrong: Any, db: DB, backend: Backend
) -> None:
    with pytest.raises(TypeError, match=f"key.*str.*{type(wrong).__name__}"):
        verb(db, wrong, backend.name)
    db.flush()
    assert db.list_keys(backend=backend.name)["keys"] == []


@each_verb(KEY_VERBS)
def test_an_empty_key_is_a_value_error(
    verb: Callable[[DB, Any, str], object], db: DB, backend: Backend
) -> None:
    with pytest.raises(ValueError, match=r"key.*empty"):
        verb(db, "", backend.name)


@each_verb(KEY_VERBS)
@pytest.mark.parametrize("key", ["\ud800", "a\udfffb", "x\udc80"], ids=ascii)
def test_a_key_with_a_lone_surrogate_is_a_value_error(
    verb: Callable[[DB, Any, str], object], key: str, db: DB, backend: Backend
) -> None:
    with pytest.raises(ValueError, match=r"key.*surrogate") as caught:
        verb(db, key, backend.name)
    assert type(caught.value) is ValueError


@each_verb(BUCKET_VERBS)
@pytest.mark.parametrize("wrong", [None, 1, b"b", ["b"]], ids=ascii)
def test_a_bucket_of_another_type_is_a_type_error_that_names_it(
    verb: Callable[[DB, Any, str], object], wrong: Any, db: DB, backend: Backend
) -> None:
    with pytest.raises(TypeError, match=f"bucket.*{type(wrong).__name__}"):
        verb(db, wrong, backend.name)


@each_verb(BUCKET_VERBS)
def test_a_bucket_with_a_lone_surrogate_is_a_value_error(
    verb: Callable[[DB, Any, str], object], db: DB, backend: Backend
) -> None:
    with pytest.raises(ValueError, match=r"bucket.*surrogate"):
        verb(db, "b\ud800", backend.name)


def test_a_subclass_of_str_is_a_key(db: DB, backend: Backend) -> None:
    class Name(str):
        __slots__ = ()

        def __str__(self) -> str:
            return "not this"

    db.write_message(Name("k"), "v", Name("b"), backend.name)
    assert db.read_message("k", "b", backend.name) == "v"

"""`write_messages`, `read_messages` and `delete_messages`: what they take and give."""

from __future__ import annotations

from collections import UserDict
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import pytest

from TetherDB import DB

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .backends import Backend
    from .place import Place

ITEMS: dict[str, Any] = {"a": "1", "b": {"n": 2}, "c": "3"}


class Pairs:
    """Iterable, and nothing else."""

    def __iter__(self) -> Iterator[tuple[str, Any]]:
        yield from ITEMS.items()


FORMS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "dict": dict,
    "proxy": MappingProxyType,
    "UserDict": UserDict,
    "list": lambda items: list(items.items()),
    "tuple": lambda items: tuple(items.items()),
    "iterator": lambda items: iter(items.items()),
    "generator": lambda items: ((key, value) for key, value in items.items()),
    "lists": lambda items: [list(pair) for pair in items.items()],
    "view": lambda items: items.items(),
    "iterable": lambda items: Pairs(),
}


@pytest.mark.parametrize("make", FORMS.values(), ids=FORMS.keys())
def test_write_messages_takes_a_mapping_or_an_iterable_of_pairs_and_gives_the_count(
    make: Callable[[Any], Any], db: DB, backend: Backend
) -> None:
    assert db.write_messages(make(ITEMS), "b", backend.name) == 3
    assert dict(db.iter_messages("b", backend.name)) == ITEMS


def test_write_messages_has_stored_them_when_it_returns(db: DB, backend: Backend, place: Place) -> None:
    db.write_messages(ITEMS, "b", backend.name)
    assert place.everything() == {"b:a": "1", "b:b": '{"n": 2}', "b:c": "3"}


@pytest.mark.parametrize("empty", [{}, [], iter(())], ids=["dict", "list", "iterator"])
def test_write_messages_of_nothing_writes_nothing(empty: Any, db: DB, backend: Backend) -> None:
    assert db.write_messages(empty, backend=backend.name) == 0
    assert db.list_keys(backend=backend.name)["keys"] == []


def test_write_messages_counts_a_key_given_twice_once_and_the_last_value_wins(
    db: DB, backend: Backend
) -> None:
    pairs = [("k", "first"), ("other", "x"), ("k", "second"), ("k", "last")]
    assert db.write_messages(pairs, backend=backend.name) == 2
    assert dict(db.iter_messages(backend=backend.name)) == {"k": "last", "other": "x"}


def test_write_messages_replaces_what_was_there(db: DB, backend: Backend) -> None:
    db.write_message("a", "old", backend=backend.name)
    assert db.write_messages(ITEMS, backend=backend.name) == 3
    assert dict(db.iter_messages(backend=backend.name)) == ITEMS


@pytest.mark.parametrize(
    ("item", "error", "named"),
    [
        (("bad", {"a": {1}}), TypeError, "'bad'"),
        (("bad", ["list"]), TypeError, "'bad'"),
        (("bad", "\ud800"), ValueError, "'bad'"),
        (("", "v"), ValueError, "empty"),
        ((1, "v"), TypeError, "int"),
        (("\ud800", "v"), ValueError, "surrogate"),
        (("bad",), TypeError, "tuple"),
        (("bad", "v", "more"), TypeError, "tuple"),
        ("no pair", TypeError, "str"),
        (None, TypeError, "NoneType"),
        (5, TypeError, "int"),
    ],
    ids=ascii,
)
def test_write_messages_names_the_item_at_fault_and_writes_none(
    item: Any, error: type[Exception], named: str, db: DB, backend: Backend
) -> None:
    pairs: list[Any] = [("good", "v"), item, ("also good", "v")]
    with pytest.raises(error) as caught:
        db.write_messages(pairs, backend=backend.name)
    said = "\n".join([str(caught.value), *getattr(caught.value, "__notes__", [])])
    assert "items[1]" in said
    assert named in said
    assert "nothing was written" in said.lower()
    assert db.list_keys(backend=backend.name)["keys"] == []


def test_write_messages_passes_on_what_the_iterable_raises_and_writes_none(db: DB, backend: Backend) -> None:
    def pairs() -> Iterator[tuple[str, str]]:
        yield "good", "v"
        raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        db.write_messages(pairs(), backend=backend.name)
    assert db.list_keys(backend=backend.name)["keys"] == []


@pytest.mark.parametrize("wrong", [None, 1, 1.5, object()], ids=lambda value: type(value).__name__)
def test_write_messages_of_no_iterable_is_a_type_error(wrong: Any, db: DB, backend: Backend) -> None:
    with pytest.raises(TypeError, match=rf"items.*{type(wrong).__name__}"):
        db.write_messages(wrong, backend=backend.name)


@pytest.mark.parametrize("make", [list, tuple, set, iter, dict.fromkeys], ids=lambda make: make.__name__)
def test_read_messages_takes_an_iterable_and_gives_a_dict_of_those_that_exist(
    make: Callable[[Any], Any], db: DB, backend: Backend
) -> None:
    db.write_messages(ITEMS, "b", backend.name)
    found = db.read_messages(make(["a", "b", "missing"]), "b", backend.name)
    assert type(found) is dict
    assert found == {"a": "1", "b": {"n": 2}}


def test_read_messages_gives_them_in_the_order_asked_for(db: DB, backend: Backend) -> None:
    db.write_messages(ITEMS, backend=backend.name)
    assert list(db.read_messages(["c", "a", "b", "a"], backend=backend.name)) == ["c", "a", "b"]


def test_read_messages_counts_a_key_given_twice_once(db: DB, backend: Backend) -> None:
    db.write_messages(ITEMS, backend=backend.name)
    assert db.read_messages(["a", "a"], backend=backend.name) == {"a": "1"}


def test_read_messages_of_nothing_gives_nothing(db: DB, backend: Backend) -> None:
    assert db.read_messages([], backend=backend.name) == {}
    assert db.read_messages(["missing"], backend=backend.name) == {}


def test_delete_messages_counts_those_that_existed(db: DB, backend: Backend) -> None:
    db.write_messages(ITEMS, "b", backend.name)
    assert db.delete_messages(["a", "c", "missing"], "b", backend.name) == 2
    assert dict(db.iter_messages("b", backend.name)) == {"b": {"n": 2}}
    assert db.delete_messages(["a", "c"], "b", backend.name) == 0


def test_delete_messages_counts_a_key_given_twice_once(db: DB, backend: Backend) -> None:
    db.write_messages(ITEMS, backend=backend.name)
    assert db.delete_messages(["a", "a", "a"], backend=backend.name) == 1


def test_delete_messages_of_nothing_deletes_nothing(db: DB, backend: Backend) -> None:
    db.write_messages(ITEMS, backend=backend.name)
    assert db.delete_messages([], backend=backend.name) == 0
    assert len(list(db.iter_messages(backend=backend.name))) == 3


@pytest.mark.parametrize("verb", ["read_messages", "delete_messages"])
@pytest.mark.parametrize("wrong", ["key", None, 1], ids=ascii)
def test_keys_that_are_a_lone_str_or_no_iterable_are_a_type_error(
    verb: str, wrong: Any, db: DB, backend: Backend
) -> None:
    db.write_message("k", "v", backend=backend.name)
    with pytest.raises(TypeError, match=rf"keys.*{type(wrong).__name__}"):
        getattr(db, verb)(wrong, backend=backend.name)
    assert db.read_message("k", backend=backend.name) == "v"


@pytest.mark.parametrize("verb", ["read_messages", "delete_messages"])
@pytest.mark.parametrize(("wrong", "error"), [(1, TypeError), ("", ValueError), ("\ud800", ValueError)])
def test_a_key_that_is_wrong_is_named_by_its_position_and_nothing_is_done(
    verb: str, wrong: Any, error: type[Exception], db: DB, backend: Backend
) -> None:
    db.write_message("k", "v", backend=backend.name)
    with pytest.raises(error, match=r"keys\[1\]"):
        getattr(db, verb)(["k", wrong], backend=backend.name)
    assert db.read_message("k", backend=backend.name) == "v"

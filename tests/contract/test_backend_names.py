"""The argument `backend`: which names there are, and what a verb says of one that it cannot use."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from TetherDB import DB, BackendNotConfigured

from .backends import over_network

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from .backends import Backend
    from .place import Place

VERBS: dict[str, Callable[[DB, Any], object]] = {
    "write_message": lambda db, backend: db.write_message("k", "v", backend=backend),
    "write_message-queued": lambda db, backend: db.write_message("k", "v", backend=backend, queue=True),
    "write_queue_message": lambda db, backend: db.write_queue_message("k", "v", backend=backend),
    "read_message": lambda db, backend: db.read_message("k", backend=backend),
    "update_message": lambda db, backend: db.update_message("k", "v", backend=backend),
    "delete_message": lambda db, backend: db.delete_message("k", backend=backend),
    "write_messages": lambda db, backend: db.write_messages({"k": "v"}, backend=backend),
    "read_messages": lambda db, backend: db.read_messages(["k"], backend=backend),
    "delete_messages": lambda db, backend: db.delete_messages(["k"], backend=backend),
    "list_messages": lambda db, backend: db.list_messages(backend=backend),
    "list_keys": lambda db, backend: db.list_keys(backend=backend),
    "iter_messages": lambda db, backend: list(db.iter_messages(backend=backend)),
    "ping": lambda db, backend: db.ping(backend),
    "failed_messages": lambda db, backend: db.failed_messages(backend),
    "retry_failed": lambda db, backend: db.retry_failed(backend),
    "drop_failed": lambda db, backend: db.drop_failed(backend),
    "tether": lambda db, backend: db.tether(backend=backend)(lambda: {"key": "k", "value": "v"})(),
}
# None is another way to say "all" there.
TAKES_NONE = {"failed_messages", "retry_failed", "drop_failed"}

each_verb = pytest.mark.parametrize("verb", VERBS.values(), ids=VERBS.keys())


@pytest.fixture
def all_three(path: Path) -> Iterator[DB]:
    """A handle with a section for each backend, whose servers nobody needs."""
    config = {"local": {"filepath": str(path)}, "etcd": {"port": 1}, "dynamodb": {"table_name": "t"}}
    with DB(config) as db:
        yield db


@pytest.fixture
def local_alone(path: Path) -> Iterator[DB]:
    """A handle without a section for another backend."""
    with DB({"local": {"filepath": str(path)}}) as db:
        yield db


@each_verb
@pytest.mark.parametrize("name", ["redis", "Local", "LOCAL", "Etcd", "", " local", "local\0"], ids=ascii)
def test_any_other_name_is_a_value_error_that_lists_the_three(
    verb: Callable[[DB, Any], object], name: str, all_three: DB
) -> None:
    with pytest.raises(ValueError, match=r"'local'.*'dynamodb'.*'etcd'") as caught:
        verb(all_three, name)
    assert not isinstance(caught.value, BackendNotConfigured)


@each_verb
@pytest.mark.parametrize("wrong", [1, b"local", ["local"]], ids=ascii)
def test_a_name_of_another_type_is_a_type_error(
    verb: Callable[[DB, Any], object], wrong: Any, all_three: DB
) -> None:
    with pytest.raises(TypeError, match=rf"backend.*{type(wrong).__name__}"):
        verb(all_three, wrong)


@pytest.mark.parametrize("name", [name for name in VERBS if name not in TAKES_NONE])
def test_none_is_no_name(name: str, all_three: DB) -> None:
    with pytest.raises(TypeError, match=r"backend.*NoneType"):
        VERBS[name](all_three, None)


@each_verb
@pytest.mark.parametrize("name", ["etcd", "dynamodb"])
def test_a_backend_without_a_section_is_not_configured_and_the_section_to_add_is_named(
    verb: Callable[[DB, Any], object], name: str, local_alone: DB
) -> None:
    with pytest.raises(BackendNotConfigured) as caught:
        verb(local_alone, name)
    wanted = f"backend '{name}' is not configured. Add a section \"{name}\" to the configuration."
    assert str(caught.value) == wanted


@each_verb
def test_a_verb_on_a_backend_that_is_not_configured_does_nothing(
    verb: Callable[[DB, Any], object], local_alone: DB
) -> None:
    with pytest.raises(BackendNotConfigured):
        verb(local_alone, "etcd")
    local_alone.flush()
    assert local_alone.list_keys()["keys"] == []
    assert local_alone.stats()["local"]["accepted"] == 0


@each_verb
def test_a_backend_is_there_when_its_section_is(
    verb: Callable[[DB, Any], object], db: DB, backend: Backend
) -> None:
    verb(db, backend.name)
    db.write_message("here", "v", backend=backend.name)
    assert db.read_message("here", backend=backend.name) == "v"


def test_a_section_may_be_empty_where_no_key_is_required(path: Path) -> None:
    with DB({"local": {"filepath": str(path)}, "etcd": {}}) as db:
        assert list(db.stats()) == ["local", "etcd"]


def test_local_is_the_default_of_every_verb_whatever_else_is_there(
    db: DB, backend: Backend, place: Place
) -> None:
    assert db.write_message("a", "v") is True
    assert db.write_queue_message("b", "v") is True
    assert db.write_messages({"c": "v", "d": "v"}) == 2
    assert db.tether(lambda: {"key": "e", "value": "v"})() is True
    db.flush()
    assert db.update_message("a", "w") is True
    assert db.delete_message("b") is True
    assert db.delete_messages(["c"]) == 1
    on_local = {"a": "w", "d": "v", "e": "v"}
    assert db.read_messages(["a", "b", "c", "d", "e"]) == on_local
    assert dict(db.iter_messages()) == on_local
    assert db.list_keys()["keys"] == list(on_local)
    assert db.list_messages()["messages"] == list(on_local.values())
    assert db.read_message("a") == "w"
    assert place.everything() == ({} if backend.over_network else on_local)


@over_network
def test_the_same_key_on_local_is_another_message(db: DB, backend: Backend) -> None:
    db.write_message("k", "there", backend=backend.name)
    db.write_message("k", "on local")
    assert db.read_message("k", backend=backend.name) == "there"
    assert db.delete_message("k") is True
    assert db.read_message("k", backend=backend.name) == "there"

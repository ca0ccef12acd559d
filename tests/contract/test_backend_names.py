"""The argument `backend`: which names there are, and what a verb says of one that it cannot use."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from TetherDB import DB, BackendNotConfigured

if TYPE_CHECKING:
    from collections.abc import Callable

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
SECTIONS: dict[str, dict[str, Any]] = {"dynamodb": {"table_name": "t"}, "etcd": {}}

each_verb = pytest.mark.parametrize("verb", VERBS.values(), ids=VERBS.keys())


@each_verb
@pytest.mark.parametrize("name", ["redis", "Local", "LOCAL", "", " local", "local\0"], ids=ascii)
def test_any_other_name_is_a_value_error_that_lists_the_three(
    verb: Callable[[DB, Any], object], name: str, open_db: Callable[..., DB]
) -> None:
    with pytest.raises(ValueError, match=r"'local'.*'dynamodb'.*'etcd'") as caught:
        verb(open_db(), name)
    assert not isinstance(caught.value, BackendNotConfigured)


@each_verb
@pytest.mark.parametrize("wrong", [1, b"local", ["local"]], ids=ascii)
def test_a_name_of_another_type_is_a_type_error(
    verb: Callable[[DB, Any], object], wrong: Any, open_db: Callable[..., DB]
) -> None:
    with pytest.raises(TypeError, match=rf"backend.*{type(wrong).__name__}"):
        verb(open_db(), wrong)


@pytest.mark.parametrize("name", [name for name in VERBS if name not in TAKES_NONE])
def test_none_is_no_name(name: str, open_db: Callable[..., DB]) -> None:
    with pytest.raises(TypeError, match=r"backend.*NoneType"):
        VERBS[name](open_db(), None)


@each_verb
@pytest.mark.parametrize("name", SECTIONS)
def test_a_backend_without_a_section_is_not_configured_and_the_section_to_add_is_named(
    verb: Callable[[DB, Any], object], name: str, open_db: Callable[..., DB]
) -> None:
    with pytest.raises(BackendNotConfigured, match=rf"section.*{name}"):
        verb(open_db(), name)


@each_verb
@pytest.mark.parametrize("name", SECTIONS)
def test_a_backend_that_this_version_does_not_have_yet_says_so(
    verb: Callable[[DB, Any], object], name: str, open_db: Callable[..., DB]
) -> None:
    with pytest.raises(BackendNotConfigured, match=rf"no {name} backend yet"):
        verb(open_db(**{name: SECTIONS[name]}), name)


@each_verb
def test_a_verb_on_a_backend_that_is_not_configured_does_nothing(
    verb: Callable[[DB, Any], object], open_db: Callable[..., DB]
) -> None:
    db = open_db()
    with pytest.raises(BackendNotConfigured):
        verb(db, "etcd")
    db.flush()
    assert db.list_keys()["keys"] == []
    assert db.stats()["local"]["accepted"] == 0


@each_verb
def test_local_is_always_there_and_the_default(
    verb: Callable[[DB, Any], object], open_db: Callable[..., DB]
) -> None:
    db = open_db()
    verb(db, "local")
    db.write_message("default", "v")
    assert db.read_message("default", backend="local") == "v"

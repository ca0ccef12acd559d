"""`@db.tether`: the forms of the decorator."""

from __future__ import annotations

import asyncio
import functools
import inspect
import uuid
from typing import TYPE_CHECKING, Any

import pytest

from TetherDB import DB, BackendError

if TYPE_CHECKING:
    from collections.abc import Callable

    from .backends import Backend
    from .place import Place


def test_tether_with_arguments_stores_what_the_function_returns_and_gives_true(
    db: DB, backend: Backend
) -> None:
    @db.tether("users", True, backend.name)
    def create(name: str) -> dict[str, Any]:
        return {"key": name, "value": {"name": name}}

    assert create("alice") is True
    assert db.read_message("alice", "users", backend.name) == {"name": "alice"}


def test_tether_with_arguments_by_name(db: DB, backend: Backend) -> None:
    @db.tether(bucket="users", wait=True, backend=backend.name, key=None, queue=None)
    def create(name: str) -> dict[str, Any]:
        return {"key": name, "value": "text"}

    assert create(name="bob") is True
    assert db.read_message("bob", "users", backend.name) == "text"


def test_tether_bare_takes_the_defaults(db: DB) -> None:
    @db.tether
    def create(name: str) -> dict[str, Any]:
        return {"key": name, "value": "text"}

    assert create("carol") is True
    assert db.read_message("carol") == "text"


def test_tether_with_empty_parentheses_takes_the_defaults(db: DB) -> None:
    @db.tether()
    def create(name: str) -> dict[str, Any]:
        return {"key": name, "value": "text"}

    assert create("dave") is True
    assert db.read_message("dave") == "text"


def test_key_and_queue_are_keyword_only(db: DB) -> None:
    tether: Any = db.tether
    with pytest.raises(TypeError):
        tether("users", True, "local", "key")


def test_tether_waits_until_it_is_written_unless_told_otherwise(
    open_db: Callable[..., DB], backend: Backend, place: Place
) -> None:
    db = open_db(queue_batch={"timeout": 60})

    @db.tether(backend=backend.name)
    def create() -> dict[str, Any]:
        return {"key": "k", "value": "v"}

    assert create() is True
    assert place.everything() == {"k": "v"}
    assert db.stats()[backend.name]["accepted"] == 0


@pytest.mark.parametrize(
    "arguments", [{"wait": False}, {"queue": True}, {"wait": False, "queue": True}], ids=repr
)
def test_tether_queues_with_wait_false_or_queue_true(
    arguments: dict[str, Any], open_db: Callable[..., DB], backend: Backend
) -> None:
    db, on = open_db(queue_batch={"timeout": 60}), backend.name

    @db.tether("b", backend=on, **arguments)
    def create() -> dict[str, Any]:
        return {"key": "k", "value": "v"}

    assert create() is True
    assert db.stats()[on]["pending"] == 1
    assert db.read_message("k", "b", on) is None
    db.flush()
    assert db.read_message("k", "b", on) == "v"


def test_without_a_key_a_time_ordered_uuid_of_version_7_is_made(db: DB, backend: Backend) -> None:
    @db.tether("log", backend=backend.name)
    def note(number: int) -> dict[str, Any]:
        return {"value": str(number)}

    for number in range(50):
        assert note(number) is True
    pairs = sorted(db.iter_messages("log", backend.name))
    assert {uuid.UUID(key).version for key, _ in pairs} == {7}
    assert [key for key, _ in pairs] == [str(uuid.UUID(key)) for key, _ in pairs]
    assert [text for _, text in pairs] == [str(number) for number in range(50)]


def test_the_key_of_the_decorator_is_used_for_an_envelope_without_one(db: DB, backend: Backend) -> None:
    @db.tether(backend=backend.name, key="user:123")
    def save() -> dict[str, Any]:
        return {"value": {"name": "x"}}

    assert save() is True
    assert dict(db.iter_messages(backend=backend.name)) == {"user:123": {"name": "x"}}


def test_the_key_of_an_envelope_goes_before_the_key_of_the_decorator(db: DB, backend: Backend) -> None:
    @db.tether(backend=backend.name, key="user:123")
    def save() -> dict[str, Any]:
        return {"key": "own", "value": "v"}

    assert save() is True
    assert dict(db.iter_messages(backend=backend.name)) == {"own": "v"}


@pytest.mark.parametrize(
    "value",
    [
        {},
        {"name": "x"},
        {"name": "x", "value": "v"},
        {"key": "k"},
        {"key": "k", "name": "x"},
        {"key": "k", "value": "v", "more": 1},
        {"value": 5},
        {"value": [1]},
        {"value": None},
    ],
    ids=repr,
)
def test_with_a_key_of_the_decorator_a_dict_that_is_no_envelope_is_itself_the_value(
    value: dict[str, Any], db: DB, backend: Backend
) -> None:
    @db.tether("b", backend=backend.name, key="user:123")
    def save() -> dict[str, Any]:
        return value

    assert save() is True
    assert dict(db.iter_messages("b", backend.name)) == {"user:123": value}


@pytest.mark.parametrize("key", [1, b"k", ["k"]], ids=ascii)
def test_a_key_of_the_decorator_of_another_type_is_a_type_error(key: Any, db: DB) -> None:
    with pytest.raises(TypeError, match=r"key"):
        db.tether(key=key)(dict)


def test_an_empty_key_of_the_decorator_is_a_value_error(db: DB) -> None:
    with pytest.raises(ValueError, match=r"key"):
        db.tether(key="")(dict)


def test_arguments_and_defaults_reach_the_function(db: DB, backend: Backend) -> None:
    @db.tether(backend=backend.name)
    def save(a: int, /, b: int, *rest: int, c: int = 3, **more: int) -> dict[str, Any]:
        return {"key": "k", "value": {"all": [a, b, rest, c, more]}}

    assert save(1, 2, 9, 8, c=7, d=6) is True
    assert db.read_message("k", backend=backend.name) == {"all": [1, 2, [9, 8], 7, {"d": 6}]}


def test_methods_class_methods_and_static_methods_can_be_tethered(db: DB, backend: Backend) -> None:
    on = backend.name

    class Service:
        name = "service"

        @db.tether("m", backend=on)
        def method(self, key: str) -> dict[str, Any]:
            return {"key": key, "value": self.name}

        @classmethod
        @db.tether("m", backend=on)
        def of_class(cls, key: str) -> dict[str, Any]:
            return {"key": key, "value": cls.__name__}

        @staticmethod
        @db.tether("m", backend=on)
        def static(key: str) -> dict[str, Any]:
            return {"key": key, "value": "static"}

    assert Service().method("1") is True
    assert Service.of_class("2") is True
    assert Service.static("3") is True
    assert dict(db.iter_messages("m", on)) == {"1": "service", "2": "Service", "3": "static"}


def test_an_async_function_stays_one_and_gives_true_when_awaited(db: DB, backend: Backend) -> None:
    @db.tether("a", backend=backend.name)
    async def create(name: str) -> dict[str, Any]:
        await asyncio.sleep(0)
        return {"key": name, "value": {"name": name}}

    assert inspect.iscoroutinefunction(create)
    assert asyncio.run(create("alice")) is True
    assert db.read_message("alice", "a", backend.name) == {"name": "alice"}


def test_an_async_function_can_be_tethered_bare(db: DB) -> None:
    @db.tether
    async def create() -> dict[str, Any]:
        return {"key": "k", "value": "v"}

    assert asyncio.run(create()) is True
    assert db.read_message("k") == "v"


@pytest.mark.parametrize("wait", [True, False])
def test_many_async_functions_can_run_at_once(wait: bool, db: DB, backend: Backend) -> None:
    @db.tether("a", wait, backend.name)
    async def create(number: int) -> dict[str, Any]:
        await asyncio.sleep(0)
        return {"key": str(number), "value": "v"}

    async def run() -> list[bool]:
        return await asyncio.gather(*(create(number) for number in range(100)))

    assert asyncio.run(run()) == [True] * 100
    db.flush()
    assert len(list(db.iter_messages("a", backend.name))) == 100


def test_an_async_method_can_be_tethered(db: DB, backend: Backend) -> None:
    class Service:
        @db.tether(backend=backend.name)
        async def method(self) -> dict[str, Any]:
            return {"key": "k", "value": "v"}

    assert asyncio.run(Service().method()) is True


@pytest.mark.sync_only("a coroutine function is what AsyncDB makes of it: see test_async_face.py")
def test_name_docstring_signature_module_and_type_are_kept(db: DB) -> None:
    def create(name: str, *, age: int = 3) -> dict[str, Any]:
        """Make a user."""
        return {"value": name + str(age)}

    wrapped: Any = db.tether(create)
    assert wrapped.__name__ == "create"
    assert wrapped.__qualname__ == create.__qualname__
    assert wrapped.__doc__ == "Make a user."
    assert wrapped.__module__ == create.__module__
    assert inspect.signature(wrapped) == inspect.signature(create)
    assert wrapped.__wrapped__ is create
    assert inspect.isfunction(wrapped)
    assert not inspect.iscoroutinefunction(wrapped)


def test_name_docstring_signature_and_type_of_an_async_function_are_kept(db: DB) -> None:
    async def create(name: str, *, age: int = 3) -> dict[str, Any]:
        """Make a user."""
        return {"value": name + str(age)}

    wrapped: Any = db.tether(wait=False)(create)
    assert (wrapped.__name__, wrapped.__doc__) == ("create", "Make a user.")
    assert inspect.signature(wrapped) == inspect.signature(create)
    assert inspect.iscoroutinefunction(wrapped)


def test_what_the_function_raises_passes_through_and_nothing_is_written(db: DB, backend: Backend) -> None:
    error = LookupError("mine")

    @db.tether(backend=backend.name)
    def fail() -> dict[str, Any]:
        raise error

    @db.tether(backend=backend.name)
    async def fail_async() -> dict[str, Any]:
        raise error

    with pytest.raises(LookupError) as caught:
        fail()
    assert caught.value is error
    with pytest.raises(LookupError) as caught:
        asyncio.run(fail_async())
    assert caught.value is error
    assert db.list_keys(backend=backend.name)["keys"] == []


def test_what_the_function_raises_passes_through_with_errors_log_too(
    open_db: Callable[..., DB], backend: Backend
) -> None:
    @open_db(errors="log").tether(backend=backend.name)
    def fail() -> dict[str, Any]:
        raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        fail()


def test_a_callable_object_and_a_partial_can_be_tethered(db: DB, backend: Backend) -> None:
    class Maker:
        def __call__(self, key: str) -> dict[str, Any]:
            return {"key": key, "value": "made"}

    def make(key: str, value: str) -> dict[str, Any]:
        return {"key": key, "value": value}

    assert db.tether(backend=backend.name)(Maker())("1") is True
    assert db.tether(backend=backend.name)(functools.partial(make, value="partly"))("2") is True
    assert dict(db.iter_messages(backend=backend.name)) == {"1": "made", "2": "partly"}


def test_tethered_functions_work_after_stop(db: DB, backend: Backend) -> None:
    @db.tether(backend=backend.name)
    def create(key: str) -> dict[str, Any]:
        return {"key": key, "value": "v"}

    create("1")
    db.stop()
    assert create("2") is True
    assert db.read_messages(["1", "2"], backend=backend.name) == {"1": "v", "2": "v"}


def test_what_the_backend_refuses_is_raised_by_the_wrapped_call(
    broken: Callable[..., DB], backend: Backend
) -> None:
    @broken().tether(backend=backend.name)
    def create() -> dict[str, Any]:
        return {"key": "k", "value": "v"}

    with pytest.raises(BackendError) as caught:
        create()
    assert caught.value.backend == backend.name

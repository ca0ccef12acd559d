"""What is wrong with a decorated function is said where it is decorated, and not when it is first called."""

from __future__ import annotations

import asyncio
import functools
from typing import TYPE_CHECKING, Any

import pytest

from TetherDB import DB, AsyncDB, BackendNotConfigured

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path

NO_FUNCTION = "tether wraps a function, got"
YIELDS = "tether stores what a function returns, and"


def numbers() -> Iterator[dict[str, Any]]:
    yield {"value": "1"}


async def async_numbers() -> AsyncIterator[dict[str, Any]]:
    yield {"value": "1"}


def message(_: object) -> dict[str, Any]:
    return {"value": "1"}


@pytest.fixture(params=[DB, AsyncDB], ids=["DB", "AsyncDB"])
def db(request: pytest.FixtureRequest, path: Path) -> Iterator[Any]:
    """A handle of either kind."""
    made = request.param({"local": {"filepath": str(path)}})
    yield made
    if isinstance(made, DB):
        made.stop()
    else:
        asyncio.run(made.stop())


NEVER_RETURN: list[tuple[Any, str]] = [
    (numbers, f"{YIELDS} 'numbers' yields."),
    (async_numbers, f"{YIELDS} 'async_numbers' yields."),
    (functools.partial(numbers), f"{YIELDS} "),
    (int, f"{NO_FUNCTION} the class 'int'. Decorate a method of it."),
    (classmethod(message), f"{NO_FUNCTION} classmethod. Write @classmethod above @db.tether."),
    (property(message), f"{NO_FUNCTION} property. Write @property above @db.tether."),
]


@pytest.mark.parametrize("bare", [True, False], ids=["bare", "called"])
@pytest.mark.parametrize(
    ("function", "said"),
    NEVER_RETURN,
    ids=["generator", "async generator", "partial", "class", "classmethod", "property"],
)
def test_what_can_return_no_message_is_refused(db: Any, function: Any, said: str, bare: bool) -> None:
    with pytest.raises(TypeError) as caught:
        db.tether(function) if bare else db.tether(bucket="b")(function)
    assert str(caught.value).startswith(said)


@pytest.mark.parametrize("thing", [5, "text", None, {"key": "k", "value": "v"}], ids=repr)
def test_what_is_no_function_is_refused(db: Any, thing: Any) -> None:
    with pytest.raises(TypeError) as caught:
        db.tether(bucket="b")(thing)
    assert str(caught.value).startswith(f"{NO_FUNCTION} {type(thing).__name__}. Write @db.tether or ")


WRONG: list[tuple[str, type[Exception], Callable[[Any], object]]] = [
    ("bucket must be a str, got int", TypeError, lambda db: db.tether(bucket=5)),
    ("key must be a str, got int", TypeError, lambda db: db.tether(key=5)),
    ("key must not be empty", ValueError, lambda db: db.tether(key="")),
    ("wait must be a bool, got str", TypeError, lambda db: db.tether(wait="no")),
    ("queue must be a bool, got int", TypeError, lambda db: db.tether(queue=1)),
    ("backend must be a str, got NoneType", TypeError, lambda db: db.tether(backend=None)),
    ("backend must be 'local', 'dynamodb' or 'etcd'", ValueError, lambda db: db.tether(backend="redis")),
    ("backend 'etcd' is not configured", BackendNotConfigured, lambda db: db.tether(backend="etcd")),
]


@pytest.mark.parametrize(("said", "expected", "decorate"), WRONG, ids=[wrong[0] for wrong in WRONG])
def test_a_wrong_argument_is_refused(
    db: Any, said: str, expected: type[Exception], decorate: Callable[[Any], object]
) -> None:
    with pytest.raises(expected, match=f"^{said}"):
        decorate(db)


@pytest.mark.parametrize("wait", [True, False])
@pytest.mark.parametrize("queue", [True, False])
def test_queue_wins_over_wait(path: Path, wait: bool, queue: bool) -> None:
    with DB({"local": {"filepath": str(path)}}) as db:

        @db.tether(wait=wait, queue=queue)
        def create() -> dict[str, Any]:
            return {"key": "k", "value": "v"}

        assert create() is True
        assert db.stats()["local"]["accepted"] == int(queue)

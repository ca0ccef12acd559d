"""What `AsyncDB` has in common with `DB`, apart from what the rest of the suite runs over both."""

from __future__ import annotations

import asyncio
import inspect
from typing import TYPE_CHECKING, Any

import pytest

from TetherDB import DB, AsyncDB, DeliveryError

if TYPE_CHECKING:
    from pathlib import Path

VERBS = [name for name in vars(DB) if not name.startswith("_")]
# What gives something at once: an iterator, or a decorator.
PLAIN = {"iter_messages", "tether", "mapping"}


def shape(function: Any) -> list[tuple[str, Any, Any]]:
    parameters = inspect.signature(function).parameters.values()
    return [(one.name, one.kind, one.default) for one in parameters]


@pytest.mark.parametrize("verb", [verb for verb in VERBS if verb != "mapping"])
def test_every_verb_of_db_is_a_coroutine_function_with_the_same_parameters(verb: str) -> None:
    function = getattr(AsyncDB, verb)
    assert inspect.iscoroutinefunction(function) == (verb not in PLAIN)
    # `self` apart, which a method of Rust takes by position alone.
    assert shape(function)[1:] == shape(getattr(DB, verb))[1:]


def test_every_verb_has_a_docstring_and_no_other_is_there() -> None:
    own = {name for name in vars(AsyncDB) if not name.startswith("_")}
    assert own == {verb for verb in VERBS if verb != "mapping"}
    for verb in own:
        assert getattr(AsyncDB, verb).__doc__


def test_the_constructor_is_the_same() -> None:
    assert shape(AsyncDB) == shape(DB)


def test_what_the_end_of_a_block_raises_comes_after_what_its_body_raised(path: Path) -> None:
    broken = LookupError("mine")

    async def main() -> None:
        retry = {"initial": 0.01, "max": 0.02, "give_up_after": 0.1}
        config = {
            "local": {"filepath": str(path / "no such folder" / "file")},
            "queue_batch": {"retry": retry},
        }
        async with AsyncDB(config) as db:
            await db.write_queue_message("k", "v")
            raise broken

    with pytest.raises(DeliveryError) as caught:
        asyncio.run(main())
    assert caught.value.__context__ is broken


def test_tether_makes_a_coroutine_function_and_keeps_what_it_is_called(path: Path) -> None:
    db = AsyncDB({"local": {"filepath": str(path)}})

    def create(name: str, *, age: int = 3) -> dict[str, Any]:
        """Make a user."""
        return {"value": name + str(age)}

    wrapped: Any = db.tether(create)
    assert (wrapped.__name__, wrapped.__doc__) == ("create", "Make a user.")
    assert wrapped.__qualname__ == create.__qualname__
    assert wrapped.__module__ == create.__module__
    assert wrapped.__wrapped__ is create
    assert inspect.signature(wrapped) == inspect.signature(create)
    assert inspect.iscoroutinefunction(wrapped)

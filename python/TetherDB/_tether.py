"""The ``@db.tether`` decorator: stores what a function returns."""

from __future__ import annotations

import asyncio
import functools
import inspect
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from TetherDB import DB


class _Invalid(Exception):
    """What a function returned cannot be stored; the text says why."""


def tether(
    db: DB,
    function: Callable[..., Any],
    *,
    bucket: str,
    backend: str,
    key: str | None,
    queue: bool,
) -> Callable[..., Any]:
    """Wrap ``function`` so that it stores what it returns and returns whether it did."""
    name = getattr(function, "__name__", repr(function))
    store = db.write_queue_message if queue else db.write_message

    def envelope(result: object) -> tuple[str, Any] | None:
        try:
            given, value = _open_envelope(result, name, key)
        except _Invalid as fault:
            db._log_error(str(fault))
            return None
        return given or db._new_key(), value

    if inspect.iscoroutinefunction(function):

        @functools.wraps(function)
        async def async_wrapper(*args: Any, **kwargs: Any) -> bool:
            stored = envelope(await function(*args, **kwargs))
            if stored is None:
                return False
            # The disk, or a full queue, must not hold up the event loop.
            return await asyncio.to_thread(store, *stored, bucket, backend)

        return async_wrapper

    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> bool:
        stored = envelope(function(*args, **kwargs))
        return stored is not None and store(*stored, bucket, backend)

    return wrapper


def _is_envelope(result: dict[Any, Any]) -> bool:
    """Whether a returned dict is ``{"key": optional, "value": str or dict}`` and nothing else."""
    return isinstance(result.get("value"), (str, dict)) and result.keys() <= {"key", "value"}


def _open_envelope(result: object, name: str, key: str | None) -> tuple[str | None, Any]:
    """The key, if there is one, and the value in what a function returned."""
    if not isinstance(result, dict):
        raise _Invalid(f"Invalid return type from {name!r}. Expected dict, got {type(result).__name__}.")
    if key is not None and not _is_envelope(result):
        return key, result
    if "value" not in result:
        raise _Invalid(f"Missing 'value' in the dict returned by {name!r}.")
    value = result["value"]
    if not isinstance(value, (str, dict)):
        kind = type(value).__name__
        raise _Invalid(f"Invalid 'value' type returned by {name!r}. Expected str or dict, got {kind}.")
    if "key" in result:
        key = result["key"]
        if not isinstance(key, str):
            kind = type(key).__name__
            raise _Invalid(f"Invalid 'key' type returned by {name!r}. Expected str, got {kind}.")
        if not key:
            raise _Invalid(f"Empty 'key' returned by {name!r}. Expected a non-empty str.")
    return key, value

"""The ``@db.tether`` decorator: stores what a function returns."""

from __future__ import annotations

import functools
import inspect
from typing import TYPE_CHECKING, Any, cast

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
    coroutines: bool,
) -> Callable[..., Any]:
    """Wrap ``function`` so that it stores what it returns and returns whether it did.

    ``coroutines``: make a coroutine function of it, whatever it is.
    """
    _check(function)
    name: str = getattr(function, "__name__", repr(function))
    is_async = inspect.iscoroutinefunction(function)

    def message(result: object, log_error: Callable[[str, str, str | None], None]) -> tuple[str, Any] | None:
        try:
            given, value = _open_envelope(result, name, key)
        except _Invalid as fault:
            known = _key_of(result) or key
            log_error(str(fault), backend, f"{bucket}:{known}" if bucket and known else known)
            return None
        return given or db._new_key(), value

    if not (is_async or coroutines):

        @functools.wraps(function)
        def wrapper(*args: Any, **kwargs: Any) -> bool:
            stored = message(function(*args, **kwargs), db._log_error)
            return stored is not None and db.write_message(*stored, bucket, backend, queue)

        return wrapper

    from TetherDB._calls import Calls

    # The disk, or a full queue, must not hold up the event loop.
    calls = Calls(db)

    @functools.wraps(function)
    async def async_wrapper(*args: Any, **kwargs: Any) -> bool:
        result = function(*args, **kwargs)
        stored = message(await result if is_async else result, calls.verbs.log_error)
        if stored is None:
            await calls.log_lines()
            return False
        if queue:
            return await calls.queue("write_message", *stored, bucket, backend, False) is True
        return await calls.write(*stored, bucket, backend)

    return async_wrapper


def _check(function: Any) -> None:
    """Refuse, where it is decorated, what can never return a message."""
    kind = type(function).__name__
    if isinstance(function, (classmethod, property)):
        raise TypeError(f"tether wraps a function, got {kind}. Write @{kind} above @db.tether.")
    if not callable(function):
        raise TypeError(
            f"tether wraps a function, got {kind}. Write @db.tether or @db.tether(bucket=...) above a def."
        )
    name: str = getattr(function, "__name__", repr(function))
    if isinstance(function, type):
        raise TypeError(f"tether wraps a function, got the class {name!r}. Decorate a method of it.")
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise TypeError(
            f"tether stores what a function returns, and {name!r} yields. Return one dict, or call "
            "write_message for each."
        )


def _is_envelope(result: dict[Any, Any]) -> bool:
    """Whether a returned dict is ``{"key": optional, "value": str or dict}`` and nothing else."""
    return isinstance(result.get("value"), (str, dict)) and result.keys() <= {"key", "value"}


def _key_of(result: object) -> str | None:
    """The key in what cannot be stored, if there is one."""
    returned: dict[Any, Any] = cast("Any", result) if isinstance(result, dict) else {}
    key: object = returned.get("key")
    return key if isinstance(key, str) else None


def _open_envelope(result: object, name: str, key: str | None) -> tuple[str | None, Any]:
    """The key, if there is one, and the value in what a function returned."""
    if not isinstance(result, dict):
        raise _Invalid(f"Invalid return type from {name!r}. Expected dict, got {type(result).__name__}.")
    returned: dict[Any, Any] = cast("Any", result)
    if key is not None and not _is_envelope(returned):
        return key, returned
    if "value" not in returned:
        raise _Invalid(f"Missing 'value' in the dict returned by {name!r}.")
    value: Any = returned["value"]
    if not isinstance(value, (str, dict)):
        kind = type(value).__name__
        raise _Invalid(f"Invalid 'value' type returned by {name!r}. Expected str or dict, got {kind}.")
    if "key" in returned:
        given: object = returned["key"]
        if not isinstance(given, str):
            kind = type(given).__name__
            raise _Invalid(f"Invalid 'key' type returned by {name!r}. Expected str, got {kind}.")
        if not given:
            raise _Invalid(f"Empty 'key' returned by {name!r}. Expected a non-empty str.")
        key = given
    return key, cast("Any", value)

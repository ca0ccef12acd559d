"""The two faces of the engine: `DB`, and `AsyncDB` made to look like it, so that one suite runs over both."""

from __future__ import annotations

import asyncio
import functools
import inspect
import threading
from typing import TYPE_CHECKING, Any, Self

from TetherDB import AsyncDB

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine

SYNC, ASYNC = "sync", "async"


class LoopThread:
    """An event loop in a thread of its own."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, name="event-loop", daemon=True)
        self._thread.start()

    def run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """Runs a coroutine in the loop, and waits for it; an exception is raised here."""
        if threading.current_thread() is self._thread:
            coroutine.close()
            raise AssertionError("the loop's own thread would wait for itself: this test is of one face only")
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result()

    def close(self) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()


class AwaitedDB:
    """An `AsyncDB` whose verbs wait: each is a coroutine, which runs in the loop of another thread."""

    def __init__(self, loop: LoopThread, db: AsyncDB) -> None:
        self._loop = loop
        self._async_db = db

    def __getattr__(self, name: str) -> Any:
        verb = getattr(self._async_db, name)
        if not inspect.iscoroutinefunction(verb):
            return verb

        @functools.wraps(verb)
        def awaited(*args: Any, **kwargs: Any) -> Any:
            return self._loop.run(verb(*args, **kwargs))

        return awaited

    def iter_messages(self, *args: Any, **kwargs: Any) -> AwaitedIterator:
        return AwaitedIterator(self._loop, self._async_db.iter_messages(*args, **kwargs))

    def tether(self, *args: Any, **kwargs: Any) -> Any:
        """Plain functions stay plain; coroutine functions are awaited wherever the test does."""
        tether: Any = getattr(self._async_db, "tether")(*args, **kwargs)  # noqa: B009 - any arguments
        if args and callable(args[0]):
            return self._waiting(args[0], tether)

        def decorator(function: Callable[..., Any]) -> Any:
            return self._waiting(function, tether(function))

        return decorator

    def _waiting(self, function: Callable[..., Any], tethered: Any) -> Any:
        if inspect.iscoroutinefunction(function):
            return tethered

        @functools.wraps(tethered)
        def waiting(*args: Any, **kwargs: Any) -> Any:
            return self._loop.run(tethered(*args, **kwargs))

        return waiting

    def __enter__(self) -> Self:
        self._loop.run(self._async_db.__aenter__())
        return self

    def __exit__(self, *error: Any) -> None:
        self._loop.run(self._leave(error))

    async def _leave(self, error: tuple[Any, Any, Any]) -> None:
        try:
            await self._async_db.__aexit__(*error)
        except BaseException as raised:
            # As in an `async with` block, where the error of the body is being handled meanwhile.
            if raised.__context__ is None:
                raised.__context__ = error[1]
            raise

    def __repr__(self) -> str:
        return repr(self._async_db)

    def __reduce__(self) -> Any:
        return self._async_db.__reduce__()


class AwaitedIterator:
    """Its async iterator, likewise."""

    def __init__(self, loop: LoopThread, messages: AsyncIterator[Any]) -> None:
        self._loop = loop
        self._messages = messages

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Any:
        end = object()

        async def following() -> Any:
            return await anext(self._messages, end)

        entry = self._loop.run(following())
        if entry is end:
            raise StopIteration
        return entry

"""``AsyncDB``: every verb of ``DB`` as a coroutine, over the same engine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast, overload

from TetherDB._async_iterator import MessageIterator, NoMessages
from TetherDB._calls import Calls
from TetherDB._tetherdb import DB

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable, Mapping
    from os import PathLike
    from types import TracebackType
    from typing import Literal, ParamSpec, Protocol, Self, TypeVar

    from TetherDB._tetherdb import Receipt, Slices
    from TetherDB.types import Config, FailedMessage, KeysPage, MessagesPage, Returned, Stats, Storable, Value

    _P = ParamSpec("_P")
    _D = TypeVar("_D")

    class _Tether(Protocol):
        """Wraps a function so that what it returns is stored; the wrapper gives whether it was."""

        # First, since a function without annotations fits both, and seldom is `async def`.
        @overload
        def __call__(
            self, function: Callable[_P, Returned], /
        ) -> Callable[_P, Coroutine[Any, Any, bool]]: ...
        @overload
        def __call__(
            self, function: Callable[_P, Coroutine[Any, Any, Returned]], /
        ) -> Callable[_P, Coroutine[Any, Any, bool]]: ...


class AsyncDB:
    """A key-value store for coroutines: the verbs of DB, to be awaited.

    config, config_file, on_error: as for DB. The constructor is no coroutine. It connects to nothing, but a
    ``queue_batch.journal`` is opened and read in it.

    Works under asyncio and uvloop. One handle serves any number of event loops, also in several threads.
    No call blocks its loop: SQLite, the network and a full queue are waited for elsewhere, without a thread
    for each call. Cancelling a coroutine gives up waiting: what has not begun is not done, what has begun is
    finished.

    >>> import asyncio
    >>> from TetherDB import AsyncDB
    >>> async def main():
    ...     async with AsyncDB() as db:
    ...         await db.write_message("alice", {"name": "Alice"})
    ...         return await db.read_message("alice")
    >>> asyncio.run(main())
    {'name': 'Alice'}
    """

    def __init__(
        self,
        config: Config | Mapping[str, Any] | str | PathLike[str] | None = None,
        config_file: str | PathLike[str] | None = None,
        *,
        on_error: Callable[[str, Value, str, Exception], object] | None = None,
    ) -> None:
        self._db = DB(config, config_file, on_error=on_error)
        self._calls = Calls(self._db)
        self._verbs = self._calls.verbs

    async def write_message(
        self, key: str, value: Storable, bucket: str = "", backend: str = "local", queue: bool = False
    ) -> bool:
        """Write a message and return once the backend has it; ``queue=True``: once it is queued.

        As ``DB.write_message``. Of several coroutines that write one key at once, the last that was begun
        wins.
        """
        if queue is False:
            return await self._calls.write(key, value, bucket, backend)
        if queue is not True:
            refused = TypeError(f"queue must be a bool, got {type(queue).__name__}. Write True or False.")
            return self._verbs.settle("write_message", backend, refused, False, bucket, key)
        accepted = await self._calls.queue("write_message", key, value, bucket, backend, False)
        return cast("bool", accepted)

    @overload
    async def write_queue_message(
        self,
        key: str,
        value: Storable,
        bucket: str = "",
        backend: str = "local",
        *,
        receipt: Literal[False] = False,
    ) -> bool: ...
    # As in DB: with errors: "log" it may be False.
    @overload
    async def write_queue_message(
        self, key: str, value: Storable, bucket: str = "", backend: str = "local", *, receipt: Literal[True]
    ) -> Receipt | Any: ...
    async def write_queue_message(
        self,
        key: str,
        value: Storable,
        bucket: str = "",
        backend: str = "local",
        *,
        receipt: bool = False,
    ) -> bool | Receipt:
        """Queue a message for the background worker; where the queue is full, wait for room.

        As ``DB.write_queue_message``. ``receipt=True``: a Receipt, to be awaited.
        """
        return await self._calls.queue("write_queue_message", key, value, bucket, backend, receipt)

    @overload
    async def read_message(
        self, key: str, bucket: str = "", backend: str = "local", default: None = None
    ) -> Value | None: ...
    @overload
    async def read_message(self, key: str, bucket: str, backend: str, default: _D) -> Value | _D: ...
    @overload
    async def read_message(
        self, key: str, bucket: str = "", backend: str = "local", *, default: _D
    ) -> Value | _D: ...
    async def read_message(
        self, key: str, bucket: str = "", backend: str = "local", default: Any = None
    ) -> Any:
        """Read a value, or ``default`` if the key does not exist. As ``DB.read_message``."""
        value = await self._calls.wait(self._verbs.read_message, key, bucket, backend)
        return default if value is None else value

    async def update_message(
        self, key: str, value: Storable, bucket: str = "", backend: str = "local"
    ) -> bool:
        """Replace the value of a key that exists, atomically; whether it did. As ``DB.update_message``."""
        existed: bool = await self._calls.wait(self._verbs.update_message, key, value, bucket, backend)
        return existed

    async def delete_message(self, key: str, bucket: str = "", backend: str = "local") -> bool:
        """Delete a key; whether it existed. As ``DB.delete_message``."""
        existed: bool = await self._calls.wait(self._verbs.delete_message, key, bucket, backend)
        return existed

    async def write_messages(
        self,
        items: Mapping[str, Storable] | Iterable[tuple[str, Storable]],
        bucket: str = "",
        backend: str = "local",
    ) -> int:
        """Write many messages now; how many keys. As ``DB.write_messages``.

        Other tasks go on while the items are taken in, so they must not change them meanwhile.
        """
        try:
            gathering = await self._calls.gather(self._verbs.gather_messages(items, bucket))
        except Exception as error:
            return self._verbs.settle("write_messages", backend, error, 0)
        count: int = await self._calls.wait(self._verbs.write_messages, gathering, backend)
        return count

    async def read_messages(
        self, keys: Iterable[str], bucket: str = "", backend: str = "local"
    ) -> dict[str, Value]:
        """Read many values; those that exist. As ``DB.read_messages``."""
        found: dict[str, Value] = {}
        try:
            gathering = await self._calls.gather(self._verbs.gather_keys(keys, bucket))
        except Exception as error:
            return self._verbs.settle("read_messages", backend, error, found)
        await self._calls.fill(found, await self._calls.wait(self._verbs.read_messages, gathering, backend))
        return found

    async def delete_messages(self, keys: Iterable[str], bucket: str = "", backend: str = "local") -> int:
        """Delete many keys; how many existed. As ``DB.delete_messages``."""
        try:
            gathering = await self._calls.gather(self._verbs.gather_keys(keys, bucket))
        except Exception as error:
            return self._verbs.settle("delete_messages", backend, error, 0)
        count: int = await self._calls.wait(self._verbs.delete_messages, gathering, backend)
        return count

    async def list_messages(
        self,
        page_size: int = 10,
        start_after: str | None = None,
        bucket: str = "",
        backend: str = "local",
    ) -> MessagesPage:
        """List stored texts, a page at a time. As ``DB.list_messages``."""
        page: MessagesPage = await self._page("messages", "texts", page_size, start_after, bucket, backend)
        return page

    async def list_keys(
        self,
        page_size: int = 10,
        start_after: str | None = None,
        bucket: str = "",
        backend: str = "local",
    ) -> KeysPage:
        """List keys, a page at a time. As ``DB.list_keys``."""
        page: KeysPage = await self._page("keys", "keys", page_size, start_after, bucket, backend)
        return page

    async def _page(self, name: str, *arguments: Any) -> Any:
        slices: Slices | None = await self._calls.wait(self._verbs.page, *arguments)
        entries: list[str] = []
        await self._calls.fill(entries, slices)
        return {name: entries, "next_marker": None if slices is None else slices.next_marker}

    def iter_messages(
        self, bucket: str = "", backend: str = "local", page_size: int = 1000
    ) -> MessageIterator:
        """Iterate over (key, value) pairs: ``async for key, value in db.iter_messages():``.

        As ``DB.iter_messages``: pages are fetched as they are needed.
        """
        try:
            self._verbs.check_iter(bucket, backend, page_size)
        except Exception as error:
            return self._verbs.settle("iter_messages", backend, error, NoMessages())
        return MessageIterator(self._calls, bucket, backend, page_size)

    async def ping(self, backend: str = "local") -> float:
        """Measure a round trip to a backend, in seconds; raises what is wrong. As ``DB.ping``."""
        seconds: float = await self._calls.wait(self._verbs.ping, backend)
        return seconds

    async def flush(self, timeout: float | None = None) -> None:
        """Wait until everything queued before this call is delivered. As ``DB.flush``.

        timeout: seconds, or None for as long as it takes. Raises FlushTimeout, and DeliveryError with what
        was given up.
        """
        await self._calls.wait(self._verbs.flush, timeout)
        await self._calls.log_lines()

    async def stats(self) -> dict[str, Stats]:
        """The accounts of every backend's queue. As ``DB.stats``."""
        accounts: dict[str, Stats] = await self._calls.wait(self._verbs.stats)
        return accounts

    async def failed_messages(self, backend: str | None = None) -> list[FailedMessage]:
        """What was given up and is kept. As ``DB.failed_messages``."""
        failed: list[FailedMessage] = []
        await self._calls.fill(failed, await self._calls.wait(self._verbs.failed_messages, backend))
        return failed

    async def retry_failed(self, backend: str | None = None) -> int:
        """Queue again what was given up; how many. As ``DB.retry_failed``."""
        count: int = await self._calls.wait(self._verbs.retry_failed, backend)
        return count

    async def drop_failed(self, backend: str | None = None) -> int:
        """Forget what was given up; how many. As ``DB.drop_failed``."""
        count: int = await self._calls.wait(self._verbs.drop_failed, backend)
        return count

    async def start(self) -> None:
        """Start the background worker. As ``DB.start``."""
        await self._calls.wait(self._verbs.start, False)

    async def stop(self, timeout: float | None = None) -> None:
        """Deliver what is queued, then close everything. As ``DB.stop``.

        timeout: seconds, or None for as long as it takes; what is not delivered by then is in
        ``DeliveryError.failed``.
        """
        await self._calls.wait(self._verbs.stop, timeout)
        await self._calls.log_lines()

    @overload
    def tether(self, bucket: Callable[_P, Returned]) -> Callable[_P, Coroutine[Any, Any, bool]]: ...
    @overload
    def tether(
        self, bucket: Callable[_P, Coroutine[Any, Any, Returned]]
    ) -> Callable[_P, Coroutine[Any, Any, bool]]: ...
    @overload
    def tether(
        self,
        bucket: str = "",
        wait: bool = True,
        backend: str = "local",
        *,
        key: str | None = None,
        queue: bool | None = None,
    ) -> _Tether: ...
    def tether(
        self,
        bucket: Any = "",
        wait: bool = True,
        backend: str = "local",
        *,
        key: str | None = None,
        queue: bool | None = None,
    ) -> Any:
        """Store what a function returns: ``{"key": optional str, "value": str or dict}``.

        ``def`` or ``async def``, it becomes a coroutine function, which gives whether it was stored. As
        ``DB.tether``.
        """
        return self._verbs.tether(bucket, wait, backend, key, queue)

    async def __aenter__(self) -> Self:
        await self._calls.wait(self._verbs.start, True)
        return self

    async def __aexit__(
        self,
        _type: type[BaseException] | None,
        _value: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        await self.stop()

    def __repr__(self) -> str:
        return repr(self._db).replace("<TetherDB.DB", "<TetherDB.AsyncDB", 1)

    def __reduce__(self) -> Any:
        # The handle below says why not.
        return self._db.__reduce__()

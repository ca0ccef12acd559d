"""The extension module: what the engine gives to Python. Import from ``TetherDB`` instead."""

from collections.abc import Awaitable, Callable, Coroutine, Generator, Iterable, Iterator, Mapping
from os import PathLike
from types import TracebackType
from typing import (
    Any,
    Literal,
    ParamSpec,
    Protocol,
    Self,
    TypedDict,
    TypeVar,
    final,
    overload,
    type_check_only,
)

from typing_extensions import disjoint_base

from TetherDB._mapping import MessageMapping

__all__ = ["DB", "MessageIterator", "Receipt", "__version__"]

__version__: str

_P = ParamSpec("_P")
_D = TypeVar("_D")
_Value = str | dict[str, Any]
_Given = str | Mapping[Any, Any]

@type_check_only
class _Messages(TypedDict):
    messages: list[str]
    next_marker: str | None

@type_check_only
class _Keys(TypedDict):
    keys: list[str]
    next_marker: str | None

@type_check_only
class _Stats(TypedDict):
    accepted: int
    pending: int
    in_flight: int
    delivered: int
    replaced: int
    failed: int
    retried: int
    batches: int
    bytes: int
    last_error: str | None

@type_check_only
@final
class Records:
    """The verbs of one bucket, for ``TetherDB._mapping``. They raise whatever ``errors`` says."""

    @property
    def bucket(self) -> str: ...
    @property
    def backend(self) -> str: ...
    def read(self, key: str) -> _Value | None: ...
    def write(self, key: str, value: _Given) -> None: ...
    def write_many(self, items: Iterable[tuple[str, _Given]]) -> int: ...
    def delete(self, keys: Iterable[str]) -> int: ...
    def keys(self, page_size: int, start_after: str | None) -> tuple[list[str], str | None]: ...
    def items(self, page_size: int) -> Iterator[tuple[str, _Value]]: ...

@type_check_only
class _Tether(Protocol):
    """Wraps a function so that what it returns is stored; the wrapper returns whether it was."""

    @overload
    def __call__(
        self, function: Callable[_P, Awaitable[Any]], /
    ) -> Callable[_P, Coroutine[Any, Any, bool]]: ...
    @overload
    def __call__(self, function: Callable[_P, Mapping[str, Any]], /) -> Callable[_P, bool]: ...

@disjoint_base
class DB:
    """A key-value store: a local SQLite file without any configuration; etcd and DynamoDB with one.

    See ``help(TetherDB.DB)`` or the README for every verb.
    """

    def __new__(
        cls,
        config: Mapping[str, Any] | str | PathLike[str] | None = None,
        config_file: str | PathLike[str] | None = None,
        *,
        on_error: Callable[[str, _Value, str, Exception], object] | None = None,
    ) -> Self: ...
    def write_message(
        self, key: str, value: _Given, bucket: str = "", backend: str = "local", queue: bool = False
    ) -> bool:
        """Write a message and return once the backend has it."""
    @overload
    def write_queue_message(
        self,
        key: str,
        value: _Given,
        bucket: str = "",
        backend: str = "local",
        *,
        receipt: Literal[False] = False,
    ) -> bool:
        """Queue a message for the background worker and return at once."""
    @overload
    def write_queue_message(
        self, key: str, value: _Given, bucket: str = "", backend: str = "local", *, receipt: Literal[True]
    ) -> Receipt: ...
    @overload
    def read_message(
        self, key: str, bucket: str = "", backend: str = "local", default: None = None
    ) -> _Value | None:
        """Read a value."""
    @overload
    def read_message(self, key: str, bucket: str, backend: str, default: _D) -> _Value | _D: ...
    @overload
    def read_message(
        self, key: str, bucket: str = "", backend: str = "local", *, default: _D
    ) -> _Value | _D: ...
    def update_message(self, key: str, value: _Given, bucket: str = "", backend: str = "local") -> bool:
        """Replace the value of a key that exists, atomically."""
    def delete_message(self, key: str, bucket: str = "", backend: str = "local") -> bool:
        """Delete a key; whether it existed."""
    def write_messages(
        self,
        items: Mapping[str, _Given] | Iterable[tuple[str, _Given]],
        bucket: str = "",
        backend: str = "local",
    ) -> int:
        """Write many messages now; how many keys. The local backend writes all of them, or none."""
    def read_messages(
        self, keys: Iterable[str], bucket: str = "", backend: str = "local"
    ) -> dict[str, _Value]:
        """Read many values; those that exist."""
    def delete_messages(self, keys: Iterable[str], bucket: str = "", backend: str = "local") -> int:
        """Delete many keys; how many existed."""
    def list_messages(
        self,
        page_size: int = 10,
        start_after: str | None = None,
        bucket: str = "",
        backend: str = "local",
    ) -> _Messages:
        """List stored texts, a page at a time, in key order (DynamoDB: in none)."""
    def list_keys(
        self,
        page_size: int = 10,
        start_after: str | None = None,
        bucket: str = "",
        backend: str = "local",
    ) -> _Keys:
        """List keys, a page at a time, in key order (DynamoDB: in none)."""
    def iter_messages(
        self, bucket: str = "", backend: str = "local", page_size: int = 1000
    ) -> Iterator[tuple[str, _Value]]:
        """Iterate over (key, value) pairs, in key order (DynamoDB: in none)."""
    def ping(self, backend: str = "local") -> float:
        """Measure a round trip to a backend, in seconds."""
    def flush(self, timeout: float | None = None) -> None:
        """Wait until everything queued before this call is delivered."""
    def stats(self) -> dict[str, _Stats]:
        """The accounts of every backend's queue."""
    def _totals(self) -> dict[str, dict[str, float]]: ...
    def failed_messages(self, backend: str | None = None) -> list[tuple[str, _Value, str, str]]:
        """What was given up and is kept."""
    def retry_failed(self, backend: str | None = None) -> int:
        """Queue again what was given up; how many."""
    def drop_failed(self, backend: str | None = None) -> int:
        """Forget what was given up; how many."""
    def start(self) -> None:
        """Start the background worker."""
    def stop(self, timeout: float | None = None) -> None:
        """Deliver what is queued, then close everything."""
    @overload
    def tether(self, bucket: Callable[_P, Awaitable[Any]]) -> Callable[_P, Coroutine[Any, Any, bool]]:
        """Store what a function returns."""
    @overload
    def tether(self, bucket: Callable[_P, Mapping[str, Any]]) -> Callable[_P, bool]: ...
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
    def mapping(self, bucket: str = "", backend: str = "local") -> MessageMapping:
        """The records of a bucket as a mapping that works like a dict."""
    def _log_error(self, text: str) -> None: ...
    @staticmethod
    def _new_key() -> str: ...
    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        _type: type[BaseException] | None,
        value: BaseException | None,
        _traceback: TracebackType | None,
        /,
    ) -> None: ...

@final
class Receipt:
    """Tells how one queued message ended. Can be awaited."""

    def done(self) -> bool:
        """Whether the message has been delivered or given up."""
    def wait(self, timeout: float | None = None) -> bool:
        """Wait for the end: True once delivered, False if the timeout passed first; raises why it failed."""
    def exception(self) -> Exception | None:
        """Why the message was given up; None if it was delivered or has not ended."""
    def __await__(self) -> Generator[Any, None, bool]: ...

@final
class MessageIterator:
    """A lazy iterator of (key, value) pairs, from ``DB.iter_messages``."""

    def __iter__(self) -> Self: ...
    def __next__(self) -> tuple[str, _Value]: ...

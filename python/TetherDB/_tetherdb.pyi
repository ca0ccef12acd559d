"""The extension module: what the engine gives to Python. Import from ``TetherDB`` instead."""

from asyncio import AbstractEventLoop, Future
from collections.abc import Callable, Coroutine, Generator, Iterable, Iterator, Mapping
from os import PathLike
from pathlib import Path
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
from TetherDB.types import Config, FailedMessage, KeysPage, MessagesPage, Returned, Stats, Storable, Value

__all__ = [
    "DB",
    "AsyncVerbs",
    "Gathering",
    "MessageIterator",
    "Post",
    "Receipt",
    "Slices",
    "__version__",
    "config_schema",
    "drop_failed_from_journal",
    "inspect_config",
    "look_into_journal",
    "records",
]

__version__: str

def config_schema() -> str:
    """The JSON Schema of a configuration file: what `make schema` writes into the package."""

# What the command line is made of.

@type_check_only
class _Inspected(TypedDict):
    local: Path
    backends: list[str]
    journal: Path | None

@type_check_only
class _Look(TypedDict):
    owner: int | None
    messages: list[tuple[str, str, str, str | None]]
    damaged: int

def inspect_config(
    config: Config | Mapping[str, Any] | str | PathLike[str] | None = None,
    config_file: str | PathLike[str] | None = None,
) -> _Inspected:
    """What a configuration says, once it is checked as ``DB`` checks it. Opens nothing."""

def look_into_journal(path: str | PathLike[str]) -> _Look:
    """The messages of a journal as (key, text, backend, error or None), whoever owns it."""

def drop_failed_from_journal(path: str | PathLike[str], backend: str | None = None) -> int:
    """Drops the given-up messages from a journal that nobody owns; how many they were. Delivers nothing."""

def records(db: DB, bucket: str, backend: str) -> Records:
    """The records of one bucket of one backend."""

_P = ParamSpec("_P")
_D = TypeVar("_D")

@type_check_only
@final
class Records:
    """The verbs of one bucket, for ``db.mapping`` and the command line. They raise whatever ``errors`` says."""

    @property
    def bucket(self) -> str: ...
    @property
    def backend(self) -> str: ...
    def read(self, key: str) -> Value | None: ...
    def write(self, key: str, value: Storable) -> None: ...
    def write_many(self, items: Iterable[tuple[str, Storable]]) -> int: ...
    def delete(self, keys: Iterable[str]) -> int: ...
    def keys(self, page_size: int, start_after: str | None) -> tuple[list[str], str | None]: ...
    def items(self, page_size: int) -> Iterator[tuple[str, Value]]: ...
    def texts(self, page_size: int, start_after: str | None) -> tuple[list[tuple[str, str]], str | None]: ...
    def read_texts(self, keys: Iterable[str]) -> list[str | None]: ...

@type_check_only
class _Tether(Protocol):
    """Wraps a function so that what it returns is stored; the wrapper returns whether it was."""

    # First, since a function without annotations fits both, and seldom is `async def`.
    @overload
    def __call__(self, function: Callable[_P, Returned], /) -> Callable[_P, bool]: ...
    @overload
    def __call__(
        self, function: Callable[_P, Coroutine[Any, Any, Returned]], /
    ) -> Callable[_P, Coroutine[Any, Any, bool]]: ...

@disjoint_base
class DB:
    """A key-value store: a local SQLite file, opened with no configuration at all, and etcd or DynamoDB where the
    configuration has a section for it.

    config: a mapping, or the path (str or os.PathLike) of a JSON file. config_file: such a path. With
    neither, the embedded default: the file "localdb" in the working directory.
    on_error: called as on_error(key, value, backend, exception) for every queued message that is given up.

    Opening checks the whole configuration and connects to nothing; the first write creates the file. With
    queue_batch.journal it opens or creates that file, and sends at once what an earlier process left in it. Any
    number of threads may share one DB, any number of processes one store. As a context manager it starts the
    background worker and, on leaving, delivers what is queued and closes everything.

    Raises ConfigError, which names every problem by the path of its key; ValueError if both arguments are
    given; TypeError if one is of another type.

    >>> from TetherDB import DB
    >>> with DB({"local": {"filepath": "example.db"}}) as db:
    ...     db.write_message("alice", {"name": "Alice"}, bucket="users")
    ...     db.read_message("alice", bucket="users")
    True
    {'name': 'Alice'}
    """

    def __new__(
        cls,
        config: Config | Mapping[str, Any] | str | PathLike[str] | None = None,
        config_file: str | PathLike[str] | None = None,
        *,
        on_error: Callable[[str, Value, str, Exception], object] | None = None,
    ) -> Self: ...
    def write_message(
        self, key: str, value: Storable, bucket: str = "", backend: str = "local", queue: bool = False
    ) -> bool:
        """Write a message and return once the backend has it.

        key: a non-empty str. bucket: a str; the stored key is "bucket:key", or the key alone without a bucket.
        backend: "local" (the default), "dynamodb" or "etcd".
        value: a str, or a dict, which is stored as exactly the text json.dumps gives it.
        queue: True makes this call write_queue_message.

        Returns True. A message of the same key that is still queued is sent first. Raises TypeError or ValueError
        for a wrong key or value, LimitExceeded for one that is too large, BackendNotConfigured, and BackendError
        or one of its kinds when the backend fails: OperationTimeout where another process keeps the file locked, or
        where a server does not answer, which leaves open whether it was written.

        >>> db.write_message("alice", {"name": "Alice"}, bucket="users")
        True
        """
    @overload
    def write_queue_message(
        self,
        key: str,
        value: Storable,
        bucket: str = "",
        backend: str = "local",
        *,
        receipt: Literal[False] = False,
    ) -> bool:
        """Queue a message for the background worker and return at once.

        key: a non-empty str. bucket: a str; the stored key is "bucket:key", or the key alone without a bucket.
        backend: "local" (the default), "dynamodb" or "etcd".
        value: a str, or a dict, which is stored as exactly the text json.dumps gives it.
        receipt: True returns a Receipt, which tells how the message ended, instead of True.
        With errors: "log" what cannot be queued returns False, as ever.

        Returns True once it is queued; starts the worker if need be. With queue_batch.journal it is in that file
        first, and on disk where queue_batch.journal_sync says so: "always", the default. Batches go out when queue_batch.size
        messages wait, or the first has waited queue_batch.timeout seconds. A full queue makes the call wait, or
        raises QueueFull if queue_batch.when_full is "raise". Raises TypeError, ValueError, LimitExceeded and
        BackendNotConfigured as write_message does; what goes wrong later is told by flush, stop, on_error, the
        log, the receipt and failed_messages. With a journal also BackendError, if its disk is full or fails, and
        ConfigError in a forked child: then nothing was queued.

        >>> db.write_queue_message("bob", {"name": "Bob"}, bucket="users")
        True
        >>> db.flush()
        """
    # Any, not bool: only with errors: "log" it may be False, and all others need not ask.
    @overload
    def write_queue_message(
        self, key: str, value: Storable, bucket: str = "", backend: str = "local", *, receipt: Literal[True]
    ) -> Receipt | Any: ...
    @overload
    def write_queue_message(
        self, key: str, value: Storable, bucket: str = "", backend: str = "local", *, receipt: bool
    ) -> bool | Receipt: ...
    @overload
    def read_message(
        self, key: str, bucket: str = "", backend: str = "local", default: None = None
    ) -> Value | None:
        """Read a value.

        key: a non-empty str. bucket: a str; the stored key is "bucket:key", or the key alone without a bucket.
        backend: "local" (the default), "dynamodb" or "etcd".
        default: what to return when the key does not exist.

        Returns a dict where the stored text is a JSON object, else the str as it was written. What is queued and
        not yet delivered is not seen. Raises TypeError or ValueError for a wrong key, and BackendError, also for
        a record of another program's that is not UTF-8.

        >>> db.read_message("nobody", bucket="users", default="nothing")
        'nothing'
        """
    @overload
    def read_message(self, key: str, bucket: str, backend: str, default: _D) -> Value | _D: ...
    @overload
    def read_message(
        self, key: str, bucket: str = "", backend: str = "local", *, default: _D
    ) -> Value | _D: ...
    def update_message(self, key: str, value: Storable, bucket: str = "", backend: str = "local") -> bool:
        """Replace the value of a key that exists, atomically.

        key: a non-empty str. bucket: a str; the stored key is "bucket:key", or the key alone without a bucket.
        backend: "local" (the default), "dynamodb" or "etcd".
        value: a str, or a dict, which is stored as exactly the text json.dumps gives it.

        Returns True if the key existed and was replaced, else False, and nothing is written. Raises as
        write_message does.

        >>> db.update_message("nobody", {"name": "?"}, bucket="users")
        False
        """
    def delete_message(self, key: str, bucket: str = "", backend: str = "local") -> bool:
        """Delete a key.

        key: a non-empty str. bucket: a str; the stored key is "bucket:key", or the key alone without a bucket.
        backend: "local" (the default), "dynamodb" or "etcd".

        Returns True if it existed. Raises TypeError or ValueError for a wrong key, and BackendError. Where the answer
        of a server was lost, its text says that it may have been done.

        >>> db.delete_message("nobody", bucket="users")
        False
        """
    def write_messages(
        self,
        items: Mapping[str, Storable] | Iterable[tuple[str, Storable]],
        bucket: str = "",
        backend: str = "local",
    ) -> int:
        """Write many messages now.

        items: a mapping, or an iterable of (key, value) pairs. bucket and backend as in write_message.

        Returns the number of keys; a key given twice counts once, and its last value wins. Everything is
        converted and checked first, so an item that cannot be stored is named, by position and key, before
        anything is written. Raises as write_message does. The local backend then has written none. etcd takes up
        to 128 keys and 1.5 MiB in one transaction, DynamoDB each key by itself: where some may have been written, the
        text says how many are known to be.

        >>> db.write_messages({"a": {"n": 1}, "b": {"n": 2}}, bucket="numbers")
        2
        """
    def read_messages(
        self, keys: Iterable[str], bucket: str = "", backend: str = "local"
    ) -> dict[str, Value]:
        """Read many values: in one snapshot of the local file; in etcd and DynamoDB each key at its own moment.

        keys: an iterable of str. bucket and backend as in read_message.

        Returns a dict of those that exist, by the keys as they were given. Raises as read_message does.

        >>> db.write_messages({"a": "1", "b": "2"}, bucket="letters")
        2
        >>> db.read_messages(["a", "b", "c"], bucket="letters")
        {'a': '1', 'b': '2'}
        """
    def delete_messages(self, keys: Iterable[str], bucket: str = "", backend: str = "local") -> int:
        """Delete many keys.

        keys: an iterable of str. bucket and backend as in delete_message.

        Returns how many existed; a key given twice counts once. Raises as delete_message does.

        >>> db.delete_messages(["nobody", "nothing"])
        0
        """
    def list_messages(
        self,
        page_size: int = 10,
        start_after: str | None = None,
        bucket: str = "",
        backend: str = "local",
    ) -> MessagesPage:
        """List stored texts, a page at a time, in key order (DynamoDB: in none).

        page_size: most entries of the page (int, at least 1). start_after: the marker of the page before. bucket:
        only keys "bucket:..."; without it everything is listed. backend as in write_message.

        Returns {"messages": [stored text, ...], "next_marker": str or None}: None on the last page. The texts are
        as they are stored; for values and keys together see iter_messages. Raises TypeError, ValueError and
        BackendError.

        >>> db.write_message("a", {"n": 1}, bucket="listed")
        True
        >>> db.list_messages(bucket="listed")
        {'messages': ['{"n": 1}'], 'next_marker': None}
        """
    def list_keys(
        self,
        page_size: int = 10,
        start_after: str | None = None,
        bucket: str = "",
        backend: str = "local",
    ) -> KeysPage:
        """List keys, a page at a time, in key order (DynamoDB: in none).

        page_size, start_after, bucket and backend as in list_messages.

        Returns {"keys": [...], "next_marker": str or None}. Keys and markers are relative to the bucket asked
        for; without a bucket they are whole stored keys. Raises as list_messages does.

        >>> db.write_messages({"a": "1", "b": "2", "c": "3"}, bucket="paged")
        3
        >>> db.list_keys(page_size=2, bucket="paged")
        {'keys': ['a', 'b'], 'next_marker': 'b'}
        >>> db.list_keys(page_size=2, start_after="b", bucket="paged")
        {'keys': ['c'], 'next_marker': None}
        """
    def iter_messages(
        self, bucket: str = "", backend: str = "local", page_size: int = 1000
    ) -> Iterator[tuple[str, Value]]:
        """Iterate over (key, value) pairs, in key order (DynamoDB: in none), fetching pages as they are needed.

        bucket and backend as in list_messages. page_size: records fetched at once (int, at least 1).

        Returns an iterator. Keys are relative to the bucket; values are as read_message gives them. Records
        written while it runs may or may not be seen. Raises as list_messages does, at the record at fault.

        >>> db.write_messages({"a": "1", "b": {"n": 2}}, bucket="iterated")
        2
        >>> list(db.iter_messages("iterated"))
        [('a', '1'), ('b', {'n': 2})]
        """
    def ping(self, backend: str = "local") -> float:
        """Measure a round trip to a backend, in seconds.

        backend as in write_message. Always raises what is wrong, also with errors: "log". Creates nothing, but
        the table where dynamodb.create_table asks for it.

        >>> db.ping() < 60
        True
        """
    def flush(self, timeout: float | None = None) -> None:
        """Wait until everything queued before this call is delivered.

        timeout: seconds (float), or None for as long as it takes. What waits for its batch to fill is sent at
        once. The local file is checkpointed, so that every reader of it sees everything.

        Raises FlushTimeout when the time is over (the rest stays queued), and DeliveryError with what was given
        up since the last flush or stop that reported it.

        >>> db.write_queue_message("k", "v")
        True
        >>> db.flush(timeout=30)
        """
    def stats(self) -> dict[str, Stats]:
        """The accounts of every backend's queue, consistent in themselves.

        Returns {backend: {"accepted", "pending", "in_flight", "delivered", "replaced", "failed", "retried",
        "batches", "bytes", "last_error"}}: counts since the DB was opened, "bytes" being those of keys and values
        accepted, "last_error" a str or None. At every moment accepted = delivered + failed + replaced + pending;
        what is in flight is part of pending.

        >>> sorted(db.stats()["local"])[:3]
        ['accepted', 'batches', 'bytes']
        """
    def _totals(self) -> dict[str, dict[str, float]]: ...
    def failed_messages(self, backend: str | None = None) -> list[FailedMessage]:
        """What was given up and is kept, of one backend or of all.

        backend: a name, or None for all. Returns a list of (key, value, backend, error text), oldest first: the
        stored key, bucket included, and the value as reading gives it. At most queue_batch.max_pending are kept, and half of
        queue_batch.max_pending_bytes; with queue_batch.journal all, over the end of the program.

        >>> db.failed_messages()
        []
        """
    def retry_failed(self, backend: str | None = None) -> int:
        """Queue again what was given up.

        backend: a name, or None for all. Returns how many.

        >>> db.retry_failed()
        0
        """
    def drop_failed(self, backend: str | None = None) -> int:
        """Forget what was given up, in the journal too. It stays counted as failed.

        backend: a name, or None for all. Returns how many.

        >>> db.drop_failed()
        0
        """
    def start(self) -> None:
        """Start the background worker. Not needed: the first queued message does. Harmless when it runs.

        >>> db.start()
        """
    def stop(self, timeout: float | None = None) -> None:
        """Deliver what is queued, then close everything. Verbs called later open what they need again.

        timeout: seconds (float), or None for as long as it takes. It always closes: what is not delivered in time
        is given up, and comes back in DeliveryError. Calls of write_queue_message that wait for room end with
        QueueFull.

        Raises DeliveryError, whose .failed lists (key, value, backend, exception). With queue_batch.journal what is
        not delivered in time stays in the journal, and FlushTimeout says how many.

        >>> db.stop(timeout=30)
        """
    @overload
    def tether(self, bucket: Callable[_P, Returned]) -> Callable[_P, bool]:
        """Decorator: store what a function returns.

        bucket, backend: where to. wait: True writes and returns once it is stored; False queues. queue: True
        queues, False does not; given, it wins over wait. key: the key to store under. Also bare: @db.tether.
        Arguments, and what is decorated, are checked at once: TypeError, ValueError or BackendNotConfigured.

        The function returns {"key": optional str, "value": str or dict}; without a key a time-ordered UUID
        (version 7) is made. Other keys of it are ignored. With key= given here, a returned dict that is no such
        envelope, or has other keys, is itself the value. The wrapped function returns True once the value is written
        or queued. A return value of the wrong form (a key that is None or empty, too) is logged at ERROR and gives
        False. Storing raises as write_message does; what the function raises passes through. Works on functions,
        methods and async functions, and keeps name, docstring and signature.

        >>> @db.tether(bucket="users")
        ... def create(name):
        ...     return {"key": name, "value": {"name": name}}
        >>> create("alice")
        True
        >>> db.read_message("alice", bucket="users")
        {'name': 'alice'}
        """
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
    def mapping(self, bucket: str = "", backend: str = "local") -> MessageMapping:
        """The records of a bucket as a mapping: a view that works like a dict.

        bucket and backend as in write_message; without a bucket the keys are those of all records, in full.

        Returns a collections.abc.MutableMapping. Reading and writing go to the backend at once; nothing is kept.
        A missing key raises KeyError. len() and a comparison with == read the whole bucket, update() writes with
        one call of write_messages, clear() deletes every record of the bucket. It raises as the verbs do, whatever
        "errors" says: an assignment has no result that could tell of a failure.

        >>> settings = db.mapping("settings")
        >>> settings["theme"] = "dark"
        >>> settings.update(language="en", window={"width": 800})
        >>> settings["window"]["width"], "font" in settings, settings.get("font", "serif")
        (800, False, 'serif')
        >>> sorted(settings)
        ['language', 'theme', 'window']
        >>> settings.clear()
        >>> len(settings)
        0
        """
    def _log_error(self, text: str, backend: str, key: str | None) -> None: ...
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
    """Tells how one queued message ended.

    ``write_queue_message(..., receipt=True)`` gives one. It can be awaited in a coroutine:
    ``await receipt`` gives True once the message is delivered, and raises why it failed otherwise.

    >>> import TetherDB
    >>> with TetherDB.DB() as db:
    ...     receipt = db.write_queue_message("key", {"a": 1}, receipt=True)
    ...     db.flush()
    ...     receipt.done()
    True
    """

    def done(self) -> bool:
        """Whether the message has been delivered or given up. Never waits.

        >>> receipt.done()  # doctest: +SKIP
        True
        """
    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the message is delivered or given up.

        timeout: seconds (float), or None for as long as it takes.

        Returns True once it is delivered, False if the timeout passed first. Raises the error for which
        it was given up; ValueError for a negative timeout; KeyboardInterrupt on Ctrl-C.

        >>> receipt.wait(timeout=5)  # doctest: +SKIP
        True
        """
    def exception(self) -> Exception | None:
        """Why the message was given up; None if it was delivered or has not ended. Never waits.

        >>> receipt.exception()  # doctest: +SKIP
        """
    def __await__(self) -> Generator[Any, None, bool]: ...

@final
class MessageIterator:
    """A lazy iterator of `(key, value)` pairs, from ``DB.iter_messages``."""

    def __iter__(self) -> Self: ...
    def __next__(self) -> tuple[str, Value]: ...

# What AsyncDB is made of.

@final
class Post:
    """Where the outcomes of an event loop's calls arrive."""

    def __new__(cls) -> Self: ...
    @staticmethod
    def notified(event_loop: AbstractEventLoop) -> Post: ...
    def fileno(self) -> int: ...
    def is_ours(self) -> bool: ...
    def deliver(self) -> None: ...
    def expect(self, receipt: Receipt, future: Future[Any]) -> int: ...
    def cancel(self, number: int) -> None: ...
    def __len__(self) -> int: ...

@final
class Gathering:
    """The messages or keys of an iterable, taken in a slice at a time."""

    def step(self) -> bool: ...

@final
class Slices:
    """What a verb has found, given out a slice at a time."""

    @property
    def next_marker(self) -> str | None: ...
    def step(self, target: dict[str, Any] | list[Any]) -> bool: ...
    def pop(self) -> tuple[str, Value] | None: ...

@final
class AsyncVerbs:
    """The verbs of AsyncDB, each of which begins and gives the number of its call."""

    def __new__(cls, db: DB) -> Self: ...
    def try_enqueue(
        self, verb: str, key: str, value: Storable, bucket: str, backend: str, receipt: bool
    ) -> bool | None: ...
    def enqueue(
        self,
        post: Post,
        future: Future[Any],
        verb: str,
        key: str,
        value: Storable,
        bucket: str,
        backend: str,
        receipt: bool,
    ) -> int: ...
    def write_message(
        self, post: Post, future: Future[Any], key: str, value: Storable, bucket: str, backend: str
    ) -> int: ...
    def read_message(self, post: Post, future: Future[Any], key: str, bucket: str, backend: str) -> int: ...
    def update_message(
        self, post: Post, future: Future[Any], key: str, value: Storable, bucket: str, backend: str
    ) -> int: ...
    def delete_message(self, post: Post, future: Future[Any], key: str, bucket: str, backend: str) -> int: ...
    def logs_debug(self) -> bool: ...
    def log_lines(self, last: bool) -> bool: ...
    def log_error(self, text: str, backend: str, key: str | None) -> None: ...
    @staticmethod
    def gather_messages(
        items: Mapping[str, Storable] | Iterable[tuple[str, Storable]], bucket: str
    ) -> Gathering: ...
    @staticmethod
    def gather_keys(keys: Iterable[str], bucket: str) -> Gathering: ...
    def settle(
        self,
        verb: str,
        backend: str,
        error: Exception,
        fallback: _D,
        bucket: str = "",
        key: str | None = None,
    ) -> _D: ...
    def write_messages(self, post: Post, future: Future[Any], gathered: Gathering, backend: str) -> int: ...
    def delete_messages(self, post: Post, future: Future[Any], gathered: Gathering, backend: str) -> int: ...
    def read_messages(self, post: Post, future: Future[Any], gathered: Gathering, backend: str) -> int: ...
    def page(
        self,
        post: Post,
        future: Future[Any],
        what: str,
        page_size: int,
        start_after: str | None,
        bucket: str,
        backend: str,
    ) -> int: ...
    def check_iter(self, bucket: str, backend: str, page_size: int) -> None: ...
    @staticmethod
    def is_for_good(error: Exception) -> bool: ...
    def tether(self, bucket: Any, wait: bool, backend: str, key: str | None, queue: bool | None) -> Any: ...
    def ping(self, post: Post, future: Future[Any], backend: str) -> int: ...
    def flush(self, post: Post, future: Future[Any], timeout: float | None) -> int: ...
    def stop(self, post: Post, future: Future[Any], timeout: float | None) -> int: ...
    def start(self, post: Post, future: Future[Any], raises: bool) -> int: ...
    def stats(self, post: Post, future: Future[Any]) -> int: ...
    def failed_messages(self, post: Post, future: Future[Any], backend: str | None) -> int: ...
    def retry_failed(self, post: Post, future: Future[Any], backend: str | None) -> int: ...
    def drop_failed(self, post: Post, future: Future[Any], backend: str | None) -> int: ...

"""Names for type checkers and editors: the configuration, and what the verbs give.

>>> from TetherDB import DB
>>> from TetherDB.types import Config
>>> config: Config = {"local": {"filepath": "shop"}, "queue_batch": {"size": 50}}
>>> DB(config)
<TetherDB.DB: local 'shop'>

``import TetherDB`` does not import this module. The configuration is typed for programs: numbers are numbers.
``"${NAME}"`` in the place of one works as well, but a program that wants to be checked takes ``os.environ``.
"""

from os import PathLike
from typing import Any, ClassVar, Literal, Protocol, Required, TypeAlias, TypedDict

__all__ = [
    "Config",
    "DynamodbConfig",
    "EtcdConfig",
    "FailedMessage",
    "KeysPage",
    "LocalConfig",
    "MessagesPage",
    "QueueBatchConfig",
    "RetryConfig",
    "Returned",
    "Stats",
    "Storable",
    "Value",
]


class _AnyTypedDict(Protocol):
    """A ``TypedDict`` of any kind: a ``dict`` at run time, and none for type checkers."""

    __required_keys__: ClassVar[frozenset[str]]
    __optional_keys__: ClassVar[frozenset[str]]


Storable: TypeAlias = str | dict[Any, Any] | _AnyTypedDict
"""What can be written: a str or a dict, a TypedDict included. No other Mapping is a value."""

Returned: TypeAlias = dict[str, Any] | _AnyTypedDict
"""What a function under ``tether`` returns."""

Value: TypeAlias = str | dict[str, Any]
"""What reading gives: a dict where the stored text is a JSON object, else the str as it was written."""

FailedMessage: TypeAlias = tuple[str, Value, str, str]
"""What ``failed_messages`` lists: the stored key, the value, the backend, the text of the error."""


class LocalConfig(TypedDict, total=False):
    """The section ``local``."""

    filepath: str | PathLike[str]
    """The file; its folder must exist, and a relative path counts from the working directory."""
    synchronous: Literal["full", "normal", "off"]
    """What a power loss may take: nothing, the latest writes, or the soundness of the file."""
    busy_timeout: float
    """Seconds to wait for another process's lock; then OperationTimeout."""
    mode: str
    """Permission bits of a file that it creates, as octal text, less the umask."""


class DynamodbConfig(TypedDict, total=False):
    """The section ``dynamodb``."""

    table_name: Required[str]
    """The table; its partition key is the string attribute "key"."""
    region: str
    """Where the table is; without it the environment says so, then the profile."""
    endpoint_url: str
    """Another endpoint than that of AWS, such as http://localhost:8000 of DynamoDB Local."""
    profile: str
    """A profile of the AWS configuration files; it wins over keys in the environment."""
    create_table: bool
    """Whether the table is created on first use, with on-demand billing."""
    consistent_read: bool
    """Whether reads see the latest writes; false halves their price."""
    timeout: float
    """Seconds for one request, repetition included."""


class EtcdConfig(TypedDict, total=False):
    """The section ``etcd``."""

    host: str
    """The name or the address of one server."""
    port: int
    """The port of that server."""
    endpoints: list[str] | tuple[str, ...]
    """All members of a cluster, as "host:port" or URLs, instead of host and port."""
    username: str
    """Who asks, where the server wants to know."""
    password: str
    """The password of that user; better "${NAME}" of an environment variable than the text itself."""
    use_ssl: bool
    """Whether TLS is used; an https:// endpoint and a TLS file imply it."""
    ca_cert_file: str | PathLike[str]
    """The PEM file of the authority that signed the server's certificate; without it the system's roots."""
    cert_file: str | PathLike[str]
    """The PEM file of the client's own certificate, for mutual TLS."""
    key_file: str | PathLike[str]
    """The PEM file of that certificate's private key."""
    timeout: float
    """Seconds for one request: connecting, authenticating and other members included."""


class RetryConfig(TypedDict, total=False):
    """``retry`` in the section ``queue_batch``."""

    initial: float
    """Longest pause after the first failure, in seconds; it doubles with each further one."""
    max: float
    """Longest pause of all, in seconds; not shorter than initial."""
    give_up_after: float
    """Seconds after its first failure when a message is given up."""


class QueueBatchConfig(TypedDict, total=False):
    """The section ``queue_batch``."""

    size: int
    """Most messages in one batch; at most 128 go to etcd and 25 to DynamoDB."""
    timeout: float
    """Seconds that a message waits for its batch to fill; 0 waits for nothing."""
    interval: float
    """Another name of timeout; give one of the two."""
    max_pending: int
    """Most messages in the queue, those in flight included."""
    max_pending_bytes: int
    """Most bytes of keys and values in the queue, those in flight included."""
    when_full: Literal["block", "raise"]
    """What a call does that finds the queue full: wait for room, or raise QueueFull."""
    journal: str | PathLike[str]
    """A file that keeps queued messages until they are delivered; without it only memory does."""
    journal_sync: Literal["always", "interval", "never"]
    """When queued messages are on disk: before the call returns, within 0.1 s, or at the system's pace."""
    exit_timeout: float
    """Seconds that the end of the program may spend on delivering."""
    retry: RetryConfig
    """When a failed batch is tried again, and when it is given up."""


# Its key is no name that a class could have.
_Named = TypedDict("_Named", {"$schema": str}, total=False)


class Config(_Named, total=False):
    """A whole configuration."""

    debug: bool
    """Whether the debug lines are written."""
    logging: Literal["debug", "info", "none"]
    """What is logged: the debug lines too, warnings and errors, or nothing."""
    errors: Literal["raise", "log"]
    """What a failed verb does: raise, or log one line and return what means "no"."""
    local: LocalConfig
    """The local backend, one SQLite file; it is always there."""
    dynamodb: DynamodbConfig
    """The DynamoDB backend, one table; credentials are found as in any AWS tool."""
    etcd: EtcdConfig
    """The etcd backend, one server or all members of a cluster."""
    queue_batch: QueueBatchConfig
    """The queue of each backend: its batches, its bounds, its repetitions and its journal."""


class MessagesPage(TypedDict):
    """What ``list_messages`` gives."""

    messages: list[str]
    """The stored texts of one page, as they were written."""
    next_marker: str | None
    """What to pass as start_after for the next page; None on the last one."""


class KeysPage(TypedDict):
    """What ``list_keys`` gives."""

    keys: list[str]
    """The keys of one page, without the bucket that was asked for."""
    next_marker: str | None
    """What to pass as start_after for the next page; None on the last one."""


class Stats(TypedDict):
    """The accounts of one queue; ``stats`` gives those of each backend."""

    accepted: int
    """Messages that the queue took since the DB was opened."""
    pending: int
    """Messages that are neither delivered nor given up, those in flight included."""
    in_flight: int
    """Messages of batches that are under way."""
    delivered: int
    """Messages that were written."""
    replaced: int
    """Always 0 in this version: messages replaced by a newer one of their key before they were sent."""
    failed: int
    """Messages that were given up."""
    retried: int
    """How often a message was sent again after a failure."""
    batches: int
    """Batches sent."""
    bytes: int
    """Bytes of keys and values accepted."""
    last_error: str | None
    """The text of the latest error; None if there was none."""

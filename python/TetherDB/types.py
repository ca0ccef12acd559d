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
from typing import Any, Literal, Required, TypeAlias, TypedDict

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
    "Stats",
    "Value",
]

Value: TypeAlias = str | dict[str, Any]
"""What reading gives: a dict where the stored text is a JSON object, else the str as it was written."""

FailedMessage: TypeAlias = tuple[str, Value, str, str]
"""What ``failed_messages`` lists: the stored key, the value, the backend, the text of the error."""


class LocalConfig(TypedDict, total=False):
    """The section ``local``."""

    filepath: str | PathLike[str]
    synchronous: Literal["full", "normal", "off"]
    busy_timeout: float
    mode: str


class DynamodbConfig(TypedDict, total=False):
    """The section ``dynamodb``."""

    table_name: Required[str]
    region: str
    endpoint_url: str
    profile: str
    create_table: bool
    consistent_read: bool
    timeout: float


class EtcdConfig(TypedDict, total=False):
    """The section ``etcd``."""

    host: str
    port: int
    endpoints: list[str] | tuple[str, ...]
    username: str
    password: str
    use_ssl: bool
    ca_cert_file: str | PathLike[str]
    cert_file: str | PathLike[str]
    key_file: str | PathLike[str]
    timeout: float


class RetryConfig(TypedDict, total=False):
    """``retry`` in the section ``queue_batch``."""

    initial: float
    max: float
    give_up_after: float


class QueueBatchConfig(TypedDict, total=False):
    """The section ``queue_batch``."""

    size: int
    timeout: float
    interval: float
    max_pending: int
    max_pending_bytes: int
    when_full: Literal["block", "raise"]
    journal: str | PathLike[str]
    journal_sync: Literal["always", "interval", "never"]
    exit_timeout: float
    retry: RetryConfig


# Its key is no name that a class could have.
_Named = TypedDict("_Named", {"$schema": str}, total=False)


class Config(_Named, total=False):
    """A whole configuration."""

    debug: bool
    logging: Literal["debug", "info", "none"]
    errors: Literal["raise", "log"]
    local: LocalConfig
    dynamodb: DynamodbConfig
    etcd: EtcdConfig
    queue_batch: QueueBatchConfig


class MessagesPage(TypedDict):
    """What ``list_messages`` gives."""

    messages: list[str]
    next_marker: str | None


class KeysPage(TypedDict):
    """What ``list_keys`` gives."""

    keys: list[str]
    next_marker: str | None


class Stats(TypedDict):
    """The accounts of one queue; ``stats`` gives those of each backend."""

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

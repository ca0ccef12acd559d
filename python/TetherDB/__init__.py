"""TetherDB: one call stores a dict or a str, now or in the background.

>>> from TetherDB import DB
>>> with DB() as db:                                      # the file "localdb" in this folder
...     db.write_message("alice", {"name": "Alice"})      # on disk when it returns
...     db.write_queue_message("bob", {"name": "Bob"})    # on its way; leaving the block delivers it
True
True

The class :class:`DB` holds everything; ``help(DB)`` lists its verbs. What fails raises a
:class:`TetherDBError`, or one of its kinds below.
"""

from TetherDB._exceptions import (
    AuthenticationFailed,
    BackendError,
    BackendNotConfigured,
    ConfigError,
    CorruptStore,
    DeliveryError,
    FlushTimeout,
    LimitExceeded,
    OperationTimeout,
    QueueFull,
    TableMissing,
    TetherDBError,
    Throttled,
    Unavailable,
)
from TetherDB._tetherdb import DB, Receipt, __version__

__all__ = [
    "DB",
    "AuthenticationFailed",
    "BackendError",
    "BackendNotConfigured",
    "ConfigError",
    "CorruptStore",
    "DeliveryError",
    "FlushTimeout",
    "LimitExceeded",
    "OperationTimeout",
    "QueueFull",
    "Receipt",
    "TableMissing",
    "TetherDBError",
    "Throttled",
    "Unavailable",
    "__version__",
]

"""TetherDB: one call stores a dict or a str, now or in the background.

>>> from TetherDB import DB
>>> with DB() as db:                                      # the file "localdb" in this folder
...     db.write_message("alice", {"name": "Alice"})      # on disk when it returns
...     db.write_queue_message("bob", {"name": "Bob"})    # on its way; leaving the block delivers it
True
True

The class :class:`DB` holds everything; ``help(DB)`` lists its verbs. :class:`AsyncDB` has the same verbs as
coroutines. What fails raises a :class:`TetherDBError`, or one of its kinds below.
"""

import sys

# pip installs this on no older Python. Where it came by hand, the imports below would fail in words that do
# not help; so this file stays one that older ones can read.
if sys.version_info < (3, 11):  # noqa: UP036
    raise ImportError(
        "TetherDB needs Python 3.11 or newer, and this is Python %d.%d: run the program with a newer one."  # noqa: UP031
        % sys.version_info[:2]
    )

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

TYPE_CHECKING = False  # as type checkers know it; importing typing would cost half the import time
if TYPE_CHECKING:
    from TetherDB._async_db import AsyncDB

__all__ = [
    "DB",
    "AsyncDB",
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


def __getattr__(name: str) -> object:
    # It needs asyncio, which would take forty times as long to import as all the rest.
    if name == "AsyncDB":
        from TetherDB._async_db import AsyncDB

        globals()[name] = AsyncDB
        return AsyncDB
    raise AttributeError("module %r has no attribute %r" % (__name__, name))  # noqa: UP031


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))

"""What TetherDB raises. Every exception is a :class:`TetherDBError` and, where there is one, the builtin
that fits, so that ``except TimeoutError`` works as well as ``except FlushTimeout``."""

from __future__ import annotations

TYPE_CHECKING = False  # as type checkers know it; importing typing would cost half the import time
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    _FailedMessage = tuple[str, str | dict[str, Any], str, BaseException]


class TetherDBError(Exception):
    """The base of all that TetherDB raises, argument errors (TypeError, ValueError) apart."""


class ConfigError(TetherDBError, ValueError):
    """The configuration is wrong. The text names every problem by the path of its key."""


class BackendNotConfigured(TetherDBError, ValueError):
    """A verb named a backend that has no section in the configuration."""


class LimitExceeded(TetherDBError, ValueError):
    """A key or value is larger than the backend, or the queue, can ever take. Nothing was sent or queued."""


class QueueFull(TetherDBError):
    """The queue is full (``when_full: "raise"``), or was stopped while the call waited for room."""


class FlushTimeout(TetherDBError, TimeoutError):
    """The time given to ``flush`` passed before all was delivered. What is left is still queued."""


class DeliveryError(TetherDBError):
    """Queued messages were given up.

    ``failed`` hands them back: a list of ``(key, value, backend, exception)``, the key with its bucket,
    the value as reading it would give it.
    """

    def __init__(self, message: str, failed: Sequence[_FailedMessage] = ()) -> None:
        super().__init__(message)
        self.failed: list[_FailedMessage] = list(failed)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (str(self), self.failed)


class BackendError(TetherDBError):
    """A backend failed. ``backend`` is its name; ``retryable`` says whether the same call may yet succeed."""

    def __init__(self, message: str, backend: str | None = None, retryable: bool = False) -> None:
        super().__init__(message)
        self.backend = backend
        self.retryable = retryable

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (str(self), self.backend, self.retryable)


class Unavailable(BackendError, ConnectionError):
    """The backend cannot be reached: refused, unreachable, or TLS failed."""


class OperationTimeout(BackendError, TimeoutError):
    """No answer until the deadline. A write may still have happened."""


class AuthenticationFailed(BackendError, PermissionError):
    """Credentials are wrong, missing or insufficient."""


class Throttled(BackendError):
    """The backend asked to slow down until the deadline."""


class TableMissing(BackendError):
    """The table does not exist."""


class CorruptStore(BackendError):
    """The stored data is damaged, or belongs to another program."""


# They are public under the package's name; tracebacks and pickles shall say so.
for _class in [TetherDBError, *TetherDBError.__subclasses__(), *BackendError.__subclasses__()]:
    _class.__module__ = "TetherDB"

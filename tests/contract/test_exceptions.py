"""The exceptions: their bases, their attributes, and what they say."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest

import TetherDB
from TetherDB import (
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

DIRECT: list[tuple[type[Exception], tuple[type[Exception], ...]]] = [
    (TetherDBError, (Exception,)),
    (ConfigError, (TetherDBError, ValueError)),
    (BackendNotConfigured, (TetherDBError, ValueError)),
    (LimitExceeded, (TetherDBError, ValueError)),
    (QueueFull, (TetherDBError,)),
    (FlushTimeout, (TetherDBError, TimeoutError)),
    (DeliveryError, (TetherDBError,)),
    (BackendError, (TetherDBError,)),
    (Unavailable, (BackendError, ConnectionError)),
    (OperationTimeout, (BackendError, TimeoutError)),
    (AuthenticationFailed, (BackendError, PermissionError)),
    (Throttled, (BackendError,)),
    (TableMissing, (BackendError,)),
    (CorruptStore, (BackendError,)),
]
OF_BACKENDS = [kind for kind, _ in DIRECT if issubclass(kind, BackendError)]
OTHERS = [kind for kind, _ in DIRECT if kind not in OF_BACKENDS and kind is not DeliveryError]


@pytest.mark.parametrize(("kind", "bases"), DIRECT, ids=[kind.__name__ for kind, _ in DIRECT])
def test_every_exception_has_the_bases_of_the_contract(
    kind: type[Exception], bases: tuple[type[Exception], ...]
) -> None:
    assert kind.__bases__ == bases


def test_there_is_no_other_exception() -> None:
    named = [getattr(TetherDB, name) for name in TetherDB.__all__]
    found = {thing for thing in named if isinstance(thing, type) and issubclass(thing, BaseException)}
    assert found == {kind for kind, _ in DIRECT}


@pytest.mark.parametrize("kind", [kind for kind, _ in DIRECT])
def test_every_exception_has_a_docstring(kind: type[Exception]) -> None:
    assert kind.__doc__
    assert "__doc__" in vars(kind)


@pytest.mark.parametrize("kind", OTHERS)
def test_an_exception_survives_pickling_and_copying(kind: type[Exception]) -> None:
    error = kind("what failed")
    for twin in (pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):
        assert type(twin) is kind
        assert str(twin) == "what failed"


@pytest.mark.parametrize("kind", OF_BACKENDS)
def test_a_backend_error_keeps_backend_and_retryable_when_pickled_and_copied(kind: Any) -> None:
    error = kind("what failed", "local", True)
    for twin in (error, pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):
        assert type(twin) is kind
        assert str(twin) == "what failed"
        assert twin.backend == "local"
        assert twin.retryable is True


def test_a_delivery_error_keeps_failed_when_pickled_and_copied() -> None:
    inner = OperationTimeout("too long", "local", True)
    error = DeliveryError("what failed", [("k", {"a": 1}, "local", inner)])
    for twin in (error, pickle.loads(pickle.dumps(error)), copy.deepcopy(error)):
        assert type(twin) is DeliveryError
        assert str(twin) == "what failed"
        ((key, value, backend, exception),) = twin.failed
        assert (key, value, backend) == ("k", {"a": 1}, "local")
        assert type(exception) is OperationTimeout
        assert (str(exception), exception.backend, exception.retryable) == ("too long", "local", True)


def test_builtin_families_catch_ours() -> None:
    for kind, builtin in [
        (ConfigError, ValueError),
        (LimitExceeded, ValueError),
        (FlushTimeout, TimeoutError),
        (OperationTimeout, TimeoutError),
        (FlushTimeout, OSError),
        (Unavailable, ConnectionError),
        (AuthenticationFailed, PermissionError),
    ]:
        assert issubclass(kind, builtin)


@pytest.mark.parametrize("kind", [kind for kind, _ in DIRECT])
def test_tracebacks_show_the_public_name(kind: type[Exception]) -> None:
    assert kind.__module__ == "TetherDB"

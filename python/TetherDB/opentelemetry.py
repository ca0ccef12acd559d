"""Metrics of the queue for OpenTelemetry.

>>> from TetherDB import DB
>>> from TetherDB.opentelemetry import instrument
>>> db = DB()
>>> instrument(db)

Needs the package ``opentelemetry-api``: ``pip install opentelemetry-api``.
"""

from __future__ import annotations

import threading
import weakref
from typing import TYPE_CHECKING, Protocol, cast

try:
    from opentelemetry import metrics
except ImportError as _missing:
    raise ImportError(
        "TetherDB.opentelemetry needs the package opentelemetry-api. Install it with "
        "pip install opentelemetry-api.",
        name=_missing.name,
    ) from _missing

from TetherDB import DB, __version__

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    class _Wrapper(Protocol):
        """An ``AsyncDB``: a handle around another one."""

        @property
        def _db(self) -> DB: ...


__all__ = ["instrument"]

_COUNTERS = {
    "accepted": ("tetherdb.queue.accepted", "{message}", "Messages that the queue took."),
    "delivered": ("tetherdb.queue.delivered", "{message}", "Queued messages that were written."),
    "failed": ("tetherdb.queue.failed", "{message}", "Queued messages that were given up."),
    "retried": ("tetherdb.queue.retried", "{message}", "How often a message was sent again after a failure."),
    "delivery_time": (
        "tetherdb.queue.delivery.time",
        "s",
        "Time from queueing to delivery, summed up over all delivered messages.",
    ),
}

_lock = threading.Lock()
# The handles of each provider: one set of instruments for all of them, since two of one name would collide.
_handles: weakref.WeakKeyDictionary[metrics.MeterProvider, list[_Handle]] = weakref.WeakKeyDictionary()
# Those of the global provider, before and after the program has set it.
_handles_of_global: list[_Handle] | None = None


def instrument(db: DB | _Wrapper, *, meter_provider: metrics.MeterProvider | None = None) -> None:
    """Report the accounts of a handle's queues as metrics, for as long as the handle lives.

    ``db`` is a ``DB`` or an ``AsyncDB``; it is not kept alive. Several handles are added up. Doing it again
    changes nothing. ``meter_provider``: where to; without one, the global provider of OpenTelemetry, which
    may be set later.
    """
    handle = getattr(db, "_db", db)
    if not isinstance(handle, DB):
        raise TypeError(f"db must be a DB or an AsyncDB, got {_kind(db)}.")
    if meter_provider is not None and not isinstance(cast("object", meter_provider), metrics.MeterProvider):
        raise TypeError(
            f"meter_provider must be a MeterProvider, got {_kind(meter_provider)}. Pass one of "
            "opentelemetry.sdk.metrics, or leave it out for the global one."
        )
    with _lock:
        handles = _handles_of(meter_provider)
        if not any(known.is_of(handle) for known in handles):
            handles.append(_Handle(handle))


def _kind(value: object) -> str:
    return f"the class {value.__name__}" if isinstance(value, type) else type(value).__name__


def _handles_of(given: metrics.MeterProvider | None) -> list[_Handle]:
    """The handles of a provider, which gets its instruments with the first one."""
    global _handles_of_global
    current = metrics.get_meter_provider()
    provider = current if given is None else given
    handles = _handles.get(provider)
    if handles is None and provider is current:
        handles = _handles_of_global
    if handles is None:
        handles = _create_instruments(provider.get_meter("TetherDB", __version__))
    if provider is current:
        _handles_of_global = handles
    _handles[provider] = handles
    return handles


def _create_instruments(meter: metrics.Meter) -> list[_Handle]:
    """The list of those that the new instruments report, empty yet."""
    handles: list[_Handle] = []
    for account, (name, unit, description) in _COUNTERS.items():
        meter.create_observable_counter(name, [_callback(handles, account)], unit, description)
    meter.create_observable_up_down_counter(
        "tetherdb.queue.pending",
        [_callback(handles, "pending")],
        "{message}",
        "Messages in the queue, neither delivered nor given up.",
    )
    return handles


def _callback(
    handles: list[_Handle], account: str
) -> Callable[[metrics.CallbackOptions], Iterable[metrics.Observation]]:
    def observe(_: metrics.CallbackOptions) -> list[metrics.Observation]:
        sums: dict[str, float] = {}
        for handle in list(handles):
            for backend, totals in handle.totals().items():
                sums[backend] = sums.get(backend, 0) + totals[account]
        return [metrics.Observation(value, {"backend": backend}) for backend, value in sums.items()]

    return observe


class _Handle:
    """A handle, held weakly, and what it has counted so far."""

    def __init__(self, db: DB) -> None:
        self._db = weakref.ref(db)
        self._totals: Mapping[str, Mapping[str, float]] = {}

    def is_of(self, db: DB) -> bool:
        """Whether it is this one."""
        return self._db() is db

    def totals(self) -> Mapping[str, Mapping[str, float]]:
        """The accounts. Those of a handle that is gone stay as they were: a counter must never go back."""
        db = self._db()
        if db is not None:
            self._totals = db._totals()
        else:
            self._totals = {backend: {**totals, "pending": 0} for backend, totals in self._totals.items()}
        return self._totals

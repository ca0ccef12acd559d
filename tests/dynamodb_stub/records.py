"""What the stub saw: every request, how many at once, and which keys met themselves in flight."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

WRITES = ("PutItem", "DeleteItem", "BatchWriteItem")


@dataclass(eq=False)
class Request:
    """One request, and what became of it."""

    number: int
    operation: str
    body: dict[str, Any]
    headers: Mapping[str, str]
    """Under lower-case names."""
    connection: int
    size: int
    """Bytes of the body."""
    keys: tuple[tuple[str, str], ...]
    """The table and the key of every item that it names."""
    at: float = field(default_factory=time.monotonic)
    """When it had arrived, by the monotonic clock."""
    ended: float | None = None
    """When its answer was about to leave, or its connection to be dropped."""
    status: int | None = None
    """The HTTP status of its answer; `None` until there is one, and where none was sent."""
    error: str | None = None
    """The name of the error that it was answered with."""

    @property
    def is_write(self) -> bool:
        """It writes items."""
        return self.operation in WRITES


@dataclass(frozen=True)
class Overlap:
    """A key that was in two requests in flight at once."""

    table: str
    key: str
    first: Request
    second: Request


class Records:
    """The log. All its methods may be called from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._requests: list[Request] = []
        self._overlaps: list[Overlap] = []
        self._in_flight: dict[int, Request] = {}
        self._busy: dict[tuple[str, str], list[Request]] = {}
        self._numbers = 0
        self._most = 0

    def begin(
        self,
        operation: str,
        body: dict[str, Any],
        headers: Mapping[str, str],
        connection: int,
        size: int,
        keys: tuple[tuple[str, str], ...],
    ) -> Request:
        """Notes a request that has arrived."""
        with self._lock:
            self._numbers += 1
            request = Request(self._numbers, operation, body, headers, connection, size, keys)
            self._requests.append(request)
            self._in_flight[request.number] = request
            self._most = max(self._most, len(self._in_flight))
            for key in set(keys):
                others = self._busy.setdefault(key, [])
                self._overlaps += [Overlap(*key, first=other, second=request) for other in others]
                others.append(request)
            return request

    def end(self, request: Request) -> None:
        """Notes that it is about to be answered."""
        with self._lock:
            request.ended = time.monotonic()
            del self._in_flight[request.number]
            for key in set(request.keys):
                self._busy[key].remove(request)
                if not self._busy[key]:
                    del self._busy[key]

    def requests(self, operation: str | None = None) -> list[Request]:
        """All requests so far, in order of arrival."""
        with self._lock:
            return [one for one in self._requests if operation in (None, one.operation)]

    def overlaps(self, writes_only: bool) -> list[Overlap]:
        """The keys that met themselves, in two writes or in any two requests."""
        with self._lock:
            found = self._overlaps[:]
        return [one for one in found if not writes_only or (one.first.is_write and one.second.is_write)]

    @property
    def in_flight(self) -> int:
        """How many requests are in flight."""
        return len(self._in_flight)

    @property
    def most_in_flight(self) -> int:
        """The highest number so far."""
        return self._most

    def clear(self) -> None:
        """Forgets all but what is in flight."""
        with self._lock:
            self._requests.clear()
            self._overlaps.clear()
            self._most = len(self._in_flight)

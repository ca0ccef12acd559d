"""The stub itself: what tests start, script and ask."""

from __future__ import annotations

import json
import time
import uuid
import zlib
from collections.abc import Callable, Mapping
from email.utils import formatdate
from types import TracebackType
from typing import Any, TypeVar

from . import auth
from .errors import ITEM_TOO_LARGE, ApiError, malformed
from .faults import AnswerLate, CutAnswer, Delay, Drop, Fail, Fault, Faults, Hold, Rule, Unprocessed
from .operations import Operations
from .records import Overlap, Records, Request
from .tables import Tables, Write
from .targets import named_keys
from .values import Item, as_map
from .wire import Answer, HttpRequest, HttpServer, encode_answer

CONTENT_TYPE = "application/x-amz-json-1.0"
TARGET = "DynamoDB_20120810."
# As good as for ever: a hold ends by its release, or by closing.
UNTIL_RELEASED = 1e6

F = TypeVar("F")


class DynamoDBStub:
    """A strict DynamoDB in this process, with faults to order. A context manager."""

    def __init__(self, *, create_delay: float = 0, delete_delay: float = 0, service_time: float = 0) -> None:
        self.service_time = service_time
        """Seconds that every request takes, so that concurrency shows. May be changed at any time."""
        self._tables = Tables()
        self._operations = Operations(self._tables, create_delay, delete_delay)
        self._records = Records()
        self._faults = Faults()
        self._required = auth.Required()
        self._server = HttpServer(self._handle)

    def __enter__(self) -> DynamoDBStub:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends all connections and threads, whatever they wait for."""
        self._server.close()

    @property
    def port(self) -> int:
        """Its port on 127.0.0.1."""
        return self._server.port

    @property
    def endpoint(self) -> str:
        """What to give to a client as `endpoint_url`."""
        return f"http://127.0.0.1:{self.port}"

    # What goes wrong.

    def inject(
        self,
        *faults: Fault,
        times: int | None = 1,
        operation: str | None = None,
        when: Callable[[Request], bool] | None = None,
        probability: float = 1,
        seed: int = 0,
    ) -> Rule:
        """Lets faults happen together to the next `times` requests that match; `None`: to all of them.

        Of several rules, the oldest that still applies is taken: rules given one after the other are used up
        one after the other.
        """
        rule = Rule(faults, times, operation, when, probability, seed)
        self._faults.add(rule)
        return rule

    def clear_faults(self) -> None:
        """Nothing goes wrong any more, poison excepted."""
        self._faults.clear()

    def poison(self, table: str, key: str, message: str = ITEM_TOO_LARGE) -> None:
        """Refuses every put of this key, and every batch with one, as the service does with a bad item."""
        with self._tables.lock:
            self._tables.existing(table).poison[key] = message

    def require(
        self,
        *,
        access_key: str | None = None,
        secret_key: str | None = None,
        session_token: str | None = None,
        region: str | None = None,
    ) -> None:
        """From now on takes only these credentials; what is not given may be anything."""
        self._required = auth.Required(access_key, secret_key, session_token, region)

    def drop_connections(self) -> None:
        """Ends all connections, idle ones included."""
        self._server.drop_connections()

    # What is in it.

    def create_table(self, name: str, key: str = "key", sort_key: str | None = None) -> None:
        """An active table at once; its keys are strings."""
        schema = [(attribute, "S") for attribute in (key, sort_key) if attribute is not None]
        with self._tables.lock:
            self._tables.create(name, schema, 0)

    def has_table(self, name: str) -> bool:
        """Whether there is such a table, in whatever state."""
        with self._tables.lock:
            return self._tables.find(name) is not None

    def seed(self, table: str, *items: Item) -> None:
        """Puts items past all checks and all records, as another program would have before the test."""
        with self._tables.lock:
            found = self._tables.existing(table)
            for item in items:
                found.put(0, found.key_of_item(item), item)

    def items(self, table: str) -> dict[str, Item]:
        """The items of a table under their keys: the text of the key, joined to a sort key by "|"."""
        with self._tables.lock:
            return dict(self._tables.existing(table).items)

    def texts(self, table: str, attribute: str = "value") -> dict[str, str]:
        """One string attribute of all items under their keys."""
        return {key: item[attribute]["S"] for key, item in self.items(table).items()}

    def history(self, table: str, key: str) -> list[Write]:
        """Every write that was applied to a key, in that order."""
        with self._tables.lock:
            return self._tables.existing(table).history.get(key, [])[:]

    # What it saw.

    def requests(self, operation: str | None = None) -> list[Request]:
        """All requests that were read so far, in order of arrival."""
        return self._records.requests(operation)

    def overlaps(self, writes_only: bool = True) -> list[Overlap]:
        """Keys that were in two requests in flight at once."""
        return self._records.overlaps(writes_only)

    @property
    def in_flight(self) -> int:
        """How many requests are in flight."""
        return self._records.in_flight

    @property
    def most_in_flight(self) -> int:
        """The highest number of requests that were in flight at once."""
        return self._records.most_in_flight

    @property
    def connections_accepted(self) -> int:
        """How many connections there have been."""
        return self._server.accepted

    @property
    def connections_open(self) -> int:
        """How many connections are open."""
        return self._server.open

    def clear_records(self) -> None:
        """Forgets the requests so far; tables and histories stay."""
        self._records.clear()

    # How a request goes.

    def _handle(self, request: HttpRequest, connection: int) -> Answer:
        content_type = request.headers.get("content-type")
        if request.method != "POST" or content_type not in (CONTENT_TYPE, "application/json"):
            return reply(404, b"<UnknownOperationException/>\n", "text/plain")
        try:
            body = as_map(json.loads(request.body.decode()))
        except (ValueError, ApiError):
            return refusal(malformed())
        target = request.headers.get("x-amz-target", "")
        if not target.startswith(TARGET):
            return refusal(ApiError("UnknownOperationException"))
        operation = target.removeprefix(TARGET)
        with self._tables.lock:
            keys = named_keys(self._tables, operation, body)
        size = len(request.body)
        record = self._records.begin(operation, body, request.headers, connection, size, keys)
        try:
            return self._exchange(record, request)
        finally:
            # Before the answer leaves: the client's next request with this key may come right behind it.
            self._records.end(record)

    def _exchange(self, record: Request, request: HttpRequest) -> Answer:
        faults = self._faults.meet(record)
        self._server.pause(self.service_time)
        self._wait(faults, applied=False)
        drop = pick(faults, Drop)
        if drop is not None and not drop.applied:
            return Answer(ends=True, reset=drop.reset)
        answer = self._answer(record, request, faults)
        self._wait(faults, applied=True)
        cut = pick(faults, CutAnswer)
        if drop is None and cut is None:
            return answer
        record.status = None
        if drop is not None:
            return Answer(ends=True, reset=drop.reset)
        assert cut is not None
        middle = (answer.data.index(b"\r\n\r\n") + 4 + len(answer.data)) // 2
        return Answer(answer.data[: middle if cut.after is None else cut.after], ends=True, reset=cut.reset)

    def _wait(self, faults: tuple[Fault, ...], *, applied: bool) -> None:
        delay = pick(faults, AnswerLate) if applied else pick(faults, Delay)
        if delay is not None:
            self._server.pause(delay.seconds)
        hold = pick(faults, Hold)
        if hold is not None and hold.applied == applied:
            hold.arrive()
            self._server.pause(UNTIL_RELEASED, hold.released)

    def _answer(self, record: Request, request: HttpRequest, faults: tuple[Fault, ...]) -> Answer:
        fail = pick(faults, Fail)
        try:
            auth.check(request, self._required)
            if fail is not None:
                raise fail.error()
            answer = self._operations.run(record, pick(faults, Unprocessed))
        except ApiError as error:
            record.status, record.error = error.status, error.code
            if fail is not None and fail.body is not None:
                return reply(error.status, fail.body, "text/html")
            return refusal(error)
        record.status = 200
        return reply(200, json.dumps(answer, ensure_ascii=False).encode())


def pick(faults: tuple[Fault, ...], kind: type[F]) -> F | None:
    """The fault of one kind, if it is among them."""
    return next((fault for fault in faults if isinstance(fault, kind)), None)


def refusal(error: ApiError) -> Answer:
    """The answer that tells of an error."""
    return reply(error.status, error.body())


def reply(status: int, body: bytes, content_type: str = CONTENT_TYPE) -> Answer:
    """An answer with the headers that the service sends."""
    headers: Mapping[str, Any] = {
        "Server": "Server",
        "Date": formatdate(time.time(), usegmt=True),
        "Content-Type": content_type,
        "Connection": "keep-alive",
        "x-amzn-RequestId": uuid.uuid4().hex.upper(),
        "x-amz-crc32": str(zlib.crc32(body)),
    }
    return Answer(encode_answer(status, headers, body))

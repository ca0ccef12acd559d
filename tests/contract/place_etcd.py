"""An etcd, which another program reaches through its JSON gateway."""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
from typing import TYPE_CHECKING, Any

from fault_proxy import FaultProxy
from servers.etcd import EtcdServer
from servers.process import HOST
from TetherDB import LimitExceeded

from .place import IMPATIENT, PATIENT, SMALL, Place

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path
    from typing import Self

    import pytest

# From the first key to the last.
ALL = {"key": base64.b64encode(b"\0").decode(), "range_end": base64.b64encode(b"\0").decode()}


def encoded(text: str | bytes) -> str:
    """As the gateway takes keys and values."""
    return base64.b64encode(text.encode() if isinstance(text, str) else text).decode()


def decoded(text: str) -> str:
    return base64.b64decode(text).decode()


class Gateway:
    """What takes requests of etcd as JSON, on the port of the server itself."""

    def __init__(self, server: EtcdServer) -> None:
        self._server = server
        self._connection = http.client.HTTPConnection(HOST, server.port, timeout=30)

    def close(self) -> None:
        self._connection.close()

    def call(self, path: str, **body: Any) -> Any:
        """One request, and its answer."""
        self._connection.request("POST", f"/v3/{path}", json.dumps(body))
        answer = self._connection.getresponse()
        data = json.loads(answer.read())
        assert answer.status == http.HTTPStatus.OK, data
        return data

    def clear(self) -> int:
        """Deletes everything; gives the revision of the store."""
        return int(self.call("kv/deleterange", **ALL)["header"]["revision"])

    def events(self, since: int) -> list[dict[str, Any]]:
        """All changes after a revision."""
        latest = int(self.call("kv/range", **ALL, count_only=True)["header"]["revision"])
        events: list[dict[str, Any]] = []
        if latest == since:
            return events
        watch = {"create_request": {**ALL, "start_revision": since + 1}}
        with contextlib.closing(
            http.client.HTTPConnection(HOST, self._server.port, timeout=30)
        ) as connection:
            connection.request("POST", "/v3/watch", json.dumps(watch))
            with connection.getresponse() as answer:
                # It goes on for ever.
                while not events or int(events[-1]["kv"]["mod_revision"]) < latest:
                    events += json.loads(answer.readline())["result"].get("events", [])
        return events


class SmallEtcd(EtcdServer):
    """Takes requests of a few bytes only, unless told otherwise."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, name="small-etcd")
        self._most: int | None = SMALL

    def command(self) -> list[str]:
        bound = [] if self._most is None else [f"--max-request-bytes={self._most}"]
        return [*super().command(), *bound]

    def take(self, most: int | None) -> None:
        """Takes requests of so many bytes, or as many as any other."""
        if most != self._most:
            self._most = most
            self.restart()


class EtcdPlace(Place):
    """See the module."""

    name = "etcd"
    refusal = LimitExceeded
    refusal_says = "request is too large"

    def __init__(self, request: pytest.FixtureRequest) -> None:
        super().__init__({})
        self._request = request
        self._proxy: FaultProxy | None = None
        self._use("etcd", "etcd_gateway")

    def _use(self, server: str, gateway: str) -> None:
        self._server: EtcdServer = self._request.getfixturevalue(server)
        self._gateway: Gateway = self._request.getfixturevalue(gateway)
        self._start = self._gateway.clear()
        # One that is watched, or that may fail, is chosen before.
        assert not self._proxy
        self.section |= self._server.section()

    @classmethod
    def of_test(cls, request: pytest.FixtureRequest) -> Self:
        """The shared server, emptied."""
        return cls(request)

    @property
    def opening_line(self) -> str:
        return f"etcd backend initialized at: {self.section['host']}:{self.section['port']}"

    def close(self) -> None:
        if self._proxy:
            self._proxy.close()

    def everything(self) -> dict[str, str]:
        found = self._gateway.call("kv/range", **ALL).get("kvs", [])
        return {decoded(each["key"]): decoded(each.get("value", "")) for each in found}

    def put(self, key: str, text: str) -> None:
        self._gateway.call("kv/put", key=encoded(key), value=encoded(text))

    def put_unreadable(self, key: str, what: Any) -> None:
        self._gateway.call("kv/put", key=encoded(key), value=encoded(what))

    def put_foreign_key(self) -> None:
        self._gateway.call("kv/put", key=encoded(b"\xff"), value=encoded("v"))

    def delete(self, key: str) -> None:
        self._gateway.call("kv/deleterange", key=encoded(key))

    def keep_history(self) -> None:
        # It does.
        pass

    def history(self, key: str) -> list[str | None]:
        events = [event for event in self._gateway.events(self._start) if decoded(event["kv"]["key"]) == key]
        return [
            None if event.get("type") == "DELETE" else decoded(event["kv"].get("value", ""))
            for event in events
        ]

    def watch(self) -> None:
        self._proxy = self._proxy or FaultProxy(HOST, self._server.port)
        self.section |= {"port": self._proxy.port}

    def held(self) -> int:
        assert self._proxy
        return self._proxy.open

    def refuse_large(self) -> None:
        self._use("small_etcd", "small_etcd_gateway")
        self._small(SMALL)

    def take_large(self) -> None:
        self._small(None)

    def _small(self, most: int | None) -> None:
        assert isinstance(self._server, SmallEtcd)
        self._server.take(most)
        # A server that was restarted has dropped it; it opens itself again.
        self._gateway.close()

    def break_down(self) -> None:
        # Nobody listens there.
        self.section["port"] = 1

    def prepare_outage(self) -> None:
        self.watch()
        self.section["timeout"] = IMPATIENT

    @contextlib.contextmanager
    def outage(self) -> Generator[None]:
        assert self._proxy
        self._proxy.half_open(new=False)
        try:
            yield
        finally:
            self._proxy.drop_all()
            self._proxy.pass_through()

    def prepare_stall(self) -> None:
        self.section["timeout"] = PATIENT

    @contextlib.contextmanager
    def stall(self) -> Generator[None]:
        self._server.pause()
        try:
            yield
        finally:
            self._server.resume()

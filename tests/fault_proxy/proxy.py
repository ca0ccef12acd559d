"""The TCP proxy: every way in which a connection can fail, switched from the test."""

from __future__ import annotations

import asyncio
import socket
from typing import Literal

from .connection import Connection, Hole, Settings, Traffic
from .listener import Listener, end

Fate = Literal["pass", "reset", "hole", "swallow"]


class FaultProxy(Listener):
    """A free port of 127.0.0.1 in front of a server. A context manager.

    A method has done what it says when it returns. What becomes of new connections is decided when they are
    accepted: a connection into a black hole stays there until it is dropped.
    """

    def __init__(self, host: str, port: int, *, capture: int = 0) -> None:
        self._settings = Settings(capture)
        self._fate: Fate = "pass"
        self._traffic: list[Traffic] = []
        self._running: set[Connection | Hole] = set()
        self._open = 0
        self.failed = 0
        """How many connections found no server behind the proxy; their clients were reset."""
        self.aim(host, port)
        super().__init__()

    def aim(self, host: str, port: int) -> None:
        """New connections go to this server."""
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        self._target = (family, address)

    # What becomes of new connections.

    def pass_through(self) -> None:
        """Everything works again: no delay, no reset to come, frozen connections go on, the port is open."""
        self.call(self._pass)

    def refuse(self) -> None:
        """The port is closed, the connections that there are stay; with `drop_all`, the server is down."""
        self.call(self._refuse)

    def black_hole(self, *, swallow: bool = False) -> None:
        """New connections are accepted and never answered; with `swallow`, what they send is read."""
        self.call(self._set_fate, "swallow" if swallow else "hole")

    def reset_new(self) -> None:
        """New connections are accepted and reset at once."""
        self.call(self._set_fate, "reset")

    # What becomes of those that there are.

    def drop_all(self, *, reset: bool = False) -> None:
        """Ends all connections, with FIN or RST."""
        self.call(self._drop_all, reset)

    def freeze(self) -> None:
        """Nothing moves any more on the connections that there are; new ones work."""
        self.call(self._freeze, True)

    def thaw(self) -> None:
        """They go on, with nothing lost."""
        self.call(self._freeze, False)

    def half_open(self, *, new: bool = True) -> None:
        """The server has lost the connections that there are; clients are not told, and get no answer.

        With `new=False` there is no answer on new connections either.
        """
        self.call(self._half_open, new)

    # What holds for all, old and new.

    def delay(self, *, to_server: float = 0, to_client: float = 0) -> None:
        """Every byte takes so many seconds."""
        self._settings.delay_to_server = to_server
        self._settings.delay_to_client = to_client

    def reset_answers(self, *, after: int = 0) -> None:
        """Each connection is reset once so many further bytes of answers have passed."""
        self.call(self._reset_answers, after)

    # What it saw.

    @property
    def open(self) -> int:
        """How many connections are open."""
        return self._open

    @property
    def bytes_from_clients(self) -> int:
        """What clients have sent, as far as it was read."""
        return sum(traffic.client.size for traffic in self._traffic[:])

    @property
    def bytes_from_server(self) -> int:
        """What the server has sent, as far as it was read."""
        return sum(traffic.server.size for traffic in self._traffic[:])

    def sent_by_clients(self) -> list[bytes]:
        """The first `capture` bytes that the client of each connection sent, in order of acceptance."""
        return [bytes(traffic.client.start) for traffic in self._traffic[:]]

    def sent_by_server(self) -> list[bytes]:
        """The first `capture` bytes that the server sent on each."""
        return [bytes(traffic.server.start) for traffic in self._traffic[:]]

    async def serve(self, client: socket.socket) -> None:
        """One connection, from its acceptance to its end."""
        traffic = Traffic()
        self._traffic.append(traffic)
        self._open += 1
        try:
            if self._fate == "reset":
                end(client, reset=True)
                return
            connection = await self._connected(client, traffic)
            self._running.add(connection)
            try:
                await connection.run()
            finally:
                self._running.discard(connection)
        finally:
            self._open -= 1

    async def _connected(self, client: socket.socket, traffic: Traffic) -> Connection | Hole:
        if self._fate != "pass":
            swallow = self._fate == "swallow"
            return Hole(client, traffic.client, self._settings.capture, swallow=swallow)
        family, address = self._target
        server = socket.socket(family, socket.SOCK_STREAM)
        server.setblocking(False)
        try:
            await self._loop.sock_connect(server, address)
            server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except BaseException as error:
            self.failed += isinstance(error, OSError)
            server.close()
            raise
        return Connection(client, server, traffic, self._settings)

    async def _set_fate(self, fate: Fate) -> None:
        self._fate = fate
        await self._listen()

    async def _pass(self) -> None:
        self.delay()
        self._settings.reset_after = None
        await self._freeze(False)
        await self._set_fate("pass")

    async def _drop_all(self, reset: bool) -> None:
        dropped = self._running.copy()
        for connection in dropped:
            connection.finish(reset=reset)
        # Until the last of them is closed.
        while dropped & self._running:
            await asyncio.sleep(0)

    async def _freeze(self, frozen: bool) -> None:
        for connection in self._carrying():
            if frozen:
                connection.freeze()
            else:
                connection.thaw()

    async def _half_open(self, new: bool) -> None:
        for connection in self._carrying():
            await connection.lose_server()
        await self._set_fate("pass" if new else "hole")

    async def _reset_answers(self, after: int) -> None:
        for connection in self._carrying():
            connection.count_answers_anew()
        self._settings.reset_after = after

    def _carrying(self) -> list[Connection]:
        return [one for one in self._running if isinstance(one, Connection)]

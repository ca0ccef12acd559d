"""One connection through the proxy: what it carries, and how it can be stopped."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from .listener import end

CHUNK = 1 << 16
# Chunks under way in one direction.
WINDOW = 64

Parts = asyncio.Queue[tuple[float, bytes]]
Work = Callable[[], Coroutine[Any, Any, None]]


@dataclass
class Settings:
    """What holds for every connection, old or new, and may change at any time."""

    capture: int
    """Bytes kept of what either side of a connection sends."""
    delay_to_server: float = 0
    delay_to_client: float = 0
    reset_after: int | None = None
    """Bytes of answers after which a connection is reset."""


@dataclass
class Tally:
    """What one side of a connection has sent."""

    size: int = 0
    start: bytearray = field(default_factory=bytearray)
    """The bytes that are kept."""

    def add(self, data: bytes, capture: int) -> None:
        """Counts bytes, and keeps the first."""
        self.size += len(data)
        if (room := capture - len(self.start)) > 0:
            self.start += data[:room]


@dataclass
class Traffic:
    """What both sides of a connection have sent."""

    client: Tally = field(default_factory=Tally)
    server: Tally = field(default_factory=Tally)


class Stoppable:
    """A connection that runs until it is told how to end."""

    def __init__(self) -> None:
        # Its value says whether the end is a reset.
        self._ended: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._tasks: list[asyncio.Task[None]] = []

    def finish(self, *, reset: bool) -> None:
        """Ends it, on both sides."""
        if not self._ended.done():
            self._ended.set_result(reset)

    def start(self, *works: Work) -> None:
        """Runs these beside each other; if one fails, the connection is reset."""
        self._tasks = [asyncio.create_task(self._guarded(work)) for work in works]

    async def stop(self) -> None:
        """Ends them: a socket may be closed only once nobody waits for it."""
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def until_ended(self, *sockets: socket.socket) -> None:
        """Waits for the end, and closes all."""
        reset = True
        try:
            reset = await self._ended
        finally:
            try:
                await self.stop()
            finally:
                for sock in sockets:
                    end(sock, reset=reset)

    async def _guarded(self, work: Work) -> None:
        try:
            await work()
        except OSError:
            self.finish(reset=True)
        except Exception as error:
            # Whoever waits for the end tells of it.
            self._ended.set_exception(error)

    async def _swallow(self, client: socket.socket, tally: Tally, capture: int) -> None:
        while data := await asyncio.get_running_loop().sock_recv(client, CHUNK):
            tally.add(data, capture)
        self.finish(reset=False)


class Hole(Stoppable):
    """A client whose server never is: nobody reads what it sends, or nobody cares."""

    def __init__(self, client: socket.socket, tally: Tally, capture: int, *, swallow: bool) -> None:
        super().__init__()
        self._client = client
        if swallow:
            self.start(partial(self._swallow, client, tally, capture))

    async def run(self) -> None:
        """Stays open until it is told to end, or until the client closes what is swallowed."""
        await self.until_ended(self._client)


class Connection(Stoppable):
    """A client and its server: for each direction a task that reads, and one that writes."""

    def __init__(
        self, client: socket.socket, server: socket.socket, traffic: Traffic, settings: Settings
    ) -> None:
        super().__init__()
        self._client, self._server = client, server
        self._traffic = traffic
        self._settings = settings
        self._loop = asyncio.get_running_loop()
        self._moving = asyncio.Event()
        self._moving.set()
        self._answered = 0
        self._ways_ended = 0

    async def run(self) -> None:
        """Carries bytes until both directions have ended, or the connection is told to end."""
        requests, answers = Parts(WINDOW), Parts(WINDOW)
        self.start(
            partial(self._read, self._client, self._traffic.client, requests),
            partial(self._write, self._server, requests),
            partial(self._read, self._server, self._traffic.server, answers),
            partial(self._write, self._client, answers),
        )
        await self.until_ended(self._client, self._server)

    def freeze(self) -> None:
        """Nothing moves, and nobody is told."""
        self._moving.clear()

    def thaw(self) -> None:
        """Goes on where it was frozen."""
        self._moving.set()

    def count_answers_anew(self) -> None:
        """The bytes to a reset are counted from here."""
        self._answered = 0

    async def lose_server(self) -> None:
        """The server's side is gone. The client is not told: what it sends vanishes, and nothing comes."""
        await self.stop()
        if self._ended.done():
            return
        end(self._server, reset=True)
        self.start(partial(self._swallow, self._client, self._traffic.client, self._settings.capture))

    async def _read(self, source: socket.socket, tally: Tally, parts: Parts) -> None:
        data = b"more"
        while data:
            await self._moving.wait()
            data = await self._loop.sock_recv(source, CHUNK)
            tally.add(data, self._settings.capture)
            to_server = source is self._client
            delay = self._settings.delay_to_server if to_server else self._settings.delay_to_client
            # The empty part behind the last tells the writer that this side has ended.
            await parts.put((self._loop.time() + delay, data))

    async def _write(self, target: socket.socket, parts: Parts) -> None:
        while True:
            due, data = await parts.get()
            if (left := due - self._loop.time()) > 0:
                await asyncio.sleep(left)
            await self._moving.wait()
            if not data:
                break
            if target is self._client and await self._reset_is_due(data):
                return
            await self._loop.sock_sendall(target, data)
        target.shutdown(socket.SHUT_WR)
        self._ways_ended += 1
        if self._ways_ended == 2:
            self.finish(reset=False)

    async def _reset_is_due(self, answer: bytes) -> bool:
        """Whether the connection ends within this part of an answer; what comes before is sent."""
        if self._settings.reset_after is None:
            return False
        room = self._settings.reset_after - self._answered
        self._answered += len(answer)
        if len(answer) < room:
            return False
        await self._loop.sock_sendall(self._client, answer[:room])
        self.finish(reset=True)
        return True

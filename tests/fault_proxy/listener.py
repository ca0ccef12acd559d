"""A loopback port, and an event loop in a thread of its own that serves it."""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any, Self, TypeVar

# Longer than anything that a loop has to do at once.
PATIENCE = 5

T = TypeVar("T")


def end(sock: socket.socket, *, reset: bool) -> None:
    """Closes a socket, if it is not yet closed: with RST, or with FIN."""
    if reset and sock.fileno() >= 0:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def bound_socket(port: int) -> socket.socket:
    """A socket that has the port but does not listen: who connects to it is refused."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind(("127.0.0.1", port))
    sock.setblocking(False)
    return sock


class Listener:
    """Accepts connections and gives each to `serve`, in a task of its own. A context manager."""

    def __init__(self) -> None:
        self.accepted = 0
        """How many connections there have been."""
        self._socket = bound_socket(0)
        self.port: int = self._socket.getsockname()[1]
        self._listening = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._errors: list[Exception] = []
        self._stop = asyncio.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name=type(self).__name__, daemon=True)
        self._thread.start()
        self.call(self._listen)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def address(self) -> str:
        """What to connect to, as `host:port`."""
        return f"127.0.0.1:{self.port}"

    def close(self) -> None:
        """Ends every connection and the thread."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join(PATIENCE)
        assert not self._thread.is_alive(), "the thread of a proxy did not end"
        if self._errors:
            raise ExceptionGroup("a proxy has a bug", self._errors)

    async def serve(self, client: socket.socket) -> None:
        """What becomes of a connection. It owns the socket and closes it."""
        raise NotImplementedError

    def call(self, work: Callable[..., Awaitable[T]], *arguments: Any) -> T:
        """Runs a coroutine function in the loop, from another thread."""

        async def run() -> T:
            return await work(*arguments)

        return asyncio.run_coroutine_threadsafe(run(), self._loop).result(PATIENCE)

    def _run(self) -> None:
        try:
            self._loop.run_until_complete(self._until_stopped())
        finally:
            self._loop.close()

    async def _until_stopped(self) -> None:
        await self._stop.wait()
        await self._refuse()
        self._socket.close()
        # A task that is cancelled before it began cannot close its socket.
        await asyncio.sleep(0)
        while others := asyncio.all_tasks() - {asyncio.current_task()}:
            for task in others:
                task.cancel()
            await asyncio.wait(others)

    async def _listen(self) -> None:
        if self._listening:
            return
        self._socket.listen(1024)
        self._listening = True
        self._loop.add_reader(self._socket, self._accept)

    async def _refuse(self) -> None:
        if not self._listening:
            return
        self._loop.remove_reader(self._socket)
        # Nothing else keeps the port to be had again; between the two it is free for a moment.
        self._socket.close()
        self._socket = bound_socket(self.port)
        self._listening = False

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._socket.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return
            self.accepted += 1
            client.setblocking(False)
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            task = asyncio.create_task(self._served(client))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _served(self, client: socket.socket) -> None:
        try:
            await self.serve(client)
        except OSError:
            # The other side may go at any moment.
            pass
        except Exception as error:
            self._errors.append(error)
        finally:
            end(client, reset=True)

"""HTTP/1.1 over sockets, with connections that can be ended at any byte."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import BinaryIO

# The service reads no larger request.
LARGEST_BODY = 16 * 1024 * 1024
REASONS = {200: "OK", 400: "Bad Request", 404: "Not Found", 413: "Payload Too Large"}


class Closing(Exception):
    """The server closes: whatever was waiting gives up."""


class TooLarge(Exception):
    """A request's body is larger than the service reads."""


@dataclass(frozen=True)
class HttpRequest:
    """A request as it came."""

    method: str
    path: str
    headers: Mapping[str, str]
    """Under lower-case names."""
    body: bytes


@dataclass(frozen=True)
class Answer:
    """What to send, and whether the connection ends with it."""

    data: bytes = b""
    ends: bool = False
    reset: bool = False


Handler = Callable[[HttpRequest, int], Answer]


def read_request(stream: BinaryIO) -> HttpRequest | None:
    """The next request of a connection; `None` once the client has closed it."""
    start = stream.readline().decode("latin-1").split()
    if len(start) != 3:
        return None
    headers: dict[str, str] = {}
    while line := stream.readline().decode("latin-1").strip():
        name, _, value = line.partition(":")
        headers[name.strip().lower()] = value.strip()
    given = headers.get("content-length", "0")
    if not given.isdecimal():
        return None
    length = int(given)
    if length > LARGEST_BODY:
        # Read to its end: a client that is still sending would get a reset instead of the answer.
        while length > 0 and (part := stream.read(min(length, 1 << 20))):
            length -= len(part)
        raise TooLarge
    body = stream.read(length)
    return HttpRequest(start[0], start[1], headers, body) if len(body) == length else None


def encode_answer(status: int, headers: Mapping[str, str], body: bytes) -> bytes:
    """An answer as it goes over the line."""
    lines = [f"HTTP/1.1 {status} {REASONS.get(status, 'Error')}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    lines += [f"Content-Length: {len(body)}", "", ""]
    return "\r\n".join(lines).encode("latin-1") + body


def reset_on_close(sock: socket.socket) -> None:
    """Closing it sends RST, not FIN."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


class HttpServer:
    """A thread for each connection, on a free loopback port."""

    def __init__(self, handler: Handler) -> None:
        self._handler = handler
        self._lock = threading.Lock()
        self._connections: dict[threading.Thread, socket.socket] = {}
        self._closing = threading.Event()
        self.accepted = 0
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.port: int = self._listener.getsockname()[1]
        self._acceptor = threading.Thread(target=self._accept, name="stub-acceptor", daemon=True)
        self._acceptor.start()

    @property
    def open(self) -> int:
        """How many connections are open."""
        with self._lock:
            return len(self._connections)

    def pause(self, seconds: float, until: threading.Event | None = None) -> None:
        """Waits, or until an event; closing ends it at once."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0 and not (until is not None and until.is_set()):
            # Two events cannot be waited for at once.
            if self._closing.wait(left if until is None else 0.005):
                raise Closing

    def drop_connections(self) -> None:
        """Ends all connections, idle or not, as a restart of the service would."""
        with self._lock:
            for sock in self._connections.values():
                with contextlib.suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Ends everything within a second; a thread that stays is an error."""
        if not self._closing.is_set():
            self._closing.set()
            # Not on every system does closing wake the thread that waits for a connection; one does.
            socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
        self._acceptor.join(1)
        self._listener.close()
        self.drop_connections()
        deadline = time.monotonic() + 1
        with self._lock:
            threads = list(self._connections)
        for thread in threads:
            thread.join(max(0, deadline - time.monotonic()))
        assert not any(thread.is_alive() for thread in [self._acceptor, *threads]), "a thread did not end"

    def _accept(self) -> None:
        while True:
            sock, _ = self._listener.accept()
            if self._closing.is_set():
                sock.close()
                return
            self.accepted += 1
            thread = threading.Thread(
                target=self._serve, args=(sock, self.accepted), name=f"stub-{self.accepted}", daemon=True
            )
            with self._lock:
                self._connections[thread] = sock
            thread.start()

    def _serve(self, sock: socket.socket, number: int) -> None:
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with sock, sock.makefile("rb") as stream, contextlib.suppress(OSError, Closing):
                while self._exchange(sock, stream, number):
                    pass
        finally:
            with self._lock:
                del self._connections[threading.current_thread()]

    def _exchange(self, sock: socket.socket, stream: BinaryIO, number: int) -> bool:
        """Answers one request; false ends the connection."""
        try:
            request = read_request(stream)
        except TooLarge:
            sock.sendall(encode_answer(413, {"Connection": "close"}, b""))
            return False
        if request is None:
            return False
        answer = self._handler(request, number)
        if answer.reset:
            reset_on_close(sock)
        sock.sendall(answer.data)
        return not answer.ends

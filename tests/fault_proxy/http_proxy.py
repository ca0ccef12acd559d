"""An HTTP proxy that serves nothing: it proves that nobody, or who, goes through a proxy."""

from __future__ import annotations

import asyncio
import contextlib
import socket

from .listener import Listener, end

ANSWER = b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
LARGEST_HEAD = 1 << 16


class RecordingHttpProxy(Listener):
    """Notes every request or CONNECT and answers 502. A context manager."""

    def __init__(self) -> None:
        self.requests: list[str] = []
        """The request lines without the version, as "CONNECT example.com:443"."""
        super().__init__()

    @property
    def url(self) -> str:
        """What to give as HTTP_PROXY."""
        return f"http://{self.address}"

    async def serve(self, client: socket.socket) -> None:
        """One request, and its refusal."""
        head = b""
        while b"\r\n\r\n" not in head and len(head) < LARGEST_HEAD:
            part = await self._loop.sock_recv(client, LARGEST_HEAD)
            if not part:
                return
            head += part
        line = head.partition(b"\r\n")[0].decode("latin-1")
        self.requests.append(line.rpartition(" ")[0])
        await self._loop.sock_sendall(client, ANSWER)
        client.shutdown(socket.SHUT_WR)
        # Closing before the rest of the request is read would reset the connection under the answer.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(1):
                while await self._loop.sock_recv(client, LARGEST_HEAD):
                    pass
        end(client, reset=False)

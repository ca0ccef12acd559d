"""Small servers on the loopback: where credentials come from on AWS, and TLS in front of the stub."""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import threading
import time
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self

    from servers.certificates import KeyPair

ROLE = "tester"


class Asked(NamedTuple):
    """One request."""

    method: str
    path: str
    headers: dict[str, str]
    """Under lower-case names."""


class Keys(NamedTuple):
    """Credentials that expire, as AWS gives them to programs."""

    access_key: str
    secret_key: str
    token: str
    seconds: float = 3600

    def body(self) -> str:
        """As a container or an instance has them."""
        return json.dumps(
            {
                "Code": "Success",
                "Type": "AWS-HMAC",
                "LastUpdated": moment(-60),
                "AccessKeyId": self.access_key,
                "SecretAccessKey": self.secret_key,
                "Token": self.token,
                "Expiration": moment(self.seconds),
            }
        )

    def process_output(self) -> str:
        """As a `credential_process` prints them."""
        return json.dumps(
            {
                "Version": 1,
                "AccessKeyId": self.access_key,
                "SecretAccessKey": self.secret_key,
                "SessionToken": self.token,
                "Expiration": moment(self.seconds),
            }
        )


def moment(seconds: float) -> str:
    """So many seconds from now, as AWS writes it."""
    return (datetime.now(UTC) + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")


class HttpServer:
    """Answers each request with what `respond` makes of it, and remembers them. A context manager."""

    def __init__(self, respond: Callable[[Asked], tuple[int, str]]) -> None:
        self.asked: list[Asked] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler(respond))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def _handler(self, respond: Callable[[Asked], tuple[int, str]]) -> type[BaseHTTPRequestHandler]:
        seen = self.asked

        class Handler(BaseHTTPRequestHandler):
            def answer(self) -> None:
                headers = {name.lower(): value for name, value in self.headers.items()}
                asked = Asked(self.command, self.path, headers)
                seen.append(asked)
                status, text = respond(asked)
                self.send_response(status)
                self.send_header("Content-Type", "application/json" if text.startswith("{") else "text/plain")
                # The metadata service says so with its token; to all others it means nothing.
                self.send_header("X-Aws-Ec2-Metadata-Token-Ttl-Seconds", "21600")
                self.send_header("Content-Length", str(len(text.encode())))
                self.end_headers()
                self.wfile.write(text.encode())

            do_GET = do_PUT = answer  # noqa: N815

            def log_message(self, format: str, *_: Any) -> None:  # noqa: A002
                pass

        return Handler


def container(keys: Callable[[], Keys], authorization: str | None = None) -> HttpServer:
    """What gives a container its credentials."""

    def respond(asked: Asked) -> tuple[int, str]:
        if authorization is not None and asked.headers.get("authorization") != authorization:
            return 401, json.dumps({"code": "Unauthorized", "message": "wrong authorization"})
        return 200, keys().body()

    return HttpServer(respond)


def instance(keys: Callable[[], Keys], region: str) -> HttpServer:
    """The metadata service of an instance, version 2."""
    documents: dict[str, Callable[[], str]] = {
        "/latest/meta-data/placement/region": lambda: region,
        "/latest/meta-data/iam/security-credentials/": lambda: ROLE,
        f"/latest/meta-data/iam/security-credentials/{ROLE}": lambda: keys().body(),
    }

    def respond(asked: Asked) -> tuple[int, str]:
        if (asked.method, asked.path) == ("PUT", "/latest/api/token"):
            return 200, "metadata-token"
        if asked.headers.get("x-aws-ec2-metadata-token") != "metadata-token":
            return 401, "no token"
        document = documents.get(asked.path)
        return (404, "not found") if document is None else (200, document())

    return HttpServer(respond)


class Tls:
    """A port that speaks TLS and hands on to another port. A context manager."""

    def __init__(self, certificate: KeyPair, port: int) -> None:
        self._target = port
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificate.public, certificate.private)
        self._listener = socket.create_server(("0.0.0.0", 0))
        self._sockets: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._closing = False
        self.accepted = 0
        """How many connections there have been."""

    @property
    def port(self) -> int:
        """Its port, on all addresses of this machine."""
        port: int = self._listener.getsockname()[1]
        return port

    def __enter__(self) -> Self:
        self._start(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        self._closing = True
        socket.create_connection(("127.0.0.1", self.port), timeout=5).close()
        self._threads[0].join()
        self._listener.close()
        for sock in self._sockets.copy():
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(5)

    def _start(self, work: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=work, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            client, _ = self._listener.accept()
            if self._closing:
                client.close()
                return
            self.accepted += 1
            self._sockets.add(client)
            self._start(self._serve, client)

    def _serve(self, plain: socket.socket) -> None:
        with contextlib.suppress(OSError):
            plain.settimeout(10)
            with self._context.wrap_socket(plain, server_side=True) as client:
                self._sockets.add(client)
                with socket.create_connection(("127.0.0.1", self._target), timeout=10) as server:
                    self._exchange(client, server)

    def _exchange(self, client: ssl.SSLSocket, server: socket.socket) -> None:
        """Half duplex is enough: a request, then its answer, each in parts that come soon."""
        client.settimeout(0.02)
        server.settimeout(0.02)
        idle = time.monotonic()
        while not self._closing and time.monotonic() - idle < 30:
            for source, target in ((client, server), (server, client)):
                with contextlib.suppress(TimeoutError):
                    data = source.recv(65536)
                    if not data:
                        return
                    idle = time.monotonic()
                    target.sendall(data)

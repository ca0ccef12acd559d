"""The fault proxy does what it is told, and nothing else; it leaves no thread and no socket behind."""

from __future__ import annotations

import contextlib
import http.client
import socket
import threading
import time
import urllib.error
import urllib.request
from typing import TYPE_CHECKING

import pytest

from fault_proxy import FaultProxy, RecordingHttpProxy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# Long enough for what must not happen to happen.
QUIET = 0.15
CONNECTIONS = 200


class EchoServer:
    """Sends back what it gets; to "close" it answers "bye" and closes its side."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.port: int = self._listener.getsockname()[1]
        self._sockets: list[socket.socket] = []
        self._closed = False
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def _accept(self) -> None:
        with self._listener:
            while not self._closed:
                sock, _ = self._listener.accept()
                self._sockets.append(sock)
                self._threads.append(threading.Thread(target=self._serve, args=(sock,)))
                self._threads[-1].start()

    def _serve(self, sock: socket.socket) -> None:
        with sock, contextlib.suppress(OSError):
            while data := sock.recv(1 << 16):
                sock.sendall(b"bye" if data == b"close" else data)
                if data == b"close":
                    return
            # The client has said its last; the server still has something to say.
            sock.sendall(b"last words")

    @property
    def connections(self) -> int:
        return len(self._sockets)

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        # Wakes it, to see that it is closed; unless somebody else has.
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", self.port), timeout=5).close()
        self._threads[0].join(5)
        for sock in self._sockets:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(5)


@pytest.fixture
def server() -> Iterator[EchoServer]:
    echo = EchoServer()
    yield echo
    echo.close()


@pytest.fixture
def proxy(server: EchoServer) -> Iterator[FaultProxy]:
    with FaultProxy("127.0.0.1", server.port, capture=1000) as opened:
        yield opened
        closing = time.monotonic()
    assert time.monotonic() - closing < 1
    assert not [thread for thread in threading.enumerate() if thread.name == "FaultProxy"]


@pytest.fixture
def connect(proxy: FaultProxy) -> Iterator[Callable[[], socket.socket]]:
    opened: list[socket.socket] = []

    def connect_one() -> socket.socket:
        opened.append(socket.create_connection(("127.0.0.1", proxy.port), timeout=5))
        return opened[-1]

    yield connect_one
    for sock in opened:
        sock.close()


def ask(sock: socket.socket, question: bytes) -> bytes:
    sock.sendall(question)
    return receive(sock, len(question))


def receive(sock: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size and (part := sock.recv(size - len(data))):
        data += part
    return data


def assert_silent(sock: socket.socket) -> None:
    """No answer, no end."""
    sock.settimeout(QUIET)
    with pytest.raises(TimeoutError):
        sock.recv(1)
    sock.settimeout(5)


def assert_reset(sock: socket.socket) -> None:
    with pytest.raises(ConnectionResetError):
        sock.recv(1)


def test_bytes_pass(
    proxy: FaultProxy, connect: Callable[[], socket.socket], eventually: Callable[..., None]
) -> None:
    sock = connect()
    assert ask(sock, b"hello") == b"hello"
    assert proxy.accepted == proxy.open == 1
    assert (proxy.bytes_from_clients, proxy.bytes_from_server) == (5, 5)
    sock.close()
    eventually(lambda: proxy.open == 0)


def test_large_amounts_pass_unchanged(proxy: FaultProxy, connect: Callable[[], socket.socket]) -> None:
    sock = connect()
    data = bytes(range(256)) * 20_000
    sender = threading.Thread(target=sock.sendall, args=(data,))
    sender.start()
    assert receive(sock, len(data)) == data
    sender.join()
    assert proxy.bytes_from_server == len(data)


def test_a_client_may_close_its_side_first(connect: Callable[[], socket.socket]) -> None:
    sock = connect()
    assert ask(sock, b"hello") == b"hello"
    sock.shutdown(socket.SHUT_WR)
    assert receive(sock, 100) == b"last words"


def test_a_server_may_close_first(connect: Callable[[], socket.socket]) -> None:
    sock = connect()
    sock.sendall(b"close")
    assert receive(sock, 100) == b"bye"


def test_hundreds_of_connections(
    proxy: FaultProxy, connect: Callable[[], socket.socket], eventually: Callable[..., None]
) -> None:
    sockets = [connect() for _ in range(CONNECTIONS)]
    for number, sock in enumerate(sockets):
        sock.sendall(b"%06d" % number)
    assert [receive(sock, 6) for sock in sockets] == [b"%06d" % number for number in range(CONNECTIONS)]
    assert proxy.open == CONNECTIONS
    proxy.drop_all()
    assert proxy.open == 0
    assert all(sock.recv(1) == b"" for sock in sockets)


def test_refused_and_open_again_on_the_same_port(
    proxy: FaultProxy, connect: Callable[[], socket.socket]
) -> None:
    old = connect()
    assert ask(old, b"a") == b"a"
    for _ in range(3):
        proxy.refuse()
        proxy.refuse()
        with pytest.raises(ConnectionRefusedError):
            connect()
        assert ask(old, b"still there") == b"still there"
        proxy.pass_through()
        assert ask(connect(), b"b") == b"b"


def test_a_server_that_is_down_and_up_again(proxy: FaultProxy, connect: Callable[[], socket.socket]) -> None:
    old = connect()
    assert ask(old, b"a") == b"a"
    proxy.refuse()
    proxy.drop_all(reset=True)
    assert_reset(old)
    with pytest.raises(ConnectionRefusedError):
        connect()
    proxy.pass_through()
    assert ask(connect(), b"b") == b"b"


def test_no_server_behind_it(
    proxy: FaultProxy, server: EchoServer, connect: Callable[[], socket.socket]
) -> None:
    server.close()
    with pytest.raises(ConnectionResetError):
        connect().recv(1)
    assert proxy.failed == 1
    with contextlib.closing(EchoServer()) as other:
        proxy.aim("localhost", other.port)
        assert ask(connect(), b"hello") == b"hello"


def test_a_black_hole(
    proxy: FaultProxy,
    server: EchoServer,
    connect: Callable[[], socket.socket],
    eventually: Callable[..., None],
) -> None:
    old = connect()
    assert ask(old, b"a") == b"a"
    proxy.black_hole()
    new = connect()
    new.sendall(b"hello")
    assert_silent(new)
    assert proxy.bytes_from_clients == 1, "somebody read from the black hole"
    assert ask(old, b"b") == b"b"
    assert server.connections == 1
    proxy.pass_through()
    assert_silent(new)
    assert ask(connect(), b"c") == b"c"
    eventually(lambda: proxy.open == 3)
    proxy.drop_all()
    assert_ended(new)


def assert_ended(sock: socket.socket) -> None:
    """By FIN, or by the RST that a system sends for bytes that nobody read."""
    with contextlib.suppress(ConnectionResetError):
        assert sock.recv(1) == b""


def test_a_black_hole_that_swallows(
    proxy: FaultProxy, connect: Callable[[], socket.socket], eventually: Callable[..., None]
) -> None:
    proxy.black_hole(swallow=True)
    sock = connect()
    # More than any buffer on the way holds.
    sock.sendall(bytes(30_000_000))
    eventually(lambda: proxy.bytes_from_clients == 30_000_000)
    assert_silent(sock)
    sock.close()
    eventually(lambda: proxy.open == 0)


@pytest.mark.parametrize("way", ["to_server", "to_client"])
def test_delay(proxy: FaultProxy, connect: Callable[[], socket.socket], way: str) -> None:
    sock = connect()
    assert ask(sock, b"fast") == b"fast"
    if way == "to_server":
        proxy.delay(to_server=0.5)
    else:
        proxy.delay(to_client=0.5)
    start = time.monotonic()
    # In two parts, which must not be delayed one after the other.
    sock.sendall(b"slow")
    time.sleep(0.05)
    assert ask(sock, b"er") == b"sl"
    assert receive(sock, 4) == b"ower"
    assert 0.5 <= time.monotonic() - start < 1
    proxy.pass_through()
    start = time.monotonic()
    assert ask(sock, b"fast") == b"fast"
    assert time.monotonic() - start < 0.5


def test_new_connections_are_reset(proxy: FaultProxy, connect: Callable[[], socket.socket]) -> None:
    old = connect()
    assert ask(old, b"a") == b"a"
    proxy.reset_new()
    # The reset may come before the connection is known to be made, or after.
    with pytest.raises(ConnectionResetError):
        connect().recv(1)
    assert ask(old, b"b") == b"b"
    proxy.pass_through()
    assert ask(connect(), b"c") == b"c"


def test_a_reset_in_the_middle_of_an_answer(proxy: FaultProxy, connect: Callable[[], socket.socket]) -> None:
    old = connect()
    assert ask(old, b"before") == b"before"
    proxy.reset_answers(after=10)
    for sock in (old, connect()):
        assert ask(sock, b"1234") == b"1234"
        sock.sendall(b"567890 and more")
        assert receive(sock, 6) == b"567890"
        assert_reset(sock)
    proxy.pass_through()
    assert ask(connect(), b"more than ten bytes") == b"more than ten bytes"


def test_a_reset_instead_of_an_answer(proxy: FaultProxy, connect: Callable[[], socket.socket]) -> None:
    proxy.reset_answers()
    sock = connect()
    sock.sendall(b"hello")
    assert_reset(sock)


def test_half_open(
    proxy: FaultProxy, connect: Callable[[], socket.socket], eventually: Callable[..., None]
) -> None:
    old = connect()
    assert ask(old, b"a") == b"a"
    proxy.half_open()
    old.sendall(b"hello?")
    assert_silent(old)
    eventually(lambda: proxy.bytes_from_clients == 7)
    assert ask(connect(), b"b") == b"b"
    proxy.half_open(new=False)
    new = connect()
    new.sendall(b"hello?")
    assert_silent(new)
    proxy.pass_through()
    assert_silent(old)
    assert ask(connect(), b"c") == b"c"


def test_frozen_connections_go_on(proxy: FaultProxy, connect: Callable[[], socket.socket]) -> None:
    old = connect()
    assert ask(old, b"a") == b"a"
    proxy.freeze()
    old.sendall(b"kept")
    assert_silent(old)
    assert ask(connect(), b"b") == b"b"
    proxy.thaw()
    assert receive(old, 4) == b"kept"


def test_what_was_sent_is_kept(
    proxy: FaultProxy, connect: Callable[[], socket.socket], eventually: Callable[..., None]
) -> None:
    for word in (b"secret", b"x" * 2000):
        ask(connect(), word)
    assert proxy.sent_by_clients() == [b"secret", b"x" * 1000]
    assert proxy.sent_by_server() == [b"secret", b"x" * 1000]
    assert sum(sent.count(b"secret") for sent in proxy.sent_by_clients()) == 1


def test_closing_with_all_kinds_of_stuck_connections(
    proxy: FaultProxy, connect: Callable[[], socket.socket]
) -> None:
    for make_stuck in (proxy.freeze, proxy.half_open, proxy.black_hole, lambda: proxy.delay(to_server=9)):
        sock = connect()
        sock.sendall(b"hello")
        make_stuck()
        connect().sendall(b"hello")
        proxy.pass_through()
    proxy.freeze()
    proxy.delay(to_client=9)
    connect().sendall(b"hello")
    # The fixture sees to it that the proxy ends at once.


def test_closing_twice(server: EchoServer) -> None:
    proxy = FaultProxy("127.0.0.1", server.port)
    proxy.close()
    proxy.close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", proxy.port), timeout=5)


def test_the_http_proxy_takes_notes() -> None:
    with RecordingHttpProxy() as proxy:
        handler = urllib.request.ProxyHandler({"http": proxy.url})
        opener = urllib.request.build_opener(handler)
        with pytest.raises(urllib.error.HTTPError, match="502") as refusal:
            opener.open("http://127.0.0.1:1/path", data=b"body", timeout=5)
        refusal.value.close()
        tunnel = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=5)
        tunnel.set_tunnel("example.com", 443)
        with pytest.raises(OSError, match="502"):
            tunnel.request("GET", "/")
        tunnel.close()
        assert proxy.requests == ["POST http://127.0.0.1:1/path", "CONNECT example.com:443"]
        assert proxy.accepted == 2

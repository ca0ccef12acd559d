"""TLS and plain ports taken for each other, and certificates of authorities that nobody trusts."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

import pytest

from dynamodb_stub import DynamoDBStub
from process.scripts import run
from TetherDB import OperationTimeout, Unavailable

from .loopback import Tls
from .support import NAME, TABLE, TIMEOUT, every_verb, failure, within

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from servers.certificates import Authority
    from servers.dynamodb import DynamoDb
    from TetherDB import DB


@pytest.fixture
def tls(stub: DynamoDBStub, authority: Authority) -> Iterator[Tls]:
    with Tls(authority.server(), stub.port) as opened:
        yield opened


@every_verb
def test_a_plain_port_spoken_to_with_tls(
    stub: DynamoDBStub, connect: Callable[..., DB], verb: Callable[[DB], object]
) -> None:
    url = stub.endpoint.replace("http", "https")
    # What the port makes of a handshake depends on the random bytes in it: it may wait for the end of a line.
    with within(TIMEOUT), pytest.raises((Unavailable, OperationTimeout)) as caught:
        verb(connect(url))
    assert url in str(caught.value)
    assert isinstance(caught.value, OperationTimeout) or "scheme" in str(caught.value)


def test_a_plain_port_of_dynamodb_local_spoken_to_with_tls(
    dynamodb: DynamoDb, dynamodb_table: str, connect: Callable[..., DB]
) -> None:
    url = dynamodb.url.replace("http", "https")
    error = failure(lambda db: db.ping(NAME), connect(url, table_name=dynamodb_table), Unavailable, names=url)
    assert "scheme" in str(error)


@every_verb
def test_a_tls_port_spoken_to_without(
    tls: Tls, connect: Callable[..., DB], verb: Callable[[DB], object]
) -> None:
    url = f"http://127.0.0.1:{tls.port}"
    error = failure(verb, connect(url), Unavailable, names=url)
    assert "scheme" in str(error)


@every_verb
def test_a_certificate_of_another_authority(
    stub: DynamoDBStub, tls: Tls, connect: Callable[..., DB], verb: Callable[[DB], object]
) -> None:
    url = f"https://localhost:{tls.port}"
    error = failure(verb, connect(url), Unavailable, names=url)
    assert "certificate" in str(error)
    assert stub.requests() == []


PROGRAM = textwrap.dedent("""
    from TetherDB import DB, Unavailable
    db = DB({"local": {"filepath": "x"}, "dynamodb": {"table_name": "messages", "endpoint_url": sys.argv[1]}})
    try:
        print(db.write_message("k", "v", backend="dynamodb"))
    except Unavailable as error:
        print(error)
    db.stop()
""")


def test_a_certificate_of_an_authority_that_the_system_trusts(
    stub: DynamoDBStub, tls: Tls, authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.ca_file))
    assert run(tmp_path, PROGRAM, f"https://localhost:{tls.port}").quiet() == "True\n"
    assert stub.texts(TABLE) == {"k": "v"}


def test_a_certificate_for_another_host(
    stub: DynamoDBStub, authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.ca_file))
    with Tls(authority.server("elsewhere.test"), stub.port) as tls:
        said = run(tmp_path, PROGRAM, f"https://localhost:{tls.port}").quiet()
    assert "certificate" in said
    assert stub.requests() == []

"""The DynamoDB that other tests rely on, and what stands in for it."""

from __future__ import annotations

import socket
import subprocess
import sys
import textwrap
from typing import TYPE_CHECKING

import pytest
from botocore.exceptions import BotoCoreError, ClientError

from server_fixtures import header_lines
from servers import dynamodb as dynamodb_servers
from servers import dynamodb_jars
from servers.dynamodb import DynamoDbLocal, MotoServer, fresh_table_name
from servers.process import HOST, ServerFailed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from servers.dynamodb import DynamoDb


def test_the_dynamodb_keeps_items(dynamodb: DynamoDb, dynamodb_table: str) -> None:
    dynamodb.put(dynamodb_table, "key", "value")
    dynamodb.put(dynamodb_table, "other", "")
    assert dynamodb.get(dynamodb_table, "key") == "value"
    assert dynamodb.get(dynamodb_table, "missing") is None
    assert dynamodb.everything(dynamodb_table) == {"key": "value", "other": ""}
    dynamodb.clear(dynamodb_table)
    assert dynamodb.everything(dynamodb_table) == {}


def test_a_table_can_be_made_and_deleted(dynamodb: DynamoDb) -> None:
    name = fresh_table_name()
    assert dynamodb.create_table(name) == name
    dynamodb.delete_table(name)
    dynamodb.delete_table(name)
    with pytest.raises(ClientError, match="ResourceNotFoundException"):
        dynamodb.get(name, "key")


def test_the_aws_variables_are_enough_for_a_client(dynamodb_table: str, dynamodb: DynamoDb) -> None:
    program = """
        import sys
        from botocore.session import Session
        client = Session().create_client("dynamodb", endpoint_url=sys.argv[1])
        print(client.list_tables()["TableNames"])
    """
    command = [sys.executable, "-c", textwrap.dedent(program), dynamodb.url]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert dynamodb_table in done.stdout, done.stderr


@pytest.mark.skipif(bool(dynamodb_jars.why_not()), reason="DynamoDB Local cannot run here")
def test_dynamodb_local_on_disk_comes_back_with_its_data(tmp_path: Path) -> None:
    with DynamoDbLocal(tmp_path / "dynamodb", on_disk=True) as server:
        table = server.create_table()
        server.put(table, "key", "value")
        server.pause()
        with socket.create_connection((HOST, server.port), timeout=0.3) as connection:
            connection.sendall(b"GET / HTTP/1.1\r\n\r\n")
            with pytest.raises(TimeoutError):
                connection.recv(1)
        server.resume()
        assert server.get(table, "key") == "value"
        server.kill()
        with pytest.raises(BotoCoreError):
            server.get(table, "key")
        server.restart()
        assert server.get(table, "key") == "value"


def test_moto_can_stand_in(tmp_path: Path) -> None:
    with MotoServer(tmp_path / "moto") as server:
        table = server.create_table()
        server.put(table, "key", "value")
        assert server.get(table, "key") == "value"


@pytest.fixture
def without_java(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("PATH", "")
    dynamodb_jars.why_not.cache_clear()
    yield
    dynamodb_jars.why_not.cache_clear()


@pytest.mark.usefixtures("without_java")
def test_without_java_moto_stands_in_and_the_header_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)
    assert dynamodb_servers.what_runs_here() is MotoServer
    [_, line] = header_lines()
    assert line.startswith("dynamodb: moto ")
    assert line.endswith(" stands in, since there is no Java 17 or newer")


@pytest.mark.usefixtures("without_java")
def test_without_java_continuous_integration_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")
    with pytest.raises(ServerFailed, match=r"CI is set, .* there is no Java 17 or newer: install it"):
        dynamodb_servers.what_runs_here()

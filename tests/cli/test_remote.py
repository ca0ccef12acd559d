"""Every command on real servers: an etcd and a DynamoDB."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from TetherDB import DB

from .conftest import Ran

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from servers.dynamodb import DynamoDb
    from servers.etcd import EtcdServer


@pytest.fixture(params=["etcd", "dynamodb"])
def remote(
    request: pytest.FixtureRequest,
    tetherdb: Callable[..., Ran],
    configured: Callable[..., Path],
) -> Callable[..., Ran]:
    """Runs `tetherdb` on an empty backend across a network."""
    backend: str = request.param
    if backend == "etcd":
        etcd: EtcdServer = request.getfixturevalue("clean_etcd")
        section = etcd.section()
    else:
        table: str = request.getfixturevalue("dynamodb_table")
        dynamodb: DynamoDb = request.getfixturevalue("dynamodb")
        section = dynamodb.section(table)
    config = configured(**{backend: section})

    def run(*arguments: str, **more: Any) -> Ran:
        return tetherdb("--config", config, "--backend", backend, *arguments, **more)

    return run


def test_records(remote: Callable[..., Ran]) -> None:
    text = "two\nlines \u20ac"
    assert remote("put", "a", '{"n":1}', "--bucket", "users") == Ran(0, "", "")
    assert remote("put", "b", "--text", "--bucket", "users", stdin=text) == Ran(0, "", "")
    assert remote("put", "c", "x") == Ran(0, "", "")
    assert remote("get", "a", "b", "--bucket", "users") == Ran(0, f'{{"n": 1}}\n{text}\n', "")
    assert remote("update", "a", "2", "--bucket", "users") == Ran(0, "", "")
    missing = remote("update", "nobody", "2", "--bucket", "users")
    assert missing.code == 1
    assert missing.err.startswith('tetherdb: "nobody" does not exist in bucket "users" of ')
    listed = remote("list", "--values", "--json")
    assert sorted(listed.records, key=lambda record: record["key"]) == [
        {"key": "c", "value": "x"},
        {"key": "users:a", "value": "2"},
        {"key": "users:b", "value": text},
    ]
    assert remote("get", "nobody").code == 1
    ended = remote("delete", "a", "nobody", "--bucket", "users", "--json")
    assert ended.records == [{"key": "a", "deleted": True}, {"key": "nobody", "deleted": False}]
    assert remote("list").out.splitlines() in (["c", "users:b"], ["users:b", "c"])


def test_pages_limits_and_prefixes(remote: Callable[..., Ran], tmp_path: Path) -> None:
    config = tmp_path / "config.json"
    [backend] = json.loads(config.read_text())
    with DB(config_file=config) as db:
        db.write_messages({f"n:{number:04}": str(number) for number in range(1_100)}, backend=backend)
        db.write_message("other", "x", backend=backend)
    everything = [f"{number:04}" for number in range(1_100)]

    def listed(*arguments: str) -> list[str]:
        return [record["key"] for record in remote("list", "--bucket", "n", "--json", *arguments).records]

    for more in ([], ["--values"]):
        assert sorted(listed(*more)) == everything
        assert len(listed("--limit", "1001", *more)) == 1001
        assert sorted(listed("--prefix", "001", *more)) == everything[10:20]
        assert len(listed("--prefix", "001", "--limit", "3", *more)) == 3
        # DynamoDB has no order, but a place.
        first = listed(*more)
        assert listed("--start-after", first[499], *more) == first[500:]
    counted = remote("stats", "--count", "--json").records[0]["backends"]
    assert (counted[backend]["records"], counted[backend]["buckets"]) == (1_101, {"": 1, "n": 1_100})
    assert remote("delete", "--all", "--bucket", "n", "--dry-run", "--json").records == [{"records": 1_100}]
    assert remote("delete", "--all", "--bucket", "n", "--yes", "--json").records == [{"records": 1_100}]
    assert remote("list").out == "other\n"


def test_whether_it_answers(remote: Callable[..., Ran]) -> None:
    ended = remote("ping")
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.endswith(" ms\n")
    # Together with the local file, which is always there.
    assert len(remote("ping", "--all", "--json").records) == 2
    assert remote("stats").code == 0


def test_what_the_backend_refuses_is_one_line(remote: Callable[..., Ran]) -> None:
    ended = remote("put", "a", stdin="x" * 5_000_000)
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.count("\n") == 1
    assert "bytes" in ended.err


def test_a_table_that_is_missing(
    tetherdb: Callable[..., Ran], configured: Callable[..., Path], dynamodb: DynamoDb, aws: None
) -> None:
    del aws
    config = configured(dynamodb=dynamodb.section("nowhere"))
    for command in (["get", "a"], ["list"], ["put", "a", "1"], ["ping"]):
        ended = tetherdb(*command, "--config", config, "--backend", "dynamodb")
        assert (ended.code, ended.out) == (3, "")
        assert "dynamodb.create_table" in ended.err
        assert ended.err.count("\n") == 1


def test_a_wrong_password(
    tetherdb: Callable[..., Ran], configured: Callable[..., Path], etcd_auth_simple: EtcdServer
) -> None:
    section = etcd_auth_simple.section() | {"password": "wrong-and-secret"}
    config = configured(etcd=section)
    for more in ([], ["--verbose"]):
        ended = tetherdb("get", "a", "--config", config, "--backend", "etcd", *more)
        assert (ended.code, ended.out) == (3, "")
        assert "authenti" in ended.err.lower()
        assert "wrong-and-secret" not in ended.err

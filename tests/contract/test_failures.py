"""What fails says what it is: the exception, the backend, whether to try again, why, and what to do."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from dynamodb_stub import DynamoDBStub, throttled
from servers.dynamodb import fresh_table_name
from servers.etcd import READER
from TetherDB import (
    DB,
    AuthenticationFailed,
    BackendError,
    ConfigError,
    OperationTimeout,
    TableMissing,
    Throttled,
    Unavailable,
)

from .backends import Backend, over_network
from .place import IMPATIENT, LARGE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from servers.dynamodb import DynamoDb
    from servers.etcd import EtcdServer

    from .place import Place

VERBS: dict[str, Callable[[DB, str], object]] = {
    "write_message": lambda db, on: db.write_message("k", "v", backend=on),
    "read_message": lambda db, on: db.read_message("k", backend=on),
    "update_message": lambda db, on: db.update_message("k", "v", backend=on),
    "delete_message": lambda db, on: db.delete_message("k", backend=on),
    "write_messages": lambda db, on: db.write_messages({"k": "v", "l": "v"}, backend=on),
    "read_messages": lambda db, on: db.read_messages(["k", "l"], backend=on),
    "delete_messages": lambda db, on: db.delete_messages(["k", "l"], backend=on),
    "list_messages": lambda db, on: db.list_messages(backend=on),
    "list_keys": lambda db, on: db.list_keys(backend=on),
    "iter_messages": lambda db, on: list(db.iter_messages(backend=on)),
    "ping": lambda db, on: db.ping(on),
    "tether": lambda db, on: db.tether(backend=on)(lambda: {"key": "k", "value": "v"})(),
}
each_verb = pytest.mark.parametrize("verb", VERBS.values(), ids=VERBS.keys())


@each_verb
@over_network
def test_a_server_that_is_down_is_unavailable_and_said_so_soon(
    verb: Callable[[DB, str], object], broken: Callable[..., DB], backend: Backend
) -> None:
    db = broken()
    begun = time.monotonic()
    with pytest.raises(Unavailable, match="refused") as caught:
        verb(db, backend.name)
    # Long before the timeout, which is seconds.
    assert time.monotonic() - begun < 2
    assert isinstance(caught.value, ConnectionError)
    assert (caught.value.backend, caught.value.retryable) == (backend.name, True)
    assert str(caught.value).startswith(f"{backend.name} backend: ")
    assert "Check" in str(caught.value)


@over_network
def test_no_answer_until_the_deadline_is_an_operation_timeout(
    outage: Callable[[], AbstractContextManager[None]], open_db: Callable[..., DB], backend: Backend
) -> None:
    on = backend.name

    def outcome(verb: Callable[[DB, str], object], db: DB) -> tuple[object, float]:
        begun = time.monotonic()
        try:
            return verb(db, on), 0
        except Exception as error:
            return error, time.monotonic() - begun

    # Each verb has handles of its own: one that has no connection yet, and one that has.
    handles = [(name, open_db()) for name in [*VERBS, *VERBS]]
    for _, db in handles[: len(VERBS)]:
        db.ping(on)
    with outage(), ThreadPoolExecutor(len(handles)) as threads:
        running = [(name, threads.submit(outcome, VERBS[name], db)) for name, db in handles]
    for name, future in running:
        error, seconds = future.result()
        assert type(error) is OperationTimeout, (name, error)
        assert isinstance(error, TimeoutError)
        assert (error.backend, error.retryable) == (on, True), name
        assert f"{on}.timeout" in str(error), name
        # The rest is for a busy machine.
        assert IMPATIENT * 0.9 < seconds < IMPATIENT + 2, name


@pytest.mark.usefixtures("refuse_large")
@pytest.mark.parametrize("verb", ["write_message", "update_message"])
def test_what_the_backend_refuses_says_why_and_names_the_key(
    verb: str, open_db: Callable[..., DB], backend: Backend, place: Place
) -> None:
    db = open_db()
    db.write_message("k", "old", "b", backend.name)
    with pytest.raises(place.refusal, match=place.refusal_says) as caught:
        getattr(db, verb)("k", LARGE, "b", backend.name)
    assert str(caught.value).startswith(f"{backend.name} backend: ")
    assert "'b:k'" in str(caught.value)
    # Nobody wants to read all of it.
    assert len(str(caught.value)) < 1000
    assert db.read_message("k", "b", backend.name) == "old"


@pytest.fixture
def stub(aws: None) -> Iterator[DynamoDBStub]:
    """A DynamoDB that fails as it is told, with a table "t"."""
    with DynamoDBStub() as stub:
        stub.create_table("t")
        yield stub


def stub_section(stub: DynamoDBStub, **more: Any) -> dict[str, Any]:
    return {"table_name": "t", "region": "us-east-1", "endpoint_url": stub.endpoint, "timeout": 1, **more}


def failure(on: str, section: dict[str, Any], folder: Path) -> BackendError:
    """What a read and a write with this section raise; both the same."""
    config = {"local": {"filepath": str(folder / "x")}, on: section}
    with DB(config) as db:
        with pytest.raises(BackendError) as of_read:
            db.read_message("k", backend=on)
        with pytest.raises(BackendError) as of_write:
            db.write_message("k", "v", backend=on)
    assert type(of_read.value) is type(of_write.value)
    assert of_read.value.backend == of_write.value.backend == on
    return of_read.value


def test_a_wrong_password_is_authentication_failed(etcd_auth_simple: EtcdServer, tmp_path: Path) -> None:
    section = {**etcd_auth_simple.section(), "password": "wrong"}
    error = failure("etcd", section, tmp_path)
    assert type(error) is AuthenticationFailed
    assert isinstance(error, PermissionError)
    assert error.retryable is False


def test_a_missing_user_is_authentication_failed(etcd_auth_simple: EtcdServer, tmp_path: Path) -> None:
    section = {key: value for key, value in etcd_auth_simple.section().items() if key in ("host", "port")}
    assert type(failure("etcd", section, tmp_path)) is AuthenticationFailed


def test_a_user_without_the_right_is_authentication_failed(
    etcd_auth_simple: EtcdServer, tmp_path: Path
) -> None:
    config = {"local": {"filepath": str(tmp_path / "x")}, "etcd": etcd_auth_simple.section(READER)}
    with DB(config) as db, pytest.raises(AuthenticationFailed):
        db.write_message("k", "v", backend="etcd")


def test_a_user_given_to_a_server_without_authentication_is_authentication_failed(
    etcd: EtcdServer, tmp_path: Path
) -> None:
    section = {**etcd.section(), "username": "u", "password": "p"}
    assert type(failure("etcd", section, tmp_path)) is AuthenticationFailed


def test_a_broken_handshake_and_a_wrong_certificate_are_unavailable(
    etcd: EtcdServer, etcd_tls: EtcdServer, tmp_path: Path
) -> None:
    to_plain = failure("etcd", {**etcd.section(), "use_ssl": True, "timeout": 1}, tmp_path)
    # Nobody but the suite itself trusts its authority.
    unknown = {"host": etcd_tls.section()["host"], "port": etcd_tls.port, "use_ssl": True, "timeout": 1}
    to_unknown = failure("etcd", unknown, tmp_path)
    assert type(to_plain) is type(to_unknown) is Unavailable
    assert "certificate" in str(to_unknown)


def test_a_broken_handshake_with_dynamodb_is_unavailable(
    dynamodb: DynamoDb, aws: None, tmp_path: Path
) -> None:
    section = {
        **dynamodb.section("t"),
        "endpoint_url": dynamodb.url.replace("http://", "https://"),
        "timeout": 2,
    }
    assert type(failure("dynamodb", section, tmp_path)) is Unavailable


def test_wrong_credentials_are_authentication_failed(stub: DynamoDBStub, tmp_path: Path) -> None:
    stub.require(secret_key="another one")
    error = failure("dynamodb", stub_section(stub), tmp_path)
    assert type(error) is AuthenticationFailed
    assert error.retryable is False


def test_missing_credentials_are_authentication_failed(
    stub: DynamoDBStub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    error = failure("dynamodb", stub_section(stub), tmp_path)
    assert type(error) is AuthenticationFailed
    assert "AWS_ACCESS_KEY_ID" in str(error)


def test_throttled_until_the_deadline_is_throttled(stub: DynamoDBStub, tmp_path: Path) -> None:
    stub.inject(throttled(), times=None)
    error = failure("dynamodb", stub_section(stub), tmp_path)
    assert type(error) is Throttled
    assert error.retryable is True


def test_a_missing_table_is_table_missing(dynamodb: DynamoDb, aws: None, tmp_path: Path) -> None:
    error = failure("dynamodb", dynamodb.section("missing"), tmp_path)
    assert type(error) is TableMissing
    assert "'missing'" in str(error)
    assert "create_table" in str(error)


def test_a_missing_region_is_a_config_error_at_the_first_verb(
    stub: DynamoDBStub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name)
    section = stub_section(stub)
    del section["region"]
    with DB({"local": {"filepath": str(tmp_path / "x")}, "dynamodb": section}) as db:
        for verb in VERBS.values():
            with pytest.raises(ConfigError, match=r"dynamodb\.region"):
                verb(db, "dynamodb")


def test_create_table_makes_the_table_on_first_use(dynamodb: DynamoDb, aws: None, tmp_path: Path) -> None:
    name = fresh_table_name()
    section = {**dynamodb.section(name), "create_table": True}
    try:
        with DB({"local": {"filepath": str(tmp_path / "x")}, "dynamodb": section}) as db:
            assert name not in dynamodb.client.list_tables()["TableNames"]
            db.write_message("k", "v", backend="dynamodb")
        table = dynamodb.client.describe_table(TableName=name)["Table"]
        assert table.get("KeySchema") == [{"AttributeName": "key", "KeyType": "HASH"}]
        assert dynamodb.everything(name) == {"k": "v"}
    finally:
        dynamodb.delete_table(name)

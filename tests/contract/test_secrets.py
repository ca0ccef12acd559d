"""`repr(db)` and no error or log line ever shows a password, key material or AWS secret."""

from __future__ import annotations

import logging
import traceback
from typing import TYPE_CHECKING, Any

import pytest

from dynamodb_stub import DynamoDBStub
from TetherDB import DB, ConfigError, TetherDBError

if TYPE_CHECKING:
    from pathlib import Path

    from servers.etcd import EtcdServer

SECRET = "hunter2-is-the-password"


def shown(error: BaseException) -> str:
    return f"{error!s} {error!r} {''.join(traceback.format_exception(error))}"


@pytest.fixture
def pem(tmp_path: Path) -> str:
    """A certificate and a key in one file."""
    file = tmp_path / "both.pem"
    file.write_text(f"-----BEGIN CERTIFICATE-----\n{SECRET}\n-----BEGIN PRIVATE KEY-----\n{SECRET}\n")
    return str(file)


def test_repr_shows_no_password_and_no_key_material(tmp_path: Path, pem: str) -> None:
    db = DB(
        {
            "local": {"filepath": str(tmp_path / "x")},
            "etcd": {
                "username": "u",
                "password": SECRET,
                "ca_cert_file": pem,
                "cert_file": pem,
                "key_file": pem,
            },
        }
    )
    assert SECRET not in repr(db)
    assert SECRET not in str(db)
    assert SECRET not in str(getattr(db, "__dict__", ""))


def test_repr_names_class_and_file(tmp_path: Path) -> None:
    text = repr(DB({"local": {"filepath": str(tmp_path / "x")}}))
    assert "DB" in text
    assert str(tmp_path / "x") in text


@pytest.mark.parametrize(
    "config",
    [
        {"etcd": {"username": "u", "password": [SECRET]}},
        {"etcd": {"username": "u", "password": {"is": SECRET}}},
        {"etcd": {"username": "u", "passwrod": SECRET}},
        {"etcd": {"password": SECRET}},
        {"etcd": {"username": "u", "password": SECRET, "port": 0}},
        {"etcd": {"username": "u", "password": f"{SECRET}\0"}},
        {"etcd": SECRET},
        {"etcd": {"port": SECRET}},
        {"etcd": {"host": f"user:{SECRET}@node"}},
        {"etcd": {"endpoints": [f"http://user:{SECRET}@node:1"]}},
        {"etcd": {"endpoints": [f"user:{SECRET}@node:1", f"https://user:{SECRET}@node/path"]}},
        {"dynamodb": {"table_name": "t", "endpoint_url": f"user:{SECRET}@node"}},
        {"etcd": {"use_ssl": SECRET}},
        {"logging": SECRET},
        {"local": {"mode": SECRET}},
        {"password": SECRET},
    ],
    ids=repr,
)
def test_no_config_error_shows_a_value_that_may_be_a_secret(config: dict[str, Any]) -> None:
    with pytest.raises(ConfigError) as caught:
        DB(config)
    assert SECRET not in shown(caught.value)


@pytest.mark.parametrize(
    "config",
    [
        {"etcd": {"port": "${TETHERDB_TEST_SECRET}", "username": "${TETHERDB_TEST_SECRET}"}},
        {"etcd": {"host": "${TETHERDB_TEST_SECRET}"}},
        {"etcd": {"endpoints": ["${TETHERDB_TEST_SECRET}"]}},
        {"dynamodb": {"table_name": "t", "endpoint_url": "${TETHERDB_TEST_SECRET}"}},
        {"dynamodb": {"table_name": "t", "timeout": "${TETHERDB_TEST_SECRET}"}},
        {"logging": "${TETHERDB_TEST_SECRET}"},
    ],
    ids=repr,
)
def test_no_config_error_shows_the_value_of_an_environment_variable(
    config: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    # No text that any of these keys takes.
    monkeypatch.setenv("TETHERDB_TEST_SECRET", f"two {SECRET}/words")
    with pytest.raises(ConfigError) as caught:
        DB(config)
    assert SECRET not in shown(caught.value)


def test_no_error_of_broken_json_shows_the_text(tmp_path: Path) -> None:
    file = tmp_path / "config.json"
    file.write_text('{"etcd": {"username": "u", "password": "' + SECRET + '" "host": "h"}}')
    with pytest.raises(ConfigError) as caught:
        DB(file)
    assert SECRET not in shown(caught.value)


def say_everything(db: DB, on: str) -> str:
    """What a handle says whose every verb is refused."""
    said: list[str] = []
    receipt = db.write_queue_message("k", "v", backend=on, receipt=True)
    for verb in (
        lambda: db.ping(on),
        lambda: db.read_message("k", backend=on),
        lambda: db.write_messages({"a": "v", "b": "v"}, backend=on),
        lambda: db.list_keys(backend=on),
        db.flush,
    ):
        with pytest.raises(TetherDBError) as caught:
            verb()
        said.append(shown(caught.value))
    said += [repr(receipt.exception()), repr(db.failed_messages()), repr(db.stats()), repr(db)]
    return "\n".join(said)


QUICK = {"retry": {"initial": 0.01, "max": 0.02, "give_up_after": 0.1}}


@pytest.mark.parametrize("down", [False, True], ids=["refused", "down"])
def test_no_error_of_etcd_and_no_log_line_shows_a_password(
    down: bool, etcd_auth_simple: EtcdServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    section = {**etcd_auth_simple.section(), "password": SECRET, **({"port": 1} if down else {})}
    config = {
        "debug": True,
        "local": {"filepath": str(tmp_path / "x")},
        "etcd": section,
        "queue_batch": QUICK,
    }
    with caplog.at_level(logging.DEBUG), DB(config) as db:
        said = say_everything(db, "etcd")
    assert SECRET not in said
    assert SECRET not in caplog.text
    assert "etcd" in caplog.text
    assert ("refused the user" in said) is not down


@pytest.mark.parametrize("down", [False, True], ids=["refused", "down"])
def test_no_error_of_dynamodb_and_no_log_line_shows_a_secret_of_aws(
    down: bool, aws: None, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("AWS_SESSION_TOKEN", f"token-{SECRET}")
    with DynamoDBStub() as stub, caplog.at_level(logging.DEBUG):
        stub.create_table("t")
        stub.require(secret_key="another one")
        url = "http://127.0.0.1:1" if down else stub.endpoint
        config = {
            "debug": True,
            "local": {"filepath": str(tmp_path / "x")},
            "dynamodb": {"table_name": "t", "region": "us-east-1", "endpoint_url": url},
            "queue_batch": QUICK,
        }
        with DB(config) as db:
            said = say_everything(db, "dynamodb")
    assert SECRET not in said
    assert SECRET not in caplog.text
    assert "dynamodb" in caplog.text
    assert ("AuthenticationFailed" in said) is not down


def test_a_password_in_the_url_of_dynamodb_is_not_shown(aws: None) -> None:
    url = f"http://user:{SECRET}@127.0.0.1:1"
    # A URL with a password may be refused, or used.
    with pytest.raises(TetherDBError) as caught:
        DB({"dynamodb": {"table_name": "t", "endpoint_url": url, "timeout": 1}}).ping("dynamodb")
    assert SECRET not in shown(caught.value)

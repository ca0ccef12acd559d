"""`repr(db)` and no error or log line ever shows a password, key material or AWS secret."""

from __future__ import annotations

import logging
import traceback
from typing import TYPE_CHECKING, Any

import pytest

from TetherDB import DB, BackendNotConfigured, ConfigError

if TYPE_CHECKING:
    from pathlib import Path

SECRET = "hunter2-is-the-password"


def shown(error: BaseException) -> str:
    return f"{error!s} {error!r} {''.join(traceback.format_exception(error))}"


def test_repr_shows_no_password_and_no_key_material(tmp_path: Path) -> None:
    file = tmp_path / "key.pem"
    file.write_text(SECRET)
    db = DB(
        {
            "local": {"filepath": str(tmp_path / "x")},
            "etcd": {
                "username": "u",
                "password": SECRET,
                "ca_cert_file": str(file),
                "cert_file": str(file),
                "key_file": str(file),
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


def test_no_config_error_shows_the_value_of_an_environment_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TETHERDB_TEST_SECRET", SECRET)
    with pytest.raises(ConfigError) as caught:
        DB({"etcd": {"port": "${TETHERDB_TEST_SECRET}", "username": "${TETHERDB_TEST_SECRET}"}})
    assert SECRET not in shown(caught.value)


def test_no_error_of_broken_json_shows_the_text(tmp_path: Path) -> None:
    file = tmp_path / "config.json"
    file.write_text('{"etcd": {"username": "u", "password": "' + SECRET + '" "host": "h"}}')
    with pytest.raises(ConfigError) as caught:
        DB(file)
    assert SECRET not in shown(caught.value)


def test_no_error_of_a_verb_and_no_log_line_shows_a_password(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = {
        "debug": True,
        "local": {"filepath": str(tmp_path / "x")},
        "etcd": {"username": "u", "password": SECRET},
    }
    with caplog.at_level(logging.DEBUG), DB(config) as db:
        db.write_message("k", "v")
        with pytest.raises(BackendNotConfigured) as caught:
            db.write_message("k", "v", backend="etcd")
    assert SECRET not in shown(caught.value)
    assert SECRET not in caplog.text
    assert caplog.text

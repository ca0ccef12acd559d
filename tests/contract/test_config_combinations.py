"""Keys of the configuration that contradict or require one another."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from TetherDB import DB, ConfigError

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(("debug", "logging"), [(True, "info"), (True, "none"), (False, "debug")], ids=repr)
def test_debug_and_logging_that_contradict_are_a_config_error(debug: bool, logging: str) -> None:
    with pytest.raises(ConfigError, match="logging: contradicts 'debug'"):
        DB({"debug": debug, "logging": logging})


@pytest.mark.parametrize(("debug", "logging"), [(True, "debug"), (False, "info"), (False, "none")], ids=repr)
def test_debug_and_logging_that_agree_are_taken(debug: bool, logging: str) -> None:
    DB({"debug": debug, "logging": logging})


def test_timeout_and_interval_that_contradict_are_a_config_error() -> None:
    with pytest.raises(ConfigError, match=r"queue_batch\.interval: contradicts 'timeout'"):
        DB({"queue_batch": {"timeout": 1, "interval": 2}})


def test_timeout_and_interval_that_agree_are_taken() -> None:
    DB({"queue_batch": {"timeout": 1, "interval": 1.0}})


def test_a_retry_that_starts_above_its_longest_pause_is_a_config_error() -> None:
    with pytest.raises(ConfigError, match=r"queue_batch\.retry\.initial"):
        DB({"queue_batch": {"retry": {"initial": 9, "max": 1}}})


@pytest.mark.parametrize("beside", [{"host": "a"}, {"port": 1}, {"host": "a", "port": 1}])
def test_endpoints_are_given_instead_of_host_and_port_not_beside_them(beside: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"etcd\.endpoints: given beside"):
        DB({"etcd": {"endpoints": ["a:1"], **beside}})


@pytest.mark.parametrize(("given", "missing"), [("username", "password"), ("password", "username")])
def test_username_and_password_need_each_other(given: str, missing: str) -> None:
    with pytest.raises(ConfigError, match=rf"etcd\.{missing}: required"):
        DB({"etcd": {given: "x"}})


@pytest.fixture
def pem(tmp_path: Path) -> str:
    """A file to name in the configuration, as a certificate and as a key; opening reads it and no more."""
    file = tmp_path / "file.pem"
    file.write_text("-----BEGIN CERTIFICATE-----\n-----BEGIN PRIVATE KEY-----\n")
    return str(file)


@pytest.mark.parametrize(("given", "missing"), [("cert_file", "key_file"), ("key_file", "cert_file")])
def test_certificate_and_key_need_each_other(given: str, missing: str, pem: str) -> None:
    with pytest.raises(ConfigError, match=rf"etcd\.{missing}: required"):
        DB({"etcd": {given: pem}})


@pytest.mark.parametrize(
    "names",
    [["ca_cert_file"], ["cert_file", "key_file"], ["ca_cert_file", "cert_file", "key_file"], []],
    ids=repr,
)
def test_tls_takes_a_ca_alone_mutual_tls_or_the_roots_of_the_system(names: list[str], pem: str) -> None:
    DB({"etcd": {"use_ssl": True, **dict.fromkeys(names, pem)}})


def test_tls_files_beside_use_ssl_false_are_a_config_error(pem: str) -> None:
    with pytest.raises(ConfigError, match=r"etcd\.use_ssl"):
        DB({"etcd": {"use_ssl": False, "ca_cert_file": pem}})


@pytest.mark.parametrize("key", ["ca_cert_file", "cert_file", "key_file"])
def test_a_tls_file_that_is_missing_is_a_config_error_that_names_key_and_path(
    key: str, tmp_path: Path
) -> None:
    missing = str(tmp_path / "missing.pem")
    with pytest.raises(ConfigError) as caught:
        DB({"etcd": {key: missing}})
    assert f"etcd.{key}: " in str(caught.value)
    assert missing in str(caught.value)


@pytest.mark.parametrize("key", ["ca_cert_file", "cert_file", "key_file"])
def test_a_tls_file_that_is_a_directory_is_a_config_error(key: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=rf"etcd\.{key}: cannot read"):
        DB({"etcd": {key: str(tmp_path)}})

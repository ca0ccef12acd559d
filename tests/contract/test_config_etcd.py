"""The section `etcd`: where its members are, and the files of TLS."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import pytest

from TetherDB import DB, ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

CERTIFICATE = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
KEY = "-----BEGIN PRIVATE KEY-----\nMIIE\n-----END PRIVATE KEY-----\n"


@pytest.fixture
def leads_to(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> Callable[[dict[str, Any]], str]:
    """What a handle with this section says that it leads to."""

    def line(section: dict[str, Any]) -> str:
        caplog.clear()
        with caplog.at_level(logging.DEBUG):
            DB({"debug": True, "local": {"filepath": str(tmp_path / "x")}, "etcd": section})
        return caplog.records[-1].getMessage().removeprefix("etcd backend initialized at: ")

    return line


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str], str]:
    """Writes a file to name in the configuration."""

    def write_text(text: str) -> str:
        file = tmp_path / "file.pem"
        file.write_text(text)
        return str(file)

    return write_text


def refused(section: dict[str, Any]) -> list[str]:
    """The problems of a section."""
    with pytest.raises(ConfigError) as caught:
        DB({"etcd": section})
    return str(caught.value).splitlines()


@pytest.mark.parametrize(
    ("section", "place"),
    [
        ({}, "localhost:2379"),
        ({"host": "node"}, "node:2379"),
        ({"port": 1}, "localhost:1"),
        ({"host": "10.0.0.1", "port": 4001}, "10.0.0.1:4001"),
        ({"host": "::1"}, "[::1]:2379"),
        ({"host": "[::1]", "port": 1}, "[::1]:1"),
        ({"endpoints": ["node:1"]}, "node:1"),
        ({"endpoints": ["node"]}, "node:2379"),
        ({"endpoints": ["http://node"]}, "node:2379"),
        ({"endpoints": ["https://node/"]}, "node:2379"),
        ({"endpoints": ["https://node:1/"]}, "node:1"),
        ({"endpoints": ["[::1]"]}, "[::1]:2379"),
        ({"endpoints": ["http://[::1]:1"]}, "[::1]:1"),
        ({"endpoints": ["a:1", "http://b:2", "c"]}, "a:1, b:2, c:2379"),
        ({"endpoints": ["a:1", "https://b:2"]}, "a:1, b:2"),
        ({"endpoints": ["node:65535"]}, "node:65535"),
    ],
    ids=repr,
)
def test_an_endpoint_is_a_host_with_a_port_or_a_url_and_the_default_port_is_2379(
    section: dict[str, Any], place: str, leads_to: Callable[[dict[str, Any]], str]
) -> None:
    assert leads_to(section) == place


@pytest.mark.parametrize(
    "endpoint",
    [
        "",
        ":1",
        "node:",
        "node:x",
        "node:0",
        "node:65536",
        "node:-1",
        "::1",
        "[]:1",
        "two words:1",
        "node:1/path",
        "http://node:1/v3",
        "http://",
        "ftp://node",
        "etcd://node:1",
        "a:1,b:1",
        "node:1?x",
        "node:1#x",
    ],
)
@pytest.mark.parametrize("beside", [[], ["good:1"]], ids=["alone", "beside a good one"])
def test_an_endpoint_that_is_none_is_a_config_error_that_says_what_was_expected(
    endpoint: str, beside: list[str]
) -> None:
    (problem,) = refused({"endpoints": [*beside, endpoint]})
    assert problem.startswith("etcd.endpoints: expected ")
    assert "host:port" in problem


@pytest.mark.parametrize("host", ["http://node", "https://node:1", "node:1", "a/b", "two words", "user@node"])
def test_a_host_is_a_name_or_an_address_alone(host: str) -> None:
    (problem,) = refused({"host": host})
    assert problem.startswith("etcd.host: expected ")
    assert "endpoints" in problem


@pytest.mark.parametrize(
    "tls",
    [
        {"use_ssl": True},
        {"ca_cert_file": CERTIFICATE},
        {"cert_file": CERTIFICATE, "key_file": KEY},
    ],
    ids=lambda tls: "+".join(tls),
)
@pytest.mark.parametrize("endpoints", [["http://a"], ["a", "http://b"], ["https://a", "http://b"]], ids=repr)
def test_http_beside_tls_is_a_config_error(tls: dict[str, Any], endpoints: list[str], tmp_path: Path) -> None:
    section: dict[str, Any] = {"endpoints": endpoints}
    for name, value in tls.items():
        section[name] = value
        if isinstance(value, str):
            (tmp_path / name).write_text(value)
            section[name] = str(tmp_path / name)
    (problem,) = refused(section)
    assert problem.startswith("etcd.endpoints: ")
    assert "http://" in problem


def test_http_beside_https_is_a_config_error() -> None:
    (problem,) = refused({"endpoints": ["http://a", "https://b"]})
    assert problem.startswith("etcd.endpoints: ")


def test_https_beside_use_ssl_false_is_a_config_error() -> None:
    (problem,) = refused({"endpoints": ["https://a"], "use_ssl": False})
    assert problem.startswith("etcd.use_ssl: ")
    assert "https://" in problem


@pytest.mark.parametrize("use_ssl", [True, None])
def test_https_may_be_said_twice(use_ssl: bool | None) -> None:
    DB({"etcd": {"endpoints": ["https://a", "b"], **({} if use_ssl is None else {"use_ssl": use_ssl})}})


@pytest.mark.parametrize("use_ssl", [False, None])
def test_http_may_be_said_twice(use_ssl: bool | None) -> None:
    DB({"etcd": {"endpoints": ["http://a", "b"], **({} if use_ssl is None else {"use_ssl": use_ssl})}})


@pytest.mark.parametrize(
    "text",
    [
        CERTIFICATE,
        CERTIFICATE * 3,
        # As openssl prints it, with what it says before.
        f"subject=CN = somebody\n{CERTIFICATE}",
        CERTIFICATE.replace("\n", "\r\n"),
        "-----BEGIN TRUSTED CERTIFICATE-----\nMIIB\n-----END TRUSTED CERTIFICATE-----\n",
    ],
    ids=["one", "several", "with a header", "crlf", "trusted"],
)
def test_certificates_are_taken_in_pem_format(text: str, write: Callable[[str], str]) -> None:
    DB({"etcd": {"ca_cert_file": write(text)}})


@pytest.mark.parametrize("kind", ["PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY"])
def test_keys_are_taken_in_pem_format(kind: str, write: Callable[[str], str], tmp_path: Path) -> None:
    certificate = tmp_path / "certificate.pem"
    certificate.write_text(CERTIFICATE)
    key = write(f"-----BEGIN {kind}-----\nMIIE\n-----END {kind}-----\n")
    DB({"etcd": {"cert_file": str(certificate), "key_file": key}})


@pytest.mark.parametrize("name", ["ca_cert_file", "cert_file", "key_file"])
@pytest.mark.parametrize("text", ["", "0\x82\x01\x01", "ssh-rsa AAAA", '{"a": 1}'], ids=ascii)
def test_a_tls_file_in_another_format_is_a_config_error_that_names_the_key(
    name: str, text: str, write: Callable[[str], str]
) -> None:
    files = {name: write(text)}
    problems = refused(files)
    assert [line for line in problems if line.startswith(f"etcd.{name}: ") and "PEM" in line]


@pytest.mark.parametrize(
    ("name", "text"), [("ca_cert_file", KEY), ("cert_file", KEY), ("key_file", CERTIFICATE)]
)
def test_a_key_is_no_certificate_and_a_certificate_no_key(
    name: str, text: str, write: Callable[[str], str]
) -> None:
    files: dict[str, Any] = {name: write(text)}
    problems = refused(files)
    assert [line for line in problems if line.startswith(f"etcd.{name}: ") and "PEM" in line]


def test_a_tls_file_that_holds_no_text_is_a_config_error_too(tmp_path: Path) -> None:
    file = tmp_path / "file.der"
    file.write_bytes(bytes(range(256)) * 100)
    (problem,) = refused({"ca_cert_file": str(file)})
    assert problem.startswith("etcd.ca_cert_file: ")

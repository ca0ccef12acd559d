"""TLS: whom a handle trusts, what it shows of itself, and what it says when the two sides do not fit."""

from __future__ import annotations

import datetime
import json
from typing import TYPE_CHECKING, Any

import pytest
import trustme

from process.scripts import Program
from servers.certificates import Authority, KeyPair
from servers.etcd import READER, WRITER, EtcdServer, Tls
from TetherDB import DB, AuthenticationFailed, ConfigError, Unavailable

from .support import PATIENCE, TIMEOUT, VERBS, every_verb, failure, in_threads, works

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


class OfAnotherHost(Authority):
    """Gives servers certificates for a host that they are not."""

    def server(self, *hosts: str) -> KeyPair:
        return super().server("elsewhere.test")


class OfThePast(Authority):
    """Gives servers certificates that have expired."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._files = KeyPair(folder / "expired.pem", folder / "expired.key")
        authority = trustme.CA()
        authority.cert_pem.write_to_path(str(self.ca_file))
        expired = authority.issue_cert(
            "127.0.0.1", not_after=datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1)
        )
        expired.cert_chain_pems[0].write_to_path(str(self._files.public))
        expired.private_key_pem.write_to_path(str(self._files.private))

    def server(self, *hosts: str) -> KeyPair:
        return self._files


@pytest.fixture
def stranger(tmp_path: Path) -> Authority:
    """An authority that no server knows."""
    return Authority(tmp_path / "stranger")


def address(server: EtcdServer) -> str:
    return f"127.0.0.1:{server.port}"


def without(section: dict[str, Any], *keys: str) -> dict[str, Any]:
    return {key: value for key, value in section.items() if key not in keys}


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"use_ssl": True, "host": "localhost"},
        {"endpoints": "https://127.0.0.1:{port}"},
        {"endpoints": "https://localhost:{port}/"},
        {"endpoints": "127.0.0.1:{port}", "use_ssl": True},
    ],
    ids=["ca-alone", "use-ssl", "url", "url-of-a-name", "bare-endpoint"],
)
def test_a_certificate_of_the_authority_is_enough(
    etcd_tls: EtcdServer, connect: Callable[..., DB], given: dict[str, Any]
) -> None:
    section = without(etcd_tls.section(), "use_ssl") | given
    if "endpoints" in given:
        section = without(section, "host", "port")
        section["endpoints"] = [given["endpoints"].format(port=etcd_tls.port)]
    works(connect(section))


# The roots of the system are read once for a process.
USES_ROOTS = """
    from TetherDB import DB
    config = json.loads(sys.argv[1])
    config["local"] = {"filepath": "store"}
    db = DB(config)
    try:
        db.write_message("roots", "value", backend="etcd")
        print("read", db.read_message("roots", backend="etcd"))
    except Exception as error:
        print(type(error).__name__, error)
    db.stop()
"""


@pytest.mark.parametrize("trusted", [True, False])
def test_the_roots_of_the_system_are_trusted(
    etcd_tls: EtcdServer,
    stranger: Authority,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    trusted: bool,
) -> None:
    ca_file = etcd_tls.section()["ca_cert_file"] if trusted else stranger.ca_file
    monkeypatch.setenv("SSL_CERT_FILE", str(ca_file))
    monkeypatch.delenv("SSL_CERT_DIR", raising=False)
    section = {**without(etcd_tls.section(), "ca_cert_file"), "timeout": 10}
    with Program(tmp_path, USES_ROOTS, json.dumps({"etcd": section})) as program:
        said = program.finish(PATIENCE).quiet()
    if trusted:
        assert said == "read value\n"
    else:
        assert said.startswith(f"Unavailable etcd backend: no connection to {address(etcd_tls)}: "), said
        assert "certificate" in said


@every_verb
def test_a_certificate_of_another_authority_is_refused_by_every_verb(
    etcd_tls: EtcdServer, stranger: Authority, connect: Callable[..., DB], verb: Callable[[DB], object]
) -> None:
    section = etcd_tls.section() | {"ca_cert_file": str(stranger.ca_file)}
    error = failure(verb, connect(section, timeout=TIMEOUT), Unavailable, names=address(etcd_tls))
    assert "certificate" in str(error)
    assert "etcd.ca_cert_file" in str(error)


@pytest.mark.parametrize(
    ("kind", "says"), [(OfAnotherHost, "elsewhere.test"), (OfThePast, "expired")], ids=["host", "expired"]
)
def test_a_certificate_that_is_not_good_is_refused(
    tmp_path: Path, connect: Callable[..., DB], kind: type[Authority], says: str
) -> None:
    with EtcdServer(tmp_path / "etcd", tls=Tls(kind(tmp_path / "authority"))) as server:
        db = connect(server.section(), timeout=TIMEOUT)
        error = failure(works, db, Unavailable, names=address(server))
        assert "certificate" in str(error)
        assert says in str(error)


@every_verb
def test_a_plain_port_does_not_speak_tls(
    etcd: EtcdServer, authority: Authority, connect: Callable[..., DB], verb: Callable[[DB], object]
) -> None:
    db = connect(etcd.section(), ca_cert_file=str(authority.ca_file), timeout=TIMEOUT)
    error = failure(verb, db, Unavailable, names=address(etcd))
    assert "TLS" in str(error)
    works(connect(etcd.section()))


def test_a_tls_port_does_not_speak_plainly(etcd_tls: EtcdServer, connect: Callable[..., DB]) -> None:
    def fail(name: str) -> None:
        db = connect({"host": "127.0.0.1", "port": etcd_tls.port}, timeout=TIMEOUT)
        error = failure(VERBS[name], db, Unavailable, names=address(etcd_tls))
        assert "etcd.use_ssl" in str(error)

    # At once: such a connection is tried again and again, since it only breaks.
    in_threads(*(lambda name=name: fail(name) for name in VERBS))


def test_mutual_tls(etcd_mutual_tls: EtcdServer, connect: Callable[..., DB]) -> None:
    works(connect(etcd_mutual_tls.section()))


@every_verb
def test_a_missing_certificate_of_the_client_is_told(
    etcd_mutual_tls: EtcdServer, connect: Callable[..., DB], verb: Callable[[DB], object]
) -> None:
    section = without(etcd_mutual_tls.section(), "cert_file", "key_file")
    error = failure(verb, connect(section, timeout=TIMEOUT), Unavailable, names=address(etcd_mutual_tls))
    assert "cert_file" in str(error)


def test_a_certificate_of_a_strange_client_is_refused(
    etcd_mutual_tls: EtcdServer, stranger: Authority, connect: Callable[..., DB]
) -> None:
    identity = stranger.client("anybody")
    section = etcd_mutual_tls.section()
    section |= {"cert_file": str(identity.public), "key_file": str(identity.private)}
    db = connect(section, timeout=TIMEOUT)
    error = failure(works, db, Unavailable, names=address(etcd_mutual_tls))
    assert "certificate" in str(error) or "cert_file" in str(error)


def test_mutual_tls_and_users(etcd_auth_tls: EtcdServer, connect: Callable[..., DB]) -> None:
    works(connect(etcd_auth_tls.section()))
    wrong = connect(etcd_auth_tls.section(), password="wrong", timeout=TIMEOUT)
    failure(works, wrong, AuthenticationFailed, names=address(etcd_auth_tls))
    reader = connect(etcd_auth_tls.section(READER), timeout=TIMEOUT)
    failure(works, reader, AuthenticationFailed, names=address(etcd_auth_tls))
    # The certificate alone names a user whom the server does not know.
    nobody = connect(without(etcd_auth_tls.section(), "username", "password"), timeout=TIMEOUT)
    failure(works, nobody, AuthenticationFailed, names=address(etcd_auth_tls))


def test_a_certificate_may_name_the_user(
    etcd_auth_tls: EtcdServer, authority: Authority, connect: Callable[..., DB]
) -> None:
    identity = authority.client(WRITER.name)
    section = without(etcd_auth_tls.section(), "username", "password")
    works(connect(section, cert_file=str(identity.public), key_file=str(identity.private)))


@pytest.mark.parametrize("broken", ["cert_file", "key_file", "ca_cert_file"])
def test_a_file_that_is_damaged_is_told(
    etcd_mutual_tls: EtcdServer, tmp_path: Path, connect: Callable[..., DB], broken: str
) -> None:
    kind = "PRIVATE KEY" if broken == "key_file" else "CERTIFICATE"
    damaged = tmp_path / "damaged.pem"
    damaged.write_text(f"-----BEGIN {kind}-----\nAAAA\n-----END {kind}-----\n")
    section = etcd_mutual_tls.section() | {broken: str(damaged)}
    with pytest.raises((ConfigError, Unavailable)) as caught:
        works(connect(section, timeout=TIMEOUT))
    assert broken in str(caught.value)


def test_a_key_that_does_not_fit_its_certificate_is_told(
    etcd_mutual_tls: EtcdServer, authority: Authority, connect: Callable[..., DB]
) -> None:
    section = etcd_mutual_tls.section() | {"key_file": str(authority.client("another").private)}
    with pytest.raises((ConfigError, Unavailable)) as caught:
        works(connect(section, timeout=TIMEOUT))
    assert "key_file" in str(caught.value)

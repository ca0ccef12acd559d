"""Certificates for the tests, made anew in each run: an authority, and what it has signed, as files."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import trustme
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

if TYPE_CHECKING:
    from pathlib import Path


class KeyPair(NamedTuple):
    """A certificate, or a bare public key, and the private key to it, as PEM files."""

    public: Path
    private: Path


class Authority:
    """A certificate authority that nobody else trusts."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._ca = trustme.CA()
        self._issued: dict[str, KeyPair] = {}
        self.ca_file = folder / "ca.pem"
        self._ca.cert_pem.write_to_path(str(self.ca_file))

    def server(self, *hosts: str) -> KeyPair:
        """A certificate for these hosts; this machine by both of its names unless told otherwise.

        It names no common name: etcd, which uses it as a client of itself too, would take that for a user.
        """
        return self._issue(hosts or ("localhost", "127.0.0.1"))

    def client(self, common_name: str) -> KeyPair:
        """A certificate for a client; an etcd that asks for these takes the common name for the user."""
        # Some name of a host as well: Go refuses a certificate whose list of them is there and empty.
        return self._issue(("client.test",), common_name)

    def _issue(self, hosts: tuple[str, ...], common_name: str | None = None) -> KeyPair:
        name = "-".join([*hosts, common_name or ""])
        # Once: etcd reads its files anew for each connection, and must find the two halves of one pair.
        if name not in self._issued:
            issued = self._ca.issue_cert(*hosts, common_name=common_name)
            files = KeyPair(self._folder / f"{name}.pem", self._folder / f"{name}.key")
            issued.cert_chain_pems[0].write_to_path(str(files.public))
            issued.private_key_pem.write_to_path(str(files.private))
            self._issued[name] = files
        return self._issued[name]


def signing_keys(folder: Path) -> KeyPair:
    """A pair of RSA keys, such as etcd signs its tokens with."""
    folder.mkdir(parents=True, exist_ok=True)
    files = KeyPair(folder / "token.pub", folder / "token.key")
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    files.private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    files.public.write_bytes(public)
    return files

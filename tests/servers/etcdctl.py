"""etcdctl: how the tests reach an etcd without TetherDB, as its administrator and as any other program."""

from __future__ import annotations

import base64
import json
import os
import subprocess
from typing import TYPE_CHECKING, Any, NamedTuple

from .etcd_programs import etcdctl_program

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from .certificates import KeyPair

# Seconds. etcdctl itself gives up after five; the rest is for a loaded machine.
PATIENCE = 30


class User(NamedTuple):
    """Who calls, and the password."""

    name: str
    password: str


class EtcdctlFailed(Exception):
    """etcdctl said no; the text is what it said."""


class Etcdctl:
    """etcdctl with its options: where to connect, as whom, with which certificates."""

    def __init__(
        self,
        endpoints: Sequence[str],
        *,
        user: User | None = None,
        ca_file: Path | None = None,
        identity: KeyPair | None = None,
    ) -> None:
        # Not those of the developer, which may lead to another etcd.
        self._environment = {k: v for k, v in os.environ.items() if not k.startswith("ETCDCTL_")}
        self._environment |= {"ETCDCTL_API": "3", "ETCDCTL_ENDPOINTS": ",".join(endpoints)}
        if user:
            self._environment["ETCDCTL_USER"] = f"{user.name}:{user.password}"
        if ca_file:
            self._environment["ETCDCTL_CACERT"] = str(ca_file)
        if identity:
            self._environment["ETCDCTL_CERT"] = str(identity.public)
            self._environment["ETCDCTL_KEY"] = str(identity.private)

    def run(self, *arguments: str, stdin: bytes = b"") -> bytes:
        """Any command; gives what it prints."""
        done = subprocess.run(
            [str(etcdctl_program()), *arguments],
            input=stdin,
            env=self._environment,
            capture_output=True,
            timeout=PATIENCE,
        )
        if done.returncode != 0:
            raise EtcdctlFailed(done.stderr.decode(errors="replace").strip())
        return done.stdout

    def run_json(self, *arguments: str) -> Any:
        """Any command; gives its answer as etcd's own JSON."""
        return json.loads(self.run("--write-out", "json", *arguments))

    def put(self, key: str, value: str | bytes) -> None:
        """Writes one key."""
        data = value.encode() if isinstance(value, str) else value
        if data:
            self.run("put", "--", key, stdin=data)
        else:
            # An empty input is none to etcdctl. As for all others: an argument cannot hold every byte.
            self.run("put", "--", key, "")

    def get(self, key: str) -> bytes | None:
        """The value of one key; `None` if there is none."""
        found = self.run_json("get", "--", key).get("kvs", [])
        return base64.b64decode(found[0].get("value", "")) if found else None

    def everything(self, prefix: str = "") -> dict[str, bytes]:
        """All keys that begin so, with their values."""
        found = self.run_json("get", "--prefix", "--", prefix).get("kvs", [])
        return {
            base64.b64decode(each["key"]).decode(): base64.b64decode(each.get("value", "")) for each in found
        }

    def delete(self, key: str) -> None:
        """Deletes one key, whether or not it exists."""
        self.run("del", "--", key)

    def clear(self, prefix: str = "") -> None:
        """Deletes all keys that begin so."""
        self.run("del", "--prefix", "--", prefix)

    def add_user(self, user: User, *roles: str) -> None:
        """Makes a user with these roles."""
        self.run("user", "add", "--interactive=false", user.name, stdin=user.password.encode())
        for role in roles:
            self.run("user", "grant-role", user.name, role)

    def delete_user(self, name: str) -> None:
        """Deletes a user."""
        self.run("user", "delete", name)

    def change_password(self, user: User) -> None:
        """Gives the user the password that `user` holds."""
        self.run("user", "passwd", "--interactive=false", user.name, stdin=user.password.encode())

    def add_role(self, role: str, permission: str, prefix: str = "") -> None:
        """Makes a role that may "read", "write" or "readwrite" all keys that begin so."""
        self.run("role", "add", role)
        self.run("role", "grant-permission", "--prefix", role, permission, prefix)

    def grant_role(self, name: str, role: str) -> None:
        """Gives a user one more role."""
        self.run("user", "grant-role", name, role)

    def revoke_role(self, name: str, role: str) -> None:
        """Takes a role from a user."""
        self.run("user", "revoke-role", name, role)

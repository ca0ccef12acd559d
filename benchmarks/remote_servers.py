"""The servers of the remote works: those of the tests, but as fast and as safe as they are by default."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import remote_peers

sys.path.append(str(Path(__file__).resolve().parent.parent / "tests"))

from botocore.exceptions import BotoCoreError, ClientError

from servers import dynamodb_jars, etcd_programs
from servers.dynamodb import JAVA_OPTIONS, DynamoDbLocal, aws_variables
from servers.etcd import EtcdServer
from servers.etcdctl import EtcdctlFailed
from servers.process import ServerFailed

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Self

# What goes wrong when a server is emptied or asked.
TROUBLE = (BotoCoreError, ClientError, EtcdctlFailed)
# etcdctl gives up after 5 s, which is short for a disk that others use too.
PATIENT = ("--command-timeout", "20s")


class Etcd(EtcdServer):
    """The tests' etcd never syncs; this one does, and has the timing that others have too."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.timing = ()

    def command(self) -> list[str]:
        return [option for option in super().command() if option != "--unsafe-no-fsync"]

    @classmethod
    def described(cls) -> str:
        return f"{etcd_programs.describe()}, on this machine, syncs the disk before it answers (its default)"

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def empty(self) -> None:
        """Deletes what was written, and its history, which etcd would keep."""
        self.etcdctl.run(*PATIENT, "del", "--prefix", "--", remote_peers.WRITTEN)
        self.etcdctl.run(*PATIENT, "compact", "--physical", str(self.status()["header"]["revision"]))
        self.etcdctl.run(*PATIENT, "defrag")

    def count(self) -> int:
        """How many keys were written."""
        how = ("--write-out", "fields", "get", "--prefix", "--count-only", "--")
        fields = self.etcdctl.run(*how, remote_peers.WRITTEN).decode().splitlines()
        return next(int(line.split()[-1]) for line in fields if line.startswith('"Count"'))


class DynamoDb(DynamoDbLocal):
    """The tests' DynamoDB Local starts fast; this one takes the time to become fast."""

    def command(self) -> list[str]:
        return [option for option in super().command() if option not in JAVA_OPTIONS]

    @classmethod
    def described(cls) -> str:
        missing = dynamodb_jars.why_not()
        if missing:
            raise ServerFailed(missing)
        return f"{cls.describe()}, on this machine, in memory"

    def start(self) -> None:
        super().start()
        for table in (remote_peers.WRITTEN_TABLE, remote_peers.READ_TABLE):
            self.create_table(table)

    @property
    def address(self) -> str:
        return self.url

    def empty(self) -> None:
        self.clear(remote_peers.WRITTEN_TABLE)

    def count(self) -> int:
        pages = self.client.get_paginator("scan").paginate(
            TableName=remote_peers.WRITTEN_TABLE, Select="COUNT", ConsistentRead=True
        )
        return sum(page["Count"] for page in pages)


class Servers:
    """Those that can be had of ``names``, started, with ``rows`` rows to read in each."""

    def __init__(self, names: Iterable[str], folder: Path, rows: list[tuple[str, dict[str, Any]]]) -> None:
        self.running: dict[str, Etcd | DynamoDb] = {}
        # What there is, or why it is not there.
        self.facts: dict[str, str] = {}
        self._names = list(names)
        self._folder = folder
        self._rows = rows
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Self:
        kinds = {"etcd": Etcd, "dynamodb": DynamoDb}
        # Their clients shall find these credentials, and no proxy on the way.
        os.environ.update(aws_variables(), NO_PROXY="127.0.0.1", no_proxy="127.0.0.1")
        with self._stack:
            for name in self._names:
                kind = kinds[name]
                try:
                    self.facts[name] = kind.described()
                    server = self._stack.enter_context(kind(self._folder / name))
                except ServerFailed as missing:
                    self.facts[name] = f"left out: {missing}"
                else:
                    self.running[name] = server
            for name in self.running:
                self._fill(name)
            self._stack = self._stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def addresses(self) -> dict[str, str]:
        return {name: server.address for name, server in self.running.items()}

    def _fill(self, name: str) -> None:
        """Puts the rows there that the reading works read."""
        peer = remote_peers.Tether(name, self.addresses, self._folder, table=remote_peers.READ_TABLE)
        peer.write_all(self._rows)
        if name == "dynamodb":
            # Java compiles what has run often. Whoever came first would pay for the others.
            for key, value in self._rows:
                peer.write(key, value)
                peer.read(key)
        peer.close()

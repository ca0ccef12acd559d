"""etcd servers: plain or with TLS, open or with users, alone or in a cluster."""

from __future__ import annotations

import contextlib
import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from .certificates import Authority, signing_keys
from .etcd_programs import etcd_program, etcd_version, supports
from .etcdctl import Etcdctl, EtcdctlFailed, User
from .process import HOST, PATIENCE, PORT_TRIES, PortTaken, Server

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from .certificates import KeyPair

ROOT = User("root", "the-root-password")
WRITER = User("writer", "the-writer-password")
"""May read and write everything."""
READER = User("reader", "the-reader-password")
"""May read the keys that begin with `READABLE`, and nothing else."""
READABLE = "shared:"

# An election among one has nothing to wait for.
ALONE = ("--heartbeat-interval=10", "--election-timeout=100")
# Soon enough for a test, and patient with a busy machine.
TOGETHER = ("--heartbeat-interval=50", "--election-timeout=500")


@dataclass(frozen=True)
class Tls:
    """The server shows a certificate of this authority; with `mutual` its clients must show one too."""

    authority: Authority
    mutual: bool = False


def simple_tokens(seconds: int) -> list[str]:
    """Users log in, and get tokens that expire when they were not used for so long."""
    return ["--auth-token=simple", f"--auth-token-ttl={seconds}"]


def jwt_tokens(folder: Path, seconds: int) -> list[str]:
    """Users log in, and get tokens that expire after so long, used or not."""
    keys = signing_keys(folder)
    return [
        f"--auth-token=jwt,pub-key={keys.public},priv-key={keys.private},sign-method=RS256,ttl={seconds}s"
    ]


def enable_users(etcdctl: Etcdctl) -> None:
    """Makes the three users, and asks for a password from now on."""
    etcdctl.add_role("everything", "readwrite")
    etcdctl.add_role("reading", "read", READABLE)
    etcdctl.add_user(ROOT, "root")
    etcdctl.add_user(WRITER, "everything")
    etcdctl.add_user(READER, "reading")
    etcdctl.run("auth", "enable")


class EtcdServer(Server):
    """One etcd. `tokens` are the options of `simple_tokens` or `jwt_tokens`: with them it has users."""

    def __init__(
        self, folder: Path, *, tls: Tls | None = None, tokens: Sequence[str] = (), name: str = "etcd"
    ) -> None:
        super().__init__(name, folder, ports=2)
        self.tls = tls
        self.tokens = list(tokens)
        self.timing: tuple[str, ...] = ALONE
        # Of the other members, in a cluster.
        self.peers: list[EtcdServer] = [self]
        self.identity: KeyPair | None = None
        self._certificate: KeyPair | None = None
        if tls:
            self._certificate = tls.authority.server()
            self.identity = tls.authority.client("anybody") if tls.mutual else None

    @property
    def url(self) -> str:
        """Where clients connect."""
        return f"{'https' if self.tls else 'http'}://{HOST}:{self.port}"

    @property
    def peer_url(self) -> str:
        """Where the other members connect."""
        return f"http://{HOST}:{self.ports[1]}"

    @property
    def version(self) -> str:
        """Such as "3.5.1"."""
        return etcd_version()

    def command(self) -> list[str]:
        cluster = ",".join(f"{member.name}={member.peer_url}" for member in self.peers)
        options = [
            f"--name={self.name}",
            f"--data-dir={self.data}",
            f"--listen-client-urls={self.url}",
            f"--advertise-client-urls={self.url}",
            f"--listen-peer-urls={self.peer_url}",
            f"--initial-advertise-peer-urls={self.peer_url}",
            f"--initial-cluster={cluster}",
            *self.timing,
            *self.tokens,
        ]
        if supports("--unsafe-no-fsync"):
            options.append("--unsafe-no-fsync")
        if self.tokens:
            # Passwords that are cheap to check; nobody attacks these.
            options.append("--bcrypt-cost=4")
        if self.tls and self._certificate:
            options.append(f"--cert-file={self._certificate.public}")
            options.append(f"--key-file={self._certificate.private}")
            if self.tls.mutual:
                options += ["--client-cert-auth", f"--trusted-ca-file={self.tls.authority.ca_file}"]
        return [str(etcd_program()), *options]

    def environment(self) -> dict[str, str]:
        # etcd takes any option from a variable ETCD_...: a developer's own are not for this one.
        return {k: v for k, v in os.environ.items() if not k.startswith("ETCD_")}

    def is_ready(self) -> bool:
        # Said once there is a leader. The port is open before that.
        return "ready to serve client requests" in self.log_since_launch()

    def start(self) -> None:
        super().start()
        if self.tokens:
            enable_users(self.etcdctl_as(None))

    @property
    def etcdctl(self) -> Etcdctl:
        """The administrator's: as root, where there are users."""
        return self.etcdctl_as(ROOT if self.tokens else None)

    def etcdctl_as(self, user: User | None) -> Etcdctl:
        """That of one user."""
        ca_file = self.tls.authority.ca_file if self.tls else None
        return Etcdctl([self.url], user=user, ca_file=ca_file, identity=self.identity)

    def status(self) -> dict[str, Any]:
        """What it says of itself: version, leader, size."""
        [answer] = self.etcdctl.run_json("endpoint", "status")
        status: dict[str, Any] = answer["Status"]
        return status

    def section(self, user: User = WRITER) -> dict[str, Any]:
        """The section `etcd` of a TetherDB configuration that leads here; as this user, if it has users."""
        section: dict[str, Any] = {"host": HOST, "port": self.port}
        if self.tokens:
            section |= {"username": user.name, "password": user.password}
        if self.tls:
            section |= {"use_ssl": True, "ca_cert_file": str(self.tls.authority.ca_file)}
        if self.identity:
            section |= {"cert_file": str(self.identity.public), "key_file": str(self.identity.private)}
        return section


class EtcdCluster:
    """Members of one etcd, each of which may be paused, killed and restarted by itself."""

    def __init__(
        self, folder: Path, *, size: int = 3, tls: Tls | None = None, tokens: Sequence[str] = ()
    ) -> None:
        self._folder = folder
        self._options: dict[str, Any] = {"tls": tls, "tokens": tokens}
        self._size = size
        self.members: list[EtcdServer] = []

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        for member in self.members:
            member.discard_data()

    def start(self) -> None:
        """Starts all members on free ports, and returns once each of them answers."""
        for attempt in range(PORT_TRIES):
            try:
                self._try(self._folder / f"try-{attempt}")
            except PortTaken:
                if attempt == PORT_TRIES - 1:
                    raise
            else:
                break
        if self.members[0].tokens:
            enable_users(self.etcdctl_as(None))

    def _try(self, folder: Path) -> None:
        # In a new folder: members that did start remember the ports of the one that did not.
        members = [
            EtcdServer(folder / name, name=name, **self._options)
            for name in (f"member-{number}" for number in range(self._size))
        ]
        self.members = members
        try:
            for member in members:
                member.peers = members
                member.timing = TOGETHER
                member.choose_ports()
            for member in members:
                member.launch()
            for member in members:
                member.wait_until_ready()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Ends all members."""
        # At once: one after the other they would wait for new leaders.
        for member in self.members:
            member.kill()

    @property
    def endpoints(self) -> list[str]:
        """Where clients connect."""
        return [member.url for member in self.members]

    @property
    def etcdctl(self) -> Etcdctl:
        """The administrator's, which knows all members."""
        return self.etcdctl_as(ROOT if self.members[0].tokens else None)

    def etcdctl_as(self, user: User | None) -> Etcdctl:
        """That of one user, which knows all members."""
        first = self.members[0]
        ca_file = first.tls.authority.ca_file if first.tls else None
        return Etcdctl(self.endpoints, user=user, ca_file=ca_file, identity=first.identity)

    def leader(self) -> EtcdServer:
        """The member that leads, once all that run agree on it: then the cluster serves."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            running = [member for member in self.members if member.running and not member.paused]
            with contextlib.suppress(EtcdctlFailed):
                statuses = [member.status() for member in running]
                leaders = {status.get("leader") for status in statuses}
                for member, status in zip(running, statuses, strict=True):
                    if leaders == {status["header"]["member_id"]}:
                        return member
            time.sleep(0.05)
        raise LookupError("the members that run agree on no leader")

    def section(self, user: User = WRITER) -> dict[str, Any]:
        """The section `etcd` of a TetherDB configuration that names all members."""
        section = self.members[0].section(user)
        del section["host"], section["port"]
        return {"endpoints": self.endpoints, **section}

"""A server in a process of its own: started on a free port, paused, killed, and never left behind."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import time
import weakref
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Self

HOST = "127.0.0.1"
# Below the ports that Linux and macOS give to outgoing connections. A client that keeps calling a dead server
# on one of those may be given the very port that it calls, and then talks to itself.
PORTS = range(20_000, 32_000)
# How often other ports are tried when somebody took one between the choice and the start.
PORT_TRIES = 5
# Seconds. A server that takes longer to start will not, however loaded the machine is.
PATIENCE = 40.0
# Seconds between the polite signal and the other one.
GRACE = 5.0
# Characters of the log that an error shows.
LOG_TAIL = 4_000

# Ends the server when whoever started it has ended without stopping it, by whatever signal: the shell reads
# from a pipe whose other end nobody else holds. Unlike a death signal of the kernel, it does not mind which
# thread started the server, and needs no code between fork and exec.
WATCH = 'read -r word || kill -KILL "$1"'

_running: weakref.WeakSet[Server] = weakref.WeakSet()
# What `free_ports` has answered. A port stays free until its server listens: members of a cluster, all of
# which choose before the first of them starts, must not choose the same one.
_chosen: set[int] = set()


class ServerFailed(Exception):
    """A server cannot be had here, or did not start: the text says why, and shows the end of its log."""


class PortTaken(ServerFailed):
    """Somebody else listens on a port that was just free."""


def running_servers() -> list[Server]:
    """All servers that this process has started and not stopped."""
    return list(_running)


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on at this moment, none of which was given to anybody before."""
    if len(_chosen) + count > len(PORTS) // 2:
        _chosen.clear()
    found: list[int] = []
    while len(found) < count:
        # Not from `random`: two test runs with the same seed would choose the same ones.
        port = secrets.choice(PORTS)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("", port))
            if port not in _chosen:
                _chosen.add(port)
                found.append(port)
    return found


class Server(ABC):
    """One server process. `with` starts and stops it; `folder` holds its log, and its data if it has any."""

    def __init__(self, name: str, folder: Path, ports: int = 1) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.name = name
        self.folder = folder
        self.data = folder / "data"
        self.paused = False
        self.ports = [0] * ports
        self._log_file = folder / "log.txt"
        self._log_file.touch()
        self._launched_at = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._watch: subprocess.Popen[bytes] | None = None

    @abstractmethod
    def command(self) -> list[str]:
        """What to run, on `self.ports`."""

    @abstractmethod
    def is_ready(self) -> bool:
        """Whether it answers by now."""

    def environment(self) -> dict[str, str]:
        """The environment that it runs in."""
        return dict(os.environ)

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.kill()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self.discard_data()

    @property
    def port(self) -> int:
        """Where clients connect."""
        return self.ports[0]

    @property
    def pid(self) -> int:
        """Its process; only while it runs."""
        if self._process is None:
            raise ServerFailed(f"{self.name} is not running")
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether it was started, and neither stopped nor killed."""
        return self._process is not None

    def start(self) -> None:
        """Starts it on free ports, and returns once it answers."""
        for attempt in range(PORT_TRIES):
            self.choose_ports()
            self.launch()
            try:
                self.wait_until_ready()
            except PortTaken:
                if attempt == PORT_TRIES - 1:
                    raise
            else:
                return

    def choose_ports(self) -> None:
        """Gives it other ports for its next launch."""
        self.ports = free_ports(len(self.ports))

    def launch(self) -> None:
        """Starts its process, and waits for nothing."""
        self._launched_at = self.log_size()
        with self._log_file.open("ab") as log:
            # In a session of its own: Ctrl-C is for the tests, which then stop their servers.
            self._process = subprocess.Popen(
                self.command(),
                cwd=self.folder,
                env=self.environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            self._watch = subprocess.Popen(
                ["sh", "-c", WATCH, "watch", str(self._process.pid)],
                stdin=subprocess.PIPE,
                start_new_session=True,
            )
        except BaseException:
            self.kill()
            raise
        _running.add(self)

    def wait_until_ready(self) -> None:
        """Returns once it answers; a server that does not is stopped."""
        deadline = time.monotonic() + PATIENCE
        try:
            while not self._answers():
                if time.monotonic() > deadline:
                    raise ServerFailed(f"{self.name} is not ready after {PATIENCE:.0f} s:\n{self.log_tail()}")
                time.sleep(0.01)
        except BaseException:
            self.kill()
            raise

    def _answers(self) -> bool:
        if self._process is None:
            raise ServerFailed(f"{self.name} is not running")
        code = self._process.poll()
        if code is None:
            return self.is_ready()
        failure = PortTaken if "address already in use" in self.log_since_launch().lower() else ServerFailed
        raise failure(f"{self.name} ended with {code} instead of starting:\n{self.log_tail()}")

    def stop(self) -> None:
        """Ends it as an administrator would, and by force if need be. Does nothing if it does not run."""
        if self._process is None:
            return
        self._process.terminate()
        # A paused process takes note of the signal only when it runs again.
        self._process.send_signal(signal.SIGCONT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(GRACE)
        self.kill()

    def kill(self) -> None:
        """Ends it at once, as a crash would. Does nothing if it does not run."""
        if self._process is None:
            return
        self._process.kill()
        self._process.wait()
        self._process = None
        self.paused = False
        _running.discard(self)
        if self._watch is not None:
            # A word, then the end of the input: there is nothing left to kill.
            self._watch.communicate(b"stopped\n")
            self._watch = None

    def pause(self) -> None:
        """Keeps it from running: connections stay open, and nothing is answered."""
        os.kill(self.pid, signal.SIGSTOP)
        self.paused = True

    def resume(self) -> None:
        """Lets it go on after `pause`."""
        os.kill(self.pid, signal.SIGCONT)
        self.paused = False

    def restart(self, *, wait: bool = True) -> None:
        """Starts it again where it was, on its own data, whether or not it still runs."""
        self.stop()
        self.launch()
        if wait:
            self.wait_until_ready()

    def discard_data(self) -> None:
        """Removes its data, which takes up to 130 MB for an etcd; the log stays."""
        shutil.rmtree(self.data, ignore_errors=True)

    def log_size(self) -> int:
        """Bytes that it has logged."""
        return self._log_file.stat().st_size

    def log(self, since: int = 0) -> str:
        """What it has logged from that byte on."""
        with self._log_file.open("rb") as file:
            file.seek(since)
            return file.read().decode(errors="replace")

    def log_since_launch(self) -> str:
        """What its present process, or the last one, has logged."""
        return self.log(self._launched_at)

    def log_tail(self) -> str:
        """The end of its log."""
        return self.log()[-LOG_TAIL:]

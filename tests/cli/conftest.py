"""The command as users run it: a process with its own streams, or at a terminal."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pty
import re
import select
import shlex
import struct
import subprocess
import sys
import termios
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from TetherDB import DB

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

# Seconds; nothing here takes long.
PATIENCE = 60
SILENCE = 2
ROWS, COLUMNS = 40, 100
# A terminal's Ctrl-C goes to the programs that it is the terminal of.
AT_TERMINAL = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execvp(sys.argv[1], sys.argv[1:])
"""
COMMAND = [sys.executable, "-m", "TetherDB"]


@dataclass(frozen=True)
class Ran:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def records(self) -> list[Any]:
        """What it printed, as JSON Lines."""
        return [json.loads(line) for line in self.out.splitlines()]


@pytest.fixture
def tetherdb(tmp_path: Path) -> Callable[..., Ran]:
    """Runs `tetherdb` with these arguments, in the temporary folder, on what it gets as its input."""

    def run(*arguments: str | bytes | Path, stdin: str | bytes = b"", **environment: str) -> Ran:
        given = stdin.encode() if isinstance(stdin, str) else stdin
        ended = subprocess.run(
            [*COMMAND, *arguments],
            cwd=tmp_path,
            input=given,
            capture_output=True,
            env=clean_environment() | environment,
            timeout=PATIENCE,
            check=False,
        )
        return Ran(ended.returncode, ended.stdout.decode(), ended.stderr.decode())

    return run


@pytest.fixture(scope="session")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for PATH, in which `tetherdb` is the command."""
    folder = tmp_path_factory.mktemp("programs")
    program = folder / "tetherdb"
    program.write_text(f'#!/bin/sh\nexec {shlex.join(COMMAND)} "$@"\n')
    program.chmod(0o755)
    return folder


@pytest.fixture
def shell(tmp_path: Path, programs: Path) -> Callable[..., Ran]:
    """Runs lines of bash."""

    def run(line: str, **environment: str) -> Ran:
        path = f"{programs}{os.pathsep}{os.environ['PATH']}"
        ended = subprocess.run(
            ["bash", "-o", "pipefail", "-c", line],
            cwd=tmp_path,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            env=clean_environment() | {"PATH": path} | environment,
            timeout=PATIENCE,
            check=False,
        )
        return Ran(ended.returncode, ended.stdout.decode(), ended.stderr.decode())

    return run


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Starts `tetherdb` with pipes for its streams, and goes on."""
    started: list[subprocess.Popen[bytes]] = []

    def run(*arguments: str | Path, **environment: str) -> subprocess.Popen[bytes]:
        pipe = subprocess.PIPE
        process = subprocess.Popen(
            [*COMMAND, *map(str, arguments)],
            cwd=tmp_path,
            stdin=pipe,
            stdout=pipe,
            stderr=pipe,
            env=clean_environment() | environment,
        )
        started.append(process)
        return process

    yield run
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture
def terminal(tmp_path: Path) -> Callable[..., Ran]:
    """Runs `tetherdb` at a terminal, where `typed` is typed in; all it prints is `out`.

    `when`: what is shown before anything is typed. Ctrl-C can be typed, too: "\\x03".
    """

    def run(
        *arguments: str,
        typed: str = "",
        when: str = "",
        program: Sequence[str] = COMMAND,
        **environment: str,
    ) -> Ran:
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
        process = subprocess.Popen(
            [sys.executable, "-c", AT_TERMINAL, *program, *arguments],
            cwd=tmp_path,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env=clean_environment() | {"TERM": "xterm-256color"} | environment,
            start_new_session=True,
        )
        os.close(theirs)
        shown, is_typed = b"", False
        # Linux ends a terminal that nobody writes to any more with an error.
        with contextlib.suppress(OSError):
            while True:
                if not is_typed and when.encode() in shown:
                    os.write(ours, typed.encode())
                    is_typed = True
                if not select.select([ours], [], [], SILENCE)[0]:
                    # Python may look for Ctrl-C just before it begins to read, and not again.
                    if is_typed and typed.endswith("\x03"):
                        os.write(ours, b"\x03")
                    continue
                if not (data := os.read(ours, 65536)):
                    break
                shown += data
        os.close(ours)
        return Ran(process.wait(PATIENCE), shown.decode().replace("\r\n", "\n"), "")

    return run


@pytest.fixture
def store(tmp_path: Path) -> Callable[[Mapping[str, Any]], None]:
    """Writes records into the file that commands find, `localdb`."""

    def write(records: Mapping[str, Any]) -> None:
        with DB({"local": {"filepath": str(tmp_path / "localdb"), "synchronous": "off"}}) as db:
            db.write_messages(records)

    return write


@pytest.fixture
def content(tmp_path: Path) -> Callable[[], dict[str, Any]]:
    """What is in that file."""

    def read() -> dict[str, Any]:
        with DB({"local": {"filepath": str(tmp_path / "localdb")}}) as db:
            return dict(db.iter_messages())

    return read


@pytest.fixture
def configured(tmp_path: Path) -> Callable[..., Path]:
    """Writes a configuration file."""

    def write(**sections: Any) -> Path:
        path = tmp_path / "config.json"
        path.write_text(json.dumps(sections), encoding="utf-8")
        return path

    return write


def plain(shown: str) -> str:
    """What a terminal shows, without colours."""
    return re.sub(r"\x1b\[[0-9;]*m", "", shown)


def clean_environment() -> dict[str, str]:
    """This environment without what would change what the command does."""
    mine = ("TETHERDB_", "NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES", "PYTHONUTF8", "PYTHONIOENCODING")
    return {name: value for name, value in os.environ.items() if not name.startswith(mine)}

"""`tetherdb browse` as people start it: a process at a terminal; and where there is none."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from typing import TYPE_CHECKING

import pytest

from cli.conftest import clean_environment
from TetherDB import DB

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from pathlib import Path

    from cli.conftest import Ran
    from servers.etcd import EtcdServer

PATIENCE = 60
# What a terminal is told at the end: back to the screen before, and the cursor again.
ENTERED = "\x1b[?1049h"
LEFT = "\x1b[?1049l"
CURSOR = "\x1b[?25h"


class Terminal:
    """A browser in a terminal of 100 columns, and what it has drawn."""

    def __init__(self, folder: Path, *arguments: str, **environment: str) -> None:
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 100, 0, 0))
        self.before = termios.tcgetattr(slave)
        self._slave = slave
        self.process = subprocess.Popen(
            [sys.executable, "-m", "TetherDB", "browse", *arguments],
            cwd=folder,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            env=clean_environment() | {"TERM": "xterm-256color"} | environment,
        )
        self.drawn = ""

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._master)
        os.close(self._slave)

    def type(self, keys: str) -> None:
        os.write(self._master, keys.encode())

    def _read(self) -> None:
        if select.select([self._master], [], [], 0.02)[0]:
            with contextlib.suppress(OSError):
                self.drawn += os.read(self._master, 1 << 16).decode(errors="replace")

    def until(self, text: str) -> None:
        deadline = time.monotonic() + PATIENCE
        while text not in self.drawn:
            assert time.monotonic() < deadline, self.drawn
            assert self.process.poll() is None, self.drawn
            self._read()

    def ends(self) -> int:
        """Its exit code, once it has ended; reads until then, so that it never waits for the terminal."""
        deadline = time.monotonic() + PATIENCE
        while (code := self.process.poll()) is None:
            assert time.monotonic() < deadline, self.drawn
            self._read()
        self._read()
        return code

    def is_restored(self) -> bool:
        """Whether the terminal is as it was."""
        same = termios.tcgetattr(self._slave)[:4] == self.before[:4]
        return same and LEFT in self.drawn and CURSOR in self.drawn


@pytest.fixture
def store(tmp_path: Path) -> Path:
    with DB({"local": {"filepath": str(tmp_path / "localdb")}}) as db:
        db.write_message("alice", {"name": "Alice"}, bucket="users")
    return tmp_path


@contextlib.contextmanager
def terminal(folder: Path, *arguments: str, **environment: str) -> Generator[Terminal]:
    with contextlib.closing(Terminal(folder, *arguments, **environment)) as opened:
        yield opened


@pytest.mark.parametrize(("keys", "code"), [("q", 0), ("\x03", 130)])
def test_it_starts_draws_and_ends(store: Path, keys: str, code: int) -> None:
    with terminal(store) as at:
        at.until("users")
        at.until("Alice")
        at.type(keys)
        assert at.ends() == code
        assert "Traceback" not in at.drawn
        assert at.is_restored()


def test_no_color(store: Path) -> None:
    with terminal(store, NO_COLOR="1", COLORTERM="truecolor") as at:
        at.until("Alice")
        at.type("q")
        assert at.ends() == 0
        colours = re.findall(r"[34]8;2;(\d+);(\d+);(\d+)", at.drawn)
        assert colours
        # Shades of grey.
        assert all(red == green == blue for red, green, blue in colours)


def test_sigterm_restores_the_terminal(store: Path) -> None:
    with terminal(store) as at:
        at.until("Alice")
        at.process.send_signal(signal.SIGTERM)
        assert at.ends() == 143
        assert at.is_restored()


def test_a_bug_is_one_line_and_restores_the_terminal(store: Path, tmp_path: Path) -> None:
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "sitecustomize.py").write_text(
        "from TetherDB.cli.browse import panes\n"
        "def broken(*_): raise RuntimeError('no such thing')\n"
        "panes.StatusPane.show = broken\n"
    )
    path = os.pathsep.join([str(tmp_path / "broken"), *filter(None, [os.environ.get("PYTHONPATH")])])
    with terminal(store, PYTHONPATH=path) as at:
        assert at.ends() == 70
        assert "RuntimeError: no such thing. This is a bug of TetherDB" in at.drawn.replace("\r\n", "")
        assert "Traceback" not in at.drawn
        assert at.is_restored()


def test_quitting_while_a_server_hangs(store: Path, own_etcd: EtcdServer) -> None:
    (store / "config.json").write_text(json.dumps({"etcd": own_etcd.section() | {"timeout": 1000}}))
    own_etcd.pause()
    with terminal(store, "--config", "config.json", "--backend", "etcd") as at:
        at.until("Quit")
        at.type("q")
        # Far less than the timeout.
        assert at.ends() == 0
        assert at.is_restored()
    own_etcd.resume()


def test_without_a_terminal(tetherdb: Callable[..., Ran], tmp_path: Path) -> None:
    ended = tetherdb("browse")
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith("tetherdb: browse needs a terminal to draw in")
    assert "tetherdb list" in ended.err
    assert list(tmp_path.iterdir()) == []


def test_without_textual(store: Path, tmp_path: Path) -> None:
    (tmp_path / "hidden").mkdir()
    (tmp_path / "hidden" / "textual.py").write_text("raise ModuleNotFoundError(name='textual')\n")
    path = os.pathsep.join([str(tmp_path / "hidden"), *filter(None, [os.environ.get("PYTHONPATH")])])
    with terminal(store, PYTHONPATH=path) as at:
        assert at.ends() == 2
        assert 'pip install "tetherdb[cli]"' in at.drawn


def test_a_wrong_configuration(store: Path) -> None:
    (store / "config.json").write_text('{"locl": {}}')
    with terminal(store, "--config", "config.json") as at:
        assert at.ends() == 2
        assert "locl" in at.drawn
        assert ENTERED not in at.drawn


def test_a_backend_that_is_not_configured(store: Path) -> None:
    with terminal(store, "--backend", "etcd") as at:
        assert at.ends() == 2
        assert 'Add a section "etcd" to the configuration.' in at.drawn
        assert ENTERED not in at.drawn


def test_the_log_does_not_draw_over_the_window(store: Path) -> None:
    with terminal(store, "--verbose") as at:
        at.until("Alice")
        at.type("q")
        assert at.ends() == 0
        window, after = at.drawn.split(ENTERED, 1)[1].split(LEFT, 1)
        assert "tetherdb: debug" not in window
        assert "Traceback" not in after

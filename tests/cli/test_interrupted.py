"""Ctrl-C: every command ends with 130 and says so, and nothing is half done in silence."""

from __future__ import annotations

import contextlib
import re
import signal
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from .conftest import PATIENCE, SILENCE, plain

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from servers.etcd import EtcdServer

    from .conftest import Ran

MANY = 150_000


def interrupt(process: subprocess.Popen[bytes]) -> str:
    """Sends what Ctrl-C sends; gives what the command says. Whoever reads its output does not go on."""
    process.send_signal(signal.SIGINT)
    process.wait(PATIENCE)
    assert process.stderr is not None
    said = process.stderr.read().decode()
    assert process.returncode == 130, said
    assert said.endswith("tetherdb: interrupted\n")
    assert "Traceback" not in said
    assert "Exception ignored" not in said
    return said


@pytest.fixture
def paused(own_etcd: EtcdServer, configured: Callable[..., Path]) -> Iterator[Path]:
    """A configuration with a server that answers nobody, for which commands would wait long."""
    path = configured(etcd=own_etcd.section() | {"timeout": 500})
    own_etcd.pause()
    yield path
    own_etcd.resume()


@pytest.mark.parametrize("command", [["list"], ["list", "--values"], ["list", "--json"]], ids=" ".join)
def test_long_lists(
    start: Callable[..., subprocess.Popen[bytes]],
    store: Callable[[Mapping[str, Any]], None],
    command: list[str],
) -> None:
    store({f"n:{number:06}": "x" for number in range(MANY)})
    process = start(*command)
    assert process.stdout is not None
    # It has begun, and soon has to wait for us.
    assert process.stdout.read(10)
    assert interrupt(process) == "tetherdb: interrupted\n"


def test_a_bucket_that_is_being_deleted(
    start: Callable[..., subprocess.Popen[bytes]],
    store: Callable[[Mapping[str, Any]], None],
    content: Callable[[], dict[str, Any]],
    eventually: Callable[[Callable[[], object]], None],
    tmp_path: Path,
) -> None:
    store({f"n:{number:06}": "x" for number in range(MANY)})
    from TetherDB import DB

    with DB({"local": {"filepath": str(tmp_path / "localdb")}}) as db:
        process = start("delete", "--all", "--bucket", "n", "--yes")
        eventually(lambda: db.read_message("n:000000") is None)
        said = interrupt(process)
    found = re.match(
        r'tetherdb: at least (\d+) records of bucket "n" of the file localdb deleted, not all\n', said
    )
    assert found is not None, said
    assert int(found[1]) < MANY
    # The transaction that was under way may be done all the same.
    assert len(content()) in (MANY - int(found[1]), MANY - int(found[1]) - 1000)


@pytest.mark.parametrize(
    "command",
    [
        ["get", "a"],
        ["put", "a", "1"],
        ["update", "a", "1"],
        ["delete", "a"],
        ["list"],
        ["ping"],
        ["ping", "--all"],
    ],
    ids=" ".join,
)
def test_a_server_that_does_not_answer(
    start: Callable[..., subprocess.Popen[bytes]], paused: Path, command: list[str]
) -> None:
    process = start(*command, "--config", paused, "--backend", "etcd", "--verbose")
    assert process.stderr is not None
    # It has opened the store, and is about to ask.
    while b"initialized" not in (line := process.stderr.readline()):
        assert line
    process.send_signal(signal.SIGINT)
    process.wait(PATIENCE)
    said = process.stderr.read().decode()
    assert process.returncode == 130, said
    assert "tetherdb: interrupted\n" in said


def test_stats(start: Callable[..., subprocess.Popen[bytes]], paused: Path) -> None:
    process = start("stats", "--count", "--config", paused, "--verbose")
    assert process.stderr is not None
    while b"etcd backend initialized" not in (line := process.stderr.readline()):
        assert line
    process.send_signal(signal.SIGINT)
    process.wait(PATIENCE)
    assert process.returncode == 130


def test_a_value_that_is_awaited(
    start: Callable[..., subprocess.Popen[bytes]], content: Callable[[], dict[str, Any]]
) -> None:
    process = start("put", "a", "--verbose")
    assert process.stdin is not None
    assert process.stderr is not None
    assert b"initialized" in process.stderr.readline()
    process.stdin.write(b"half a value")
    process.stdin.flush()
    while process.poll() is None:
        process.send_signal(signal.SIGINT)
        # Python may look for it just before it begins to read, and not again.
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(SILENCE)
    assert process.returncode == 130
    assert b"tetherdb: interrupted\n" in process.stderr.read()
    assert content() == {}


def test_a_journal_that_is_sent(
    start: Callable[..., subprocess.Popen[bytes]],
    run_python: Callable[..., Any],
    paused: Path,
    tmp_path: Path,
) -> None:
    program = (
        "import sys, os, signal\nfrom TetherDB import DB\n"
        "db = DB({'etcd': {}, 'queue_batch': {'journal': 'journal', 'timeout': 500}})\n"
        "db.write_queue_message('a', '1')\ndb.write_queue_message('b', '2', backend='etcd')\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    run_python(program)
    process = start("journal", "retry", "--config", paused, "--journal", tmp_path / "journal", "--verbose")
    assert process.stderr is not None
    while b"Write successful to local backend: a" not in (line := process.stderr.readline()):
        assert line
    process.send_signal(signal.SIGINT)
    process.wait(PATIENCE)
    assert process.stdout is not None
    assert process.returncode == 130
    # What was done, and what is left, is said all the same.
    assert process.stdout.read() == b"delivered: 1\nleft: 1 message (etcd 1)\n"
    assert b"tetherdb: interrupted\n" in process.stderr.read()


@pytest.mark.parametrize("answer", ["\x03", "\x04"], ids=["Ctrl-C", "Ctrl-D"])
def test_a_question(
    terminal: Callable[..., Ran],
    store: Callable[[Mapping[str, Any]], None],
    content: Callable[[], dict[str, Any]],
    answer: str,
) -> None:
    store({"users:a": "1"})
    ended = terminal("delete", "--all", "--bucket", "users", typed=answer, when="[y/N]")
    assert ended.code == 130
    assert plain(ended.out).endswith("\ntetherdb: interrupted\n")
    assert content() == {"users:a": "1"}


def test_a_value_that_is_typed(terminal: Callable[..., Ran], content: Callable[[], dict[str, Any]]) -> None:
    ended = terminal("put", "a", typed="half a value\n\x03", when="Ctrl-D")
    assert ended.code == 130
    assert plain(ended.out).endswith("tetherdb: interrupted\n")
    assert content() == {}

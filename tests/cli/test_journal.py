"""`tetherdb journal`."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from TetherDB import DB

from .conftest import Ran, plain

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from servers.etcd import EtcdServer

# Nobody listens at port 1, so what goes there is given up soon; what is queued then waits for its batch.
LEAVE_BEHIND = """
import contextlib, os, signal, sys
from TetherDB import DB, DeliveryError

db = DB(config_file=sys.argv[1])
db.write_queue_message("given up\\x1b[2J", {"n": 1}, backend="etcd", bucket="b")
with contextlib.suppress(DeliveryError):
    db.flush()
db.write_queue_message("waits", "for the file")
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def config(configured: Callable[..., Path]) -> Path:
    return configured(
        local={"filepath": "localdb"},
        etcd={"port": 1, "timeout": 0.3},
        logging="none",
        queue_batch={"journal": "a journal", "timeout": 60, "retry": {"give_up_after": 0.2}},
    )


@pytest.fixture
def left_behind(config: Path, tmp_path: Path) -> int:
    """A message that waits and one that was given up, in the journal of a killed process: its number."""
    command = [sys.executable, "-c", LEAVE_BEHIND, str(config)]
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.DEVNULL) as process:
        process.wait(60)
    return process.pid


def test_show(tetherdb: Callable[..., Ran], config: Path, left_behind: int, tmp_path: Path) -> None:
    before = (tmp_path / "a journal").read_bytes()
    ended = tetherdb("journal", "show", "--config", config)
    assert ended.code == 0
    head, given_up, waits = (line.split("\t") for line in ended.out.splitlines())
    assert head == ["key", "backend", "state"]
    assert given_up[:2] == ["b:given up\\u001b[2J", "etcd"]
    assert given_up[2].startswith("given up: etcd backend: cannot reach localhost:1: ")
    assert waits == ["waits", "local", "waiting"]
    assert ended.err == (
        f"tetherdb: {tmp_path / 'a journal'}: 2 messages (etcd 1, local 1), of which 1 given up. "
        f"Process {left_behind}, which opened it last, has ended\n"
    )
    first, second = tetherdb("journal", "show", "--json", "--journal", "a journal").records
    assert (first["key"], first["value"], first["backend"]) == ("b:given up\x1b[2J", {"n": 1}, "etcd")
    assert second == {"key": "waits", "value": "for the file", "backend": "local", "error": None}
    values = tetherdb("journal", "show", "--values", "--backend", "local", "--config", config, "--quiet")
    assert values == Ran(0, "key\tbackend\tstate\tvalue\nwaits\tlocal\twaiting\tfor the file\n", "")
    # Nothing was sent, nothing changed.
    assert (tmp_path / "a journal").read_bytes() == before
    assert not (tmp_path / "localdb").exists()


def test_show_beside_its_owner(tetherdb: Callable[..., Ran], config: Path, tmp_path: Path) -> None:
    journal = str(tmp_path / "a journal")
    with DB({"local": {"filepath": str(tmp_path / "other")}, "queue_batch": {"journal": journal}}):
        ended = tetherdb("journal", "show", "--config", config)
        assert (ended.code, ended.out) == (0, "")
        assert ended.err == (
            f"tetherdb: {journal}: nothing. Process {os.getpid()}, which opened it last, runs\n"
        )
        for command in (["retry"], ["drop", "--yes"]):
            ended = tetherdb("journal", *command, "--config", config)
            if command == ["retry"] or ended.code:
                assert (ended.code, ended.out) == (2, "")
                assert f"process {os.getpid()} uses it, and a journal has one owner" in ended.err
                assert ended.err.count("\n") == 1


def test_retry_delivers_what_can_be(
    tetherdb: Callable[..., Ran], config: Path, left_behind: int, content: Callable[[], dict[str, Any]]
) -> None:
    del left_behind
    ended = tetherdb("journal", "retry", "--config", config, "--timeout", "30")
    assert ended.code == 3
    assert ended.out == "delivered: 1\nleft: 1 message (etcd 1), of which 1 given up\n"
    assert "error: Message given up [etcd]" in ended.err
    assert content() == {"waits": "for the file"}
    # Again, for machines, and not for long enough to give up.
    ended = tetherdb("journal", "retry", "--config", config, "--timeout", "0", "--json", "--quiet")
    assert ended.code == 3
    [found] = ended.records
    assert (found["delivered"], found["left"]) == (0, 1)
    assert found["error"]


def test_retry_delivers_everything_once_the_server_is_back(
    tetherdb: Callable[..., Ran],
    config: Path,
    left_behind: int,
    configured: Callable[..., Path],
    clean_etcd: EtcdServer,
) -> None:
    del left_behind
    path = configured(etcd=clean_etcd.section(), queue_batch={"journal": "a journal"})
    assert path == config
    ended = tetherdb("journal", "retry", "--config", config, "--quiet")
    assert ended == Ran(0, "delivered: 2\nleft: nothing\n", "")
    assert tetherdb("list", "--backend", "etcd", "--json", "--config", config).records == [
        {"key": "b:given up\x1b[2J"}
    ]
    assert tetherdb("journal", "retry", "--config", config) == Ran(0, "delivered: 0\nleft: nothing\n", "")


def test_drop(tetherdb: Callable[..., Ran], config: Path, left_behind: int, tmp_path: Path) -> None:
    del left_behind

    def drop(*arguments: str) -> Ran:
        return tetherdb("journal", "drop", "--config", config, *arguments)

    assert drop("--dry-run") == Ran(0, "1 message would be dropped\n", "")
    assert drop("--dry-run", "--json").records == [{"messages": 1}]
    ended = drop()
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith(
        f"tetherdb: Drop what was given up from {tmp_path / 'a journal'}: 1 message? Nobody is here to ask: "
    )
    assert drop("--yes", "--backend", "local") == Ran(0, "0 messages dropped\n", "")
    assert drop("--yes") == Ran(0, "1 message dropped\n", "")
    # What waits stays.
    assert [found["key"] for found in tetherdb("journal", "show", "--json", "--config", config).records] == [
        "waits"
    ]
    assert drop() == Ran(0, "0 messages dropped\n", "")
    assert not (tmp_path / "localdb").exists()


@pytest.mark.parametrize(("answer", "code"), [("n\n", 130), ("y\n", 0)])
def test_a_terminal_is_asked(
    terminal: Callable[..., Ran], config: Path, left_behind: int, answer: str, code: int
) -> None:
    del left_behind
    ended = terminal("journal", "drop", "--config", str(config), typed=answer, when="[y/N]")
    assert ended.code == code
    assert "[y/N]:" in plain(ended.out)
    assert ("1 message dropped" in ended.out) == (code == 0)


@pytest.mark.parametrize("seconds", ["nan", "-1", "soon"])
def test_a_wrong_timeout(
    tetherdb: Callable[..., Ran], config: Path, left_behind: int, tmp_path: Path, seconds: str
) -> None:
    del left_behind
    before = (tmp_path / "a journal").read_bytes()
    ended = tetherdb("journal", "retry", "--config", config, "--timeout", seconds)
    assert (ended.code, ended.out) == (2, "")
    assert "--timeout" in ended.err
    assert ended.err.count("\n") == 1
    assert (tmp_path / "a journal").read_bytes() == before


@pytest.mark.parametrize("command", [["show"], ["retry"], ["drop"], ["drop", "--yes"], ["drop", "--dry-run"]])
def test_there_is_none(tetherdb: Callable[..., Ran], tmp_path: Path, command: list[str]) -> None:
    ended = tetherdb("journal", *command, "--journal", "nowhere")
    assert (ended.code, ended.out) == (2, "")
    assert ended.err == (
        "tetherdb: queue_batch.journal: nowhere: it cannot be read: No such file or directory (os error 2).\n"
    )
    ended = tetherdb("journal", *command)
    assert (ended.code, ended.out) == (2, "")
    assert ended.err == (
        "tetherdb: there is no journal in the configuration. Give --journal FILE, or --config FILE that has "
        "one\n"
    )
    (tmp_path / "other").write_text("no journal at all\n" * 10)
    ended = tetherdb("journal", *command, "--journal", "other")
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith("tetherdb: queue_batch.journal: other: ")
    assert (tmp_path / "other").read_text() == "no journal at all\n" * 10

"""A disk under the journal that fails: what it has not confirmed was not queued, and a new file is begun.

strace makes the calls of a real program fail.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import textwrap
from typing import TYPE_CHECKING

import pytest

from process.scripts import PRELUDE

from .support import OPEN

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from TetherDB import DB


def run_failing(folder: Path, fault: str, body: str, *arguments: str) -> str:
    """Runs a program in which some call on the journal fails; gives what it has logged."""
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("there is no strace here")
    command = [strace, "-f", "-qq", "-o", "trace", "-P", f"{folder / 'journal'}"]
    command += ["-e", f"trace={fault.partition(':')[0]}", "-e", f"inject={fault}"]
    source = PRELUDE + OPEN + textwrap.dedent(body)
    done = subprocess.run(
        [*command, sys.executable, "-c", source, *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
    )
    if "ptrace" in done.stderr.lower():
        pytest.skip("this user may trace nothing")
    assert (done.returncode, done.stdout) == (0, "done\n"), done.stderr
    assert "INJECTED" in (folder / "trace").read_text()
    return done.stderr


REFUSED = """
    db = open_db(journal_sync=sys.argv[1])
    taken = []
    for number in range(10):
        stats = db.stats()
        try:
            assert db.write_queue_message(f"{number}", "v") is True
            taken.append(f"{number}")
        except BackendError as error:
            assert type(error) is BackendError and error.retryable and error.backend == "local", repr(error)
            assert f"did not take key '{number}'" in str(error) and "Nothing was queued" in str(error), error
            assert "Input/output error" in str(error) or "No space left" in str(error), error
            assert db.stats() == stats, (db.stats(), stats)
    assert len(taken) == 9, taken
    with open("taken", "w") as file:
        file.write(" ".join(taken))
    print("done", flush=True)
    os._exit(0)
"""


@pytest.mark.parametrize(
    ("sync", "fault"),
    [
        ("always", "fdatasync:error=EIO:when=4"),
        ("never", "pwrite64:error=EIO:when=8"),
        ("interval", "pwrite64:error=ENOSPC:when=8"),
    ],
)
def test_a_message_that_the_disk_refuses_was_not_queued(
    tmp_path: Path, open_journal: Callable[..., DB], lines: Callable[[str], list[str]], sync: str, fault: str
) -> None:
    assert run_failing(tmp_path, fault, REFUSED, sync) == ""
    taken = (tmp_path / "taken").read_text().split()
    db = open_journal()
    db.flush()
    assert dict(db.iter_messages()) == dict.fromkeys(taken, "v")
    assert lines("ERROR") == []


def test_no_thread_that_waits_for_a_failed_sync_is_told_otherwise(
    tmp_path: Path, open_journal: Callable[..., DB]
) -> None:
    body = """
        db = open_db()
        taken, refused = [], []

        def work(number):
            for turn in range(50):
                try:
                    db.write_queue_message(f"{number}-{turn}", "v")
                    taken.append(f"{number}-{turn}")
                except BackendError:
                    refused.append(f"{number}-{turn}")

        threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
        assert refused
        assert db.stats()["local"]["pending"] == len(taken), (db.stats(), len(taken))
        with open("taken", "w") as file:
            file.write(" ".join(taken))
        print("done", flush=True)
        os._exit(0)
    """
    run_failing(tmp_path, "fdatasync:error=EIO:when=5+9", body)
    taken = set((tmp_path / "taken").read_text().split())
    db = open_journal()
    db.flush()
    assert set(dict(db.iter_messages())) == taken


def test_a_sync_in_the_background_that_fails_is_told_loudly(
    tmp_path: Path, open_journal: Callable[..., DB]
) -> None:
    body = """
        db = open_db(journal_sync="interval")
        assert db.write_queue_message("k", "v") is True
        time.sleep(0.5)
        assert db.write_queue_message("k", "again") is True
        print("done", flush=True)
        os._exit(0)
    """
    said = run_failing(tmp_path, "fdatasync:error=EIO:when=1", body)
    assert said.startswith("ERROR The journal "), said
    assert "Input/output error" in said
    db = open_journal()
    db.flush()
    assert db.read_message("k") == "again"

"""When the journal goes to the disk: seen from outside, in the system calls of a program."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import textwrap
from typing import TYPE_CHECKING, NamedTuple

import pytest

from process.scripts import PRELUDE

from .support import OPEN, SOON, every_sync

if TYPE_CHECKING:
    from pathlib import Path

CALLS = "pwrite64,fdatasync,fsync,sync_file_range,write,ftruncate"
# Number of the thread, time, call, path of the file that it is about.
LINE = re.compile(r"^(\d+) +(\d+\.\d+) (\w+)\(\d+<([^>]*)>")
RESUMED = re.compile(r"^(\d+) +(\d+\.\d+) <\.\.\. (\w+) resumed>")

# What is written of zeros is space for later records.
SPACE = ', "' + r"\0" * 32


class Call(NamedTuple):
    """A system call: when it began or was done, its name, its file, and the word that a marker has."""

    at: float
    name: str
    file: str
    text: str = ""


@pytest.fixture(scope="module")
def strace(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The program, if it may be used here."""
    found = shutil.which("strace")
    if found is None:
        pytest.skip("there is no strace here")
    tried = subprocess.run([found, "-o", "/dev/null", "true"], capture_output=True, timeout=30)
    if tried.returncode:
        pytest.skip("this user may trace nothing")
    return found


def trace(strace: str, folder: Path, body: str, *arguments: str) -> list[Call]:
    """The calls of a program, in order: each at its begin where it writes, at its end where it syncs.

    `mark(word)` of the program stands among them.
    """
    marks = (
        "def mark(word): os.write(marks, word.encode())\nmarks = os.open('marks', os.O_WRONLY | os.O_CREAT)\n"
    )
    source = PRELUDE + OPEN + marks + textwrap.dedent(body)
    command = [strace, "-f", "-qq", "-y", "-ttt", "-s", "200", "-e", f"trace={CALLS}", "-o", "trace"]
    done = subprocess.run(
        [*command, sys.executable, "-c", source, *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    calls: list[Call] = []
    unfinished: dict[str, str] = {}
    for line in (folder / "trace").read_text().splitlines():
        if resumed := RESUMED.match(line):
            thread, at, name = resumed.groups()
            if "sync" in name and line.endswith("= 0"):
                calls.append(Call(float(at), name, unfinished.pop(thread)))
            continue
        if not (begun := LINE.match(line)):
            continue
        thread, at, name, path = begun.groups()
        file = path.rsplit("/", 1)[-1]
        if file == "journal" and SPACE in line:
            continue
        if line.endswith("<unfinished ...>") and "sync" in name:
            unfinished[thread] = file
            continue
        word = line.split('"')[1] if file == "marks" else ""
        calls.append(Call(float(at), name, file, word))
    return calls


def names(calls: list[Call], *files: str) -> list[str]:
    """Short names of the calls on some files, and the words of the marks."""
    return [call.text or f"{call.name} {call.file}" for call in calls if call.file in ("marks", *files)]


WRITE, SYNC = "pwrite64 journal", "fdatasync journal"

QUEUE = """
    db = open_db(journal_sync=sys.argv[1])
    mark("opened")
    for number in range(5):
        db.write_queue_message("k", f"{number}")
        mark(f"returned {number}")
    time.sleep(float(sys.argv[2]))
    mark("end")
    os._exit(0)
"""


def test_with_always_each_message_is_on_disk_before_its_call_returns(strace: str, tmp_path: Path) -> None:
    seen = names(trace(strace, tmp_path, QUEUE, "always", "0"), "journal")
    expected = [each for number in range(5) for each in (WRITE, SYNC, f"returned {number}")]
    assert seen[seen.index("opened") + 1 :] == [*expected, "end"]


def test_with_never_nothing_waits_for_the_disk(strace: str, tmp_path: Path) -> None:
    seen = names(trace(strace, tmp_path, QUEUE, "never", "0.3"), "journal")
    expected = [each for number in range(5) for each in (WRITE, f"returned {number}")]
    assert seen[seen.index("opened") + 1 :] == [*expected, "end"]
    assert SYNC not in seen


def test_with_interval_it_is_on_disk_soon_and_no_call_waits(strace: str, tmp_path: Path) -> None:
    calls = trace(strace, tmp_path, QUEUE, "interval", "1")
    writes = [call.at for call in calls if (call.name, call.file) == ("pwrite64", "journal")]
    syncs = [call.at for call in calls if (call.name, call.file) == ("fdatasync", "journal")]
    # The first one writes the header.
    assert len(writes) >= 5
    for written in writes[-5:]:
        assert any(0 <= synced - written < 0.1 + SOON for synced in syncs), (writes, syncs)
    # Not one for each.
    assert len(syncs) <= 3


@every_sync
def test_a_message_is_one_write_to_the_journal(strace: str, tmp_path: Path, sync: str) -> None:
    body = """
        db = open_db(journal_sync=sys.argv[1])
        mark("opened")
        db.write_queue_message("k", "x" * 50_000)
        mark("end")
        os._exit(0)
    """
    seen = names(trace(strace, tmp_path, body, sync), "journal")
    assert seen[seen.index("opened") + 1 : seen.index("end")].count(WRITE) == 1


def test_one_sync_serves_all_who_wait(strace: str, tmp_path: Path) -> None:
    body = """
        db = open_db()
        gate = threading.Barrier(8)

        def work(number):
            gate.wait()
            for turn in range(25):
                db.write_queue_message(f"{number}", f"{turn}")

        threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
        mark("end")
        os._exit(0)
    """
    seen = names(trace(strace, tmp_path, body), "journal")
    assert seen.count(WRITE) >= 200
    assert 0 < seen.count(SYNC) < 200
    # The last sync comes after the last write.
    assert seen[-1] == "end"
    assert seen[-2] == SYNC


def test_a_direct_write_waits_until_the_end_of_the_queued_one_is_on_disk(strace: str, tmp_path: Path) -> None:
    # Else a power loss might bring back the queued message over the direct one.
    body = """
        db = open_db()
        db.write_queue_message("k", "queued")
        db.write_queue_message("other", "queued")
        db.flush()
        mark("direct")
        db.write_message("k", "direct")
        mark("returned")
        db.write_message("k", "direct again")
        mark("end")
        os._exit(0)
    """
    seen = names(trace(strace, tmp_path, body), "journal", "store", "store-wal")
    direct = seen[seen.index("direct") + 1 : seen.index("returned")]
    assert direct[0] == SYNC, direct
    assert any(call.startswith("pwrite64 store") for call in direct[1:]), direct
    # Once is enough.
    assert SYNC not in seen[seen.index("returned") : seen.index("end")]


def test_verbs_of_other_keys_wait_for_no_disk(strace: str, tmp_path: Path) -> None:
    body = """
        db = open_db()
        db.write_queue_message("k", "queued")
        db.flush()
        mark("direct")
        db.write_message("never queued", "direct")
        db.read_message("k")
        mark("end")
        os._exit(0)
    """
    seen = names(trace(strace, tmp_path, body), "journal")
    assert seen[seen.index("direct") + 1 :] == ["end"]

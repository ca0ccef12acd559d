"""A journal has one owner, until that one has stopped or has died."""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING

import pytest

from TetherDB import DB, ConfigError

from .support import EMPTY, die, kill, program

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

OWNER = """
    db = open_db()
    db.write_queue_message("k", "theirs")
    print("ready", os.getpid(), flush=True)
    sys.stdin.readline()
"""


def refused(opening: Callable[[], DB]) -> str:
    """What a second owner is told."""
    with pytest.raises(ConfigError) as caught:
        opening()
    text = str(caught.value)
    assert text.startswith("queue_batch.journal: "), text
    assert "name another path" in text.lower(), text
    return text


def test_a_second_handle_of_the_process_is_refused(
    tmp_path: Path, journal: Path, open_journal: Callable[..., DB]
) -> None:
    first = open_journal(queue_batch={"timeout": 3600})
    first.write_queue_message("k", "v")
    before = journal.read_bytes()
    assert "another DB of this process uses it" in refused(open_journal)
    # Whatever it is called.
    link = tmp_path / "link"
    link.symlink_to("journal")
    refused(lambda: open_journal(queue_batch={"journal": str(link)}))
    refused(lambda: open_journal(queue_batch={"journal": f"{tmp_path}/../{tmp_path.name}/./journal"}))
    assert journal.read_bytes() == before
    first.flush()
    assert first.read_message("k") == "v"


def test_a_handle_of_another_process_is_refused_by_its_number(
    tmp_path: Path, journal: Path, open_journal: Callable[..., DB]
) -> None:
    with program(tmp_path, OWNER) as owner:
        number = owner.expect("ready")
        before = journal.read_bytes()
        for _ in range(3):
            assert f"process {number} uses it" in refused(open_journal)
        assert journal.read_bytes() == before
        owner.tell()
        owner.finish().quiet()
    # It has delivered it before it ended.
    db = open_journal()
    assert db.read_message("k") == "theirs"
    assert db.stats()["local"]["accepted"] == 0


def test_stop_gives_it_to_the_next_and_the_next_verb_takes_it_back(
    journal: Path, open_journal: Callable[..., DB]
) -> None:
    first = open_journal()
    first.write_queue_message("1", "v")
    first.stop()
    assert journal.stat().st_size == EMPTY
    second = open_journal()
    second.write_queue_message("2", "v")
    refused(lambda: open_journal())
    # The first one may not queue while the second has it, but write it may.
    with pytest.raises(ConfigError, match=r"^queue_batch\.journal: "):
        first.write_queue_message("3", "v")
    assert first.write_message("3", "v") is True
    assert first.read_message("3") == "v"
    first.flush()
    second.stop()
    assert first.write_queue_message("4", "v") is True
    refused(lambda: open_journal())
    first.stop()
    assert first.list_keys()["keys"] == ["1", "2", "3", "4"]


def test_the_end_of_a_with_block_gives_it_up(open_journal: Callable[..., DB]) -> None:
    for turn in range(3):
        with open_journal() as db:
            db.write_queue_message(f"{turn}", "v")
    assert len(open_journal().list_keys()["keys"]) == 3


def test_a_kill_of_the_owner_gives_it_up_at_once(tmp_path: Path, open_journal: Callable[..., DB]) -> None:
    with program(tmp_path, OWNER) as owner:
        owner.expect("ready")
        kill(owner)
        db = open_journal()
        db.flush()
        assert db.read_message("k") == "theirs"


# A child, of a child too, that lives on; how it was made is the argument.
PARENT = """
    import subprocess
    db = open_db()
    db.write_queue_message("before", "theirs")

    def child(work):
        number = os.fork()
        if not number:
            work()
            time.sleep(60)
            os._exit(0)
        return number

    way, children = sys.argv[1], []
    if way == "fork":
        children.append(child(lambda: None))
    elif way == "used":
        children.append(child(lambda: db.write_message("child", "v")))
    elif way == "grandchild":
        children.append(child(lambda: child(lambda: None)))
    elif way == "while-others-queue":
        def work(number):
            for turn in range(10_000_000):
                db.write_queue_message(f"busy-{number}", f"{turn}")
        for number in range(3):
            threading.Thread(target=work, args=(number,), daemon=True).start()
        children += [child(lambda: None) for _ in range(20)]
    elif way == "subprocess":
        children.append(subprocess.Popen(["sleep", "60"], close_fds=False).pid)
    db.write_queue_message("after", "theirs")
    print("ready", os.getpid(), *children, flush=True)
    sys.stdin.readline()
"""


def open_soon(open_journal: Callable[..., DB]) -> DB:
    """Opens it within a while that no machine needs."""
    deadline = time.monotonic() + 5
    while True:
        try:
            return open_journal()
        except ConfigError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.01)


@pytest.mark.parametrize("way", ["fork", "used", "grandchild", "while-others-queue", "subprocess"])
def test_a_kill_gives_it_up_while_a_child_of_the_owner_lives_on(
    tmp_path: Path, open_journal: Callable[..., DB], way: str
) -> None:
    # The program has a process group of its own, which the end of the block ends; it must not end before.
    with program(tmp_path, PARENT, way) as owner:
        number, *children = map(int, owner.expect("ready").split())
        try:
            die(owner, number)
            # A child that has only just begun lets go of it in a moment.
            db = open_soon(open_journal)
            for child in children:
                os.kill(child, 0)
            db.flush()
            assert db.read_messages(["before", "after"]) == {"before": "theirs", "after": "theirs"}
        finally:
            for child in children:
                os.kill(child, signal.SIGKILL)

"""`kill -9` takes no message that `write_queue_message` has returned for."""

from __future__ import annotations

import random
import time
from collections import defaultdict
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from .support import EMPTY, every_sync, kill, program, run_killed, run_whole

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from TetherDB import DB

    History = Callable[[str], list[str | None]]

# Several threads queue, each on keys of its own, and note in a file what has returned.
WRITERS = """
    sync, round, timeout = sys.argv[1], sys.argv[2], float(sys.argv[3])
    db = open_db(journal_sync=sync, timeout=timeout, size=7)
    notes = os.open("notes", os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def work(number):
        for turn in range(1_000_000):
            key = f"{round}-{number}-{turn % 3}"
            assert db.write_queue_message(key, f"{turn:07}") is True
            os.write(notes, f"{key} {turn:07}\\n".encode())

    for number in range(4):
        threading.Thread(target=work, args=(number,)).start()
    print("ready", flush=True)
"""


def noted(folder: Path) -> dict[str, list[str]]:
    """What has returned, by key, in order."""
    found: defaultdict[str, list[str]] = defaultdict(list)
    for line in (folder / "notes").read_text().splitlines():
        key, text = line.split()
        found[key].append(text)
    return found


@every_sync
def test_what_was_queued_before_a_kill_is_delivered_in_order(
    tmp_path: Path, history: History, open_journal: Callable[..., DB], sync: str
) -> None:
    chance = random.Random()
    before: dict[str, int] = {}
    for number in range(3):
        # Once nothing has been delivered before the kill; else it comes in the middle of that, too.
        timeout = [3600.0, 0.0, 0.005][number]
        with program(tmp_path, WRITERS, sync, f"{number}", f"{timeout}") as started:
            started.expect("ready")
            time.sleep(chance.uniform(0.05, 0.25))
            assert kill(started).err == ""
        keys = {key: texts for key, texts in noted(tmp_path).items() if key.startswith(f"{number}-")}
        assert keys
        before = {key: len(history(key)) for key in list(keys)[:4]}
        db = open_journal()
        db.flush()
        db.stop()
        for key, count in before.items():
            seen = history(key)
            first, again = seen[:count], seen[count:]
            # In order before and after; what was delivered may be once more, what had returned is there.
            assert first == sorted(first, key=str)
            assert again == sorted(again, key=str)
            assert set(keys[key]) <= set(seen)
            # At most what was being queued at that moment is there, too.
            assert len(set(seen) - set(keys[key])) <= 1
            assert (seen[-1] or "") >= keys[key][-1]
        stored = dict(db.iter_messages())
        assert all(str(stored[key]) >= texts[-1] for key, texts in keys.items())
        db.stop()


@every_sync
def test_every_thread_finds_all_of_its_messages_in_its_order(
    tmp_path: Path, history: History, open_journal: Callable[..., DB], sync: str
) -> None:
    body = """
        db = open_db(journal_sync=sys.argv[1])
        gate = threading.Barrier(16)

        def work(number):
            gate.wait()
            for turn in range(40):
                db.write_queue_message(f"own-{number}", f"{turn:02}")
                db.write_queue_message("all", f"{number:02}-{turn:02}")

        threads = [threading.Thread(target=work, args=(number,)) for number in range(16)]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
    """
    assert run_killed(tmp_path, body, sync).err == ""
    db = open_journal()
    db.flush()
    db.stop()
    turns = [f"{turn:02}" for turn in range(40)]
    for number in (0, 7, 15):
        assert history(f"own-{number}") == turns
    everyone = history("all")
    assert len(everyone) == 640
    for number in range(16):
        mine = [text for text in everyone if text and text.startswith(f"{number:02}-")]
        assert mine == [f"{number:02}-{turn}" for turn in turns]
    assert (tmp_path / "journal").stat().st_size == EMPTY


def test_a_kill_while_the_journal_is_replayed_takes_nothing(
    tmp_path: Path, path: Path, history: History, open_journal: Callable[..., DB]
) -> None:
    body = """
        db = open_db()
        for turn in range(3000):
            db.write_queue_message(f"{turn % 5}", f"{turn:04}")
    """
    run_killed(tmp_path, body.replace("open_db()", "open_db(journal_sync='never')"))
    for pause in (0, 0.001, 0.01, 0.03):
        # Sent at once, in small parts, and killed in the middle of it.
        body = f"""
            db = open_db(size=1)
            time.sleep({pause})
        """
        run_killed(tmp_path, body)
    db = open_journal()
    db.flush()
    for key in range(5):
        seen = history(f"{key}")
        assert set(seen) == {f"{turn:04}" for turn in range(key, 3000, 5)}
        assert seen[-1] == f"{2995 + key}"
        # Each process begins a little later than the one before it, and none goes back within itself.
        steps = [str(later) < str(earlier) for earlier, later in pairwise(seen)]
        assert sum(steps) <= 4


@pytest.mark.parametrize("way", ["os._exit(0)", "os.abort()", "os.kill(os.getpid(), signal.SIGTERM)"])
def test_other_ends_without_clean_up_take_nothing_either(
    tmp_path: Path, open_journal: Callable[..., DB], way: str
) -> None:
    body = """
        import faulthandler
        faulthandler.disable()
        db = open_db()
        for turn in range(20):
            db.write_queue_message(f"{turn}", {"turn": turn}, bucket="events")
    """
    run_whole(tmp_path, body + f"    {way}\n")
    db = open_journal()
    db.flush()
    assert dict(db.iter_messages(bucket="events")) == {f"{turn}": {"turn": turn} for turn in range(20)}


def test_what_is_found_is_sent_without_a_verb_and_told(
    tmp_path: Path,
    open_journal: Callable[..., DB],
    lines: Callable[[str], list[str]],
    eventually: Callable[[Callable[[], object]], None],
) -> None:
    run_killed(tmp_path, "db = open_db()\nfor i in range(4): db.write_queue_message(f'{i}', 'é')\n")
    # As long as a batch may take to fill, nobody waits for it.
    db = open_journal(queue_batch={"timeout": 3600, "size": 1000})
    eventually(lambda: db.stats()["local"]["pending"] == 0)
    assert db.read_messages(f"{i}" for i in range(4)) == {f"{i}": "é" for i in range(4)}
    stats = db.stats()["local"]
    assert (stats["accepted"], stats["delivered"], stats["failed"]) == (4, 4, 0)
    eventually(lambda: lines("WARNING"))
    [line] = lines("WARNING")
    assert line.startswith("4 queued message(s) found in the journal [local]"), line
    assert lines("ERROR") == []

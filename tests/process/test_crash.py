"""Loops that kill a writing process, and that leave one, at random moments.

TETHERDB_CRASH_ROUNDS says how often (20). Each prints its seed; TETHERDB_CRASH_SEED makes it choose the same
again.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import time
from collections import defaultdict
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

from .scripts import PROGRAMS, Program, records

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ROUNDS = int(os.environ.get("TETHERDB_CRASH_ROUNDS", "20"))


def rounds(name: str) -> Iterator[tuple[int, random.Random]]:
    """The rounds of a loop, each with a chance of its own."""
    seed = os.environ.get("TETHERDB_CRASH_SEED") or f"{time.time_ns() % 1_000_000}"
    for number in range(ROUNDS):
        print(f"{name}: round {number} of TETHERDB_CRASH_SEED={seed}")
        yield number, random.Random(f"{name}-{seed}-{number}")


def value(version: int) -> dict[str, Any]:
    """As the program has it."""
    return {"version": version, "text": "x" * (version * 37 % 3000)}


class Notes:
    """What one killed program had noted, so what may and what must be in the file."""

    def __init__(self, path: Path) -> None:
        self.tried: dict[str, int] = {}
        self.done: dict[str, int] = {}
        self.flushed: dict[str, int] = {}
        text = path.read_text() if path.exists() else ""
        # The last line may have been cut off by the kill.
        for line in text.splitlines()[: text.count("\n")]:
            what, key, state = line.split()
            {"try": self.tried, "done": self.done, "flushed": self.flushed}[what][key] = int(state)

    def check(self, found: dict[str, str]) -> None:
        versions: dict[str, int] = {}
        for key, text in found.items():
            content = json.loads(text)
            assert content == value(content["version"]), key
            versions[key] = content["version"]
        # A direct verb that returned has happened; the one after it may have.
        for key, state in self.tried.items():
            assert versions.get(key, 0) in (self.done.get(key, 0), state), (key, "direct")
        # A later queued write of the key may have followed.
        for key, state in self.flushed.items():
            assert versions.get(key, 0) >= state, (key, "flushed")
        bulks: defaultdict[str, int] = defaultdict(int)
        for key in versions:
            kind = key.rsplit(":", 1)[0]
            if ":bulk:" in key:
                bulks[kind] += 1
            else:
                assert key in self.tried or ":queued:" in key or ":receipt:" in key, key
        assert set(bulks.values()) <= {25}, bulks


def test_kill_at_any_moment_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    acknowledged = 0
    everything: dict[str, Notes] = {}
    for number, chance in rounds("kill"):
        # One file after the other goes through twenty kills.
        folder = tmp_path / f"{number // 20}"
        folder.mkdir(exist_ok=True)
        notes = kill(folder, number, chance)
        everything |= notes
        if not (folder / "store").exists():
            assert not any(note.done or note.flushed for note in notes.values())
            continue
        looked_at = folder / "store"
        if chance.random() < 0.7:
            # Looking at a copy leaves it to the next program to recover the file.
            looked_at = copy(looked_at, folder / "copy")
        for prefix, note in notes.items():
            note.check(records_of(looked_at, prefix))
        if number % 20 == 19 or number == ROUNDS - 1:
            for prefix, note in everything.items():
                note.check(records_of(folder / "store", prefix))
                acknowledged += len(note.done) + len(note.flushed)
            everything.clear()
            shutil.rmtree(folder)
    print(f"kill: {ROUNDS} rounds, {acknowledged} keys acknowledged")


def kill(folder: Path, number: int, chance: random.Random) -> dict[str, Notes]:
    """Starts one program or two on the file and kills them; gives their notes by the prefix of their keys."""
    with ExitStack() as stack:
        killed: dict[str, Program] = {}
        for name in range(chance.choice([1, 1, 2])):
            prefix = f"{number}.{name}"
            arguments = (str(folder / "store"), str(folder / f"notes-{prefix}"), prefix, str(chance.random()))
            killed[prefix] = stack.enter_context(Program(folder, PROGRAMS / "killed.py", *arguments))
        if chance.random() < 0.9:
            for program in killed.values():
                program.expect("ready")
        for program in killed.values():
            time.sleep(chance.uniform(0.0, 0.3))
            program.send(signal.SIGKILL)
        for program in killed.values():
            # Whoever ended before, ended by a failure of its own.
            assert program.finish().quiet(-signal.SIGKILL) in ("", "ready\n")
    return {prefix: Notes(folder / f"notes-{prefix}") for prefix in killed}


def copy(store: Path, folder: Path) -> Path:
    """A copy of the file and its log."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for suffix in ("", "-wal"):
        if store.with_name(f"store{suffix}").exists():
            shutil.copy(store.with_name(f"store{suffix}"), folder / f"store{suffix}")
    return folder / "store"


def records_of(path: Path, prefix: str) -> dict[str, str]:
    """The records of one program; none of a file that nobody has got to write anything into."""
    sizes = [other.stat().st_size for other in (path, path.with_name("store-wal")) if other.exists()]
    return records(path, f"{prefix}:") if any(sizes) else {}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the program forks")
def test_exit_in_the_middle_of_work_is_quiet_and_loses_nothing(tmp_path: Path) -> None:
    ways: defaultdict[str, int] = defaultdict(int)
    for number, chance in rounds("exit"):
        folder = tmp_path / f"{number}"
        folder.mkdir()
        store, noted, seed = folder / "store", folder / "noted", str(chance.random())
        with Program(folder, PROGRAMS / "leaving.py", str(store), str(noted), seed) as program:
            way = program.line()
            result = program.finish()
        ways[way] += 1
        if way == "exception":
            result.last_words("RuntimeError: of the program")
        elif way == "interrupt":
            result.last_words("KeyboardInterrupt", -signal.SIGINT)
        else:
            result.quiet({"exit": 7, "with": 8}.get(way, 0))
        keys = set(noted.read_text().split("\n")[:-1])
        found = records(store) if keys else {}
        assert not keys - set(found), f"lost after leaving by {way}, with seed {seed}"
        assert all(json.loads(text) == {"key": key} for key, text in found.items())
        shutil.rmtree(folder)
    print(f"exit: {ROUNDS} rounds: {dict(ways)}")

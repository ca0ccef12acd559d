"""Leaving in the middle of work, in every way, with and without a journal: what was accepted is there."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from process.scripts import Result, records
from TetherDB import DB

from .configs import queue_config
from .logs import listen
from .model import Model
from .notes import read_notes
from .programs.leaving import EXIT_CODES, WAYS
from .programs.start import program
from .rounds import count, in_shards, limit, rounds
from .watch import adds_up

if TYPE_CHECKING:
    from pathlib import Path

    from .rounds import Round


# Messages of threads that were on their way into the journal while it was closed for good: one of each.
RACING = 8


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the program forks")
@limit("exit")
@in_shards
def test_what_was_accepted_survives_the_end_of_the_program(tmp_path: Path, shard: int) -> None:
    ways: Counter[str] = Counter()
    for played in rounds("exit", shard):
        folder = tmp_path / f"{played.number}"
        folder.mkdir()
        ways[leave(played, folder)] += 1
        shutil.rmtree(folder)
    print(f"exit: {dict(ways)} of {count('exit')}")


def leave(played: Round, folder: Path) -> str:
    """One program, its end, and what must be left; gives how it left."""
    chance = played.chance()
    way = chance.choice(WAYS)
    journal = folder / "journal" if chance.random() < 0.6 else None
    config: dict[str, Any] = {
        "local": {
            "filepath": str(folder / "store"),
            "busy_timeout": 60,
            "synchronous": chance.choice(["full", "off"]),
        },
        "queue_batch": queue_config(chance, journal),
    }
    task = {
        "config": config,
        "notes": str(folder / "notes"),
        "seed": f"{chance.random()}",
        "way": way,
        "journal": journal and str(journal),
    }
    print(f"{way}, {'with' if journal else 'without'} a journal")
    with program("leaving", folder, task) as leaving:
        leaving.expect("ready")
        check_end(way, leaving.finish())
    model = Model()
    marks = read_notes(model, folder / "notes")
    if journal is None and way == "os-exit":
        # What came behind the flush is lost, or not.
        assert "flushed" in marks
        forget_later(model, marks["flush"])
    print(f"{model.taken()} messages taken")
    if journal is not None:
        deliver(config, most=None if way == "os-exit" else RACING)
    path = folder / "store"
    stored = records(path) if path.exists() else {}
    assert stored.pop("child-direct", "text") == "text"
    model.check(stored)
    return way


def check_end(way: str, result: Result) -> None:
    """It ended as it wanted to, and said nothing else."""
    if way == "exception":
        result.last_words("RuntimeError: of the program")
    elif way == "interrupt":
        result.last_words("KeyboardInterrupt", EXIT_CODES[way])
    else:
        result.quiet(EXIT_CODES.get(way, 0))


def forget_later(model: Model, flushed: set[tuple[str, int]]) -> None:
    """Only what the queue had taken before is promised; the rest may have gone."""
    for ops in model.history.values():
        for op in ops:
            if op.fate == "taken" and (op.key, op.number) not in flushed and not op.key.startswith("child-"):
                op.fate = "unsure"


def deliver(config: dict[str, Any], *, most: int | None) -> None:
    """The next process finds what is left in the journal: not much, where the end had the time to deliver."""
    heard = listen()
    db = DB(config)
    accepted = db.stats()["local"]["accepted"]
    print(f"{accepted} messages left in the journal")
    assert most is None or accepted <= most, f"{accepted} messages were left in the journal"
    db.flush(timeout=30)
    adds_up(db)
    assert db.failed_messages() == []
    db.stop()
    heard.check()

"""A full disk under the journal, under the local file, or under both, in the middle of work."""

from __future__ import annotations

import shutil
from collections import Counter
from typing import TYPE_CHECKING, Any

from process.scripts import records

from .configs import is_tiny, queue_config
from .load import Load, closing
from .rounds import count, in_shards, limit, rounds
from .small_disk import Ballast, small_disk

if TYPE_CHECKING:
    from pathlib import Path

    from .rounds import Round

BUSY = 1.0


@limit("disk")
@in_shards
def test_a_full_disk_loses_nothing(tmp_path: Path, shard: int) -> None:
    names: Counter[str] = Counter()
    with small_disk(tmp_path / "disk") as disk:
        for played in rounds("disk", shard):
            for folder in (disk, tmp_path):
                (folder / "round").mkdir()
            names[play(played, disk, tmp_path)] += 1
            for folder in (disk, tmp_path):
                shutil.rmtree(folder / "round")
    print(f"disk: {dict(names)} of {count('disk')}")


def play(played: Round, disk: Path, elsewhere: Path) -> str:
    """One round; gives what was on the disk that is full."""
    chance = played.chance()
    on_disk = chance.choice(["journal", "file", "both"])
    local = (elsewhere if on_disk == "journal" else disk) / "round" / "store"
    journal = (elsewhere if on_disk == "file" else disk) / "round" / "journal"
    has_journal = on_disk != "file" or chance.random() < 0.5
    config: dict[str, Any] = {
        "local": {
            "filepath": str(local),
            "busy_timeout": BUSY,
            "synchronous": chance.choice(["full", "normal", "off"]),
        },
        "queue_batch": queue_config(chance, journal if has_journal else None),
    }
    config["queue_batch"]["retry"]["give_up_after"] = chance.choice([0.0, 0.2, 300.0, 300.0])
    print(f"{on_disk}: {config['queue_batch']}")
    ballast = Ballast(disk)

    def trouble() -> None:
        seconds = chance.choice([0.1, 0.4]) * chance.uniform(0.5, 1.3)
        if chance.random() < 0.3:
            load.stop_later(chance.random() * seconds, chance.choice([0.0, 0.05, 0.3]))
        try:
            ballast.trouble(chance, seconds)
        finally:
            if not stays_full:
                ballast.free()

    # The next owner finds the disk full, too. In a small queue threads would wait for it to be free.
    queue = config["queue_batch"]
    is_small = queue["max_pending"] < 100_000 or queue["max_pending_bytes"] < 64 << 20
    stays_full = has_journal and not is_small and chance.random() < 0.3
    load = Load(played, config, "local", timeout=BUSY, rate=300)
    with closing(load):
        try:
            load.run(trouble)
            if stays_full or (has_journal and chance.random() < 0.3):
                load.open_again(chance.choice([0.0, 0.1]))
        finally:
            ballast.free()
        load.finish(lambda: stored(load), forgets=is_tiny(config["queue_batch"]), unnoted=stays_full)
        print(f"{load.model.taken()} messages taken, {len(load.handed.told)} given up, {load.stops} stops")
        # Another program finds the file sound, and the same in it. `finish` has stopped the handle.
        found = records(local) if local.exists() else {}
        if not load.sent_again:
            load.model.check(found)
    return on_disk


def stored(load: Load) -> dict[str, object]:
    """What is in the file, while the handle has it open."""
    return dict(load.db.iter_messages())

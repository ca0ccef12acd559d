"""SIGKILL of a process that queues with a journal: nothing accepted is lost, nothing comes out of order.

One process after the other works on the same journal and store, until some are through; in between, and at
the end, everything must be delivered.
"""

from __future__ import annotations

import shutil
import signal
import time
from collections import Counter
from contextlib import ExitStack
from itertools import islice
from typing import TYPE_CHECKING, Any

from process.scripts import records
from servers.etcd import EtcdServer
from TetherDB import DB

from . import diary
from .configs import queue_config
from .logs import listen
from .model import Model
from .notes import read_notes
from .programs.start import program
from .rounds import count, in_shards, limit, rounds
from .values import number_of
from .watch import adds_up
from .work import flush_all

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from TetherDB import DeliveryError

    from .rounds import Round

# So many kills on one store and journal.
LIFE = 12


class Store:
    """A store and a journal, and what must be in them."""

    def __init__(self, folder: Path, etcd: EtcdServer | None) -> None:
        folder.mkdir()
        self.folder = folder
        self.etcd = etcd
        self.backend = "etcd" if etcd else "local"
        self.model = Model()
        self.dropped: set[str] = set()
        if not etcd:
            diary.make(folder / "store")

    def config(self, played: Round, name: str) -> dict[str, Any]:
        """For one process."""
        chance = played.chance(name)
        local = {"filepath": str(self.folder / "store"), "busy_timeout": 30}
        config: dict[str, Any] = {
            "local": {**local, "synchronous": chance.choice(["full", "normal", "off"])},
            "queue_batch": queue_config(chance, self.folder / "journal"),
        }
        if self.etcd:
            config["etcd"] = {**self.etcd.section(), "timeout": 10}
        return config

    def kill(self, played: Round) -> None:
        """One process, and its end."""
        print(played, flush=True)
        chance = played.chance("kill")
        notes = self.folder / f"notes-{played.number}"
        task = {
            "config": self.config(played, "work"),
            "notes": str(notes),
            "first": played.number * diary.STRIDE + 1,
            "seed": f"{chance.random()}",
            "backend": self.backend,
            "threads": chance.choice([1, 2, 4, 8]),
        }
        with program("killed", self.folder, task) as killed:
            if chance.random() < 0.9:
                killed.expect("ready")
            time.sleep(chance.choice([0.01, 0.1, 0.4]) * chance.random())
            killed.send(signal.SIGKILL)
            # Whoever ended before, ended by a failure of its own.
            assert killed.finish().quiet(-signal.SIGKILL) in ("", "ready\n")
        before = self.model.taken()
        read_notes(self.model, notes)
        print(f"{self.backend}: {self.model.taken() - before} messages taken")
        notes.unlink(missing_ok=True)

    def drain(self, played: Round) -> None:
        """The next process delivers all that is left; then everything is there."""
        handed: list[DeliveryError] = []
        heard = listen()
        db = DB(self.config(played, "drain"))
        flush_all(db, 30, handed.append)
        adds_up(db)
        failed = {key: number_of(key, value) for key, value, *_ in db.failed_messages()}
        self.check_poison(failed)
        if played.chance("drop").random() < 0.5:
            assert db.drop_failed() == len(failed)
            self.dropped |= set(failed)
        stats = db.stats()[self.backend]
        assert stats["pending"] == 0, stats
        db.stop()
        heard.check()
        stored = self.stored()
        poison = {key: self.model.history.pop(key) for key in list(self.model.history) if is_poison(key)}
        self.model.check(stored)
        if not self.etcd:
            diary.check(diary.read(self.folder / "store"), self.model)
        self.model.settle(stored)
        self.model.history |= poison

    def check_poison(self, failed: Mapping[str, int]) -> None:
        """All that was refused is kept until it is dropped."""
        assert all(is_poison(key) for key in failed), f"given up: {sorted(failed)[:10]}"
        taken = {key for key, [op] in self.poison().items() if op.fate == "taken"}
        lost = taken - failed.keys() - self.dropped
        assert not lost, f"neither delivered nor kept as given up: {sorted(lost)[:10]}"
        back = self.dropped & failed.keys()
        assert not back, f"dropped, and there again: {sorted(back)[:10]}"

    def poison(self) -> dict[str, Any]:
        """What the backend refuses."""
        return {key: ops for key, ops in self.model.history.items() if is_poison(key)}

    def stored(self) -> dict[str, str]:
        """What another program finds."""
        if not self.etcd:
            return records(self.folder / "store")
        found = self.etcd.etcdctl.everything()
        return {key: text.decode() for key, text in found.items() if key != "TetherDB/fence"}


def is_poison(key: str) -> bool:
    """Whether the file refuses it."""
    return key.endswith(diary.POISON)


@limit("kill")
@in_shards
def test_what_was_accepted_survives_a_kill(tmp_path: Path, shard: int) -> None:
    ends: Counter[str] = Counter()
    for at, life in enumerate(lives(rounds("kill", shard, tell=False))):
        folder = tmp_path / f"{life[0].number}"
        with ExitStack() as stack:
            etcd = stack.enter_context(EtcdServer(tmp_path / f"etcd-{at}")) if at % 4 == 1 else None
            store = Store(folder, etcd)
            for played in life:
                store.kill(played)
                ends[store.backend] += 1
                if played is life[-1] or played.chance("drains").random() < 0.4:
                    store.drain(played)
        shutil.rmtree(folder)
    print(f"kill: {dict(ends)} of {count('kill')}")


def lives(played: Iterator[Round]) -> Iterator[list[Round]]:
    """The rounds of one store and journal after the other."""
    while life := list(islice(played, LIFE)):
        yield life

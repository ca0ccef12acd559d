"""One round of faults in this process: threads that work, trouble, and the reckoning."""

from __future__ import annotations

import contextlib
import faulthandler
import threading
import time
from functools import partial
from typing import TYPE_CHECKING, Any

from TetherDB import DB, DeliveryError, FlushTimeout

from .logs import listen
from .model import Model
from .watch import Handed, keep_adding_up
from .work import MIXED, QUEUE_ONLY, Worker, flush_all

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from .rounds import Round

# Whoever takes longer than this hangs, however loaded the machine is.
HANG = 45.0
DIRECT_ONLY = {"write": 4, "update": 1, "delete": 1, "write_many": 1, "delete_many": 1}


class Load:
    """A handle, threads that work with it, and what they were told."""

    def __init__(
        self,
        played: Round,
        config: dict[str, Any],
        backend: str,
        *,
        timeout: float,
        sizes: str = "sm",
        reads_back: bool = True,
        rate: float = 1000,
    ) -> None:
        self.played = played
        self.config = config
        self.backend = backend
        self.chance = played.chance("load")
        self.model = Model()
        self.handed = Handed()
        self.heard = listen()
        self.db = DB(config, on_error=self.handed.on_error)
        self.stops = 0
        self.reopened = False
        self.sent_again = False
        self.has_journal = "journal" in config["queue_batch"]
        self._ended = threading.Event()
        self._errors: list[BaseException] = []
        self._threads: list[threading.Thread] = []
        self.workers: list[Worker] = []
        for at in range(self.chance.choice([1, 2, 4, 6])):
            verbs = self.chance.choice([QUEUE_ONLY, MIXED, MIXED, DIRECT_ONLY])
            worker = Worker(
                self.db,
                self.model,
                f"r{played.number}:{at}",
                played.chance(f"worker {at}"),
                backend=backend,
                verbs=verbs,
                sizes=self.chance.choice([sizes, "s"]),
                timeout=timeout,
                reads_back=reads_back,
                pause=self.chance.choice([0.0, 0.005, 0.02]),
                rate=rate,
            )
            self.workers.append(worker)

    def goes_on(self) -> bool:
        """Until the trouble is over, or somebody has failed."""
        return not self._ended.is_set() and not self._errors

    def run(self, trouble: Callable[[], None]) -> None:
        """Works all the while that `trouble` takes, and a little before and after."""
        for worker in self.workers:
            self.start(partial(worker.run, self.goes_on))
        self.start(lambda: keep_adding_up(self.db, self.goes_on))
        try:
            time.sleep(self.chance.random() * 0.1)
            trouble()
            time.sleep(self.chance.random() * 0.1)
        finally:
            self._ended.set()
            self.join()

    def join(self) -> None:
        """Nobody hangs, and nobody has failed."""
        deadline = time.monotonic() + HANG
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        if any(thread.is_alive() for thread in self._threads):
            faulthandler.dump_traceback(all_threads=True)
            raise AssertionError("a verb hangs")
        if self._errors:
            raise self._errors[0]

    def stop_in_between(self, seconds: float) -> None:
        """`stop` in the middle of work: the threads go on with the same handle."""
        self.stops += 1
        try:
            self.db.stop(timeout=seconds)
        except DeliveryError as error:
            self.handed.report(error)
        except FlushTimeout:
            assert self.has_journal, "FlushTimeout without a journal"

    def stop_later(self, wait: float, seconds: float) -> None:
        """The same, in a thread of its own and in a moment."""

        def work() -> None:
            time.sleep(wait)
            self.stop_in_between(seconds)

        self.start(work)

    def open_again(self, seconds: float) -> None:
        """The handle is closed, whatever is left in its journal, and another one takes that over."""
        self.stop_in_between(seconds)
        assert self.has_journal
        self.db = DB(self.config, on_error=self.handed.on_error)
        self.reopened = True

    def finish(
        self,
        stored: Callable[[], Mapping[str, object]],
        *,
        forgets: bool = False,
        unnoted: bool = False,
        **model: Any,
    ) -> None:
        """All faults are mended: everything is delivered or handed back, in order."""
        flush_all(self.db, HANG, self.handed.report)
        stats = self.db.stats()[self.backend]
        assert stats["pending"] == stats["in_flight"] == 0, stats
        self.handed.settle(self.model, self.db, forgets=forgets, reopened=self.reopened, unnoted=unnoted)
        if not self.stops:
            # What a journal had from an earlier handle would count, too.
            assert stats["accepted"] == self.model.taken(), (stats, self.model.taken())
            for worker in self.workers:
                worker.check_receipts()
        self._check(stored, **model)
        self._send_again(stored, forgets=forgets)
        self.db.stop(timeout=HANG)
        self.heard.check()

    def _check(self, stored: Callable[[], Mapping[str, object]], **model: Any) -> None:
        self.model.check(stored(), **model)

    def _send_again(self, stored: Callable[[], Mapping[str, object]], *, forgets: bool) -> None:
        """What was given up and is kept can be sent again: it is newer then than all else."""
        kept = [key for key, *_ in self.db.failed_messages()]
        if not kept or forgets or self.chance.random() < 0.5:
            return
        assert self.db.retry_failed() == len(kept)
        self.sent_again = True
        flush_all(self.db, HANG, self.handed.report)
        found = stored()
        assert set(kept) <= found.keys(), f"sent again, and lost: {sorted(set(kept) - found.keys())[:10]}"

    def close(self) -> None:
        """After a failure."""
        self._ended.set()
        with contextlib.suppress(Exception):
            self.db.stop(timeout=0.5)

    def start(self, work: Callable[[], object]) -> None:
        """One more thread."""

        def run() -> None:
            try:
                work()
            except BaseException as error:
                self._errors.append(error)

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        self._threads.append(thread)


def remove_journal(played: Round, folder: Path) -> None:
    """What a round leaves on the disk."""
    for left in folder.glob(f"journal-{played.number}*"):
        left.unlink()


@contextlib.contextmanager
def closing(load: Load) -> Any:
    """Ends its handle, whatever happens."""
    try:
        yield load
    finally:
        load.close()

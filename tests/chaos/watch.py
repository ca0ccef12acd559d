"""Those who look on: the accounts at every moment, and what was handed back."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from .values import number_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from TetherDB import DB, DeliveryError

    from .model import Model


def adds_up(db: DB) -> None:
    """The accounts of every queue add up, at this moment."""
    for name, stats in db.stats().items():
        parts = stats["delivered"] + stats["failed"] + stats["replaced"] + stats["pending"]
        assert stats["accepted"] == parts, f"{name}: {stats}"
        assert 0 <= stats["in_flight"] <= stats["pending"], f"{name}: {stats}"


def keep_adding_up(db: DB, goes_on: Callable[[], bool]) -> None:
    """Looks at the accounts all the time."""
    while goes_on():
        adds_up(db)
        time.sleep(0.002)


class Handed:
    """What was handed back, by each of the ways."""

    def __init__(self) -> None:
        self.told: list[tuple[str, int]] = []
        """To `on_error`."""
        self.reported: list[tuple[str, int]] = []
        """By `DeliveryError.failed`."""
        self._wrong: list[BaseException] = []
        self._lock = threading.Lock()

    def on_error(self, key: str, value: object, backend: str, error: Exception) -> None:
        """The callback of a `DB`."""
        try:
            name = (key, number_of(key, value))
        except BaseException as wrong:
            # What a callback raises is only logged.
            self._wrong.append(wrong)
            raise
        with self._lock:
            self.told.append(name)

    def report(self, error: DeliveryError) -> None:
        """What `flush` or `stop` has raised."""
        with self._lock:
            self.reported += [(key, number_of(key, value)) for key, value, *_ in error.failed]

    def settle(
        self, model: Model, db: DB, *, forgets: bool = False, reopened: bool = False, unnoted: bool = False
    ) -> None:
        """Marks in the model what was handed back; all ways must have told the same, each once.

        `forgets`: the bounds are so small that not all may be kept until it is reported. `reopened`: an
        earlier handle may have left it to the journal to tell. `unnoted`: which was on a full disk, could not
        note what was given up, and said so; then the next handle has sent it again, and may have given it up
        again.
        """
        deadline = time.monotonic() + 20
        failed = sum(stats["failed"] for stats in db.stats().values())
        while len(self.told) < failed:
            assert time.monotonic() < deadline, f"on_error told of {len(self.told)} of {failed}"
            time.sleep(0.005)
        assert not self._wrong, self._wrong
        told, reported = set(self.told), set(self.reported)
        assert unnoted or len(told) == len(self.told), f"told twice: {twice(self.told)}"
        assert unnoted or len(reported) == len(self.reported), f"reported twice: {twice(self.reported)}"
        assert reported <= told, f"reported, and not told: {sorted(reported - told)[:10]}"
        kept = {(key, number_of(key, value)) for key, value, *_ in db.failed_messages()}
        assert kept <= told, f"kept, and not told: {sorted(kept - told)[:10]}"
        if not forgets:
            silent: set[tuple[str, int]] = set() if reopened else told - reported
            assert not silent, f"told, and not reported: {sorted(silent)[:10]}"
            assert unnoted or told == kept, f"told, and not kept: {sorted(told - kept)[:10]}"
        for name in told:
            op = model.find(*name)
            assert op.fate == "taken", f"{op} was handed back"
            op.handed = True


def twice(names: list[tuple[str, int]]) -> list[tuple[str, int]]:
    """Those that are there more than once."""
    return sorted({name for name in names if names.count(name) > 1})[:10]

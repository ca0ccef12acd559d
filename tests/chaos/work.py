"""The load: threads that do every verb on keys of their own, and note what they are told."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Any

from TetherDB import BackendError, DeliveryError, FlushTimeout, QueueFull

from .values import content

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Mapping

    from TetherDB import DB, Receipt

    from .model import Model, Op

# How often a thread does what.
QUEUE_ONLY = {"burst": 8, "once": 4, "receipt": 1}
MIXED = {**QUEUE_ONLY, "write": 3, "update": 1, "delete": 1, "write_many": 1, "delete_many": 1}

# A verb may end so much after its time, on a machine that does much else as well.
SLACK = 4.0


class Worker:
    """One thread's work."""

    def __init__(
        self,
        db: DB,
        model: Model,
        name: str,
        chance: random.Random,
        *,
        backend: str = "local",
        verbs: Mapping[str, float] = MIXED,
        sizes: str = "smm",
        timeout: float | None = None,
        exact: bool = False,
        reads_back: bool = True,
        pause: float = 0.0,
        rate: float | None = None,
    ) -> None:
        self.db = db
        self.model = model
        self.name = name
        self.chance = chance
        self.backend = backend
        self.verbs = verbs
        self.timeout = timeout
        """What bounds a direct verb. `None`: no verb may fail."""
        self.exact = exact
        """Nothing is ever given up, so what a verb says of the record before is known."""
        self.reads_back = reads_back
        self.pause = pause
        self.rate = rate
        """Queued messages in a second, so that they can be delivered after a fault in some time."""
        self.sizes = sizes
        self.receipts: list[tuple[Receipt, Op]] = []
        self._keys = [f"{name}:{at}{chance.choice(sizes)}" for at in range(chance.choice([1, 3, 10]))]
        self._once = 0
        self._begun = time.monotonic()
        self._queued = 0

    def run(self, goes_on: Callable[[], bool]) -> None:
        """Works until it is told to end."""
        names, weights = list(self.verbs), list(self.verbs.values())
        while goes_on():
            [verb] = self.chance.choices(names, weights)
            getattr(self, verb)()
            if self.pause:
                time.sleep(self.chance.random() * self.pause)

    def burst(self) -> None:
        """Some queued writes of keys that have been written before."""
        if not self._is_slow_enough():
            time.sleep(0.002)
            return
        for _ in range(self.chance.choice([1, 1, 5, 40])):
            self._queue(self._key())

    def once(self) -> None:
        """A queued write of a key that nobody writes again: were it lost, nothing would hide it."""
        if not self._is_slow_enough():
            time.sleep(0.002)
            return
        self._once += 1
        self._queue(f"{self.name}:{self.model.first}.{self._once}:once{self.chance.choice(self.sizes)}")

    def poison(self) -> None:
        """A message that the backend refuses for good."""
        self._once += 1
        self._queue(f"{self.name}:{self.model.first}.{self._once}:poisons")

    def receipt(self) -> None:
        """A queued write with a receipt."""
        op = self.model.begin(self._key())

        def call() -> None:
            text = content(op.key, op.number)
            receipt = self.db.write_queue_message(op.key, text, backend=self.backend, receipt=True)
            self.receipts.append((receipt, op))

        self._try([op], call, queued=True)

    def write(self) -> None:
        """A direct write, which a read then finds."""
        op = self.model.begin(self._key())
        text = content(op.key, op.number)
        self._try([op], lambda: self.db.write_message(op.key, text, backend=self.backend))
        if op.fate == "done" and self.reads_back:
            self._read_back(op.key, text)

    def update(self) -> None:
        """A direct write of what exists."""
        op = self.model.begin(self._key())
        text = content(op.key, op.number)
        before = self._before(op)
        existed = self._try([op], lambda: self.db.update_message(op.key, text, backend=self.backend))
        self._existed(before, existed)

    def delete(self) -> None:
        """A direct delete."""
        op = self.model.begin(self._key(), deletes=True)
        before = self._before(op)
        existed = self._try([op], lambda: self.db.delete_message(op.key, backend=self.backend))
        self._existed(before, existed)

    def write_many(self) -> None:
        """Several records at once."""
        ops = [self.model.begin(key) for key in self._some_keys()]
        texts = {op.key: content(op.key, op.number) for op in ops}
        self._try(ops, lambda: self.db.write_messages(texts, backend=self.backend))

    def delete_many(self) -> None:
        """Several records at once."""
        ops = [self.model.begin(key, deletes=True) for key in self._some_keys()]
        self._try(ops, lambda: self.db.delete_messages([op.key for op in ops], backend=self.backend))

    def flush(self) -> None:
        """Everything is delivered then, but for what the backend refuses."""
        with contextlib.suppress(DeliveryError):
            self.db.flush()

    def retry(self) -> None:
        """What was given up is queued again."""
        self.db.retry_failed()

    def stop(self) -> None:
        """The handle is closed under all who use it, which open it again."""
        with contextlib.suppress(DeliveryError, FlushTimeout):
            self.db.stop(timeout=self.chance.choice([0.0, 0.01, 5.0]))

    def check_receipts(self) -> None:
        """After a flush every receipt knows what became of its message."""
        for receipt, op in self.receipts:
            if op.fate != "taken":
                continue
            assert receipt.done(), f"the receipt of {op} is not done after a flush"
            error = receipt.exception()
            assert (error is not None) == op.handed, f"the receipt of {op} says {error!r}"

    def _is_slow_enough(self) -> bool:
        return self.rate is None or self._queued < 10 + self.rate * (time.monotonic() - self._begun)

    def _queue(self, key: str) -> None:
        self._queued += 1
        op = self.model.begin(key)
        text = content(key, op.number)
        self._try([op], lambda: self.db.write_queue_message(key, text, backend=self.backend), queued=True)

    def _try(self, ops: list[Op], call: Callable[[], Any], *, queued: bool = False) -> Any:
        """Calls a verb, and notes what it is told; gives what the verb gave, `None` where it raised."""
        begun = time.monotonic()
        try:
            outcome = call()
        except QueueFull:
            assert queued
            self.model.end(ops, "nothing")
            return None
        except BackendError as error:
            if self.timeout is None:
                raise
            did_nothing = "Nothing was " in str(error)
            if queued and not did_nothing:
                raise
            self.model.end(ops, "nothing" if did_nothing else "unsure")
            outcome = None
        else:
            # In one note, which a kill may follow.
            did_nothing = outcome is False and not ops[0].deletes
            self.model.end(ops, "taken" if queued else "nothing" if did_nothing else "done")
        took = time.monotonic() - begun
        # It waits for older messages of its key, and then for its own request.
        if self.timeout is not None and not queued:
            assert took < 2 * self.timeout + SLACK, f"{ops} took {took:.1f} s"
        return outcome

    def _before(self, op: Op) -> set[int]:
        """What may be stored before this, where it is known."""
        if not self.exact:
            return set()
        before = self.model.history[op.key][:-1]
        # An earlier process may have left something.
        return {before[-1].state} if before and before[-1].is_sure else set()

    def _existed(self, before: set[int], existed: bool | None) -> None:
        if before and existed is not None:
            assert existed is (before != {0}), f"it said {existed}, where {before} was stored"

    def _read_back(self, key: str, text: str) -> None:
        try:
            found = self.db.read_message(key, backend=self.backend)
        except BackendError:
            if self.timeout is None:
                raise
        else:
            assert found == text, f"{key} was written as {text:.40}, and is read as {found!r:.40}"

    def _key(self) -> str:
        return self.chance.choice(self._keys)

    def _some_keys(self) -> list[str]:
        return self.chance.sample(self._keys, self.chance.randint(1, min(5, len(self._keys))))


def flush_all(db: DB, seconds: float, reported: Callable[[DeliveryError], None]) -> None:
    """Flushes until nothing is left to report."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            db.flush(timeout=max(0.1, deadline - time.monotonic()))
        except DeliveryError as error:
            reported(error)
        else:
            return

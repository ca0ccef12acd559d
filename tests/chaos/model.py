"""What was asked for, and what may be stored after it.

Every key belongs to one thread, so that the order of its writes is known. Versions count up; 0 is no record.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from .values import number_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

# OPEN: called, not returned. TAKEN: the queue has it. DONE: a direct verb returned. UNSURE: it raised, and
# may have been done. NOTHING: it did nothing, and says so.
Fate = Literal["open", "taken", "done", "unsure", "nothing"]


@dataclass(slots=True)
class Op:
    """One write or delete of a key."""

    key: str
    number: int
    deletes: bool = False
    fate: Fate = "open"
    begun: float = field(default_factory=time.monotonic)
    handed: bool = False
    """It was taken, and given up: its owner was told."""

    @property
    def state(self) -> int:
        """The version that it leaves."""
        return 0 if self.deletes else self.number

    @property
    def is_sure(self) -> bool:
        """Whether it must have happened, or must happen yet."""
        return self.fate == "done" or (self.fate == "taken" and not self.handed)


class Model:
    """All that was asked for, by key."""

    def __init__(self, first: int = 1) -> None:
        self.first = first
        """The first version of each key: those of later processes are higher."""
        self.history: dict[str, list[Op]] = {}

    def begin(self, key: str, *, deletes: bool = False) -> Op:
        """Something is about to be called."""
        ops = self.history.setdefault(key, [])
        op = Op(key, ops[-1].number + 1 if ops else self.first, deletes)
        ops.append(op)
        return op

    def end(self, ops: Iterable[Op], fate: Fate) -> None:
        """It has returned or raised."""
        for op in ops:
            op.fate = fate

    def find(self, key: str, number: int) -> Op:
        """What was called under this number."""
        return next(op for op in self.history[key] if op.number == number)

    def allowed(self, key: str, *, revives: bool = False, late: float = 0) -> set[int]:
        """What may be stored of a key once nothing of it is on its way any more.

        The last that is sure, or anything unsure that came after it. `revives`: where that is a delete, a
        request of before may have come to life. `late`: so may any that was begun before this moment,
        whatever came since.
        """
        states: set[int] = set()
        is_settled = False
        for op in reversed(self.history.get(key, [])):
            if op.fate == "nothing":
                continue
            if not is_settled or op.begun < late:
                states.add(op.state)
            if op.is_sure and not is_settled:
                is_settled = True
                if op.deletes and revives:
                    late = max(late, op.begun)
        if not is_settled:
            states.add(0)
        return states

    def check(self, stored: Mapping[str, object], *, revives: bool = False, late: float = 0) -> None:
        """Nothing is lost, torn, out of order or from nowhere."""
        wrong = [f"{key}: from nowhere" for key in stored if key not in self.history]
        for key, ops in self.history.items():
            found = number_of(key, stored[key]) if key in stored else 0
            allowed = self.allowed(key, revives=revives, late=late)
            if found not in allowed:
                tail = [(op.number, "delete" if op.deletes else "write", op.fate, op.handed) for op in ops]
                wrong.append(f"{key}: version {found} is stored, not of {sorted(allowed)}: {tail[-8:]}")
        assert not wrong, f"{len(wrong)} of {len(self.history)} keys are wrong:\n" + "\n".join(wrong[:20])

    def settle(self, stored: Mapping[str, object]) -> None:
        """What is stored, and was found right, is what must be there from now on."""
        for key, ops in self.history.items():
            found = number_of(key, stored[key]) if key in stored else 0
            self.history[key] = [Op(key, ops[-1].number, deletes=True, fate="done")]
            if found:
                self.history[key].append(Op(key, found, fate="done"))

    def taken(self) -> int:
        """How many messages the queue has taken."""
        return sum(op.fate == "taken" for ops in self.history.values() for op in ops)

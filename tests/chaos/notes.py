"""A model that outlives its process: each call and each return is a line of a file, written at once.

KEY NUMBER begin write|delete
KEY NUMBER end taken|done|unsure|nothing
KEY NUMBER handed on_error
- 0 mark WORD
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, cast, get_args

from .model import Fate, Model, Op

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

MARK = "-"


class NotedModel(Model):
    """Takes notes of all that happens to it."""

    def __init__(self, path: str, first: int) -> None:
        super().__init__(first)
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def begin(self, key: str, *, deletes: bool = False) -> Op:
        """Noted before the call."""
        op = super().begin(key, deletes=deletes)
        self._note(f"{key} {op.number} begin {'delete' if deletes else 'write'}")
        return op

    def end(self, ops: Iterable[Op], fate: Fate) -> None:
        """Noted once the call has returned."""
        ops = list(ops)
        super().end(ops, fate)
        self._note(*(f"{op.key} {op.number} end {fate}" for op in ops))

    def note_handed(self, key: str, number: int) -> None:
        """A message was handed back."""
        self._note(f"{key} {number} handed on_error")

    def mark(self, word: str) -> None:
        """A moment, among all notes of all threads."""
        self._note(f"{MARK} 0 mark {word}")

    def _note(self, *lines: str) -> None:
        os.write(self._file, "".join(f"{line}\n" for line in lines).encode())


def read_notes(model: Model, path: Path) -> dict[str, set[tuple[str, int]]]:
    """Puts the notes of one process into a model; gives for each mark what the queue had taken before it."""
    text = path.read_text() if path.exists() else ""
    taken: set[tuple[str, int]] = set()
    marks: dict[str, set[tuple[str, int]]] = {}
    open_ops: dict[tuple[str, int], Op] = {}
    # The last line may have been cut off by a kill.
    for line in text.splitlines()[: text.count("\n")]:
        key, number, what, word = line.split()
        name = (key, int(number))
        if what == "begin":
            open_ops[name] = Op(*name, deletes=word == "delete")
            model.history.setdefault(key, []).append(open_ops[name])
        elif what == "end":
            assert word in get_args(Fate), line
            open_ops[name].fate = cast("Fate", word)
            if word == "taken":
                taken.add(name)
        elif what == "handed":
            open_ops[name].handed = True
        else:
            marks[word] = set(taken)
    return marks

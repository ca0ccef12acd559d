"""The words of the benchmark: a work, who does it, and what TetherDB aims at."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from measure import Task


@dataclass(frozen=True)
class Raw:
    """A work of one of the programs ``examples/raw_*.rs``."""

    work: str
    program: str = "raw_sqlite"
    # The server that it talks to; without one it works on a file.
    server: str = ""
    # What else it has to be told, after the server's address.
    more: tuple[str, ...] = ()


@dataclass(frozen=True)
class Contender:
    name: str
    durability: str
    run: Callable[[Task], None] | Raw
    # How much of the work it does, where it would take too long.
    share: float = 1.0


@dataclass(frozen=True)
class Target:
    """``against`` has to take ``factor`` times as long as TetherDB; without it, ``factor`` is the most.

    Of several names, the best one counts, and ``label`` says in short who they are.
    """

    factor: float
    against: str | tuple[str, ...] = ()
    label: str = ""
    # Compares processor time instead of time.
    cpu: bool = False

    @property
    def rivals(self) -> tuple[str, ...]:
        return (self.against,) if isinstance(self.against, str) else self.against


@dataclass(frozen=True)
class Workload:
    name: str
    title: str
    count: int
    quick: int
    contenders: list[Contender]
    targets: list[Target] = field(default_factory=list)
    # "message": time per message; "seconds", "MiB", "x payload": the value itself.
    unit: str = "message"
    # What it needs besides files.
    servers: tuple[str, ...] = ()
    # Whether the servers are emptied before, and asked afterwards whether they have got everything.
    writes: bool = False


def ours(durability: str, run: Callable[[Task], None]) -> Contender:
    return Contender("TetherDB", durability, run)


def expect(condition: bool, what: str) -> None:
    if not condition:
        raise AssertionError(what)

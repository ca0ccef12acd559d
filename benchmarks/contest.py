"""The words of the benchmark: a work, who does it, on which store, and what TetherDB aims at."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from measure import Task

# The size of most values, as JSON text.
SMALL = 100


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
class Store:
    """What is filled before the clock starts, and used by all repetitions."""

    name: str
    rows: int
    # Rows in a quick run.
    quick: int
    # ``fill(folder, rows, size)``
    fill: Callable[[Path, int, int], None]
    size: int = SMALL


@dataclass(frozen=True)
class Contender:
    name: str
    durability: str
    run: Callable[[Task], None] | Raw
    # How much of the work it does, where it would take too long.
    share: float = 1.0
    # Where it works on another store than the others.
    store: Store | None = None
    # A package that is not in every environment.
    needs: str = ""


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
    # ``against`` may take ``factor`` times as long at most: it is TetherDB too, with more to carry.
    at_most: bool = False

    @property
    def rivals(self) -> tuple[str, ...]:
        return (self.against,) if isinstance(self.against, str) else self.against


@dataclass(frozen=True)
class Workload:
    name: str
    title: str
    # How many messages; 0: all that are in the store.
    count: int
    quick: int
    contenders: list[Contender]
    targets: list[Target] = field(default_factory=list)
    # "message", "page": time for one; "seconds", "MiB", "MB", "x payload": the value itself.
    unit: str = "message"
    # The names under which `--only` finds it, besides its own.
    groups: tuple[str, ...] = ()
    # The size of a value, as JSON text.
    size: int = SMALL
    store: Store | None = None
    # What it needs besides files.
    servers: tuple[str, ...] = ()
    # Whether the servers are emptied before, and asked afterwards whether they have got everything.
    writes: bool = False
    # At most so many, where it takes long or varies little.
    repetitions: int = 9

    def store_of(self, contender: Contender) -> Store | None:
        return contender.store or self.store

    def stores(self) -> set[Store]:
        found = (self.store_of(contender) for contender in self.contenders)
        return {store for store in found if store}


def ours(durability: str, run: Callable[[Task], None]) -> Contender:
    return Contender("TetherDB", durability, run)


def expect(condition: bool, what: str) -> None:
    if not condition:
        raise AssertionError(what)

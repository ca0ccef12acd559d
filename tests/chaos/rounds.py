"""How many rounds each suite has, and the chance of each.

TETHERDB_CHAOS_ROUNDS_KILL, _EXIT, _ETCD, _DYNAMODB and _DISK say how many, TETHERDB_CHAOS_SHARDS among how
many tests they are divided, which xdist may run at the same time. TETHERDB_CHAOS_SEED chooses as the round
that printed it; with TETHERDB_CHAOS_ONLY, a number, only that round is played. What threads and servers do
meanwhile is up to them: a fault may take a few tries to come again.
"""

from __future__ import annotations

import os
import random
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

# The short form: what `make test` has time for.
DEFAULTS = {"kill": 24, "exit": 16, "etcd": 16, "dynamodb": 16, "disk": 10}
# Seconds that a round of any suite may take on a machine that does much else as well.
PATIENCE = 30


def count(suite: str) -> int:
    """Rounds of a suite, over all its tests."""
    return int(os.environ.get(f"TETHERDB_CHAOS_ROUNDS_{suite.upper()}", DEFAULTS[suite]))


SHARDS = int(os.environ.get("TETHERDB_CHAOS_SHARDS", "1"))
ONLY = os.environ.get("TETHERDB_CHAOS_ONLY")

in_shards = pytest.mark.parametrize("shard", range(SHARDS))


def limit(suite: str) -> pytest.MarkDecorator:
    """More than all rounds of a shard take; what hangs in a round has a deadline of its own."""
    return pytest.mark.timeout(120 + PATIENCE * (count(suite) // SHARDS + 1))


@dataclass(frozen=True)
class Round:
    """One round. It chooses by its seed and number alone, whatever shard plays it."""

    suite: str
    number: int
    seed: str

    def chance(self, name: str = "") -> random.Random:
        """A generator for one part of the round: what others draw meanwhile changes nothing."""
        return random.Random(f"{self.suite}-{self.seed}-{self.number}-{name}")

    def __str__(self) -> str:
        return f"{self.suite} round {self.number} of TETHERDB_CHAOS_SEED={self.seed}"


def rounds(suite: str, shard: int, kinds: int = 1, kind: int = 0, *, tell: bool = True) -> Iterator[Round]:
    """The rounds of one shard of a suite; of several tests that share the rounds, those of one kind."""
    seed = os.environ.get("TETHERDB_CHAOS_SEED") or f"{time.time_ns() // 1000 % 1_000_000}"
    for number in range(kind, count(suite), kinds):
        if number // kinds % SHARDS != shard or ONLY not in (None, f"{number}"):
            continue
        played = Round(suite, number, seed)
        if tell:
            print(played, flush=True)
        yield played

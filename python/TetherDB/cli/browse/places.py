"""Where keys are: the backends, and the buckets that are found in them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

# A table of one hash key can only be scanned, and every scan is billed: nothing is scanned there unasked.
UNORDERED = frozenset({"dynamodb"})
# Keys of one request of a scan.
SCANNED_AT_ONCE = 2000
# As many buckets are listed; where there are more, most "buckets" are parts of keys.
MOST_BUCKETS = 500


@dataclass(frozen=True)
class Place:
    """What may be chosen: a bucket; with "" the keys without one; with None everything of a backend."""

    backend: str
    bucket: str | None = None

    @property
    def is_ordered(self) -> bool:
        """Whether its keys come in key order, and a listing can begin behind any key."""
        return self.backend not in UNORDERED

    def holds(self, key: str) -> bool:
        """Whether a stored key belongs here."""
        if self.bucket is None:
            return True
        return bucket_of(key) == "" if self.bucket == "" else key.startswith(f"{self.bucket}:")

    def shown(self, key: str) -> str:
        """A stored key as it is listed here: without its bucket, where that is what was chosen."""
        return key[len(self.bucket) + 1 :] if self.bucket else key


def bucket_of(key: str) -> str:
    """What a stored key has before its first colon; "" for a key without a bucket."""
    bucket, colon, _ = key.partition(":")
    return bucket if colon else ""


@dataclass
class Found:
    """The buckets of one backend, as far as it was scanned. What it takes does not grow with the keys."""

    backend: str
    counts: dict[str, int] = field(default_factory=dict[str, int])
    # Keys in buckets beyond MOST_BUCKETS.
    others: int = 0
    keys: int = 0
    state: str = "unknown"
    error: str | None = None

    def begin(self) -> None:
        """A scan starts."""
        self.counts, self.others, self.keys = {}, 0, 0
        self.state, self.error = "scanning", None

    def take(self, keys: Iterable[str]) -> None:
        """A page of the scan."""
        for key in keys:
            bucket = bucket_of(key)
            self.keys += 1
            if bucket in self.counts or len(self.counts) < MOST_BUCKETS:
                self.counts[bucket] = self.counts.get(bucket, 0) + 1
            else:
                self.others += 1

    def changed(self, key: str, by: int) -> None:
        """A key was made (1) or deleted (-1) here."""
        if self.state == "unknown":
            return
        bucket = bucket_of(key)
        self.keys = max(0, self.keys + by)
        self.counts[bucket] = self.counts.get(bucket, 0) + by
        if self.counts[bucket] <= 0:
            del self.counts[bucket]

    def count(self, bucket: str | None) -> int | None:
        """How many keys are in a bucket; None where no scan has told."""
        if self.state != "done":
            return None
        return self.keys if bucket is None else self.counts.get(bucket)

    def places(self) -> list[Place]:
        """The backend, then its buckets by name, then what has none."""
        named = sorted(bucket for bucket in self.counts if bucket)
        found = [Place(self.backend), *(Place(self.backend, bucket) for bucket in named)]
        if "" in self.counts:
            found.append(Place(self.backend, ""))
        return found
